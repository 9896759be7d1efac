//! TensorFlow's graphs to IR.
use crate::pytorch::lift::state::StateMode;
use crate::source::Source;
use hoist_formats::tensorflow::generated::GraphDef;
use hoist_ir::builder::Builder;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType, Type};
use lift::Lifter;
use lift::val::Val;
use program::{Program, Ref};
use prost::Message as _;
use state::Lifted;
use std::collections::{BTreeSet, HashSet};
pub(crate) use tensor::{bad, shape};

pub mod attrs;
pub mod bundle;
mod frames;
pub mod lift;
pub mod overview;
pub mod program;
pub mod restore;
pub mod saved_model;
mod state;
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
    /// What becomes of variables that the graph assigns.
    pub state: StateMode,
}

/// An input or output of a graph: its name in the model, and its place.
struct Port {
    name: String,
    at: Ref,
    /// Element type and shape, where a signature says them.
    stated: Option<(DType, Option<Shape>)>,
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
        Ok(Port { name, at, stated: None })
    };
    Ok(names.iter().map(port).collect::<Result<_, Diag>>()?)
}

/// All placeholders without a given value that something uses.
fn placeholders(program: &Program, options: &Options) -> Vec<Port> {
    let used = used(program);
    let nodes = program.main.nodes.iter().enumerate();
    let open = nodes.filter(|(i, n)| matches!(&*n.op, "Placeholder" | "PlaceholderV2") && used.contains(i));
    let free = open.filter(|(_, n)| !options.constants.iter().any(|(name, _)| plain(name) == &*n.name));
    free.map(|(i, n)| Port { name: n.name.to_string(), at: Ref::Node(i, 0), stated: None }).collect()
}

/// Nodes of the graph whose results are operands.
fn used(program: &Program) -> HashSet<usize> {
    let operands = program.main.nodes.iter().flat_map(|n| n.inputs.iter());
    operands.filter_map(|at| if let Ref::Node(n, _) = at { Some(*n) } else { None }).collect()
}

/// The name of a node, of a value `node:0`.
fn plain(name: &str) -> &str {
    name.strip_suffix(":0").unwrap_or(name)
}

/// Operators that give nothing to look at.
const SILENT: &[&str] =
    &["NoOp", "Assert", "Const", "Placeholder", "PlaceholderV2", "SaveV2", "Print", "PrintV2"];

/// First results of nodes that nothing uses. Those that others only wait for are left out, where that leaves any: freezing turns the reading of a
/// variable into a node that gives a constant to nobody.
fn ends(program: &Program) -> Vec<Port> {
    let used = used(program);
    let waited: HashSet<usize> = program.main.nodes.iter().flat_map(|n| n.controls.iter().copied()).collect();
    let nodes = program.main.nodes.iter().enumerate();
    let free: Vec<usize> =
        nodes.filter(|(i, n)| !used.contains(i) && !SILENT.contains(&&*n.op)).map(|(i, _)| i).collect();
    let last: Vec<usize> = free.iter().copied().filter(|i| !waited.contains(i)).collect();
    let ends = if last.is_empty() { free } else { last };
    let port = |i: usize| {
        let node = program.main.nodes.get(i)?;
        Some(Port { name: node.name.to_string(), at: Ref::Node(i, 0), stated: None })
    };
    ends.into_iter().filter_map(port).collect()
}

/// The model that computes `outputs` of `inputs`. Variables that it assigns become inputs and outputs.
fn model(program: &Program, options: &Options, inputs: &[Port], outputs: &[Port]) -> Result<Model, Diags> {
    let ends = Ends { program, options, inputs, outputs };
    state::lift_with_state(options.state, &|held| ends.lift(held))
}

/// The name of the input that variable `name` becomes, where `taken` have other meanings.
fn unique<'a>(name: &str, taken: impl Iterator<Item = &'a str>) -> String {
    let taken: HashSet<&str> = taken.collect();
    let mut label = name.to_owned();
    while taken.contains(label.as_str()) || taken.contains(format!("{label}.next").as_str()) {
        label.push_str(".state");
    }
    label
}

/// What is lifted.
struct Ends<'a> {
    program: &'a Program,
    options: &'a Options,
    inputs: &'a [Port],
    outputs: &'a [Port],
}

impl Ends<'_> {
    /// The graph, with the variables `held` as inputs behind the others.
    fn lift(&self, held: &BTreeSet<String>) -> Result<Lifted, Diags> {
        let Self { program, options, .. } = *self;
        let mut graph = Graph::new("main");
        let mut given = vec![];
        for port in self.inputs {
            let ty = match &port.stated {
                Some((dtype, shape)) => typed(&port.name, *dtype, shape.clone()),
                None => input_type(program, port.at, &port.name)?,
            };
            given.push((port.at, Val::Tensor(graph.add_input(&port.name, ty))));
        }
        let mut lifter = Lifter::new(program, options);
        for name in held {
            let ends = self.inputs.iter().chain(self.outputs);
            let label = unique(name, ends.map(|p| p.name.as_str()));
            lifter.variables.hold(name, &label, &mut graph, &program.store)?;
        }
        lifter.variables.at_home(&graph);
        let mut b = Builder::at_end(&mut graph, Origin::default());
        for (name, text) in &options.constants {
            let at = program.main.value(name);
            let at = at.ok_or_else(|| Diag::error("E0603", format!("the graph has no value `{name}`")))?;
            let v = b.constant(constant(program, at, name, text)?);
            given.push((at, Val::Tensor(v)));
        }
        let wanted: Vec<Ref> = self.outputs.iter().map(|p| p.at).collect();
        let values = lifter.main(&mut b, &given, &wanted)?;
        for (port, value) in self.outputs.iter().zip(values) {
            match value {
                Val::Tensor(v) => graph.add_output(&port.name, v),
                Val::Failed => lifter.lost(&port.name),
                other => {
                    let m = format!("output `{}` is {}, not a tensor", port.name, other.what());
                    lifter.block(Diag::error("E0301", m).hint("--outputs names others"));
                }
            }
        }
        let variables = std::mem::take(&mut lifter.variables);
        let warnings = lifter.finish()?;
        Ok(Lifted { graph, warnings, variables })
    }
}

/// Type of the value at `at`, which becomes input `name`.
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
    Ok(typed(name, dtype, stated))
}

/// The type of input `name`. Each size that is not known gets a symbol of its own.
fn typed(name: &str, dtype: DType, stated: Option<Shape>) -> Type {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let plain =
        if plain.starts_with(|c: char| c.is_ascii_alphabetic()) { plain } else { format!("d{plain}") };
    let symbol = |(axis, dim): (usize, Dim)| match dim {
        Dim::Unknown => Dim::symbol(&format!("{plain}_{axis}")),
        dim => dim,
    };
    let shape = stated.map(|s| s.into_iter().enumerate().map(symbol).collect::<Vec<_>>());
    TensorType::new(dtype, shape).into()
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
