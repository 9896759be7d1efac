//! Named tensors without a program: what a checkpoint or a safetensors file holds.
use hoist_ir::diag::Diag;
use hoist_ir::tensor::Tensor;
use indexmap::IndexMap;

/// Named tensors, and plain facts beside them. Tensors stay in the mapped file where their layout allows it.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    /// What the file is, for people.
    pub format: &'static str,
    /// Tensors in the order of the file.
    pub tensors: IndexMap<String, Tensor>,
    /// Numbers and texts beside the tensors, such as `epoch`, with their paths.
    pub facts: Vec<(String, String)>,
    /// Notes on what was chosen and what was left out.
    pub warnings: Vec<Diag>,
}

impl Weights {
    /// Number of elements of all tensors; tensors that share storage count each.
    pub fn elements(&self) -> u64 {
        self.tensors.values().map(|t| t.len() as u64).fold(0, u64::saturating_add)
    }

    /// Bytes of all tensors; tensors that share storage count each.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.byte_len() as u64).fold(0, u64::saturating_add)
    }
}

/// How weights are read.
#[derive(Debug, Clone, Default)]
pub struct WeightOptions {
    /// Path of the dictionary to take out of a checkpoint; `.` takes everything.
    pub key: Option<String>,
    /// Takes the tensors out of objects of unlisted classes, and leaves the rest of these out.
    pub tensors_only: bool,
}
