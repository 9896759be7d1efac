//! The operator contract and the macro that declares an operator once.
//!
//! From one [`op!`](crate::op!) invocation come the struct with typed attributes and defaults, its [`Schema`], attribute access by name (text
//! form, formats, hashing), and the [`Builder`](crate::builder::Builder) method. The op's file adds [`Semantics`]: `infer` and `eval`.
use crate::attr::{Attr, AttrSpec};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DTypeSet;
use crate::eval::{EvalCx, Value};
use crate::graph::ValueId;
use crate::infer::{Content, InferCx};
use crate::tensor::{Tensor, TensorError};
use crate::types::Type;

/// How often an operand may occur.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// Exactly once.
    One,
    /// Once or not at all.
    Optional,
    /// Any number of times; only the last operand may be so.
    Many,
}

/// A named operand or result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operand {
    /// Name, as ONNX has it where the operator is ONNX's.
    pub name: &'static str,
    /// How often it occurs.
    pub arity: Arity,
    /// Type variable: operands that share one have one element type. See [`Schema::types`].
    pub var: &'static str,
}

/// Everything about an operator that is data, not behaviour.
#[derive(Debug, PartialEq)]
pub struct Schema {
    /// Name in the text form.
    pub name: &'static str,
    /// Documentation.
    pub doc: &'static str,
    /// Operands.
    pub inputs: &'static [Operand],
    /// Results. Optional ones may be left out from the end.
    pub outputs: &'static [Operand],
    /// Attributes.
    pub attrs: &'static [AttrSpec],
    /// Element types each type variable allows. A variable without an entry is not constrained.
    pub types: &'static [(&'static str, DTypeSet)],
}

impl Schema {
    /// Operand number `i`, where a variadic last operand covers all further positions.
    pub fn input(&self, i: usize) -> Option<&'static Operand> {
        self.inputs.get(i).or_else(|| self.inputs.last().filter(|o| o.arity == Arity::Many))
    }
    /// Element types that `var` allows.
    pub fn allowed(&self, var: &str) -> Option<DTypeSet> {
        self.types.iter().find(|(v, _)| *v == var).map(|(_, s)| *s)
    }
    /// Fewest and most operands.
    pub fn input_count(&self) -> (usize, usize) {
        count(self.inputs)
    }
    /// Fewest and most results.
    pub fn output_count(&self) -> (usize, usize) {
        count(self.outputs)
    }
}

fn count(operands: &[Operand]) -> (usize, usize) {
    let needed = operands.iter().rposition(|o| o.arity == Arity::One).map_or(0, |i| i + 1);
    let most =
        if operands.last().is_some_and(|o| o.arity == Arity::Many) { usize::MAX } else { operands.len() };
    (needed, most)
}

/// Why an operator cannot be typed or computed; becomes a [`Diag`](crate::diag::Diag) where the node is known.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct OpError {
    /// Stable code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl OpError {
    /// An error of that code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }
    /// Shapes that cannot be combined.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new("E0305", message)
    }
    /// An attribute or constant operand out of range.
    pub fn attr(message: impl Into<String>) -> Self {
        Self::new("E0304", message)
    }
    /// Wrong operands.
    pub fn operand(message: impl Into<String>) -> Self {
        Self::new("E0303", message)
    }
    /// Something `eval` cannot compute.
    pub fn eval(message: impl Into<String>) -> Self {
        Self::new("E0306", message)
    }
    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
impl From<TensorError> for OpError {
    fn from(e: TensorError) -> Self {
        Self::eval(e.to_string())
    }
}

/// What an operator means. Hand-written in the operator's file.
pub trait Semantics {
    /// Types of the results from those of the operands. Never looks at the graph.
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError>;
    /// Reference evaluation: plain and correct, for all element types the schema allows.
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError>;
    /// Symbolic values of small integer results (shape arithmetic), one entry per result; empty when there are none.
    fn contents(&self, _cx: &InferCx<'_>) -> Vec<Option<Content>> {
        vec![]
    }
    /// The single result as a lazy expression over constant operands, where it has one. Used for constants too large to compute eagerly.
    fn lazy(&self, _inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        None
    }
    /// Adds the operator in terms of simpler ones and returns its results, of which `outputs` are wanted; `None` when it is primitive or
    /// these operands leave too much open. Exact up to rounding; never looks at uses.
    ///
    /// # Errors
    /// When the operands do not fit.
    fn expand(
        &self,
        _b: &mut Builder<'_>,
        _inputs: &[Option<ValueId>],
        _outputs: usize,
    ) -> Result<Option<Vec<ValueId>>, Diag> {
        Ok(None)
    }
    /// Whether equal operands always give equal results, so that a node may be computed in advance or once for several. A node of an
    /// operator that draws random numbers may only be removed when nothing uses it.
    fn pure(&self) -> bool {
        true
    }
    /// Multiply-accumulate operations for these operand and result types; `None` when sizes are not known or it has none.
    fn macs(&self, _inputs: &[Option<&Type>], _outputs: &[&Type]) -> Option<u64> {
        None
    }
}

/// The declared half of an operator, written by [`op!`](crate::op!).
pub trait OpDef: Semantics {
    /// Its declaration.
    fn schema(&self) -> &'static Schema;
    /// Value of the attribute `name`, if there is one.
    fn attr(&self, name: &str) -> Option<Attr>;
    /// Sets the attribute `name`.
    ///
    /// # Errors
    /// When there is none or `value` has the wrong kind.
    fn set_attr(&mut self, name: &str, value: &Attr) -> Result<(), OpError>;
}

/// Marker of an operand's arity in [`op!`](crate::op!), with the Rust type a builder method takes and gives for it.
pub trait OperandKind {
    /// Its arity.
    const ARITY: Arity;
    /// Argument of the builder method.
    type Arg<'a>;
    /// Result of the builder method.
    type Result;
    /// Appends the argument.
    fn push(arg: Self::Arg<'_>, to: &mut Vec<Option<ValueId>>);
    /// Takes the result from the values a node defines, in order.
    fn take(from: &mut std::vec::IntoIter<ValueId>) -> Self::Result;
}

/// `to` with the argument appended.
pub fn pushed<K: OperandKind>(mut to: Vec<Option<ValueId>>, arg: K::Arg<'_>) -> Vec<Option<ValueId>> {
    K::push(arg, &mut to);
    to
}

/// Exactly one.
pub struct One;
/// One or none.
pub struct Opt;
/// Any number, last.
pub struct Many;

impl OperandKind for One {
    const ARITY: Arity = Arity::One;
    type Arg<'a> = ValueId;
    type Result = ValueId;
    fn push(arg: ValueId, to: &mut Vec<Option<ValueId>>) {
        to.push(Some(arg));
    }
    fn take(from: &mut std::vec::IntoIter<ValueId>) -> ValueId {
        from.next().unwrap_or_else(|| unreachable!("a node defines its required results"))
    }
}
impl OperandKind for Opt {
    const ARITY: Arity = Arity::Optional;
    type Arg<'a> = Option<ValueId>;
    type Result = Option<ValueId>;
    fn push(arg: Option<ValueId>, to: &mut Vec<Option<ValueId>>) {
        to.push(arg);
    }
    fn take(from: &mut std::vec::IntoIter<ValueId>) -> Option<ValueId> {
        from.next()
    }
}
impl OperandKind for Many {
    const ARITY: Arity = Arity::Many;
    type Arg<'a> = &'a [ValueId];
    type Result = Vec<ValueId>;
    fn push(arg: &[ValueId], to: &mut Vec<Option<ValueId>>) {
        to.extend(arg.iter().map(|v| Some(*v)));
    }
    fn take(from: &mut std::vec::IntoIter<ValueId>) -> Vec<ValueId> {
        from.collect()
    }
}

/// What a builder method returns for the results of a node: the value itself when there is one, else a tuple.
pub trait Results {
    /// The return type.
    type Out;
    /// The return value.
    fn out(self) -> Self::Out;
}
impl<A> Results for (A,) {
    type Out = A;
    fn out(self) -> A {
        self.0
    }
}
impl<A, B> Results for (A, B) {
    type Out = Self;
    fn out(self) -> Self {
        self
    }
}
impl<A, B, C> Results for (A, B, C) {
    type Out = Self;
    fn out(self) -> Self {
        self
    }
}
impl<A, B, C, D> Results for (A, B, C, D) {
    type Out = Self;
    fn out(self) -> Self {
        self
    }
}

/// Declares an operator: struct, defaults, schema, attribute access, builder method.
///
/// ```text
/// op! {
///     /// Documentation.
///     conv Conv(x: One<T>, w: One<T>, b: Opt<T>) -> (y: One<T>) {
///         /// Documentation of the attribute.
///         group: i64 = 1,
///     } where T: FLOATS;
///     infer = infer, eval = eval;      // optional, also with `, contents = ..` and `, expand = ..`: or implement `Semantics` by hand
/// }
/// ```
/// A name that is a keyword of Rust is written raw: `r#where`. `add as plus Add(..)` gives the builder method another name.
#[macro_export]
macro_rules! op {
    (
        $(#[doc = $doc:literal])+
        $name:ident as $method:ident $Op:ident ( $($in:ident : $ik:ident<$iv:ident>),* $(,)? ) -> ( $($out:ident : $ok:ident<$ov:ident>),* $(,)? )
        { $($(#[doc = $adoc:literal])+ $attr:ident : $ty:ty = $default:expr),* $(,)? }
        $(where $($var:ident : $set:expr),+)? ;
        $(infer = $infer:expr, eval = $eval:expr $(, contents = $contents:expr)? $(, expand = $expand:expr)?;)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Debug)]
        pub struct $Op { $($(#[doc = $adoc])+ pub $attr: $ty),* }

        impl Default for $Op { fn default() -> Self { Self { $($attr: $default),* } } }

        impl $Op {
            /// The declaration as data.
            pub const SCHEMA: $crate::op::Schema = $crate::op::Schema {
                name: $crate::op::plain_name(stringify!($name)),
                doc: concat!($($doc, "\n"),+),
                inputs: &[$($crate::op::Operand { name: stringify!($in), arity: <$crate::op::$ik as $crate::op::OperandKind>::ARITY, var: stringify!($iv) }),*],
                outputs: &[$($crate::op::Operand { name: stringify!($out), arity: <$crate::op::$ok as $crate::op::OperandKind>::ARITY, var: stringify!($ov) }),*],
                attrs: &[$($crate::attr::AttrSpec { name: $crate::op::plain_name(stringify!($attr)), kind: <$ty as $crate::attr::AttrType>::KIND, doc: concat!($($adoc, "\n"),+) }),*],
                types: &[$($((stringify!($var), $set)),+)?],
            };
        }
        impl $crate::op::OpDef for $Op {
            fn schema(&self) -> &'static $crate::op::Schema { &Self::SCHEMA }
            fn attr(&self, name: &str) -> Option<$crate::attr::Attr> {
                $(if name == $crate::op::plain_name(stringify!($attr)) { return Some($crate::attr::AttrType::to_attr(&self.$attr)); })*
                let _ = name;
                None
            }
            fn set_attr(&mut self, name: &str, value: &$crate::attr::Attr) -> Result<(), $crate::op::OpError> {
                $(if name == $crate::op::plain_name(stringify!($attr)) {
                    self.$attr = $crate::attr::AttrType::from_attr(value).ok_or_else(|| $crate::op::wrong_kind(&Self::SCHEMA, name, value))?;
                    return Ok(());
                })*
                Err($crate::op::no_attr(&Self::SCHEMA, name, value))
            }
        }
        impl $crate::builder::Builder<'_> {
            #[doc = concat!("Adds [`", stringify!($Op), "`] and returns its results.")]
            pub fn $method(&mut self, op: $Op $(, $in: <$crate::op::$ik as $crate::op::OperandKind>::Arg<'_>)*)
                -> Result<<($(<$crate::op::$ok as $crate::op::OperandKind>::Result,)*) as $crate::op::Results>::Out, $crate::diag::Diag> {
                let inputs = Vec::with_capacity($Op::SCHEMA.inputs.len());
                $(let inputs = $crate::op::pushed::<$crate::op::$ik>(inputs, $in);)*
                let mut results = self.add(op, &inputs)?.into_iter();
                Ok($crate::op::Results::out(($(<$crate::op::$ok as $crate::op::OperandKind>::take(&mut results),)*)))
            }
        }
        $(impl $crate::op::Semantics for $Op {
            fn infer(&self, cx: &$crate::infer::InferCx<'_>) -> Result<Vec<$crate::types::Type>, $crate::op::OpError> { ($infer)(self, cx) }
            fn eval(&self, cx: $crate::eval::EvalCx<'_>) -> Result<Vec<$crate::eval::Value>, $crate::op::OpError> { ($eval)(self, cx) }
            $(fn contents(&self, cx: &$crate::infer::InferCx<'_>) -> Vec<Option<$crate::infer::Content>> { ($contents)(self, cx) })?
            $(fn expand(&self, b: &mut $crate::builder::Builder<'_>, inputs: &[Option<$crate::graph::ValueId>], outputs: usize)
                -> Result<Option<Vec<$crate::graph::ValueId>>, $crate::diag::Diag> { ($expand)(self, b, inputs, outputs) })?
        })?
    };
    ( $(#[doc = $doc:literal])+ $name:ident $Op:ident $($rest:tt)* ) => {
        $crate::op! { $(#[doc = $doc])+ $name as $name $Op $($rest)* }
    };
}

/// `name` without the mark of a raw identifier.
pub const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The error for an attribute of the wrong kind.
pub fn wrong_kind(schema: &Schema, name: &str, value: &Attr) -> OpError {
    let kind = schema.attrs.iter().find(|a| a.name == name).map_or("absent", |a| a.kind);
    OpError::attr(format!("attribute `{name}` of `{}` must be {kind}, got {value}", schema.name))
}

/// The error for an attribute the operator does not have.
pub fn no_attr(schema: &Schema, name: &str, _value: &Attr) -> OpError {
    let known: Vec<&str> = schema.attrs.iter().map(|a| a.name).collect();
    OpError::attr(format!("`{}` has no attribute `{name}`", schema.name))
        .hint(format!("it has: {}", known.join(", ")))
}
