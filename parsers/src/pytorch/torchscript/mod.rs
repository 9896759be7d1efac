//! `TorchScript` archives (`torch.jit.save`): a program as source text in a subset of Python, and its attributes as a pickle.
//!
//! The source is evaluated at conversion time ([`eval`]): what is known is computed, and operators on tensors are lifted by the tables
//! that exported programs use, too (`super::lift`).
use crate::source::Source;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::model::Model;
use hoist_ir::types::Shape;

mod ast;
mod eval;
mod interface;
mod lex;
mod load;
mod parse;
mod parse_file;
mod program;
mod ranges;
mod run;
mod schemas;
mod value;
mod weights;

/// Stack for evaluation: nested calls of the program nest calls here.
const STACK: usize = 256 << 20;

/// What the file does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sizes of inputs by name.
    pub shapes: Vec<(String, Shape)>,
    /// Element types of inputs by name.
    pub dtypes: Vec<(String, DType)>,
    /// Whether state that the model keeps between calls stays as the file has it, instead of becoming inputs and outputs.
    pub freeze_state: bool,
}

/// Reads a program of `torch.jit.save`.
///
/// # Errors
/// Everything that is wrong with the file, and all operators in it that are not supported.
pub fn read(source: &Source, options: &Options) -> Result<Model, Diags> {
    let source = source.clone();
    let options = options.clone();
    let started = std::thread::Builder::new()
        .name("torchscript".into())
        .stack_size(STACK)
        .spawn(move || run::read(&source, &options));
    let lost = |what: String| Diags::from(Diag::error("E0901", what));
    match started {
        Ok(thread) => thread.join().unwrap_or_else(|_| Err(lost("evaluation of the program failed".into()))),
        Err(e) => Err(lost(format!("no thread to evaluate the program: {e}"))),
    }
}
