//! One step of each cell in terms of elementwise operators and matrix products.
use super::activation::Activation;
use super::common::Kind;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::graph::{Graph, Origin, ValueId};
use crate::ops::elementwise::arithmetic::{Add, Mul, Sub};
use crate::ops::elementwise::clip::Clip;
use crate::ops::elementwise::select::Where;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::split::Split;

/// What a step takes beside its states and gates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Recurrent weights `[hidden, gates * hidden]`; of `gru` without those of the hidden gate where the reset comes first.
    Weights,
    /// Recurrent weights of the hidden gate of `gru`, where the reset comes first.
    InnerWeights,
    /// Recurrent bias of the hidden gate of `gru`, where the reset comes last.
    InnerBias,
    PeepholeI,
    PeepholeO,
    PeepholeF,
}

/// A cell.
pub(super) struct Cell<'a> {
    pub kind: Kind,
    pub functions: &'a [Activation],
    pub bound: Option<f32>,
    pub hidden: i64,
}

impl Cell<'_> {
    /// Adds one step to `g`. `inputs` are the states and the input's part of the gates. Returns the next states and the step's result;
    /// where `live` is false, states stay and the result is zero.
    pub(super) fn step(
        &self,
        g: &mut Graph,
        inputs: &[ValueId],
        live: Option<ValueId>,
        parts: &[(Part, ValueId)],
    ) -> Result<Vec<ValueId>, Diag> {
        let mut b = Builder::at_end(g, Origin::default());
        let b = &mut b;
        let (gates, states) =
            inputs.split_last().ok_or_else(|| Diag::error("E0901", "a cell without gates"))?;
        let part = |p: Part| parts.iter().find(|q| q.0 == p).map(|q| q.1);
        let weights = part(Part::Weights).ok_or_else(|| Diag::error("E0901", "a cell without weights"))?;
        let recur = b.mat_mul(MatMul {}, states[0], weights)?;
        let mut next = match self.kind {
            Kind::Rnn => {
                let sum = b.plus(Add {}, *gates, recur)?;
                vec![self.activated(b, 0, sum)?]
            }
            Kind::Lstm { input_forget } => {
                let sum = b.plus(Add {}, *gates, recur)?;
                self.lstm(b, sum, states[1], input_forget, &part)?
            }
            Kind::Gru { linear_before_reset } => {
                vec![self.gru(b, *gates, recur, states[0], linear_before_reset, &part)?]
            }
        };
        let mut result = next[0];
        if let Some(live) = live {
            let zero = b.scalar_like(0.0, result)?;
            result = b.r#where(Where {}, live, result, zero)?;
            for (new, old) in next.iter_mut().zip(states) {
                *new = b.r#where(Where {}, live, *new, *old)?;
            }
        }
        next.push(result);
        Ok(next)
    }
    fn blocks(&self, b: &mut Builder<'_>, v: ValueId, count: usize) -> Result<Vec<ValueId>, Diag> {
        let sizes = b.ints(&vec![self.hidden; count]);
        b.add_n(Split { axis: -1, num_outputs: None }, &[Some(v), Some(sizes)], count)
    }
    fn activated(&self, b: &mut Builder<'_>, i: usize, v: ValueId) -> Result<ValueId, Diag> {
        let mut v = v;
        if let Some(c) = self.bound {
            let (low, high) = (b.scalar_like(f64::from(-c), v)?, b.scalar_like(f64::from(c), v)?);
            v = b.clip(Clip {}, v, Some(low), Some(high))?;
        }
        let f = self.functions.get(i).ok_or_else(|| Diag::error("E0901", "a cell without function"))?;
        f.build(b, v)
    }
    fn lstm(
        &self,
        b: &mut Builder<'_>,
        gates: ValueId,
        c: ValueId,
        input_forget: bool,
        part: &impl Fn(Part) -> Option<ValueId>,
    ) -> Result<Vec<ValueId>, Diag> {
        let all = self.blocks(b, gates, 4)?;
        let (i, o, f, g) = (all[0], all[1], all[2], all[3]);
        let peep = |b: &mut Builder<'_>, p: Part, gate: ValueId, c: ValueId| match part(p) {
            None => Ok(gate),
            Some(p) => {
                let seen = b.mul(Mul {}, p, c)?;
                b.plus(Add {}, gate, seen)
            }
        };
        let i = peep(b, Part::PeepholeI, i, c)?;
        let i = self.activated(b, 0, i)?;
        let f = if input_forget {
            let one = b.scalar_like(1.0, i)?;
            b.sub(Sub {}, one, i)?
        } else {
            let f = peep(b, Part::PeepholeF, f, c)?;
            self.activated(b, 0, f)?
        };
        let g = self.activated(b, 1, g)?;
        let (kept, new) = (b.mul(Mul {}, f, c)?, b.mul(Mul {}, i, g)?);
        let c = b.plus(Add {}, kept, new)?;
        let o = peep(b, Part::PeepholeO, o, c)?;
        let o = self.activated(b, 0, o)?;
        let h = self.activated(b, 2, c)?;
        Ok(vec![b.mul(Mul {}, o, h)?, c])
    }
    fn gru(
        &self,
        b: &mut Builder<'_>,
        gates: ValueId,
        recur: ValueId,
        h: ValueId,
        linear_before_reset: bool,
        part: &impl Fn(Part) -> Option<ValueId>,
    ) -> Result<ValueId, Diag> {
        let all = self.blocks(b, gates, 3)?;
        let other = self.blocks(b, recur, if linear_before_reset { 3 } else { 2 })?;
        let z = b.plus(Add {}, all[0], other[0])?;
        let z = self.activated(b, 0, z)?;
        let r = b.plus(Add {}, all[1], other[1])?;
        let r = self.activated(b, 0, r)?;
        let inner = if linear_before_reset {
            let inner = match part(Part::InnerBias) {
                Some(bias) => b.plus(Add {}, other[2], bias)?,
                None => other[2],
            };
            b.mul(Mul {}, r, inner)?
        } else {
            let w = part(Part::InnerWeights).ok_or_else(|| Diag::error("E0901", "a cell without weights"))?;
            let reset = b.mul(Mul {}, r, h)?;
            b.mat_mul(MatMul {}, reset, w)?
        };
        let n = b.plus(Add {}, all[2], inner)?;
        let n = self.activated(b, 1, n)?;
        let one = b.scalar_like(1.0, z)?;
        let rest = b.sub(Sub {}, one, z)?;
        let (new, old) = (b.mul(Mul {}, rest, n)?, b.mul(Mul {}, z, h)?);
        b.plus(Add {}, new, old)
    }
}
