//! Operators that PyTorch has too: its lifting functions make the nodes.
use super::cx::{Cx, R, V};
use super::val::Val;
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::cx::{Call, Cx as Aten, Out, Size, Val as AtenVal};
use crate::pytorch::lift::pairs::Parts;
use crate::pytorch::lift::target::{Operator, find};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::splice::Splicer;

/// An argument of an operator of PyTorch.
#[derive(Clone, Debug)]
pub enum Arg {
    /// A tensor.
    T(V),
    /// Complex numbers: a real tensor whose last axis holds pairs.
    C(V),
    /// Tensors.
    Ts(Vec<V>),
    /// An integer.
    I(i64),
    /// Integers.
    Is(Vec<i64>),
    /// A number.
    F(f64),
    /// A truth value.
    B(bool),
    /// A text.
    S(&'static str),
    /// An element type.
    D(DType),
}

/// A result of an operator of PyTorch: whether it is complex, as pairs in a last axis, and the value.
pub struct Lifted {
    /// The value.
    pub v: V,
    /// Whether it holds pairs.
    pub complex: bool,
}

impl From<Lifted> for Val {
    fn from(l: Lifted) -> Self {
        if l.complex { Self::Complex(l.v) } else { Self::Tensor(l.v) }
    }
}

impl Cx<'_, '_, '_> {
    /// The one result of operator `name` of `ATen` on real tensors.
    ///
    /// # Errors
    /// Those of its lifting function.
    pub fn aten(&mut self, name: &str, args: &[(&str, Arg)]) -> R<V> {
        let out = self.aten_all(name, args)?;
        out.first().map(|l| l.v).ok_or_else(|| self.bad("no result"))
    }
    /// All results of operator `name` of `ATen`.
    ///
    /// # Errors
    /// Those of its lifting function.
    pub fn aten_all(&mut self, name: &str, args: &[(&str, Arg)]) -> R<Vec<Lifted>> {
        let Some(Operator::Lifted(f, _)) = find(name) else {
            return Err(Diag::error("E0901", format!("ATen's `{name}` is not lifted")));
        };
        let mut other = Aten::new("call");
        let mut operands = vec![];
        let mut call = Call { target: format!("aten.{name}.default"), outputs: 1, ..Call::default() };
        for (key, arg) in args {
            let val = match arg {
                Arg::T(v) => self.handed(&mut other, &mut operands, *v, false),
                Arg::C(v) => self.handed(&mut other, &mut operands, *v, true),
                Arg::Ts(list) => {
                    let all = list.iter().map(|v| self.handed(&mut other, &mut operands, *v, false));
                    AtenVal::List(all.collect())
                }
                Arg::I(i) => AtenVal::Int(Size::Known(*i)),
                Arg::Is(list) => AtenVal::List(list.iter().map(|i| AtenVal::Int(Size::Known(*i))).collect()),
                Arg::F(f) => AtenVal::Float(*f),
                Arg::B(b) => AtenVal::Bool(*b),
                Arg::S(s) => AtenVal::Str((*s).into()),
                Arg::D(d) => AtenVal::DType(Ok(*d)),
            };
            call.args.push(((*key).to_owned(), val));
        }
        let out = other.lift(f, call).map_err(|d| self.named_after(d))?;
        let mut values = vec![];
        collect(&mut other, out, &mut values)?;
        let complex: Vec<bool> = values.iter().map(|v| other.is_complex(*v)).collect();
        for (i, v) in values.iter().enumerate() {
            other.graph.add_output(&format!("y{i}"), *v);
        }
        let results = Splicer::new(&other.graph).splice(self.b, &operands)?;
        Ok(results.into_iter().zip(complex).map(|(v, complex)| Lifted { v, complex }).collect())
    }
    /// `v` as a tensor of the other program: a constant, or an input.
    fn handed(&self, other: &mut Aten, operands: &mut Vec<V>, v: V, complex: bool) -> AtenVal {
        let g = self.b.graph();
        let inside = if let Some(t) = g.constant(v) {
            other.graph.add_const(t.clone())
        } else {
            operands.push(v);
            other.graph.add_input(&format!("x{}", operands.len()), g.ty(v).clone())
        };
        if complex {
            other.mark(inside, Parts::Joined);
        }
        AtenVal::Tensor(other.new_tensor(inside, Owner::Local))
    }
    /// `d` as an error of this node.
    fn named_after(&self, d: Diag) -> Diag {
        let message = format!("`{}`: {}", self.node.op, d.message);
        Diag { message, op: Some(self.node.op.to_string()), node: None, ..d }
    }
}

fn collect(other: &mut Aten, out: Out, values: &mut Vec<V>) -> R<()> {
    match out {
        Out::Fresh(v) | Out::Bool(v) | Out::Float(v) | Out::Int(Size::Value(v)) => values.push(v),
        Out::Same(id) => values.push(other.read_tensor(id)?),
        Out::View(of, steps) => {
            let id = other.new_view(of, steps)?;
            values.push(other.read_tensor(id)?);
        }
        Out::Many(all) => {
            for out in all {
                collect(other, out, values)?;
            }
        }
        Out::Int(Size::Known(n)) => {
            let v = other.graph.add_const(hoist_ir::tensor::Tensor::scalar(n));
            values.push(v);
        }
    }
    Ok(())
}
