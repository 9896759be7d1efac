//! Layers around layers.
use super::{Row, recurrent, same};
use crate::keras::kx::{Kx, Mask, Tv, Value};
use crate::keras::net;
use crate::tensorflow::lift::cx::R;

pub(super) const TABLE: &[Row] =
    &[("TimeDistributed", same, time_distributed), ("Bidirectional", super::none, recurrent::bidirectional)];

/// Lifts the layer inside, with the weights at `key`, on these operands.
fn call(kx: &mut Kx<'_, '_, '_>, key: &str, args: Vec<Value>) -> R<Vec<Tv>> {
    let layer = kx.layer.inner.first().ok_or_else(|| kx.bad("no layer in it"))?;
    let prefix = format!("{}{key}", kx.prefix);
    net::call(kx.cx.l, kx.cx.b, kx.weights, layer, prefix, args, vec![])
}

/// A wrapper that only changes training.
pub(super) fn inner(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let args = kx.args.clone();
    call(kx, "layer/", args)
}

/// Layers that treat each step by itself anyway.
const STEPWISE: &[&str] =
    &["Dense", "Activation", "Dropout", "ReLU", "LeakyReLU", "ELU", "Embedding", "Rescaling"];
/// Layers that read the mask of each step.
const MASKED: &[&str] = &["SimpleRNN", "LSTM", "GRU", "RNN", "Bidirectional", "GlobalAveragePooling1D"];

fn time_distributed(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let rank = kx.rank(x)?;
    let inside = kx.layer.inner.first().ok_or_else(|| kx.bad("no layer in it"))?;
    let class = super::plain(&inside.class);
    if kx.mask()? != Mask::None && (MASKED.contains(&class) || inside.net.is_some()) {
        return Err(kx.unsupported(format!("a mask around `{class}`")));
    }
    if STEPWISE.contains(&class) && rank > 2 {
        return call(kx, "layer/", vec![Value::Tensor(x.into())]);
    }
    if rank < 2 {
        return Err(kx.bad("data without steps"));
    }
    let shape = kx.shape_of(x)?;
    let behind: Option<Vec<i64>> =
        (2..rank).map(|a| kx.size(x, a).and_then(|n| i64::try_from(n).ok())).collect();
    let flat = if let Some(behind) = behind {
        let sizes: Vec<i64> = std::iter::once(-1).chain(behind).collect();
        kx.reshape(x, &sizes)?
    } else {
        let rest = kx.slice(shape, 0, 2, i64::MAX)?;
        let open = kx.int_list(&[-1]);
        let list = kx.concat(&[open, rest], 0)?;
        kx.reshape_to(x, list)?
    };
    let results = call(kx, "layer/", vec![Value::Tensor(flat.into())])?;
    let mut out = vec![];
    for t in results {
        let n = kx.rank(t.v)?;
        let rest: Option<Vec<i64>> =
            (1..n).map(|a| kx.size(t.v, a).and_then(|n| i64::try_from(n).ok())).collect();
        let steps = kx.size(x, 1).and_then(|n| i64::try_from(n).ok());
        let v = match (steps, rest) {
            (Some(steps), Some(rest)) if steps > 0 => {
                let sizes: Vec<i64> = [-1, steps].into_iter().chain(rest).collect();
                kx.reshape(t.v, &sizes)?
            }
            _ => {
                let first = kx.slice(shape, 0, 0, 2)?;
                let own = kx.shape_of(t.v)?;
                let rest = kx.slice(own, 0, 1, i64::MAX)?;
                let list = kx.concat(&[first, rest], 0)?;
                kx.reshape_to(t.v, list)?
            }
        };
        out.push(v.into());
    }
    Ok(out)
}
