//! What belongs to a graph and lies beside it: values of variables in a checkpoint, and asset files.
use super::bundle::{Bundle, objects};
use super::program::{Body, Node, Program, Ref};
use super::tensor::bad;
use hoist_formats::tensorflow::generated::MetaGraphDef;
use hoist_ir::diag::Diag;
use hoist_ir::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the value of a variable lies in a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Key of the tensor.
    pub key: String,
    /// The part of it, as `rows columns start,length:-`; empty for all.
    pub part: String,
}

/// What lies beside a graph.
#[derive(Debug, Default)]
pub struct Store {
    /// Folder of the graph's file.
    pub folder: PathBuf,
    /// The checkpoint.
    pub bundle: Option<Bundle>,
    /// Places of variables by what identifies them.
    pub places: BTreeMap<String, Place>,
    /// Files by the name of the node that holds their path, relative to the folder.
    pub assets: BTreeMap<String, String>,
}

/// Operators that make a variable.
const HANDLES: &[&str] = &["VarHandleOp", "VariableV2", "Variable"];
/// Operators that hand on what they are given.
const SAME: &[&str] = &["Identity", "NoOp", "Cast"];

/// What identifies the resource that `node` makes a handle of: its shared name, else its own.
pub fn identity(node: &Node) -> &str {
    match node.attrs.text("shared_name") {
        Ok(shared) if !shared.is_empty() => shared,
        _ => &node.name,
    }
}

impl Store {
    /// The value of a variable.
    ///
    /// # Errors
    /// When there is no checkpoint, it has no value for the variable, or the value is damaged.
    pub fn value(&self, name: &str) -> Result<Tensor, Diag> {
        let Some(bundle) = &self.bundle else {
            return Err(Diag::error(
                "E0202",
                format!("there is no checkpoint with the value of variable `{name}`"),
            )
            .hint(
                "convert the SavedModel, or NAME.meta beside NAME.index and NAME.data-*, or freeze the graph",
            ));
        };
        let place = self.place(bundle, name).ok_or_else(|| {
            Diag::error("E0202", format!("the checkpoint has no value of variable `{name}`"))
        })?;
        read_place(bundle, &place)
    }
    fn place(&self, bundle: &Bundle, name: &str) -> Option<Place> {
        let own = || bundle.has(name).then(|| Place { key: name.to_owned(), part: String::new() });
        self.places.get(name).cloned().or_else(own)
    }
    /// Learns places of variables from the operators that restore them, then from the objects. Names of objects tell nothing: several share one.
    ///
    /// # Errors
    /// When the checkpoint's objects are damaged.
    pub fn learn(&mut self, program: &Program, meta: &MetaGraphDef) -> Result<(), Diag> {
        let Some(bundle) = &self.bundle else { return Ok(()) };
        restored(program, &mut self.places);
        captured(program, meta, bundle, &mut self.places)
    }
}

/// The tensor at a place of a checkpoint.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn read_place(bundle: &Bundle, place: &Place) -> Result<Tensor, Diag> {
    let whole = bundle.tensor(&place.key)?;
    if place.part.is_empty() {
        return Ok(whole);
    }
    let wrong = || bad(format!("`{}` is no part of `{}`", place.part, place.key));
    let spec = place.part.rsplit(' ').next().unwrap_or_default();
    let (mut starts, mut sizes) = (vec![], vec![]);
    for (axis, text) in spec.split(':').enumerate() {
        let size = *whole.shape().get(axis).ok_or_else(wrong)?;
        let (start, length) = match text.split_once(',') {
            Some((start, length)) => {
                (start.parse().map_err(|_| wrong())?, length.parse().map_err(|_| wrong())?)
            }
            None if text == "-" => (0, size),
            None => return Err(wrong()),
        };
        starts.push(start);
        sizes.push(length);
    }
    if sizes == whole.shape() && starts.iter().all(|s| *s == 0) {
        return Ok(whole);
    }
    whole.slice(&starts, &sizes).map_err(|_| wrong())
}

/// Places by the operators of the saver: what `RestoreV2` gives is assigned to variables, in the graph or in a function that it calls.
fn restored(program: &Program, places: &mut BTreeMap<String, Place>) {
    let main = &program.main;
    assigned(main, main, &[], places);
    for node in &main.nodes {
        let Some(body) = called(program, node) else { continue };
        if body.nodes.iter().any(|n| &*n.op == "RestoreV2") {
            assigned(main, body, &node.inputs, places);
        }
    }
}

/// The function that a node calls.
pub fn called<'p>(program: &'p Program, node: &Node) -> Option<&'p Body> {
    if !matches!(&*node.op, "PartitionedCall" | "StatefulPartitionedCall") {
        return None;
    }
    program.functions.get(node.attrs.function("f").ok()?.0)
}

/// What identifies the resource that operand `at` of a node of `body` is a handle of. `args` are the operands of the call of `body`.
pub fn resource<'p>(main: &'p Body, body: &'p Body, args: &[Ref], at: Ref) -> Option<&'p Node> {
    let (mut body, mut at) = (body, at);
    // A chain longer than all nodes goes round.
    for _ in 0..=body.nodes.len() {
        match at {
            Ref::Arg(i) => {
                at = *args.get(i)?;
                body = main;
            }
            Ref::Node(n, _) => {
                let node = body.nodes.get(n)?;
                if &*node.op != "Identity" {
                    return Some(node);
                }
                at = *node.inputs.first()?;
            }
        }
    }
    None
}

fn assigned(main: &Body, body: &Body, args: &[Ref], places: &mut BTreeMap<String, Place>) {
    for node in &body.nodes {
        if !matches!(&*node.op, "AssignVariableOp" | "Assign") {
            continue;
        }
        let [handle, value, ..] = node.inputs.as_slice() else { continue };
        let Some(handle) = resource(main, body, args, *handle) else { continue };
        if !HANDLES.contains(&&*handle.op) {
            continue;
        }
        if let Some(place) = source(body, *value) {
            places.insert(identity(handle).to_owned(), place);
        }
    }
}

/// The place that `RestoreV2` reads the value `at` from.
pub fn source(body: &Body, mut at: Ref) -> Option<Place> {
    for _ in 0..16 {
        let Ref::Node(n, port) = at else { return None };
        let node = body.nodes.get(n)?;
        if &*node.op == "RestoreV2" {
            let text = |i: usize| -> Option<String> {
                let Ref::Node(n, 0) = *node.inputs.get(i)? else { return None };
                let t = body.nodes.get(n)?.attrs.tensor("value").ok()?;
                t.strings().ok()?.get(port).cloned()
            };
            return Some(Place { key: text(1)?, part: text(2).unwrap_or_default() });
        }
        if !SAME.contains(&&*node.op) {
            return None;
        }
        at = *node.inputs.first()?;
    }
    None
}

/// Places by objects: the last operands of a call of a function are the objects that its entry lists.
fn captured(
    program: &Program,
    meta: &MetaGraphDef,
    bundle: &Bundle,
    places: &mut BTreeMap<String, Place>,
) -> Result<(), Diag> {
    let Some(objects) = &meta.object_graph_def else { return Ok(()) };
    let keys = objects::by_node(bundle)?;
    for node in &program.main.nodes {
        let Some(body) = called(program, node) else { continue };
        let Some(function) = objects.concrete_functions.get(&*body.name) else { continue };
        let Some(first) = node.inputs.len().checked_sub(function.bound_inputs.len()) else { continue };
        for (at, object) in node.inputs[first..].iter().zip(&function.bound_inputs) {
            let key = usize::try_from(*object).ok().and_then(|i| keys.get(&i)).filter(|k| bundle.has(k));
            let handle = resource(&program.main, &program.main, &[], *at);
            if let (Some(key), Some(handle)) = (key, handle.filter(|n| &*n.op == "VarHandleOp")) {
                let place = Place { key: key.clone(), part: String::new() };
                places.entry(identity(handle).to_owned()).or_insert(place);
            }
        }
    }
    Ok(())
}
