//! Convolutions and products with constant weights, told alike: which axes of data, weights and result are channels.
use crate::channel_affine::channel_axis;
use crate::norm_formula::dims;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::tensor::{Tensor, TensorError};

/// A `conv`, `conv_transpose`, `gemm`, or a `mat_mul` one operand of which is constant: `result[o] = sum over i of weights[o, i] * data[i]`, where each
/// of the `groups` has its own inputs and outputs. Further axes of the weights are positions of a window, or independent products.
#[derive(Clone, PartialEq, Debug)]
pub struct Linear {
    /// The node.
    pub node: NodeId,
    /// Operand that the data is.
    pub data_slot: usize,
    /// Operand that the weights are.
    pub weight_slot: usize,
    /// Operand that is added to each output channel, where the operator can have one.
    pub bias_slot: Option<usize>,
    /// Axis of the input channels in the data.
    pub data_axis: usize,
    /// Axis of the output channels in the result.
    pub result_axis: usize,
    /// Axis of the weights that holds input channels: of one group, but for `conv_transpose`.
    pub in_axis: usize,
    /// Axis of the weights that holds output channels: of one group with `conv_transpose`.
    pub out_axis: usize,
    /// Groups.
    pub groups: usize,
    /// Input channels of all groups.
    pub inputs: usize,
    /// Output channels of all groups.
    pub outputs: usize,
    /// Whether the groups follow one another along `in_axis`, as with `conv_transpose`, and not along `out_axis`.
    grouped_inputs: bool,
}

/// Elements of one piece of weights that is read at a time.
const PIECE: usize = 1 << 16;

impl Linear {
    /// Node `n` as such an operator.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn of(g: &Graph, n: NodeId) -> Result<Self, &'static str> {
        const RANK: &str = "the rank is not known";
        let node = g.node(n);
        let constant = |i: usize| node.input(i).and_then(|v| g.constant(v));
        let rank = |i: usize| node.input(i).and_then(|v| dims(g, v)).map(Vec::len).ok_or(RANK);
        let name = node.op().name();
        let weight_slot = match name {
            "mat_mul" if constant(1).is_none() && constant(0).is_some() => 0,
            "conv" | "conv_transpose" | "gemm" | "mat_mul" => 1,
            _ => return Err("it is no convolution or matrix product"),
        };
        let w = constant(weight_slot).ok_or("the weights are not constant")?;
        if w.dtype() != DType::F32 {
            return Err("the weights are not f32");
        }
        let data_slot = 1 - weight_slot;
        if w.is_empty() {
            return Err("there are no weights");
        }
        let rank = rank(data_slot)?;
        let result = node.outputs().first().and_then(|y| dims(g, *y)).map(Vec::len).ok_or(RANK)?;
        let few = "an operand has too few axes";
        if rank < 2 || w.rank() < 2 {
            return Err(few);
        }
        let sets = |attr: &str| node.op().def().attr(attr) == Some(Attr::Bool(true));
        let (data_axis, result_axis, in_axis, out_axis) = match name {
            "gemm" if sets("trans_a") => return Err("the data is transposed"),
            "gemm" if sets("trans_b") => (1, 1, 1, 0),
            "gemm" => (1, 1, 0, 1),
            "mat_mul" if weight_slot == 0 => (rank - 2, result - 2, w.rank() - 1, w.rank() - 2),
            "mat_mul" => (rank - 1, result - 1, w.rank() - 2, w.rank() - 1),
            _ => {
                let axis = channel_axis(node.op(), rank)?;
                let (i, o) = if name == "conv" { (1, 0) } else { (0, 1) };
                (axis, axis, i, o)
            }
        };
        let groups = match node.op().def().attr("group") {
            Some(Attr::Int(k)) => usize::try_from(k).ok().filter(|k| *k > 0).ok_or("there are no groups")?,
            _ => 1,
        };
        let grouped_inputs = name == "conv_transpose";
        let all = |size: usize, grouped: bool| {
            if grouped { Some(size).filter(|s| s.is_multiple_of(groups)) } else { size.checked_mul(groups) }
        };
        Ok(Self {
            node: n,
            data_slot,
            weight_slot,
            bias_slot: (name != "mat_mul").then_some(2),
            data_axis,
            result_axis,
            in_axis,
            out_axis,
            groups,
            inputs: all(w.shape()[in_axis], grouped_inputs).ok_or("the groups do not fit")?,
            outputs: all(w.shape()[out_axis], !grouped_inputs).ok_or("the groups do not fit")?,
            grouped_inputs,
        })
    }
    /// The data that it reads.
    pub fn data(&self, g: &Graph) -> Option<ValueId> {
        g.node(self.node).input(self.data_slot)
    }
    /// The result.
    pub fn result(&self, g: &Graph) -> Option<ValueId> {
        g.node(self.node).outputs().first().copied()
    }
    /// The value of the weights.
    pub fn weights(&self, g: &Graph) -> Option<ValueId> {
        g.node(self.node).input(self.weight_slot)
    }
    /// Whether each output channel has one input channel.
    pub fn is_depthwise(&self) -> bool {
        self.inputs == self.groups
    }
    /// Output and input channel of element `at` of weights of that shape.
    fn channels(&self, shape: &[usize], at: usize) -> (usize, usize) {
        let position = |axis: usize| {
            let inner: usize = shape[axis + 1..].iter().copied().fold(1, usize::saturating_mul);
            at / inner % shape[axis]
        };
        let (o, i) = (position(self.out_axis), position(self.in_axis));
        if self.groups == 1 {
            (o, i)
        } else if self.grouped_inputs {
            (i / (self.inputs / self.groups) * (self.outputs / self.groups) + o, i)
        } else {
            (o, o / (self.outputs / self.groups) * (self.inputs / self.groups) + i)
        }
    }
    /// Group of output channel `o`.
    pub fn group_of(&self, o: usize) -> usize {
        o / (self.outputs / self.groups).max(1)
    }
    /// Group of input channel `i`.
    pub fn group_of_input(&self, i: usize) -> usize {
        i / (self.inputs / self.groups).max(1)
    }
    /// Shows each weight with its output and input channel; the weights are read in pieces.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn visit(&self, w: &Tensor, mut seen: impl FnMut(usize, usize, f32)) -> Result<(), TensorError> {
        self.visit_places(w, |_, o, i, v| seen(o, i, v))
    }
    /// As [`visit`](Self::visit), with the position over all axes first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn visit_places(
        &self,
        w: &Tensor,
        mut seen: impl FnMut(usize, usize, usize, f32),
    ) -> Result<(), TensorError> {
        let flat = w.reshape(&[w.len()])?;
        let mut at = 0;
        while at < w.len() {
            let count = PIECE.min(w.len() - at);
            let part = flat.slice(&[at], &[count])?;
            if let (&[_, columns], 1) = (w.shape(), self.groups) {
                // A matrix: rows one after another.
                let (mut row, mut column) = (at / columns, at % columns);
                for (k, v) in part.to_f32s()?.iter().enumerate() {
                    let (o, i) = if self.out_axis == 0 { (row, column) } else { (column, row) };
                    seen(at + k, o, i, *v);
                    column += 1;
                    if column == columns {
                        (row, column) = (row + 1, 0);
                    }
                }
                at += count;
                continue;
            }
            for (k, v) in part.to_f32s()?.iter().enumerate() {
                let (o, i) = self.channels(w.shape(), at + k);
                seen(at + k, o, i, *v);
            }
            at += count;
        }
        Ok(())
    }
    /// Weights `w` times one factor per output channel and one per input channel, multiplied while they are read. Factors of 1 cost nothing.
    ///
    /// # Errors
    /// When the factors do not fit.
    pub fn scaled(&self, w: &Tensor, outputs: &[f64], inputs: &[f64]) -> Result<Tensor, TensorError> {
        let mut w = w.clone();
        for (factors, side) in [(outputs, Side::Output), (inputs, Side::Input)] {
            if factors.iter().all(|f| *f == 1.0) {
                continue;
            }
            let factors: Vec<f32> = factors.iter().map(|f| *f as f32).collect();
            w = self.scaled_along(&w, factors, side)?;
        }
        Ok(w)
    }
    fn scaled_along(&self, w: &Tensor, factors: Vec<f32>, side: Side) -> Result<Tensor, TensorError> {
        let axis = if side == Side::Output { self.out_axis } else { self.in_axis };
        // Along the axis that has the groups, all channels follow one another.
        let whole = self.groups == 1 || (side == Side::Input) == self.grouped_inputs;
        if whole {
            return w.scale_channels(factors, axis);
        }
        let other = if side == Side::Output { self.in_axis } else { self.out_axis };
        if w.shape()[axis] == 1 {
            // One channel per group, which each position of the other axis of that group has.
            let each = w.shape()[other] / self.groups;
            let factors = factors.iter().flat_map(|f| std::iter::repeat_n(*f, each)).collect();
            return w.scale_channels(factors, other);
        }
        // [groups * a, b, ..] -> [groups, b, a, ..] -> [groups * b, a, ..], and back.
        let (a, b, inner) = (w.shape()[0] / self.groups, w.shape()[1], &w.shape()[2..]);
        let with = |head: &[usize]| [head, inner].concat();
        let mut exchange: Vec<usize> = (0..inner.len() + 3).collect();
        exchange.swap(1, 2);
        let joined = w.reshape(&with(&[self.groups, a, b]))?.permute(&exchange)?;
        let scaled = joined.reshape(&with(&[self.groups * b, a]))?.scale_channels(factors, 0)?;
        scaled.reshape(&with(&[self.groups, b, a]))?.permute(&exchange)?.reshape(w.shape())
    }
}

/// Which channels factors are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Output,
    Input,
}
