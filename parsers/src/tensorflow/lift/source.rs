//! Values that come from nowhere, and operators that hand on what they are given.
use super::Row;
use super::cx::{Cx, R};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("Const", "", constant),
    ("Placeholder", "", placeholder),
    ("PlaceholderV2", "", placeholder),
    ("PlaceholderWithDefault", "", same),
    ("Identity", "", same),
    ("IdentityN", "output*T", all),
    ("Snapshot", "", same),
    ("StopGradient", "", same),
    ("PreventGradient", "", same),
    ("EnsureShape", "", ensure_shape),
    ("CheckNumerics", "", same),
    ("NoOp", "", nothing),
    ("Assert", "", nothing),
    ("Print", "", same),
    ("PrintV2", "", nothing),
    ("PartitionedCall", "output*Tout", call),
    ("StatefulPartitionedCall", "output*Tout", call),
];

fn constant(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let t = cx.attrs.tensor("value")?;
    let part = match t.dtype() {
        DType::C64 => DType::F32,
        DType::C128 => DType::F64,
        _ => return Ok(vec![cx.konst(t).into()]),
    };
    let sizes = [t.shape(), &[2]].concat();
    let bytes = t.bytes().map_err(|e| cx.bad(e))?.to_vec();
    let pairs = Tensor::from_bytes(part, &sizes, bytes.into(), None).map_err(|e| cx.bad(e))?;
    Ok(vec![Val::Complex(cx.konst(pairs))])
}

fn placeholder(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let name = &cx.node.name;
    Err(cx
        .bad(format!("`{name}` is needed and not among the inputs"))
        .hint(format!("add it to --inputs, or give it a value by --const {name}=VALUE")))
}

fn same(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(vec![cx.val(0)?.clone()])
}

fn all(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(std::mem::take(&mut cx.inputs))
}

fn nothing(_: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(vec![])
}

fn ensure_shape(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let v = cx.arg(0)?;
    if let Some(Some(shape)) = cx.attrs.shape("shape")? {
        cx.declare(v, &shape);
    }
    Ok(vec![v.into()])
}

fn call(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (name, attrs) = cx.attrs.function("f")?;
    let name = name.to_owned();
    cx.l.call(cx.b, &name, &cx.inputs, &attrs)
}
