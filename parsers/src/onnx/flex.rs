//! `FlexAttention` of `ai.onnx.preview`: attention with bodies that change the scores and the probabilities. It passes through, and carries
//! what it computes as the calls of functions do.
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin, ValueId};
use hoist_ir::ops::Custom;
use hoist_ir::ops::elementwise::arithmetic::Mul;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::reduce::softmax::Softmax;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};

/// Domain of the operator.
pub(super) const DOMAIN: &str = "ai.onnx.preview";

/// What a node computes on operands of these types; `None` when they leave open what must be known.
pub(super) fn definition(types: &[Type], attrs: &[(String, Attr)], bodies: &[Graph]) -> Option<Graph> {
    let [q, k, v] = types else { return None };
    let attr = |name: &str| attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    let body = |name: &str| match attr(name) {
        None => Some(None),
        Some(Attr::Body(i)) => bodies.get(*i).map(Some),
        Some(_) => None,
    };
    let (heads, size) = (axis(q, 1)?, axis(q, 3)?);
    let precision = match attr("softmax_precision") {
        None | Some(Attr::Int(0)) if q.as_tensor()?.dtype == DType::F64 => DType::F64,
        None | Some(Attr::Int(0)) => DType::F32,
        Some(Attr::Int(code)) => hoist_formats::onnx::dtype::from_code(i32::try_from(*code).ok()?)?,
        Some(_) => return None,
    };
    let scale = match attr("scale") {
        None => 1.0 / f64::from(size).sqrt(),
        Some(Attr::Float(s)) => f64::from(*s),
        Some(_) => return None,
    };
    let plan = Plan { heads: heads.into(), kv_heads: axis(k, 1)?.into(), scale, precision };
    if plan.kv_heads == 0 || plan.heads % plan.kv_heads != 0 {
        return None;
    }
    let mut g = Graph::new("FlexAttention");
    let operands = [("Q", q), ("K", k), ("V", v)].map(|(name, ty)| g.add_input(name, ty.clone()));
    let y = plan.build(&mut g, operands, body("score_mod")?, body("prob_mod")?).ok()?;
    g.add_output("Y", y);
    Some(g)
}

fn axis(ty: &Type, i: usize) -> Option<u32> {
    let shape = ty.as_tensor()?.shape.as_ref().filter(|s| s.len() == 4)?;
    u32::try_from(shape[i].known()?).ok()
}

struct Plan {
    heads: i64,
    kv_heads: i64,
    scale: f64,
    precision: DType,
}

impl Plan {
    /// `prob_mod(softmax(score_mod(q * k'))) * v`. Query heads that share a key head are folded into the rows of one product.
    fn build(
        &self,
        g: &mut Graph,
        [q, k, v]: [ValueId; 3],
        score_mod: Option<&Graph>,
        prob_mod: Option<&Graph>,
    ) -> Result<ValueId, Diag> {
        let mut b = Builder::at_end(g, Origin::default());
        let root = b.scalar_like(self.scale.sqrt(), q)?;
        let q = b.mul(Mul {}, q, root)?;
        let k = b.mul(Mul {}, k, root)?;
        let keys = b.transpose(Transpose { perm: vec![0, 1, 3, 2] }, k)?;
        let rows = self.regroup(&mut b, q, self.kv_heads)?;
        let scores = b.mat_mul(MatMul {}, rows, keys)?;
        let scores = self.regroup(&mut b, scores, self.heads)?;
        let scores = b.cast(Cast { to: self.precision, ..Cast::default() }, scores)?;
        let scores = modified(&mut b, scores, score_mod)?;
        let probabilities = b.softmax(Softmax { axis: -1 }, scores)?;
        let probabilities = modified(&mut b, probabilities, prob_mod)?;
        let rows = self.regroup(&mut b, probabilities, self.kv_heads)?;
        let result = b.graph().ty(v).as_tensor().map_or(self.precision, |t| t.dtype);
        let v = b.cast(Cast { to: self.precision, ..Cast::default() }, v)?;
        let y = b.mat_mul(MatMul {}, rows, v)?;
        let y = self.regroup(&mut b, y, self.heads)?;
        b.cast(Cast { to: result, ..Cast::default() }, y)
    }
    /// `x` with `heads` heads and as many rows as that leaves.
    fn regroup(&self, b: &mut Builder<'_>, x: ValueId, heads: i64) -> Result<ValueId, Diag> {
        if self.heads == self.kv_heads {
            return Ok(x);
        }
        let shape = b.constant(Tensor::from_ints(&[0, heads, -1, 0]));
        b.reshape(Reshape::default(), x, shape)
    }
}

/// `x` through a body, which keeps its type.
fn modified(b: &mut Builder<'_>, x: ValueId, body: Option<&Graph>) -> Result<ValueId, Diag> {
    let Some(body) = body else { return Ok(x) };
    let ty: TensorType = b.graph().ty(x).as_tensor().cloned().unwrap_or(TensorType::unranked(DType::F32));
    let call = Custom {
        domain: DOMAIN.to_owned(),
        name: "Modifier".to_owned(),
        result_types: vec![ty.into()],
        defined: true,
        ..Custom::default()
    };
    let out = b.add_node(NewNode { bodies: vec![body.clone()], ..NewNode::new(call, &[Some(x)]) })?;
    out.first().copied().ok_or_else(|| Diag::error("E0901", "a call has no result"))
}
