//! The `ATen` operators that are lifted: `name -> lifting function`, one table per family. A name covers all its overloads; what an
//! overload has beyond the others shows in its arguments, and an argument that is not looked at is refused.
use super::cx::{Cx, Out, R};
use std::collections::HashMap;
use std::sync::LazyLock;

mod activation;
mod adaptive;
mod arithmetic;
mod attention;
mod binary;
mod broadcast;
mod cell;
mod compare;
mod complex;
mod complex_math;
mod conv;
mod create;
mod cumulate;
mod diagonal;
mod fft;
mod fourier;
mod gradient;
mod histogram;
mod index;
mod linalg;
mod linear;
mod loss;
mod margin;
mod norm;
mod order;
mod packed;
mod pieces;
mod pool;
mod quantize;
mod random;
mod ranking;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod segment;
pub(super) mod special;
mod statistics;
mod stft;
mod strided;
mod sym;
mod taper;
mod torchvision;
mod unary;
mod unpool;
mod view;
mod window;

/// Lifts the current node.
pub(super) type Lift = fn(&mut Cx) -> R<Out>;
/// Rows of a family.
type Table = &'static [(&'static str, Lift)];

/// Families in the order of the generated page.
const FAMILIES: &[(&str, Table)] = &[
    ("unary", unary::TABLE),
    ("binary", binary::TABLE),
    ("arithmetic", arithmetic::TABLE),
    ("compare", compare::TABLE),
    ("activation", activation::TABLE),
    ("random", random::TABLE),
    ("special", special::TABLES[0]),
    ("special", special::TABLES[1]),
    ("special", special::TABLES[2]),
    ("special", special::TABLES[3]),
    ("special", special::TABLES[4]),
    ("special", special::TABLES[5]),
    ("special", special::TABLES[6]),
    ("reduce", reduce::TABLE),
    ("cumulate", cumulate::TABLE),
    ("gradient", gradient::TABLE),
    ("order", order::TABLE),
    ("histogram", histogram::TABLE),
    ("segment", segment::TABLE),
    ("linear", linear::TABLE),
    ("linalg", linalg::TABLE),
    ("attention", attention::TABLE),
    ("recurrent", recurrent::TABLE),
    ("packed", packed::TABLE),
    ("cell", cell::TABLE),
    ("quantize", quantize::TABLE),
    ("conv", conv::TABLE),
    ("norm", norm::TABLE),
    ("pool", pool::TABLE),
    ("adaptive", adaptive::TABLE),
    ("unpool", unpool::TABLE),
    ("window", window::TABLE),
    ("resize", resize::TABLE),
    ("view", view::TABLE),
    ("strided", strided::TABLE),
    ("pieces", pieces::TABLE),
    ("broadcast", broadcast::TABLE),
    ("index", index::TABLE),
    ("scatter", scatter::TABLE),
    ("diagonal", diagonal::TABLE),
    ("create", create::TABLE),
    ("taper", taper::TABLE),
    ("statistics", statistics::TABLE),
    ("loss", loss::TABLE),
    ("margin", margin::TABLE),
    ("ranking", ranking::TABLE),
    ("complex", complex::TABLE),
    ("fft", fft::TABLE),
    ("stft", stft::TABLE),
    ("torchvision", torchvision::TABLE),
    ("sym", sym::TABLE),
];

static BY_NAME: LazyLock<HashMap<&'static str, Lift>> =
    LazyLock::new(|| FAMILIES.iter().flat_map(|(_, t)| t.iter().copied()).collect());

/// The lifting function of operator `name`, without overload.
pub(super) fn find(name: &str) -> Option<Lift> {
    BY_NAME.get(name).copied()
}

/// The function for a node with complex operands, whose operator `ordinary` lifts for real ones.
///
/// # Errors
/// When the operator is not supported on complex numbers.
pub(super) fn complex_form(target: &str, ordinary: Lift) -> R<Lift> {
    let name = target.strip_prefix("torch.ops.").unwrap_or(target);
    let name = name.strip_prefix("aten.").unwrap_or(name);
    let name = name.rsplit_once('.').map_or(name, |(n, _)| n);
    let name = if find(name).is_some() { name } else { name.strip_suffix('_').unwrap_or(name) };
    complex::form(name, ordinary)
}

/// Every operator that is lifted, with its family, in table order. An in-place form (`relu_`) is covered by the pure one.
pub fn covered() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES.iter().flat_map(|(family, table)| table.iter().map(move |(name, _)| (*family, *name)))
}

/// The core `ATen` set of PyTorch 2.15 (operators tagged `torch.Tag.core`), without overloads: what a fully decomposed program holds.
const CORE: &str = include_str!("core_operators.txt");

/// Operators of the core set, and whether each is lifted. Those that are not compute gradients.
pub fn core_set() -> impl Iterator<Item = (&'static str, bool)> {
    CORE.lines().map(|name| (name, super::target::find(name).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_set_is_covered_but_for_gradients() {
        let missing: Vec<&str> = core_set().filter(|(_, lifted)| !lifted).map(|(name, _)| name).collect();
        assert!(core_set().count() > 150);
        assert!(missing.iter().all(|name| name.ends_with("_backward")), "{missing:?}");
    }

    #[test]
    fn every_name_stands_in_one_table() {
        let names: Vec<&str> = covered().map(|(_, n)| n).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        let mut twice: Vec<&str> =
            names.iter().copied().filter(|n| names.iter().filter(|m| m == &n).count() > 1).collect();
        twice.dedup();
        assert_eq!(names.len(), unique.len(), "{twice:?}");
    }
}
