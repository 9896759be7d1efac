//! Shape tools: what of sizes and interface changes before anything else happens.
use hoist_ir::diag::Diags;
use hoist_ir::model::Model;

/// What of sizes and interface changes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Shaping {}

impl Shaping {
    /// Does it.
    pub fn apply(&self, _model: &mut Model) -> Result<(), Diags> {
        Ok(())
    }
}
