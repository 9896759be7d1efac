//! What keeps a model from being converted: each kind once, with its count and the first place.
use super::aten;
use hoist_ir::diag::{Diag, Diags};
use std::collections::HashMap;

/// Kinds of problems collected before lifting stops.
const MAX_KINDS: usize = 50;
/// Names less alike than this (0 to 1) are no alternative.
const ALIKE: f64 = 0.87;

/// Diagnostics by operator and message.
#[derive(Debug, Default)]
pub struct Blockers {
    list: Vec<(Diag, usize)>,
    known: HashMap<(Option<String>, String), usize>,
}

impl Blockers {
    /// Adds one.
    pub fn push(&mut self, diag: Diag) {
        let key = (diag.op.clone(), diag.message.clone());
        let next = self.list.len();
        let at = *self.known.entry(key).or_insert(next);
        match self.list.get_mut(at) {
            Some((_, count)) => *count += 1,
            None => self.list.push((diag, 1)),
        }
    }
    /// Whether there is any.
    pub fn has_errors(&self) -> bool {
        !self.list.is_empty()
    }
    /// Number of kinds.
    pub fn kinds(&self) -> usize {
        self.list.len()
    }
    /// Whether so many are known that further ones would not help.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MAX_KINDS
    }
    /// `Err` with all when there is any.
    ///
    /// # Errors
    /// All of them; the message tells how many nodes one concerns.
    pub fn into_result(self) -> Result<(), Diags> {
        let counted = |(mut d, count): (Diag, usize)| {
            if count > 1 {
                d.message = format!("{} ({count} nodes)", d.message);
            }
            d
        };
        Diags(self.list.into_iter().map(counted).collect()).into_result()
    }
}

/// That operator `target` (`aten.conv2d.default`) is not supported, with what comes nearest to it.
pub fn not_supported(target: &str) -> Diag {
    let mut parts = target.split('.');
    let (library, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(target));
    let d = Diag::error("E0301", format!("`{target}` is not supported"));
    if let Some(other) = alternative(name) {
        return d.hint(other);
    }
    let Some(near) = nearest(name) else {
        return d.hint(if library == "aten" {
            "`program.run_decompositions()` before torch.export.save may replace it by operators that `hoist ops` lists"
        } else {
            "an operator of another library: replace it by PyTorch's own in the model's source and export again"
        });
    };
    d.hint(format!(
        "the nearest operator that is supported is `aten.{near}`; or try `program.run_decompositions()` before torch.export.save"
    ))
}

/// What to use instead of operators whose name does not tell.
fn alternative(name: &str) -> Option<&'static str> {
    Some(match name {
        "linalg_eig" | "linalg_eigvals" | "eig" => {
            "eigenvalues of a general matrix are complex; `torch.linalg.eigh` is supported for symmetric ones"
        }
        "_fused_moving_avg_obs_fq_helper" | "fused_moving_avg_obs_fake_quant" => {
            "convert the prepared model first (`convert_pt2e`), so that it holds quantize and dequantize"
        }
        "_cudnn_rnn" | "miopen_rnn" => "export the model on the CPU",
        "_nested_tensor_from_mask" | "_nested_view_from_buffer" | "_transformer_encoder_layer_fwd" => {
            "the fast path of nn.TransformerEncoder: set torch.backends.mha.set_fastpath_enabled(False) before export"
        }
        "_linear_prepack" | "conv2d_prepack" => {
            "a packed operator of one backend: export the model before it is lowered to that backend"
        }
        _ => return None,
    })
}

/// The covered operator whose name is most alike.
fn nearest(name: &str) -> Option<&'static str> {
    let mut best = (ALIKE, None);
    for (_, other) in aten::covered().filter(|(_, o)| !o.contains('.')) {
        let alike = strsim::jaro_winkler(name, other);
        if alike > best.0 {
            best = (alike, Some(other));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_and_the_first_place_stays() {
        let mut b = Blockers::default();
        for node in ["a", "b"] {
            b.push(not_supported("aten.frob.default").op("aten.frob.default").node(node));
        }
        b.push(not_supported("aten.other.default").op("aten.other.default").node("c"));
        let d = b.into_result().unwrap_err().0;
        let seen: Vec<_> = d.iter().map(|d| (d.message.as_str(), d.node.as_deref())).collect();
        assert_eq!(
            seen,
            [
                ("`aten.frob.default` is not supported (2 nodes)", Some("a")),
                ("`aten.other.default` is not supported", Some("c"))
            ]
        );
    }

    #[test]
    fn the_nearest_operator_is_named() {
        let hint = |t: &str| not_supported(t).hint.unwrap_or_default();
        assert!(hint("aten.convolution_overrideable.default").contains("`aten.convolution`"));
        assert!(hint("aten.linalg_eig.default").contains("linalg.eigh"));
        assert!(hint("mylib.zzzz.default").contains("another library"));
    }
}
