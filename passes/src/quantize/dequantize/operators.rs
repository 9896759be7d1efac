//! Operators on quantized tensors as `dequantize_linear`, an operator on floats, and `quantize_linear`.
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::activation::LeakyRelu;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::global_pool::GlobalAveragePool;
use hoist_ir::tensor::Tensor;

type Built = Result<Option<Vec<ValueId>>, Diag>;

/// Operands of a quantized operator.
struct Parts<'a, 'g> {
    b: &'a mut Builder<'g>,
    inputs: Vec<Option<ValueId>>,
    /// Type of the result.
    dtype: Option<DType>,
}

impl Parts<'_, '_> {
    fn at(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }
    /// The numbers that operands `i` to `i + 2` stand for; several scales lie along `axis`.
    fn real(&mut self, i: usize, axis: i64) -> Result<Option<ValueId>, Diag> {
        let operands = [self.at(i), self.at(i + 1), self.at(i + 2)];
        if operands[0].is_none() || operands[1].is_none() {
            return Ok(None);
        }
        let op = DequantizeLinear { axis, block_size: 0, output_dtype: None };
        Ok(self.b.add(op, &operands)?.first().copied())
    }
    /// `v` quantized by operands `i` and `i + 1`.
    fn stored(&mut self, v: ValueId, i: usize) -> Result<Vec<ValueId>, Diag> {
        let output_dtype = self.dtype.filter(|_| self.at(i + 1).is_none());
        let op = QuantizeLinear { output_dtype, ..QuantizeLinear::default() };
        let operands = [Some(v), self.at(i), self.at(i + 1)];
        self.b.add(op, &operands)
    }
    fn rank(&self, i: usize) -> Option<usize> {
        self.b.graph().ty(self.at(i)?).as_tensor()?.rank()
    }
    fn numbers(&self, i: usize) -> Option<Vec<f32>> {
        Some(self.b.graph().constant(self.at(i)?)?.to_f32s().ok()?.into_owned())
    }
    /// The integers `c`, counted in products of scales `i` and `k`.
    fn bias(&mut self, c: usize, i: usize, k: usize) -> Result<Option<ValueId>, Diag> {
        let (Some(c), Some(x), Some(w)) = (self.at(c), self.numbers(i), self.numbers(k)) else {
            return Ok(None);
        };
        let Some(x) = x.first() else { return Ok(None) };
        let shape: &[usize] = if w.len() == 1 { &[] } else { &[w.len()] };
        let scale = Tensor::from_vec(shape, w.iter().map(|w| x * w).collect());
        let scale = self.b.constant(scale);
        let op = DequantizeLinear { axis: -1, block_size: 0, output_dtype: None };
        Ok(self.b.add(op, &[Some(c), Some(scale)])?.first().copied())
    }
    /// `op` of the numbers of operands `at`, each with its scales along `axis`, quantized by operands `to`.
    fn around(&mut self, op: impl Into<Op>, at: &[(usize, i64)], to: usize) -> Built {
        let mut operands = vec![];
        for (i, axis) in at {
            let Some(v) = self.real(*i, *axis)? else { return Ok(None) };
            operands.push(Some(v));
        }
        let y = self.b.add(op, &operands)?[0];
        Ok(Some(self.stored(y, to)?))
    }
}

/// Replaces node `n` by its meaning on floats; `None` when it is no such operator.
///
/// # Errors
/// The reason why it has none.
pub fn expand(g: &mut Graph, n: NodeId) -> Option<Result<(), Diag>> {
    let node = g.node(n);
    let op = node.op().clone();
    if !is_quantized(op.name()) {
        return None;
    }
    let (inputs, outputs) = (node.inputs().to_vec(), node.outputs().len());
    let dtype = node.outputs().first().and_then(|v| g.ty(*v).as_tensor()).map(|t| t.dtype);
    let lacking =
        || Diag::error("E0302", "the operator on integers has no meaning on floats for these operands");
    Some(g.rewrite(n, &[], |b| {
        let mut parts = Parts { b, inputs, dtype };
        if let Some(results) = meaning(&op, &mut parts)? {
            return Ok(results);
        }
        let inputs = parts.inputs;
        let mut results = op.def().expand(b, &inputs, outputs)?.ok_or_else(lacking)?;
        results.truncate(outputs);
        Ok(results)
    }))
}

fn is_quantized(name: &str) -> bool {
    name.starts_with("q_linear_")
        || matches!(
            name,
            "q_gemm"
                | "q_attention"
                | "mat_mul_integer_to_float"
                | "dynamic_quantize_mat_mul"
                | "dynamic_quantize_lstm"
                | "mat_mul_n_bits"
                | "mat_mul_bnb4"
                | "gather_block_quantized"
        )
}

/// The meaning of `op` in one operator on floats; `None` where that is left to the operator itself.
fn meaning(op: &Op, p: &mut Parts<'_, '_>) -> Built {
    match op {
        Op::QLinearConv(c) => {
            let conv = Conv {
                auto_pad: c.auto_pad,
                dilations: c.dilations.clone(),
                group: c.group,
                kernel_shape: c.kernel_shape.clone(),
                pads: c.pads.clone(),
                strides: c.strides.clone(),
                layout: c.layout,
            };
            let (Some(x), Some(w)) = (p.real(0, 1)?, p.real(3, 0)?) else { return Ok(None) };
            let bias = p.bias(8, 1, 4)?;
            if p.at(8).is_some() && bias.is_none() {
                return Ok(None);
            }
            let operands = [Some(x), Some(w), bias];
            let y = p.b.add(conv, &operands[..if bias.is_some() { 3 } else { 2 }])?[0];
            Ok(Some(p.stored(y, 6)?))
        }
        Op::QLinearMatMul(_) => {
            if p.rank(1).is_none_or(|r| r > 1) || p.rank(4).is_none_or(|r| r > 1) {
                return Ok(None);
            }
            p.around(MatMul {}, &[(0, -2), (3, -1)], 6)
        }
        Op::QGemm(q) => {
            let axis = i64::from(!q.trans_b);
            let (Some(x), Some(w)) = (p.real(0, 1)?, p.real(3, axis)?) else { return Ok(None) };
            let bias = p.bias(6, 1, 4)?;
            if q.alpha != 1.0 || (p.at(6).is_some() && bias.is_none()) {
                return Ok(None);
            }
            let gemm = Gemm { trans_a: q.trans_a, trans_b: q.trans_b, ..Gemm::default() };
            let operands = [Some(x), Some(w), bias];
            let y = p.b.add(gemm, &operands[..if bias.is_some() { 3 } else { 2 }])?[0];
            Ok(Some(if p.at(7).is_some() { p.stored(y, 7)? } else { vec![y] }))
        }
        Op::QLinearAdd(_) => p.around(Add {}, &[(0, 1), (3, 1)], 6),
        Op::QLinearMul(_) => p.around(Mul {}, &[(0, 1), (3, 1)], 6),
        Op::QLinearSigmoid(_) => match Op::by_name("sigmoid") {
            Some(op) => p.around(op, &[(0, 1)], 3),
            None => Ok(None),
        },
        Op::QLinearLeakyRelu(q) => p.around(LeakyRelu { alpha: q.alpha }, &[(0, 1)], 3),
        Op::QLinearGlobalAveragePool(q) => p.around(GlobalAveragePool { layout: q.layout }, &[(0, 1)], 3),
        Op::QLinearConcat(q) => {
            let at: Vec<(usize, i64)> = (2..p.inputs.len()).step_by(3).map(|i| (i, 1)).collect();
            p.around(Concat { axis: q.axis }, &at, 0)
        }
        Op::QLinearWhere(_) => {
            let (Some(x), Some(y)) = (p.real(1, 1)?, p.real(4, 1)?) else { return Ok(None) };
            let operands = [p.at(0), Some(x), Some(y)];
            let z = p.b.add(Where {}, &operands)?[0];
            Ok(Some(p.stored(z, 7)?))
        }
        Op::DynamicQuantizeMatMul(_) => {
            let Some(w) = p.real_at([1, 2, 3])? else { return Ok(None) };
            let operands = [p.at(0), Some(w)];
            let y = p.b.add(MatMul {}, &operands)?;
            p.plus(y, 4)
        }
        Op::MatMulIntegerToFloat(_) => {
            let (Some(x), Some(w)) = (p.real_at([0, 2, 4])?, p.real_at([1, 3, 5])?) else { return Ok(None) };
            let y = p.b.add(MatMul {}, &[Some(x), Some(w)])?;
            p.plus(y, 6)
        }
        _ => Ok(None),
    }
}

impl Parts<'_, '_> {
    /// The numbers of a matrix whose integers, scales and zero points are these operands; several lie along its last axis.
    fn real_at(&mut self, [q, s, z]: [usize; 3]) -> Result<Option<ValueId>, Diag> {
        if self.rank(s).is_none_or(|r| r > 1) {
            return Ok(None);
        }
        let operands = [self.at(q), self.at(s), self.at(z)];
        let op = DequantizeLinear { axis: -1, block_size: 0, output_dtype: None };
        Ok(self.b.add(op, &operands)?.first().copied())
    }
    /// `y` plus operand `i`, where there is one.
    fn plus(&mut self, y: Vec<ValueId>, i: usize) -> Built {
        match self.at(i) {
            Some(bias) => Ok(Some(self.b.add(Add {}, &[y.first().copied(), Some(bias)])?)),
            None => Ok(Some(y)),
        }
    }
}
