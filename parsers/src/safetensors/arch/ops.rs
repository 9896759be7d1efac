//! Operators by name, and the shapes of transformers' programs: batches and sequences of any size.
use super::blocks::{Net, R, V};
use super::config::Act;
use crate::weights::fit::Wanted;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_ir::types::{TensorType, Type};

/// An axis of an input: a size, or the name of one.
#[derive(Clone, Copy)]
pub(super) enum Axis {
    Size(usize),
    Name(&'static str),
    /// Two named sizes together.
    Sum(&'static str, &'static str),
}

fn broken(e: &TensorError) -> Diag {
    Diag::error("E0206", format!("sizes of the configuration: {e}"))
}

/// Most numbers of a table that is computed from a configuration.
const MOST_NUMBERS: usize = 1 << 24;

impl Net<'_> {
    /// A node with `outputs` results.
    pub fn many(
        &mut self,
        name: &str,
        inputs: &[Option<V>],
        attrs: &[(&str, Attr)],
        outputs: usize,
    ) -> R<Vec<V>> {
        self.append(Op::named(name, attrs)?, inputs, outputs)
    }
    /// A node with one result, some of whose operands may be absent.
    pub fn op_opt(&mut self, name: &str, inputs: &[Option<V>], attrs: &[(&str, Attr)]) -> R<V> {
        let out = self.many(name, inputs, attrs, 1)?;
        out.first().copied().ok_or_else(|| Diag::error("E0901", format!("`{name}` has no result")))
    }
    /// A node with one result.
    pub fn op(&mut self, name: &str, inputs: &[V], attrs: &[(&str, Attr)]) -> R<V> {
        let inputs: Vec<Option<V>> = inputs.iter().map(|v| Some(*v)).collect();
        self.op_opt(name, &inputs, attrs)
    }
    /// A node without attributes.
    pub fn of(&mut self, name: &str, inputs: &[V]) -> R<V> {
        self.op(name, inputs, &[])
    }
    /// Says which module the next nodes belong to.
    pub fn at(&mut self, module: &str) {
        module.clone_into(&mut self.module);
    }

    /// An input of type `dtype`; `None` is that of the weights.
    pub fn input_of(&mut self, name: &str, dtype: Option<DType>, axes: &[Axis]) -> V {
        let dim = |a: &Axis| match a {
            Axis::Size(n) => Dim::from(*n as u64),
            Axis::Name(n) => Dim::symbol(n),
            Axis::Sum(a, b) => Dim::symbol(a).combine(&Dim::symbol(b), SymInt::add),
        };
        let ty =
            TensorType { dtype: dtype.unwrap_or(self.dtype), shape: Some(axes.iter().map(dim).collect()) };
        self.graph.add_input(name, ty.into())
    }
    /// An input that a model can do without: there when it is asked for, or where nothing is asked for and it is `usual`.
    pub fn optional_input(
        &mut self,
        name: &str,
        usual: bool,
        dtype: Option<DType>,
        axes: &[Axis],
    ) -> Option<V> {
        let wanted = if self.asked.is_empty() { usual } else { self.asked.iter().any(|n| n == name) };
        wanted.then(|| self.input_of(name, dtype, axes))
    }
    /// Names of the inputs.
    pub fn input_names(&self) -> Vec<String> {
        self.graph.inputs().iter().map(|v| self.graph.value_label(*v)).collect()
    }
    /// Number of axes of a value.
    pub fn rank(&self, x: V) -> usize {
        self.graph.ty(x).as_tensor().and_then(|t| t.shape.as_ref()).map_or(0, |s| s.len())
    }
    /// Element type of a value.
    pub fn dtype_of(&self, x: V) -> DType {
        self.graph.ty(x).as_tensor().map_or(self.dtype, |t| t.dtype)
    }
    /// The shape of a value as far as it is known.
    pub fn dims(&self, x: V) -> Vec<Dim> {
        let Type::Tensor(t) = self.graph.ty(x) else { return vec![] };
        t.shape.clone().unwrap_or_default()
    }

    /// A number of the weights' type.
    pub fn num(&mut self, value: f64) -> R<V> {
        let t = Tensor::scalar(value).cast(self.dtype, false).map_err(|e| broken(&e))?;
        Ok(self.graph.add_const(t))
    }
    /// Whether a table of `rows * columns` numbers that the configuration asks for may be computed.
    ///
    /// # Errors
    /// When it is larger than any model's.
    pub fn room(rows: usize, columns: usize) -> R<()> {
        match rows.checked_mul(columns) {
            Some(n) if n <= MOST_NUMBERS => Ok(()),
            _ => Err(Diag::error(
                "E0205",
                format!("config.json asks for a table of {rows} x {columns} numbers"),
            )),
        }
    }
    /// Integers.
    pub fn ints(&mut self, values: &[i64]) -> V {
        self.graph.add_const(Tensor::from_ints(values))
    }
    /// One integer.
    pub fn int(&mut self, value: i64) -> V {
        self.graph.add_const(Tensor::scalar(value))
    }
    /// Numbers in 32 bits.
    pub fn floats(&mut self, shape: &[usize], values: Vec<f32>) -> V {
        self.graph.add_const(Tensor::from_vec(shape, values))
    }

    /// The weight `name`, declared once, with its axes in another order.
    pub fn weight_in(&mut self, name: &str, shape: &[usize], order: Option<&[usize]>) -> R<V> {
        let name = self.resolved(name);
        let key = (name.clone(), order.map(<[usize]>::to_vec));
        if let Some((known, v, _)) = self.declared.get(&key).and_then(|i| self.wanted.get(*i)) {
            if known.shape == shape {
                return Ok(*v);
            }
            return Err(Diag::error("E0206", format!("tensor `{name}` is used with two shapes")));
        }
        let zero = Tensor::scalar(0.0_f32).cast(self.dtype, false).map_err(|e| broken(&e))?;
        let t = Tensor::splat(&zero, shape).map_err(|e| broken(&e))?;
        let t = order.map_or(Ok(t.clone()), |o| t.permute(o)).map_err(|e| broken(&e))?;
        let v = self.graph.add_const(t);
        self.graph.set_name(v, Some(name.as_str().into()));
        let wanted = Wanted { name, dtype: self.dtype, shape: shape.to_vec(), tied: vec![] };
        self.declared.insert(key, self.wanted.len());
        self.wanted.push((wanted, v, order.map(<[usize]>::to_vec)));
        Ok(v)
    }
    /// The weight `name`.
    pub fn param(&mut self, name: &str, shape: &[usize]) -> R<V> {
        self.weight_in(name, shape, None)
    }
    /// Whether the file has the weight `name`.
    pub fn has(&self, name: &str) -> bool {
        self.weights.tensors.contains_key(&self.resolved(name))
    }
    /// The name under which the file has the weight `name`: models with a task put the name of the model without one before all of its weights, and old
    /// files call the weights of normalizations otherwise.
    pub fn resolved(&self, name: &str) -> String {
        let there = |n: &str| self.weights.tensors.contains_key(n);
        let bare = name.strip_prefix(self.base).unwrap_or(name);
        let with_base = format!("{}{name}", self.base);
        for n in [name, bare, &with_base] {
            if there(n) {
                return n.to_owned();
            }
            for (new, old) in [
                (".weight", ".gamma"),
                (".bias", ".beta"),
                ("parametrizations.weight.original0", "weight_g"),
                ("parametrizations.weight.original1", "weight_v"),
            ] {
                let older = n.strip_suffix(new).map(|stem| format!("{stem}{old}"));
                if let Some(older) = older.filter(|o| there(o)) {
                    return older;
                }
            }
        }
        name.to_owned()
    }

    /// `torch.nn.Linear` called `name` on the last axis.
    pub fn dense(&mut self, name: &str, x: V, sizes: (usize, usize), bias: bool) -> R<V> {
        self.at(name);
        let (inner, outer) = sizes;
        let weight = format!("{name}.weight");
        let b = if bias { Some(self.param(&format!("{name}.bias"), &[outer])?) } else { None };
        if self.rank(x) == 2 {
            let w = self.param(&weight, &[outer, inner])?;
            return self.op_opt("gemm", &[Some(x), Some(w), b], &[("trans_b", Attr::Bool(true))]);
        }
        if self.stored {
            let w = self.param(&weight, &[outer, inner])?;
            return self.rows_product(x, w, b, (inner, outer));
        }
        let w = self.weight_in(&weight, &[outer, inner], Some(&[1, 0]))?;
        self.product(x, w, b)
    }
    /// `x w^T + b`, all rows of `x` as those of one matrix.
    fn rows_product(&mut self, x: V, w: V, b: Option<V>, (inner, outer): (usize, usize)) -> R<V> {
        let rank = self.rank(x) as i64;
        let flat = self.reshape(x, &[-1, inner as i64])?;
        let y = self.op_opt("gemm", &[Some(flat), Some(w), b], &[("trans_b", Attr::Bool(true))])?;
        let rows = self.op("shape", &[x], &[("start", Attr::Int(0)), ("end", Attr::Int(rank - 1))])?;
        let own = self.ints(&[outer as i64]);
        let sizes = self.concat(&[rows, own], 0)?;
        self.of("reshape", &[y, sizes])
    }
    /// `x w + b` with a weight of this order.
    pub fn product(&mut self, x: V, w: V, b: Option<V>) -> R<V> {
        let y = self.of("mat_mul", &[x, w])?;
        match b {
            Some(b) => self.of("add", &[y, b]),
            None => Ok(y),
        }
    }
    /// `torch.nn.LayerNorm` called `name` over the last axis.
    pub fn layer_norm(&mut self, name: &str, x: V, size: usize, eps: f64) -> R<V> {
        self.layer_norm_with(name, x, size, eps, true)
    }
    /// The same, perhaps without a bias.
    pub fn layer_norm_with(&mut self, name: &str, x: V, size: usize, eps: f64, bias: bool) -> R<V> {
        self.at(name);
        let w = self.param(&format!("{name}.weight"), &[size])?;
        let b = if bias { Some(self.param(&format!("{name}.bias"), &[size])?) } else { None };
        let attrs = [("epsilon", Attr::Float(eps as f32))];
        self.op_opt("layer_normalization", &[Some(x), Some(w), b], &attrs)
    }
    /// `x / sqrt(mean(x^2) + eps) * w` over the last axis; with `plus_one`, by `1 + w`.
    pub fn rms_norm(&mut self, name: &str, x: V, size: usize, eps: f64, plus_one: bool) -> R<V> {
        self.at(name);
        let mut w = self.param(&format!("{name}.weight"), &[size])?;
        if plus_one {
            let one = self.num(1.0)?;
            w = self.of("add", &[w, one])?;
        }
        self.op("rms_normalization", &[x, w], &[("epsilon", Attr::Float(eps as f32))])
    }
    /// Rows of the table `name` at the indices `ids`.
    pub fn embedding(&mut self, name: &str, ids: V, sizes: (usize, usize)) -> R<V> {
        self.at(name);
        let table = self.param(&format!("{name}.weight"), &[sizes.0, sizes.1])?;
        self.op("gather", &[table, ids], &[("axis", Attr::Int(0))])
    }
    /// An activation.
    pub fn act(&mut self, act: Act, x: V) -> R<V> {
        match act {
            Act::Identity => Ok(x),
            Act::Relu => self.of("relu", &[x]),
            Act::Relu6 => self.relu6(x),
            Act::ReluSquared => {
                let y = self.of("relu", &[x])?;
                self.of("mul", &[y, y])
            }
            Act::Gelu => self.of("gelu", &[x]),
            Act::GeluTanh => self.op("gelu", &[x], &[("approximate", Attr::Str("tanh".into()))]),
            Act::QuickGelu => {
                let c = self.num(1.702)?;
                let y = self.of("mul", &[x, c])?;
                let y = self.of("sigmoid", &[y])?;
                self.of("mul", &[x, y])
            }
            Act::Silu => {
                let y = self.of("sigmoid", &[x])?;
                self.of("mul", &[x, y])
            }
            Act::Tanh => self.of("tanh", &[x]),
            Act::Sigmoid => self.of("sigmoid", &[x]),
            Act::Mish => self.of("mish", &[x]),
            Act::LeakyRelu => self.op("leaky_relu", &[x], &[("alpha", Attr::Float(0.01))]),
            Act::HardSwish => self.of("hard_swish", &[x]),
        }
    }

    /// Other sizes; 0 keeps that of the same place, -1 is what remains.
    pub fn reshape(&mut self, x: V, sizes: &[i64]) -> R<V> {
        let sizes = self.ints(sizes);
        self.of("reshape", &[x, sizes])
    }
    /// Other orders of axes.
    pub fn transpose(&mut self, x: V, order: &[i64]) -> R<V> {
        self.op("transpose", &[x], &[("perm", Attr::Ints(order.to_vec()))])
    }
    /// Further axes of size 1.
    pub fn unsqueeze(&mut self, x: V, axes: &[i64]) -> R<V> {
        let axes = self.ints(axes);
        self.of("unsqueeze", &[x, axes])
    }
    /// Fewer axes of size 1.
    pub fn squeeze(&mut self, x: V, axes: &[i64]) -> R<V> {
        let axes = self.ints(axes);
        self.of("squeeze", &[x, axes])
    }
    /// Values side by side.
    pub fn concat(&mut self, parts: &[V], axis: i64) -> R<V> {
        self.op("concat", parts, &[("axis", Attr::Int(axis))])
    }
    /// Elements `start..end` along `axis`; negative ones count from the end.
    pub fn slice(&mut self, x: V, axis: i64, start: i64, end: i64) -> R<V> {
        let (start, end, axis) = (self.ints(&[start]), self.ints(&[end]), self.ints(&[axis]));
        self.of("slice", &[x, start, end, axis])
    }
    /// Parts of these sizes along the last axis.
    pub fn split(&mut self, x: V, sizes: &[usize]) -> R<Vec<V>> {
        let mut at = 0;
        let part = |n: &usize| {
            at += *n as i64;
            self.slice(x, -1, at - *n as i64, at)
        };
        sizes.iter().map(part).collect()
    }
    /// Another element type.
    pub fn cast(&mut self, x: V, dtype: DType) -> R<V> {
        if self.dtype_of(x) == dtype {
            return Ok(x);
        }
        self.op("cast", &[x], &[("to", Attr::DType(dtype))])
    }
    /// Size of axis `axis`, as a list of one.
    pub fn size_of(&mut self, x: V, axis: i64) -> R<V> {
        self.op("shape", &[x], &[("start", Attr::Int(axis)), ("end", Attr::Int(axis + 1))])
    }
    /// `x` times a number.
    pub fn scaled(&mut self, x: V, factor: f64) -> R<V> {
        if factor == 1.0 {
            return Ok(x);
        }
        let f = self.num(factor)?;
        self.of("mul", &[x, f])
    }
    /// Probabilities along an axis.
    pub fn softmax(&mut self, x: V, axis: i64) -> R<V> {
        self.op("softmax", &[x], &[("axis", Attr::Int(axis))])
    }
    /// Mean over axes.
    pub fn mean(&mut self, x: V, axes: &[i64], keep: bool) -> R<V> {
        let axes = self.ints(axes);
        self.op("reduce_mean", &[x, axes], &[("keepdims", Attr::Bool(keep))])
    }
    /// Two layers with an activation between them.
    pub fn mlp(&mut self, names: (&str, &str), x: V, sizes: (usize, usize), act: Act, bias: bool) -> R<V> {
        let y = self.dense(names.0, x, sizes, bias)?;
        let y = self.act(act, y)?;
        self.dense(names.1, y, (sizes.1, sizes.0), bias)
    }
}
