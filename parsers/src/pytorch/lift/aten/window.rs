//! Sliding blocks, borders, and moves between channels and space.
use super::conv::{batched, per_axis, unbatched};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("im2col", im2col),
    ("unfold_im2col", im2col),
    ("col2im", col2im),
    ("pad", pad),
    ("constant_pad_nd", |cx| padded(cx, "constant")),
    ("reflection_pad1d", |cx| padded(cx, "reflect")),
    ("reflection_pad2d", |cx| padded(cx, "reflect")),
    ("reflection_pad3d", |cx| padded(cx, "reflect")),
    ("replication_pad1d", |cx| padded(cx, "edge")),
    ("replication_pad2d", |cx| padded(cx, "edge")),
    ("replication_pad3d", |cx| padded(cx, "edge")),
    ("_pad_circular", |cx| padded(cx, "wrap")),
    ("pixel_shuffle", pixel_shuffle),
    ("pixel_unshuffle", pixel_unshuffle),
    ("channel_shuffle", channel_shuffle),
    ("native_channel_shuffle", channel_shuffle),
];

/// Blocks as columns: `[N, C k, L]`.
fn im2col(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (kernel, dilation) = (per_axis(cx, "kernel_size", 2, 1)?, per_axis(cx, "dilation", 2, 1)?);
    let (pad, stride) = (per_axis(cx, "padding", 2, 0)?, per_axis(cx, "stride", 2, 1)?);
    let (x, bare) = batched(cx, x, 2)?;
    let pads = [0, 0, pad[0], pad[1], 0, 0, pad[0], pad[1]];
    let zero = cx.num(x, 0.0)?;
    let pads = cx.int_list(&pads);
    let x = cx.op("pad", &[x, pads, zero])?;
    let (rows, row_count) = places(cx, x, 2, kernel[0], dilation[0], stride[0])?;
    let (columns, column_count) = places(cx, x, 3, kernel[1], dilation[1], stride[1])?;
    let y = cx.gather(x, rows, 2)?;
    let y = cx.gather(y, columns, 4)?;
    let y = cx.swap(y, 3, 4)?;
    let (n, c) = (cx.dim(x, 0)?, cx.dim(x, 1)?);
    let cell = kernel[0].checked_mul(kernel[1]).ok_or_else(|| malformed("a block of this size"))?;
    let c = cx.size_mul(&c, &Size::Known(cell))?;
    let blocks = cx.size_mul(&row_count, &column_count)?;
    let y = cx.reshape(y, &[n, c, blocks])?;
    Ok(Out::Fresh(unbatched(cx, y, bare)?))
}
/// Positions `offset * dilation + block * stride` along an axis as `[kernel, blocks]`, and the number of blocks.
fn places(cx: &mut Cx, x: V, axis: usize, kernel: i64, dilation: i64, stride: i64) -> R<(V, Size)> {
    if kernel <= 0 || stride <= 0 {
        return Err(malformed("blocks of no size"));
    }
    let reach = dilation.checked_mul(kernel - 1).ok_or_else(|| malformed("a block of this size"))?;
    let n = cx.dim(x, axis)?;
    let room = cx.size_op("sub", &n, &Size::Known(reach + 1), i64::checked_sub)?;
    if matches!(room, Size::Known(r) if r < 0) {
        return Err(malformed("blocks larger than the data"));
    }
    let steps = cx.size_op("div", &room, &Size::Known(stride), i64::checked_div)?;
    let blocks = cx.size_add(&steps, &Size::Known(1))?;
    if let Size::Known(b) = blocks
        && kernel.checked_mul(b).is_some_and(|n| n <= 1 << 22)
    {
        let table = (0..kernel).flat_map(|k| (0..b).map(move |i| k * dilation + i * stride)).collect();
        return Ok((cx.constant(Tensor::from_vec(&[kernel as usize, b as usize], table)), blocks));
    }
    let (k, i) = (cx.iota(&Size::Known(kernel))?, cx.iota(&blocks)?);
    let (k, i) = (cx.bn("mul", k, dilation as f64)?, cx.bn("mul", i, stride as f64)?);
    let k = cx.unsqueeze(k, &[1])?;
    Ok((cx.b("add", k, i)?, blocks))
}
fn col2im(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (out, kernel) = (cx.ints("output_size")?, per_axis(cx, "kernel_size", 2, 1)?);
    let (dilation, pad) = (per_axis(cx, "dilation", 2, 1)?, per_axis(cx, "padding", 2, 0)?);
    let stride = per_axis(cx, "stride", 2, 1)?;
    let (x, bare) = batched(cx, x, 1)?;
    let (image, block) = (cx.int_list(&out), cx.int_list(&kernel));
    let attrs = [
        ("dilations", Attr::Ints(dilation)),
        ("pads", Attr::Ints([pad.clone(), pad].concat())),
        ("strides", Attr::Ints(stride)),
    ];
    let y = cx.with("col2_im", &[x, image, block], &attrs)?;
    Ok(Out::Fresh(unbatched(cx, y, bare)?))
}
fn pad(cx: &mut Cx) -> R<Out> {
    let mode = match cx.str_or("mode", "constant")? {
        "constant" => "constant",
        "reflect" => "reflect",
        "replicate" => "edge",
        "circular" => "wrap",
        other => return Err(malformed(format!("padding mode `{other}` is unknown"))),
    };
    padded(cx, mode)
}
/// PyTorch lists pairs from the last axis on; negative numbers crop.
fn padded(cx: &mut Cx, mode: &str) -> R<Out> {
    let x = cx.t("self")?;
    let rank = cx.rank(x)?;
    let list = cx.sizes(if cx.has("pad") { "pad" } else { "padding" })?;
    let value = cx.opt_operand("value")?;
    if list.len() % 2 != 0 || list.len() / 2 > rank {
        return Err(malformed(format!("{} border sizes for {rank} axes", list.len())));
    }
    let mut begin = vec![Size::Known(0); rank];
    let mut end = begin.clone();
    for (i, two) in list.chunks_exact(2).enumerate() {
        begin[rank - 1 - i] = two[0].clone();
        end[rank - 1 - i] = two[1].clone();
    }
    let negative = |s: &Size| matches!(s, Size::Known(n) if *n < 0);
    if mode == "edge" && begin.iter().chain(&end).any(negative) {
        return nearest_inside(cx, x, &begin, &end);
    }
    let x = crop(cx, x, &mut begin, &mut end)?;
    if begin.iter().chain(&end).all(|p| *p == Size::Known(0)) {
        return Ok(Out::Fresh(cx.u("identity", x)?));
    }
    if mode == "wrap" {
        return wrapped(cx, x, &begin, &end);
    }
    let pads = cx.shape_value(&[begin, end].concat())?;
    let dtype = cx.dtype(x)?;
    let value = match value {
        Some(v) if mode == "constant" => cx.value_of(&v, dtype)?,
        _ => cx.num(x, 0.0)?,
    };
    let operands = if mode == "constant" { vec![x, pads, value] } else { vec![x, pads] };
    Ok(Out::Fresh(cx.with("pad", &operands, &[("mode", Attr::Str(mode.into()))])?))
}
/// Each position from the nearest one of the tensor, which may be cropped and repeated on the same axis.
fn nearest_inside(cx: &mut Cx, x: V, begin: &[Size], end: &[Size]) -> R<Out> {
    let mut x = x;
    for (axis, two) in begin.iter().zip(end).enumerate() {
        let (Size::Known(before), Size::Known(after)) = two else {
            return Err(unsupported("borders of dynamic sizes beside negative ones"));
        };
        let n =
            cx.known(x, axis).ok_or_else(|| unsupported("negative borders of an axis of dynamic size"))?;
        let size = n.saturating_add(*before).saturating_add(*after);
        if !(0..=1 << 24).contains(&size) || n < 1 {
            return Err(malformed("the borders leave nothing"));
        }
        if (*before, *after) != (0, 0) {
            let at: Vec<i64> = (0..size).map(|i| (i - before).clamp(0, n - 1)).collect();
            let at = cx.int_list(&at);
            x = cx.gather(x, at, axis)?;
        }
    }
    Ok(Out::Fresh(cx.u("identity", x)?))
}
/// Cuts off what negative border sizes ask for.
fn crop(cx: &mut Cx, x: V, begin: &mut [Size], end: &mut [Size]) -> R<V> {
    let mut x = x;
    for axis in 0..begin.len() {
        let cut = |s: &mut Size| match s {
            Size::Known(v) if *v < 0 => {
                let n = v.saturating_neg();
                *s = Size::Known(0);
                n
            }
            _ => 0,
        };
        let (a, b) = (cut(&mut begin[axis]), cut(&mut end[axis]));
        if a > 0 || b > 0 {
            let stop = if b > 0 { -b } else { i64::MAX };
            x = cx.slice(x, axis, &Size::Known(a), &Size::Known(stop), 1)?;
        }
    }
    Ok(x)
}
/// Circular borders, copied from the other side; the padding operator has that mode only since opset 19.
fn wrapped(cx: &mut Cx, x: V, begin: &[Size], end: &[Size]) -> R<Out> {
    let mut x = x;
    for axis in 0..begin.len() {
        let (a, b) = (&begin[axis], &end[axis]);
        let mut parts = vec![x];
        if *a != Size::Known(0) {
            let n = cx.dim(x, axis)?;
            let from = cx.size_op("sub", &n, a, i64::checked_sub)?;
            parts.insert(0, cx.slice(x, axis, &from, &Size::Known(i64::MAX), 1)?);
        }
        if *b != Size::Known(0) {
            parts.push(cx.slice(x, axis, &Size::Known(0), b, 1)?);
        }
        x = cx.concat(&parts, axis)?;
    }
    Ok(Out::Fresh(x))
}
/// Sizes split before the last three, `[.., C, H, W]`, which must be fixed apart from leading ones.
fn split_tail(cx: &mut Cx, x: V) -> R<(Vec<Size>, [Size; 3])> {
    let mut sizes = cx.shape_of(x)?;
    if sizes.len() < 3 {
        return Err(malformed("a tensor without channels and space"));
    }
    let tail = sizes.split_off(sizes.len() - 3);
    let [c, h, w] = <[Size; 3]>::try_from(tail).map_err(|_| malformed("three axes are expected"))?;
    Ok((sizes, [c, h, w]))
}
fn known(s: &Size) -> R<i64> {
    if let Size::Known(v) = s { Ok(*v) } else { Err(unsupported("a dynamic number of channels")) }
}
/// Reshapes to `[lead.., middle..]`, permutes the middle and reshapes to `[lead.., last..]`.
fn shuffle(cx: &mut Cx, x: V, lead: &[Size], middle: &[Size], order: &[usize], last: &[Size]) -> R<V> {
    let y = cx.reshape(x, &[lead, middle].concat())?;
    let perm: Vec<usize> = (0..lead.len()).chain(order.iter().map(|o| o + lead.len())).collect();
    let y = cx.permute(y, &perm)?;
    cx.reshape(y, &[lead, last].concat())
}
fn pixel_shuffle(cx: &mut Cx) -> R<Out> {
    let (x, r) = (cx.t("self")?, cx.int("upscale_factor")?);
    let (lead, [c, h, w]) = split_tail(cx, x)?;
    let c = known(&c)?.checked_div(r * r).ok_or_else(|| malformed("an upscale factor of 0"))?;
    let r = Size::Known(r);
    let (h2, w2) = (cx.size_mul(&h, &r)?, cx.size_mul(&w, &r)?);
    let middle = [Size::Known(c), r.clone(), r, h, w];
    let y = shuffle(cx, x, &lead, &middle, &[0, 3, 1, 4, 2], &[Size::Known(c), h2, w2])?;
    Ok(Out::Fresh(y))
}
fn pixel_unshuffle(cx: &mut Cx) -> R<Out> {
    let (x, r) = (cx.t("self")?, cx.int("downscale_factor")?);
    let (lead, [c, h, w]) = split_tail(cx, x)?;
    let c = known(&c)?;
    if r <= 0 || r > 1 << 16 {
        return Err(malformed(format!("a downscale factor of {r}")));
    }
    let r = Size::Known(r);
    let mut cells = |s: &Size| cx.size_op("div", s, &r, i64::checked_div);
    let (h, w) = (cells(&h)?, cells(&w)?);
    let all = cx.size_mul(&r, &r)?;
    let all = cx.size_mul(&Size::Known(c), &all)?;
    let middle = [Size::Known(c), h.clone(), r.clone(), w.clone(), r];
    let y = shuffle(cx, x, &lead, &middle, &[0, 2, 4, 1, 3], &[all, h, w])?;
    Ok(Out::Fresh(y))
}
fn channel_shuffle(cx: &mut Cx) -> R<Out> {
    let (x, g) = (cx.t("self")?, cx.int("groups")?);
    let sizes = cx.shape_of(x)?;
    let c = known(sizes.get(1).ok_or_else(|| malformed("a tensor without channels"))?)?;
    let per = c.checked_div(g).ok_or_else(|| malformed("no groups"))?;
    let mut middle = vec![sizes[0].clone(), Size::Known(g), Size::Known(per)];
    middle.extend_from_slice(&sizes[2..]);
    let y = cx.reshape(x, &middle)?;
    let y = cx.swap(y, 1, 2)?;
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
