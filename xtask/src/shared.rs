//! The folder of conformance runners and recorded corpora that may stand beside a checkout. Nothing else in the project knows of it.

use std::path::PathBuf;

use crate::process::root;

/// The folder that `HOIST_SHARED` names, or `shared` beside the checkout, when it holds conformance runners.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("HOIST_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    folder.join("conformance").is_dir().then_some(folder)
}
