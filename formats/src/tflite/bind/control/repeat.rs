//! `loop` as WHILE.
//!
//! WHILE carries, in this order: the number of the iteration, the number of iterations at most, the condition, what the loop carries, the
//! scan values of the iterations so far, and what the body captures.
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::{Instr, Program, T, TensorDef};
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::ops::control::loop_::may_stop;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};
use std::sync::Arc;

/// Element types that CONCATENATION joins.
const JOINED: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::U8,
    DType::I16,
    DType::I32,
    DType::U32,
    DType::I64,
    DType::Bool,
];

/// How the scan values of all iterations are kept.
enum Kept {
    /// One value for each iteration, in a tensor of the result's shape.
    Whole(TensorType),
    /// The elements one behind the other, without a shape; and the shape of the last value, where that is not known.
    Flat { element: TensorType, open: bool },
}

pub(super) fn lower(cx: &mut Cx<'_>) -> R<()> {
    let n = cx.len().checked_sub(cx.captures() + 2).ok_or("operands left out")?;
    let mut body = cx.body(0)?;
    let counter = body.inputs.first().ok_or("a body without inputs")?.1;
    let counter = body.def(counter).ty.clone();
    let one = |v: i64| Tensor::from_vec(&vec![1; counter.rank().unwrap_or(0)], vec![v]);
    let kept = scans(cx, n)?;
    let start = cx.konst(one(0));
    let limit = match cx.opt(0)? {
        Some(t) => t,
        None => cx.konst(Tensor::scalar(i64::MAX)),
    };
    let checked = cx.value(1).is_some();
    let go = match cx.opt(1)? {
        Some(t) => t,
        None => cx.konst(Tensor::from_bools(&[], vec![true])),
    };
    let mut inputs = vec![start, limit, go];
    for i in 0..n {
        inputs.push(cx.arg(2 + i)?);
    }
    for k in &kept {
        inputs.extend(nothing(cx, k)?);
    }
    for i in 2 + n..cx.len() {
        inputs.push(cx.arg(i)?);
    }
    let mut types: Vec<TensorType> = inputs.iter().map(|t| cx.def(*t).ty.clone()).collect();
    // What grows has no fixed size.
    let growing = |ty: &TensorType| ty.rank() == Some(1) && ty.sizes().is_some_and(|s| s == [0]);
    types[3 + n..inputs.len() - cx.captures()]
        .iter_mut()
        .filter(|t| growing(t))
        .for_each(|t| *t = flat(t.dtype));
    let condition = condition(&types, checked);
    extend(&mut body, n, &types, &kept, one(1))?;
    let mut outputs = vec![];
    for (i, ty) in types.iter().enumerate() {
        let result = i.checked_sub(3).filter(|k| *k < n);
        outputs.push(match result {
            Some(k) => cx.out(k)?,
            None => cx.fresh(ty.clone())?,
        });
    }
    let mut at = 3 + n;
    for (k, how) in kept.iter().enumerate() {
        at = shown(cx, how, n + k, at, &mut outputs)?;
    }
    let inputs = inputs.into_iter().map(Some).collect();
    let bodies = vec![("cond_subgraph_index", condition), ("body_subgraph_index", body)];
    let (count, tails) = (outputs[0], outputs.clone());
    cx.call(Builtin::While, inputs, outputs, bodies)?;
    let mut at = 3 + n;
    for (k, how) in kept.iter().enumerate() {
        if let Kept::Flat { element, open } = how {
            shaped(cx, n + k, element, count, &tails[at..], *open)?;
            at += usize::from(*open);
        }
        at += 1;
    }
    Ok(())
}

/// How each scan value is kept; `n` values are carried.
fn scans(cx: &Cx<'_>, n: usize) -> R<Vec<Kept>> {
    let body = cx.g.node(cx.n).bodies().first().ok_or("a loop without body")?;
    let fixed =
        cx.value(1).is_none() || cx.constant(1).and_then(|t| t.to_bools().ok()).is_some_and(|b| b == [true]);
    let trips = cx.ints(0).filter(|_| fixed && (cx.value(1).is_none() || !may_stop(body)));
    let trips = trips.and_then(|m| m.first().copied()).map(|m| m.max(0));
    let mut out = vec![];
    for o in body.outputs().iter().skip(1 + n) {
        let ty = body.ty(o.value).as_tensor().ok_or("a scan value that is no tensor")?.clone();
        let known = ty.sizes().is_some();
        let shape = ty.shape.clone().unwrap_or_default();
        if let Some(trips) = trips.filter(|t| known && i32::try_from(*t).is_ok()) {
            let whole: Shape = std::iter::once(Dim::from(trips as usize)).chain(shape).collect();
            out.push(Kept::Whole(TensorType::new(ty.dtype, whole)));
            continue;
        }
        if !JOINED.contains(&ty.dtype) {
            return Err(format!(
                "a scan value of element type {} and an unknown number of iterations",
                ty.dtype
            ));
        }
        out.push(Kept::Flat { open: !known, element: ty });
    }
    Ok(out)
}

fn flat(dtype: DType) -> TensorType {
    TensorType::new(dtype, vec![Dim::Unknown])
}

/// What is kept before the first iteration.
fn nothing(cx: &mut Cx<'_>, how: &Kept) -> R<Vec<T>> {
    match how {
        Kept::Whole(ty) => {
            let sizes: Vec<i64> = ty.sizes().unwrap_or_default().into_iter().map(|n| n as i64).collect();
            let sizes = cx.ints32(&sizes)?;
            let zero = zeros(ty.dtype, &[])?;
            let zero = cx.konst(zero);
            Ok(vec![cx.temp(Builtin::Fill, None, &[Some(sizes), Some(zero)], ty.clone())?])
        }
        Kept::Flat { element, open } => {
            let empty = cx.konst(zeros(element.dtype, &[0])?);
            let mut out = vec![empty];
            if *open {
                let shape = element.shape.iter().flatten();
                let sizes: Vec<i64> = shape.map(|d| d.known().map_or(0, |n| n as i64)).collect();
                out.push(cx.ints32(&sizes)?);
            }
            Ok(out)
        }
    }
}

fn zeros(dtype: DType, shape: &[usize]) -> R<Tensor> {
    let zero = Tensor::scalar(0i64).cast(dtype, false).map_err(|e| e.to_string())?;
    Tensor::splat(&zero, shape).and_then(|t| t.materialize()).map_err(|e| e.to_string())
}

/// Makes what is kept in `outputs[at..]` the result `k` where it has its shape already; the next position.
fn shown(cx: &mut Cx<'_>, how: &Kept, k: usize, at: usize, outputs: &mut [T]) -> R<usize> {
    match how {
        Kept::Whole(_) => {
            outputs[at] = cx.out(k)?;
            Ok(at + 1)
        }
        Kept::Flat { open, .. } => Ok(at + 1 + usize::from(*open)),
    }
}

/// Result `k` from its elements, the first of `kept`.
fn shaped(cx: &mut Cx<'_>, k: usize, element: &TensorType, count: T, kept: &[T], open: bool) -> R<()> {
    let count = cx.cast(count, DType::I32)?;
    let one = cx.ints32(&[1])?;
    let list = |n: usize| TensorType::fixed(DType::I32, &[n]);
    let count = cx.temp(Builtin::Reshape, None, &[Some(count), Some(one)], list(1))?;
    let sizes = if open {
        kept[1]
    } else {
        let sizes = element.sizes().unwrap_or_default();
        cx.ints32(&sizes.iter().map(|n| *n as i64).collect::<Vec<_>>())?
    };
    let shape = if element.rank() == Some(0) {
        count
    } else {
        let ty = element.rank().map_or_else(|| TensorType::of_rank(DType::I32, 1), |r| list(r + 1));
        cx.temp(Builtin::Concatenation, None, &[Some(count), Some(sizes)], ty)?
    };
    let out = cx.out(k)?;
    cx.push(Builtin::Reshape, None, &[Some(kept[0]), Some(shape)], vec![out])
}

fn named(types: &[TensorType], p: &mut Program) -> Vec<T> {
    let mut out = vec![];
    for (i, ty) in types.iter().enumerate() {
        let t = p.add(TensorDef::new(ty.clone()));
        p.inputs.push((format!("carried{i}").into(), t));
        out.push(t);
    }
    out
}

/// The program that tells whether another iteration follows.
fn condition(types: &[TensorType], checked: bool) -> Program {
    let mut p = Program { name: "condition".into(), ..Program::default() };
    let carried = named(types, &mut p);
    let truth = TensorType::new(DType::Bool, types[0].shape.clone().unwrap_or_default());
    let mut go = p.add(TensorDef::new(truth.clone()));
    p.instrs.push(Instr::plain(Builtin::Less, None, &[carried[0], carried[1]], go));
    if checked {
        let both = p.add(TensorDef::new(truth));
        p.instrs.push(Instr::plain(Builtin::LogicalAnd, None, &[go, carried[2]], both));
        go = both;
    }
    p.outputs.push(("go".into(), go));
    p
}

/// Makes the body of the loop take and give all that WHILE carries.
fn extend(body: &mut Program, n: usize, types: &[TensorType], kept: &[Kept], one: Tensor) -> R<()> {
    let (given, made) = (std::mem::take(&mut body.inputs), std::mem::take(&mut body.outputs));
    if given.len() < 2 + n || made.len() != 1 + n + kept.len() {
        return Err("a body that does not fit".into());
    }
    let counter = given[0].1;
    let one = body.add(TensorDef::constant(one));
    let next = body.add(TensorDef::new(types[0].clone()));
    body.instrs.push(Instr::plain(Builtin::Add, None, &[counter, one], next));
    let limit = body.add(TensorDef::new(types[1].clone()));
    let mut inputs = vec![given[0].clone(), ("limit".into(), limit), given[1].clone()];
    let mut outputs: Vec<(Arc<str>, T)> =
        vec![("next".into(), next), ("limit".into(), limit), made[0].clone()];
    inputs.extend_from_slice(&given[2..2 + n]);
    outputs.extend_from_slice(&made[1..=n]);
    for (k, (how, value)) in kept.iter().zip(&made[1 + n..]).enumerate() {
        let before = body.add(TensorDef::new(types[inputs.len()].clone()));
        inputs.push((format!("kept{k}").into(), before));
        let after = match how {
            Kept::Whole(ty) => written(body, ty, counter, before, value.1),
            Kept::Flat { element, .. } => joined(body, element.dtype, before, value.1),
        };
        outputs.push((format!("kept{k}").into(), after));
        if let Kept::Flat { open: true, .. } = how {
            let ty = types[inputs.len()].clone();
            let (before, after) = (body.add(TensorDef::new(ty.clone())), body.add(TensorDef::new(ty)));
            inputs.push((format!("shape{k}").into(), before));
            outputs.push((format!("shape{k}").into(), after));
            let options = Builtin::Shape.options().map(|o| o.with("out_type", 2));
            body.instrs.push(Instr::plain(Builtin::Shape, options, &[value.1], after));
        }
    }
    inputs.extend_from_slice(&given[2 + n..]);
    outputs.extend_from_slice(&given[2 + n..]);
    (body.inputs, body.outputs) = (inputs, outputs);
    Ok(())
}

/// `all` with `value` at position `counter`.
fn written(body: &mut Program, ty: &TensorType, counter: T, all: T, value: T) -> T {
    let sizes = ty.sizes().unwrap_or_default();
    let rank = sizes.len();
    let ints = |p: &mut Program, v: Vec<i32>| p.add(TensorDef::constant(Tensor::from_vec(&[v.len()], v)));
    let list = |n: usize| TensorDef::new(TensorType::fixed(DType::I32, &[n]));
    let one_value: Vec<usize> = std::iter::once(1).chain(sizes.iter().skip(1).copied()).collect();
    let to = ints(body, one_value.iter().map(|n| *n as i32).collect());
    let row = body.add(TensorDef::new(TensorType::fixed(ty.dtype, &one_value)));
    body.instrs.push(Instr::plain(Builtin::Reshape, None, &[value, to], row));
    let narrow = TensorType { dtype: DType::I32, ..body.def(counter).ty.clone() };
    let narrow = body.add(TensorDef::new(narrow));
    let options = Builtin::Cast.options().map(|o| o.with("in_data_type", 4).with("out_data_type", 2));
    body.instrs.push(Instr::plain(Builtin::Cast, options, &[counter], narrow));
    let single = ints(body, vec![1]);
    let mut start = body.add(list(1));
    body.instrs.push(Instr::plain(Builtin::Reshape, None, &[narrow, single], start));
    if rank > 1 {
        let zeros = ints(body, vec![0; rank - 1]);
        let whole = body.add(list(rank));
        body.instrs.push(Instr::plain(Builtin::Concatenation, None, &[start, zeros], whole));
        start = whole;
    }
    let after = body.add(TensorDef::new(ty.clone()));
    body.instrs.push(Instr::plain(Builtin::DynamicUpdateSlice, None, &[all, row, start], after));
    after
}

/// `all` with the elements of `value` behind it.
fn joined(body: &mut Program, dtype: DType, all: T, value: T) -> T {
    let to = body.add(TensorDef::constant(Tensor::from_vec(&[1], vec![-1i32])));
    let elements = body.add(TensorDef::new(flat(dtype)));
    body.instrs.push(Instr::plain(Builtin::Reshape, None, &[value, to], elements));
    let after = body.add(TensorDef::new(flat(dtype)));
    body.instrs.push(Instr::plain(Builtin::Concatenation, None, &[all, elements], after));
    after
}
