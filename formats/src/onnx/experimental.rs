//! Operators that operator set 1 lists as experimental. They were removed later, without a replacement of the same name; runtimes
//! and old converters know them under every operator set.
use super::old::{no_more, operand, rank, refused};
use super::row::{Fix, Foreign, Row, row};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::ValueId;
use hoist_ir::op::OpError;
use hoist_ir::ops::elementwise::activation::Softplus;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::unary::Tanh;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::tensor::Tensor;

/// Those that are read.
pub const ROWS: &[Row] = &[
    row("mul", "Affine", 1).with(&[Fix::Build(affine)]),
    row("slice", "Crop", 1).with(&[Fix::Build(crop)]),
    row("slice", "DynamicSlice", 1).with(&[Fix::Build(dynamic_slice)]),
    row("mul", "ImageScaler", 1).with(&[Fix::Build(image_scaler)]),
    row("softplus", "ParametricSoftplus", 1).with(&[Fix::Build(parametric_softplus)]),
    row("mul", "Scale", 1).with(&[Fix::Build(scale)]),
    row("tanh", "ScaledTanh", 1).with(&[Fix::Build(scaled_tanh)]),
];

/// Those that are not, with the reason.
pub const REFUSED: &[(&str, &str)] = &[
    ("ATen", "it calls a PyTorch operator by name"),
    ("ConstantFill", "its form depends on the framework that wrote it; ConstantOfShape replaces it"),
    ("GivenTensorFill", "it is a constant of Caffe2; Constant replaces it"),
    ("GRUUnit", "it was never specified; GRU replaces it"),
];

/// Whether `op_type` is an experimental operator of operator set 1.
pub fn is_experimental(op_type: &str) -> bool {
    ROWS.iter().any(|r| r.foreign == op_type) || REFUSED.iter().any(|(n, _)| *n == op_type)
}

fn float(node: &mut Foreign, name: &str, default: f32) -> Result<f32, Diag> {
    match node.take(name) {
        None => Ok(default),
        Some(Attr::Float(v)) => Ok(v),
        Some(other) => {
            Err(refused(OpError::attr(format!("attribute `{name}` must be a number, got {other}"))))
        }
    }
}

fn times(b: &mut Builder<'_>, x: ValueId, factor: f32) -> Result<ValueId, Diag> {
    let factor = b.scalar_like(f64::from(factor), x)?;
    b.mul(Mul {}, x, factor)
}

/// `alpha * x + beta`.
fn affine(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let (alpha, beta) = (float(&mut node, "alpha", 1.0)?, float(&mut node, "beta", 0.0)?);
    no_more(&node)?;
    let x = operand(&node, 0)?;
    let y = times(b, x, alpha)?;
    let beta = b.scalar_like(f64::from(beta), x)?;
    Ok(vec![b.plus(Add {}, y, beta)?])
}

/// `scale * x`.
fn scale(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let factor = float(&mut node, "scale", 1.0)?;
    no_more(&node)?;
    Ok(vec![times(b, operand(&node, 0)?, factor)?])
}

/// `alpha * softplus(beta * x)`.
fn parametric_softplus(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let (alpha, beta) = both(&mut node)?;
    let x = times(b, operand(&node, 0)?, beta)?;
    let y = b.softplus(Softplus {}, x)?;
    Ok(vec![times(b, y, alpha)?])
}

/// `alpha * tanh(beta * x)`.
fn scaled_tanh(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let (alpha, beta) = both(&mut node)?;
    let x = times(b, operand(&node, 0)?, beta)?;
    let y = b.tanh(Tanh {}, x)?;
    Ok(vec![times(b, y, alpha)?])
}

/// `alpha` and `beta`, which have no defaults that converters agree on.
fn both(node: &mut Foreign) -> Result<(f32, f32), Diag> {
    let given = |name: &str| node.attrs.iter().any(|(n, _)| n == name);
    if !given("alpha") || !given("beta") {
        let m = format!("`{}` needs `alpha` and `beta`: they have no defaults", node.op_type);
        return Err(refused(OpError::attr(m)));
    }
    let both = (float(node, "alpha", 0.0)?, float(node, "beta", 0.0)?);
    no_more(node)?;
    Ok(both)
}

/// `scale * x + bias`, one bias per channel of `[N, C, H, W]`.
fn image_scaler(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let factor = float(&mut node, "scale", 1.0)?;
    let bias = node.take("bias");
    no_more(&node)?;
    let x = operand(&node, 0)?;
    let y = times(b, x, factor)?;
    let Some(Attr::Floats(bias)) = bias else {
        let m = "`ImageScaler` needs `bias`, one number per channel";
        return Err(refused(OpError::attr(m)));
    };
    let bias = Tensor::from_vec(&[1, bias.len(), 1, 1], bias);
    let dtype = b.graph().ty(x).as_tensor().map(|t| t.dtype);
    let bias = dtype.map_or(Ok(bias.clone()), |d| bias.cast(d, false));
    let bias = b.constant(bias.map_err(|e| refused(e.into()))?);
    Ok(vec![b.plus(Add {}, y, bias)?])
}

/// Cuts `border` (left, top, right, bottom) off `[N, C, H, W]`, or with `scale` takes that height and width from left and top on.
fn crop(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let bad = |m: &str| refused(OpError::attr(m));
    let (border, size) = (node.take("border"), node.take("scale"));
    no_more(&node)?;
    let x = operand(&node, 0)?;
    if rank(b.graph(), x).is_some_and(|r| r != 4) {
        return Err(Diag::error("E0305", "`Crop` takes images [N, C, H, W]"));
    }
    let Some(Attr::Ints(border)) = border else { return Err(bad("`Crop` needs `border`")) };
    let [left, top, right, bottom] = border[..] else {
        return Err(bad("`border` of `Crop` has four numbers"));
    };
    if border.iter().any(|v| !(0..1 << 40).contains(v)) {
        return Err(bad("`border` of `Crop` is out of range"));
    }
    let ends = match size {
        None => {
            let end = |n: i64| if n == 0 { i64::MAX } else { -n };
            [end(bottom), end(right)]
        }
        Some(Attr::Ints(size)) if size.len() == 2 && size.iter().all(|v| (0..1 << 40).contains(v)) => {
            [top + size[0], left + size[1]]
        }
        Some(_) => return Err(bad("`scale` of `Crop` is a height and a width")),
    };
    let (starts, ends, axes) = (b.ints(&[top, left]), b.ints(&ends), b.ints(&[2, 3]));
    Ok(vec![b.slice(Slice {}, x, starts, ends, Some(axes), None)?])
}

/// `Slice` with operands and without steps.
#[expect(clippy::needless_pass_by_value, reason = "what `Fix::Build` takes")]
fn dynamic_slice(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    no_more(&node)?;
    let (x, starts, ends) = (operand(&node, 0)?, operand(&node, 1)?, operand(&node, 2)?);
    Ok(vec![b.slice(Slice {}, x, starts, ends, node.value(3), None)?])
}
