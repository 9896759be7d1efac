//! `dft`
use super::fft::{C64, Plan};
use super::{COUNT, complex, not_complex};
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, FLOATS, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::OpError;
use crate::ops::linear::compute::{Compute, PARALLEL, count, zeros};
use crate::types::{TensorType, Type};
use rayon::prelude::*;

crate::op! {
    /// Discrete Fourier transform along an axis: `y[k] = sum_n x[n] e^(-2 pi i k n / N)`; with `inverse` the sign is the other one and
    /// the sum is divided by `N`. The last axis holds one number (real) or two (real and imaginary part). `dft_length` is `N`: the axis
    /// is cut to it or filled up with zeros. `onesided` forward gives `N / 2 + 1` values of a real signal; `onesided` inverse takes such
    /// values and gives a real signal, `2 (n - 1)` long unless `dft_length` says. Computed in double precision.
    dft Dft(input: One<T1>, dft_length: Opt<T2>, axis: Opt<T3>) -> (output: One<T1>) {
        /// Whether this is the inverse transform.
        inverse: bool = false,
        /// Whether the half of the spectrum that follows from the other is left out.
        onesided: bool = false,
    } where T1: FLOATS, T2: COUNT, T3: I64_ONLY;
    infer = infer,
    eval = |op: &Dft, cx| eval(op, &cx);
}

/// The axis, from the front.
fn axis_of(axis: i64, rank: usize) -> Result<usize, OpError> {
    let at = resolve_axis(axis, rank)?;
    if at + 1 == rank {
        return Err(OpError::attr("the last axis holds real and imaginary parts and cannot be transformed"));
    }
    Ok(at)
}

impl Dft {
    /// Size of the last axis of the result, after a check of that of the operand.
    fn parts(&self, last: &Dim) -> Result<u64, OpError> {
        match last.known() {
            None | Some(1 | 2) => {}
            Some(_) => return Err(not_complex()),
        }
        match (self.onesided, self.inverse) {
            (true, false) if last.known() == Some(2) => {
                Err(OpError::shape("a one-sided transform needs a real operand (last axis of size 1)"))
            }
            (true, true) if last.known() == Some(1) => Err(OpError::shape(
                "a one-sided inverse transform needs a complex operand (last axis of size 2)",
            )),
            (true, true) => Ok(1),
            _ => Ok(2),
        }
    }
    /// `N`, where the signal's axis has size `size`.
    fn length(&self, cx: &InferCx<'_>, size: &Dim) -> Result<Dim, OpError> {
        if cx.has(1) {
            let given = cx.sym_ints(1).and_then(|v| if let [n] = v.as_slice() { n.clone() } else { None });
            if let Some(n) = given.as_ref().and_then(SymInt::as_const).filter(|n| *n < 1) {
                return Err(OpError::attr(format!("`dft_length` must be at least 1, is {n}")));
            }
            return Ok(Dim::from_sym(given));
        }
        if !(self.onesided && self.inverse) {
            return Ok(size.clone());
        }
        match size.known() {
            Some(0 | 1) => Err(OpError::shape(format!(
                "a one-sided spectrum of {size} values has no length without `dft_length`"
            ))),
            _ => Ok(size.combine(&Dim::Known(2), |n, two| n.sub(&1.into())?.mul(two))),
        }
    }
}

fn infer(op: &Dft, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let dtype = cx.dtype(0)?;
    let Some(shape) = cx.shape(0)? else { return Ok(vec![TensorType::unranked(dtype).into()]) };
    if shape.len() < 2 {
        return Err(OpError::shape(format!(
            "`dft` needs at least two axes, the operand has {}",
            shape.len()
        )));
    }
    let last = shape.len() - 1;
    let mut out = shape.clone();
    out[last] = Dim::Known(op.parts(&shape[last])?);
    let axis = if cx.has(2) { cx.const_int(2) } else { Some(-2) };
    let Some(axis) = axis else {
        // Only a length or a half spectrum changes a size.
        if cx.has(1) || op.onesided {
            out[..last].fill(Dim::Unknown);
        }
        return Ok(vec![TensorType::new(dtype, out).into()]);
    };
    let axis = axis_of(axis, shape.len())?;
    let n = op.length(cx, &shape[axis])?;
    out[axis] = if op.onesided && !op.inverse {
        n.combine(&Dim::Known(2), |n, two| n.floor_div(two)?.add(&1.into()))
    } else {
        n
    };
    Ok(vec![TensorType::new(dtype, out).into()])
}

fn eval(op: &Dft, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    if cx.tensor(0)?.dtype() == DType::F64 { op.compute::<f64>(cx) } else { op.compute::<f32>(cx) }
}

/// Where the lines that are transformed lie in operand and result.
struct Lines {
    /// Size of the axis in the operand.
    size: usize,
    /// Size of the axis in the result.
    kept: usize,
    /// Distance of neighbours on the axis.
    inner: usize,
    /// Sizes of the last axis in operand and result.
    parts: (usize, usize),
}

impl Lines {
    /// Position of element `i` of `line` on an axis of `size`.
    fn at(&self, line: usize, i: usize, size: usize) -> usize {
        (line / self.inner * size + i) * self.inner + line % self.inner
    }
}

impl Dft {
    fn compute<T: Compute>(&self, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let integer = |i: usize| -> Result<Option<i64>, OpError> {
            let Some(t) = cx.opt(i)? else { return Ok(None) };
            t.as_int().map(Some).ok_or_else(|| OpError::operand(format!("operand {i} must be one integer")))
        };
        let axis = axis_of(integer(2)?.unwrap_or(-2), x.rank())?;
        let (size, last) = (x.shape()[axis], x.rank() - 1);
        let real = self.onesided && self.inverse;
        let n = match integer(1)? {
            Some(n) => usize::try_from(n).unwrap_or(0),
            None if real => 2 * size.saturating_sub(1),
            None => size,
        };
        let kept = if self.onesided && !self.inverse { n / 2 + 1 } else { n };
        let parts = (x.shape()[last], if real { 1 } else { 2 });
        let mut shape = x.shape().to_vec();
        (shape[axis], shape[last]) = (kept, parts.1);
        let total = count(&shape)?;
        let mut out = zeros::<T>(total)?;
        if total > 0 {
            let inner = x.shape()[axis + 1..last].iter().product();
            let lines = Lines { size, kept, inner, parts };
            self.transform(&Plan::new(n)?, n, &lines, &T::read(x)?, &mut out);
        }
        one(T::tensor(x.dtype(), &shape, out)?)
    }
    /// Transforms all lines, so many at a time that their spectra take little memory.
    fn transform<T: Compute>(&self, plan: &Plan, n: usize, lines: &Lines, x: &[T], out: &mut [T]) {
        let real = self.onesided && self.inverse;
        let (from, to) = lines.parts;
        let spectrum = |(buffer, spare): &mut (Vec<C64>, Vec<C64>), line: usize| {
            buffer.clear();
            buffer.extend((0..n.min(lines.size)).map(|i| complex(x, lines.at(line, i, lines.size), from)));
            buffer.resize(n, C64::default());
            if real {
                mirror(buffer);
            }
            if self.inverse {
                plan.inverse(buffer, spare);
            } else {
                plan.forward(buffer, spare);
            }
            buffer[..lines.kept].to_vec()
        };
        let all = out.len() / lines.kept / to;
        let group = (16 * PARALLEL).div_ceil(n);
        let room = || (Vec::<C64>::with_capacity(n), vec![]);
        for start in (0..all).step_by(group) {
            let group = start..all.min(start + group);
            let spectra: Vec<Vec<C64>> = if group.len() * n < PARALLEL {
                let mut room = room();
                group.clone().map(|line| spectrum(&mut room, line)).collect()
            } else {
                group.clone().into_par_iter().map_init(room, spectrum).collect()
            };
            for (line, spectrum) in group.zip(spectra) {
                for (k, v) in spectrum.iter().enumerate() {
                    let at = lines.at(line, k, lines.kept) * to;
                    out[at] = T::from_f64(v.re);
                    if to == 2 {
                        out[at + 1] = T::from_f64(v.im);
                    }
                }
            }
        }
    }
}

/// Completes the spectrum of a real signal from its first half. What cannot belong to a real signal is left out, as numpy does.
fn mirror(spectrum: &mut [C64]) {
    let n = spectrum.len();
    spectrum[0].im = 0.0;
    if n.is_multiple_of(2) {
        spectrum[n / 2].im = 0.0;
    }
    for k in 1..n.div_ceil(2) {
        spectrum[n - k] = spectrum[k].conj();
    }
}
