//! The executors that a command can run a model with.
use clap::ValueEnum;
use hoist_ir::diag::Diags;
use hoist_ir::model::{Executor, Model};
use hoist_runtime::onnxruntime::OnnxRuntime;
use hoist_runtime::reference::{Reference, ReferenceOptions};
use std::path::{Path, PathBuf};

/// Executors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum EngineKind {
    /// Hoist's own evaluation: always there, the same on every machine
    #[default]
    Reference,
    /// an ONNX Runtime installed on this machine; runs .onnx files only
    Onnxruntime,
}

/// Which executor runs a model.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EngineOptions {
    /// Executor that runs the model
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineKind,
    /// Library of ONNX Runtime; without it, `ORT_DYLIB_PATH` and `HOIST_ORACLE_PYTHON` are looked at
    #[arg(long, value_name = "FILE")]
    pub library: Option<PathBuf>,
}

impl EngineOptions {
    /// An executor of `model`, which was read from `path`. ONNX Runtime reads the file itself; a model of another format gets the
    /// reference executor.
    ///
    /// # Errors
    /// When an operator cannot be evaluated, or the executor cannot be loaded or refuses the model.
    pub fn load(
        &self,
        model: &Model,
        path: &Path,
        threads: Option<usize>,
    ) -> Result<Box<dyn Executor>, Diags> {
        if self.engine == EngineKind::Onnxruntime && &*model.source == "onnx" {
            return Ok(Box::new(OnnxRuntime::load(self.library.as_deref(), path, threads)?));
        }
        Ok(Box::new(Reference::new(model, ReferenceOptions::default())?))
    }
}

/// Limits the threads of everything that runs in parallel. Call it before any work starts.
pub fn limit_threads(threads: Option<usize>) {
    if let Some(n) = threads {
        // It fails only when the pool was started before.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(n.max(1)).build_global();
    }
}
