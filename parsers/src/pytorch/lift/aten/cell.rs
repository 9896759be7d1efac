//! Single steps of recurrent networks.
use super::linear::linear_of;
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed, unsupported};

pub(super) const TABLE: super::Table = &[
    ("lstm_cell", lstm_cell),
    ("gru_cell", gru_cell),
    ("rnn_tanh_cell", |cx| plain(cx, "tanh")),
    ("rnn_relu_cell", |cx| plain(cx, "relu")),
];

/// What the input and the state contribute to the gates.
fn contributions(cx: &mut Cx, hx: V) -> R<(V, V)> {
    let x = cx.t("input")?;
    let (w_ih, w_hh) = (cx.t("w_ih")?, cx.t("w_hh")?);
    let (b_ih, b_hh) = (cx.opt_t("b_ih")?, cx.opt_t("b_hh")?);
    Ok((linear_of(cx, x, w_ih, b_ih)?, linear_of(cx, hx, w_hh, b_hh)?))
}
fn plain(cx: &mut Cx, activation: &str) -> R<Out> {
    let hx = cx.t("hx")?;
    let (a, b) = contributions(cx, hx)?;
    let sum = cx.b("add", a, b)?;
    Ok(Out::Fresh(cx.u(activation, sum)?))
}
/// `n` equal parts of the last axis.
fn parts(cx: &mut Cx, v: V, n: i64) -> R<Vec<V>> {
    let axis = cx.rank(v)?.checked_sub(1).ok_or_else(|| malformed("gates are no vectors"))?;
    let width = cx.known(v, axis).ok_or_else(|| unsupported("a recurrent cell of dynamic width"))?;
    let size = width / n;
    (0..n).map(|k| cx.slice_known(v, axis, k * size, (k + 1) * size)).collect()
}

fn lstm_cell(cx: &mut Cx) -> R<Out> {
    let [h, c] = cx.ts("hx")?[..] else { return Err(malformed("an LSTM cell has two states")) };
    let (a, b) = contributions(cx, h)?;
    let gates = cx.b("add", a, b)?;
    let [i, f, g, o] = parts(cx, gates, 4)?[..] else { return Err(malformed("an LSTM cell has four gates")) };
    let (i, f, o) = (cx.u("sigmoid", i)?, cx.u("sigmoid", f)?, cx.u("sigmoid", o)?);
    let g = cx.u("tanh", g)?;
    let (kept, new) = (cx.b("mul", f, c)?, cx.b("mul", i, g)?);
    let c = cx.b("add", kept, new)?;
    let t = cx.u("tanh", c)?;
    Ok(Out::Many(vec![Out::Fresh(cx.b("mul", o, t)?), Out::Fresh(c)]))
}
fn gru_cell(cx: &mut Cx) -> R<Out> {
    let h = cx.t("hx")?;
    let (a, b) = contributions(cx, h)?;
    let (a, b) = (parts(cx, a, 3)?, parts(cx, b, 3)?);
    let r = cx.b("add", a[0], b[0])?;
    let r = cx.u("sigmoid", r)?;
    let z = cx.b("add", a[1], b[1])?;
    let z = cx.u("sigmoid", z)?;
    let n = cx.b("mul", r, b[2])?;
    let n = cx.b("add", a[2], n)?;
    let n = cx.u("tanh", n)?;
    // n + z (h - n), which is exact where h = n.
    let d = cx.b("sub", h, n)?;
    let d = cx.b("mul", z, d)?;
    Ok(Out::Fresh(cx.b("add", n, d)?))
}
