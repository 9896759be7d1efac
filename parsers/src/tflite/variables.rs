//! Content with which variables begin.
use super::file::bad;
use super::state::State;
use hoist_formats::tflite::lift::Declared;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{Limits, eval_graph};
use hoist_ir::graph::{Def, Graph};
use hoist_ir::tensor::Tensor;
use std::sync::Arc;

/// Most bytes that a value computed for a variable may take.
const MAX_BYTES: usize = 64 << 20;

/// What a variable tensor holds after a reset: zeros, or its zero point.
pub(super) fn reset(declared: &Declared) -> Result<Tensor, Diag> {
    let name = &declared.name;
    let sizes = declared.ty.sizes().ok_or_else(|| bad(format!("variable `{name}` has no fixed shape")))?;
    let zero = declared.quant.as_ref().filter(|_| declared.ty.dtype == DType::I8);
    let zero = Tensor::scalar(zero.and_then(|q| q.zero_point.first().copied()).unwrap_or(0));
    let all = zero.cast(declared.ty.dtype, false).and_then(|z| Tensor::splat(&z, &sizes));
    all.map_err(|e| bad(format!("variable `{name}`: {e}")))
}

impl State {
    /// What the subgraph `g` assigned to variables.
    ///
    /// # Errors
    /// When it cannot be computed.
    pub(super) fn assigned(&self, g: &Graph) -> Result<Vec<(Arc<str>, Tensor)>, Diag> {
        let mut out = vec![];
        for (key, v) in self.content() {
            if let (Def::Const, Some(t)) = (g.value(v).def(), g.constant(v)) {
                out.push((key, t.clone()));
                continue;
            }
            if !g.inputs().is_empty() || g.order().any(|n| !g.node(n).bodies().is_empty()) {
                let m = format!(
                    "variable `{key}` begins with a value that depends on control flow, which is not read"
                );
                return Err(Diag::error("E0301", m));
            }
            let mut alone = g.clone();
            alone.add_output("value", v);
            let value = eval_graph(&alone, vec![], Limits { result_bytes: MAX_BYTES });
            let value = value.map_err(|e| bad(format!("variable `{key}`: {}", e.message)))?;
            let value = value.into_iter().next().and_then(|v| v.into_tensor().ok());
            out.push((key.clone(), value.ok_or_else(|| bad(format!("variable `{key}` is no tensor")))?));
        }
        Ok(out)
    }
}
