//! Models from weights and `--arch`.
use crate::format::InputFormat;
use crate::io::{self, Reading};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Def, ValueId};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_parsers::pytorch;
use hoist_parsers::safetensors::arch;
use hoist_parsers::weights::Weights;
use hoist_parsers::weights::fit::{Wanted, fit};
use std::path::Path;

/// The model that `--arch` makes of `weights`.
///
/// # Errors
/// `E0206` when no architecture is named; what is wrong with it; and all tensors that do not fit it.
pub fn model(weights: Weights, options: &Reading) -> Result<Model, Diags> {
    let Some(arch) = &options.arch else { return Err(no_program(&weights)) };
    let path = Path::new(arch);
    let mut model =
        if path.is_file() { of_file(path, &weights, options)? } else { arch::build(arch, &weights)? };
    model.warnings.extend(weights.warnings);
    Ok(model)
}

/// Why weights alone are no model.
fn no_program(weights: &Weights) -> Diags {
    let m =
        format!("it holds weights ({} tensors) without the program that uses them", weights.tensors.len());
    Diag::error("E0206", m)
        .hint("name the program with --arch: a .pt2 or .onnx file of the same model, or an architecture such as resnet50; or write the weights alone as .safetensors")
        .into()
}

/// The model in the file at `path` with other weights.
fn of_file(path: &Path, weights: &Weights, options: &Reading) -> Result<Model, Diags> {
    let reading = Reading { arch: None, from: None, dims: vec![], ..options.clone() };
    let (source, format) = io::find(path, &reading).map_err(|diags| io::about(path, diags))?;
    if format == InputFormat::Pt2 {
        return pytorch::program::read_with(&source, options.state.into(), Some(weights));
    }
    let mut model = io::read(path, &reading)?;
    let graph = &mut model.graph;
    let named: Vec<(String, ValueId)> = graph
        .values()
        .filter(|(_, value)| value.def() == Def::Const && !value.uses().is_empty())
        .filter_map(|(v, value)| Some((value.name.as_deref()?.to_owned(), v)))
        .filter(|(name, v)| {
            let large = |t: &Tensor| t.dtype().is_float() && t.len() > 1;
            is_weight(name, weights) || is_path(name) && graph.constant(*v).is_some_and(large)
        })
        .collect();
    let want = |(name, v): &(String, ValueId)| {
        let tensor = graph.constant(*v)?;
        Some(Wanted {
            name: name.clone(),
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            tied: vec![],
        })
    };
    let wanted: Vec<Wanted> = named.iter().filter_map(want).collect();
    let fitted = fit(weights, &wanted).map_err(|mut diags| {
        let hint =
            "an exporter may have folded weights into others: take a .pt2 of the model, which keeps them all";
        diags.0.iter_mut().rev().take(1).for_each(|last| last.hint = Some(hint.to_owned()));
        diags
    })?;
    for ((_, tensor), (_, v)) in fitted.into_iter().zip(&named) {
        graph.set_const(*v, tensor)?;
    }
    Ok(model)
}

/// Whether a constant's name may be the path of a parameter. Exporters call what they fold `onnx::MatMul_1`, `/Constant_output_0`, `val_1`.
fn is_path(name: &str) -> bool {
    !name.starts_with("val_") && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Whether a constant has the name of a tensor of the file, prefixes apart.
fn is_weight(name: &str, weights: &Weights) -> bool {
    weights
        .tensors
        .keys()
        .any(|key| key.strip_suffix(name).is_some_and(|head| head.is_empty() || head.ends_with('.')))
}
