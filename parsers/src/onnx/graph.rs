//! `GraphProto` to graphs.
use super::function::Library;
use super::tensor::{Loader, shorten};
use super::{order, sparse, types};
use bytes::Bytes;
use hoist_formats::onnx::generated::tensor_proto::DataLocation;
use hoist_formats::onnx::generated::{GraphProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use hoist_formats::onnx::kept::QUANTIZATION;
use hoist_formats::state::PROPERTY;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, Notes, ValueId};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Diagnostics collected before reading stops.
const MAX_DIAGS: usize = 64;
/// Bytes of the tensors that the quantization annotations of a graph name, each time one is named.
const MAX_ANNOTATIONS: usize = 256 << 20;

/// Reads the graphs of one model.
pub(super) struct Reader {
    pub(super) opset: i64,
    /// Versions of the other operator sets.
    vendors: Vec<(Arc<str>, i64)>,
    pub(super) library: Library,
    pub(super) loader: Loader,
    /// Bodies around the graph being read.
    pub(super) depth: usize,
    /// Whether the graph being read may run more than once.
    pub(super) varying: bool,
    diags: Diags,
    pub(super) warnings: Vec<Diag>,
    /// Inputs of the model that are state, and what they hold before the first run, where the file says so.
    held: HashSet<String>,
    pub(super) first: Vec<(String, Tensor)>,
}

/// A graph while its nodes are added.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) graph: Graph,
    pub(super) names: HashMap<Arc<str>, ValueId>,
    pub(super) declared: HashMap<String, Type>,
    pub(super) outputs: HashSet<String>,
}

/// Inputs that the model's property lists as state.
fn held(model: &Model) -> HashSet<String> {
    let property = model.props.iter().find(|(key, _)| key == PROPERTY);
    let parts: Option<Vec<serde_json::Value>> =
        property.and_then(|(_, text)| serde_json::from_str(text).ok());
    parts.iter().flatten().filter_map(|p| Some(p.get("input")?.as_str()?.to_owned())).collect()
}

/// What a body gets from outside.
pub(super) enum Outer {
    Const(Tensor),
    Capture(Type),
}

pub(super) fn notes(doc: &str, props: &[StringStringEntryProto]) -> Option<Box<Notes>> {
    if doc.is_empty() && props.is_empty() {
        return None;
    }
    let props = props.iter().map(|p| (p.key().to_owned(), p.value().to_owned())).collect();
    Some(Box::new(Notes { doc: doc.to_owned(), props, ..Notes::default() }))
}

/// Attaches quantization parameters to the values they describe.
fn annotate(scope: &mut Scope, proto: &GraphProto) -> Result<(), Diag> {
    let inside = |t: &&TensorProto| t.data_location() != DataLocation::External;
    let tensors: HashMap<&str, &TensorProto> = if proto.quantization_annotation.is_empty() {
        HashMap::new()
    } else {
        proto.initializer.iter().rev().filter(inside).map(|t| (t.name(), t)).collect()
    };
    let mut encoded: HashMap<&str, Bytes> = HashMap::new();
    let mut all: BTreeMap<ValueId, Notes> = BTreeMap::new();
    let mut left = MAX_ANNOTATIONS;
    for a in &proto.quantization_annotation {
        let what = shorten(a.tensor_name());
        let unknown = || {
            Diag::error(
                "E0202",
                format!("a quantization annotation is about `{what}`, which nothing defines"),
            )
        };
        let v = *scope.names.get(a.tensor_name()).ok_or_else(unknown)?;
        let kept = || scope.graph.value(v).notes.as_deref().cloned().unwrap_or_default();
        let notes = all.entry(v).or_insert_with(kept);
        for pair in &a.quant_parameter_tensor_names {
            let tensor = *tensors.get(pair.value()).ok_or_else(|| {
                let name = shorten(pair.value());
                Diag::error("E0202", format!("the quantization annotation of `{what}` names `{name}`, which is no initializer in the file"))
            })?;
            let bytes = encoded.entry(tensor.name()).or_insert_with(|| tensor.encode_to_vec().into());
            left = left.checked_sub(bytes.len()).ok_or_else(|| {
                Diag::error(
                    "E0202",
                    format!("quantization annotations name more than {MAX_ANNOTATIONS} bytes of tensors"),
                )
                .hint("drop them from the model, or let each name tensors of its own")
            })?;
            notes.opaque.push((format!("{QUANTIZATION}{}", pair.key()), bytes.clone()));
        }
    }
    for (v, notes) in all {
        scope.graph.set_notes(v, notes);
    }
    Ok(())
}

impl Reader {
    pub(super) fn new(model: &Model, library: Library, loader: Loader) -> Self {
        Self {
            opset: model.opset("").unwrap_or(1),
            vendors: model.opsets.clone(),
            library,
            loader,
            depth: 0,
            varying: false,
            diags: Diags::default(),
            warnings: vec![],
            held: held(model),
            first: vec![],
        }
    }
    /// Version of the operator set of `domain`.
    pub(super) fn version(&self, domain: &str) -> i64 {
        if domain.is_empty() {
            return self.opset;
        }
        self.vendors.iter().find(|(d, _)| **d == *domain).map_or(1, |(_, v)| *v)
    }
    pub(super) fn warnings(self) -> Vec<Diag> {
        self.warnings
    }
    /// The main graph.
    pub(super) fn main(&mut self, proto: &GraphProto) -> Result<Graph, Diags> {
        self.held.retain(|h| proto.input.iter().any(|i| i.name() == h));
        let graph = self.graph(proto, vec![], &[]);
        self.take_diags().into_result()?;
        Ok(graph)
    }
    /// What was reported so far, to be reported again or not.
    pub(super) fn take_diags(&mut self) -> Diags {
        std::mem::take(&mut self.diags)
    }
    /// Keeps a warning, up to a number that can still be read.
    pub(super) fn warn(&mut self, d: Diag) {
        if self.warnings.len() < MAX_DIAGS {
            self.warnings.push(d);
        }
    }
    pub(super) fn report(&mut self, d: Diag) {
        if self.diags.0.len() < MAX_DIAGS {
            self.diags.push(d);
        }
    }

    /// Reads one graph. `outer` are the values it gets from outside; `formal` types its inputs where the file does not.
    pub(super) fn graph(
        &mut self,
        proto: &GraphProto,
        outer: Vec<(Arc<str>, Outer)>,
        formal: &[Type],
    ) -> Graph {
        let mut scope = Scope { graph: Graph::new(proto.name()), ..Scope::default() };
        scope.graph.notes = notes(proto.doc_string(), &proto.metadata_props);
        let initialized: std::collections::HashSet<&str> =
            proto.initializer.iter().map(|t| t.name()).collect();
        for (i, input) in proto.input.iter().enumerate() {
            // Before IR version 4 every initializer is listed as an input too.
            if !initialized.contains(input.name()) || self.is_held(input.name()) {
                self.input(&mut scope, input, formal.get(i));
            }
        }
        for (name, what) in outer {
            let v = match what {
                Outer::Const(t) => scope.graph.add_const(t),
                Outer::Capture(ty) => scope.graph.add_input(&name, ty),
            };
            scope.names.insert(name, v);
        }
        self.initializers(&mut scope, proto);
        for info in proto.value_info.iter().chain(&proto.output) {
            if let Ok(Some(ty)) = self.declared(info) {
                scope.declared.insert(info.name().to_owned(), ty);
            }
        }
        scope.outputs = proto.output.iter().map(|o| o.name().to_owned()).collect();
        match order::topological(&proto.node) {
            Err(d) => self.report(d),
            Ok(order) => {
                for i in order {
                    self.node(&mut scope, &proto.node[i]);
                }
            }
        }
        if let Err(d) = annotate(&mut scope, proto) {
            self.report(d);
        }
        for o in &proto.output {
            self.output(&mut scope, o);
        }
        scope.graph
    }

    /// The type that the file declares. A named size that may be another one each time (in a body that is repeated, or for each element
    /// of a sequence) is an unknown one.
    fn declared(&self, info: &ValueInfoProto) -> Result<Option<Type>, String> {
        Ok(types::read(info.r#type.as_ref())?.map(|t| types::settled(t, self.varying)))
    }
    fn input(&mut self, scope: &mut Scope, info: &ValueInfoProto, formal: Option<&Type>) {
        let name = info.name();
        let declared = match self.declared(info) {
            Ok(t) => t,
            Err(m) => {
                let d = Diag::error("E0202", format!("input `{}`: {m}", shorten(name)));
                return self.report(d);
            }
        };
        let ty = match (declared, formal) {
            // Where both contradict, the node does not fit its body, which is reported there.
            (Some(t), Some(f)) => t.meet(f).unwrap_or(t),
            (Some(t), None) => t,
            (None, Some(f)) => f.clone(),
            (None, None) => Type::Unknown,
        };
        if name.is_empty() || scope.names.contains_key(name) {
            let d = Diag::error("E0202", format!("input `{}` is listed twice or has no name", shorten(name)));
            return self.report(d);
        }
        let v = scope.graph.add_input(name, ty);
        if let Some(n) = notes(info.doc_string(), &info.metadata_props) {
            scope.graph.set_notes(v, *n);
        }
        scope.names.insert(name.into(), v);
    }

    fn initializers(&mut self, scope: &mut Scope, proto: &GraphProto) {
        for t in &proto.initializer {
            match self.loader.read(t) {
                Ok(tensor) if self.is_held(t.name()) => self.begin(scope, t.name(), tensor),
                Ok(tensor) => {
                    let v = self.constant(scope, t.name(), tensor);
                    if let (Some(v), Some(n)) = (v, notes(t.doc_string(), &t.metadata_props)) {
                        scope.graph.set_notes(v, *n);
                    }
                }
                Err(d) => self.report(d),
            }
        }
        for s in &proto.sparse_initializer {
            match sparse::read(s, &mut self.loader) {
                Ok(tensor) => {
                    let name = s.values.as_ref().map(|v| v.name().to_owned()).unwrap_or_default();
                    self.constant(scope, &name, tensor);
                }
                Err(d) => self.report(d),
            }
        }
    }
    /// Whether `name` is an input of the model that is state.
    fn is_held(&self, name: &str) -> bool {
        self.depth == 0 && self.held.contains(name)
    }
    /// Keeps what input `name` holds before the first run.
    fn begin(&mut self, scope: &Scope, name: &str, first: Tensor) {
        let input = scope.names.get(name).map(|v| scope.graph.ty(*v));
        if input.is_some_and(|ty| ty.meet(&first.ty().into()).is_some()) {
            self.first.push((name.to_owned(), first));
        } else {
            self.report(Diag::error("E0202", format!("state `{}` does not fit its input", shorten(name))));
        }
    }
    fn constant(&mut self, scope: &mut Scope, name: &str, tensor: Tensor) -> Option<ValueId> {
        if scope.names.contains_key(name) {
            self.report(Diag::error("E0202", format!("`{}` is defined twice", shorten(name))));
            return None;
        }
        let v = scope.graph.add_const(tensor);
        let name: Arc<str> = name.into();
        scope.graph.set_name(v, Some(name.clone()));
        scope.names.insert(name, v);
        Some(v)
    }

    fn output(&mut self, scope: &mut Scope, info: &ValueInfoProto) {
        let name = info.name();
        let Some(v) = scope.names.get(name).copied() else {
            self.report(Diag::error(
                "E0202",
                format!("output `{}` is not defined by any node", shorten(name)),
            ));
            return;
        };
        if let Err(m) = types::read(info.r#type.as_ref()) {
            self.report(Diag::error("E0202", format!("output `{}`: {m}", shorten(name))));
        }
        if let Some(ty) = scope.declared.get(name).cloned()
            && scope.graph.constant(v).is_none()
            && let Err(d) = scope.graph.declare_type(v, &ty)
        {
            self.warn(Diag { severity: hoist_ir::diag::Severity::Warning, ..d });
        }
        scope.graph.add_output(name, v);
        if let Some(n) = notes(info.doc_string(), &info.metadata_props) {
            let i = scope.graph.outputs().len() - 1;
            scope.graph.set_output_notes(i, *n);
        }
    }
}
