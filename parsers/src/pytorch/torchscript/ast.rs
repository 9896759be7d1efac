//! Syntax tree of the archived source: the subset of Python that `torch.jit.save` writes.
use std::rc::Rc;

/// Byte offset in the source text.
pub type Pos = u32;

/// An expression with the place it starts at.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: Kind,
    /// Where it starts.
    pub pos: Pos,
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A name.
    Name(Box<str>),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// An imaginary number, `2.5j`.
    Imaginary(f64),
    /// A text.
    Str(Box<str>),
    /// A truth value.
    Bool(bool),
    /// `None`.
    None,
    /// `value.name`.
    Attr(Box<Expr>, Box<str>),
    /// `value[index]`.
    Item(Box<Expr>, Box<Expr>),
    /// A call: callee, positional and named arguments.
    Call(Box<Expr>, Vec<Expr>, Vec<(Box<str>, Expr)>),
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `(a, b)`, also without parentheses.
    Tuple(Vec<Expr>),
    /// `{key: value}`.
    Dict(Vec<(Expr, Expr)>),
    /// `a if condition else b`: condition, a, b.
    Choice(Box<[Expr; 3]>),
    /// `not a`, `a and b`, `a or b`.
    Logic(Logic, Vec<Expr>),
}

/// Operators that look at truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// `not`.
    Not,
    /// `and`.
    And,
    /// `or`.
    Or,
}

/// A type such as `Dict[str, List[Tensor]]`: a dotted name and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Ty {
    /// Dotted name.
    pub name: Box<str>,
    /// Types in brackets.
    pub args: Vec<Ty>,
}

/// What an assignment sets.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A name.
    Name(Box<str>),
    /// `object.name`.
    Attr(Expr, Box<str>),
}

/// A statement with the place it starts at.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where it starts.
    pub pos: Pos,
}

/// Kinds of statements.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// `target : ty = value`.
    Assign(Target, Option<Ty>, Expr),
    /// `a, b = value`.
    Unpack(Vec<Box<str>>, Expr),
    /// An expression for its effect.
    Expr(Expr),
    /// `return value`.
    Return(Option<Expr>),
    /// `if`, with what follows `else`.
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    /// `while`.
    While(Expr, Vec<Stmt>),
    /// `for name in range(count)`, and iteration over other things.
    For(Box<str>, Expr, Vec<Stmt>),
    /// `with a, b as c:`
    With(Vec<(Expr, Option<Box<str>>)>, Vec<Stmt>),
    /// `pass`.
    Pass,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Box<str>,
    /// Its type; absent for the `self` of an interface.
    pub ty: Option<Ty>,
    /// Its default.
    pub default: Option<Expr>,
}

/// A function or method.
#[derive(Clone, Debug, PartialEq)]
pub struct Func {
    /// Its name.
    pub name: Box<str>,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Type of its result.
    pub result: Option<Ty>,
    /// Its statements.
    pub body: Vec<Stmt>,
    /// Where it starts.
    pub pos: Pos,
}

/// An attribute of a class: `name : type`, `name : Final[type] = value`, or `NAME = value` of an enumeration.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub ty: Option<Ty>,
    /// Its value, when the class fixes it.
    pub value: Option<Expr>,
}

/// A class.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: Box<str>,
    /// `Module`, `Enum`, `NamedTuple`, ..., if any.
    pub base: Option<Box<str>>,
    /// Its attributes.
    pub fields: Vec<Field>,
    /// Its methods.
    pub methods: Vec<Rc<Func>>,
}

impl Class {
    /// The method `name`.
    pub fn method(&self, name: &str) -> Option<&Rc<Func>> {
        self.methods.iter().find(|m| &*m.name == name)
    }
}

/// One source file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Its classes.
    pub classes: Vec<Class>,
    /// Its functions.
    pub functions: Vec<Func>,
}
