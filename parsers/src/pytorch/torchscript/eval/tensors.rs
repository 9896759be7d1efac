//! What a program asks about tensors, and tensors made of values.
use super::Eval;
use super::ops::dtype_code;
use crate::pytorch::lift::alias::{Owner, TensorId};
use crate::pytorch::lift::cx::{R, Size, V};
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::value::Value;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

type Named = Vec<(Box<str>, Value)>;

/// Most elements of a tensor that the program spells out.
const MAX_LITERAL: usize = 1 << 20;

impl Eval<'_> {
    /// Operators that ask about tensors or make them of values; nothing for others.
    pub(super) fn tensor_op(
        &mut self,
        name: &str,
        args: &[Value],
        named: &Named,
        at: Pos,
    ) -> R<Option<Value>> {
        if let Some(v) = self.free_op(name, args, named, at)? {
            return Ok(Some(v));
        }
        let Some(first @ (Value::Tensor(_) | Value::Weight(_))) = args.first() else { return Ok(None) };
        if let Some(flag) = flag(name) {
            return Ok(Some(Value::Bool(flag)));
        }
        let id = self.tensor_of(first, at)?;
        let v = self.cx.read_tensor(id)?;
        if let Some(v) = self.rewritten(name, args, named, (id, v), at)? {
            return Ok(Some(v));
        }
        Ok(Some(match (name, args.get(1)) {
            ("dim" | "ndimension" | "ndim", None) => self.rank_of(v)?,
            ("size" | "sym_size" | "shape", None) => {
                if self.cx.graph.ty(v).as_tensor().is_some_and(|t| t.shape.is_none()) {
                    return self.refuse(at, "the sizes of a tensor of unknown rank").map(Some);
                }
                let sizes = self.cx.shape_of(v)?.into_iter().map(|s| self.folded(Value::Int(s))).collect();
                self.heap.list(sizes)
            }
            ("size" | "sym_size", Some(Value::Int(Size::Known(d)))) => {
                let rank = self.cx.rank(v)?;
                if rank == 0 || !(-(rank as i64)..rank as i64).contains(d) {
                    return self.raise(at, format!("IndexError: dimension {d} of a tensor of rank {rank}"));
                }
                let axis = crate::pytorch::lift::emit::wrap(*d, rank)?;
                let size = self.cx.dim(v, axis)?;
                self.folded(Value::Int(size))
            }
            ("len", None) => {
                if self.cx.graph.ty(v).as_tensor().is_some_and(|t| t.shape.is_none()) {
                    Value::Int(Size::Value(self.cx.with(
                        "shape",
                        &[v],
                        &[("start", Attr::Int(0)), ("end", Attr::Int(1))],
                    )?))
                } else if self.cx.rank(v)? == 0 {
                    return self.raise(at, "TypeError: len() of a 0-d tensor".into());
                } else {
                    let size = self.cx.dim(v, 0)?;
                    self.folded(Value::Int(size))
                }
            }
            ("numel", None) => {
                let sizes = self.cx.shape_of(v)?;
                let n = self.cx.size_product(&sizes)?;
                self.folded(Value::Int(n))
            }
            ("dtype", None) => match dtype_code(self.cx.dtype(v)?) {
                Some(code) => Value::int(code),
                None => return self.refuse(at, "this element type"),
            },
            ("device", None) => Value::Device("cpu".into()),
            ("layout", None) => Value::int(0),
            // With gradients, modules take the way that is spelled out in operators, not that of one fused kernel.
            ("requires_grad", None) => Value::Bool(matches!(first, Value::Weight(_))),
            ("is_floating_point", None) => Value::Bool(self.cx.dtype(v)?.is_float()),
            ("is_complex", None) => Value::Bool(self.cx.dtype(v)?.is_complex()),
            ("itemsize" | "element_size", None) => Value::int(self.cx.dtype(v)?.bits().div_ceil(8) as i64),
            ("T", None) => return self.lifted("numpy_T", args.to_vec(), vec![], at).map(Some),
            ("mT" | "mH" | "H", None) => {
                return self
                    .lifted(if name == "H" { "matrix_H" } else { name }, args.to_vec(), vec![], at)
                    .map(Some);
            }
            ("grad" | "name" | "grad_fn", None) => Value::None,
            ("tolist", _) => {
                match self.constant_of(v).and_then(|t| Some((t.shape().to_vec(), t.to_i64s().ok()?))) {
                    Some((shape, items)) if shape.len() == 1 => {
                        let items = items.into_iter().map(Value::int).collect();
                        self.heap.list(items)
                    }
                    _ => return self.refuse(at, "`tolist` of a computed tensor"),
                }
            }
            _ => return Ok(None),
        }))
    }
    /// Operators on tensors that are lifted in another form; nothing for others.
    fn rewritten(
        &mut self,
        name: &str,
        args: &[Value],
        named: &Named,
        (id, v): (TensorId, V),
        at: Pos,
    ) -> R<Option<Value>> {
        match (name, args.get(1)) {
            ("squeeze" | "squeeze_copy", _) => self.squeeze_unknown(v, id, args, at),
            ("tensor_split", Some(at_positions @ (Value::Tensor(_) | Value::Weight(_)))) => {
                self.split_at_known(args, at_positions, at)
            }
            ("_convolution_mode", _) => {
                // The rank of the weight tells which convolution it is; its overload with a text for the padding is meant.
                let weight = self.tensor_of(args.get(1).unwrap_or(&Value::None), at)?;
                let weight = self.cx.read_tensor(weight)?;
                let name = format!("conv{}d", self.cx.rank(weight)?.saturating_sub(2));
                self.lifted(&name, args.to_vec(), named.clone(), at).map(Some)
            }
            ("slice", _) => self.slice_by_computed_step(v, args, at),
            _ => Ok(None),
        }
    }
    /// Operators that need no tensor.
    fn free_op(&mut self, name: &str, args: &[Value], named: &Named, at: Pos) -> R<Option<Value>> {
        Ok(Some(match (name, args) {
            ("NumToTensor", [v]) => Value::Tensor(self.number_tensor(v, at)?),
            ("tensor" | "as_tensor" | "_tensor_to_list", [v, rest @ ..])
                if !matches!(v, Value::Tensor(_) | Value::Weight(_)) =>
            {
                let dtype = named.iter().find(|(n, _)| &**n == "dtype").map(|(_, v)| v).or(rest.first());
                let made = self.literal(v, at)?;
                match dtype {
                    Some(Value::Int(_)) => {
                        self.lifted("to", vec![made, dtype.cloned().unwrap_or(Value::None)], vec![], at)?
                    }
                    _ => made,
                }
            }
            ("tensor" | "as_tensor", [v @ (Value::Tensor(_) | Value::Weight(_)), ..]) => {
                let dtype = named.iter().find(|(n, _)| &**n == "dtype").map(|(_, v)| v.clone());
                match dtype {
                    Some(dtype @ Value::Int(_)) => self.lifted("to", vec![v.clone(), dtype], vec![], at)?,
                    _ => v.clone(),
                }
            }
            ("device", [Value::Str(s), ..]) => Value::Device(s.clone()),
            (
                "warn" | "Print" | "set_grad_enabled" | "manual_seed" | "_assert" | "TimePoint" | "backward",
                _,
            ) => Value::None,
            ("is_grad_enabled" | "is_autocast_enabled" | "is_scripting" | "is_tracing", _) => {
                Value::Bool(matches!(name, "is_scripting" | "is_grad_enabled"))
            }
            ("get_default_dtype", _) => Value::int(6),
            ("TupleConstruct", items) => Value::tuple(items.to_vec()),
            ("ListConstruct", items) => self.heap.list(items.to_vec()),
            ("type" | "index", [Value::Device(d)]) => {
                let (kind, index) = d.split_once(':').unwrap_or((d, ""));
                if name == "type" { Value::text(kind) } else { index.parse().map_or(Value::None, Value::int) }
            }
            _ => return Ok(None),
        }))
    }
    fn rank_of(&mut self, v: V) -> R<Value> {
        if let Ok(rank) = self.cx.rank(v) {
            return Ok(Value::int(rank as i64));
        }
        let shape = self.cx.u("shape", v)?;
        let rank = self.cx.u("size", shape)?;
        Ok(Value::Int(Size::Value(self.cx.unsqueeze(rank, &[0])?)))
    }
    /// `squeeze` where a size is not known; nothing when all are. An axis that is named is taken to be of size 1, which the operator
    /// checks at run time.
    fn squeeze_unknown(&mut self, v: V, id: TensorId, args: &[Value], at: Pos) -> R<Option<Value>> {
        let rank = self.cx.rank(v)?;
        let unknown = |cx: &crate::pytorch::lift::cx::Cx, i: usize| cx.known(v, i).is_none();
        let dims: Vec<i64> = match args.get(1) {
            None => (0..rank as i64).collect(),
            Some(Value::Int(Size::Known(d))) => vec![*d],
            Some(list) => {
                let items = self.heap.elements(list).unwrap_or_default();
                items
                    .iter()
                    .filter_map(|v| if let Value::Int(Size::Known(d)) = v { Some(*d) } else { None })
                    .collect()
            }
        };
        let mut axes = vec![];
        let mut open = false;
        for d in dims {
            let axis = crate::pytorch::lift::emit::wrap(d, rank)?;
            open |= axis < rank && unknown(&self.cx, axis);
            if axis < rank && self.cx.known(v, axis).is_none_or(|n| n == 1) {
                axes.push(axis as i64);
            }
        }
        if !open {
            return Ok(None);
        }
        if args.len() < 2 {
            return self.refuse(at, "`squeeze` of all axes where a size is not known");
        }
        axes.sort_unstable();
        axes.dedup();
        let view = self.cx.new_view(id, vec![crate::pytorch::lift::alias::Step::Squeeze(axes)])?;
        Ok(Some(Value::Tensor(view)))
    }
    /// `tensor_split` at positions that a tensor holds; nothing when they are computed.
    fn split_at_known(&mut self, args: &[Value], positions: &Value, at: Pos) -> R<Option<Value>> {
        let id = self.tensor_of(positions, at)?;
        let v = self.cx.read_tensor(id)?;
        let Some(t) = self.constant_of(v) else { return Ok(None) };
        let Ok(known) = t.to_i64s() else { return Ok(None) };
        let known: Vec<Value> = known.into_iter().map(Value::int).collect();
        let second = match (t.rank(), known.first()) {
            (0, Some(one)) => one.clone(),
            _ => self.heap.list(known),
        };
        let mut args = args.to_vec();
        args[1] = second;
        self.lifted("tensor_split", args, vec![], at).map(Some)
    }
    /// A slice whose step is computed; nothing when it is known.
    fn slice_by_computed_step(&mut self, v: V, args: &[Value], at: Pos) -> R<Option<Value>> {
        let Some(Value::Int(step)) = args.get(4).map(|v| self.folded(v.clone())) else { return Ok(None) };
        let Size::Value(step) = step else { return Ok(None) };
        let Some(Value::Int(Size::Known(axis))) = args.get(1) else {
            return self.refuse(at, "a slice along a computed axis");
        };
        let axis = crate::pytorch::lift::emit::wrap(*axis, self.cx.rank(v)?)? as i64;
        let bound = |eval: &mut Self, v: Option<&Value>, missing: i64| match v {
            Some(Value::Int(s)) => eval.cx.size_value(s),
            _ => eval.cx.int_list(&[missing]),
        };
        let (start, end) = (bound(self, args.get(2), 0), bound(self, args.get(3), i64::MAX));
        let axes = self.cx.int_list(&[axis]);
        let part = self.cx.op("slice", &[v, start, end, axes, step])?;
        let id = self.cx.new_tensor(part, Owner::Local);
        // It shares its storage with what it is a slice of, in a way that is not followed.
        self.cx.mark_doubtful(id);
        if let Some(of) = args.first() {
            let of = self.tensor_of(of, at)?;
            self.cx.mark_doubtful(of);
        }
        Ok(Some(Value::Tensor(id)))
    }
    /// A number as a 0-d tensor.
    pub(super) fn number_tensor(&mut self, v: &Value, at: Pos) -> R<TensorId> {
        let ir = match v {
            Value::Tensor(id) => return Ok(*id),
            Value::Weight(_) => return self.tensor_of(v, at),
            Value::Int(s) => self.cx.size_scalar(s)?,
            Value::Float(f) => self.cx.num_of(DType::F32, *f)?,
            Value::Bool(b) => self.truth_value(*b),
            Value::BoolV(v) => *v,
            Value::FloatV(v) => self.cx.cast(*v, DType::F32)?,
            other => return self.refuse(at, format!("{} as a tensor", other.kind())),
        };
        Ok(self.cx.new_tensor(ir, Owner::Local))
    }
    /// Nested lists of numbers as a tensor.
    fn literal(&mut self, v: &Value, at: Pos) -> R<Value> {
        let Some(items) = self.heap.elements(v).map(<[Value]>::to_vec) else {
            return Ok(Value::Tensor(self.number_tensor(v, at)?));
        };
        let items: Vec<Value> = items.into_iter().map(|v| self.folded(v)).collect();
        if let Some(t) = self.known_literal(v, &items) {
            let c = self.cx.constant(t);
            return Ok(Value::Tensor(self.cx.new_tensor(c, Owner::Local)));
        }
        let floats = items.iter().any(|v| matches!(v, Value::Float(_) | Value::FloatV(_)));
        let mut parts = vec![];
        for item in &items {
            let item = if floats && matches!(item, Value::Int(_)) {
                self.make_float(item, at)?
            } else {
                item.clone()
            };
            parts.push(self.literal(&item, at)?);
        }
        let list = self.heap.list(parts);
        self.operator("aten::stack", vec![list], vec![], at)
    }
    fn known_literal(&self, whole: &Value, items: &[Value]) -> Option<Tensor> {
        let mut flat = vec![];
        let mut sizes = vec![items.len()];
        if items.iter().any(|v| self.heap.elements(v).is_some()) {
            sizes = vec![];
            self.flatten(whole, 0, &mut sizes, &mut flat)?;
        } else {
            flat.extend(items.iter().cloned());
        }
        if let Some(bools) = flat
            .iter()
            .map(|v| if let Value::Bool(b) = v { Some(*b) } else { None })
            .collect::<Option<Vec<_>>>()
            && !bools.is_empty()
        {
            return Some(Tensor::from_bools(&sizes, bools));
        }
        let ints: Option<Vec<i64>> =
            flat.iter().map(|v| if let Value::Int(Size::Known(i)) = v { Some(*i) } else { None }).collect();
        if let Some(ints) = ints.filter(|l| !l.is_empty()) {
            return Some(Tensor::from_vec(&sizes, ints));
        }
        let floats: Vec<f32> = flat
            .iter()
            .map(|v| match v {
                Value::Float(f) => Some(*f as f32),
                Value::Int(Size::Known(i)) => Some(*i as f32),
                _ => None,
            })
            .collect::<Option<_>>()?;
        Some(Tensor::from_vec(&sizes, floats))
    }
    fn flatten(&self, v: &Value, depth: usize, sizes: &mut Vec<usize>, out: &mut Vec<Value>) -> Option<()> {
        if out.len() > MAX_LITERAL || depth > 16 {
            return None;
        }
        let Some(items) = self.heap.elements(v) else {
            out.push(v.clone());
            return (depth == sizes.len()).then_some(());
        };
        match sizes.get(depth) {
            Some(n) if *n != items.len() => return None,
            Some(_) => {}
            None if out.is_empty() => sizes.push(items.len()),
            None => return None,
        }
        items.iter().try_for_each(|v| self.flatten(v, depth + 1, sizes, out))
    }
}

/// Truth values that all tensors have in common at conversion time.
fn flag(name: &str) -> Option<bool> {
    match name {
        "is_cpu" | "is_contiguous" => Some(true),
        "is_cuda" | "is_sparse" | "is_quantized" | "is_mkldnn" | "is_meta" | "is_mps" | "is_xpu"
        | "is_xla" | "is_vulkan" | "is_ipu" | "is_nested" | "is_leaf" | "is_inference" | "is_conj"
        | "is_neg" => Some(false),
        _ => None,
    }
}
