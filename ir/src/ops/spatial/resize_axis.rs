//! Resizing along one axis: places, taps and weights.
//!
//! Formulas are those of ONNX `Resize` 19. An axis given by its size is scaled by the exact ratio, so that places that fall on an element
//! or halfway between two do so without rounding.
use super::resize_words::{Coordinates, NearestMode, ResizeMode};

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
pub(super) struct AxisPlan {
    /// Size of the operand.
    pub input: usize,
    /// Size of the result.
    pub output: usize,
    /// Ratio of the sizes before rounding.
    pub scale: f64,
    /// Whether `scale` is exactly `output / input`.
    pub exact: bool,
    /// Region of interest, relative.
    pub roi: (f64, f64),
}

/// Attributes that decide about places and weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Places.
    pub coordinates: Coordinates,
    /// Rounding of places.
    pub nearest: NearestMode,
    /// Parameter of the cubic kernel.
    pub cubic_a: f64,
    /// Whether elements beyond the border have no weight.
    pub exclude_outside: bool,
    /// Whether the kernel widens when the axis shrinks.
    pub antialias: bool,
}

impl AxisPlan {
    /// Whether the axis stays as it is.
    pub fn is_identity(&self, rules: &Rules) -> bool {
        let whole = rules.coordinates != Coordinates::TfCropAndResize || self.roi == (0.0, 1.0);
        self.input == self.output && (self.scale - 1.0).abs() < 1e-9 && whole
    }
    /// `v / scale`.
    fn unscale(&self, v: f64) -> f64 {
        if self.exact { v * self.input as f64 / self.output as f64 } else { v / self.scale }
    }
    /// Place of element `x` of the result in the operand.
    pub fn place(&self, x: usize, coordinates: Coordinates) -> f64 {
        let (v, last) = (x as f64, self.input as f64 - 1.0);
        let length = if self.exact { self.output as f64 } else { self.scale * self.input as f64 };
        match coordinates {
            Coordinates::HalfPixel => self.unscale(v + 0.5) - 0.5,
            Coordinates::PytorchHalfPixel if self.output > 1 => self.unscale(v + 0.5) - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::HalfPixelSymmetric => {
                let offset = self.input as f64 / 2.0 * (1.0 - self.output as f64 / length);
                offset + self.unscale(v + 0.5) - 0.5
            }
            Coordinates::AlignCorners if length == 1.0 || x == 0 => 0.0,
            Coordinates::AlignCorners => v * last / (length - 1.0),
            Coordinates::Asymmetric => self.unscale(v),
            Coordinates::TfCropAndResize => {
                let (start, end) = self.roi;
                if self.output > 1 {
                    start * last + v * (end - start) * last / (length - 1.0)
                } else {
                    0.5 * (start + end) * last
                }
            }
        }
    }
    /// Elements of the result whose place lies outside the operand, with `TfCropAndResize`.
    pub fn outside(&self, rules: &Rules) -> Vec<usize> {
        if rules.coordinates != Coordinates::TfCropAndResize {
            return vec![];
        }
        let inside = |x: &usize| (0.0..=self.input as f64 - 1.0).contains(&self.place(*x, rules.coordinates));
        (0..self.output).filter(|x| !inside(x)).collect()
    }
    /// The element that each element of the result takes with `Nearest`.
    pub fn nearest(&self, rules: &Rules) -> Vec<usize> {
        let pick = |x: usize| {
            let p = self.place(x, rules.coordinates);
            let at = match rules.nearest {
                NearestMode::RoundPreferFloor => (p - 0.5).ceil(),
                NearestMode::RoundPreferCeil => (p + 0.5).floor(),
                NearestMode::Floor => p.floor(),
                NearestMode::Ceil => p.ceil(),
            };
            clamp(at, self.input)
        };
        (0..self.output).map(pick).collect()
    }
    /// Taps of every element of the result.
    pub fn taps(&self, rules: &Rules) -> Taps {
        let first = first_tap(rules, self.scale);
        let count = (2 - 2 * first).max(2) as usize;
        let mut taps = Taps { count, at: vec![], weights: vec![] };
        for x in 0..self.output {
            let p = self.place(x, rules.coordinates);
            // The element to the left is the base, so that the fraction is in (0, 1].
            let (base, fraction) = if p == p.floor() { (p - 1.0, 1.0) } else { (p.floor(), p - p.floor()) };
            let start = taps.weights.len();
            for i in 0..count {
                let offset = (first + i as i64) as f64;
                let (at, outside) =
                    (base + offset, base + offset < 0.0 || base + offset >= self.input as f64);
                let w = weight(rules, offset - fraction, self.scale);
                taps.at.push(clamp(at, self.input));
                taps.weights.push(if outside && rules.exclude_outside { 0.0 } else { w });
            }
            if rules.exclude_outside || rules.antialias {
                let sum: f64 = taps.weights[start..].iter().sum();
                let sum = if sum == 0.0 { 1.0 } else { sum };
                taps.weights[start..].iter_mut().for_each(|w| *w /= sum);
            }
        }
        taps
    }
}

/// Elements and weights that each element of the result is the sum of: `count` entries each.
pub(super) struct Taps {
    /// Entries per element.
    pub count: usize,
    /// Elements of the operand.
    pub at: Vec<usize>,
    /// Their weights.
    pub weights: Vec<f64>,
}

fn clamp(at: f64, size: usize) -> usize {
    at.clamp(0.0, size as f64 - 1.0) as usize
}

/// Position of the first tap relative to the element left of the place.
fn first_tap(rules: &Rules, scale: f64) -> i64 {
    let radius = if rules.mode == ResizeMode::Cubic { 2.0 } else { 1.0 };
    let stretch = if rules.antialias { scale.min(1.0) } else { 1.0 };
    (-radius / stretch).floor() as i64 + 1
}

/// Weight of an element at `distance` from the place.
fn weight(rules: &Rules, distance: f64, scale: f64) -> f64 {
    let d = if rules.antialias { distance * scale.min(1.0) } else { distance }.abs();
    if rules.mode != ResizeMode::Cubic {
        return (1.0 - d).clamp(0.0, 1.0);
    }
    // Cubic convolution kernel: R. Keys, 1981, equation 4 with parameter a.
    let a = rules.cubic_a;
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(input: usize, output: usize) -> AxisPlan {
        AxisPlan { input, output, scale: output as f64 / input as f64, exact: true, roi: (0.0, 1.0) }
    }

    #[test]
    fn places_on_elements_are_exact() {
        for (i, o) in [(6, 10), (3, 7), (49, 7), (7, 49), (6, 49)] {
            for k in 0..o {
                if k * i % o == 0 {
                    assert_eq!(plan(i, o).place(k, Coordinates::Asymmetric), (k * i / o) as f64);
                }
            }
        }
    }

    #[test]
    fn weights_sum_to_one() {
        for mode in [ResizeMode::Linear, ResizeMode::Cubic] {
            for (antialias, exclude_outside) in [(false, false), (true, false), (true, true), (false, true)] {
                let rules = Rules {
                    mode,
                    coordinates: Coordinates::HalfPixel,
                    nearest: NearestMode::Floor,
                    cubic_a: -0.75,
                    exclude_outside,
                    antialias,
                };
                for (i, o) in [(10, 3), (3, 10), (5, 5), (7, 2)] {
                    let t = plan(i, o).taps(&rules);
                    for w in t.weights.chunks(t.count) {
                        assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{rules:?} {w:?}");
                    }
                }
            }
        }
    }
}
