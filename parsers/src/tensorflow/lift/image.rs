//! Images of other sizes, blocks of pixels, and colours. Images are `[batch, height, width, channels]`.
use super::Row;
use super::conv::known_size;
use super::cx::{Cx, R, V};
use super::val::Val;
use super::window::{Window, layout, spatial};
use hoist_ir::dtype::DType;
use hoist_ir::ops::contrib::crop_and_resize::{CropAndResize, CropMode};
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::spatial::depth_space::{BlockOrder, DepthToSpace, SpaceToDepth};
use hoist_ir::ops::spatial::resize::{Coordinates, NearestMode, Resize, ResizeMode};
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("ResizeBilinear", "", |cx| resize(cx, true)),
    ("ResizeNearestNeighbor", "", |cx| resize(cx, false)),
    ("ResizeArea", "", |cx| weighted(cx, area_weights)),
    ("ResizeBicubic", "", |cx| weighted(cx, cubic_weights)),
    ("CropAndResize", "", crop_and_resize),
    ("ExtractImagePatches", "", patches),
    ("DepthToSpace", "", depth_to_space),
    ("SpaceToDepth", "", space_to_depth),
    ("SpaceToBatch", "", |cx| space_to_batch(cx, 1)),
    ("SpaceToBatchND", "", |cx| space_to_batch(cx, 2)),
    ("BatchToSpace", "", |cx| batch_to_space(cx, 1)),
    ("BatchToSpaceND", "", |cx| batch_to_space(cx, 2)),
];

/// How pixels of the result and of the data lie over each other.
fn coordinates(cx: &Cx<'_, '_, '_>) -> R<(Coordinates, NearestMode)> {
    match (cx.attrs.flag("align_corners"), cx.attrs.flag("half_pixel_centers")) {
        (true, true) => Err(cx.unsupported("both align_corners and half_pixel_centers")),
        (true, false) => Ok((Coordinates::AlignCorners, NearestMode::RoundPreferCeil)),
        (false, true) => Ok((Coordinates::HalfPixel, NearestMode::RoundPreferCeil)),
        (false, false) => Ok((Coordinates::Asymmetric, NearestMode::Floor)),
    }
}

fn resize(cx: &mut Cx<'_, '_, '_>, linear: bool) -> R<Vec<Val>> {
    let (mut x, sizes) = (cx.arg(0)?, cx.wide(1)?);
    let (coordinates, rounding) = coordinates(cx)?;
    if linear {
        x = cx.cast(x, DType::F32)?;
    }
    let op = Resize {
        axes: vec![1, 2],
        coordinate_transformation_mode: coordinates,
        mode: if linear { ResizeMode::Linear } else { ResizeMode::Nearest },
        nearest_mode: rounding,
        ..Resize::default()
    };
    Ok(vec![cx.op_opt(op, &[Some(x), None, None, Some(sizes)])?.into()])
}

/// Rows of weights: what each of `out` pixels takes of `size`.
type Weights = fn(&Cx<'_, '_, '_>, i64, i64) -> R<Vec<Vec<(i64, f64)>>>;

/// Distance between pixels of the result in the data.
fn scale(cx: &Cx<'_, '_, '_>, size: i64, out: i64) -> f32 {
    if cx.attrs.flag("align_corners") && out > 1 {
        (size - 1) as f32 / (out - 1) as f32
    } else {
        size as f32 / out as f32
    }
}

/// Each pixel is the mean of what it covers.
fn area_weights(cx: &Cx<'_, '_, '_>, size: i64, out: i64) -> R<Vec<Vec<(i64, f64)>>> {
    let scale = scale(cx, size, out);
    let row = |i: i64| {
        let (from, to) = (i as f32 * scale, (i + 1) as f32 * scale);
        let covered = (from.floor() as i64)..(to.ceil() as i64);
        covered
            .map(|p| {
                let part = (to.min((p + 1) as f32) - from.max(p as f32)).max(0.0);
                (p.clamp(0, size - 1), f64::from(part / scale))
            })
            .collect()
    };
    Ok((0..out).map(row).collect())
}

/// Steps of the table of cubic weights.
const STEPS: f32 = 1024.0;

/// Each pixel is a cubic of four, by TensorFlow's table of 1024 steps between two pixels.
fn cubic_weights(cx: &Cx<'_, '_, '_>, size: i64, out: i64) -> R<Vec<Vec<(i64, f64)>>> {
    let scale = scale(cx, size, out);
    let half = cx.attrs.flag("half_pixel_centers");
    let a = if half { -0.5f64 } else { -0.75 };
    let near = |x: f64| ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a;
    let row = |i: i64| {
        let place = if half { (i as f32 + 0.5) * scale - 0.5 } else { i as f32 * scale };
        let base = place.floor();
        let step = f64::from(((place - base) * STEPS).round_ties_even() / STEPS);
        let base = base as i64;
        let weights = [far(step + 1.0), near(step), near(1.0 - step), far(2.0 - step)];
        let mut all: Vec<(i64, f64)> = (base - 1..=base + 2).zip(weights).collect();
        if half {
            // Pixels outside count for nothing, and the others share their weight.
            for (p, w) in &mut all {
                if !(0..size).contains(p) {
                    *w = 0.0;
                }
            }
            let sum: f64 = all.iter().map(|p| p.1).sum();
            if sum.abs() >= 1000.0 * f64::from(f32::MIN_POSITIVE) {
                for p in &mut all {
                    p.1 /= sum;
                }
            }
        }
        for p in &mut all {
            p.0 = p.0.clamp(0, size - 1);
        }
        all
    };
    Ok((0..out).map(row).collect())
}

/// A resize as products with matrices of weights; sizes must be known.
fn weighted(cx: &mut Cx<'_, '_, '_>, weights: Weights) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let x = cx.cast(x, DType::F32)?;
    let sizes = cx.ints(1, "sizes")?;
    if cx.attrs.flag("align_corners") && cx.attrs.flag("half_pixel_centers") {
        return Err(cx.unsupported("both align_corners and half_pixel_centers"));
    }
    let &[height, width] = &sizes[..] else { return Err(cx.bad("sizes are two numbers")) };
    let mut y = x;
    // Along the width first, as TensorFlow does.
    for (axis, out) in [(2usize, width), (1, height)] {
        let size = known_size(cx, x, axis).ok_or_else(|| cx.unsupported("sizes that are not known"))?;
        let fits = size.checked_mul(out).is_some_and(|n| n <= 1 << 24);
        if size < 1 || out < 1 || !fits {
            return Err(cx.unsupported(format!("{size} pixels to {out}")));
        }
        let mut matrix = vec![0f64; (size * out) as usize];
        for (i, row) in weights(cx, size, out)?.into_iter().enumerate() {
            for (p, w) in row {
                matrix[i * size as usize + p as usize] += w;
            }
        }
        let matrix = matrix.into_iter().map(|w| w as f32).collect::<Vec<f32>>();
        let matrix = Tensor::from_vec(&[out as usize, size as usize], matrix);
        let matrix = cx.konst(matrix);
        // The axis behind it, the channels or the width and the channels, stays behind it.
        let perm = if axis == 2 { [0, 1, 2, 3] } else { [0, 2, 1, 3] };
        let turned = cx.transpose(y, &perm)?;
        let product = cx.named("mat_mul", &[matrix, turned])?;
        y = cx.transpose(product, &perm)?;
    }
    Ok(vec![y.into()])
}

/// Boxes of images in one size.
fn crop_and_resize(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, boxes, which, size) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?, cx.arg(3)?);
    let mode = match cx.attrs.text("method")? {
        "" | "bilinear" => CropMode::Bilinear,
        "nearest" => CropMode::Nearest,
        other => return Err(cx.bad(format!("method {other}"))),
    };
    let x = cx.cast(x, DType::F32)?;
    let (boxes, which) = (cx.cast(boxes, DType::F32)?, cx.cast(which, DType::I32)?);
    let size = cx.cast(size, DType::I32)?;
    let extrapolation_value = cx.attrs.float("extrapolation_value").unwrap_or(0.0);
    let first = cx.op(Transpose { perm: vec![0, 3, 1, 2] }, &[x])?;
    let y = cx.op(CropAndResize { extrapolation_value, mode }, &[first, boxes, which, size])?;
    Ok(vec![cx.op(Transpose { perm: vec![0, 2, 3, 1] }, &[y])?.into()])
}

/// Windows of an image, each as the channels of one pixel.
fn patches(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let kernel = spatial(cx, cx.attrs.ints("ksizes"), layout(cx)?, 2, "ksizes")?;
    let window = Window::plain(cx, &kernel, "strides", "rates")?;
    if kernel.iter().product::<i64>() > 4096 {
        return Err(cx.unsupported("windows of more than 4096 pixels"));
    }
    let mut spans = vec![];
    for i in 0..2 {
        let size = known_size(cx, x, i + 1).ok_or_else(|| cx.unsupported("sizes that are not known"))?;
        spans.push(window.span(i, size).ok_or_else(|| cx.bad("no window fits"))?);
    }
    let borders = cx.int_list(&[0, spans[0].0, spans[1].0, 0, 0, spans[0].1, spans[1].1, 0]);
    let padded = cx.op_opt(Pad::default(), &[Some(x), Some(borders), None, None])?;
    let mut parts = vec![];
    for row in 0..kernel[0] {
        for column in 0..kernel[1] {
            let begin = [row * window.dilations[0], column * window.dilations[1]];
            let end: Vec<i64> = (0..2).map(|i| begin[i] + (spans[i].2 - 1) * window.strides[i] + 1).collect();
            let (from, to) = (cx.int_list(&begin), cx.int_list(&end));
            let (axes, steps) = (cx.int_list(&[1, 2]), cx.int_list(&window.strides));
            let operands = [Some(padded), Some(from), Some(to), Some(axes), Some(steps)];
            parts.push(cx.op_opt(Slice::default(), &operands)?);
        }
    }
    Ok(vec![cx.concat(&parts, 3)?.into()])
}

fn depth_to_space(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, blocksize) = (cx.arg(0)?, cx.attrs.int("block_size").unwrap_or(0));
    let op = DepthToSpace { blocksize, mode: BlockOrder::Dcr, layout: layout(cx)? };
    Ok(vec![cx.op(op, &[x])?.into()])
}

fn space_to_depth(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, blocksize) = (cx.arg(0)?, cx.attrs.int("block_size").unwrap_or(0));
    let op = SpaceToDepth { blocksize, mode: BlockOrder::Dcr, layout: layout(cx)? };
    Ok(vec![cx.op(op, &[x])?.into()])
}

/// Sizes of blocks along the axes behind the first: an attribute for two equal ones, or operand 1.
fn blocks(cx: &Cx<'_, '_, '_>) -> R<Vec<i64>> {
    let list = match cx.attrs.int("block_size") {
        Some(size) => vec![size, size],
        None => cx.ints(1, "sizes of blocks")?,
    };
    if list.iter().any(|n| !(1..1 << 20).contains(n)) {
        return Err(cx.bad(format!("blocks of {list:?}")));
    }
    Ok(list)
}

/// Borders `[axes, 2]` of operand `i`: those at the beginnings, and those at the ends.
fn borders(cx: &mut Cx<'_, '_, '_>, i: usize) -> R<(V, V)> {
    let list = cx.wide(i)?;
    let (begin, end) = (cx.slice(list, 1, 0, 1)?, cx.slice(list, 1, 1, 2)?);
    Ok((cx.reshape(begin, &[-1])?, cx.reshape(end, &[-1])?))
}

/// Blocks of pixels taken apart: pixels at the same place of all blocks are images of their own. `at` is the operand of borders.
fn space_to_batch(cx: &mut Cx<'_, '_, '_>, at: usize) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let blocks = blocks(cx)?;
    let (rank, m) = (cx.rank(x)?, blocks.len());
    if rank < m + 1 {
        return Err(cx.bad("blocks along axes that are not there"));
    }
    let (begin, end) = borders(cx, at)?;
    let pads = cx.concat(&[begin, end], 0)?;
    let axes: Vec<i64> = (1..=m as i64).collect();
    let axes = cx.int_list(&axes);
    let x = cx.op_opt(Pad::default(), &[Some(x), Some(pads), None, Some(axes)])?;
    let mut split = vec![cx.size_of(x, 0)?];
    let (mut outer, mut inner) = (vec![], vec![]);
    for (i, b) in blocks.iter().enumerate() {
        let (size, block) = (cx.size_of(x, i + 1)?, cx.int_list(&[*b]));
        split.extend([cx.named("div", &[size, block])?, block]);
        outer.push(1 + 2 * i as i64);
        inner.push(2 + 2 * i as i64);
    }
    let mut tail = vec![];
    for axis in m + 1..rank {
        tail.push(cx.size_of(x, axis)?);
    }
    let sizes = cx.concat(&[split.clone(), tail.clone()].concat(), 0)?;
    let y = cx.reshape_to(x, sizes)?;
    let rest: Vec<i64> = (1 + 2 * m as i64..(rank + m) as i64).collect();
    let y = cx.transpose(y, &[inner, vec![0], outer, rest].concat())?;
    let all = cx.int_list(&[blocks.iter().product()]);
    let mut sizes = vec![cx.named("mul", &[split[0], all])?];
    sizes.extend(split.iter().skip(1).step_by(2));
    let sizes = cx.concat(&[sizes, tail].concat(), 0)?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

/// The opposite, without borders in the end.
fn batch_to_space(cx: &mut Cx<'_, '_, '_>, at: usize) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let blocks = blocks(cx)?;
    let (rank, m) = (cx.rank(x)?, blocks.len());
    if rank < m + 1 {
        return Err(cx.bad("blocks along axes that are not there"));
    }
    let (begin, end) = borders(cx, at)?;
    let all = cx.int_list(&[blocks.iter().product()]);
    let batch = cx.size_of(x, 0)?;
    let batch = cx.named("div", &[batch, all])?;
    let list = cx.int_list(&blocks);
    let mut sizes = vec![];
    for axis in 1..rank {
        sizes.push(cx.size_of(x, axis)?);
    }
    let split = cx.concat(&[vec![list, batch], sizes.clone()].concat(), 0)?;
    let y = cx.reshape_to(x, split)?;
    let m64 = m as i64;
    let mut perm = vec![m64];
    for i in 0..m64 {
        perm.extend([m64 + 1 + i, i]);
    }
    perm.extend(2 * m64 + 1..rank as i64 + m64);
    let y = cx.transpose(y, &perm)?;
    let mut joined = vec![batch];
    for (i, size) in sizes.iter().enumerate() {
        joined.push(match blocks.get(i) {
            Some(b) => {
                let block = cx.int_list(&[*b]);
                cx.named("mul", &[*size, block])?
            }
            None => *size,
        });
    }
    let spatial = cx.concat(&joined[1..=m], 0)?;
    let whole = cx.concat(&joined, 0)?;
    let y = cx.reshape_to(y, whole)?;
    let to = cx.named("sub", &[spatial, end])?;
    let axes: Vec<i64> = (1..=m64).collect();
    let axes = cx.int_list(&axes);
    Ok(vec![cx.op_opt(Slice::default(), &[Some(y), Some(begin), Some(to), Some(axes), None])?.into()])
}
