//! Sizes and axes.
use crate::tflite::lift::{Cx, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::ops::elementwise::arithmetic::Sub;
use hoist_ir::ops::elementwise::compare::Equal;
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::elementwise::variadic::Max;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::ops::shape::size::Size;

/// Sizes are the operand, else the option, where a single 0 stands for no axes.
pub(super) fn reshape(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let known = match cx.opt(1) {
        Some(_) => cx.ints(1),
        None => Some(cx.options.map_or(vec![], |o| o.ints("new_shape").to_vec())),
    };
    let Some(mut sizes) = known else {
        let sizes = cx.wide(1)?;
        let sizes = cx.list(sizes)?;
        return Ok(vec![cx.op(Reshape { allowzero: true }, &[x, sizes])?]);
    };
    if cx.opt(1).is_none() && sizes == [0] {
        sizes.clear();
    }
    let allowzero = sizes.contains(&0);
    if allowzero && let Some(rest) = sizes.iter_mut().find(|n| **n == -1) {
        // What is left of no elements.
        *rest = 0;
    }
    let sizes = cx.b.ints(&sizes);
    Ok(vec![cx.op(Reshape { allowzero }, &[x, sizes])?])
}

pub(super) fn squeeze(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let axes = cx.options.map_or(vec![], |o| o.ints("squeeze_dims").to_vec());
    if axes.is_empty() {
        return cx.b.add(Squeeze {}, &[Some(x)]);
    }
    let axes = cx.b.ints(&axes);
    Ok(vec![cx.op(Squeeze {}, &[x, axes])?])
}

pub(super) fn expand_dims(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, axis) = (cx.arg(0)?, cx.wide(1)?);
    let axis = cx.list(axis)?;
    Ok(vec![cx.op(Unsqueeze {}, &[x, axis])?])
}

pub(super) fn shape(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let sizes = cx.op(Shape::default(), &[x])?;
    cx.declared(sizes)
}

pub(super) fn rank(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let sizes = cx.op(Shape::default(), &[x])?;
    let count = cx.op(Size {}, &[sizes])?;
    cx.declared(count)
}

pub(super) fn fill(cx: &mut Cx<'_, '_>) -> Lifted {
    let (sizes, value) = (cx.wide(0)?, cx.arg(1)?);
    Ok(vec![cx.op(Expand {}, &[value, sizes])?])
}

pub(super) fn range(cx: &mut Cx<'_, '_>) -> Lifted {
    let ends = [cx.arg(0)?, cx.arg(1)?, cx.arg(2)?];
    Ok(vec![cx.op(Range::default(), &ends)?])
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast_args(cx: &mut Cx<'_, '_>) -> Lifted {
    debug_assert_eq!(cx.builtin, Builtin::BroadcastArgs);
    let mut lists = [cx.wide(0)?, cx.wide(1)?];
    let known = lists.map(|v| cx.shape(v).and_then(|s| s.first()?.known()));
    let one = cx.b.ints(&[1]);
    if let [Some(a), Some(b)] = known {
        for (v, n) in lists.iter_mut().zip([a, b]) {
            if n < a.max(b) {
                let ones = cx.b.ints(&vec![1; (a.max(b) - n) as usize]);
                *v = cx.concat(&[ones, *v], 0)?;
            }
        }
    } else {
        let lengths = [cx.op(Shape::default(), &[lists[0]])?, cx.op(Shape::default(), &[lists[1]])?];
        let rank = cx.op(Max {}, &lengths)?;
        for (v, n) in lists.iter_mut().zip(lengths) {
            let more = cx.op(Sub {}, &[rank, n])?;
            let ones = cx.op(Expand {}, &[one, more])?;
            *v = cx.concat(&[ones, *v], 0)?;
        }
    }
    let is_one = cx.op(Equal {}, &[lists[0], one])?;
    let sizes = cx.op(Where {}, &[is_one, lists[1], lists[0]])?;
    cx.declared(sizes)
}
