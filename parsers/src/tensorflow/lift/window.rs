//! Sliding windows as TensorFlow describes them: strides and dilations of all axes, and a padding.
use super::cx::{Cx, R, V};
use hoist_ir::ops::words::{AutoPad, Layout};

/// A window over the spatial axes.
pub(super) struct Window {
    pub(super) layout: Layout,
    /// Sizes of the window.
    pub(super) kernel: Vec<i64>,
    /// Steps between windows.
    pub(super) strides: Vec<i64>,
    /// Steps between the elements of a window.
    pub(super) dilations: Vec<i64>,
    /// Whether borders are such that there are `ceil(size / stride)` windows.
    pub(super) same: bool,
    /// Borders in numbers.
    pub(super) explicit: Option<Vec<(i64, i64)>>,
}

/// The layout that `data_format` names; channels last where it is absent.
pub(super) fn layout(cx: &Cx<'_, '_, '_>) -> R<Layout> {
    match cx.attrs.text("data_format")? {
        "" | "NHWC" | "NDHWC" | "NWC" => Ok(Layout::ChannelsLast),
        "NCHW" | "NCDHW" | "NCW" => Ok(Layout::ChannelsFirst),
        other => Err(cx.unsupported(format!("data_format {other}"))),
    }
}

impl Window {
    /// The window of sizes `kernel` that the attributes describe.
    pub(super) fn of(cx: &Cx<'_, '_, '_>, kernel: &[i64]) -> R<Self> {
        Self::plain(cx, kernel, "strides", "dilations")
    }
    /// The same with other names of the attributes.
    pub(super) fn plain(cx: &Cx<'_, '_, '_>, kernel: &[i64], steps: &str, gaps: &str) -> R<Self> {
        let (layout, n) = (layout(cx)?, kernel.len());
        let strides = spatial(cx, cx.attrs.ints(steps), layout, n, steps)?;
        let dilations = spatial(cx, cx.attrs.ints(gaps), layout, n, gaps)?;
        let (mut same, mut explicit) = (false, None);
        match cx.attrs.text("padding")? {
            "SAME" => same = true,
            "VALID" => {}
            "EXPLICIT" => {
                let all = cx.attrs.ints("explicit_paddings");
                let from = layout.first_spatial_axis() * 2;
                if all.len() != 2 * (n + 2) || all.iter().any(|p| *p < 0) {
                    return Err(cx.bad("explicit_paddings that do not fit"));
                }
                explicit = Some(all[from..from + 2 * n].chunks(2).map(|p| (p[0], p[1])).collect());
            }
            other => return Err(cx.bad(format!("padding {other:?}"))),
        }
        if kernel.iter().any(|k| *k < 1) {
            return Err(cx.bad("a window without elements"));
        }
        Ok(Self { layout, kernel: kernel.to_vec(), strides, dilations, same, explicit })
    }
    /// Elements from the first to the last of a window along spatial axis `i`.
    pub(super) fn reach(&self, i: usize) -> i64 {
        (self.kernel[i] - 1).saturating_mul(self.dilations[i]).saturating_add(1)
    }
    /// Borders along spatial axis `i` of `size` elements, and the number of windows; none where no window fits.
    pub(super) fn span(&self, i: usize, size: i64) -> Option<(i64, i64, i64)> {
        let (s, reach) = (self.strides[i], self.reach(i));
        let (before, after) = match &self.explicit {
            Some(pads) => pads[i],
            None if self.same => {
                let windows = size.checked_add(s - 1)? / s;
                let total = ((windows - 1).checked_mul(s)?.checked_add(reach)? - size).max(0);
                (total / 2, total - total / 2)
            }
            None => (0, 0),
        };
        let room = size.checked_add(before)?.checked_add(after)? - reach;
        (room >= 0).then(|| (before, after, room / s + 1))
    }
    /// The padding in the IR's words for the data `x`: numbers where the window is dilated and they are known, as ONNX Runtime takes `SAME_UPPER` for dense
    /// windows only.
    pub(super) fn padding(&self, cx: &Cx<'_, '_, '_>, x: V) -> (AutoPad, Vec<i64>) {
        let joined = |pads: &[(i64, i64)]| pads.iter().map(|p| p.0).chain(pads.iter().map(|p| p.1)).collect();
        if let Some(pads) = &self.explicit {
            return (AutoPad::NotSet, joined(pads));
        }
        if !self.same {
            return (AutoPad::Valid, vec![]);
        }
        if self.dilations.iter().any(|d| *d != 1) {
            let first = self.layout.first_spatial_axis();
            let border = |i: usize| {
                let size = cx.size(x, first + i).and_then(|n| i64::try_from(n).ok());
                match size {
                    Some(n) => self.span(i, n).map(|s| (s.0, s.1)),
                    None if self.strides[i] == 1 => {
                        let total = self.reach(i) - 1;
                        Some((total / 2, total - total / 2))
                    }
                    None => None,
                }
            };
            let borders: Option<Vec<_>> = (0..self.kernel.len()).map(border).collect();
            if let Some(borders) = borders {
                return (AutoPad::NotSet, joined(&borders));
            }
        }
        (AutoPad::SameUpper, vec![])
    }
}

/// The entries of the spatial axes of a list for all `n + 2` axes, 1 where it is empty.
pub(super) fn spatial(
    cx: &Cx<'_, '_, '_>,
    list: &[i64],
    layout: Layout,
    n: usize,
    what: &str,
) -> R<Vec<i64>> {
    if list.is_empty() {
        return Ok(vec![1; n]);
    }
    if list.len() != n + 2 || list.iter().any(|v| !(1..1 << 31).contains(v)) {
        return Err(cx.bad(format!("{what} that do not fit")));
    }
    let (channel, first) = (layout.channel_axis(n + 2), layout.first_spatial_axis());
    if list[0] != 1 || list[channel] != 1 {
        return Err(cx.unsupported(format!("{what} of batches or channels")));
    }
    Ok(list[first..first + n].to_vec())
}
