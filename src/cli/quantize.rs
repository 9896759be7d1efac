//! `hoist quantize`.
use super::rewrite::{Asked, Rewrite};
use super::{EXIT_CODES, Report, Session};
use crate::precision::{Narrow, Precision};
use crate::quantization::options::{Kind, Quantizing};
use anyhow::Result;
use std::path::PathBuf;

/// Make a model compute in, or store, fewer bits
///
/// Does what `optimize` does first. Static quantization needs data: inputs like those that the model will see.
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Model to read: .onnx, .pt2, .tflite or .hir
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Output file
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    quantizing: Quantizing,
    #[command(flatten)]
    rewrite: Rewrite,
}

const EXAMPLES: &str = "Examples:
  hoist quantize model.onnx -o int8.onnx --calibration samples.npz
  hoist quantize model.onnx -o int8.tflite --calibration images/ --preprocess size=224,mean=0.485/0.456/0.406,std=0.229/0.224/0.225
  hoist quantize model.onnx -o int4.onnx --mode weights --bits 4 --block 32
  hoist quantize model.onnx -o dynamic.onnx --mode dynamic
  hoist quantize int8.onnx -o float.onnx --mode float";

impl Opts {
    /// Runs the command.
    pub fn run(self, session: Session) -> Result<Report> {
        let narrow = match self.quantizing.mode {
            Kind::Fp16 => Some(Narrow::Fp16),
            Kind::Bf16 => Some(Narrow::Bf16),
            _ => None,
        };
        let precision = narrow.map_or_else(Precision::default, Precision::of);
        let asked = Asked {
            files: (&self.input, &self.output),
            precision: &precision,
            quantizing: narrow.is_none().then_some(&self.quantizing),
            pipeline: self.rewrite.tuning.pipeline(2)?,
            stats: false,
        };
        self.rewrite.run(asked, session)
    }
}
