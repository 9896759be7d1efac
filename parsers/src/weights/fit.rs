//! Fitting the tensors of a file to those that a program needs, by name.

use std::collections::{HashMap, HashSet};

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Storage, Tensor};

use super::Weights;

/// Most problems of one kind that are listed.
const MAX_LISTED: usize = 20;

/// Prefixes that training code puts before every name: `DataParallel`, `torch.compile`, Lightning modules.
const PREFIXES: &[&str] = &["module.", "_orig_mod.", "model.", "net.", "network."];

/// Counter of batches in batch normalization, which inference never needs.
const COUNTER: &str = "num_batches_tracked";

/// A tensor that a program needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Names of the tensors that are this one too; files leave all but one of them out.
    pub tied: Vec<String>,
}

/// The tensors that are wanted, in their order. Prefixes that all names of the file have and the wanted ones lack, as `module.`, are taken
/// off. Counters of batch normalization may be missing and left over; a second name of a tensor that is used may be left over.
///
/// # Errors
/// `E0206` for each tensor that is missing, left over, or of other sizes or another type.
pub fn fit(weights: &Weights, wanted: &[Wanted]) -> Result<Vec<(String, Tensor)>, Diags> {
    let named = stripped(weights, wanted);
    let (mut out, mut problems) = (Vec::new(), [vec![], vec![], vec![]]);
    for want in wanted {
        let others = want.tied.iter().find_map(|other| named.get(other));
        match named.get(&want.name).or(others) {
            Some((_, tensor)) if tensor.dtype() == want.dtype && tensor.shape() == want.shape => {
                out.push((want.name.clone(), (*tensor).clone()));
            }
            Some((label, tensor)) => problems[0].push(format!(
                "tensor `{label}` is {}, and the architecture needs {}",
                shown(tensor.dtype(), tensor.shape()),
                shown(want.dtype, &want.shape)
            )),
            None if want.name.ends_with(COUNTER) => {
                out.push((want.name.clone(), Tensor::scalar(0_i64)));
            }
            None => problems[1].push(format!(
                "tensor `{}` is missing: the architecture needs {}",
                want.name,
                shown(want.dtype, &want.shape)
            )),
        }
    }
    let known: HashSet<&str> = wanted.iter().map(|w| w.name.as_str()).collect();
    let mut left: Vec<(&str, &Tensor)> = named
        .iter_sorted()
        .filter(|(name, _)| !known.contains(name) && !name.ends_with(COUNTER))
        .filter(|(_, (_, tensor))| !out.iter().any(|(_, placed)| one_storage(placed, tensor)))
        .map(|(_, entry)| *entry)
        .collect();
    left.sort_by_key(|(label, _)| weights.tensors.get_index_of(*label));
    for (label, tensor) in left {
        problems[2].push(format!(
            "tensor `{label}` ({}) is not part of the architecture",
            shown(tensor.dtype(), tensor.shape())
        ));
    }
    if problems.iter().all(Vec::is_empty) { Ok(out) } else { Err(listed(problems)) }
}

/// Whether two tensors are one: tied weights under two names.
fn one_storage(a: &Tensor, b: &Tensor) -> bool {
    let same = matches!((a.storage(), b.storage()), (Storage::Bytes(a, _), Storage::Bytes(b, _)) if a.as_ptr() == b.as_ptr() && a.len() == b.len());
    same && !a.is_empty() && a.dtype() == b.dtype() && a.shape() == b.shape()
}

fn shown(dtype: DType, shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("{}[{}]", dtype.name(), sizes.join(", "))
}

fn listed(problems: [Vec<String>; 3]) -> Diags {
    let mut diags = Diags::default();
    for list in problems {
        let (count, more) = (list.len(), list.len().saturating_sub(MAX_LISTED));
        for what in list.into_iter().take(MAX_LISTED) {
            diags.push(Diag::error("E0206", what));
        }
        if more > 0 {
            diags.push(Diag::error("E0206", format!("and {more} more like the last, {count} in all")));
        }
    }
    if let Some(last) = diags.0.last_mut() {
        last.hint = Some("the weights and the architecture are not of one model; `hoist inspect` lists the tensors of a file".to_owned());
    }
    diags
}

/// Tensors by the names that the program uses.
struct Named<'w>(HashMap<&'w str, (&'w str, &'w Tensor)>);

impl<'w> Named<'w> {
    fn get(&self, name: &str) -> Option<&(&'w str, &'w Tensor)> {
        self.0.get(name)
    }
    /// Entries by name.
    fn iter_sorted(&self) -> impl Iterator<Item = (&'w str, &(&'w str, &'w Tensor))> {
        let mut names: Vec<&'w str> = self.0.keys().copied().collect();
        names.sort_unstable();
        names.into_iter().filter_map(|name| Some((name, self.0.get(name)?)))
    }
}

/// Takes prefixes off as long as every name has the same one and no wanted name has it.
fn stripped<'w>(weights: &'w Weights, wanted: &[Wanted]) -> Named<'w> {
    let mut names: Vec<(&str, &str, &Tensor)> =
        weights.tensors.iter().map(|(name, t)| (name.as_str(), name.as_str(), t)).collect();
    let prefix = |names: &[(&str, &str, &Tensor)]| {
        PREFIXES.iter().copied().find(|p| {
            names.iter().all(|(n, ..)| n.strip_prefix(p).is_some_and(|rest| !rest.is_empty()))
                && !wanted.iter().any(|w| w.name.starts_with(p))
        })
    };
    while let Some(prefix) = prefix(&names).filter(|_| !names.is_empty()) {
        for (name, ..) in &mut names {
            *name = name.strip_prefix(prefix).unwrap_or(name);
        }
    }
    Named(names.into_iter().map(|(name, label, t)| (name, (label, t))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(list: &[(&str, usize)]) -> Weights {
        let tensor =
            |(name, n): &(&str, usize)| ((*name).to_owned(), Tensor::from_vec(&[*n], vec![1.0_f32; *n]));
        Weights { tensors: list.iter().map(tensor).collect(), ..Weights::default() }
    }

    fn wanted(list: &[(&str, usize)]) -> Vec<Wanted> {
        let one = |(name, n): &(&str, usize)| Wanted {
            name: (*name).to_owned(),
            dtype: DType::F32,
            shape: vec![*n],
            tied: vec![],
        };
        list.iter().map(one).collect()
    }

    #[test]
    fn prefixes_of_every_name_are_taken_off() {
        let want = wanted(&[("a.w", 2), ("b.w", 3)]);
        for prefix in ["", "module.", "module.model.", "_orig_mod."] {
            let (a, b) = (format!("{prefix}a.w"), format!("{prefix}b.w"));
            let list = [(b.as_str(), 3), (a.as_str(), 2)];
            let got: Vec<String> = fit(&weights(&list), &want).unwrap().into_iter().map(|(n, _)| n).collect();
            assert_eq!(got, ["a.w", "b.w"], "{prefix}");
        }
        assert!(fit(&weights(&[("module.a.w", 2), ("b.w", 3)]), &want).is_err());
        let own = wanted(&[("model.w", 1)]);
        assert!(fit(&weights(&[("model.w", 1)]), &own).is_ok());
        assert!(fit(&Weights::default(), &[]).unwrap().is_empty());
    }

    #[test]
    fn all_that_does_not_fit_is_listed() {
        let diags = fit(
            &weights(&[("a.w", 9), ("x.w", 1), ("n.num_batches_tracked", 1)]),
            &wanted(&[("a.w", 2), ("b.w", 3)]),
        )
        .unwrap_err();
        let text = diags.to_string();
        for part in [
            "`a.w` is f32[9]",
            "needs f32[2]",
            "`b.w` is missing",
            "needs f32[3]",
            "`x.w` (f32[1]) is not part",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(diags.0.len(), 3);
    }
}
