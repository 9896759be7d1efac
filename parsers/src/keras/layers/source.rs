//! Layers that do nothing when a model runs, and masks.
use super::{Row, same};
use crate::keras::kx::{Kx, Mask, Tv};
use crate::tensorflow::lift::cx::R;
use hoist_ir::dtype::DType;
use hoist_ir::ops::reduce::reductions::ReduceMax;

pub(super) const TABLE: &[Row] = &[
    ("Dropout", same, identity),
    ("SpatialDropout1D", same, identity),
    ("SpatialDropout2D", same, identity),
    ("SpatialDropout3D", same, identity),
    ("GaussianDropout", same, identity),
    ("AlphaDropout", same, identity),
    ("GaussianNoise", same, identity),
    ("ActivityRegularization", same, identity),
    ("Identity", same, identity),
    ("RandomFlip", same, identity),
    ("RandomRotation", same, identity),
    ("RandomZoom", same, identity),
    ("RandomTranslation", same, identity),
    ("RandomContrast", same, identity),
    ("RandomBrightness", same, identity),
    ("Masking", same, masking),
];

fn identity(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    if kx.weights.is_old()
        && matches!(kx.given(1, "training").and_then(|v| v.json()), Some(serde_json::Value::Bool(true)))
    {
        return Err(kx.unsupported("`training=True`, by which it is random,"));
    }
    Ok(vec![kx.x()?.into()])
}

/// Steps that are `mask_value` everywhere do not count, and are zero.
fn masking(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let value = kx.float("mask_value", 0.0)?;
    let value = kx.number(value, x)?;
    let equal = kx.named("equal", &[x, value])?;
    let other = kx.named("not", &[equal])?;
    let other = kx.cast(other, DType::I32)?;
    let axis = kx.int_list(&[-1]);
    let any = kx.op(ReduceMax::default(), &[other, axis])?;
    let to = kx.dtype(x)?;
    let factor = kx.cast(any, to)?;
    let v = kx.named("mul", &[x, factor])?;
    let mask = kx.squeeze(any, &[-1])?;
    let mask = Mask::Some(kx.cast(mask, DType::Bool)?);
    Ok(vec![Tv { v, mask }])
}
