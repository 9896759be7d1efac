//! Matrix products: `FULLY_CONNECTED`, `BATCH_MATMUL`.
//!
//! Transposes of the last two axes and additions of a constant vector are absorbed by [`fuse`], a peephole on the program.
use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::{Program, T};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::elementwise::arithmetic::Add;
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;
use std::collections::HashMap;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[("mat_mul", mat_mul)];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] =
    &[(Builtin::FullyConnected, fully_connected), (Builtin::BatchMatmul, batch_matmul)];

/// Most axes of the operands of `BATCH_MATMUL`.
const MAX_RANK: usize = 5;
const ACTIVATION: &str = "fused_activation_function";

fn mat_mul(cx: &mut Cx<'_>) -> R<()> {
    let dtype = cx.dtype(0)?;
    if dtype != DType::F32 {
        return Err(format!("element type {dtype}"));
    }
    let (a, b) = (cx.rank(0)?, cx.rank(1)?);
    if a < 2 || b < 2 {
        return Err("a vector as operand".into());
    }
    let weights = cx.constant(1).is_some_and(|w| w.rank() == 2 && !w.is_empty());
    if let Some(w) = cx.value(1).filter(|_| weights) {
        let x = cx.arg(0)?;
        let w = cx.derived(w, "transposed", |w| w.permute(&[1, 0]).map_err(|e| e.to_string()))?;
        let options = Builtin::FullyConnected.options().map(|o| o.with("keep_num_dims", a > 2));
        return cx.emit(Builtin::FullyConnected, options, &[x, w]);
    }
    if a > MAX_RANK || b > MAX_RANK {
        return Err(format!("operands of more than {MAX_RANK} axes"));
    }
    let args = cx.args()?;
    cx.emit(Builtin::BatchMatmul, None, &args)
}

/// Lets products take transposed operands, and `FULLY_CONNECTED` add what is added to its result.
pub fn fuse(program: &mut Program) {
    let mut uses = vec![0usize; program.tensors.len()];
    let mut made = HashMap::new();
    for (i, instr) in program.instrs.iter().enumerate() {
        instr.inputs.iter().flatten().for_each(|t| uses[t.0 as usize] += 1);
        made.extend(instr.outputs.iter().map(|t| (*t, i)));
    }
    program.outputs.iter().for_each(|(_, t)| uses[t.0 as usize] += 1);
    let mut gone = vec![false; program.instrs.len()];
    for i in 0..program.instrs.len() {
        match program.instrs[i].builtin {
            Builtin::BatchMatmul => absorb_transposes(program, i, &made, &mut uses, &mut gone),
            Builtin::Add => {
                if let Some(producer) = absorb_bias(program, i, &made, &uses) {
                    gone[i] = true;
                    made.insert(program.instrs[producer].outputs[0], producer);
                }
            }
            _ => {}
        }
    }
    let mut gone = gone.into_iter();
    program.instrs.retain(|_| !gone.next().unwrap_or(false));
    for instr in &mut program.instrs {
        instr.bodies.iter_mut().for_each(|(_, body)| fuse(body));
    }
}

/// Makes product `i` read what the transposes of its operands read; transposes that nothing else uses are marked as gone.
fn absorb_transposes(
    program: &mut Program,
    i: usize,
    made: &HashMap<T, usize>,
    uses: &mut [usize],
    gone: &mut [bool],
) {
    for (slot, flag) in [(0, "adj_x"), (1, "adj_y")] {
        let Some(t) = program.instrs[i].inputs.get(slot).copied().flatten() else { continue };
        let Some(&from) = made.get(&t) else { continue };
        let Some(x) = swapped(program, from) else { continue };
        let instr = &mut program.instrs[i];
        let Some(options) = &mut instr.options else { continue };
        options.set(flag, !options.bool(flag));
        instr.inputs[slot] = Some(x);
        uses[x.0 as usize] += 1;
        uses[t.0 as usize] -= 1;
        gone[from] = uses[t.0 as usize] == 0;
        if gone[from] {
            uses[x.0 as usize] -= 1;
        }
    }
}

/// The operand of instruction `i`, when that swaps its last two axes and nothing else.
fn swapped(program: &Program, i: usize) -> Option<T> {
    let instr = &program.instrs[i];
    let (x, perm) = match (instr.builtin, instr.inputs.as_slice()) {
        (Builtin::Transpose, [Some(x), Some(perm)]) => (*x, *perm),
        _ => return None,
    };
    let perm = program.def(perm).data.as_ref()?.to_i64s().ok()?;
    let n = perm.len() as i64;
    let plain = (0..n.saturating_sub(2)).chain([n - 1, n - 2]);
    (n >= 2 && program.def(x).ty.dtype == DType::F32 && perm.iter().copied().eq(plain)).then_some(x)
}

/// Gives the `FULLY_CONNECTED` that makes an operand of addition `i` the other operand as bias; returns its position.
fn absorb_bias(program: &mut Program, i: usize, made: &HashMap<T, usize>, uses: &[usize]) -> Option<usize> {
    let (&[Some(a), Some(b)], &[y]) =
        (program.instrs[i].inputs.as_slice(), program.instrs[i].outputs.as_slice())
    else {
        return None;
    };
    let activation = program.instrs[i].options.as_ref().map_or(0, |o| o.int(ACTIVATION));
    for (x, c) in [(a, b), (b, a)] {
        let Some(&producer) = made.get(&x) else { continue };
        let instr = &program.instrs[producer];
        let bare = instr.builtin == Builtin::FullyConnected
            && instr.inputs.get(2).copied().flatten().is_none()
            && instr.options.as_ref().is_some_and(|o| o.int(ACTIVATION) == 0);
        if !bare || uses[x.0 as usize] != 1 {
            continue;
        }
        let Some(bias) = bias(program, producer, x, c) else { continue };
        let instr = &mut program.instrs[producer];
        instr.inputs.truncate(2);
        instr.inputs.push(Some(bias));
        instr.outputs = vec![y];
        if let Some(o) = instr.options.as_mut().filter(|_| activation != 0) {
            o.set(ACTIVATION, activation);
        }
        return Some(producer);
    }
    None
}

/// Constant `c` as the bias of the product that makes `x`, when it is one number for each column.
fn bias(program: &mut Program, producer: usize, x: T, c: T) -> Option<T> {
    let weights = program.instrs[producer].inputs.get(1).copied().flatten()?;
    let columns = program.def(weights).ty.sizes()?.first().copied()?;
    let rank = program.def(x).ty.rank()?;
    let data = program.def(c).data.as_ref()?;
    let fits = data.dtype() == DType::F32
        && data.len() == columns
        && data.rank() <= rank
        && data.shape().last() == Some(&columns);
    let flat = data.reshape(&[columns]).ok().filter(|_| fits)?;
    if data.rank() == 1 {
        return Some(c);
    }
    Some(program.add(crate::tflite::program::TensorDef::constant(flat)))
}

fn batch_matmul(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let mut operands = vec![];
    for (i, flag) in [(0, "adj_x"), (1, "adj_y")] {
        let v = cx.arg(i)?;
        operands.push(if cx.flag(flag) { turned(cx, v)? } else { v });
    }
    let y = cx.op(MatMul {}, &operands)?;
    Ok(vec![y])
}

/// `v` with its last two axes swapped.
fn turned(cx: &mut LiftCx<'_, '_>, v: ValueId) -> Result<ValueId, Diag> {
    let rank = cx.rank(v)?;
    if rank < 2 {
        return Err(cx.bad("a matrix has two axes at least"));
    }
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.swap(rank - 1, rank - 2);
    cx.op(Transpose { perm }, &[v])
}

fn fully_connected(cx: &mut LiftCx<'_, '_>) -> Lifted {
    if cx.int("weights_format") != 0 {
        return Err(cx.unsupported("shuffled weights"));
    }
    let (mut x, w) = (cx.arg(0)?, cx.arg(1)?);
    let columns = match cx.shape(w).map(Vec::as_slice) {
        Some([_, k]) => k.known().and_then(|k| i64::try_from(k).ok()),
        _ => return Err(cx.bad("weights have two axes")),
    };
    let keeps = cx.flag("keep_num_dims");
    // A size that is not known is that of the weights where all axes are kept.
    let fits = |d: &Dim| d.known().map_or(keeps, |n| columns.is_some_and(|k| k as u64 == n));
    let matches = cx.shape(x).is_some_and(|s| s.len() >= 2 && s.last().is_some_and(fits));
    let stays = matches && (keeps || cx.rank(x)? == 2);
    if !stays {
        let columns = columns.ok_or_else(|| cx.unsupported("weights of unknown size"))?;
        if keeps && !matches && cx.rank(x)? > 1 {
            return Err(cx.bad("operand and weights do not fit"));
        }
        let flat = if keeps { vec![columns] } else { vec![-1, columns] };
        let to = cx.b.ints(&flat);
        x = cx.op(Reshape::default(), &[x, to])?;
    }
    let w = turned(cx, w)?;
    let mut y = cx.op(MatMul {}, &[x, w])?;
    if let Some(c) = cx.opt(2) {
        y = cx.op(Add {}, &[y, c])?;
    }
    Ok(vec![cx.activated(y)?])
}
