//! Where the arrays of a model are: in an HDF5 file, or under names that are paths of one.
use super::hdf5::Hdf5;
use crate::tensorflow::bad;
use hoist_ir::diag::Diag;
use hoist_ir::tensor::Tensor;
use indexmap::IndexMap;

/// What an archive of Keras 3 calls the group of a layer's weights.
const VARS: &str = "vars";

/// Arrays by path.
pub(super) enum Arrays {
    File(Hdf5),
    Named(IndexMap<String, Tensor>),
}

impl Arrays {
    /// Names, in order; none of a file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let named = if let Self::Named(all) = self { Some(all) } else { None };
        named.into_iter().flat_map(|all| all.keys().map(String::as_str))
    }
    /// Whether names are the paths of an archive of Keras 3.
    pub fn is_archive(&self) -> bool {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_path = |name: &str| {
            let mut parts = name.rsplit('/');
            parts.next().is_some_and(number) && parts.next() == Some(VARS)
        };
        self.names().any(is_path)
    }
    /// Whether there is a group at `path`.
    pub fn has_group(&self, path: &str) -> bool {
        match self {
            Self::File(file) => file.group(path).is_ok(),
            Self::Named(_) => self.below(path).next().is_some(),
        }
    }
    /// What follows `path` in names below it.
    fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a str> {
        self.names().filter_map(move |n| n.strip_prefix(path)?.strip_prefix('/'))
    }
    /// Names of the groups in the group at `path`.
    ///
    /// # Errors
    /// When there is none.
    pub fn groups(&self, path: &str) -> Result<Vec<String>, Diag> {
        match self {
            Self::File(file) => Hdf5::groups(&file.group(path)?),
            Self::Named(_) => {
                let mut all: Vec<String> =
                    self.below(path).filter_map(|n| Some(n.split_once('/')?.0.to_owned())).collect();
                all.sort_unstable();
                all.dedup();
                Ok(all)
            }
        }
    }
    /// The name of the layer whose weights the group at `path` holds, where it says it.
    ///
    /// # Errors
    /// When it is no text.
    pub fn layer_name(&self, path: &str) -> Result<Option<String>, Diag> {
        match self {
            Self::File(file) => match file.group(path) {
                Ok(vars) => file.text(&vars, "name"),
                Err(_) => Ok(None),
            },
            Self::Named(_) => Ok(None),
        }
    }
    /// Whether there is an array at `path`.
    pub fn has_array(&self, path: &str) -> bool {
        match self {
            Self::File(file) => file.has_array(path),
            Self::Named(all) => all.contains_key(path),
        }
    }
    /// The array at `path`.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn array(&self, path: &str) -> Result<Tensor, Diag> {
        match self {
            Self::File(file) => file.array(path),
            Self::Named(all) => {
                all.get(path).cloned().ok_or_else(|| bad(format!("there is no array `{path}`")))
            }
        }
    }
}
