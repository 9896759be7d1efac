//! The recurrence of linear attention.
use crate::op::OpError;
use crate::ops::linear::compute::{count, zeros};
use rayon::prelude::*;
use std::borrow::Cow;

/// Sizes and factor.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Batch.
    pub batch: usize,
    /// Tokens.
    pub tokens: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys, values and states.
    pub groups: usize,
    /// Features of queries and keys.
    pub d: usize,
    /// Features of values.
    pub dv: usize,
    /// Factor of the result.
    pub scale: f32,
}

/// Operands, token by token.
pub(super) struct Run<'a> {
    /// Sizes and factor.
    pub plan: Plan,
    /// `[B, T, H * D]`.
    pub q: Cow<'a, [f32]>,
    /// `[B, T, G * D]`.
    pub k: Cow<'a, [f32]>,
    /// `[B, T, G * Dv]`.
    pub v: Cow<'a, [f32]>,
    /// `[B, T, G]` or `[B, T, G * D]`: logarithms of factors of the state.
    pub decay: Option<Vec<f32>>,
    /// `[B, T, G]` or `[B, T, 1]`: factors of what is added to the state.
    pub beta: Option<Vec<f32>>,
}

/// `n` numbers of token `at` from the row of a head, where a row of `row` numbers belongs to each token.
fn part(values: &[f32], row: usize, at: usize, head: usize, n: usize) -> &[f32] {
    let from = at * row + head * n;
    values.get(from..from + n).unwrap_or_default()
}

impl Run<'_> {
    /// Result `[B, T, H * Dv]` and states `[B, G, D, Dv]`; `past` has the states before, or they are 0.
    ///
    /// # Errors
    /// When sizes exceed the address space.
    pub fn run(&self, past: Option<Vec<f32>>) -> Result<(Vec<f32>, Vec<f32>), OpError> {
        let Plan { batch, tokens, heads, groups, d, dv, .. } = self.plan;
        let mut states = match past {
            Some(past) => past,
            None => zeros(count(&[batch, groups, d, dv])?)?,
        };
        let mut out = zeros(count(&[batch, tokens, heads, dv])?)?;
        let each = heads / groups.max(1);
        // Results of one state, `[T, heads of it, Dv]`, are put in their places afterwards.
        let mut apart: Vec<f32> = zeros(out.len())?;
        if d * dv == 0 || out.is_empty() {
            return Ok((out, states));
        }
        let block = tokens * each * dv;
        let one =
            |(i, (state, y)): (usize, (&mut [f32], &mut [f32]))| self.head(i / groups, i % groups, state, y);
        states.par_chunks_mut(d * dv).zip(apart.par_chunks_mut(block)).enumerate().for_each(one);
        for (i, y) in apart.chunks(block).enumerate() {
            let (b, g) = (i / groups, i % groups);
            for (t, row) in y.chunks(each * dv).enumerate() {
                let at = ((b * tokens + t) * groups + g) * each * dv;
                out[at..at + row.len()].copy_from_slice(row);
            }
        }
        Ok((out, states))
    }
    fn head(&self, b: usize, g: usize, state: &mut [f32], y: &mut [f32]) {
        let Plan { tokens, heads, groups, d, dv, scale, .. } = self.plan;
        let each = heads / groups;
        let mut write = vec![0f32; dv];
        for (t, y) in y.chunks_mut(each * dv).enumerate() {
            let at = b * tokens + t;
            let k = part(&self.k, groups * d, at, g, d);
            write.copy_from_slice(part(&self.v, groups * dv, at, g, dv));
            self.fade(at, g, state);
            if let Some(beta) = &self.beta {
                self.correct(beta, (at, g), (state, k), &mut write);
            }
            for (row, k) in state.chunks_mut(dv).zip(k) {
                row.iter_mut().zip(&write).for_each(|(s, w)| *s += k * w);
            }
            for (j, y) in y.chunks_mut(dv).enumerate() {
                let q = part(&self.q, heads * d, at, g * each + j, d);
                for (row, q) in state.chunks(dv).zip(q) {
                    y.iter_mut().zip(row).for_each(|(y, s)| *y += q * s);
                }
                for y in y {
                    *y *= scale;
                }
            }
        }
    }
    /// Lets the state decay.
    fn fade(&self, at: usize, g: usize, state: &mut [f32]) {
        let Some(decay) = &self.decay else { return };
        let Plan { groups, d, dv, batch, tokens, .. } = self.plan;
        let shared = decay.len() == batch * tokens * groups;
        let factors = if shared { part(decay, groups, at, g, 1) } else { part(decay, groups * d, at, g, d) };
        for (i, row) in state.chunks_mut(dv).enumerate() {
            let factor = libm::expf(factors[if shared { 0 } else { i }]);
            for s in row {
                *s *= factor;
            }
        }
    }
    /// Takes off what the state already gives for the key, and scales.
    fn correct(
        &self,
        beta: &[f32],
        (at, g): (usize, usize),
        (state, k): (&[f32], &[f32]),
        write: &mut [f32],
    ) {
        let Plan { groups, dv, batch, tokens, .. } = self.plan;
        let shared = beta.len() == batch * tokens;
        let beta = if shared { part(beta, 1, at, 0, 1) } else { part(beta, groups, at, g, 1) };
        let mut given = vec![0f32; write.len()];
        for (row, k) in state.chunks(dv).zip(k) {
            given.iter_mut().zip(row).for_each(|(r, s)| *r += k * s);
        }
        for (w, r) in write.iter_mut().zip(given) {
            *w = beta[0] * (*w - r);
        }
    }
}
