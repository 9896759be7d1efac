//! What the command line says about quantization.
use crate::calibration::CalibrationOpts;
use crate::format::OutputFormat;
use crate::quantization::check::Allowance;
use crate::quantization::study::Studying;
use clap::ValueEnum;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_passes::Profile;
use hoist_passes::quantize::spec::{Grid, Method, Mode, Quantization};
use std::fmt;
use std::path::PathBuf;

/// What is quantized.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Kind {
    /// weights, and activations by ranges found on calibration data
    #[default]
    Static,
    /// weights; activations by their range while the model runs
    Dynamic,
    /// weights only
    Weights,
    /// 16-bit floats (IEEE binary16)
    Fp16,
    /// 16-bit floats (bfloat16)
    Bf16,
    /// 8-bit floats (e4m3), for targets that have them
    Float8,
    /// nothing: a quantized model becomes one of floats
    Float,
}

/// Stored type of activations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Activations {
    /// signed 8 bits
    Int8,
    /// unsigned 8 bits
    Uint8,
    /// signed 16 bits, with 8-bit weights
    Int16,
}

/// How ranges are chosen.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Choice(pub Method);

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Method::MinMax => f.write_str("minmax"),
            Method::MovingAverage(weight) => write!(f, "average={weight}"),
            Method::Percentile(percent) => write!(f, "percentile={percent}"),
            Method::Entropy => f.write_str("entropy"),
            Method::Mse => f.write_str("mse"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |v| v.get_name()))
    }
}

/// Reads `minmax`, `average[=WEIGHT]`, `percentile[=PERCENT]`, `entropy`, `mse`.
pub fn choice(text: &str) -> Result<Choice, String> {
    let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
    let number = |default: f64, low: f64, high: f64| match value {
        None => Ok(default),
        Some(v) => v
            .parse()
            .ok()
            .filter(|v| *v > low && *v <= high)
            .ok_or_else(|| format!("`{v}` is not above {low} and at most {high}")),
    };
    Ok(Choice(match name {
        "minmax" => Method::MinMax,
        "average" => Method::MovingAverage(number(0.01, 0.0, 1.0)?),
        "percentile" => Method::Percentile(number(99.99, 50.0, 100.0)?),
        "entropy" => Method::Entropy,
        "mse" => Method::Mse,
        _ => return Err("there are: minmax, average[=WEIGHT], percentile[=PERCENT], entropy, mse".to_owned()),
    }))
}

/// What is quantized, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Quantizing {
    /// What is quantized
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub mode: Kind,
    /// Bits of weights with --mode weights (8 or 4), of activations with --mode static (8 or 16)
    #[arg(long, value_name = "N", value_parser = ["4", "8", "16"])]
    bits: Option<String>,
    /// Stored type of activations; without it, what suits the target
    #[arg(long, value_enum, value_name = "TYPE", conflicts_with = "bits")]
    activations: Option<Activations>,
    /// Positions along the reduced axis that share a scale, with --mode weights
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(8..=65536))]
    block: Option<u32>,
    /// Zero points of activations are those of signed numbers: 0
    #[arg(long)]
    symmetric: bool,
    /// Weights have zero points of their own
    #[arg(long)]
    asymmetric_weights: bool,
    /// Weights have one scale instead of one per channel
    #[arg(long)]
    per_tensor: bool,
    /// How ranges are chosen: minmax, average[=WEIGHT], percentile[=PERCENT], entropy, mse
    #[arg(long, value_name = "METHOD", value_parser = choice, default_value = "mse")]
    pub method: Choice,
    /// Operators that stay in floats, such as Softmax,Add
    #[arg(long, value_name = "OP,..", value_delimiter = ',')]
    float_ops: Vec<String>,
    /// Nodes that stay in floats, by name
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    float_nodes: Vec<String>,
    /// Compute in integers wherever the target can, also where that loses precision and time
    #[arg(long)]
    full_integer: bool,
    /// Give inputs and outputs the stored type of activations instead of floats, where they are quantized
    #[arg(long)]
    pub integer_io: bool,
    /// Warn of every operator that keeps a TFLite model from running on an Edge TPU as a whole; --full-integer --integer-io are usual with it
    #[arg(long)]
    pub edge_tpu: bool,
    #[command(flatten)]
    pub calibration: CalibrationOpts,
    /// Write the ranges that were found: .json, or .cache as `TensorRT`'s calibration cache. They are those of the model before channels are equalized
    #[arg(long, value_name = "FILE")]
    pub ranges: Option<PathBuf>,
    /// Take ranges from such a file instead of data; channels are not equalized
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ranges", "no_equalize"])]
    pub from_ranges: Option<PathBuf>,
    /// Do not move range between channels of activations and weights
    #[arg(long)]
    no_equalize: bool,
    /// Leave biases as they are instead of making up for what rounding of weights shifts on average
    #[arg(long)]
    no_bias_correction: bool,
    /// Round weights to the nearest number also where calibration data says what they multiply (--mode weights)
    #[arg(long)]
    nearest: bool,
    #[command(flatten)]
    pub studying: Studying,
    #[command(flatten)]
    pub allowance: Allowance,
}

impl Quantizing {
    /// Whether channels are equalized.
    pub fn equalizes(&self) -> bool {
        // With 8 bits weights lose little whatever their channels are.
        !self.no_equalize
            && (matches!(self.mode, Kind::Static | Kind::Dynamic)
                || self.mode == Kind::Weights && self.bits.as_deref() == Some("4"))
    }
    /// Whether weights are rounded by what data say.
    pub fn rounds_by_data(&self) -> bool {
        self.mode == Kind::Weights && self.calibration.is_given() && !self.nearest
    }
    /// Whether the result must not take more bytes than the model in floats.
    pub fn saves_bytes(&self) -> bool {
        !self.full_integer && self.mode != Kind::Float
    }
    /// Whether biases make up for what rounding of weights shifts.
    pub fn corrects(&self) -> bool {
        !self.no_bias_correction && self.mode == Kind::Static
    }
    /// What the passes are asked for.
    ///
    /// # Errors
    /// For wishes that contradict each other.
    pub fn quantization(
        &self,
        format: OutputFormat,
        profile: Option<&'static Profile>,
    ) -> Result<Quantization, Diag> {
        let mode = match self.mode {
            Kind::Dynamic => Mode::Dynamic,
            Kind::Weights => Mode::Weights,
            _ => Mode::Static,
        };
        let mut q = Quantization::new(mode);
        let unsigned = format != OutputFormat::TfLite && profile.is_none_or(|p| p.name != "tensorrt");
        let dtype = self.activation_type(unsigned);
        let tensorrt = profile.is_some_and(|p| p.name == "tensorrt");
        q.activations = Grid { dtype, symmetric: self.symmetric || tensorrt || dtype == DType::I16 };
        if tensorrt && q.activations.dtype == DType::U8 {
            return Err(Diag::error(
                "E0101",
                "TensorRT computes on signed integers: --activations uint8 is not for it",
            ));
        }
        if format == OutputFormat::TfLite && q.activations.dtype == DType::U8 {
            return Err(Diag::error(
                "E0101",
                "LiteRT's kernels compute on signed integers: --activations uint8 is not for it",
            ));
        }
        if self.mode == Kind::Weights && self.bits.as_deref() == Some("4") {
            q.weights.dtype = if self.asymmetric_weights { DType::U4 } else { DType::I4 };
        }
        if self.mode == Kind::Float8 {
            if profile.is_some_and(|p| p.name != "tensorrt") || format == OutputFormat::TfLite {
                return Err(Diag::error(
                    "E0101",
                    "only TensorRT computes on 8-bit floats: --target tensorrt",
                ));
            }
            let grid = Grid { dtype: DType::F8E4M3FN, symmetric: true };
            (q.activations, q.weights) = (grid, grid);
        }
        q.weights.symmetric &= !self.asymmetric_weights;
        q.per_channel = !self.per_tensor;
        q.block = self.block.map(|n| n as usize);
        q.float_ops.clone_from(&self.float_ops);
        q.float_nodes.clone_from(&self.float_nodes);
        q.full = self.full_integer;
        Ok(q)
    }
    /// ONNX Runtime's kernels for x86 take unsigned activations; signed ones are converted, not everywhere.
    fn activation_type(&self, unsigned: bool) -> DType {
        match (self.activations, self.bits.as_deref()) {
            (Some(Activations::Uint8), _) => DType::U8,
            (Some(Activations::Int16), _) | (None, Some("16")) => DType::I16,
            (None, _) if unsigned => DType::U8,
            (Some(Activations::Int8) | None, _) => DType::I8,
        }
    }
}
