//! Poolings: `MAX_POOL_2D`, `AVERAGE_POOL_2D`; global ones as reductions.
use super::window::{Given, VALID, Windows};
use super::{AXES, DILATION, PADDING, needs_f32, per_axis, spatial_sizes};
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;

/// Attributes of a pooling.
struct Pool<'a> {
    given: Given<'a>,
    kernel: &'a [i64],
    layout: Layout,
}

impl Pool<'_> {
    fn windows(&self, cx: &Cx<'_>) -> R<Windows> {
        if cx.rank(0)? != 4 {
            return Err(AXES.to_owned());
        }
        if self.given.dilations.iter().any(|d| *d != 1) {
            return Err(DILATION.to_owned());
        }
        let spatial = spatial_sizes(cx, self.layout.first_spatial_axis(), 2)?;
        Ok(Windows::new(self.given, self.kernel, &spatial))
    }
    fn emit(&self, cx: &mut Cx<'_>, builtin: Builtin, padding: i64) -> R<()> {
        cx.channels_last(self.layout)?;
        let strides = per_axis(self.given.strides, 2, 1);
        let options = builtin.options().map(|o| {
            o.with("padding", padding)
                .with("stride_h", strides[0])
                .with("stride_w", strides[1])
                .with("filter_height", self.kernel[0])
                .with("filter_width", self.kernel[1])
        });
        let (x, y) = (cx.arg(0)?, cx.out(0)?);
        cx.push(builtin, options, &[Some(x)], vec![y])
    }
}

pub(super) fn max_pool(cx: &mut Cx<'_>) -> R<()> {
    let Op::MaxPool(op) = cx.op() else { return Err("no pooling".to_owned()) };
    if !matches!(cx.dtype(0)?, DType::F32 | DType::I8 | DType::U8) {
        return needs_f32(cx);
    }
    if cx.is_used(1) {
        return Err("positions of the largest elements".to_owned());
    }
    let given = Given {
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let pool = Pool { given, kernel: &op.kernel_shape, layout: op.layout };
    let padding = pool.windows(cx)?.padding()?;
    pool.emit(cx, Builtin::MaxPool2d, padding)
}

pub(super) fn average_pool(cx: &mut Cx<'_>) -> R<()> {
    let Op::AveragePool(op) = cx.op() else { return Err("no pooling".to_owned()) };
    needs_f32(cx)?;
    let given = Given {
        strides: &op.strides,
        dilations: &op.dilations,
        pads: &op.pads,
        auto_pad: op.auto_pad,
        ceil_mode: op.ceil_mode,
    };
    let pool = Pool { given, kernel: &op.kernel_shape, layout: op.layout };
    let windows = pool.windows(cx)?;
    let padding = windows.padding()?;
    let bordered = windows.borders().is_none_or(|b| b.iter().any(|b| *b != (0, 0)));
    if padding != VALID && op.count_include_pad && bordered {
        return Err(PADDING.to_owned());
    }
    pool.emit(cx, Builtin::AveragePool2d, padding)
}

pub(super) fn global_average_pool(cx: &mut Cx<'_>) -> R<()> {
    let Op::GlobalAveragePool(op) = cx.op() else { return Err("no pooling".to_owned()) };
    reduced(cx, Builtin::Mean, op.layout)
}

pub(super) fn global_max_pool(cx: &mut Cx<'_>) -> R<()> {
    let Op::GlobalMaxPool(op) = cx.op() else { return Err("no pooling".to_owned()) };
    reduced(cx, Builtin::ReduceMax, op.layout)
}

/// Reduces all spatial axes, wherever they are.
fn reduced(cx: &mut Cx<'_>, builtin: Builtin, layout: Layout) -> R<()> {
    needs_f32(cx)?;
    let rank = cx.rank(0)?;
    if cx.shape(0).is_some_and(|s| s.iter().any(|d| d.known() == Some(0))) {
        return Err("no elements".to_owned());
    }
    let first = layout.first_spatial_axis();
    let axes: Vec<i64> = (first..first + rank.saturating_sub(2)).map(|a| a as i64).collect();
    let (x, axes) = (cx.arg(0)?, cx.ints32(&axes)?);
    let options = builtin.options().map(|o| o.with("keep_dims", true));
    cx.emit(builtin, options, &[x, axes])
}
