//! Operands of recurrent operators, put together from the constants of a cell's gates.
use super::cell::{Cell, Gate, Kind};
use super::step::Sequence;
use hoist_ir::tensor::{Tensor, TensorError};

/// Constants of a recurrent operator with one direction.
pub struct Weights {
    /// `[1, gates * hidden, input]`
    pub w: Tensor,
    /// `[1, gates * hidden, hidden]`
    pub r: Tensor,
    /// `[1, 2 * gates * hidden]`, where there are any.
    pub b: Option<Tensor>,
    /// `[1, 3 * hidden]`, where there are any.
    pub p: Option<Tensor>,
    /// What is joined along its last axis to be the input.
    pub inputs: Vec<Sequence>,
}

impl Weights {
    /// Those of `cell`, whose hidden state has `hidden` elements.
    ///
    /// # Errors
    /// When constants do not fit each other.
    pub fn of(cell: &Cell, hidden: usize) -> Result<Self, TensorError> {
        let mut inputs: Vec<(Sequence, usize)> = vec![];
        for (sequence, w) in cell.gates.iter().flat_map(|g| &g.w) {
            if inputs.iter().all(|(s, _)| s != sequence) {
                inputs.push((*sequence, w.shape()[0]));
            }
        }
        let gate_inputs = |gate: &Gate| {
            let parts = inputs.iter().map(|(s, rows)| match gate.w.iter().find(|(t, _)| s == t) {
                Some((_, w)) => Ok(w.clone()),
                None => zeros(&[*rows, hidden]),
            });
            joined(&parts.collect::<Result<Vec<_>, _>>()?, 0)
        };
        let w: Vec<Tensor> = cell.gates.iter().map(gate_inputs).collect::<Result<_, _>>()?;
        let r: Vec<Tensor> = cell.gates.iter().filter_map(|g| g.r.clone()).collect();
        let p: Vec<Tensor> = match cell.kind {
            Kind::Lstm => cell.gates.iter().filter_map(|g| g.peephole.clone()).collect(),
            _ => vec![],
        };
        let biased = cell.gates.iter().any(|g| !g.bias.is_empty() || !g.inner_bias.is_empty());
        let b = if biased {
            let rows = cell.gates.iter().map(|g| &g.bias).chain(cell.gates.iter().map(|g| &g.inner_bias));
            let rows: Vec<Tensor> = rows.map(|rows| sum(rows, hidden)).collect::<Result<_, _>>()?;
            Some(joined(&rows, 0)?)
        } else {
            None
        };
        let row = |t: Tensor| t.reshape(&[1, t.len()]);
        Ok(Self {
            w: rows(&w)?,
            r: rows(&r)?,
            b: b.map(row).transpose()?,
            p: if p.is_empty() { None } else { Some(row(joined(&p, 0)?)?) },
            inputs: inputs.into_iter().map(|(s, _)| s).collect(),
        })
    }
}

fn zeros(shape: &[usize]) -> Result<Tensor, TensorError> {
    Tensor::splat(&Tensor::scalar(0f32), shape)
}

fn joined(parts: &[Tensor], axis: usize) -> Result<Tensor, TensorError> {
    match parts {
        [one] => Ok(one.clone()),
        parts => Tensor::concat(parts, axis),
    }
}

/// Matrices `[n, hidden]` side by side, as `[1, gates * hidden, n]`.
fn rows(gates: &[Tensor]) -> Result<Tensor, TensorError> {
    let all = joined(gates, 1)?.permute(&[1, 0])?;
    all.reshape(&[1, all.shape()[0], all.shape()[1]])
}

/// The sum of constant rows.
fn sum(rows: &[Tensor], hidden: usize) -> Result<Tensor, TensorError> {
    match rows {
        [] => zeros(&[hidden]),
        [one] => Ok(one.clone()),
        many => {
            let mut sum = vec![0f32; hidden];
            for row in many {
                sum.iter_mut().zip(row.view::<f32>()?.iter()).for_each(|(s, v)| *s += v);
            }
            Ok(Tensor::from_vec(&[hidden], sum))
        }
    }
}
