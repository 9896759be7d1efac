//! Symbolic integers in a normal form, and tensor dimensions built on them.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Terms one expression may hold before it is given up as unknown: keeps hostile shape arithmetic bounded.
const MAX_TERMS: usize = 24;
/// Total size (terms and nested operands) of one expression before it is given up.
const MAX_WEIGHT: usize = 96;

/// What a symbolic integer multiplies: a named size, or an operation without a polynomial form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Atom {
    /// A named size, such as `batch`.
    Symbol(Arc<str>),
    /// Quotient rounded towards minus infinity.
    FloorDiv(Arc<(SymInt, SymInt)>),
    /// Remainder with the sign of the divisor: `a - b * floor(a / b)`.
    Mod(Arc<(SymInt, SymInt)>),
    /// The larger one.
    Max(Arc<(SymInt, SymInt)>),
    /// The smaller one.
    Min(Arc<(SymInt, SymInt)>),
}

/// Product of atoms, sorted, repeated for powers. Empty is the constant term.
type Monomial = Vec<Atom>;

/// Integer polynomial over [`Atom`]s in normal form, so that equal expressions compare equal:
/// terms sorted by monomial, no zero coefficients, nested operands normal too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SymInt {
    terms: Vec<(Monomial, i64)>,
}

impl From<i64> for SymInt {
    fn from(v: i64) -> Self {
        Self { terms: if v == 0 { vec![] } else { vec![(vec![], v)] } }
    }
}

impl SymInt {
    /// The named size `name`.
    pub fn symbol(name: &str) -> Self {
        Self::atom(Atom::Symbol(name.into()))
    }
    fn atom(atom: Atom) -> Self {
        Self { terms: vec![(vec![atom], 1)] }
    }
    /// The value when no symbol takes part.
    pub fn as_const(&self) -> Option<i64> {
        match self.terms.as_slice() {
            [] => Some(0),
            [(m, c)] if m.is_empty() => Some(*c),
            _ => None,
        }
    }
    /// The name when the expression is one bare symbol.
    pub fn as_symbol(&self) -> Option<&str> {
        match self.terms.as_slice() {
            [(m, 1)] => match m.as_slice() {
                [Atom::Symbol(s)] => Some(s),
                _ => None,
            },
            _ => None,
        }
    }
    fn weight(&self) -> usize {
        let atom = |a: &Atom| match a {
            Atom::Symbol(_) => 1,
            Atom::FloorDiv(p) | Atom::Mod(p) | Atom::Max(p) | Atom::Min(p) => 1 + p.0.weight() + p.1.weight(),
        };
        self.terms.iter().map(|(m, _)| 1 + m.iter().map(atom).sum::<usize>()).sum()
    }
    fn from_map(map: BTreeMap<Monomial, i64>) -> Option<Self> {
        let terms: Vec<_> = map.into_iter().filter(|(_, c)| *c != 0).collect();
        let out = Self { terms };
        (out.terms.len() <= MAX_TERMS && out.weight() <= MAX_WEIGHT).then_some(out)
    }
    fn map(&self) -> BTreeMap<Monomial, i64> {
        self.terms.iter().cloned().collect()
    }
    /// `self + other`; `None` when it overflows or grows too large.
    pub fn add(&self, other: &Self) -> Option<Self> {
        let mut map = self.map();
        for (m, c) in &other.terms {
            let e = map.entry(m.clone()).or_insert(0);
            *e = e.checked_add(*c)?;
        }
        Self::from_map(map)
    }
    /// `-self`; `None` on overflow.
    pub fn neg(&self) -> Option<Self> {
        let terms =
            self.terms.iter().map(|(m, c)| Some((m.clone(), c.checked_neg()?))).collect::<Option<_>>()?;
        Some(Self { terms })
    }
    /// `self - other`; `None` when it overflows or grows too large.
    pub fn sub(&self, other: &Self) -> Option<Self> {
        self.add(&other.neg()?)
    }
    /// `self * other`; `None` when it overflows or grows too large.
    pub fn mul(&self, other: &Self) -> Option<Self> {
        let mut map: BTreeMap<Monomial, i64> = BTreeMap::new();
        for (m1, c1) in &self.terms {
            for (m2, c2) in &other.terms {
                let mut m = m1.clone();
                m.extend(m2.iter().cloned());
                m.sort();
                let e = map.entry(m).or_insert(0);
                *e = e.checked_add(c1.checked_mul(*c2)?)?;
            }
        }
        Self::from_map(map)
    }
    /// `self / other` when the division is exact for every value of the symbols and `other` is one term.
    pub fn exact_div(&self, other: &Self) -> Option<Self> {
        let [(dm, dc)] = other.terms.as_slice() else { return None };
        let mut terms = Vec::with_capacity(self.terms.len());
        for (m, c) in &self.terms {
            if c.checked_rem(*dc)? != 0 {
                return None;
            }
            let mut rest = m.clone();
            for a in dm {
                let at = rest.iter().position(|x| x == a)?;
                rest.remove(at);
            }
            terms.push((rest, c / dc));
        }
        Self::from_map(terms.into_iter().collect())
    }
    /// `floor(self / other)`; `None` when `other` is zero or the result cannot be expressed.
    pub fn floor_div(&self, other: &Self) -> Option<Self> {
        if other.as_const() == Some(0) {
            return None;
        }
        if let Some(q) = self.exact_div(other) {
            return Some(q);
        }
        if let (Some(a), Some(b)) = (self.as_const(), other.as_const()) {
            let q = a.checked_div(b)?;
            return Some(Self::from(if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q }));
        }
        // floor((k*b + r) / b) = k + floor(r / b): pull out what divides exactly.
        let (mut whole, mut rest) = (Self::default(), Self::default());
        for (m, c) in &self.terms {
            let (q, r) = match other.as_const() {
                Some(b) => (c.checked_div_euclid(b)?, c.checked_rem_euclid(b)?),
                None => (0, *c),
            };
            let term = |k: i64| Self { terms: if k == 0 { vec![] } else { vec![(m.clone(), k)] } };
            whole = whole.add(&term(q))?;
            rest = rest.add(&term(r))?;
        }
        if rest.as_const().is_some() && other.as_const().is_some() {
            return whole.add(&rest.floor_div(other)?);
        }
        if let Some((numerator, divisor)) = rest.nested_quotient(other) {
            return whole.add(&numerator.floor_div(&divisor)?);
        }
        let atom = Self::atom(Atom::FloorDiv(Arc::new((rest, other.clone()))));
        whole.add(&atom).filter(|e| e.weight() <= MAX_WEIGHT)
    }
    /// `floor((floor(a / m) + c) / b)` is `floor((a + c*m) / (m*b))` for positive integers `m` and `b`: its numerator and divisor, when
    /// `self` is `floor(a / m) + c`.
    fn nested_quotient(&self, b: &Self) -> Option<(Self, Self)> {
        let b = b.as_const().filter(|b| *b > 0)?;
        let (c, inner) = match self.terms.as_slice() {
            [(inner, 1)] => (0, inner),
            [(one, c), (inner, 1)] if one.is_empty() => (*c, inner),
            _ => return None,
        };
        let [Atom::FloorDiv(p)] = inner.as_slice() else { return None };
        let m = p.1.as_const().filter(|m| *m > 0)?;
        Some((p.0.add(&Self::from(c.checked_mul(m)?))?, Self::from(m.checked_mul(b)?)))
    }
    /// `ceil(self / other)` as `-floor(-self / other)`.
    pub fn ceil_div(&self, other: &Self) -> Option<Self> {
        self.neg()?.floor_div(other)?.neg()
    }
    /// Remainder with the sign of the divisor.
    pub fn modulo(&self, other: &Self) -> Option<Self> {
        if let (Some(a), Some(b)) = (self.as_const(), other.as_const()) {
            let r = a.checked_rem(b)?;
            return Some(Self::from(if r != 0 && (r < 0) != (b < 0) { r + b } else { r }));
        }
        if self.exact_div(other).is_some() {
            return Some(Self::default());
        }
        Some(Self::atom(Atom::Mod(Arc::new((self.clone(), other.clone())))))
            .filter(|e| e.weight() <= MAX_WEIGHT)
    }
    /// The larger one.
    pub fn larger(&self, other: &Self) -> Option<Self> {
        self.extremum(other, true)
    }
    /// The smaller one.
    pub fn smaller(&self, other: &Self) -> Option<Self> {
        self.extremum(other, false)
    }
    fn extremum(&self, other: &Self, larger: bool) -> Option<Self> {
        let difference = self.sub(other)?;
        if difference.is_non_negative() {
            return Some(if larger { self.clone() } else { other.clone() });
        }
        if difference.neg()?.is_non_negative() {
            return Some(if larger { other.clone() } else { self.clone() });
        }
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        let pair = Arc::new((a.clone(), b.clone()));
        let atom = if larger { Atom::Max(pair) } else { Atom::Min(pair) };
        Some(Self::atom(atom)).filter(|e| e.weight() <= MAX_WEIGHT)
    }
    /// Whether it is `min(other, k)` with a constant `k` above 1: wherever both broadcast, they are equal then.
    pub fn caps(&self, other: &Self) -> bool {
        let [(monomial, 1)] = self.terms.as_slice() else { return false };
        let [Atom::Min(pair)] = monomial.as_slice() else { return false };
        let large = |k: &Self| k.as_const().is_some_and(|k| k > 1);
        (pair.0 == *other && large(&pair.1)) || (pair.1 == *other && large(&pair.0))
    }
    /// Whether the value is surely not negative, given that symbols are sizes: no coefficient is negative, nested ones included.
    pub fn is_non_negative(&self) -> bool {
        let atom = |a: &Atom| match a {
            Atom::Symbol(_) => true,
            Atom::Max(p) => p.0.is_non_negative() || p.1.is_non_negative(),
            Atom::FloorDiv(p) | Atom::Min(p) => p.0.is_non_negative() && p.1.is_non_negative(),
            // A remainder has the sign of its divisor.
            Atom::Mod(p) => p.1.is_non_negative(),
        };
        self.terms.iter().all(|(m, c)| *c >= 0 && m.iter().all(atom))
    }
    /// Replaces symbols by what `value` gives for their names; symbols it does not know stay.
    pub fn substitute(&self, value: &dyn Fn(&str) -> Option<Self>) -> Option<Self> {
        let mut out = Self::default();
        for (m, c) in &self.terms {
            let mut product = Self::from(*c);
            for a in m {
                let v = match a {
                    Atom::Symbol(s) => value(s).unwrap_or_else(|| Self::symbol(s)),
                    Atom::FloorDiv(p) => p.0.substitute(value)?.floor_div(&p.1.substitute(value)?)?,
                    Atom::Mod(p) => p.0.substitute(value)?.modulo(&p.1.substitute(value)?)?,
                    Atom::Max(p) => p.0.substitute(value)?.larger(&p.1.substitute(value)?)?,
                    Atom::Min(p) => p.0.substitute(value)?.smaller(&p.1.substitute(value)?)?,
                };
                product = product.mul(&v)?;
            }
            out = out.add(&product)?;
        }
        Some(out)
    }
    /// Names of all symbols that take part, sorted, without repeats.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut out = Vec::new();
        self.collect_symbols(&mut out);
        out.sort();
        out.dedup();
        out
    }
    fn collect_symbols(&self, out: &mut Vec<Arc<str>>) {
        for a in self.terms.iter().flat_map(|(m, _)| m) {
            match a {
                Atom::Symbol(s) => out.push(s.clone()),
                Atom::FloorDiv(p) | Atom::Mod(p) | Atom::Max(p) | Atom::Min(p) => {
                    p.0.collect_symbols(out);
                    p.1.collect_symbols(out);
                }
            }
        }
    }
}

/// Whether `name` is printed bare; other names are printed in quotes.
pub fn is_plain_symbol(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(name, "floordiv" | "mod" | "max" | "min")
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(s) if is_plain_symbol(s) => f.write_str(s),
            Self::Symbol(s) => write!(f, "{s:?}"),
            Self::FloorDiv(p) => write!(f, "floordiv({}, {})", p.0, p.1),
            Self::Mod(p) => write!(f, "mod({}, {})", p.0, p.1),
            Self::Max(p) => write!(f, "max({}, {})", p.0, p.1),
            Self::Min(p) => write!(f, "min({}, {})", p.0, p.1),
        }
    }
}

impl fmt::Display for SymInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return f.write_str("0");
        }
        // Highest monomials first and the constant last, as written by hand: `2*N+1`.
        for (i, (m, c)) in self.terms.iter().rev().enumerate() {
            if *c < 0 {
                f.write_str("-")?;
            } else if i > 0 {
                f.write_str("+")?;
            }
            let k = c.unsigned_abs();
            if k != 1 || m.is_empty() {
                write!(f, "{k}")?;
            }
            for (j, a) in m.iter().enumerate() {
                let star = if j > 0 || k != 1 { "*" } else { "" };
                write!(f, "{star}{a}")?;
            }
        }
        Ok(())
    }
}

/// One dimension of a tensor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Dim {
    /// A fixed size.
    Known(u64),
    /// An expression over symbols that is no constant.
    Expr(Arc<SymInt>),
    /// Nothing is known; two unknown dimensions need not be equal.
    Unknown,
}

impl Dim {
    /// The named size `name`.
    pub fn symbol(name: &str) -> Self {
        Self::Expr(Arc::new(SymInt::symbol(name)))
    }
    /// The dimension that `value` describes; negative constants and `None` are unknown.
    pub fn from_sym(value: Option<SymInt>) -> Self {
        match value {
            None => Self::Unknown,
            Some(v) => match v.as_const() {
                Some(c) => u64::try_from(c).map_or(Self::Unknown, Self::Known),
                None => Self::Expr(Arc::new(v)),
            },
        }
    }
    /// The dimension as a symbolic integer; `None` when unknown.
    pub fn to_sym(&self) -> Option<SymInt> {
        match self {
            Self::Known(n) => i64::try_from(*n).ok().map(SymInt::from),
            Self::Expr(e) => Some((**e).clone()),
            Self::Unknown => None,
        }
    }
    /// The fixed size, if it is one.
    pub fn known(&self) -> Option<u64> {
        if let Self::Known(n) = self { Some(*n) } else { None }
    }
    /// Combines two dimensions arithmetically; unknown if either is.
    pub fn combine(&self, other: &Self, f: impl Fn(&SymInt, &SymInt) -> Option<SymInt>) -> Self {
        match (self.to_sym(), other.to_sym()) {
            (Some(a), Some(b)) => Self::from_sym(f(&a, &b)),
            _ => Self::Unknown,
        }
    }
    /// Whether both are surely the same size.
    pub fn surely_equals(&self, other: &Self) -> bool {
        *self != Self::Unknown && self == other
    }
    /// What is known of a size that both describe: a fixed size before an expression before nothing. `None` when they are fixed and differ.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => (a == b).then(|| self.clone()),
            (Self::Known(_), _) | (Self::Expr(_), Self::Expr(_) | Self::Unknown) => Some(self.clone()),
            _ => Some(other.clone()),
        }
    }
    /// Whether both are known sizes and differ.
    pub fn surely_differs(&self, other: &Self) -> bool {
        matches!((self.known(), other.known()), (Some(a), Some(b)) if a != b)
    }
}

impl From<u64> for Dim {
    fn from(n: u64) -> Self {
        Self::Known(n)
    }
}
impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Self::Known(n as u64)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Expr(e) => write!(f, "{e}"),
            Self::Unknown => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> SymInt {
        SymInt::symbol("N")
    }

    #[test]
    fn equal_means_equal() {
        let a = n().add(&1.into()).and_then(|x| x.mul(&2.into())).expect("small");
        let b = n().add(&n()).and_then(|x| x.add(&2.into())).expect("small");
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "2*N+2");
        assert_eq!(a.sub(&b).and_then(|d| d.as_const()), Some(0));
    }

    #[test]
    fn a_capped_size_broadcasts_to_the_size() {
        let capped = |k: i64| n().smaller(&k.into()).expect("small");
        assert!(capped(512).caps(&n()) && !n().caps(&n()));
        // min(N, 1) is 1 for any N, and stretches.
        assert!(!capped(1).caps(&n()) && !capped(512).caps(&SymInt::symbol("M")));
        let shapes = |a: &SymInt, b: &SymInt| {
            let dim = |e: &SymInt| [Dim::from_sym(Some(e.clone()))];
            crate::infer::broadcast(&dim(a), &dim(b)).expect("broadcast")[0].clone()
        };
        assert_eq!(shapes(&n(), &capped(512)), Dim::symbol("N"));
        assert_eq!(shapes(&capped(512), &n()), Dim::symbol("N"));
        assert_eq!(shapes(&n(), &capped(1)), Dim::Unknown);
    }

    #[test]
    fn division_keeps_what_is_exact() {
        let six_n = n().mul(&6.into()).expect("small");
        assert_eq!(six_n.floor_div(&2.into()).expect("ok").to_string(), "3*N");
        let odd = six_n.add(&5.into()).expect("small");
        assert_eq!(odd.floor_div(&2.into()).expect("ok").to_string(), "3*N+2");
        let f = n().add(&(-1).into()).and_then(|x| x.floor_div(&2.into())).expect("ok");
        assert_eq!(f.substitute(&|_| Some(8.into())).and_then(|v| v.as_const()), Some(3));
        let plus = |e: &SymInt, c: i64| e.add(&c.into()).expect("small");
        let half = |e: &SymInt| plus(e, 1).floor_div(&2.into()).expect("ok");
        assert_eq!(half(&half(&n())).to_string(), "floordiv(N+3, 4)");
        let twice = |v: i64| (v + 1).div_euclid(2);
        let at = |v: i64| half(&half(&n())).substitute(&|_| Some(v.into())).and_then(|e| e.as_const());
        assert!((-9..20).all(|v| at(v) == Some(twice(twice(v)))));
        assert_eq!(n().floor_div(&0.into()), None);
        assert_eq!(SymInt::from(-7).floor_div(&2.into()), Some(SymInt::from(-4)));
        assert_eq!(SymInt::from(-7).modulo(&2.into()), Some(SymInt::from(1)));
    }

    #[test]
    fn sizes_are_not_negative() {
        let less = n().sub(&1.into()).expect("small");
        assert!(n().is_non_negative() && SymInt::default().is_non_negative() && !less.is_non_negative());
        assert!(less.larger(&0.into()).expect("small").is_non_negative());
        assert!(!less.smaller(&0.into()).expect("small").is_non_negative());
        assert!(!less.floor_div(&2.into()).expect("small").is_non_negative());
    }

    #[test]
    fn overflow_and_growth_are_unknown() {
        assert_eq!(SymInt::from(i64::MAX).add(&1.into()), None);
        let mut e = SymInt::symbol("a0");
        let mut gave_up = false;
        for i in 1..200 {
            let Some(next) = e.add(&SymInt::symbol(&format!("a{i}"))) else {
                gave_up = true;
                break;
            };
            e = next;
        }
        assert!(gave_up);
    }
}
