//! Nodes with bodies.
use super::graph::{Reader, Scope};
use hoist_formats::onnx::bind::body_attrs;
use hoist_formats::onnx::generated::NodeProto;
use hoist_formats::onnx::row::{Arg, Foreign, Row};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin, ValueId};
use hoist_ir::infer::diag_at;
use hoist_ir::ops::Op;
use hoist_ir::ops::control::bodies::own_inputs;
use hoist_ir::ops::control::loop_::may_stop;
use hoist_ir::ops::control::scan::Scan;
use hoist_ir::types::{TensorType, Type};
use std::sync::Arc;

impl Reader {
    /// Adds a node whose bodies the IR knows. What they use from outside becomes operands.
    pub(super) fn with_bodies(
        &mut self,
        scope: &mut Scope,
        n: &NodeProto,
        row: &Row,
        attrs: Vec<(String, Attr)>,
        inputs: &[Option<ValueId>],
        outputs: usize,
        origin: &Origin,
    ) -> Result<Vec<ValueId>, Diag> {
        let names = body_attrs(n.op_type());
        let mut protos = vec![];
        for name in names {
            let a = n.attribute.iter().find(|a| a.name() == *name);
            let g = a.and_then(|a| a.g.as_deref());
            protos.push(g.ok_or_else(|| Diag::error("E0202", format!("`{}` has no `{name}`", n.op_type())))?);
        }
        let foreign = Foreign {
            domain: super::domain(n.domain()).to_owned(),
            op_type: n.op_type().to_owned(),
            opset: self.opset,
            attrs: attrs.iter().filter(|(k, _)| !names.contains(&k.as_str())).cloned().collect(),
            inputs: inputs.iter().map(|i| i.map_or(Arg::None, Arg::Value)).collect(),
            outputs,
        };
        if !row.applies(&foreign, &scope.graph) {
            return self.custom(scope, n, attrs, inputs, outputs, origin);
        }
        let fail = |e| diag_at(e, &Op::by_name(row.op).unwrap_or_else(|| Scan::default().into()), None);
        let (op, foreign) = row.lift_op(&scope.graph, foreign).map_err(fail)?;
        let operands: Vec<Option<ValueId>> = (0..foreign.inputs.len()).map(|i| foreign.value(i)).collect();
        let (captured, outer) = Self::outer(scope, n)?;
        let batched = matches!(op, Op::Scan(_)) && self.opset < 9;
        let types: Vec<Option<Type>> =
            operands.iter().map(|v| v.map(|v| per_batch(scope.graph.ty(v), batched))).collect();
        let formal = own_inputs(&op, &types.iter().map(Option::as_ref).collect::<Vec<_>>());
        let bodies = self.read_bodies(&protos, &outer, &formal, matches!(op, Op::If(_)));
        self.check_condition(&op, &bodies, &operands, n);
        let all: Vec<Option<ValueId>> =
            operands.iter().copied().chain(captured.iter().map(|v| Some(*v))).collect();
        let new = NewNode {
            outputs: results(&op, &bodies).max(outputs),
            op,
            inputs: all,
            bodies,
            captures: captured.len(),
            origin: origin.clone(),
            name: Some(n.name().into()).filter(|n: &Arc<str>| !n.is_empty()),
        };
        let new = if batched { over_batches(new, &scope.graph)? } else { new };
        let id = scope.graph.append(new)?;
        Ok(scope.graph.node(id).outputs().to_vec())
    }

    /// Runtimes do not agree on a loop that leaves out the condition and whose body gives false.
    fn check_condition(&mut self, op: &Op, bodies: &[Graph], operands: &[Option<ValueId>], n: &NodeProto) {
        let absent = operands.get(1).copied().flatten().is_none();
        if matches!(op, Op::Loop(_)) && absent && bodies.first().is_some_and(may_stop) {
            let m = "a loop without the operand `cond` ignores the condition its body computes, as the text of ONNX says; \
                     ONNX Runtime stops where it is false";
            self.warnings.push(Diag::warning("E0202", m).op("Loop").node(super::tensor::shorten(n.name())));
        }
    }
}

/// Number of results that the outputs of the bodies make.
fn results(op: &Op, bodies: &[Graph]) -> usize {
    let outputs = bodies.first().map_or(0, |b| b.outputs().len());
    // The first output of a loop's body is the condition.
    if matches!(op, Op::Loop(_)) { outputs.saturating_sub(1) } else { outputs }
}

/// The type without its first axis, if `batched`.
fn per_batch(ty: &Type, batched: bool) -> Type {
    match ty {
        Type::Tensor(TensorType { dtype, shape: Some(shape) }) if batched => {
            TensorType::new(*dtype, shape.iter().skip(1).cloned().collect::<Vec<_>>()).into()
        }
        _ => ty.clone(),
    }
}

/// `Scan` of operator set 8 as one of set 9 for each element of a batch: a scan of all operands around it.
fn over_batches(inner: NewNode, outside: &Graph) -> Result<NewNode, Diag> {
    let own = inner.inputs.len() - inner.captures;
    let mut body = Graph::new("batch");
    let mut inputs = vec![];
    for (k, v) in inner.inputs.iter().enumerate() {
        let missing = || Diag::error("E0303", format!("operand {k} of `Scan` is missing")).op("Scan");
        let ty = outside.ty(v.ok_or_else(missing)?);
        let name = if k < own { "operand" } else { "captured" };
        inputs.push(Some(body.add_input(&format!("{name}_{k}"), per_batch(ty, k < own))));
    }
    let around = Scan { num_scan_inputs: i64::try_from(own).unwrap_or(i64::MAX), ..Scan::default() };
    let outer = NewNode {
        op: around.into(),
        inputs: inner.inputs.clone(),
        outputs: inner.outputs,
        captures: inner.captures,
        origin: inner.origin.clone(),
        name: inner.name.clone(),
        bodies: vec![],
    };
    let id = body.append(NewNode { inputs, ..inner })?;
    for (k, v) in body.node(id).outputs().to_vec().into_iter().enumerate() {
        body.add_output(&format!("result_{k}"), v);
    }
    Ok(NewNode { bodies: vec![body], ..outer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{ReadOptions, read};
    use crate::source::Source;
    use hoist_formats::onnx::generated::attribute_proto::AttributeType;
    use hoist_formats::onnx::generated::{
        AttributeProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TypeProto,
        ValueInfoProto, tensor_shape_proto::Dimension, tensor_shape_proto::dimension, type_proto,
    };
    use hoist_ir::diag::Diags;
    use hoist_ir::text::graph_text;
    use prost::Message;

    /// `name`, `name: f32[2,N]`, or `name: seq f32[N]`.
    fn info(text: &str) -> ValueInfoProto {
        let (name, ty) = text.split_once(": ").map_or((text, None), |(n, t)| (n, Some(t)));
        let tensor = |t: &str| {
            let (word, dims) = t.trim_end_matches(']').split_once('[').expect("a tensor");
            let code =
                [("f32", 1), ("i64", 7), ("bool", 9)].iter().find(|(w, _)| *w == word).expect("known").1;
            let dim = |d: &str| match d.parse() {
                Ok(n) => dimension::Value::DimValue(n),
                Err(_) => dimension::Value::DimParam(d.to_owned()),
            };
            let dim = |d| Dimension { value: Some(dim(d)), denotation: None };
            let shape =
                TensorShapeProto { dim: dims.split(',').filter(|d| !d.is_empty()).map(dim).collect() };
            type_proto::Value::TensorType(type_proto::Tensor { elem_type: Some(code), shape: Some(shape) })
        };
        let boxed = |v| Some(Box::new(TypeProto { value: Some(v), denotation: None }));
        let value = ty.map(|t| match t.strip_prefix("seq ") {
            Some(t) => type_proto::Value::SequenceType(Box::new(type_proto::Sequence {
                elem_type: boxed(tensor(t)),
            })),
            None => tensor(t),
        });
        let r#type = value.map(|v| TypeProto { value: Some(v), denotation: None });
        ValueInfoProto { name: Some(name.to_owned()), r#type, ..ValueInfoProto::default() }
    }
    fn names(text: &str) -> Vec<String> {
        text.split(' ').filter(|n| !n.is_empty()).map(|n| n.trim_matches('_').to_owned()).collect()
    }
    fn node(op: &str, inputs: &str, outputs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
        let op_type = Some(op.to_owned());
        NodeProto { op_type, input: names(inputs), output: names(outputs), attribute, ..NodeProto::default() }
    }
    fn graph(inputs: &[&str], node: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
        let infos = |all: &[&str]| all.iter().map(|t| info(t)).collect();
        GraphProto {
            name: Some("g".to_owned()),
            input: infos(inputs),
            node,
            output: infos(outputs),
            ..GraphProto::default()
        }
    }
    fn body(g: GraphProto) -> AttributeProto {
        let r#type = Some(AttributeType::Graph as i32);
        AttributeProto {
            name: Some("body".to_owned()),
            r#type,
            g: Some(Box::new(g)),
            ..AttributeProto::default()
        }
    }
    fn ints(name: &str, v: &[i64]) -> AttributeProto {
        let r#type = Some(AttributeType::Ints as i32);
        AttributeProto { name: Some(name.to_owned()), r#type, ints: v.to_vec(), ..AttributeProto::default() }
    }
    fn int(name: &str, v: i64) -> AttributeProto {
        let r#type = Some(AttributeType::Int as i32);
        AttributeProto { name: Some(name.to_owned()), r#type, i: Some(v), ..AttributeProto::default() }
    }
    fn lift(opset: i64, g: GraphProto) -> Result<(String, usize), Diags> {
        let set = OperatorSetIdProto { domain: None, version: Some(opset) };
        let model = ModelProto {
            ir_version: Some(8),
            opset_import: vec![set],
            graph: Some(g),
            ..ModelProto::default()
        };
        let source = Source::from_bytes("m.onnx", model.encode_to_vec().into());
        let model = read(&source, &ReadOptions::default())?;
        model.graph.verify().into_result()?;
        Ok((graph_text(&model.graph), model.warnings.len()))
    }
    fn add() -> GraphProto {
        let nodes = vec![node("Add", "s e", "t", vec![]), node("Mul", "t k", "u", vec![])];
        graph(&["s", "e"], nodes, &["t", "u"])
    }

    #[test]
    fn batches_lose_the_first_axis() {
        let ty: Type = TensorType::fixed(hoist_ir::dtype::DType::F32, &[2, 3]).into();
        assert_eq!(per_batch(&ty, true).to_string(), "f32[3]");
        assert_eq!(per_batch(&ty, false).to_string(), "f32[2, 3]");
    }

    #[test]
    fn bodies_without_types_get_those_of_the_operands() {
        let attrs = vec![body(add()), int("num_scan_inputs", 1), ints("scan_input_axes", &[1])];
        let g = graph(
            &["h: f32[N]", "x: f32[N,T]", "k: f32[1]"],
            vec![node("Scan", "h x", "a b", attrs)],
            &["a", "b"],
        );
        let (text, _) = lift(18, g).expect("lifts");
        assert!(
            text.contains("%a: f32[N], %b: f32[T, N] = scan(%h, %x | %k) {scan_input_axes=[1]}"),
            "{text}"
        );
        assert!(text.contains("body @g(%s: f32[N], %e: f32[N], %k: f32[1])"), "{text}");
        let map = vec![body(add())];
        let inputs = ["q: seq f32[N]", "x: f32[2]", "k: f32[1]"];
        let (text, _) =
            lift(17, graph(&inputs, vec![node("SequenceMap", "q x", "a b", map)], &["a"])).expect("lifts");
        assert!(text.contains("%a: seq<f32[2]>, %b: seq<f32[2]> = sequence_map(%q, %x | %k)"), "{text}");
        assert!(text.contains("body @g(%s: f32[?], %e: f32[2], %k: f32[1])"), "{text}");
    }

    #[test]
    fn named_sizes_of_repeated_bodies_stay_inside() {
        let mut g = add();
        g.input = vec![info("s: f32[N]"), info("e: f32[M]")];
        g.output = vec![info("t: f32[N]"), info("u: f32[M]")];
        let g = graph(
            &["q: seq f32[N]", "x: f32[M]", "k: f32[N]"],
            vec![node("SequenceMap", "q q", "a b", vec![body(g)])],
            &["a", "b"],
        );
        let (text, _) = lift(17, g).expect("lifts");
        assert!(text.contains("%q: seq<f32[?]>") && text.contains("%a: seq<f32[?]>"), "{text}");
        assert!(text.contains("%s: f32[?], %e: f32[?], %k: f32[N]"), "{text}");
    }

    #[test]
    fn scan_8_has_a_batch_axis() {
        let attrs = || vec![body(add()), int("num_scan_inputs", 1), ints("directions", &[1])];
        let inputs = ["h: f32[2,3]", "x: f32[2,T,3]", "k: f32[3]", "l: i64[2]"];
        let (text, _) =
            lift(8, graph(&inputs, vec![node("Scan", "_ h x", "a b", attrs())], &["a", "b"])).expect("lifts");
        assert!(
            text.contains("%a: f32[2, 3], %b: f32[2, T, 3] = scan(%h, %x | %k) {num_scan_inputs=2}"),
            "{text}"
        );
        assert!(text.contains("{scan_input_directions=[1]}"), "{text}");
        let (text, _) = lift(8, graph(&inputs, vec![node("Scan", "l h x", "a b", attrs())], &["a", "b"]))
            .expect("passes");
        assert!(text.contains("custom(\"\", \"Scan\")"), "{text}");
        assert!(lift(8, graph(&inputs, vec![node("Scan", "_ h _ x", "a b", attrs())], &["a", "b"])).is_err());
        assert!(lift(8, graph(&inputs, vec![node("Scan", "", "a b", attrs())], &["a", "b"])).is_err());
    }

    #[test]
    fn loops_may_leave_out_results_and_the_condition() {
        let inner = |stop: &str| {
            let nodes = vec![node("Not", "c", "d", vec![]), node("Identity", "v", "w", vec![])];
            graph(&["i", "c: bool[]", "v"], nodes, &[stop, "w", "i"])
        };
        let whole = |inputs: &str, stop: &str| {
            lift(
                17,
                graph(
                    &["m: i64[]", "g: bool[]", "x: f32[2]"],
                    vec![node("Loop", inputs, "a", vec![body(inner(stop))])],
                    &["a"],
                ),
            )
        };
        let (text, warnings) = whole("m g x", "d").expect("lifts");
        assert!(text.contains("%a: f32[*], %0: i64[?] = loop(%m, %g, %x)"), "{text}");
        assert_eq!(warnings, 0);
        assert_eq!(whole("m _ x", "d").expect("lifts").1, 1);
        assert_eq!(whole("m _ x", "c").expect("lifts").1, 0);
        assert!(whole("m g", "d").is_err());
    }

    #[test]
    fn what_does_not_belong_is_refused() {
        let scan = |attrs| {
            lift(
                18,
                graph(
                    &["h: f32[2]", "x: f32[3,2]", "k: f32[2]"],
                    vec![node("Scan", "h x", "a b", attrs)],
                    &["a", "b"],
                ),
            )
        };
        assert!(scan(vec![body(add()), int("num_scan_inputs", 1)]).is_ok());
        for attrs in [
            vec![int("num_scan_inputs", 1)],
            vec![body(add()), int("num_scan_inputs", 2)],
            vec![body(add()), int("num_scan_inputs", i64::MIN)],
            vec![body(add()), int("num_scan_inputs", 1), int("extra", 1)],
            vec![body(add()), int("num_scan_inputs", 1), ints("scan_output_axes", &[i64::MIN])],
            vec![body(graph(&[], vec![], &[])), int("num_scan_inputs", 1)],
        ] {
            assert!(scan(attrs).is_err());
        }
    }
}
