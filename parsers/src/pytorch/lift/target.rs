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

/// Overloads with names of their own for the tensors that results are written to.
const NAMED_RESULTS: &[(&str, &[&str])] = &[
    ("topk.values", VALUES),
    ("cummax.out", VALUES),
    ("cummin.out", VALUES),
    ("kthvalue.values", VALUES),
    ("median.dim_values", VALUES),
    ("nanmedian.dim_values", VALUES),
    ("mode.values", VALUES),
    ("sort.values", VALUES),
    ("sort.values_stable", VALUES),
    ("max.dim_max", &["max", "max_values"]),
    ("min.dim_min", &["min", "min_indices"]),
    ("aminmax.out", &["min", "max"]),
    ("adaptive_max_pool2d.out", &["out", "indices"]),
    ("adaptive_max_pool3d.out", &["out", "indices"]),
    ("max_pool2d_with_indices.out", &["out", "indices"]),
    ("max_pool3d_with_indices.out", &["out", "indices"]),
    ("frexp.Tensor_out", &["mantissa", "exponent"]),
    ("histogram.bins_tensor_out", &["hist", "bin_edges"]),
    ("histogram.bin_ct_out", &["hist", "bin_edges"]),
    ("slogdet.out", &["sign", "logabsdet"]),
    ("linalg_slogdet.out", &["sign", "logabsdet"]),
    ("linalg_inv_ex.inverse", &["inverse", "info"]),
    ("linalg_cholesky_ex.L", &["L", "info"]),
    ("linalg_eigh.eigvals", &["eigvals", "eigvecs"]),
    ("linalg_qr.out", &["Q", "R"]),
    ("linalg_svd.U", &["U", "S", "Vh"]),
    ("svd.U", &["U", "S", "V"]),
];
const VALUES: &[&str] = &["values", "indices"];

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

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
    /// Takes the arguments that name tensors for results (`out`, `out0`, ..) out of the call.
    ///
    /// # Errors
    /// When one is no tensor.
    pub fn take_out_arguments(&mut self) -> R<Vec<TensorId>> {
        let target = self.call.target.strip_prefix("aten.").unwrap_or_default();
        let names = NAMED_RESULTS.iter().find(|(t, _)| *t == target).map_or(&["out"][..], |(_, names)| names);
        let is_out = |name: &str| names.contains(&name) || name.strip_prefix("out").is_some_and(is_number);
        let all = std::mem::take(&mut self.call.args);
        let (outs, args): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(name, val)| is_out(name) && !matches!(val, super::cx::Val::None));
        self.call.args = args;
        *self.read.borrow_mut() = vec![false; self.call.args.len()];
        let one = |(name, val): (String, super::cx::Val)| match val {
            super::cx::Val::Tensor(id) => Ok(id),
            _ => Err(malformed(format!("argument `{name}` is no tensor"))),
        };
        outs.into_iter().map(one).collect()
    }
    /// Writes results to the tensors that the call names for them.
    ///
    /// # Errors
    /// When there are others, or one must not be written.
    pub fn write_out(&mut self, targets: &[TensorId], out: Out) -> R<Out> {
        let outs = match out {
            Out::Many(outs) if outs.len() == targets.len() => outs,
            one if targets.len() == 1 => vec![one],
            _ => return Err(malformed("the call names other results than the operator gives")),
        };
        let mut same = vec![];
        for (target, out) in targets.iter().zip(outs) {
            let new = match out {
                Out::Fresh(v) => v,
                Out::Same(id) => self.read_tensor(id)?,
                Out::View(of, steps) => {
                    let id = self.new_view(of, steps)?;
                    self.read_tensor(id)?
                }
                _ => return Err(malformed("a result that is no tensor is written to one")),
            };
            let old = self.read_tensor(*target)?;
            let (sizes, now) = (self.dims(new)?, self.dims(old)?);
            if sizes == now || !self.is_whole(*target) {
                self.assign(*target, new)?;
            } else {
                // The tensor takes over the sizes of the result.
                let dtype = self.dtype(old)?;
                let new = self.cast(new, dtype)?;
                self.write_tensor(*target, new)?;
            }
            same.push(Out::Same(*target));
        }
        Ok(if same.len() == 1 { same.remove(0) } else { Out::Many(same) })
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
