//! The floats that integers stand for, without the steps between.
use crate::fault::planted;
use crate::queries::is_never_negative;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::tensor::{Tensor, TensorError};
use std::collections::HashMap;

/// Scale and zero point of integers, and the floats that they stand for.
#[derive(Clone, PartialEq, Debug)]
struct Steps {
    scales: Tensor,
    zeros: Option<Tensor>,
    axis: i64,
    block: i64,
    dtype: DType,
}

/// What integers became.
pub struct Twins {
    known: HashMap<ValueId, Vec<(Steps, ValueId)>>,
}

/// Why there are no floats in the place of integers.
type Refusal = &'static str;

/// Operators that move elements, and take integers as they take floats.
const MOVES: &[&str] = &[
    "concat",
    "depth_to_space",
    "expand",
    "flatten",
    "gather",
    "gather_nd",
    "identity",
    "max",
    "max_pool",
    "min",
    "pad",
    "reshape",
    "reverse_sequence",
    "slice",
    "space_to_depth",
    "split",
    "squeeze",
    "tile",
    "transpose",
    "unsqueeze",
];
/// Movements between the conversion to integers and that back, at most.
const DEPTH: usize = 32;

impl Twins {
    /// Without any.
    pub fn new() -> Self {
        Self { known: HashMap::new() }
    }
    /// Replaces `dequantize_linear` `n` by floats.
    ///
    /// # Errors
    /// The reason why it stays.
    pub fn replace(&mut self, g: &mut Graph, n: NodeId) -> Result<(), String> {
        let node = g.node(n);
        let (Op::DequantizeLinear(op), Some(q)) = (node.op(), node.input(0)) else {
            return Err("the integers are missing".to_owned());
        };
        let scales = node.input(1).and_then(|s| g.constant(s).cloned());
        let zeros = node.input(2).map(|z| g.constant(z).cloned());
        let y = node.outputs().first().copied();
        let dtype = y.and_then(|y| g.ty(y).as_tensor()).map(|t| t.dtype).ok_or("the result is missing")?;
        let (Some(scales), Some(zeros)) = (scales, zeros.map_or(Some(None), |z| z.map(Some))) else {
            return dynamic(g, n, q);
        };
        let steps = Steps { scales, zeros, axis: op.axis, block: op.block_size, dtype };
        let real = self.twin(g, n, q, &steps, DEPTH)?;
        g.rewrite(n, &[], |_| Ok(vec![real])).map_err(|d| d.message)
    }
    /// The floats of `q`, defined before `n`.
    fn twin(
        &mut self,
        g: &mut Graph,
        n: NodeId,
        q: ValueId,
        steps: &Steps,
        depth: usize,
    ) -> Result<ValueId, String> {
        let known = self.known.get(&q).and_then(|all| all.iter().find(|(s, _)| s == steps));
        if let Some((_, v)) = known.filter(|(_, v)| defined(g, *v, n)) {
            return Ok(*v);
        }
        let made = match g.value(q).def() {
            Def::Const => {
                let name = g.value(q).name.clone();
                let real = constant(g, q, steps).map_err(|e| e.to_string())?;
                let v = g.add_const(real);
                g.set_name(v, name);
                v
            }
            Def::Node { node, slot } if depth > 0 => match g.node(node).op() {
                Op::QuantizeLinear(_) => quantized(g, n, node, steps)?,
                op if MOVES.contains(&op.name()) => return self.moved(g, n, (node, slot), steps, depth),
                _ => return Err("the integers are computed".to_owned()),
            },
            Def::Input(_) => return Err("the model is given the integers".to_owned()),
            _ => return Err("the integers are computed".to_owned()),
        };
        self.known.entry(q).or_default().push((steps.clone(), made));
        Ok(made)
    }
    /// Movement `m` of floats, before `n`.
    fn moved(
        &mut self,
        g: &mut Graph,
        n: NodeId,
        (m, slot): (NodeId, u32),
        steps: &Steps,
        depth: usize,
    ) -> Result<ValueId, String> {
        if steps.scales.len() != 1 {
            return Err("scales of an axis would have to be moved with it".to_owned());
        }
        let node = g.node(m);
        let (op, mut operands, outputs) =
            (node.op().clone(), node.inputs().to_vec(), node.outputs().to_vec());
        if matches!(op.name(), "max_pool") && outputs.len() > 1 {
            return Err("positions of integers are asked for".to_owned());
        }
        for (i, operand) in operands.iter_mut().enumerate() {
            let data = match op.name() {
                "concat" | "max" | "min" => true,
                "pad" => i == 0 || i == 2,
                _ => i == 0,
            };
            if let Some(v) = operand.filter(|_| data) {
                *operand = Some(self.twin(g, n, v, steps, depth - 1)?);
            }
        }
        let origin = g.node(m).origin.clone();
        let made =
            Builder::before(g, n, origin).add_n(op, &operands, outputs.len()).map_err(|d| d.message)?;
        for (q, v) in outputs.iter().zip(&made) {
            self.known.entry(*q).or_default().push((steps.clone(), *v));
        }
        made.get(slot as usize).copied().ok_or_else(|| "a result is missing".to_owned())
    }
}

/// Data that is dequantized by the scale that was found while it was quantized.
fn dynamic(g: &mut Graph, n: NodeId, q: ValueId) -> Result<(), String> {
    let node = g.node(n);
    let Def::Node { node: p, slot: 0 } = g.value(q).def() else {
        return Err("the scale is computed".to_owned());
    };
    let made = g.node(p).outputs();
    let same = made.get(1).copied() == node.input(1) && made.get(2).copied() == node.input(2);
    if !matches!(g.node(p).op(), Op::DynamicQuantizeLinear(_)) || !same {
        return Err("the scale is computed".to_owned());
    }
    let x = g.node(p).input(0).ok_or("the data is missing")?;
    g.rewrite(n, &[p], |_| Ok(vec![x])).map_err(|d| d.message)
}

fn defined(g: &Graph, v: ValueId, n: NodeId) -> bool {
    g.value(v).def() != Def::Erased && g.producer(v).is_none_or(|p| g.comes_before(p, n))
}

/// The numbers of constant `q`, computed while they are read.
fn constant(g: &Graph, q: ValueId, steps: &Steps) -> Result<Tensor, TensorError> {
    let missing = || TensorError::Shape("the integers are not constant".to_owned());
    let t = g.constant(q).ok_or_else(missing)?;
    let scales = steps.scales.to_f32s()?.into_owned();
    let zeros = match &steps.zeros {
        Some(z) => z.to_f32s()?.into_owned(),
        None => vec![0.0; scales.len()],
    };
    let zeros = if zeros.len() == 1 { vec![zeros[0]; scales.len()] } else { zeros };
    let rank = t.rank() as i64;
    let axis = if steps.axis < 0 { steps.axis + rank } else { steps.axis };
    let axis = usize::try_from(axis)
        .ok()
        .filter(|_| steps.scales.rank() > 0 && (scales.len() > 1 || steps.block > 0));
    let block = usize::try_from(steps.block).map_err(|_| missing())?;
    let real = t.dequantize(scales, zeros, axis, if axis.is_some() { block } else { 0 })?;
    if steps.dtype == DType::F32 { Ok(real) } else { real.lazy_cast(steps.dtype, false) }
}

/// What `quantize_linear` `m` quantizes, within what its integers can stand for where that says something; before `n`.
fn quantized(g: &mut Graph, n: NodeId, m: NodeId, steps: &Steps) -> Result<ValueId, Refusal> {
    let node = g.node(m);
    let Op::QuantizeLinear(op) = node.op() else { return Err("the integers are computed") };
    let tensor = |i: usize| node.input(i).and_then(|v| g.constant(v));
    let zero = |t: Option<&Tensor>| t.map_or(Some(vec![0.0]), |z| z.to_f64s().ok());
    let (a, b) = (zero(tensor(2)), zero(steps.zeros.as_ref()));
    let all = |v: &[f64]| v.iter().all(|v| *v == 0.0);
    let zeros = matches!((&a, &b), (Some(a), Some(b)) if a == b || all(a) && all(b));
    let scales = tensor(1)
        .is_some_and(|s| s.len() == steps.scales.len() && s.to_f64s().ok() == steps.scales.to_f64s().ok());
    let axes = steps.scales.len() == 1 || (op.axis, op.block_size) == (steps.axis, steps.block);
    if !(zeros && scales && axes) {
        return Err("the integers are read with another scale than they were made with");
    }
    let x = node.input(0).ok_or("the data is missing")?;
    let bounds = bounds(g, x, (m, &a.unwrap_or_default()), steps);
    let from = g.ty(x).as_tensor().map(|t| t.dtype).ok_or("the data is no tensor")?;
    let origin = g.node(m).origin.clone();
    let mut b = Builder::before(g, n, origin);
    let mut built = || -> Result<ValueId, Diag> {
        let mut v = x;
        if let Some((low, high)) = bounds {
            let low = b.scalar_like(low, x)?;
            let high = high.map(|h| b.scalar_like(h, x)).transpose()?;
            v = match high {
                None => {
                    let relu = Op::by_name("relu").ok_or_else(|| Diag::error("E0401", "no relu"))?;
                    b.add(relu, &[Some(v)])?[0]
                }
                Some(high) => b.add(Clip {}, &[Some(v), Some(low), Some(high)])?[0],
            };
        }
        if from == steps.dtype {
            Ok(v)
        } else {
            Ok(b.add(Cast { to: steps.dtype, ..Default::default() }, &[Some(v)])?[0])
        }
    };
    built().map_err(|_| "the data is of another type")
}

/// The bound of `relu6`, which conversions to integers replace too.
const SIX: f64 = 6.0;

/// Bounds that the integers set and that a model may rely on. Quantizers leave out `relu` where the integers begin at 0, and `relu6` where they
/// end at 6 as well. Other ends are those of numbers that were seen; numbers beyond are no error of the model. What a model is given lies within.
fn bounds(g: &Graph, x: ValueId, (m, zeros): (NodeId, &[f64]), steps: &Steps) -> Option<(f64, Option<f64>)> {
    let y = *g.node(m).outputs().first()?;
    let (first, last) = g.ty(y).as_tensor()?.dtype.int_range()?;
    let scale = steps.scales.to_f64s().ok()?;
    let (&[zero], &[scale]) = (zeros, scale.as_slice()) else { return None };
    if zero != first as f64 || g.producer(x).is_none() || planted("dequantize-model") {
        return None;
    }
    let high = (last as f64 - zero) * scale;
    let is_clip = g.producer(x).is_some_and(|p| matches!(g.node(p).op(), Op::Clip(_)));
    if (high - SIX).abs() <= scale / 2.0 && !is_clip {
        return Some((0.0, Some(SIX)));
    }
    (!is_never_negative(g, x)).then_some((0.0, None))
}
