//! Comparison of what two executors computed.
//!
//! A number fits when `|got - want| <= atol + rtol * |want|`; NaN fits NaN, an infinity fits itself only. Integers, truth values and
//! texts must be equal. Differences are taken in `f64` (integers exactly).
use hoist_ir::eval::Value;
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::Wide;
use num_complex::Complex;

/// How far a number may be off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tolerance {
    /// Relative to the wanted number's magnitude.
    pub rtol: f64,
    /// Absolute.
    pub atol: f64,
}

/// The first element that does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its position.
    pub index: Vec<usize>,
    /// What was computed.
    pub got: String,
    /// What was wanted.
    pub want: String,
}

/// Comparison of one tensor. Figures are over pairs of finite numbers.
#[derive(Clone, PartialEq, Debug)]
pub struct OutputComparison {
    /// Output's name; elements of a sequence are `name[0]`, `name[1]`, ...
    pub name: String,
    /// Elements compared.
    pub elements: usize,
    /// Largest `|got - want|`.
    pub max_abs: f64,
    /// Mean of `|got - want|`.
    pub mean_abs: f64,
    /// Largest `|got - want| / |want|` where `want` is not 0.
    pub max_rel: f64,
    /// Cosine of the angle between both as vectors; 1 when both are zero or empty.
    pub cosine: f64,
    /// Elements that do not fit.
    pub mismatches: usize,
    /// The first of them.
    pub first: Option<Difference>,
    /// Why nothing could be compared, such as different shapes.
    pub incomparable: Option<String>,
}

impl OutputComparison {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            elements: 0,
            max_abs: 0.0,
            mean_abs: 0.0,
            max_rel: 0.0,
            cosine: 1.0,
            mismatches: 0,
            first: None,
            incomparable: None,
        }
    }
    fn incomparable(name: &str, why: String) -> Self {
        Self { incomparable: Some(why), ..Self::new(name) }
    }
    /// Whether every element fits.
    pub fn fits(&self) -> bool {
        self.incomparable.is_none() && self.mismatches == 0
    }
    /// What is wrong in one sentence; `None` when every element fits.
    pub fn complaint(&self) -> Option<String> {
        if let Some(why) = &self.incomparable {
            return Some(format!("output `{}` {why}", self.name));
        }
        let first = self.first.as_ref()?;
        Some(format!(
            "output `{}`: {} of {} elements differ, first at {:?}: {} instead of {}; largest difference {:.3e}",
            self.name, self.mismatches, self.elements, first.index, first.got, first.want, self.max_abs
        ))
    }
}

/// Comparison of all outputs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Comparison {
    /// One entry per tensor, in order.
    pub outputs: Vec<OutputComparison>,
}

impl Comparison {
    /// Whether everything fits.
    pub fn fits(&self) -> bool {
        self.outputs.iter().all(OutputComparison::fits)
    }
}

/// Compares outputs in order. Missing names are replaced by `out0`, `out1`, ...
pub fn compare<S: AsRef<str>>(
    got: &[Value],
    want: &[Value],
    names: &[S],
    tolerance: Tolerance,
) -> Comparison {
    let mut all = Comparison::default();
    for i in 0..got.len().max(want.len()) {
        let name = names.get(i).map_or_else(|| format!("out{i}"), |n| n.as_ref().to_owned());
        match (got.get(i), want.get(i)) {
            (Some(g), Some(w)) => compare_values(&name, g, w, tolerance, &mut all.outputs),
            (None, _) => all.outputs.push(OutputComparison::incomparable(&name, "is missing".to_owned())),
            (_, None) => all.outputs.push(OutputComparison::incomparable(&name, "is not wanted".to_owned())),
        }
    }
    all
}

fn compare_values(name: &str, got: &Value, want: &Value, tol: Tolerance, out: &mut Vec<OutputComparison>) {
    match (got, want) {
        (Value::Tensor(g), Value::Tensor(w)) => out.push(compare_tensors(name, g, w, tol)),
        (Value::Sequence(g), Value::Sequence(w)) if g.len() == w.len() => {
            for (i, (g, w)) in g.iter().zip(w).enumerate() {
                compare_values(&format!("{name}[{i}]"), g, w, tol, out);
            }
        }
        (Value::Sequence(g), Value::Sequence(w)) => {
            let why = format!("has {} elements instead of {}", g.len(), w.len());
            out.push(OutputComparison::incomparable(name, why));
        }
        (Value::Optional(None), Value::Optional(None)) => out.push(OutputComparison::new(name)),
        (Value::Optional(Some(g)), Value::Optional(Some(w))) => compare_values(name, g, w, tol, out),
        _ => {
            let why = format!("is {} instead of {}", got.ty(), want.ty());
            out.push(OutputComparison::incomparable(name, why));
        }
    }
}

/// Compares two tensors.
pub fn compare_tensors(name: &str, got: &Tensor, want: &Tensor, tolerance: Tolerance) -> OutputComparison {
    if got.dtype() != want.dtype() || got.shape() != want.shape() {
        let why = format!("is {} instead of {}", got.ty(), want.ty());
        return OutputComparison::incomparable(name, why);
    }
    let (g, w) = match (got.widen(), want.widen()) {
        (Ok(g), Ok(w)) => (g, w),
        (Err(e), _) | (_, Err(e)) => {
            return OutputComparison::incomparable(name, format!("cannot be read: {e}"));
        }
    };
    let mut sums = Sums { out: OutputComparison::new(name), shape: want.shape(), ..Sums::new() };
    match (&g, &w) {
        (Wide::F32(g), Wide::F32(w)) => {
            sums.floats(g, w, tolerance, |v| f64::from(*v), ToString::to_string);
        }
        (Wide::F64(g), Wide::F64(w)) => sums.floats(g, w, tolerance, |v| *v, ToString::to_string),
        (Wide::C128(g), Wide::C128(w)) => sums.complexes(g, w, tolerance),
        (Wide::I64(g), Wide::I64(w)) => sums.exact(g, w, |v| *v as f64, |a, b| a.abs_diff(*b) as f64),
        (Wide::U64(g), Wide::U64(w)) => sums.exact(g, w, |v| *v as f64, |a, b| a.abs_diff(*b) as f64),
        (Wide::Str(g), Wide::Str(w)) => sums.exact(g, w, |_| 0.0, |_, _| 0.0),
        _ => return OutputComparison::incomparable(name, "cannot be compared".to_owned()),
    }
    sums.finish()
}

/// Figures being summed up.
struct Sums<'a> {
    out: OutputComparison,
    shape: &'a [usize],
    finite: usize,
    total: f64,
    dot: f64,
    got_square: f64,
    want_square: f64,
}

impl Sums<'_> {
    fn new() -> Self {
        let out = OutputComparison::new("");
        Self { out, shape: &[], finite: 0, total: 0.0, dot: 0.0, got_square: 0.0, want_square: 0.0 }
    }
    fn floats<T>(
        &mut self,
        got: &[T],
        want: &[T],
        tol: Tolerance,
        number: impl Fn(&T) -> f64,
        text: impl Fn(&T) -> String,
    ) {
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let (a, b) = (number(g), number(w));
            if !fits(a, b, tol) {
                self.mismatch(i, || (text(g), text(w)));
            }
            if a.is_finite() && b.is_finite() {
                self.figures((a - b).abs(), b.abs(), a * b, a * a);
            }
        }
        self.out.elements = want.len();
    }
    fn complexes(&mut self, got: &[Complex<f64>], want: &[Complex<f64>], tol: Tolerance) {
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let near = (g - w).norm() <= tol.atol + tol.rtol * w.norm();
            let exact = Tolerance { rtol: 0.0, atol: 0.0 };
            let same = fits(g.re, w.re, exact) && fits(g.im, w.im, exact);
            if !near && !same {
                self.mismatch(i, || (g.to_string(), w.to_string()));
            }
            if g.is_finite() && w.is_finite() {
                self.figures((g - w).norm(), w.norm(), g.re * w.re + g.im * w.im, g.norm_sqr());
            }
        }
        self.out.elements = want.len();
    }
    fn exact<T: PartialEq + ToString>(
        &mut self,
        got: &[T],
        want: &[T],
        number: impl Fn(&T) -> f64,
        distance: impl Fn(&T, &T) -> f64,
    ) {
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            if g != w {
                self.mismatch(i, || (g.to_string(), w.to_string()));
            }
            let (a, b) = (number(g), number(w));
            self.figures(distance(g, w), b.abs(), a * b, a * a);
        }
        self.out.elements = want.len();
    }
    /// One pair of finite numbers: their distance, the wanted magnitude, their product and the square of what was computed.
    fn figures(&mut self, distance: f64, want: f64, product: f64, got_square: f64) {
        self.finite += 1;
        self.total += distance;
        self.out.max_abs = self.out.max_abs.max(distance);
        if want != 0.0 {
            self.out.max_rel = self.out.max_rel.max(distance / want);
        }
        self.dot += product;
        self.got_square += got_square;
        self.want_square += want * want;
    }
    fn mismatch(&mut self, at: usize, texts: impl FnOnce() -> (String, String)) {
        self.out.mismatches += 1;
        if self.out.first.is_none() {
            let (got, want) = texts();
            self.out.first = Some(Difference { index: unravel(at, self.shape), got, want });
        }
    }
    fn finish(self) -> OutputComparison {
        let Self { mut out, finite, total, dot, got_square, want_square, .. } = self;
        if finite > 0 {
            out.mean_abs = total / finite as f64;
        }
        let norms = got_square.sqrt() * want_square.sqrt();
        out.cosine = match (got_square == 0.0, want_square == 0.0) {
            (true, true) => 1.0,
            (false, false) => (dot / norms).clamp(-1.0, 1.0),
            _ => 0.0,
        };
        out
    }
}

fn fits(got: f64, want: f64, tol: Tolerance) -> bool {
    if got.is_nan() || want.is_nan() {
        return got.is_nan() && want.is_nan();
    }
    if got.is_infinite() || want.is_infinite() {
        return got == want;
    }
    (got - want).abs() <= tol.atol + tol.rtol * want.abs()
}

/// Position of row-major element `at`.
fn unravel(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|n| {
            let i = at % n.max(&1);
            at /= n.max(&1);
            i
        })
        .collect();
    index.reverse();
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOL: Tolerance = Tolerance { rtol: 0.1, atol: 0.01 };

    fn f32s(shape: &[usize], v: &[f32]) -> Value {
        Tensor::from_vec(shape, v.to_vec()).into()
    }

    fn one(got: Value, want: Value) -> OutputComparison {
        let mut all = compare(&[got], &[want], &["y"], TOL);
        assert_eq!(all.outputs.len(), 1);
        all.outputs.remove(0)
    }

    #[test]
    fn figures_of_numbers() {
        let c = one(f32s(&[2, 2], &[1.0, 2.0, 0.0, 4.0]), f32s(&[2, 2], &[1.0, 2.0, 0.5, 5.0]));
        assert_eq!((c.max_abs, c.mean_abs, c.max_rel, c.mismatches), (1.0, 0.375, 1.0, 2));
        let first = c.first.clone().expect("a difference");
        assert_eq!((first.index, first.got.as_str(), first.want.as_str()), (vec![1, 0], "0", "0.5"));
        assert!((c.cosine - 25.0 / (21.0f64.sqrt() * 30.25f64.sqrt())).abs() < 1e-12);
        assert!(c.complaint().expect("one").contains("2 of 4"));
    }

    #[test]
    fn tolerance_is_absolute_plus_relative() {
        assert!(one(f32s(&[1], &[10.9]), f32s(&[1], &[10.0])).fits());
        assert!(!one(f32s(&[1], &[11.1]), f32s(&[1], &[10.0])).fits());
        assert!(one(f32s(&[1], &[0.009]), f32s(&[1], &[0.0])).fits());
        assert!(!one(f32s(&[1], &[0.011]), f32s(&[1], &[0.0])).fits());
    }

    #[test]
    fn special_numbers() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        assert!(one(f32s(&[3], &odd), f32s(&[3], &odd)).fits());
        assert_eq!(one(f32s(&[3], &odd), f32s(&[3], &[1.0, f32::NEG_INFINITY, 1.0])).mismatches, 3);
        assert_eq!(one(f32s(&[1], &[1.0]), f32s(&[1], &[f32::NAN])).mismatches, 1);
        assert_eq!(one(f32s(&[1], &[3e38]), f32s(&[1], &[f32::INFINITY])).mismatches, 1);
    }

    #[test]
    fn integers_and_texts_are_exact() {
        let ints = |v: i64| Value::from(Tensor::from_ints(&[v]));
        let c = one(ints(i64::MAX), ints(i64::MAX - 1));
        assert_eq!((c.mismatches, c.max_abs), (1, 1.0));
        let text = |s: &str| Value::from(Tensor::from_strings(&[1], vec![s.to_owned()]));
        assert!(one(text("a"), text("a")).fits());
        assert_eq!(one(text("a"), text("b")).first.map(|d| d.want), Some("b".to_owned()));
        let truth = |b: bool| Value::from(Tensor::from_bools(&[1], vec![b]));
        assert!(!one(truth(true), truth(false)).fits());
    }

    #[test]
    fn kinds_shapes_and_counts() {
        assert!(one(f32s(&[2], &[1.0; 2]), f32s(&[2, 1], &[1.0; 2])).incomparable.is_some());
        assert!(one(f32s(&[1], &[1.0]), Tensor::from_ints(&[1]).into()).incomparable.is_some());
        let seq = |v: &[f32]| Value::Sequence(v.iter().map(|x| f32s(&[1], &[*x])).collect());
        let all = compare(&[seq(&[1.0, 2.0])], &[seq(&[1.0, 3.0])], &["s"], TOL);
        assert_eq!(all.outputs[1].name, "s[1]");
        assert!(all.outputs[0].fits() && !all.fits());
        assert!(!compare(&[seq(&[1.0])], &[seq(&[])], &["s"], TOL).fits());
        assert!(!compare(&[], &[seq(&[])], &["s"], TOL).fits());
        let some = Value::Optional(Some(Box::new(f32s(&[1], &[1.0]))));
        assert!(one(some.clone(), some.clone()).fits() && !one(some, Value::Optional(None)).fits());
    }

    #[test]
    fn empty_and_zero_tensors() {
        let c = one(f32s(&[0, 3], &[]), f32s(&[0, 3], &[]));
        assert!(c.fits() && c.cosine == 1.0 && c.elements == 0);
        assert_eq!(one(f32s(&[1], &[0.0]), f32s(&[1], &[1.0])).cosine, 0.0);
    }
}
