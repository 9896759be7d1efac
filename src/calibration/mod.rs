//! Calibration data: inputs of a model, read a batch at a time from files in memory that does not follow their size.
//!
//! What a file holds for an input of the model with shape `[N, ...]` or `[b, ...]`:
//!
//! | data | samples |
//! |---|---|
//! | array `[S, ...]` of the input's rank | `S`: batches of them along the first axis |
//! | array `[S, N, ...]` of one rank more | `S`: each is one whole input |
//! | array `[...]` of one rank less | one |
//! | array of exactly the input's shape while others hold more; scalars | none: goes with every sample |
//! | picture | one |
//! | line of text | one: token ids, a column for each input |
//!
//! Where the symbol that counts samples is another axis of an input than the first, as in a state `[2, N, 128]`, that axis is meant; so is the only axis of open size of an
//! input whose first axis is fixed, where other inputs leave the number of samples open.
mod arrays;
mod batches;
mod convert;
mod files;
mod fit;
mod interface;
mod pictures;
mod preprocess;
pub mod ranges;
mod resample;
mod text;

pub use batches::Batches;
pub use preprocess::Preprocess;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::Graph;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Samples in a batch where neither model nor command line say how many.
const BATCH: usize = 4;

/// Which data a model is calibrated with.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CalibrationOpts {
    /// Inputs like those that the model is for, unlabelled, a few hundred (repeatable): arrays whose first axis counts samples in .npz
    /// or .npy files, pictures, lines of token ids in .txt, or a folder of such files. Arrays have the names of the inputs, or in0,
    /// in1, ...; in text a line is a sample, with a column (separated by tabs) for each input
    #[arg(long, value_name = "PATH")]
    pub calibration: Vec<PathBuf>,
    /// What becomes of pictures, and of arrays of integers for float inputs: size=224 or 224x320, resize=256 (shorter side before the middle
    /// is cut out), crop=center|none, pad=114 (whole picture with borders), scale=1/255, mean=0.485/0.456/0.406,
    /// std=0.229/0.224/0.225, layout=nchw|nhwc, channels=rgb|bgr|gray. Left out: size, layout and channels as the input says,
    /// crop=center, scale=1/255. Tags that say how to turn a picture are not followed
    #[arg(long, value_name = "KEY=VALUE,..")]
    pub preprocess: Option<Preprocess>,
    /// Use at most N samples, spread evenly over the data; without it, all
    #[arg(long, value_name = "N")]
    pub samples: Option<NonZeroUsize>,
    /// Samples in a batch, where the model leaves that open [default: 4]
    #[arg(long, value_name = "N")]
    pub calibration_batch: Option<NonZeroUsize>,
    /// Fill lines of token ids that are shorter than the input with this one, or with one for each column
    #[arg(long, value_name = "ID[,ID..]", value_delimiter = ',', allow_negative_numbers = true)]
    pub pad_id: Vec<i64>,
}

/// What files are opened for.
struct Wanted {
    inputs: Arc<[interface::Input]>,
    /// Samples in a batch, if said.
    batch: Option<usize>,
    preprocess: Option<Preprocess>,
    pad_id: Vec<i64>,
}

impl CalibrationOpts {
    /// Whether there is data.
    pub fn is_given(&self) -> bool {
        !self.calibration.is_empty()
    }

    /// Opens the data for the inputs of `graph`: looks at every file, reads headers, counts samples.
    ///
    /// # Errors
    /// `E0101` for files that cannot be opened, `E0603` for those that do not fit the inputs or hold no sample. Every diagnostic names
    /// its file. What only the content tells is an error of the batch.
    pub fn open(&self, graph: &Graph) -> Result<Batches, Diags> {
        batches::open(self, graph)
    }
}

/// The error for data at `path` that does not fit.
fn unfit(path: &Path, what: impl std::fmt::Display) -> Diag {
    Diag::error("E0603", format!("{}: {what}", path.display()))
}

/// The error for a file that cannot be read.
fn unreadable(path: &Path, why: impl std::fmt::Display) -> Diag {
    Diag::error("E0101", format!("{} cannot be read: {why}", path.display()))
}

#[cfg(test)]
mod tests;
