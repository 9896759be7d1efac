//! Cells of recurrent layers, with their weights as ONNX orders them.
use super::activation;
use crate::keras::kx::Kx;
use crate::keras::upgrade::GATES;
use crate::tensorflow::lift::cx::R;
use hoist_ir::ops::Op;
use hoist_ir::ops::recurrent::Direction;
use hoist_ir::ops::recurrent::gru::Gru;
use hoist_ir::ops::recurrent::lstm::Lstm;
use hoist_ir::ops::recurrent::rnn::Rnn;
use hoist_ir::tensor::{Tensor, TensorError};
use serde_json::{Map, Value as Json};

type Config = Map<String, Json>;

/// What computes a step.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Simple,
    Lstm,
    Gru,
}

/// A cell with its weights as ONNX orders them.
pub(super) struct Cell {
    pub kind: Kind,
    pub units: usize,
    pub w: Tensor,
    pub r: Tensor,
    pub b: Option<Tensor>,
    pub activations: Vec<(&'static str, f32, f32)>,
    /// The reset gate of a GRU acts behind the product.
    pub reset_after: bool,
    pub backwards: bool,
}

impl Cell {
    pub fn read(
        kx: &Kx<'_, '_, '_>,
        class: &str,
        config: &Config,
        key: &str,
        inputs: Option<u64>,
    ) -> R<Self> {
        let (kind, gates): (Kind, &[usize]) = match super::plain(class) {
            "SimpleRNN" | "SimpleRNNCell" => (Kind::Simple, &[0]),
            "LSTM" | "LSTMCell" => (Kind::Lstm, &[0, 3, 1, 2]),
            "GRU" | "GRUCell" => (Kind::Gru, &[0, 1, 2]),
            other => return Err(kx.unsupported(format!("cells of class `{other}`"))),
        };
        let units = config.get("units").and_then(Json::as_u64).and_then(|u| usize::try_from(u).ok());
        let units = units.filter(|u| *u > 0 && *u < 1 << 31).ok_or_else(|| kx.bad("`units` is no size"))?;
        let wide = (units * gates.len()) as i64;
        let (inputs, own) = (inputs.map(|n| n as i64), Some(units as i64));
        let kernel = weight(kx, config, &format!("{key}kernel"), &[inputs, Some(wide)], own)?;
        let recurrent = weight(kx, config, &format!("{key}recurrent_kernel"), &[own, Some(wide)], own)?;
        let flag = |name: &str, default: bool| config.get(name).and_then(Json::as_bool).unwrap_or(default);
        let reset_after = kind == Kind::Gru && flag("reset_after", false);
        let bias = if flag("use_bias", true) {
            let sizes = if reset_after { vec![Some(2), Some(wide)] } else { vec![Some(wide)] };
            Some(weight(kx, config, &format!("{key}bias"), &sizes, own)?)
        } else {
            None
        };
        let wrong = |e: TensorError| kx.bad(e);
        let w = ordered(&kernel, gates, units).map_err(wrong)?;
        let r = ordered(&recurrent, gates, units).map_err(wrong)?;
        let b = bias.map(|b| biases(&b, gates, units, reset_after)).transpose().map_err(wrong)?;
        let old = kx.weights.is_old();
        let function = |name: &str| {
            activation::recurrent(config.get(name), old).ok_or_else(|| {
                let json = config.get(name).cloned().unwrap_or_default();
                kx.unsupported(format!("the activation {json} in a cell"))
            })
        };
        let own = function("activation")?;
        let activations = match kind {
            Kind::Simple => vec![own],
            Kind::Gru => vec![function("recurrent_activation")?, own],
            Kind::Lstm => vec![function("recurrent_activation")?, own, own],
        };
        Ok(Self { kind, units, w, r, b, activations, reset_after, backwards: false })
    }
    pub fn states(&self) -> usize {
        if self.kind == Kind::Lstm { 2 } else { 1 }
    }
}

/// A weight of all gates; Keras 1 kept those of each gate by themselves.
fn weight(
    kx: &Kx<'_, '_, '_>,
    config: &Config,
    name: &str,
    sizes: &[Option<i64>],
    units: Option<i64>,
) -> R<Tensor> {
    let order = match config.get(GATES).and_then(Json::as_str) {
        Some("icfo") => "ifco",
        Some(other) => other,
        None => return kx.shaped(name, sizes),
    };
    let mut own = sizes.to_vec();
    if let Some(last) = own.last_mut() {
        *last = units;
    }
    let parts = order.chars().map(|g| kx.shaped(&format!("{name} {g}"), &own)).collect::<R<Vec<_>>>()?;
    Tensor::concat(&parts, sizes.len() - 1).and_then(|t| t.materialize()).map_err(|e| kx.bad(e))
}

/// `[inputs, gates * units]` as `[1, gates * units, inputs]` with the gates in this order.
fn ordered(t: &Tensor, gates: &[usize], units: usize) -> Result<Tensor, TensorError> {
    let turned = t.permute(&[1, 0])?.materialize()?;
    let inputs = t.shape()[0];
    let rows: Vec<Tensor> = gates
        .iter()
        .map(|g| turned.slice(&[g * units, 0], &[units, inputs])?.materialize())
        .collect::<Result<_, _>>()?;
    let all = if rows.len() == 1 { turned } else { Tensor::concat(&rows, 0)?.materialize()? };
    all.reshape(&[1, gates.len() * units, inputs])
}

/// Biases of products with data and with states, one behind the other.
fn biases(t: &Tensor, gates: &[usize], units: usize, both: bool) -> Result<Tensor, TensorError> {
    let wide = gates.len() * units;
    let rows = t.reshape(&[if both { 2 } else { 1 }, wide])?;
    let row = |i: usize| -> Result<Tensor, TensorError> {
        let parts: Vec<Tensor> = gates
            .iter()
            .map(|g| rows.slice(&[i, g * units], &[1, units])?.materialize())
            .collect::<Result<_, _>>()?;
        if parts.len() == 1 { Ok(parts[0].clone()) } else { Tensor::concat(&parts, 1)?.materialize() }
    };
    let second = if both {
        row(1)?
    } else {
        Tensor::splat(&Tensor::scalar(0f32).cast(t.dtype(), false)?, &[1, wide])?
    };
    Tensor::concat(&[row(0)?, second.materialize()?], 1)?.materialize()
}

/// The operator of these cells, which are of one kind.
pub(super) fn spelled(cells: &[Cell], first: &Cell) -> Op {
    let direction = match (cells.len(), first.backwards) {
        (2, _) => Direction::Bidirectional,
        (_, true) => Direction::Reverse,
        (_, false) => Direction::Forward,
    };
    let all: Vec<(&str, f32, f32)> = cells.iter().flat_map(|c| c.activations.iter().copied()).collect();
    let takes = |name: &str, beta: bool| match name {
        "Affine" | "HardSigmoid" => true,
        "Elu" | "LeakyRelu" => !beta,
        _ => false,
    };
    let activation_alpha = all.iter().filter(|a| takes(a.0, false)).map(|a| a.1).collect();
    let activation_beta = all.iter().filter(|a| takes(a.0, true)).map(|a| a.2).collect();
    let usual = match first.kind {
        Kind::Simple => vec!["Tanh"],
        Kind::Gru => vec!["Sigmoid", "Tanh"],
        Kind::Lstm => vec!["Sigmoid", "Tanh", "Tanh"],
    };
    let names: Vec<&str> = all.iter().map(|a| a.0).collect();
    let plain = names.chunks(usual.len()).all(|c| c == usual);
    let activations = (!plain).then(|| names.iter().map(|n| (*n).to_owned()).collect());
    let hidden_size = Some(first.units as i64);
    match first.kind {
        Kind::Simple => {
            Rnn { activation_alpha, activation_beta, activations, direction, hidden_size, ..Rnn::default() }
                .into()
        }
        Kind::Gru => Gru {
            activation_alpha,
            activation_beta,
            activations,
            direction,
            hidden_size,
            linear_before_reset: first.reset_after,
            ..Gru::default()
        }
        .into(),
        Kind::Lstm => {
            Lstm { activation_alpha, activation_beta, activations, direction, hidden_size, ..Lstm::default() }
                .into()
        }
    }
}
