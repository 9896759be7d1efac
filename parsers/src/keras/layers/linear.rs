//! Products with weights, and embeddings.
use super::{Row, none, same};
use crate::keras::kx::{Kx, Mask, Tv};
use crate::tensorflow::lift::cx::R;
use hoist_ir::dtype::DType;
use hoist_ir::ops::linear::einsum::Einsum;

pub(super) const TABLE: &[Row] =
    &[("Dense", same, dense), ("EinsumDense", none, einsum_dense), ("Embedding", none, embedding)];

fn dense(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let rank = kx.rank(x)?;
    if rank == 0 {
        return Err(kx.bad("an operand without axes"));
    }
    let units = kx.int_opt("units")?.or(kx.int_opt("output_dim")?);
    let units = units.ok_or_else(|| kx.bad("`units` is missing"))?;
    let inputs = kx.size(x, rank - 1).map(|n| n as i64);
    let kernel = kx.weight("kernel", &[inputs, Some(units)])?;
    let mut y = kx.named("mat_mul", &[x, kernel])?;
    if kx.flag("use_bias", kx.flag("bias", true)?)? {
        let bias = kx.weight("bias", &[Some(units)])?;
        y = kx.named("add", &[y, bias])?;
    }
    Ok(vec![kx.activated(y, "activation")?.into()])
}

fn einsum_dense(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let (x, kernel) = (kx.x()?, kx.tensor("kernel")?);
    let kernel = kx.konst(kernel);
    let equation = kx.text("equation", "")?;
    let mut y = kx.op(Einsum { equation }, &[x, kernel])?;
    if kx.cfg("bias_axes").is_some() {
        let bias = kx.tensor("bias")?;
        let bias = kx.konst(bias);
        y = kx.named("add", &[y, bias])?;
    }
    Ok(vec![kx.activated(y, "activation")?.into()])
}

fn embedding(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let (rows, width) = (kx.int_of("input_dim")?, kx.int_of("output_dim")?);
    let table = kx.weight("embeddings", &[Some(rows), Some(width)])?;
    let ids = match kx.dtype(x)? {
        DType::I32 | DType::I64 => x,
        _ => kx.cast(x, DType::I32)?,
    };
    let v = kx.gather(table, ids, 0)?;
    let mut mask = Mask::None;
    if kx.flag("mask_zero", false)? {
        let zero = kx.number(0.0, ids)?;
        let is_zero = kx.named("equal", &[ids, zero])?;
        mask = Mask::Some(kx.named("not", &[is_zero])?);
    }
    Ok(vec![Tv { v, mask }])
}
