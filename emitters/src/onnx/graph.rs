//! Graphs to `GraphProto`.
use super::names::{Namer, Names};
use super::tensor::{Sidecar, whole};
use super::types::value_info;
use hoist_formats::onnx::bind::body_attrs;
use hoist_formats::onnx::generated::attribute_proto::AttributeType as Kind;
use hoist_formats::onnx::generated::{
    AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};
use hoist_formats::onnx::lower::{Target, lower};
use hoist_formats::onnx::row::Arg;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Def, Graph, NodeId, Notes, ValueId};
use hoist_ir::op::Arity;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An initializer: the message without elements, and the elements when they follow as raw data.
pub(super) type Initializer = (TensorProto, Option<Tensor>);

/// Turns graphs into messages.
pub(super) struct Printer<'a> {
    pub(super) target: &'a Target,
    pub(super) namer: Namer,
    /// Domains of the nodes so far, but ONNX's own.
    pub(super) domains: BTreeMap<String, i64>,
    pub(super) sidecar: &'a mut Sidecar,
}

fn props(notes: Option<&Notes>) -> (Option<String>, Vec<StringStringEntryProto>) {
    let Some(n) = notes else { return (None, vec![]) };
    let pair =
        |(k, v): &(String, String)| StringStringEntryProto { key: Some(k.clone()), value: Some(v.clone()) };
    (Some(n.doc.clone()).filter(|d| !d.is_empty()), n.props.iter().map(pair).collect())
}

fn described(mut info: ValueInfoProto, notes: Option<&Notes>) -> ValueInfoProto {
    (info.doc_string, info.metadata_props) = props(notes);
    info
}

impl Printer<'_> {
    /// The message without initializers, and the initializers.
    pub(super) fn graph(
        &mut self,
        graph: &Graph,
        outer: Option<&[Arc<str>]>,
    ) -> Result<(GraphProto, Vec<Initializer>), Diag> {
        let (names, mut own) = self.namer.graph(graph, outer)?;
        let (doc_string, metadata_props) = props(graph.notes.as_deref());
        let mut proto = GraphProto {
            name: Some(if graph.name.is_empty() { "main".to_owned() } else { graph.name.to_string() }),
            doc_string,
            metadata_props,
            ..GraphProto::default()
        };
        let formal = graph.inputs().len() - outer.map_or(0, <[_]>::len);
        for v in &graph.inputs()[..formal] {
            let value = graph.value(*v);
            proto.input.push(described(value_info(name(&names, *v), value.ty()), value.notes.as_deref()));
        }
        for o in graph.outputs() {
            proto
                .output
                .push(described(value_info(name(&names, o.value), graph.ty(o.value)), o.notes.as_deref()));
        }
        let mut initializers = vec![];
        for (v, value) in graph.values() {
            if let (Some(t), Some(n)) = (graph.constant(v), names.get(v)) {
                if let Some((stored, perm)) = self.sidecar.stored(t) {
                    let base = self.namer.constant();
                    initializers.push(self.sidecar.place(&base, stored)?);
                    proto.node.push(NodeProto {
                        op_type: Some("Transpose".to_owned()),
                        name: self.namer.node(None),
                        input: vec![base.to_string()],
                        output: vec![n.to_string()],
                        attribute: attr("perm", &Attr::Ints(perm), &[])?.into_iter().collect(),
                        ..NodeProto::default()
                    });
                    own.push(base);
                    continue;
                }
                let (mut init, data) = self.sidecar.place(n, t)?;
                (init.doc_string, init.metadata_props) = props(value.notes.as_deref());
                initializers.push((init, data));
            }
        }
        super::kept::annotations(graph, &names, &mut proto, &mut initializers)?;
        for n in graph.order() {
            let mut extra = vec![];
            let node = self.node(graph, n, &names, &mut extra)?;
            for (name, t) in extra {
                initializers.push(self.sidecar.place(&name, &t)?);
                own.push(name);
            }
            proto.node.push(node);
            declare(graph, n, &names, &mut proto);
        }
        self.namer.release(&own);
        Ok((proto, initializers))
    }

    /// The message of node `n`. Constants that only the foreign form has as operands are added to `extra`.
    fn node(
        &mut self,
        graph: &Graph,
        n: NodeId,
        names: &Names,
        extra: &mut Vec<(Arc<str>, Tensor)>,
    ) -> Result<NodeProto, Diag> {
        let node = graph.node(n);
        let foreign = lower(graph, n, self.target).map_err(|m| {
            Diag::error("E0302", format!("`{}`: {m}", node.op().name())).node(graph.node_label(n))
        })?;
        let (doc_string, metadata_props) = props(node.notes.as_deref());
        let overload = if let Op::Custom(c) = node.op() { c.overload.clone() } else { String::new() };
        if !foreign.domain.is_empty() {
            let version = self.domains.entry(foreign.domain.clone()).or_insert(foreign.opset);
            *version = foreign.opset.max(*version);
        }
        let mut proto = NodeProto {
            op_type: Some(foreign.op_type.clone()),
            name: self.namer.node(node.name.as_ref()),
            domain: Some(foreign.domain).filter(|d| !d.is_empty()),
            overload: Some(overload).filter(|d| !d.is_empty()),
            doc_string,
            metadata_props,
            ..NodeProto::default()
        };
        let captured = node.inputs().len() - node.captures();
        for arg in foreign.inputs.iter().take(captured) {
            proto.input.push(match arg {
                Arg::Value(v) => name(names, *v).to_owned(),
                Arg::None => String::new(),
                Arg::Const(t) => {
                    let name = self.namer.constant();
                    extra.push((name.clone(), t.clone()));
                    name.to_string()
                }
            });
        }
        while proto.input.last().is_some_and(String::is_empty) {
            proto.input.pop();
        }
        proto.output = results(graph, n, names);
        let outer: Vec<Arc<str>> =
            node.inputs()[captured..].iter().flatten().map(|v| Arc::from(name(names, *v))).collect();
        let bodies =
            node.stored_bodies().iter().map(|b| self.body(b, &outer)).collect::<Result<Vec<_>, _>>()?;
        if !matches!(node.op(), Op::Custom(_)) {
            for (attr, body) in body_attrs(&foreign.op_type).iter().zip(&bodies) {
                let g = Some(Box::new(body.clone()));
                proto.attribute.push(AttributeProto { g, ..attribute(attr, Kind::Graph) });
            }
        }
        for (key, value) in &foreign.attrs {
            proto.attribute.extend(attr(key, value, &bodies)?);
        }
        super::kept::devices(node.notes.as_deref(), &mut proto)?;
        Ok(proto)
    }

    fn body(&mut self, body: &Graph, outer: &[Arc<str>]) -> Result<GraphProto, Diag> {
        let (mut proto, initializers) = self.graph(body, Some(outer))?;
        for (mut init, data) in initializers {
            if let Some(t) = data {
                init.raw_data = Some(t.to_shared_bytes().map_err(|e| Diag::error("E0203", e.to_string()))?);
            }
            proto.initializer.push(init);
        }
        Ok(proto)
    }
}

/// Types of what a custom node defines: no reader could infer them.
fn declare(graph: &Graph, n: NodeId, names: &Names, proto: &mut GraphProto) {
    let node = graph.node(n);
    if !matches!(node.op(), Op::Custom(_)) {
        return;
    }
    for v in node.outputs() {
        if *graph.ty(*v) != Type::Unknown && !graph.is_output(*v) {
            proto.value_info.push(value_info(name(names, *v), graph.ty(*v)));
        }
    }
}

fn name(names: &Names, v: ValueId) -> &str {
    names.get(v).as_deref().unwrap_or_default()
}

/// Result names; an optional result that nothing uses is left out.
fn results(graph: &Graph, n: NodeId, names: &Names) -> Vec<String> {
    let node = graph.node(n);
    let schema = node.op().schema();
    let one = |(slot, v): (usize, &ValueId)| {
        let optional = schema.outputs.get(slot).is_some_and(|o| o.arity == Arity::Optional);
        let unused = graph.value(*v).uses().is_empty();
        let unnamed = matches!(node.op(), Op::Custom(_)) && graph.value(*v).name.is_none();
        if unused && (optional || unnamed) { String::new() } else { name(names, *v).to_owned() }
    };
    let mut all: Vec<String> = node.outputs().iter().enumerate().map(one).collect();
    while all.len() > 1 && all.last().is_some_and(String::is_empty) {
        all.pop();
    }
    debug_assert!(node.outputs().iter().all(|v| matches!(graph.value(*v).def(), Def::Node { .. })));
    all
}

fn attribute(name: &str, kind: Kind) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

/// The message of an attribute; `None` for one that is left out.
fn attr(name: &str, value: &Attr, bodies: &[GraphProto]) -> Result<Option<AttributeProto>, Diag> {
    let new = |kind| attribute(name, kind);
    let bytes = |s: &String| bytes::Bytes::copy_from_slice(s.as_bytes());
    let ty = |t: &Type| super::types::proto(t).unwrap_or_default();
    let body = |i: &usize| bodies.get(*i).cloned().unwrap_or_default();
    Ok(Some(match value {
        Attr::None => return Ok(None),
        Attr::Bool(v) => AttributeProto { i: Some(i64::from(*v)), ..new(Kind::Int) },
        Attr::Int(v) => AttributeProto { i: Some(*v), ..new(Kind::Int) },
        Attr::Float(v) => AttributeProto { f: Some(*v), ..new(Kind::Float) },
        Attr::Str(v) => AttributeProto { s: Some(bytes(v)), ..new(Kind::String) },
        Attr::Word(v) => AttributeProto { s: Some(bytes(&(*v).to_owned())), ..new(Kind::String) },
        Attr::DType(d) => {
            AttributeProto { i: Some(i64::from(hoist_formats::onnx::dtype::to_code(*d))), ..new(Kind::Int) }
        }
        Attr::Ints(v) => AttributeProto { ints: v.clone(), ..new(Kind::Ints) },
        Attr::Floats(v) => AttributeProto { floats: v.clone(), ..new(Kind::Floats) },
        Attr::Strs(v) => AttributeProto { strings: v.iter().map(bytes).collect(), ..new(Kind::Strings) },
        Attr::Tensor(t) => AttributeProto { t: Some(Box::new(whole("", t)?)), ..new(Kind::Tensor) },
        Attr::Tensors(v) => {
            let tensors = v.iter().map(|t| whole("", t)).collect::<Result<_, _>>()?;
            AttributeProto { tensors, ..new(Kind::Tensors) }
        }
        Attr::Type(t) => AttributeProto { tp: Some(Box::new(ty(t))), ..new(Kind::TypeProto) },
        Attr::Types(v) => AttributeProto { type_protos: v.iter().map(ty).collect(), ..new(Kind::TypeProtos) },
        Attr::Body(i) => AttributeProto { g: Some(Box::new(body(i))), ..new(Kind::Graph) },
        Attr::Bodies(v) => AttributeProto { graphs: v.iter().map(body).collect(), ..new(Kind::Graphs) },
        Attr::Opaque(_, encoded) => AttributeProto::decode(encoded.as_slice()).map_err(|_| {
            Diag::error("E0304", format!("attribute `{name}` is of a kind that ONNX does not have"))
        })?,
    }))
}
