//! Lists of sizes that a graph computes from its inputs.
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::graph::{Graph, Origin, ValueId};
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::shape::shape::Shape;
use std::collections::BTreeMap;

/// A size with a name.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// What it was.
    pub old: u64,
    /// Where it stands: positions of inputs and axes.
    pub places: Vec<(usize, usize)>,
}

/// Reads sizes off the inputs.
pub struct Sizes<'a> {
    symbols: &'a [Symbol],
    read: BTreeMap<String, ValueId>,
}

impl<'a> Sizes<'a> {
    /// Nothing read yet.
    pub fn new(symbols: &'a [Symbol]) -> Self {
        Self { symbols, read: BTreeMap::new() }
    }
    /// `e` at the old sizes, where no other symbol takes part.
    pub fn at_old(&self, e: &SymInt) -> Option<i64> {
        let value = |name: &str| {
            let s = self.symbols.iter().find(|s| s.name == name)?;
            Some(SymInt::from(i64::try_from(s.old).ok()?))
        };
        e.substitute(&value)?.as_const()
    }
    /// `dim` with the old sizes in it.
    pub fn old(&self, dim: &Dim) -> Dim {
        let value = |name: &str| {
            let s = self.symbols.iter().find(|s| s.name == name)?;
            Some(SymInt::from(i64::try_from(s.old).ok()?))
        };
        match dim {
            Dim::Expr(e) => Dim::from_sym(e.substitute(&value)),
            _ => dim.clone(),
        }
    }
    /// Whether one of the sizes takes part in `dim`.
    pub fn takes_part(&self, dim: &Dim) -> bool {
        matches!(dim, Dim::Expr(e) if e.symbols().iter().any(|s| self.symbols.iter().any(|o| *o.name == **s)))
    }
    /// An `i64` list of these numbers: constants, and multiples of one size.
    ///
    /// # Errors
    /// When one of them is another expression.
    pub fn list(&mut self, g: &mut Graph, numbers: &[SymInt], origin: &Origin) -> Result<ValueId, Diag> {
        let mut parts = vec![];
        let mut constants: Vec<i64> = vec![];
        for e in numbers {
            if let Some(c) = e.as_const() {
                constants.push(c);
                continue;
            }
            if !constants.is_empty() {
                parts.push(Builder::at_end(g, origin.clone()).ints(&std::mem::take(&mut constants)));
            }
            parts.push(self.number(g, e, origin)?);
        }
        let mut b = Builder::at_end(g, origin.clone());
        if !constants.is_empty() {
            parts.push(b.ints(&constants));
        }
        match parts.as_slice() {
            [one] => Ok(*one),
            _ => b.concat(Concat { axis: 0 }, &parts),
        }
    }
    fn number(&mut self, g: &mut Graph, e: &SymInt, origin: &Origin) -> Result<ValueId, Diag> {
        let names = e.symbols();
        let beyond = || Diag::error("E0605", format!("the size {e} cannot be computed from one input"));
        let [name] = names.as_slice() else { return Err(beyond()) };
        let times = e.exact_div(&SymInt::symbol(name)).and_then(|k| k.as_const()).ok_or_else(beyond)?;
        let size = self.size(g, name, origin)?;
        if times == 1 {
            return Ok(size);
        }
        let mut b = Builder::at_end(g, origin.clone());
        let times = b.ints(&[times]);
        b.mul(hoist_ir::ops::elementwise::arithmetic::Mul {}, size, times)
    }
    /// The size called `name`, as a list of one.
    fn size(&mut self, g: &mut Graph, name: &str, origin: &Origin) -> Result<ValueId, Diag> {
        if let Some(v) = self.read.get(name) {
            return Ok(*v);
        }
        let place = self.symbols.iter().find(|s| s.name == name).and_then(|s| s.places.first());
        let Some((input, axis)) = place else {
            return Err(Diag::error("E0605", format!("no input has a size called {name}")));
        };
        let axis = *axis as i64;
        let input = g.inputs()[*input];
        let v =
            Builder::at_end(g, origin.clone()).shape(Shape { start: axis, end: Some(axis + 1) }, input)?;
        self.read.insert(name.to_owned(), v);
        Ok(v)
    }
}
