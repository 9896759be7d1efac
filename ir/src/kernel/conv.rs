//! Convolution, channels first: input `[batch, channels, spatial...]`, weights `[out, in / groups, kernel...]`.

use super::depthwise::{self, Depthwise};
use super::gemm::{Output, gemm};
use super::im2col::{Im2col, WindowPlan};
use super::pack::{Dense, Matrix, PackLhs, identity};
use super::packs::{Kept, Packs};
use super::parallel::Exec;
use super::real::{Accumulate, Real};
use super::tiles::{Products, Unit, multiply};
use super::{Channels, ConvGeometry, KernelError, check_len, product};

/// Sizes of a convolution, checked against its slices.
pub(crate) struct ConvSizes {
    pub(crate) output: Vec<usize>,
    pub(crate) pixels_in: usize,
    pub(crate) pixels_out: usize,
    pub(crate) taps: usize,
    /// Input channels per group.
    pub(crate) group_in: usize,
    /// Output channels per group.
    pub(crate) group_out: usize,
}

impl ConvSizes {
    /// Checks the geometry and the lengths of input, weights and output.
    pub(crate) fn check(
        g: &ConvGeometry,
        c: Channels,
        (input, weights, output): (usize, usize, usize),
    ) -> Result<Self, KernelError> {
        let shape = g.output_shape()?;
        let group_in = per_group("input", c.input, g.groups)?;
        let group_out = per_group("output", c.output, g.groups)?;
        let taps = g.taps()?;
        let pixels_in = product("the input", g.input.iter().copied())?;
        let pixels_out = product("the output", shape.iter().copied())?;
        check_len("the input", product("the input", [c.batch, c.input, pixels_in])?, input)?;
        check_len("the weights", product("the weights", [c.output, group_in, taps])?, weights)?;
        check_len("the output", product("the output", [c.batch, c.output, pixels_out])?, output)?;
        Ok(Self { output: shape, pixels_in, pixels_out, taps, group_in, group_out })
    }
}

/// Channels per group; refuses a remainder.
pub(crate) fn per_group(what: &str, channels: usize, groups: usize) -> Result<usize, KernelError> {
    if channels.is_multiple_of(groups) {
        return Ok(channels / groups);
    }
    Err(KernelError::Geometry(format!("{channels} {what} channels do not divide into {groups} groups")))
}

/// Sets every element of an output channel of `pixels` elements to its bias, or to zero.
pub(crate) fn fill_bias<T: Real>(out: &mut [T], bias: Option<&[T]>, pixels: usize) {
    match bias {
        Some(bias) if !out.is_empty() => {
            out.chunks_mut(pixels).zip(bias.iter().cycle()).for_each(|(plane, &b)| plane.fill(b));
        }
        _ => out.fill(T::ZERO),
    }
}

/// Convolution of `x` with `w` plus an optional bias per output channel. The number of spatial dimensions is at least
/// one; `out` has the spatial extents of [`ConvGeometry::output_shape`].
///
/// # Errors
/// Fails when the geometry is inconsistent, channels do not divide into groups, or a slice has another length.
pub fn conv<T: Real>(
    geometry: &ConvGeometry,
    channels: Channels,
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) -> Result<(), KernelError> {
    conv_kept(geometry, channels, x, (w, None), bias, out)
}

/// [`conv`] with weights whose packed form may be kept.
///
/// # Errors
/// Those of [`conv`].
pub fn conv_kept<T: Real>(
    geometry: &ConvGeometry,
    channels: Channels,
    x: &[T],
    (w, packs): (&[T], Option<&Packs<T>>),
    bias: Option<&[T]>,
    out: &mut [T],
) -> Result<(), KernelError> {
    let sizes = ConvSizes::check(geometry, channels, (x.len(), w.len(), out.len()))?;
    if let Some(bias) = bias {
        check_len("the bias", channels.output, bias.len())?;
    }
    if depthwise::applies(geometry, &sizes) {
        let task = Depthwise { geometry, channels, sizes: &sizes, input: x, weights: w, bias, map: |v: T| v };
        task.run(out);
        return Ok(());
    }
    fill_bias(out, bias, sizes.pixels_out);
    if out.is_empty() || x.is_empty() {
        return Ok(());
    }
    let depth = sizes.group_in * sizes.taps;
    if sizes.pixels_out == 1 && geometry.groups == 1 && is_pointwise(geometry) {
        // One pixel would fill one lane of a vector; the transposed product has the same elements in one row per sample.
        let x = Matrix::row_major(x, channels.batch, depth)?;
        let w = Matrix::row_major(w, channels.output, depth)?.transposed().kept_in(packs);
        return gemm(T::ONE, x, w, Output::Accumulate, out);
    }
    let kept = packs.map_or(Kept::None, |packs| Kept::Left(packs, (depth, 1)));
    let lhs = (0..geometry.groups)
        .map(|group| {
            let start = group * sizes.group_out * depth;
            let matrix =
                Matrix::row_major(&w[start..start + sizes.group_out * depth], sizes.group_out, depth)?;
            Ok(Dense { matrix, map: identity })
        })
        .collect::<Result<Vec<_>, KernelError>>()?;
    by_products(geometry, channels, &sizes, x, (&lhs, kept), |v: T| v, out)
}

/// Adds the convolution to `out` as a matrix product per sample and group. `map` turns an input element into the
/// product's type.
#[expect(clippy::too_many_arguments, reason = "the parts of one convolution, all borrowed")]
pub(crate) fn by_products<E, T, C, L, F>(
    g: &ConvGeometry,
    c: Channels,
    sizes: &ConvSizes,
    x: &[E],
    (lhs, kept): (&[L], Kept<'_, T>),
    map: F,
    out: &mut [C],
) -> Result<(), KernelError>
where
    E: Copy + Send + Sync,
    T: Real,
    C: Accumulate<T>,
    L: PackLhs<T>,
    F: Fn(E) -> T + Copy + Sync,
{
    let group_len = sizes.group_in * sizes.pixels_in;
    let (m, k, n) = (sizes.group_out, sizes.group_in * sizes.taps, sizes.pixels_out);
    let exec = Exec::for_work(&[c.batch, g.groups, m, k, n]);
    let slots = (0..product("the groups", [c.batch, g.groups])?).map(|i| (i % g.groups, i * group_len));
    let group = |start: usize| &x[start..start + group_len];
    if is_pointwise(g) {
        let units = slots
            .map(|(lhs, start)| {
                let matrix = Matrix::row_major(group(start), k, n)?;
                Ok(Unit { lhs, rhs: Dense { matrix, map: move |v: E, _| map(v) } })
            })
            .collect::<Result<Vec<_>, KernelError>>()?;
        multiply(&Products { m, k, n, alpha: T::ONE, lhs, units: &units, kept }, out, exec);
    } else {
        let plan = WindowPlan::new(g, &sizes.output)?;
        let units: Vec<_> = slots
            .map(|(lhs, start)| Unit { lhs, rhs: Im2col { input: group(start), plan: &plan, map } })
            .collect();
        multiply(&Products { m, k, n, alpha: T::ONE, lhs, units: &units, kept }, out, exec);
    }
    Ok(())
}

/// Whether the input itself is the right operand of the product.
fn is_pointwise(g: &ConvGeometry) -> bool {
    let all = |values: &[usize], v: usize| values.iter().all(|&x| x == v);
    all(&g.kernel, 1) && all(&g.strides, 1) && all(&g.pads_begin, 0) && all(&g.pads_end, 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kernel::testing::{Noise, assert_close, same_on_any_threads};

    /// Direct loops over all output elements and taps.
    pub(crate) fn naive(g: &ConvGeometry, c: Channels, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<f64> {
        let o = g.output_shape().unwrap();
        let (pi, po): (usize, usize) = (g.input.iter().product(), o.iter().product());
        let taps: usize = g.kernel.iter().product();
        let (gi, go) = (c.input / g.groups, c.output / g.groups);
        let element = |i: usize| {
            let (pixel, channel, sample) = (i % po, i / po % c.output, i / po / c.output);
            let mut sum = bias[channel];
            for j in 0..gi * taps {
                let ic = channel / go * gi + j / taps;
                let (mut p, mut t, mut at, mut scale, mut ok) = (pixel, j % taps, 0, 1, true);
                for d in (0..o.len()).rev() {
                    let v = (p % o[d] * g.strides[d] + t % g.kernel[d] * g.dilations[d]) as i64
                        - g.pads_begin[d] as i64;
                    ok &= v >= 0 && v < g.input[d] as i64;
                    at += v * scale;
                    scale *= g.input[d] as i64;
                    p /= o[d];
                    t /= g.kernel[d];
                }
                if ok {
                    sum += x[(sample * c.input + ic) * pi + at as usize] * w[channel * gi * taps + j];
                }
            }
            sum
        };
        (0..c.batch * c.output * po).map(element).collect()
    }

    fn check(g: &ConvGeometry, c: Channels) {
        let mut noise = Noise::new(4);
        let pixels: usize = g.input.iter().product();
        let taps: usize = g.kernel.iter().product();
        let x: Vec<f64> = noise.floats(c.batch * c.input * pixels);
        let w: Vec<f64> = noise.floats(c.output * c.input / g.groups * taps);
        let bias: Vec<f64> = noise.floats(c.output);
        let expected = naive(g, c, &x, &w, &bias);
        let found = same_on_any_threads(|| {
            let mut out = vec![7.0; expected.len()];
            conv(g, c, &x, &w, Some(&bias), &mut out).unwrap();
            out
        });
        assert_close(&found, &expected, 1e-12);
        let packs = Packs::default();
        for _ in 0..2 {
            let mut out = vec![7.0; expected.len()];
            conv_kept(g, c, &x, (&w, Some(&packs)), Some(&bias), &mut out).unwrap();
            assert_eq!(out, found);
        }
        let single = |v: &[f64]| v.iter().map(|&e| e as f32).collect::<Vec<_>>();
        let mut out = vec![7.0f32; expected.len()];
        conv(g, c, &single(&x), &single(&w), Some(&single(&bias)), &mut out).unwrap();
        assert_close(&out.iter().map(|&e| f64::from(e)).collect::<Vec<_>>(), &expected, 1e-4);
    }

    /// Geometries of one to three dimensions; calls `run` for each.
    pub(crate) fn sweep(groups: usize, run: impl Fn(&ConvGeometry)) {
        for (stride, dilation, pads) in
            [(1, 1, (0, 0)), (1, 1, (1, 1)), (2, 1, (1, 0)), (3, 2, (2, 3)), (1, 2, (0, 4)), (5, 1, (2, 2))]
        {
            for (input, kernel) in [
                (&[37][..], &[3][..]),
                (&[9, 23], &[3, 3]),
                (&[11, 8], &[5, 2]),
                (&[5, 6, 7], &[2, 1, 3]),
                (&[4, 5], &[1, 1]),
            ] {
                let rank = input.len();
                run(&ConvGeometry {
                    strides: vec![stride; rank],
                    dilations: vec![dilation; rank],
                    pads_begin: vec![pads.0; rank],
                    pads_end: vec![pads.1; rank],
                    groups,
                    ..ConvGeometry::new(input, kernel)
                });
            }
        }
    }

    fn fits(g: &ConvGeometry) -> bool {
        g.output_shape().is_ok()
    }

    #[test]
    fn matches_direct_loops() {
        for (groups, input, output) in [(1, 3, 5), (2, 4, 6), (4, 4, 4), (4, 4, 8)] {
            sweep(groups, |g| {
                if fits(g) {
                    check(g, Channels { batch: 2, input, output });
                }
            });
        }
    }

    #[test]
    fn large_enough_for_several_tiles_and_threads() {
        let padded = |input: &[usize], kernel: &[usize]| ConvGeometry {
            pads_begin: vec![1, 1],
            pads_end: vec![1, 1],
            ..ConvGeometry::new(input, kernel)
        };
        check(&padded(&[24, 40], &[3, 3]), Channels { batch: 1, input: 32, output: 14 });
        check(&ConvGeometry::new(&[24, 30], &[1, 1]), Channels { batch: 2, input: 40, output: 30 });
        check(
            &ConvGeometry { groups: 8, ..padded(&[90, 150], &[3, 3]) },
            Channels { batch: 1, input: 8, output: 8 },
        );
    }

    #[test]
    fn one_pixel_per_sample() {
        for (batch, input, output) in [(1, 300, 40), (3, 7, 33), (2, 1, 1)] {
            check(&ConvGeometry::new(&[1, 1], &[1, 1]), Channels { batch, input, output });
        }
    }

    #[test]
    fn empty_batches_and_channels() {
        let g = ConvGeometry { groups: 3, ..ConvGeometry::new(&[4], &[2]) };
        let c = Channels { batch: 0, input: 3, output: 3 };
        assert_eq!(conv::<f32>(&g, c, &[], &[0.0; 6], None, &mut []), Ok(()));
        let g = ConvGeometry { groups: 1, ..g };
        let mut out = [5.0; 6];
        let c = Channels { batch: 1, input: 0, output: 2 };
        assert_eq!(conv::<f32>(&g, c, &[], &[], Some(&[1.0, 2.0]), &mut out), Ok(()));
        assert_eq!(out, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
    }

    #[test]
    fn huge_attributes_take_no_memory() {
        let far = 1 << 40;
        let g = ConvGeometry {
            dilations: vec![far],
            pads_begin: vec![far],
            pads_end: vec![0],
            ..ConvGeometry::new(&[2], &[2])
        };
        let mut out = [0.0f32; 2];
        let c = Channels { batch: 1, input: 1, output: 1 };
        assert_eq!(conv(&g, c, &[1.0, 2.0], &[5.0, 10.0], None, &mut out), Ok(()));
        assert_eq!(out, [10.0, 20.0]);
    }

    #[test]
    fn refuses_wrong_lengths() {
        let g = ConvGeometry::new(&[3], &[2]);
        let c = Channels { batch: 1, input: 1, output: 1 };
        let run = |x: &[f32], w: &[f32], b: &[f32], out: &mut [f32]| conv(&g, c, x, w, Some(b), out);
        assert_eq!(run(&[1.0; 3], &[1.0; 2], &[1.0], &mut [0.0; 2]), Ok(()));
        assert!(run(&[1.0; 2], &[1.0; 2], &[1.0], &mut [0.0; 2]).is_err());
        assert!(run(&[1.0; 3], &[1.0; 3], &[1.0], &mut [0.0; 2]).is_err());
        assert!(run(&[1.0; 3], &[1.0; 2], &[1.0; 2], &mut [0.0; 2]).is_err());
        assert!(run(&[1.0; 3], &[1.0; 2], &[1.0], &mut [0.0; 3]).is_err());
        let odd = ConvGeometry { groups: 2, ..g.clone() };
        let c = Channels { batch: 1, input: 3, output: 2 };
        assert!(conv::<f32>(&odd, c, &[0.0; 9], &[0.0; 4], None, &mut [0.0; 4]).is_err());
    }
}
