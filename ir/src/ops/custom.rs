//! `custom`: an operator Hoist does not know, or a call of a function that the model itself defines.
use crate::attr::Attr;
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::op::{Arity, OpDef, OpError, Operand, Schema, Semantics};
use crate::types::Type;

/// An operator that is passed through untouched: any operands, results, attributes and bodies.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Custom {
    /// Operator set it belongs to; empty for ONNX's own.
    pub domain: String,
    /// Name in that set.
    pub name: String,
    /// Overload of a model-local function; usually empty.
    pub overload: String,
    /// Attributes in file order.
    pub attrs: Vec<(String, Attr)>,
    /// Types of the results, as far as the source declares them.
    pub result_types: Vec<Type>,
    /// Whether this is a call of a model-local function. The node's last body is its definition then, for this call's operands and
    /// attributes: its inputs are the operands that are present. Formats store the function instead.
    pub defined: bool,
}

impl Custom {
    /// The declaration as data: no constraint at all.
    pub const SCHEMA: Schema = Schema {
        name: "custom",
        doc: "An operator that Hoist does not know, passed through untouched.\n",
        inputs: &[Operand { name: "xs", arity: Arity::Many, var: "AnyX" }],
        outputs: &[Operand { name: "ys", arity: Arity::Many, var: "AnyY" }],
        attrs: &[],
        types: &[],
    };
    /// `domain.name`, or the bare name in ONNX's own set.
    pub fn full_name(&self) -> String {
        if self.domain.is_empty() { self.name.clone() } else { format!("{}.{}", self.domain, self.name) }
    }
}

impl OpDef for Custom {
    fn schema(&self) -> &'static Schema {
        &Self::SCHEMA
    }
    fn attr(&self, name: &str) -> Option<Attr> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }
    fn set_attr(&mut self, name: &str, value: &Attr) -> Result<(), OpError> {
        match self.attrs.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v = value.clone(),
            None => self.attrs.push((name.to_owned(), value.clone())),
        }
        Ok(())
    }
}

impl Semantics for Custom {
    fn pure(&self) -> bool {
        false
    }
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let mut types = self.result_types.clone();
        types.resize(cx.outputs(), Type::Unknown);
        if let (true, Some(body)) = (self.defined, cx.bodies().last()) {
            let present = (0..cx.len()).filter(|i| cx.has(*i)).count();
            if body.inputs().len() != present || body.outputs().len() < cx.outputs() {
                return Err(OpError::operand(format!("`{}` does not fit its definition", self.full_name())));
            }
            for (ty, o) in types.iter_mut().zip(body.outputs()) {
                // The definition is exact; what a file declares may be wrong.
                let computed = body.ty(o.value);
                *ty = computed.meet(ty).unwrap_or_else(|| computed.clone());
            }
        }
        Ok(types)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        if let (true, Some(body)) = (self.defined, cx.bodies.last()) {
            return (cx.run)(body, cx.inputs.into_iter().flatten().collect());
        }
        Err(OpError::eval(format!("the reference executor does not know `{}`", self.full_name()))
            .hint("use --engine onnxruntime to run it, or --no-verify to skip the check"))
    }
}
