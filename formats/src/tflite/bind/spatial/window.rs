//! Padding of sliding windows, as `SAME` or `VALID`.
use super::PADDING;
use crate::tflite::lower::R;
use hoist_ir::ops::words::AutoPad;

/// Member of the schema's `Padding`: output size is `ceil(input / stride)`, the larger half of the border at the end.
pub const SAME: i64 = 0;
/// Member of the schema's `Padding`: no border.
pub const VALID: i64 = 1;

/// A window that slides along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Size of the data, when known.
    pub size: Option<i64>,
    /// Elements of the window.
    pub kernel: i64,
    /// Steps between windows.
    pub stride: i64,
    /// Steps between the elements of a window.
    pub dilation: i64,
    /// Border as given: at the beginning and at the end.
    pub pads: (i64, i64),
}

/// Windows along all axes.
#[derive(Clone, Debug)]
pub struct Windows {
    /// The axes.
    pub axes: Vec<Axis>,
    /// How borders are chosen when they are not given.
    pub auto_pad: AutoPad,
    /// Whether a last partial window counts (poolings).
    pub ceil_mode: bool,
}

/// Attributes of a window as operators hold them.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Steps between windows; empty is 1.
    pub strides: &'a [i64],
    /// Steps between elements; empty is 1.
    pub dilations: &'a [i64],
    /// All beginnings, then all ends; empty is none.
    pub pads: &'a [i64],
    /// How borders are chosen when they are not given.
    pub auto_pad: AutoPad,
    /// Whether a last partial window counts.
    pub ceil_mode: bool,
}

impl Axis {
    /// Elements from the first to the last of a window.
    pub fn reach(&self) -> i64 {
        (self.kernel - 1).saturating_mul(self.dilation).saturating_add(1)
    }
    /// Border of `SAME`, when it does not depend on an unknown size.
    pub fn same(&self) -> Option<(i64, i64)> {
        let total = match self.size {
            Some(n) => {
                let windows = n.saturating_add(self.stride - 1) / self.stride;
                (windows - 1).saturating_mul(self.stride).saturating_add(self.reach()).saturating_sub(n)
            }
            None if self.stride == 1 => self.reach() - 1,
            None => return None,
        };
        let total = total.max(0);
        Some((total / 2, total - total / 2))
    }
    /// Border at the end that holds every window that counts, partial ones included. None when it depends on an unknown size.
    pub fn end_with_partial(&self) -> Option<i64> {
        let (begin, end) = self.pads;
        let Some(n) = self.size else {
            // A border of `stride - 1` more holds the partial window; it counts when it begins before the border at the end does.
            let counts = self.stride <= self.reach().saturating_sub(end);
            return counts.then_some(end.saturating_add(self.stride - 1));
        };
        let shifted = n.saturating_add(begin);
        let travel = shifted.saturating_add(end).saturating_sub(self.reach());
        let mut windows = travel.saturating_add(self.stride - 1).div_euclid(self.stride) + 1;
        if (windows - 1).saturating_mul(self.stride) >= shifted {
            windows -= 1;
        }
        let covered = (windows - 1).saturating_mul(self.stride).saturating_add(self.reach());
        Some(covered.saturating_sub(shifted).max(end))
    }
}

impl Windows {
    /// Windows of sizes `kernel` over data of sizes `spatial`.
    pub fn new(given: Given<'_>, kernel: &[i64], spatial: &[Option<i64>]) -> Self {
        let n = kernel.len();
        let at = |list: &[i64], i: usize, default: i64| list.get(i).copied().unwrap_or(default);
        let pads = if given.auto_pad == AutoPad::NotSet { given.pads } else { &[] };
        let axis = |i: usize| Axis {
            size: spatial.get(i).copied().flatten(),
            kernel: kernel[i],
            stride: at(given.strides, i, 1),
            dilation: at(given.dilations, i, 1),
            pads: (at(pads, i, 0), at(pads, i + n, 0)),
        };
        Self {
            axes: (0..n).map(axis).collect(),
            auto_pad: given.auto_pad,
            ceil_mode: given.ceil_mode && given.auto_pad == AutoPad::NotSet,
        }
    }
    /// Borders of all axes, partial windows included; none where they depend on an unknown size.
    pub fn borders(&self) -> Option<Vec<(i64, i64)>> {
        self.axes.iter().map(|a| self.border(a)).collect()
    }
    fn border(&self, a: &Axis) -> Option<(i64, i64)> {
        match self.auto_pad {
            AutoPad::NotSet if self.ceil_mode => Some((a.pads.0, a.end_with_partial()?)),
            AutoPad::NotSet => Some(a.pads),
            AutoPad::Valid => Some((0, 0)),
            AutoPad::SameUpper => a.same(),
            AutoPad::SameLower => a.same().map(|(small, large)| (large, small)),
        }
    }
    /// The member of the schema's `Padding` that means these borders.
    ///
    /// # Errors
    /// [`PADDING`] when there is none.
    pub fn padding(&self) -> R<i64> {
        if self.axes.iter().all(|a| self.border(a) == Some((0, 0)) && !self.is_open(a)) {
            return Ok(VALID);
        }
        let same = |a: &Axis| {
            self.auto_pad == AutoPad::SameUpper || (a.same().is_some() && self.border(a) == a.same())
        };
        if self.axes.iter().all(same) { Ok(SAME) } else { Err(PADDING.to_owned()) }
    }
    /// Whether the number of windows depends on a partial one along an axis of unknown size.
    fn is_open(&self, a: &Axis) -> bool {
        self.ceil_mode && a.size.is_none() && a.stride > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(size: Option<i64>, kernel: i64, stride: i64, pads: (i64, i64)) -> Windows {
        let axis = Axis { size, kernel, stride, dilation: 1, pads };
        Windows { axes: vec![axis], auto_pad: AutoPad::NotSet, ceil_mode: false }
    }

    #[test]
    fn same_is_found_from_given_borders() {
        assert_eq!(windows(Some(7), 3, 2, (1, 1)).padding(), Ok(SAME));
        assert_eq!(windows(Some(8), 3, 2, (0, 1)).padding(), Ok(SAME));
        assert_eq!(windows(Some(8), 3, 2, (1, 1)).padding(), Err(PADDING.to_owned()));
        assert_eq!(windows(None, 3, 2, (1, 1)).padding(), Err(PADDING.to_owned()));
        assert_eq!(windows(None, 3, 1, (1, 1)).padding(), Ok(SAME));
        assert_eq!(windows(None, 4, 1, (2, 1)).padding(), Err(PADDING.to_owned()));
        assert_eq!(windows(None, 3, 2, (0, 0)).padding(), Ok(VALID));
        let any = Windows { auto_pad: AutoPad::SameUpper, ..windows(None, 3, 2, (0, 0)) };
        assert_eq!(any.padding(), Ok(SAME));
        let lower = Windows { auto_pad: AutoPad::SameLower, ..windows(Some(8), 3, 2, (0, 0)) };
        assert_eq!((lower.padding(), lower.borders()), (Err(PADDING.to_owned()), Some(vec![(1, 0)])));
    }

    #[test]
    fn partial_windows_widen_the_border() {
        let ceil = |w: Windows| Windows { ceil_mode: true, ..w };
        assert_eq!(ceil(windows(Some(6), 3, 2, (0, 0))).borders(), Some(vec![(0, 1)]));
        // A window that would begin in the border at the end does not count.
        assert_eq!(ceil(windows(Some(4), 2, 3, (0, 1))).borders(), Some(vec![(0, 1)]));
        assert_eq!(ceil(windows(None, 3, 2, (1, 1))).borders(), Some(vec![(1, 2)]));
        assert_eq!(ceil(windows(None, 2, 3, (0, 0))).borders(), None);
        assert_eq!(ceil(windows(None, 1, 1, (0, 0))).padding(), Ok(VALID));
        assert_eq!(ceil(windows(None, 2, 2, (0, 0))).padding(), Err(PADDING.to_owned()));
    }
}
