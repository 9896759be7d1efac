//! Sizes for dimensions that a model leaves open.
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::graph::Graph;
use hoist_ir::types::{TensorType, Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sizes that the user gives to symbols.
///
/// A symbol without one gets a default, the same wherever it stands: 2 when its name contains `batch` or is `n` or `b`, or when it is
/// the first axis of the first input that has it; 64 when it is a spatial axis of an image (axis 2 or 3 of a tensor of rank 4); else
/// 8, 9, ... 16 in order of appearance. Dimensions about which nothing is known are 2, 64 or 8 by the same rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DimBindings(pub BTreeMap<String, u64>);

/// What a dimension gets for which no size is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Open {
    /// Few of everything, as [`DimBindings`] says.
    #[default]
    Small,
    /// 256 along the last axis of an input, 1 along every other: for models that take one long signal or text.
    Long,
    /// The same with 4096: for encoders of sound, whose windows leave one of hundreds of samples.
    Longest,
}

/// Sizes of all symbols of one graph.
pub(super) struct Chosen {
    sizes: BTreeMap<Arc<str>, u64>,
    open: Open,
}

impl DimBindings {
    /// Chooses a size for each symbol in the inputs of `graph`.
    pub(super) fn choose(&self, graph: &Graph, open: Open) -> Chosen {
        let mut chosen = BTreeMap::new();
        let mut plain = 0;
        for v in graph.inputs() {
            let Some(shape) = tensor_of(graph.ty(*v)).and_then(|t| t.shape.as_ref()) else { continue };
            for (axis, dim) in shape.iter().enumerate() {
                let Dim::Expr(e) = dim else { continue };
                for symbol in e.symbols() {
                    if chosen.contains_key(&symbol) {
                        continue;
                    }
                    let given = self.0.get(&*symbol).copied();
                    let size = given
                        .or_else(|| special(open, Some(&symbol), axis, shape.len()))
                        .unwrap_or_else(|| {
                            plain += 1;
                            8 + (plain - 1) % 9
                        });
                    chosen.insert(symbol, size);
                }
            }
        }
        Chosen { sizes: chosen, open }
    }
}

fn tensor_of(ty: &Type) -> Option<&TensorType> {
    match ty {
        Type::Tensor(t) => Some(t),
        Type::Sequence(t) | Type::Optional(t) => tensor_of(t),
        Type::Map(..) | Type::Unknown => None,
    }
}

/// The default of a batch or image axis, or of any axis where inputs are to be long.
fn special(open: Open, symbol: Option<&str>, axis: usize, rank: usize) -> Option<u64> {
    if open != Open::Small {
        let long = if open == Open::Long { 256 } else { 4096 };
        return Some(if axis + 1 == rank { long } else { 1 });
    }
    let name = symbol.unwrap_or_default().to_ascii_lowercase();
    if axis == 0 || name.contains("batch") || name == "n" || name == "b" {
        return Some(2);
    }
    // Axes of pictures; those of kept keys and values say what they are.
    (rank == 4 && axis >= 2 && !name.contains("sequence")).then_some(64)
}

impl Chosen {
    /// Size of `dim`, when its symbols have one.
    pub(super) fn dim(&self, dim: &Dim) -> Option<u64> {
        match dim {
            Dim::Known(n) => Some(*n),
            Dim::Unknown => None,
            Dim::Expr(e) => {
                let value =
                    |s: &str| self.sizes.get(s).and_then(|n| i64::try_from(*n).ok()).map(SymInt::from);
                u64::try_from(e.substitute(&value)?.as_const()?).ok()
            }
        }
    }
    /// Sizes of an input.
    pub(super) fn shape(&self, ty: &TensorType, name: &str) -> Result<Vec<usize>, Diag> {
        let Some(dims) = &ty.shape else {
            let m = format!("no value can be made up for input `{name}`: its rank is not known");
            return Err(Diag::error("E0603", m).hint("give the inputs in a .npz file"));
        };
        let size = |(axis, dim): (usize, &Dim)| {
            let n = match dim {
                Dim::Unknown => Some(special(self.open, None, axis, dims.len()).unwrap_or(8)),
                _ => self.dim(dim),
            };
            n.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
                let m = format!("axis {axis} of input `{name}` has no valid size: {dim}");
                Diag::error("E0603", m).hint("give its symbols other sizes")
            })
        };
        dims.iter().enumerate().map(size).collect()
    }
}
