//! What a name of an operator stands for.
use super::alias::TensorId;
use super::aten;
use super::cx::{Cx, Out, R, malformed};

/// Operators that check something at run time and compute nothing.
const DROPPED: &[&str] = &[
    "_assert_tensor_metadata",
    "_assert_scalar",
    "_assert_async",
    "_functional_assert_async",
    "sym_constrain_range",
    "sym_constrain_range_for_size",
];

/// In-place operators that change how a tensor is seen, not its elements.
const VIEW_IN_PLACE: &[&str] = &[
    "detach_",
    "lift_",
    "squeeze_",
    "unsqueeze_",
    "t_",
    "transpose_",
    "swapaxes_",
    "swapdims_",
    "resize_as_",
];

/// How an operator is lifted.
#[derive(Clone, Copy, Debug)]
pub enum Operator {
    /// By the function of the table; whether it writes to its first argument.
    Lifted(aten::Lift, bool),
    /// Not at all: it checks something and computes nothing.
    Dropped,
}

/// The operator `name` of a library, without overload: `conv2d`, or `quantized_decomposed.quantize_per_tensor` where it is not of
/// `ATen`. `None` when it is not covered.
pub fn find(name: &str) -> Option<Operator> {
    if DROPPED.contains(&name) {
        return Some(Operator::Dropped);
    }
    if let Some(f) = aten::find(name) {
        return Some(Operator::Lifted(f, false));
    }
    // `add_` is `add` in place; `__and__` is no such form.
    let pure = name.strip_suffix('_').filter(|p| !p.ends_with('_'))?;
    aten::find(pure).map(|f| Operator::Lifted(f, !VIEW_IN_PLACE.contains(&name)))
}

impl Cx {
    /// The result of an in-place operator: its first argument, after the write of `out`.
    ///
    /// # Errors
    /// When `out` is no tensor, or the argument must not be written.
    pub fn write_back(&mut self, out: &Out) -> R<Out> {
        let target = self.tensor_id("self").or_else(|_| self.tensor_id("input"))?;
        let new = match out {
            Out::Fresh(v) => *v,
            Out::Same(id) if *id == target => return Ok(Out::Same(target)),
            Out::Same(id) => self.read_tensor(*id)?,
            _ => return Err(malformed("an in-place operator must give one tensor")),
        };
        self.assign(target, new)?;
        Ok(Out::Same(target))
    }
    /// Writes `new` to tensor `target`, converted to its type and repeated to its sizes.
    ///
    /// # Errors
    /// When the tensor must not be written.
    pub fn assign(&mut self, target: TensorId, new: super::cx::V) -> R<()> {
        let old = self.read_tensor(target)?;
        let dtype = self.dtype(old)?;
        let new = self.cast(new, dtype)?;
        let new = if self.dims(new)? == self.dims(old)? { new } else { self.expand_like(new, old)? };
        self.write_tensor(target, new)
    }
}
