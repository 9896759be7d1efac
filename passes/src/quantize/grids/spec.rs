//! What is asked of quantization: intervals, grids, modes.
use crate::quantize::weights::Quantized;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use std::collections::BTreeMap;
use std::str::FromStr;

/// An interval of real numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// Lower end.
    pub low: f32,
    /// Upper end, not below the lower one.
    pub high: f32,
}

impl Interval {
    /// The smallest interval with this one and `other`.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
    /// Largest magnitude in it.
    pub fn magnitude(self) -> f32 {
        self.low.abs().max(self.high.abs())
    }
}

/// How the interval of an activation is found from what was seen.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Method {
    /// Smallest and largest number.
    MinMax,
    /// Smallest and largest number of each batch, averaged with this weight of the newest one.
    MovingAverage(f64),
    /// This part of all numbers, in percent, lies inside; as much is cut off on either side.
    Percentile(f64),
    /// Least relative entropy between the distribution and its quantized form, as in 8-bit inference with `TensorRT`.
    Entropy,
    /// Least mean squared error of the quantized numbers.
    #[default]
    Mse,
}

impl Method {
    /// Whether it looks at more than extremes.
    pub fn needs_histogram(self) -> bool {
        matches!(self, Self::Percentile(_) | Self::Entropy | Self::Mse)
    }
}

/// Integers or small floats that stand for real numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grid {
    /// Stored type.
    pub dtype: DType,
    /// Whether the zero point is that of signed numbers: 0.
    pub symmetric: bool,
}

/// Scale and zero point.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Params {
    /// What one step stands for.
    pub scale: f32,
    /// What stands for zero.
    pub zero_point: i32,
}

/// Largest finite number of `f8e4m3fn` and of `f8e5m2`.
const F8_MOST: [(DType, f32); 2] = [(DType::F8E4M3FN, 448.0), (DType::F8E5M2, 57344.0)];

impl Grid {
    /// Smallest and largest stored number; symmetric grids have as many numbers below zero as above.
    pub fn bounds(self) -> (f64, f64) {
        if let Some((_, most)) = F8_MOST.iter().find(|f| f.0 == self.dtype) {
            return (-f64::from(*most), f64::from(*most));
        }
        let (low, high) = self.dtype.int_range().map_or((-128.0, 127.0), |(l, h)| (l as f64, h as f64));
        if self.symmetric && low < 0.0 { (-high, high) } else { (low, high) }
    }
    /// Scale and zero point for an interval, which is extended to zero: real 0 is a stored number.
    pub fn params(self, interval: Interval) -> Params {
        let (first, last) = self.bounds();
        let (low, high) = (f64::from(interval.low).min(0.0), f64::from(interval.high).max(0.0));
        let wide = |scale: f64| if scale >= SMALLEST { scale as f32 } else { 1.0 };
        if self.symmetric || !self.dtype.is_int() {
            // An unsigned type has its middle as zero.
            let (zero, half) = if first < 0.0 {
                (0.0, last)
            } else {
                (f64::midpoint(last, 1.0).floor(), (last / 2.0).floor())
            };
            return Params { scale: wide(high.max(-low) / half), zero_point: zero as i32 };
        }
        let scale = wide((high - low) / (last - first));
        let zero = (first - low / f64::from(scale)).round_ties_even().clamp(first, last);
        Params { scale, zero_point: zero as i32 }
    }
    /// The real numbers between which `params` stores numbers.
    pub fn covered(self, params: Params) -> Interval {
        let (first, last) = self.bounds();
        let real = |v: f64| ((v - f64::from(params.zero_point)) * f64::from(params.scale)) as f32;
        Interval { low: real(first), high: real(last) }
    }
}

/// Smaller scales are no normal `f32`.
const SMALLEST: f64 = 1e-37;

/// What is quantized.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Activations by known ranges, and weights.
    #[default]
    Static,
    /// Weights; activations by the range that they have when the model runs.
    Dynamic,
    /// Weights only.
    Weights,
}

/// What is asked of `quantize-static`, `quantize-dynamic` and `quantize-weights`.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Quantization {
    /// What is quantized.
    pub mode: Mode,
    /// How activations are stored.
    pub activations: Grid,
    /// How weights are stored.
    pub weights: Grid,
    /// Whether each output channel of weights has a scale of its own.
    pub per_channel: bool,
    /// Elements along the reduced axis that share a scale.
    pub block: Option<usize>,
    /// Ranges of activations. A value without one stays as it is.
    pub ranges: BTreeMap<ValueId, Interval>,
    /// Weights that are quantized already, by the value of the float constant.
    pub given: BTreeMap<ValueId, Quantized>,
    /// Operators that stay in floats, by their names in Hoist or in ONNX.
    pub float_ops: Vec<String>,
    /// Nodes that stay in floats, by label.
    pub float_nodes: Vec<String>,
    /// Whether of weights only tables of rows are quantized, which cost nothing where they are read.
    pub tables_only: bool,
    /// With that, whether large weights of nodes that stay in floats are stored as integers, a cast and a product, which runtimes compute once.
    pub folded: bool,
    /// Whether everything that has an integer kernel computes in integers, also where that loses precision and time.
    pub full: bool,
}

impl Quantization {
    /// 8-bit integers everywhere, one scale for each channel of weights.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            activations: Grid { dtype: DType::I8, symmetric: false },
            weights: Grid { dtype: DType::I8, symmetric: true },
            per_channel: true,
            block: None,
            ranges: BTreeMap::new(),
            given: BTreeMap::new(),
            float_ops: vec![],
            float_nodes: vec![],
            tables_only: false,
            folded: false,
            full: false,
        }
    }
}

/// Reads what test cases say: a mode, then words such as `activations=u8`, `weights=i4`, `block=32`, `symmetric`, `asymmetric-weights`, `per-tensor`, `full`, `tables-only`, `folded`,
/// `float-op=conv`.
impl FromStr for Quantization {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut q = Self::new(match words.next() {
            Some("static") => Mode::Static,
            Some("dynamic") => Mode::Dynamic,
            Some("weights") => Mode::Weights,
            other => return Err(format!("{other:?} is no mode")),
        });
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let dtype = || DType::by_name(value).ok_or_else(|| format!("`{value}` is no element type"));
            match key {
                "activations" => q.activations.dtype = dtype()?,
                "weights" => q.weights.dtype = dtype()?,
                "block" => q.block = Some(value.parse().map_err(|_| format!("`{value}` is no number"))?),
                "symmetric" => q.activations.symmetric = true,
                "asymmetric-weights" => q.weights.symmetric = false,
                "per-tensor" => q.per_channel = false,
                "full" => q.full = true,
                "tables-only" => q.tables_only = true,
                "folded" => q.folded = true,
                "float-op" => q.float_ops.push(value.to_owned()),
                "float-node" => q.float_nodes.push(value.to_owned()),
                _ => return Err(format!("`{word}` is unknown")),
            }
        }
        Ok(q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I8: Grid = Grid { dtype: DType::I8, symmetric: false };

    #[test]
    fn zero_is_a_stored_number() {
        let p = I8.params(Interval { low: 0.5, high: 2.55 });
        assert_eq!((p.scale, p.zero_point), (0.01, -128));
        let p = I8.params(Interval { low: -1.0, high: 1.55 });
        assert_eq!((p.scale, p.zero_point), (0.01, -28));
        let p = Grid { symmetric: true, ..I8 }.params(Interval { low: -1.27, high: 0.5 });
        assert_eq!((p.scale, p.zero_point), (0.01, 0));
        let p = Grid { dtype: DType::U8, symmetric: true }.params(Interval { low: -1.27, high: 0.5 });
        assert_eq!((p.scale, p.zero_point), (0.01, 128));
        assert_eq!(I8.params(Interval { low: 0.0, high: 0.0 }).scale, 1.0);
        let covered = I8.covered(Params { scale: 0.5, zero_point: -128 });
        assert_eq!((covered.low, covered.high), (0.0, 127.5));
    }

    #[test]
    fn cases_say_what_they_want() {
        let q: Quantization = "weights weights=i4 block=32 asymmetric-weights".parse().expect("known words");
        assert_eq!((q.mode, q.weights.dtype, q.block), (Mode::Weights, DType::I4, Some(32)));
        assert!(!q.weights.symmetric);
        assert!("static nonsense".parse::<Quantization>().is_err());
    }
}
