//! A binding row ties one IR operator to one ONNX operator over a range of operator sets. Reading and writing use the same row.
use super::dtype;
use super::restrict::{axes_from_front, one_type, positions_from_front};
use super::versions::{ir_name, signature};
use hoist_ir::attr::{Attr, Word};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::diag_at;
use hoist_ir::op::{Arity, OpError};
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;

/// An operand of a foreign node.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// Left out.
    None,
    /// A value of the graph.
    Value(ValueId),
    /// A constant that only one of both forms has as an operand.
    Const(Tensor),
}

/// A node as ONNX has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    /// Domain; empty for ONNX's own.
    pub domain: String,
    /// Operator.
    pub op_type: String,
    /// Operator set of the file.
    pub opset: i64,
    /// Attributes, in file order.
    pub attrs: Vec<(String, Attr)>,
    /// Operands.
    pub inputs: Vec<Arg>,
    /// Number of results.
    pub outputs: usize,
}

impl Foreign {
    /// Removes attribute `name` and returns it.
    pub fn take(&mut self, name: &str) -> Option<Attr> {
        let at = self.attrs.iter().position(|(n, _)| n == name)?;
        Some(self.attrs.remove(at).1)
    }
    /// Removes integer attribute `name`; `default` when absent.
    ///
    /// # Errors
    /// When it has another kind.
    pub fn take_int(&mut self, name: &str, default: i64) -> Result<i64, OpError> {
        match self.take(name) {
            None => Ok(default),
            Some(Attr::Int(v)) => Ok(v),
            Some(other) => Err(OpError::attr(format!("attribute `{name}` must be an integer, got {other}"))),
        }
    }
    /// Puts `arg` at operand position `slot`, padding with absent ones.
    pub fn set_input(&mut self, slot: usize, arg: Arg) {
        if self.inputs.len() <= slot {
            self.inputs.resize(slot + 1, Arg::None);
        }
        self.inputs[slot] = arg;
    }
    /// The graph value of operand `slot`.
    pub fn value(&self, slot: usize) -> Option<ValueId> {
        if let Some(Arg::Value(v)) = self.inputs.get(slot) { Some(*v) } else { None }
    }
}

/// How an attribute of an older form becomes an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A list of integers, 1-d.
    Ints,
    /// One integer, as a 1-d tensor of one element.
    Int1,
    /// One integer, as a 0-d tensor.
    Int0,
    /// One number, as a 0-d tensor of the element type of operand 0.
    Scalar,
}

/// A difference between the IR's form of an operator and that of a range of operator sets.
#[derive(Clone, Copy)]
pub enum Fix {
    /// The file's attribute `attr` is the IR's operand `slot`. Writing needs that operand constant or absent.
    AttrIsInput {
        /// Name in the file.
        attr: &'static str,
        /// Operand position in the IR.
        slot: usize,
        /// How it is converted.
        form: Form,
    },
    /// Attributes of an operator of another domain whose spelling is not the IR's, such as `transA`.
    Spelled(&'static [&'static str]),
    /// The word of the attribute exists from this operator set on.
    WordSince(&'static str, &'static str, i64),
    /// Operand `slot` exists from this operator set on.
    InputSince(usize, i64),
    /// Reading: brings the node into the row's form. The row is not used for writing.
    Upgrade(fn(&mut Foreign, &Graph) -> Result<(), OpError>),
    /// Reading: adds nodes for operands that the row's form needs. The row is not used for writing.
    Prepare(fn(&mut Builder<'_>, &mut Foreign) -> Result<(), Diag>),
    /// The row is not used for reading.
    WriteOnly,
    /// Reading: the node becomes several. The row is not used for writing.
    Build(fn(&mut Builder<'_>, Foreign) -> Result<Vec<ValueId>, Diag>),
    /// Reading: where the condition holds the node becomes several.
    BuildWhere(fn(&Foreign) -> bool, fn(&mut Builder<'_>, Foreign) -> Result<Vec<ValueId>, Diag>),
    /// Reading: the row applies only where this holds; elsewhere the operator passes through.
    If(fn(&Foreign, &Graph) -> bool),
    /// Reading: completes what ONNX leaves implicit.
    OnRead(fn(&mut Foreign, &Graph) -> Result<(), OpError>),
    /// Writing: a condition on the node; the text says what is missing.
    OnWrite(fn(&Graph, NodeId, i64) -> Result<(), String>),
    /// Writing: adds what runtimes or older operator sets want said.
    Fill(fn(&mut Foreign, &Graph, NodeId)),
    /// Writing: the last change to the foreign node, which gets attributes that the operator set does not have too.
    Finish(fn(&mut Foreign, &Graph, NodeId)),
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row {
    /// Domain of the ONNX operator; empty for ONNX's own.
    pub domain: &'static str,
    /// IR operator.
    pub op: &'static str,
    /// ONNX operator.
    pub foreign: &'static str,
    /// First operator set of the domain.
    pub since: i64,
    /// Last operator set of the domain.
    pub until: i64,
    /// Differences.
    pub fixes: &'static [Fix],
}

/// A row from `since` on.
pub const fn row(op: &'static str, foreign: &'static str, since: i64) -> Row {
    Row { domain: "", op, foreign, since, until: i64::MAX, fixes: &[] }
}

/// A row of another domain, whose attributes have the IR's names but for those that a [`Fix::Spelled`] lists.
pub const fn row_of(domain: &'static str, op: &'static str, foreign: &'static str) -> Row {
    Row { domain, op, foreign, since: 1, until: i64::MAX, fixes: &[] }
}

impl Row {
    /// Ends the row's range.
    #[must_use]
    pub const fn until(mut self, last: i64) -> Self {
        self.until = last;
        self
    }
    /// Adds the row's differences.
    #[must_use]
    pub const fn with(mut self, fixes: &'static [Fix]) -> Self {
        self.fixes = fixes;
        self
    }
    /// Whether operator set `opset` is in range.
    pub fn covers(&self, opset: i64) -> bool {
        (self.since..=self.until).contains(&opset)
    }
    /// Whether the row can be written, not only read.
    pub fn writes(&self) -> bool {
        !self.fixes.iter().any(|f| matches!(f, Fix::Upgrade(_) | Fix::Prepare(_) | Fix::Build(_)))
    }
    /// Whether the row can be read, not only written.
    pub fn reads(&self) -> bool {
        !self.fixes.iter().any(|f| matches!(f, Fix::WriteOnly))
    }

    /// Whether the row reads this node.
    pub fn applies(&self, node: &Foreign, graph: &Graph) -> bool {
        self.fixes.iter().all(|f| match f {
            Fix::If(holds) => holds(node, graph),
            _ => true,
        })
    }

    /// Adds the IR form of `node` and returns its results.
    ///
    /// # Errors
    /// When attributes or operands do not fit.
    pub fn lift(&self, b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
        let name = node.op_type.clone();
        let fail = |e: OpError| {
            let mut d = Diag::error(e.code, e.message).op(name.clone());
            d.hint = e.hint;
            d
        };
        // Left over from operator set 1 to 5, without meaning.
        node.take("consumed_inputs");
        for fix in self.fixes {
            match fix {
                Fix::Upgrade(f) | Fix::OnRead(f) => f(&mut node, b.graph()).map_err(fail)?,
                Fix::Prepare(f) => f(b, &mut node).map_err(|d| d.op(name.clone()))?,
                Fix::Build(f) => return f(b, node).map_err(|d| d.op(name)),
                Fix::BuildWhere(holds, f) if holds(&node) => return f(b, node).map_err(|d| d.op(name)),
                Fix::AttrIsInput { attr, slot, form } => {
                    if let Some(value) = node.take(attr) {
                        let tensor = to_operand(&value, *form, &node, b.graph()).map_err(fail)?;
                        node.set_input(*slot, Arg::Const(tensor));
                    }
                }
                _ => {}
            }
        }
        let op = self.op_of(&node).map_err(fail)?;
        add(b, op, node).map_err(|d| d.op(name))
    }
    /// The IR form of a node that has bodies, in parts: the operator, and the node with its operands in order.
    ///
    /// # Errors
    /// When attributes do not fit.
    pub fn lift_op(&self, graph: &Graph, mut node: Foreign) -> Result<(Op, Foreign), OpError> {
        for fix in self.fixes {
            if let Fix::Upgrade(f) | Fix::OnRead(f) = fix {
                f(&mut node, graph)?;
            }
        }
        Ok((self.op_of(&node)?, node))
    }
    fn op_of(&self, node: &Foreign) -> Result<Op, OpError> {
        let mut op = Op::by_name(self.op).ok_or_else(|| {
            OpError::new("E0901", format!("row for `{}` names an unknown op", self.foreign))
        })?;
        for (name, value) in &node.attrs {
            set_attr(&mut op, &ir_name(name), value)?;
        }
        Ok(op)
    }

    /// The ONNX form of node `n` at `opset`.
    ///
    /// # Errors
    /// What the operator set lacks, as a phrase.
    pub fn lower(&self, graph: &Graph, n: NodeId, opset: i64) -> Result<Foreign, String> {
        let node = graph.node(n);
        let mut out = Foreign {
            domain: self.domain.to_owned(),
            op_type: self.foreign.to_owned(),
            opset,
            attrs: vec![],
            inputs: node.inputs().iter().map(|i| i.map_or(Arg::None, Arg::Value)).collect(),
            outputs: node.outputs().len(),
        };
        if self.domain.is_empty() {
            self.attributes(graph, n, &mut out)?;
        } else {
            self.vendor_attributes(graph, n, &mut out);
        }
        self.check_write(graph, n, opset, &mut out)?;
        Ok(out)
    }
    fn attributes(&self, graph: &Graph, n: NodeId, out: &mut Foreign) -> Result<(), String> {
        let op = graph.node(n).op();
        let signature = signature(self.foreign, out.opset).ok_or("this name in this operator set")?;
        // Defaults changed between versions, so only the newest form leaves them out.
        let all = self.until != i64::MAX;
        let set = op.set_attrs();
        for spec in op.schema().attrs {
            let changed = set.iter().find(|(n, _)| *n == spec.name).map(|(_, v)| v.clone());
            if spec.kind == <Layout as Word>::KIND {
                if changed.is_some() {
                    return Err("data with channels last".to_owned());
                }
                continue;
            }
            let kept = |f: &Fix| matches!(f, Fix::Finish(_));
            let name = match signature.attr(spec.name) {
                Some(name) => name,
                None if self.fixes.iter().any(kept) => spec.name,
                None => match changed {
                    Some(value) => return Err(format!("`{}` = {value}", spec.name)),
                    None => continue,
                },
            };
            let value = match changed {
                Some(value) => value,
                None if all || signature.requires(name) => op.def().attr(spec.name).unwrap_or(Attr::None),
                None => continue,
            };
            let empty = matches!(&value, Attr::Ints(v) if v.is_empty()) && !signature.requires(name);
            if value != Attr::None && !empty {
                out.attrs.push((name.to_owned(), to_foreign(value)));
            }
        }
        Ok(())
    }
    /// Attributes of an operator of another domain: those that differ from the default.
    fn vendor_attributes(&self, graph: &Graph, n: NodeId, out: &mut Foreign) {
        for (name, value) in graph.node(n).op().set_attrs() {
            let spelled = self.fixes.iter().find_map(|f| match f {
                Fix::Spelled(all) => all.iter().find(|s| ir_name(s) == name),
                _ => None,
            });
            if value != Attr::None {
                out.attrs.push(((*spelled.unwrap_or(&name)).to_owned(), to_foreign(value)));
            }
        }
    }
    fn types_fit(&self, graph: &Graph, n: NodeId, out: &Foreign) -> Result<(), String> {
        let own = self.domain.is_empty();
        let Some(signature) = signature(self.foreign, out.opset).filter(|_| own) else { return Ok(()) };
        // What bodies capture is no operand in ONNX.
        let formal = graph.node(n).inputs().len() - graph.node(n).captures();
        let many = graph.node(n).op().schema().inputs.last().is_some_and(|o| o.arity == Arity::Many);
        for slot in 0..out.inputs.len().min(formal) {
            if !many && slot >= signature.operands() && out.inputs[slot] != Arg::None {
                return Err(format!("operand {slot}"));
            }
            let dtype = out.value(slot).and_then(|v| graph.ty(v).as_tensor()).map(|t| t.dtype);
            if let Some(d) = dtype.filter(|d| !signature.allows(slot, *d)) {
                return Err(format!("{d} as operand {slot}"));
            }
        }
        Ok(())
    }
    fn check_write(&self, graph: &Graph, n: NodeId, opset: i64, out: &mut Foreign) -> Result<(), String> {
        for fix in self.fixes {
            match fix {
                Fix::AttrIsInput { attr, slot, form } => to_attr(graph, out, attr, *slot, *form)?,
                Fix::InputSince(slot, since) if opset < *since && out.value(*slot).is_some() => {
                    return Err(format!("operand {slot} (since opset {since})"));
                }
                Fix::WordSince(attr, word, since) if opset < *since => {
                    let used =
                        out.attrs.iter().any(|(n, v)| n == attr && matches!(v, Attr::Str(w) if w == word));
                    if used {
                        return Err(format!("`{attr}` = {word} (since opset {since})"));
                    }
                }
                Fix::OnWrite(check) => check(graph, n, opset)?,
                Fix::Fill(f) => f(out, graph, n),
                Fix::Finish(f) => f(out, graph, n),
                _ => {}
            }
        }
        while out.inputs.last() == Some(&Arg::None) {
            out.inputs.pop();
        }
        self.types_fit(graph, n, out)?;
        if self.domain.is_empty() {
            one_type(graph, out)?;
            positions_from_front(graph, out)?;
            axes_from_front(graph, n, out)?;
        }
        Ok(())
    }
}

/// Adds `op` with the operands of `node`.
///
/// # Errors
/// When they do not fit.
pub fn add(b: &mut Builder<'_>, op: Op, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let inputs: Vec<Option<ValueId>> = node
        .inputs
        .into_iter()
        .map(|a| match a {
            Arg::None => None,
            Arg::Value(v) => Some(v),
            Arg::Const(t) => Some(b.constant(t)),
        })
        .collect();
    b.add_n(op, &inputs, node.outputs)
}

/// Sets an attribute from its file form, where element types are codes.
///
/// # Errors
/// When the operator has no such attribute or its kind is wrong.
pub fn set_attr(op: &mut Op, name: &str, value: &Attr) -> Result<(), OpError> {
    let spec = op.schema().attrs.iter().find(|a| a.name == name);
    let dtype = |code: i64| i32::try_from(code).ok().and_then(dtype::from_code);
    match (spec.map(|s| s.kind), value) {
        // Code 0 means "not given".
        (Some("dtype"), Attr::Int(0)) => op.def_mut().set_attr(name, &Attr::None),
        (Some("dtype"), Attr::Int(code)) => {
            let unknown = || OpError::attr(format!("`{name}` has the unknown element type {code}"));
            let dtype = dtype(*code).ok_or_else(unknown)?;
            op.def_mut().set_attr(name, &Attr::DType(dtype))
        }
        _ => op.def_mut().set_attr(name, value),
    }
}

fn to_foreign(value: Attr) -> Attr {
    match value {
        Attr::Bool(v) => Attr::Int(i64::from(v)),
        Attr::Word(w) => Attr::Str(w.to_owned()),
        Attr::DType(d) => Attr::Int(i64::from(dtype::to_code(d))),
        other => other,
    }
}

fn to_operand(value: &Attr, form: Form, node: &Foreign, graph: &Graph) -> Result<Tensor, OpError> {
    match (form, value) {
        (Form::Ints, Attr::Ints(v)) => Ok(Tensor::from_ints(v)),
        (Form::Int1, Attr::Int(v)) => Ok(Tensor::from_ints(&[*v])),
        (Form::Int0, Attr::Int(v)) => Ok(Tensor::scalar(*v)),
        (Form::Scalar, Attr::Float(v)) => {
            let like = node.value(0).and_then(|x| graph.ty(x).as_tensor()).map(|t| t.dtype);
            let dtype = like.unwrap_or(hoist_ir::dtype::DType::F32);
            Ok(Tensor::scalar(*v).cast(dtype, false)?)
        }
        (_, other) => Err(OpError::attr(format!("an attribute has the unexpected value {other}"))),
    }
}

fn to_attr(graph: &Graph, out: &mut Foreign, attr: &str, slot: usize, form: Form) -> Result<(), String> {
    let Some(v) = out.value(slot) else { return Ok(()) };
    let dynamic = || format!("operand {slot} that is not constant (an attribute in this opset)");
    let tensor = graph.constant(v).ok_or_else(dynamic)?;
    let value = match form {
        Form::Ints => tensor.to_i64s().ok().map(Attr::Ints),
        Form::Int1 | Form::Int0 => tensor.as_int().map(Attr::Int),
        Form::Scalar => tensor.as_f64().map(|v| Attr::Float(v as f32)),
    };
    out.attrs.push((attr.to_owned(), value.ok_or_else(dynamic)?));
    out.inputs[slot] = Arg::None;
    Ok(())
}

/// The diagnostic for an operator that cannot be typed, in ONNX's terms.
pub fn lift_error(e: OpError, op: &Op, node: &str) -> Diag {
    diag_at(e, op, Some(node))
}
