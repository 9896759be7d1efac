//! TFLite: the flatbuffer schema, and what binds its builtin operators to the IR's, for reader and writer.
//!
//! A model is read by [`decode`](decode::decode) into [`Record`](table::Record)s and from there node by node through [`lift`]. It is written the other way: a legal graph is
//! [lowered](lower) into a [`Program`](program::Program) of builtin operators, which the emitter encodes. Each family of operators has one file under [`bind`] that holds both
//! directions.
pub mod bind;
pub mod build;
pub mod decode;
pub mod dtype;
pub mod encode;
pub mod lift;
pub mod lower;
pub mod program;
mod runtimes;
pub mod schema;
pub mod table;
pub mod versions;

use schema::{BUILTINS, Builtin};

/// File identifier.
pub const IDENTIFIER: &str = "TFL3";
/// What is kept of a file's metadata in [`Model::opaque`](hoist_ir::model::Model::opaque): this and the entry's name.
pub const METADATA: &str = "tflite.metadata.";
/// Kept in [`Model::opaque`](hoist_ir::model::Model::opaque) of files whose products quantize their data as they run.
pub const HYBRID: &str = "tflite.hybrid";
/// Kept in [`Model::opaque`](hoist_ir::model::Model::opaque) of models whose operators between conversions are to compute in floats where LiteRT's integer kernels are slow.
pub const QUICK: &str = "tflite.quick";

impl Builtin {
    /// The operator of a code.
    pub fn from_code(code: i64) -> Option<Self> {
        usize::try_from(code).ok().and_then(|c| BUILTINS.get(c)).map(|b| b.0)
    }
    /// Name in the schema.
    pub fn name(self) -> &'static str {
        BUILTINS[self as usize].1
    }
    /// Empty options of the operator, when it has any.
    pub fn options(self) -> Option<table::Record> {
        BUILTINS[self as usize].2.map(table::Record::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtins_stand_at_their_codes() {
        for (code, (b, name, _)) in BUILTINS.iter().enumerate() {
            assert_eq!((*b as usize, b.name()), (code, *name));
        }
        assert_eq!(Builtin::from_code(BUILTINS.len() as i64), None);
    }
}
