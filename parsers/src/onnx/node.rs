//! `NodeProto` to nodes.
use super::graph::{Outer, Reader, Scope, notes};
use super::tensor::shorten;
use super::{attr, captures, sparse};
use hoist_formats::onnx::bind::{body_attrs, is_bound, read_row};
use hoist_formats::onnx::experimental;
use hoist_formats::onnx::generated::attribute_proto::AttributeType as Kind;
use hoist_formats::onnx::generated::{GraphProto, NodeProto};
use hoist_formats::onnx::kept::DEVICE;
use hoist_formats::onnx::row::{Arg, Foreign, Row};
use hoist_formats::onnx::versions::{NEWEST_OPSET, since_version};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Notes, Origin, OriginPart, ValueId};
use hoist_ir::ops::Custom;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use prost::Message as _;
use std::collections::HashSet;
use std::sync::Arc;

/// Constants up to this many bytes that a body uses from outside become the body's own, so that inference sees them.
pub(super) const INLINE_CONST: usize = 4096;

/// Domains of ONNX Runtime whose operators depend on the machine that optimized the model.
const LAID_OUT: [&str; 2] = ["com.microsoft.nchwc", "com.ms.internal.nhwc"];

impl Reader {
    pub(super) fn node(&mut self, scope: &mut Scope, n: &NodeProto) {
        let label = if n.name().is_empty() { n.output.first().map_or("", String::as_str) } else { n.name() };
        let at = |d: Diag| {
            let d = if d.op.is_none() { d.op(n.op_type()) } else { d };
            d.node(shorten(label))
        };
        let results = match self.results(scope, n) {
            Ok(r) => r,
            Err(d) => {
                self.report(at(d));
                // Values of unknown type stand in, so that later nodes are checked too.
                let custom = Custom { name: n.op_type().to_owned(), ..Custom::default() };
                let new = NewNode { outputs: n.output.len(), ..NewNode::new(custom, &[]) };
                match scope.graph.append(new) {
                    Ok(id) => scope.graph.node(id).outputs().to_vec(),
                    Err(_) => return,
                }
            }
        };
        for (name, v) in n.output.iter().zip(results) {
            if name.is_empty() {
                continue;
            }
            let key: Arc<str> = name.as_str().into();
            if scope.names.insert(key.clone(), v).is_some() {
                self.report(at(Diag::error("E0202", format!("`{}` is defined twice", shorten(name)))));
            }
            if scope.graph.value(v).name.is_none() {
                scope.graph.set_name(v, Some(key));
            }
            self.apply_declared(scope, name, v);
        }
    }

    /// Takes the type that the file declares for a value where inference has none. Where both contradict, inference wins and says so;
    /// the model's outputs are looked at once more when all nodes are there.
    fn apply_declared(&mut self, scope: &mut Scope, name: &str, v: ValueId) {
        let Some(declared) = scope.declared.get(name) else { return };
        let known = scope.graph.ty(v);
        if *known == Type::Unknown {
            let declared = declared.clone();
            if let Err(d) = scope.graph.declare_type(v, &declared) {
                self.report(d);
            }
        } else if known.meet(declared).is_none() && !scope.outputs.contains(name) {
            let m = format!("`{}` is declared {declared} and computed as {known}", shorten(name));
            self.warn(Diag::warning("E0402", m));
        }
    }

    /// Adds the node and returns its results, one per output of the file's node.
    fn results(&mut self, scope: &mut Scope, n: &NodeProto) -> Result<Vec<ValueId>, Diag> {
        if n.op_type().is_empty() {
            return Err(Diag::error("E0202", "a node has no operator"));
        }
        let own = super::domain(n.domain()).is_empty();
        if own && n.op_type() == "Constant" {
            let tensor = self.constant_value(n)?;
            return Ok(vec![scope.graph.add_const(tensor)]);
        }
        let inputs = operands(scope, n)?;
        let outputs = n.output.iter().rposition(|o| !o.is_empty()).map_or(0, |i| i + 1);
        let attrs = self.attributes(n)?;
        let part = OriginPart { name: n.name().into(), op: n.op_type().into(), ..OriginPart::default() };
        let origin = Origin::new(part);
        let start = scope.graph.order_end();
        let domain = super::domain(n.domain());
        let row = if self.library.called(n).is_none() {
            read_row(domain, n.op_type(), self.version(domain))
        } else {
            None
        };
        let has_bodies = captures::bodies(n).next().is_some();
        let results = match row {
            Some(row) if has_bodies => self.with_bodies(scope, n, row, attrs, &inputs, outputs, &origin)?,
            Some(row) if body_attrs(n.op_type()).is_empty() => {
                self.lifted(scope, n, row, attrs, &inputs, outputs, &origin)?
            }
            Some(_) => return Err(Diag::error("E0202", format!("`{}` has no body", n.op_type()))),
            // Another version of the operator is known, so nothing may pass through as if it were foreign.
            None if own
                && self.library.called(n).is_none()
                && is_bound(n.op_type())
                && since_version(n.op_type(), self.opset).is_some() =>
            {
                let m = format!("`{}` of operator set {} is not supported", n.op_type(), self.opset);
                return Err(Diag::error("E0301", m).hint("convert the model to a newer operator set first"));
            }
            None => self.custom(scope, n, attrs, &inputs, outputs, &origin)?,
        };
        if let Some(notes) = node_notes(n) {
            for id in scope.graph.order_after(start) {
                let name = scope.graph.node(id).name.clone();
                scope.graph.describe_node(id, name, Some(notes.clone()));
            }
        }
        Ok(results)
    }

    /// Adds the node in the IR's form. Inside a body, an operator whose shapes cannot fit passes through: the branch may never run.
    fn lifted(
        &mut self,
        scope: &mut Scope,
        n: &NodeProto,
        row: &Row,
        attrs: Vec<(String, Attr)>,
        inputs: &[Option<ValueId>],
        outputs: usize,
        origin: &Origin,
    ) -> Result<Vec<ValueId>, Diag> {
        let args = inputs.iter().map(|i| i.map_or(Arg::None, Arg::Value)).collect();
        let foreign = Foreign {
            domain: super::domain(n.domain()).to_owned(),
            op_type: n.op_type().to_owned(),
            opset: self.version(super::domain(n.domain())),
            attrs: attrs.clone(),
            inputs: args,
            outputs,
        };
        if !row.applies(&foreign, &scope.graph) {
            return self.custom(scope, n, attrs, inputs, outputs, origin);
        }
        let mut b = Builder::at_end(&mut scope.graph, origin.clone());
        b.set_name(Some(n.name().into()).filter(|n: &Arc<str>| !n.is_empty()));
        match row.lift(&mut b, foreign.clone()) {
            Err(d) if self.depth > 0 && d.code == "E0305" => {
                let types = types_of_any_size(&scope.graph, row, foreign);
                let results = self.custom(scope, n, attrs, inputs, outputs, origin)?;
                for (v, ty) in results.iter().zip(types) {
                    scope.graph.declare_type(*v, &ty)?;
                }
                Ok(results)
            }
            result => result,
        }
    }

    fn attributes(&mut self, n: &NodeProto) -> Result<Vec<(String, Attr)>, Diag> {
        let mut out: Vec<(String, Attr)> = vec![];
        let mut body = 0;
        let mut names = HashSet::new();
        for a in &n.attribute {
            if a.name().is_empty() || !names.insert(a.name()) {
                let d = Diag::error(
                    "E0304",
                    format!("attribute `{}` is given twice or has no name", shorten(a.name())),
                );
                return Err(d);
            }
            let value = match attr::kind(a)? {
                Kind::Graph if a.g.is_some() => {
                    body += 1;
                    Attr::Body(body - 1)
                }
                Kind::Graphs => {
                    let first = body;
                    body += a.graphs.len();
                    Attr::Bodies((first..body).collect())
                }
                kind => attr::read(a, kind, &mut self.loader)?,
            };
            out.push((a.name().to_owned(), value));
        }
        Ok(out)
    }

    /// What the bodies of `n` use from outside: those that become captured operands, and all by name.
    #[expect(clippy::type_complexity, reason = "two parallel lists, used once")]
    pub(super) fn outer(
        scope: &Scope,
        n: &NodeProto,
    ) -> Result<(Vec<ValueId>, Vec<(Arc<str>, Outer)>), Diag> {
        let (mut captured, mut all) = (vec![], vec![]);
        for name in captures::of_node(n) {
            let Some((key, v)) = scope.names.get_key_value(name.as_str()) else {
                return Err(Diag::error(
                    "E0202",
                    format!("a body uses `{}`, which nothing defines", shorten(&name)),
                ));
            };
            match scope.graph.constant(*v) {
                Some(t) if t.byte_len() <= INLINE_CONST => all.push((key.clone(), Outer::Const(t.clone()))),
                _ => {
                    captured.push(*v);
                    all.push((key.clone(), Outer::Capture(scope.graph.ty(*v).clone())));
                }
            }
        }
        Ok((captured, all))
    }
    /// Bodies that take `formal` before what they use from outside. Unless they run at most `once`, names of sizes in what they declare
    /// mean nothing outside.
    pub(super) fn read_bodies(
        &mut self,
        protos: &[&GraphProto],
        outer: &[(Arc<str>, Outer)],
        formal: &[Type],
        once: bool,
    ) -> Vec<Graph> {
        let copy = |(n, o): &(Arc<str>, Outer)| {
            let o = match o {
                Outer::Const(t) => Outer::Const(t.clone()),
                Outer::Capture(t) => Outer::Capture(t.clone()),
            };
            (n.clone(), o)
        };
        self.depth += 1;
        let varying = self.varying;
        self.varying |= !once;
        let graphs = protos.iter().map(|p| self.graph(p, outer.iter().map(copy).collect(), formal)).collect();
        self.depth -= 1;
        self.varying = varying;
        graphs
    }

    pub(super) fn custom(
        &mut self,
        scope: &mut Scope,
        n: &NodeProto,
        attrs: Vec<(String, Attr)>,
        inputs: &[Option<ValueId>],
        outputs: usize,
        origin: &Origin,
    ) -> Result<Vec<ValueId>, Diag> {
        let domain = super::domain(n.domain());
        if LAID_OUT.contains(&domain) {
            let m =
                format!("`{domain}.{}` works on weights laid out for one processor", shorten(n.op_type()));
            let hint = "save the optimized model with optimization level \"extended\" or lower";
            return Err(Diag::error("E0301", m).hint(hint));
        }
        if domain.is_empty()
            && self.library.called(n).is_none()
            && since_version(n.op_type(), self.opset).is_none()
        {
            let experimental = experimental::REFUSED.iter().find(|(name, _)| *name == n.op_type());
            let m = match since_version(n.op_type(), NEWEST_OPSET) {
                None if let Some((name, why)) = experimental => {
                    format!("the experimental operator `{name}` is not supported: {why}")
                }
                Some(_) => format!("`{}` is not in operator set {}", n.op_type(), self.opset),
                None => format!("`{}` is no operator of ai.onnx", shorten(n.op_type())),
            };
            return Err(Diag::error("E0301", m).hint("an operator of another vendor must name its domain"));
        }
        let (captured, outer) = Self::outer(scope, n)?;
        let protos: Vec<&GraphProto> = captures::bodies(n).collect();
        let mut bodies = self.read_bodies(&protos, &outer, &[], false);
        let definition = if (domain, n.op_type()) == (super::flex::DOMAIN, "FlexAttention") {
            let types: Vec<Type> = inputs.iter().flatten().map(|v| scope.graph.ty(*v).clone()).collect();
            super::flex::definition(&types, &attrs, &bodies)
        } else {
            self.definition(scope, n, inputs, outputs)
        };
        let definition = definition.filter(|_| captured.is_empty());
        let defined = definition.is_some();
        bodies.extend(definition);
        let result_types = n
            .output
            .iter()
            .take(outputs)
            .map(|o| scope.declared.get(o).cloned().unwrap_or(Type::Unknown))
            .collect();
        let custom = Custom {
            domain: domain.to_owned(),
            name: n.op_type().to_owned(),
            overload: n.overload().to_owned(),
            attrs,
            result_types,
            defined,
        };
        let all = inputs.iter().copied().chain(captured.iter().map(|v| Some(*v))).collect();
        let new = NewNode {
            op: custom.into(),
            inputs: all,
            outputs,
            bodies,
            captures: captured.len(),
            origin: origin.clone(),
            name: Some(n.name().into()).filter(|n: &Arc<str>| !n.is_empty()),
        };
        let id = scope.graph.append(new)?;
        Ok(scope.graph.node(id).outputs().to_vec())
    }

    fn constant_value(&mut self, n: &NodeProto) -> Result<Tensor, Diag> {
        let [a] = n.attribute.as_slice() else {
            return Err(Diag::error("E0304", "`Constant` needs exactly one value"));
        };
        if let Some(s) = &a.sparse_tensor {
            return sparse::read(s, &mut self.loader);
        }
        let kind = attr::kind(a)?;
        Ok(match (a.name(), attr::read(a, kind, &mut self.loader)?) {
            ("value", Attr::Tensor(t)) => t,
            ("value_int", Attr::Int(v)) => Tensor::scalar(v),
            ("value_ints", Attr::Ints(v)) => Tensor::from_ints(&v),
            ("value_float", Attr::Float(v)) => Tensor::scalar(v),
            ("value_floats", Attr::Floats(v)) => Tensor::from_vec(&[v.len()], v),
            ("value_string", Attr::Str(v)) => Tensor::from_strings(&[], vec![v]),
            ("value_strings", Attr::Strs(v)) => Tensor::from_strings(&[v.len()], v),
            (name, _) => {
                return Err(Diag::error("E0304", format!("`Constant` has no attribute `{}`", shorten(name))));
            }
        })
    }
}

fn node_notes(n: &NodeProto) -> Option<Box<Notes>> {
    let mut notes = notes(n.doc_string(), &n.metadata_props);
    for d in &n.device_configurations {
        let all = notes.get_or_insert_default();
        all.opaque.push((DEVICE.to_owned(), d.encode_to_vec().into()));
    }
    notes
}

/// Types of the results of a node whose sizes do not fit, were its operands of other sizes.
fn types_of_any_size(graph: &Graph, row: &Row, mut node: Foreign) -> Vec<Type> {
    let mut scratch = Graph::new("sizes");
    for arg in &mut node.inputs {
        let Arg::Value(v) = arg else { continue };
        *v = match (graph.constant(*v), graph.ty(*v)) {
            (Some(t), _) if t.len() <= INLINE_CONST => scratch.add_const(t.clone()),
            (_, Type::Tensor(TensorType { dtype, shape: Some(shape) })) => {
                scratch.add_input("x", TensorType::of_rank(*dtype, shape.len()).into())
            }
            (_, ty) => scratch.add_input("x", ty.clone()),
        };
    }
    let results = row.lift(&mut Builder::at_end(&mut scratch, Origin::default()), node);
    results.map(|all| all.iter().map(|v| scratch.ty(*v).clone()).collect()).unwrap_or_default()
}

fn operands(scope: &Scope, n: &NodeProto) -> Result<Vec<Option<ValueId>>, Diag> {
    let count = n.input.iter().rposition(|i| !i.is_empty()).map_or(0, |i| i + 1);
    let one = |name: &String| {
        if name.is_empty() {
            return Ok(None);
        }
        let missing =
            || Diag::error("E0202", format!("operand `{}` is not defined by anything", shorten(name)));
        scope.names.get(name.as_str()).map(|v| Some(*v)).ok_or_else(missing)
    };
    n.input[..count].iter().map(one).collect()
}
