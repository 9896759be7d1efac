//! `legalize-tflite-windows`
//!
//! ```text
//! %y = hann_window(%n)   ->   %i = range(0, %n, 1)
//!                             %a = mul(%i, pi / %n)
//!                             %s = sin(%a)
//!                             %y = mul(%s, %s)
//! ```
//! - Windows of `f32` or `f16` whose size is computed.
use super::formula::{Formula, V, dtype, settle};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::reshape::Reshape;
use std::f64::consts::{PI, TAU};

/// The pass.
pub struct LegalizeTfliteWindows;

const INFO: PassInfo =
    PassInfo { name: "legalize-tflite-windows", doc: "Composes windows of computed sizes of cosines." };

impl Pass for LegalizeTfliteWindows {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(settle(g, cx, &["blackman_window", "hamming_window", "hann_window"], compose))
    }
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, result) = (node.op().clone(), node.outputs().first().and_then(|y| dtype(g, *y)));
    let Some(size) = node.input(0) else { return Outcome::Skip };
    let Some(result) = result.filter(|d| matches!(d, DType::F32 | DType::F16 | DType::BF16)) else {
        return Outcome::miss("the elements are no floats of 16 or 32 bits");
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let f = &mut Formula::new(b, DType::F32);
        let y = match &op {
            Op::HannWindow(op) => {
                let angle = angles(f, size, op.periodic, PI)?;
                let s = f.op("sin", &[angle])?;
                f.op("mul", &[s, s])?
            }
            Op::HammingWindow(op) => {
                let angle = angles(f, size, op.periodic, TAU)?;
                let c = f.op("cos", &[angle])?;
                let c = f.with("mul", c, 21.0 / 46.0)?;
                f.of("sub", 25.0 / 46.0, c)?
            }
            Op::BlackmanWindow(op) => {
                let angle = angles(f, size, op.periodic, TAU)?;
                let twice = f.with("mul", angle, 2.0)?;
                let (once, twice) = (f.op("cos", &[angle])?, f.op("cos", &[twice])?);
                let (once, twice) = (f.with("mul", once, 0.5)?, f.with("mul", twice, 0.08)?);
                let y = f.op("sub", &[twice, once])?;
                f.with("add", y, 0.42)?
            }
            _ => return Err(Diag::error("E0303", "no window")),
        };
        Ok(vec![f.cast(y, result)?])
    }))
}

/// `turn * i / N` for each position `i`, where `N` is the size when periodic, else one less.
fn angles(f: &mut Formula<'_, '_>, size: ValueId, periodic: bool, turn: f64) -> V {
    let none = f.b.ints(&[]);
    let size = f.node(Reshape::default(), &[size, none])?;
    let size = f.cast(size, DType::I64)?;
    let (zero, one) = (f.b.scalar(0i64), f.b.scalar(1i64));
    let places = f.op("range", &[zero, size, one])?;
    let places = f.cast(places, DType::F32)?;
    let mut period = f.cast(size, DType::F32)?;
    if !periodic || planted("legalize-tflite-windows") {
        period = f.with("sub", period, 1.0)?;
    }
    let step = f.of("div", turn, period)?;
    f.op("mul", &[places, step])
}
