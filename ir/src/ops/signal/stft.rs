//! `stft`
use super::fft::{C64, Plan};
use super::{COUNT, complex, not_complex};
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::linear::compute::{Compute, PARALLEL, count, zeros};
use crate::types::{TensorType, Type};
use rayon::prelude::*;

crate::op! {
    /// Short-time Fourier transform of `[batch, length, 1 or 2]` signals: frames of `frame_length` values (default: the window's
    /// length, else all), `frame_step` apart, multiplied by `window`, each transformed as by `dft`. The result is
    /// `[batch, frames, frequencies, 2]`. Computed in double precision.
    stft Stft(signal: One<T1>, frame_step: One<T2>, window: Opt<T1>, frame_length: Opt<T2>) -> (output: One<T1>) {
        /// Whether only the first half of the spectrum of a real signal is given.
        onesided: bool = true,
    } where T1: FLOATS, T2: COUNT;
    infer = infer,
    eval = |op: &Stft, cx| eval(op, &cx);
}

/// The single integer of operand `i`, as far as it is known.
fn integer(cx: &InferCx<'_>, i: usize) -> Option<SymInt> {
    match cx.sym_ints(i)?.as_slice() {
        [n] => n.clone(),
        _ => None,
    }
}

/// Length of a frame.
fn frame(cx: &InferCx<'_>, signal: &Dim) -> Result<Dim, OpError> {
    let window = if cx.has(2) {
        match cx.shape(2)?.map(Vec::as_slice) {
            Some([n]) => Some(n.clone()),
            Some(other) => {
                return Err(OpError::shape(format!("`window` must have one axis, has {}", other.len())));
            }
            None => Some(Dim::Unknown),
        }
    } else {
        None
    };
    let given = cx.has(3).then(|| Dim::from_sym(integer(cx, 3)));
    let n = match (given, window) {
        (Some(n), Some(w)) if n.surely_differs(&w) => {
            return Err(OpError::shape(format!("a window of {w} values for frames of {n}")));
        }
        (Some(Dim::Unknown), Some(w)) => w,
        (Some(n), _) | (None, Some(n)) => n,
        (None, None) => signal.clone(),
    };
    match (n.known(), signal.known()) {
        (Some(0), _) => Err(OpError::shape("frames of length 0")),
        (Some(n), Some(length)) if n > length => {
            Err(OpError::shape(format!("frames of {n} values from a signal of {length}")))
        }
        _ => Ok(n),
    }
}

fn infer(op: &Stft, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let dtype = cx.dtype(0)?;
    let (batch, length) = match cx.shape(0)?.map(Vec::as_slice) {
        None => (Dim::Unknown, Dim::Unknown),
        Some([batch, length, parts]) => {
            match parts.known() {
                Some(2) if op.onesided => {
                    let m = "a one-sided transform needs a real signal (last axis of size 1)";
                    return Err(OpError::shape(m).hint("set `onesided` to 0"));
                }
                None | Some(1 | 2) => {}
                Some(_) => return Err(not_complex()),
            }
            (batch.clone(), length.clone())
        }
        Some(other) => {
            return Err(OpError::shape(format!("`signal` must have three axes, has {}", other.len())));
        }
    };
    let n = frame(cx, &length)?;
    let step = integer(cx, 1);
    if let Some(s) = step.as_ref().and_then(SymInt::as_const).filter(|s| *s < 1) {
        return Err(OpError::attr(format!("`frame_step` must be at least 1, is {s}")));
    }
    let frames = length
        .combine(&n, |length, n| length.sub(n))
        .combine(&Dim::from_sym(step), |rest, step| rest.floor_div(step)?.add(&1.into()));
    let bins =
        if op.onesided { n.combine(&Dim::Known(2), |n, two| n.floor_div(two)?.add(&1.into())) } else { n };
    Ok(vec![TensorType::new(dtype, vec![batch, frames, bins, Dim::Known(2)]).into()])
}

fn eval(op: &Stft, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    if cx.tensor(0)?.dtype() == DType::F64 { compute::<f64>(op, cx) } else { compute::<f32>(op, cx) }
}

fn compute<T: Compute>(op: &Stft, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let [batch, length, parts] = x.shape() else { return Err(not_complex()) };
    let (batch, length, parts) = (*batch, *length, *parts);
    let size = |i: usize| {
        let n = cx.tensor(i)?.as_int().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        n.ok_or_else(|| OpError::operand(format!("operand {i} must be one positive integer")))
    };
    let step = size(1)?;
    let window = cx.opt(2)?.map(|w| w.to_f64s()).transpose()?;
    let n = match (&window, cx.opt(3)?) {
        (_, Some(_)) => size(3)?,
        (Some(w), None) => w.len(),
        (None, None) => length,
    };
    if window.as_ref().is_some_and(|w| w.len() != n) {
        return Err(OpError::shape(format!("the window does not have the {n} values of a frame")));
    }
    let Some(rest) = length.checked_sub(n) else {
        return Err(OpError::shape(format!("frames of {n} values from a signal of {length}")));
    };
    let frames = rest / step + 1;
    let bins = if op.onesided { n / 2 + 1 } else { n };
    let shape = [batch, frames, bins, 2];
    let mut out = zeros::<T>(count(&shape)?)?;
    if out.is_empty() {
        return one(T::tensor(x.dtype(), &shape, out)?);
    }
    let (plan, values) = (Plan::new(n)?, T::read(x)?);
    let each = |(buffer, spare): &mut (Vec<C64>, Vec<C64>), (i, out): (usize, &mut [T])| {
        let start = i / frames * length + i % frames * step;
        buffer.clear();
        buffer.extend((start..start + n).map(|i| complex(&values, i, parts)));
        if let Some(w) = &window {
            for (v, w) in buffer.iter_mut().zip(w) {
                *v *= w;
            }
        }
        plan.forward(buffer, spare);
        for (o, v) in out.chunks_exact_mut(2).zip(buffer) {
            o[0] = T::from_f64(v.re);
            o[1] = T::from_f64(v.im);
        }
    };
    let room = || (Vec::<C64>::with_capacity(n), vec![]);
    if out.len() < PARALLEL {
        let mut room = room();
        out.chunks_exact_mut(2 * bins).enumerate().for_each(|item| each(&mut room, item));
    } else {
        out.par_chunks_exact_mut(2 * bins).enumerate().for_each_init(room, each);
    }
    one(T::tensor(x.dtype(), &shape, out)?)
}
