//! Linear algebra.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::ops::linear::einsum::Einsum;
use hoist_ir::ops::movement::transpose::Transpose;

pub(super) const TABLE: &[Row] = &[
    ("Einsum", "", einsum),
    ("Cross", "", |cx| {
        let (x, y) = (cx.arg(0)?, cx.arg(1)?);
        let args = [("self", Arg::T(x)), ("other", Arg::T(y)), ("dim", Arg::I(-1))];
        Ok(vec![cx.aten("linalg_cross", &args)?.into()])
    }),
    ("Cholesky", "", |cx| {
        let x = cx.arg(0)?;
        Ok(vec![cx.aten("linalg_cholesky", &[("self", Arg::T(x)), ("upper", Arg::B(false))])?.into()])
    }),
    ("MatrixDeterminant", "", |cx| {
        let x = cx.arg(0)?;
        Ok(vec![cx.aten("det", &[("self", Arg::T(x))])?.into()])
    }),
    ("MatrixInverse", "", inverse),
    ("MatrixSolve", "", solve),
    ("MatrixTriangularSolve", "", triangular_solve),
    ("LogMatrixDeterminant", "sign log_abs_determinant", log_determinant),
];

fn einsum(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let operands: Vec<Option<V>> = cx.args()?.into_iter().map(Some).collect();
    let equation = cx.attrs.text("equation")?.to_owned();
    Ok(vec![cx.op_opt(Einsum { equation }, &operands)?.into()])
}

/// `v` with its last two axes exchanged.
fn turned(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    let rank = cx.rank(v)?;
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    if rank < 2 {
        return Err(cx.bad("a matrix has two axes"));
    }
    perm.swap(rank - 1, rank - 2);
    cx.op(Transpose { perm }, &[v])
}

fn inverse(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let mut x = cx.arg(0)?;
    if cx.attrs.flag("adjoint") {
        x = turned(cx, x)?;
    }
    Ok(vec![cx.aten("linalg_inv", &[("A", Arg::T(x))])?.into()])
}

fn solve(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (mut x, y) = (cx.arg(0)?, cx.arg(1)?);
    if cx.attrs.flag("adjoint") {
        x = turned(cx, x)?;
    }
    Ok(vec![cx.aten("linalg_solve", &[("A", Arg::T(x)), ("B", Arg::T(y))])?.into()])
}

fn triangular_solve(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (mut x, y) = (cx.arg(0)?, cx.arg(1)?);
    let mut upper = cx.attrs.bool("lower") == Some(false);
    if cx.attrs.flag("adjoint") {
        x = turned(cx, x)?;
        upper = !upper;
    }
    let args = [("self", Arg::T(x)), ("B", Arg::T(y)), ("upper", Arg::B(upper))];
    Ok(vec![cx.aten("linalg_solve_triangular", &args)?.into()])
}

fn log_determinant(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let out = cx.aten_all("linalg_slogdet", &[("A", Arg::T(x))])?;
    Ok(out.into_iter().map(Val::from).collect())
}
