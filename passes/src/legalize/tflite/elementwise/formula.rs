//! Formulas as nodes: what the passes of this folder write them with.
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::tensor::Tensor;

/// A value, or why it cannot be computed.
pub(super) type V = Result<ValueId, Diag>;

/// Most rounds of rules that give each other work.
const MAX_ROUNDS: usize = 8;

/// Applies `rule` where the target lacks one of `ops`, and again to what that adds.
pub(super) fn settle(
    g: &mut Graph,
    cx: &Ctx,
    ops: &[&str],
    rule: impl Fn(&mut Graph, NodeId) -> Outcome,
) -> Changed {
    let mut changed = Changed::default();
    for _ in 0..MAX_ROUNDS {
        let round = where_lacking(g, cx, ops, |g, n, _, _| rule(g, n));
        if !round.any() {
            break;
        }
        changed.0 = changed.0.saturating_add(round.0);
    }
    changed
}

/// Element type of `v`, when it is a tensor.
pub(super) fn dtype(g: &Graph, v: ValueId) -> Option<DType> {
    g.ty(v).as_tensor().map(|t| t.dtype)
}

/// Adds the nodes of a formula over elements of one type.
pub(super) struct Formula<'a, 'g> {
    /// Where they are added.
    pub b: &'a mut Builder<'g>,
    dtype: DType,
}

impl<'a, 'g> Formula<'a, 'g> {
    /// Over elements of `dtype`.
    pub(super) fn new(b: &'a mut Builder<'g>, dtype: DType) -> Self {
        Self { b, dtype }
    }
    /// A number.
    pub(super) fn num(&mut self, value: f64) -> V {
        let scalar = Tensor::scalar(value).cast(self.dtype, false);
        let scalar = scalar.map_err(|e| Diag::error("E0303", e.to_string()))?;
        Ok(self.b.constant(scalar))
    }
    /// An integer, exactly.
    pub(super) fn int(&mut self, value: i64) -> V {
        let scalar = Tensor::scalar(value).cast(self.dtype, false);
        let scalar = scalar.map_err(|e| Diag::error("E0303", e.to_string()))?;
        Ok(self.b.constant(scalar))
    }
    /// A node of the operator `op` with its default attributes.
    pub(super) fn op(&mut self, op: &str, inputs: &[ValueId]) -> V {
        let op = Op::by_name(op).ok_or_else(|| Diag::error("E0303", format!("no operator `{op}`")))?;
        self.node(op, inputs)
    }
    /// A node of `op`.
    pub(super) fn node(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> V {
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|v| Some(*v)).collect();
        let results = self.b.add(op, &inputs)?;
        results.first().copied().ok_or_else(|| Diag::error("E0303", "a node without results"))
    }
    /// `op` of `x` and a number.
    pub(super) fn with(&mut self, op: &str, x: ValueId, value: f64) -> V {
        let value = self.num(value)?;
        self.op(op, &[x, value])
    }
    /// `op` of a number and `x`.
    pub(super) fn of(&mut self, op: &str, value: f64, x: ValueId) -> V {
        let value = self.num(value)?;
        self.op(op, &[value, x])
    }
    /// `x` as `to`.
    pub(super) fn cast(&mut self, x: ValueId, to: DType) -> V {
        if dtype(self.b.graph(), x) == Some(to) {
            return Ok(x);
        }
        self.node(Cast { to, ..Cast::default() }, &[x])
    }
    /// The polynomial with these coefficients at `x`, highest power first.
    pub(super) fn poly(&mut self, x: ValueId, coefficients: &[f64]) -> V {
        let Some((first, rest)) = coefficients.split_first() else { return self.num(0.0) };
        let mut sum = self.num(*first)?;
        for c in rest {
            sum = self.op("mul", &[sum, x])?;
            sum = self.with("add", sum, *c)?;
        }
        Ok(sum)
    }
    /// `log(1 + u)` for `u >= -1`, with the rounding of the sum made up for: `log w - ((w - 1) - u) / w` with `w = 1 + u`. Where `u` is
    /// large the second term is nothing, and computed at a point where it is no infinity less another.
    pub(super) fn log1p(&mut self, u: ValueId) -> V {
        const FLAT: f64 = 1_048_576.0;
        let near = self.of("min", FLAT, u)?;
        let w = self.with("add", near, 1.0)?;
        let moved = self.with("sub", w, 1.0)?;
        let lost = self.op("sub", &[moved, near])?;
        let divisor = self.of("max", 1e-30, w)?;
        let term = self.op("div", &[lost, divisor])?;
        let whole = self.with("add", u, 1.0)?;
        let log = self.op("log", &[whole])?;
        self.op("sub", &[log, term])
    }
}
