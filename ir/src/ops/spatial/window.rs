//! Sizes of operators that slide a window over spatial axes: convolutions and poolings.
use crate::dim::{Dim, SymInt};
use crate::kernel::{AutoPad as KernelPad, ConvGeometry};
use crate::op::OpError;
use crate::ops::words::{AutoPad, Layout};
use crate::types::Shape;

/// Attributes of a window. Empty lists stand for their defaults: stride and dilation 1, no padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// Steps between windows.
    pub strides: &'a [i64],
    /// Steps between the elements of a window.
    pub dilations: &'a [i64],
    /// Padding: all beginnings, then all ends.
    pub pads: &'a [i64],
    /// How padding is chosen when `pads` does not say.
    pub auto_pad: AutoPad,
    /// Number of groups of channels.
    pub group: i64,
    /// Whether a last partial window counts (poolings).
    pub ceil_mode: bool,
}

/// `values` as sizes of at least `least`; `rank` times `default` when the list is empty.
pub(crate) fn sizes_of(
    what: &str,
    values: &[i64],
    rank: usize,
    default: usize,
    least: usize,
) -> Result<Vec<usize>, OpError> {
    if values.is_empty() {
        return Ok(vec![default; rank]);
    }
    if values.len() != rank {
        return Err(OpError::attr(format!("{what} {values:?} must have {rank} entries")));
    }
    let one = |v: &i64| usize::try_from(*v).ok().filter(|v| *v >= least && isize::try_from(*v).is_ok());
    let all: Option<Vec<usize>> = values.iter().map(one).collect();
    all.ok_or_else(|| OpError::attr(format!("{what} {values:?} must be at least {least}")))
}

impl Window<'_> {
    /// Geometry without padding for `kernel` over axes of sizes `input`.
    fn base(&self, input: &[usize], kernel: &[usize]) -> Result<ConvGeometry, OpError> {
        let rank = kernel.len();
        let mut g = ConvGeometry::new(input, kernel);
        g.strides = sizes_of("strides", self.strides, rank, 1, 1)?;
        g.dilations = sizes_of("dilations", self.dilations, rank, 1, 1)?;
        g.groups = usize::try_from(self.group)
            .ok()
            .filter(|g| *g > 0)
            .ok_or_else(|| OpError::attr(format!("group {} must be at least 1", self.group)))?;
        let pads = sizes_of("pads", self.pads, 2 * rank, 0, 0)?;
        g.pads_begin = pads[..rank].to_vec();
        g.pads_end = pads[rank..].to_vec();
        Ok(g)
    }
    /// Geometry for `kernel` over axes of sizes `input`, padding resolved.
    ///
    /// # Errors
    /// When an attribute does not fit the rank or is out of range.
    pub fn geometry(&self, input: &[usize], kernel: &[usize]) -> Result<ConvGeometry, OpError> {
        let mut g = self.base(input, kernel)?;
        if let Some(mode) = kernel_pad(self.auto_pad) {
            g.auto_pad(mode).map_err(|e| OpError::attr(e.to_string()))?;
        }
        Ok(g)
    }
    /// Geometry for a transposed convolution: padding as given, not resolved.
    pub fn plain_geometry(&self, input: &[usize], kernel: &[usize]) -> Result<ConvGeometry, OpError> {
        self.base(input, kernel)
    }
    /// Whether a last partial window counts: with automatic padding there is none.
    pub fn partial(&self) -> bool {
        self.ceil_mode && self.auto_pad == AutoPad::NotSet
    }
    /// Output extents for spatial axes `input`, some of which may be symbolic.
    ///
    /// # Errors
    /// When an attribute does not fit or a window exceeds the padded input.
    pub fn output(&self, input: &[Dim], kernel: &[usize]) -> Result<Vec<Dim>, OpError> {
        // Attributes are checked even where sizes are unknown.
        self.base(&vec![1; kernel.len()], kernel)?.validate().map_err(|e| OpError::attr(e.to_string()))?;
        (0..kernel.len()).map(|d| self.extent(&input[d], d, kernel)).collect()
    }
    fn extent(&self, input: &Dim, d: usize, kernel: &[usize]) -> Result<Dim, OpError> {
        if let Some(n) = input.known() {
            let n = usize::try_from(n).map_err(|_| OpError::shape("an axis exceeds the address space"))?;
            let mut sizes = vec![1; kernel.len()];
            sizes[d] = n;
            let g = one_axis(&self.geometry(&sizes, kernel)?, d);
            let out = g.pooled_shape(self.partial()).map_err(|e| OpError::shape(e.to_string()))?;
            return Ok(Dim::from(out[0]));
        }
        let g = self.base(&vec![1; kernel.len()], kernel)?;
        Ok(input
            .to_sym()
            .and_then(|n| self.symbolic(&n, &g, d))
            .map_or(Dim::Unknown, |v| Dim::from_sym(Some(v))))
    }
    /// Output extent for `n` elements along axis `d`.
    fn symbolic(&self, n: &SymInt, g: &ConvGeometry, d: usize) -> Option<SymInt> {
        let int = |v: usize| i64::try_from(v).ok().map(SymInt::from);
        let stride = int(g.strides[d])?;
        let window = int(g.kernel[d].checked_sub(1)?.checked_mul(g.dilations[d])?.checked_add(1)?)?;
        if matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            return n.ceil_div(&stride);
        }
        let given = self.auto_pad == AutoPad::NotSet;
        let (begin, end) =
            if given { (int(g.pads_begin[d])?, int(g.pads_end[d])?) } else { (0.into(), 0.into()) };
        let travel = n.add(&begin)?.add(&end)?.sub(&window)?;
        let one = SymInt::from(1);
        if !self.partial() {
            return travel.floor_div(&stride)?.add(&one);
        }
        // The windows that begin in front of the padding at the end; more than one could begin in larger padding.
        if end.as_const()? >= window.as_const()? {
            return None;
        }
        travel.ceil_div(&stride)?.add(&one)?.smaller(&n.add(&begin)?.ceil_div(&stride)?)
    }
}

fn kernel_pad(mode: AutoPad) -> Option<KernelPad> {
    match mode {
        AutoPad::NotSet => None,
        AutoPad::SameUpper => Some(KernelPad::SameUpper),
        AutoPad::SameLower => Some(KernelPad::SameLower),
        AutoPad::Valid => Some(KernelPad::Valid),
    }
}

/// The geometry of axis `d` alone.
fn one_axis(g: &ConvGeometry, d: usize) -> ConvGeometry {
    ConvGeometry {
        input: vec![g.input[d]],
        kernel: vec![g.kernel[d]],
        strides: vec![g.strides[d]],
        dilations: vec![g.dilations[d]],
        pads_begin: vec![g.pads_begin[d]],
        pads_end: vec![g.pads_end[d]],
        groups: g.groups,
    }
}

/// Axes of spatial data by meaning.
pub(crate) struct Axes {
    /// Batch.
    pub batch: Dim,
    /// Channels.
    pub channels: Dim,
    /// Spatial axes.
    pub spatial: Vec<Dim>,
}

impl Axes {
    /// Splits a shape of rank 3 or more.
    ///
    /// # Errors
    /// When there is no spatial axis.
    pub fn of(shape: &[Dim], layout: Layout) -> Result<Self, OpError> {
        if shape.len() < 3 {
            let m = format!("spatial data has at least 3 axes, got {}", shape.len());
            return Err(OpError::shape(m));
        }
        let first: Vec<Dim> =
            layout.to_channels_first(shape.len()).into_iter().map(|a| shape[a].clone()).collect();
        Ok(Self { batch: first[0].clone(), channels: first[1].clone(), spatial: first[2..].to_vec() })
    }
    /// The shape in `layout`.
    pub fn shape(self, layout: Layout) -> Shape {
        let first: Shape = [self.batch, self.channels].into_iter().chain(self.spatial).collect();
        layout.from_channels_first(first.len()).into_iter().map(|a| first[a].clone()).collect()
    }
}

/// Channels-first sizes of concrete spatial data.
///
/// # Errors
/// When there is no spatial axis.
pub(crate) fn split_sizes(shape: &[usize], layout: Layout) -> Result<(usize, usize, Vec<usize>), OpError> {
    if shape.len() < 3 {
        return Err(OpError::shape(format!("spatial data has at least 3 axes, got {}", shape.len())));
    }
    let first = crate::ops::linear::compute::channels_first_sizes(shape, layout);
    Ok((first[0], first[1], first[2..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window<'a>(strides: &'a [i64], pads: &'a [i64]) -> Window<'a> {
        Window { strides, dilations: &[], pads, auto_pad: AutoPad::NotSet, group: 1, ceil_mode: false }
    }

    #[test]
    fn symbolic_extents_agree_with_fixed_ones() {
        let n = Dim::symbol("N");
        for ceil_mode in [false, true] {
            for auto_pad in [AutoPad::NotSet, AutoPad::SameUpper, AutoPad::SameLower, AutoPad::Valid] {
                for (kernel, stride, dilation, pads) in
                    [(3, 2, 1, [1, 1]), (2, 3, 2, [0, 1]), (3, 1, 1, [1, 2]), (2, 4, 1, [1, 0])]
                {
                    let (s, d) = ([stride], [dilation]);
                    let w = Window { strides: &s, dilations: &d, pads: &pads, auto_pad, group: 1, ceil_mode };
                    let symbolic = w.output(std::slice::from_ref(&n), &[kernel]).expect("valid");
                    let e = symbolic[0].to_sym().expect("an expression");
                    for size in 3..12u64 {
                        let fixed = w.output(&[Dim::Known(size)], &[kernel]).expect("valid");
                        let value = e.substitute(&|_| Some((size as i64).into())).and_then(|v| v.as_const());
                        assert_eq!(value, fixed[0].known().map(|v| v as i64), "{w:?} {kernel} {size}: {e}");
                    }
                }
            }
        }
    }

    #[test]
    fn hostile_attributes_are_refused() {
        let at = |w: Window<'_>, kernel: &[usize]| w.output(&[Dim::Known(5), Dim::Unknown], kernel).is_err();
        assert!(at(window(&[0, 1], &[]), &[1, 1]) && at(window(&[1], &[]), &[1, 1]));
        assert!(at(window(&[i64::MIN, 1], &[]), &[1, 1]) && at(window(&[], &[-1, 0, 0, 0]), &[1, 1]));
        assert!(at(window(&[], &[i64::MAX, 0, i64::MAX, 0]), &[1, 1]) && at(window(&[], &[]), &[6, 1]));
        assert!(at(window(&[], &[]), &[0, 1]) && at(Window { group: 0, ..window(&[], &[]) }, &[1, 1]));
    }
}
