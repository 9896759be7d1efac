//! Names of inputs, outputs and open sizes.
use hoist_formats::tflite::table::Record;
use hoist_ir::dim::Dim;
use hoist_ir::types::Shape;
use std::collections::{BTreeMap, HashSet};

/// Names that are taken in a graph.
#[derive(Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// `wanted`, when it is neither empty nor taken.
    pub(super) fn free(&mut self, wanted: &str) -> Option<std::sync::Arc<str>> {
        (!wanted.is_empty() && self.0.insert(wanted.to_owned())).then(|| wanted.into())
    }
    /// `wanted`, with a number where it is taken.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut n = 1usize;
        while !self.0.insert(name.clone()) {
            name = format!("{wanted}_{n}");
            n += 1;
        }
        name
    }
}

/// Interface names of the main subgraph by tensor: those of its signature.
#[derive(Default)]
pub(super) struct Interface {
    inputs: BTreeMap<i64, String>,
    outputs: BTreeMap<i64, String>,
}

impl Interface {
    /// Names that the first signature of subgraph 0 gives; keys of the others.
    pub(super) fn new(root: &Record) -> (Self, Vec<String>) {
        let all = root.records("signature_defs");
        let main = all.iter().position(|s| s.int("subgraph_index") == 0);
        let map = |list: &[Record]| -> BTreeMap<i64, String> {
            let named = list.iter().filter(|m| !m.text("name").is_empty());
            named.map(|m| (m.int("tensor_index"), m.text("name").to_owned())).collect()
        };
        let found = main.map(|i| &all[i]);
        let this =
            found.map(|s| Self { inputs: map(s.records("inputs")), outputs: map(s.records("outputs")) });
        let others = all.iter().enumerate().filter(|(i, _)| Some(*i) != main);
        (this.unwrap_or_default(), others.map(|(_, s)| s.text("signature_key").to_owned()).collect())
    }
    /// Name of input `k`, which is tensor `i`.
    pub(super) fn input(&self, k: usize, i: i64, tensor: &str) -> String {
        named(self.inputs.get(&i), tensor, || format!("input{k}"))
    }
    /// Name of output `k`, which is tensor `i`.
    pub(super) fn output(&self, k: usize, i: i64, tensor: &str) -> String {
        named(self.outputs.get(&i), tensor, || format!("output{k}"))
    }
}

fn named(signature: Option<&String>, tensor: &str, otherwise: impl FnOnce() -> String) -> String {
    match signature {
        Some(name) => name.clone(),
        None if !tensor.is_empty() => tensor.to_owned(),
        None => otherwise(),
    }
}

/// Names the open sizes of input `name` after it and their axes; inputs do not share sizes, as the file does not say which are equal.
pub(super) fn name_dims(name: &str, shape: &mut Option<Shape>, taken: &mut Names) {
    let plain: String = name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
    let plain =
        if plain.starts_with(|c: char| c.is_alphabetic() || c == '_') { plain } else { format!("d{plain}") };
    for (axis, dim) in shape.iter_mut().flatten().enumerate() {
        if *dim == Dim::Unknown {
            *dim = Dim::symbol(&taken.unique(&format!("{plain}_{axis}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_formats::tflite::schema;

    fn map(name: &str, tensor: i64) -> Record {
        Record::new(&schema::TENSOR_MAP).with("name", name).with("tensor_index", tensor)
    }

    #[test]
    fn signatures_name_the_interface() {
        let one = Record::new(&schema::SIGNATURE_DEF)
            .with("signature_key", "encode")
            .with("subgraph_index", 1)
            .with("inputs", vec![map("other", 3)]);
        let main = Record::new(&schema::SIGNATURE_DEF)
            .with("signature_key", "serving_default")
            .with("inputs", vec![map("image", 3)])
            .with("outputs", vec![map("", 4)]);
        let root = Record::new(&schema::MODEL).with("signature_defs", vec![one, main]);
        let (names, others) = Interface::new(&root);
        assert_eq!(others, ["encode"]);
        assert_eq!(names.input(0, 3, "serving_default_image:0"), "image");
        assert_eq!(names.output(0, 4, "StatefulPartitionedCall:0"), "StatefulPartitionedCall:0");
        assert_eq!(names.output(2, 5, ""), "output2");
    }

    #[test]
    fn open_sizes_of_two_inputs_never_share_a_name() {
        let mut taken = Names::default();
        let mut named = |name: &str| {
            let mut shape = Some(vec![Dim::Unknown, Dim::Known(3)].into_iter().collect::<Shape>());
            name_dims(name, &mut shape, &mut taken);
            shape.expect("there").iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(named("a:0"), ["a_0_0", "3"]);
        assert_eq!(named("a/0"), ["a_0_0_1", "3"]);
        assert_eq!(named("0"), ["d0_0", "3"]);
    }
}
