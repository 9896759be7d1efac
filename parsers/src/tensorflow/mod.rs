//! TensorFlow's graphs to IR.
use crate::source::Source;
use hoist_formats::tensorflow::generated::GraphDef;
use hoist_ir::builder::Builder;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use lift::Lifter;
use lift::val::Val;
use program::{Program, Ref};
use prost::Message as _;
use std::collections::HashSet;
pub(crate) use tensor::bad;

pub mod attrs;
pub mod lift;
pub mod program;
pub mod saved_model;
mod tensor;

/// [`Model::source`] of what is read here.
pub const SOURCE: &str = "tensorflow";

/// What the file does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Values that become inputs, as `node` or `node:port`, in this order; empty for all placeholders.
    pub inputs: Vec<String>,
    /// Values that become outputs, as `node` or `node:port`, in this order; empty for what nothing else uses.
    pub outputs: Vec<String>,
    /// Values of placeholders.
    pub constants: Vec<(String, String)>,
    /// Key of the signature of a `SavedModel`.
    pub signature: Option<String>,
    /// Tags of the graph of a `SavedModel`.
    pub tags: Vec<String>,
}

/// An input or output of a graph: its name in the model, and its place.
struct Port {
    name: String,
    at: Ref,
}

/// Reads a frozen graph.
///
/// # Errors
/// Everything that is wrong with the file, and every operator that is not read.
pub fn read_graph(source: &Source, options: &Options) -> Result<Model, Diags> {
    if source.bytes().is_empty() {
        return Err(Diag::error("E0201", "the file is empty").into());
    }
    let graph = GraphDef::decode(source.bytes().clone())
        .map_err(|e| Diag::error("E0201", format!("this is no graph of TensorFlow: {e}")))?;
    let program = Program::new(graph)?;
    let inputs = match options.inputs.as_slice() {
        [] => placeholders(&program, options),
        names => ports(&program, names)?,
    };
    let outputs = match options.outputs.as_slice() {
        [] => ends(&program),
        names => ports(&program, names)?,
    };
    if outputs.is_empty() {
        return Err(bad("the graph gives nothing").hint("--outputs NAME names what to compute").into());
    }
    model(&program, options, &inputs, &outputs)
}

/// Values by name.
fn ports(program: &Program, names: &[String]) -> Result<Vec<Port>, Diags> {
    let port = |text: &String| {
        let at = program.main.value(text).ok_or_else(|| {
            let near = program.main.nodes.iter().map(|n| (strsim::jaro_winkler(&n.name, text), &n.name));
            let near = near.max_by(|a, b| a.0.total_cmp(&b.0));
            let d = Diag::error("E0603", format!("the graph has no value `{text}`"));
            match near {
                Some((_, name)) => d.hint(format!("the nearest is `{name}`")),
                None => d,
            }
        })?;
        let name = text.strip_suffix(":0").unwrap_or(text).to_owned();
        Ok(Port { name, at })
    };
    Ok(names.iter().map(port).collect::<Result<_, Diag>>()?)
}

/// All placeholders without a given value.
fn placeholders(program: &Program, options: &Options) -> Vec<Port> {
    let nodes = program.main.nodes.iter().enumerate();
    let open = nodes.filter(|(_, n)| matches!(&*n.op, "Placeholder" | "PlaceholderV2"));
    let free = open.filter(|(_, n)| !options.constants.iter().any(|(name, _)| plain(name) == &*n.name));
    free.map(|(i, n)| Port { name: n.name.to_string(), at: Ref::Node(i, 0) }).collect()
}

/// The name of a node, of a value `node:0`.
fn plain(name: &str) -> &str {
    name.strip_suffix(":0").unwrap_or(name)
}

/// Operators that give nothing to look at.
const SILENT: &[&str] =
    &["NoOp", "Assert", "Const", "Placeholder", "PlaceholderV2", "SaveV2", "Print", "PrintV2"];

/// First results of nodes that nothing uses.
fn ends(program: &Program) -> Vec<Port> {
    let used: HashSet<usize> = program
        .main
        .nodes
        .iter()
        .flat_map(|n| n.inputs.iter())
        .filter_map(|at| if let Ref::Node(n, _) = at { Some(*n) } else { None })
        .collect();
    let nodes = program.main.nodes.iter().enumerate();
    let free = nodes.filter(|(i, n)| !used.contains(i) && !SILENT.contains(&&*n.op));
    free.map(|(i, n)| Port { name: n.name.to_string(), at: Ref::Node(i, 0) }).collect()
}

/// The model that computes `outputs` of `inputs`.
fn model(program: &Program, options: &Options, inputs: &[Port], outputs: &[Port]) -> Result<Model, Diags> {
    let mut model = Model { source: SOURCE.into(), ..Model::default() };
    let mut graph = Graph::new("main");
    let mut given = vec![];
    for Port { name, at } in inputs {
        let v = graph.add_input(name, input_type(program, *at, name)?);
        given.push((*at, Val::Tensor(v)));
    }
    let mut lifter = Lifter::new(program, options);
    let mut b = Builder::at_end(&mut graph, Origin::default());
    for (name, text) in &options.constants {
        let at = program.main.value(name);
        let at = at.ok_or_else(|| Diag::error("E0603", format!("the graph has no value `{name}`")))?;
        let v = b.constant(constant(program, at, name, text)?);
        given.push((at, Val::Tensor(v)));
    }
    let wanted: Vec<Ref> = outputs.iter().map(|p| p.at).collect();
    let values = lifter.main(&mut b, &given, &wanted)?;
    for (port, value) in outputs.iter().zip(values) {
        match value {
            Val::Tensor(v) => graph.add_output(&port.name, v),
            Val::Failed => {}
            other => {
                let m = format!("output `{}` is {}, not a tensor", port.name, other.what());
                lifter.block(Diag::error("E0301", m).hint("--outputs names others"));
            }
        }
    }
    model.warnings.extend(lifter.finish()?);
    model.graph = graph;
    Ok(model)
}

/// Type of the value at `at`, which becomes input `name`. Each size that is not known gets a symbol of its own.
fn input_type(program: &Program, at: Ref, name: &str) -> Result<Type, Diag> {
    let Ref::Node(n, port) = at else { return Err(bad("an argument is no input")) };
    let node = &program.main.nodes[n];
    let dtype = ["dtype", "T", "Tout", "out_type", "DstT"].iter().find_map(|a| node.attrs.dtype(a).ok());
    let dtype = dtype.ok_or_else(|| {
        bad(format!("the element type of `{name}` is not known"))
            .node(&*node.name)
            .hint("name a value behind it by --inputs")
    })?;
    let stated = match node.attrs.shape("shape")? {
        Some(shape) => shape,
        None => node.attrs.shapes("_output_shapes")?.into_iter().nth(port).flatten(),
    };
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let plain =
        if plain.starts_with(|c: char| c.is_ascii_alphabetic()) { plain } else { format!("d{plain}") };
    let symbol = |(axis, dim): (usize, Dim)| match dim {
        Dim::Unknown => Dim::symbol(&format!("{plain}_{axis}")),
        dim => dim,
    };
    let shape = stated.map(|s| s.into_iter().enumerate().map(symbol).collect::<Vec<_>>());
    Ok(TensorType::new(dtype, shape).into())
}

/// The value that the command line gives the placeholder at `at`.
fn constant(program: &Program, at: Ref, name: &str, text: &str) -> Result<Tensor, Diag> {
    let wrong = || Diag::error("E0603", format!("`{text}` is no value of `{name}`"));
    let ty = input_type(program, at, name)?;
    let dtype = ty.as_tensor().ok_or_else(wrong)?.dtype;
    let value: f64 = match text.trim() {
        "true" | "True" => 1.0,
        "false" | "False" => 0.0,
        text => text.parse().map_err(|_| wrong())?,
    };
    let t = Tensor::scalar(value).cast(dtype, false).map_err(|_| wrong())?;
    match ty.as_tensor().and_then(TensorType::sizes) {
        Some(sizes) if !sizes.is_empty() => Tensor::splat(&t, &sizes).map_err(|_| wrong()),
        _ => Ok(t),
    }
}
