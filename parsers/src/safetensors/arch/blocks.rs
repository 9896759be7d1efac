//! What architectures are made of: declared weights, and layers as PyTorch defines them.

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin, OriginPart, ValueId};
use hoist_ir::model::Model;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::activation::Relu;
use hoist_ir::ops::elementwise::arithmetic::Add;
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::flatten::Flatten;
use hoist_ir::ops::norm::batch_normalization::BatchNormalization;
use hoist_ir::ops::spatial::average_pool::AveragePool;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::global_pool::GlobalAveragePool;
use hoist_ir::ops::spatial::max_pool::MaxPool;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

use super::below::Wants;
use crate::weights::Weights;
use crate::weights::fit::{Wanted, fit};
use std::collections::HashMap;

/// Most operators of a program: several times those of the largest models.
const MOST_NODES: usize = 1 << 18;

/// What building gives.
pub(super) type R<T> = Result<T, Diag>;

/// A value of the program.
pub(super) type V = ValueId;

/// A program under construction.
pub(super) struct Net<'w> {
    pub(super) graph: Graph,
    pub(super) weights: &'w Weights,
    pub(super) dtype: DType,
    /// Weights that were declared, and the constants that stand for them; these may have other orders of axes.
    pub(super) wanted: Vec<(Wanted, V, Option<Vec<usize>>)>,
    /// Where each is, by name and order.
    pub(super) declared: HashMap<(String, Option<Vec<usize>>), usize>,
    nodes: usize,
    /// What the names of the model's weights begin with, where it has a head.
    pub(super) base: &'static str,
    /// Module that is being built, for the origins of nodes.
    pub(super) module: String,
    /// What is asked of the model.
    pub(super) wants: Wants,
    /// What of that the family looked at.
    pub(super) built: Wants,
    /// Whether linear layers take their weights as they are stored.
    pub(super) stored: bool,
    /// Names of the inputs that are wanted; empty for the usual ones.
    pub(super) asked: Vec<String>,
    /// Outputs that come before the others.
    first: Vec<(String, V)>,
    rest: Vec<(String, V)>,
}

/// A 2-d convolution.
#[derive(Clone, Copy)]
pub(super) struct Conv2d {
    /// Channels in and out.
    pub channels: (usize, usize),
    /// Extent of the window.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Number of groups.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv2d {
    /// A convolution of step 1 without padding, groups and bias.
    pub fn new(channels: (usize, usize), kernel: usize) -> Self {
        Self { channels, kernel, stride: 1, padding: 0, groups: 1, bias: false }
    }
}

impl<'w> Net<'w> {
    /// A program that computes in the floating-point type of the weights.
    pub fn new(name: &str, weights: &'w Weights) -> R<Self> {
        let mut types: Vec<DType> =
            weights.tensors.values().map(Tensor::dtype).filter(|d| d.is_float()).collect();
        types.sort_unstable();
        types.dedup();
        let dtype = match types[..] {
            [] => DType::F32,
            [dtype @ (DType::F32 | DType::F64 | DType::F16 | DType::BF16)] => dtype,
            _ => {
                let names: Vec<&str> = types.iter().map(|d| d.name()).collect();
                let m = format!(
                    "the weights are of type {}; an architecture by name needs one of f32, f64, f16 and bf16",
                    names.join(" and ")
                );
                return Err(Diag::error("E0206", m));
            }
        };
        Ok(Self::of_type(name, weights, dtype))
    }

    /// A program that computes in `dtype`.
    pub fn of_type(name: &str, weights: &'w Weights, dtype: DType) -> Self {
        Self {
            graph: Graph::new(name),
            weights,
            dtype,
            wanted: vec![],
            declared: HashMap::new(),
            nodes: 0,
            base: "",
            module: String::new(),
            wants: Wants::default(),
            built: Wants::default(),
            stored: false,
            asked: vec![],
            first: vec![],
            rest: vec![],
        }
    }

    /// Size of axis 0 of the weight `name`, whatever prefix the file has; `default` when it has no such weight. For what the weights decide,
    /// such as the number of classes.
    pub fn rows(&self, name: &str, default: usize) -> usize {
        let same =
            |key: &str| key.strip_suffix(name).is_some_and(|head| head.is_empty() || head.ends_with('.'));
        let found = self.weights.tensors.iter().find(|(key, _)| same(key));
        found.and_then(|(_, t)| t.shape().first().copied()).unwrap_or(default)
    }

    /// An input of these sizes behind a batch of any size.
    pub fn input(&mut self, name: &str, sizes: &[usize]) -> V {
        let mut shape = vec![Dim::symbol("batch")];
        shape.extend(sizes.iter().map(|&n| Dim::from(n as u64)));
        let ty = TensorType { dtype: self.dtype, shape: Some(shape.into_iter().collect()) };
        self.graph.add_input(name, ty.into())
    }

    /// An output.
    pub fn output(&mut self, name: &str, value: V) {
        self.rest.push((name.to_owned(), value));
    }

    /// An output that comes before those that are there.
    pub fn output_first(&mut self, name: &str, value: V) {
        self.first.push((name.to_owned(), value));
    }

    /// Declares a weight.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> R<V> {
        let bad = |e: hoist_ir::tensor::TensorError| Diag::error("E0203", format!("tensor `{name}`: {e}"));
        let zero = Tensor::scalar(0.0_f32).cast(self.dtype, false).map_err(bad)?;
        let v = self.graph.add_const(Tensor::splat(&zero, shape).map_err(bad)?);
        self.graph.set_name(v, Some(name.into()));
        let wanted = Wanted { name: name.to_owned(), dtype: self.dtype, shape: shape.to_vec(), tied: vec![] };
        self.wanted.push((wanted, v, None));
        Ok(v)
    }

    /// Number of weights declared.
    #[cfg(test)]
    pub fn declared(&self) -> usize {
        self.wanted.len()
    }

    /// The model, with the weights of the file in the place of those declared.
    pub fn finish(self) -> Result<Model, Diags> {
        let weights = self.weights;
        self.finish_with(weights)
    }

    /// The model, with these weights in the place of those declared.
    pub fn finish_with(mut self, weights: &Weights) -> Result<Model, Diags> {
        let wanted: Vec<Wanted> = self.wanted.iter().map(|(want, ..)| want.clone()).collect();
        for (name, value) in self.first.iter().chain(&self.rest) {
            self.graph.add_output(name, *value);
        }
        let fitted = fit(weights, &wanted)?;
        for ((name, tensor), (_, v, order)) in fitted.into_iter().zip(&self.wanted) {
            let bad =
                |e: hoist_ir::tensor::TensorError| Diag::error("E0203", format!("tensor `{name}`: {e}"));
            let tensor = order.as_ref().map_or(Ok(tensor.clone()), |o| tensor.permute(o)).map_err(bad)?;
            self.graph.set_const(*v, tensor)?;
        }
        Ok(Model { graph: self.graph, source: self.weights.format.into(), ..Model::default() })
    }

    fn node(&mut self, op: impl Into<Op>, inputs: &[Option<V>]) -> R<V> {
        let out = self.append(op.into(), inputs, 1)?;
        out.first().copied().ok_or_else(|| Diag::error("E0901", "an operator without a result"))
    }

    /// A node of the module that is being built.
    pub(super) fn append(&mut self, op: Op, inputs: &[Option<V>], outputs: usize) -> R<Vec<V>> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(Diag::error(
                "E0205",
                format!("the configuration describes more than {MOST_NODES} operators"),
            ));
        }
        let module = self.module.as_str();
        let part = OriginPart { name: module.into(), module: Some(module.into()), ..OriginPart::default() };
        let new = NewNode { outputs, origin: Origin::new(part), ..NewNode::new(op, inputs) };
        let n = self.graph.append(new)?;
        Ok(self.graph.node(n).outputs().to_vec())
    }

    /// `torch.nn.Conv2d` called `name`.
    pub fn conv(&mut self, name: &str, x: V, conv: Conv2d) -> R<V> {
        name.clone_into(&mut self.module);
        let (inner, outer) = conv.channels;
        let w =
            self.weight(&format!("{name}.weight"), &[outer, inner / conv.groups, conv.kernel, conv.kernel])?;
        let b = if conv.bias { Some(self.weight(&format!("{name}.bias"), &[outer])?) } else { None };
        let op = Conv {
            kernel_shape: vec![conv.kernel as i64; 2],
            strides: vec![conv.stride as i64; 2],
            pads: vec![conv.padding as i64; 4],
            group: conv.groups as i64,
            ..Conv::default()
        };
        self.node(op, &[Some(x), Some(w), b])
    }

    /// `torch.nn.BatchNorm2d` called `name`, in evaluation.
    pub fn norm(&mut self, name: &str, x: V, channels: usize) -> R<V> {
        name.clone_into(&mut self.module);
        let mut inputs = vec![Some(x)];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(Some(self.weight(&format!("{name}.{part}"), &[channels])?));
        }
        self.node(BatchNormalization::default(), &inputs)
    }

    /// `torch.nn.Linear` called `name`.
    pub fn linear(&mut self, name: &str, x: V, inner: usize, outer: usize) -> R<V> {
        name.clone_into(&mut self.module);
        let w = self.weight(&format!("{name}.weight"), &[outer, inner])?;
        let b = self.weight(&format!("{name}.bias"), &[outer])?;
        self.node(Gemm { trans_b: true, ..Gemm::default() }, &[Some(x), Some(w), Some(b)])
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: V) -> R<V> {
        self.node(Relu {}, &[Some(x)])
    }

    /// `min(max(x, 0), 6)`.
    pub fn relu6(&mut self, x: V) -> R<V> {
        let mut bound = |value: f32| {
            let t = Tensor::scalar(value)
                .cast(self.dtype, false)
                .map_err(|e| Diag::error("E0203", e.to_string()))?;
            Ok::<V, Diag>(self.graph.add_const(t))
        };
        let (low, high) = (bound(0.0)?, bound(6.0)?);
        self.node(Clip {}, &[Some(x), Some(low), Some(high)])
    }

    /// A sum.
    pub fn add(&mut self, x: V, y: V) -> R<V> {
        self.node(Add {}, &[Some(x), Some(y)])
    }

    /// `torch.nn.MaxPool2d`.
    pub fn max_pool(&mut self, x: V, kernel: usize, stride: usize, padding: usize, ceil_mode: bool) -> R<V> {
        let op = MaxPool {
            kernel_shape: vec![kernel as i64; 2],
            strides: vec![stride as i64; 2],
            pads: vec![padding as i64; 4],
            ceil_mode,
            ..MaxPool::default()
        };
        self.node(op, &[Some(x)])
    }

    /// `torch.nn.AvgPool2d(2, 2)`.
    pub fn halve(&mut self, x: V) -> R<V> {
        let op = AveragePool { kernel_shape: vec![2; 2], strides: vec![2; 2], ..AveragePool::default() };
        self.node(op, &[Some(x)])
    }

    /// Means over height and width, as rows of channels.
    pub fn means(&mut self, x: V) -> R<V> {
        let x = self.node(GlobalAveragePool::default(), &[Some(x)])?;
        self.rows_of(x)
    }

    /// `torch.flatten(x, 1)`.
    pub fn rows_of(&mut self, x: V) -> R<V> {
        self.node(Flatten { axis: 1 }, &[Some(x)])
    }

    /// Channels of all `parts` one after another.
    pub fn join(&mut self, parts: &[V]) -> R<V> {
        let parts: Vec<Option<V>> = parts.iter().map(|v| Some(*v)).collect();
        self.node(Concat { axis: 1 }, &parts)
    }
}
