//! What expressions of the archived source stand for at conversion time.
use super::ast::Class;
use crate::pytorch::lift::alias::TensorId;
use crate::pytorch::lift::cx::{Size, V};
use std::rc::Rc;

/// Deepest nesting of lists and tuples.
const MAX_NESTING: usize = 40;

/// Index into [`Heap`].
pub type Ref = usize;

/// A value at conversion time.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`.
    None,
    /// Never given a value.
    Uninit,
    /// The result of something that could not be lifted.
    Failed,
    /// A known truth value.
    Bool(bool),
    /// A computed truth value, 0-d.
    BoolV(V),
    /// An integer.
    Int(Size),
    /// A known float.
    Float(f64),
    /// A computed float, 0-d.
    FloatV(V),
    /// A known complex number.
    Complex(f64, f64),
    /// A text.
    Str(Rc<str>),
    /// A device.
    Device(Rc<str>),
    /// A tensor.
    Tensor(TensorId),
    /// A parameter, buffer or constant of the archive that is not changed.
    Weight(usize),
    /// A tuple; a named one has a class.
    Tuple(Option<Rc<Class>>, Rc<[Value]>),
    /// A list.
    List(Ref),
    /// A dictionary.
    Dict(Ref),
    /// An instance of a class or module.
    Object(Ref),
    /// A function, class or other thing known by its dotted name.
    Global(Rc<str>),
    /// A method bound to its object.
    Method(Ref, Rc<str>),
    /// A member of an enumeration: class, name, value.
    Enum(Rc<str>, Rc<str>, Rc<Value>),
    /// A value that is there when a computed truth value holds, and none otherwise.
    Maybe(V, Rc<Value>),
    /// The tensors of a list that a loop made, stacked along axis 0. Stands in [`Cell::Stacked`] only.
    Stacked(V),
}

impl Value {
    /// A known integer.
    pub fn int(v: i64) -> Self {
        Self::Int(Size::Known(v))
    }
    /// A plain tuple.
    pub fn tuple(items: Vec<Self>) -> Self {
        Self::Tuple(None, items.into())
    }
    /// A text.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Str(text.as_ref().into())
    }
    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Uninit => "a value never set",
            Self::Failed => "a value that could not be computed",
            Self::Bool(_) | Self::BoolV(_) => "a truth value",
            Self::Int(_) => "an integer",
            Self::Float(_) | Self::FloatV(_) => "a float",
            Self::Complex(..) => "a complex number",
            Self::Str(_) => "a text",
            Self::Device(_) => "a device",
            Self::Tensor(_) | Self::Weight(_) => "a tensor",
            Self::Tuple(..) => "a tuple",
            Self::List(_) | Self::Stacked(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Object(_) => "an object",
            Self::Global(_) | Self::Method(..) => "a function or class",
            Self::Enum(..) => "a member of an enumeration",
            Self::Maybe(..) => "a value that may be None",
        }
    }
}

/// Whether two known values are equal; `None` when that is computed or unknown.
pub fn known_equal(heap: &Heap, a: &Value, b: &Value) -> Option<bool> {
    use Value as X;
    let list = |a: &[Value], b: &[Value]| {
        if a.len() != b.len() {
            return Some(false);
        }
        let each: Vec<_> = a.iter().zip(b).map(|(a, b)| known_equal(heap, a, b)).collect();
        if each.contains(&Some(false)) {
            Some(false)
        } else {
            each.iter().all(Option::is_some).then_some(true)
        }
    };
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Some(a == b);
    }
    match (a, b) {
        (X::None, X::None) => Some(true),
        (X::None, X::Maybe(..)) | (X::Maybe(..), X::None) => None,
        (X::None, _) | (_, X::None) => Some(false),
        (X::Int(Size::Known(a)), X::Int(Size::Known(b))) => Some(a == b),
        (X::Int(a), X::Int(b)) if a == b => Some(true),
        (X::Bool(a), X::Bool(b)) => Some(a == b),
        (X::Str(a), X::Str(b)) | (X::Device(a), X::Device(b)) | (X::Global(a), X::Global(b)) => Some(a == b),
        (X::Complex(a, b), X::Complex(c, d)) => Some(a == c && b == d),
        (X::Enum(c, n, _), X::Enum(d, m, _)) => Some(c == d && n == m),
        (X::Object(a), X::Object(b)) if a == b => Some(true),
        (X::Tuple(_, a), X::Tuple(_, b)) => list(a, b),
        (X::List(a), X::List(b)) if a == b => Some(true),
        (X::List(_), X::List(_)) => list(heap.elements(a)?, heap.elements(b)?),
        _ => None,
    }
}

/// A known number as a float.
fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Int(Size::Known(v)) => Some(*v as f64).filter(|f| *f as i64 == *v && v.abs() < 1 << 53),
        Value::Float(v) => Some(*v),
        Value::Bool(v) => Some(f64::from(u8::from(*v))),
        _ => None,
    }
}

/// A mutable object.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Elements of a list.
    List(Vec<Value>),
    /// Items of a dictionary in order of insertion.
    Dict(Vec<(Value, Value)>),
    /// A list of alike tensors, one per iteration of a loop ([`Value::Stacked`]).
    Stacked(Value),
    /// An instance.
    Object(Instance),
}

impl Cell {
    /// Number of values in it.
    fn size(&self) -> usize {
        match self {
            Self::List(items) => items.len(),
            Self::Dict(items) => items.len(),
            Self::Stacked(_) => 1,
            Self::Object(i) => i.fields.len(),
        }
    }
}

/// An instance of a class.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Dotted name of its class.
    pub class: Rc<str>,
    /// Path of attributes from the model to it, when the archive holds it; `None` for instances made by the program.
    pub path: Option<Rc<str>>,
    /// Its attributes.
    pub fields: Vec<(Rc<str>, Value)>,
}

impl Instance {
    /// The attribute `name`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }
}

/// All mutable objects.
#[derive(Clone, Debug, Default)]
pub struct Heap {
    cells: Vec<Cell>,
    /// Elements of all objects ever made or copied.
    pub charged: usize,
}

impl Heap {
    /// Number of objects.
    pub fn len(&self) -> usize {
        self.cells.len()
    }
    /// Adds an object.
    pub fn add(&mut self, cell: Cell) -> Ref {
        self.charged += 1 + cell.size();
        self.cells.push(cell);
        self.cells.len() - 1
    }
    /// A new list.
    pub fn list(&mut self, items: Vec<Value>) -> Value {
        Value::List(self.add(Cell::List(items)))
    }
    /// The object `r`.
    pub fn get(&self, r: Ref) -> Option<&Cell> {
        self.cells.get(r)
    }
    /// The object `r`, to change.
    pub fn get_mut(&mut self, r: Ref) -> Option<&mut Cell> {
        self.cells.get_mut(r)
    }
    /// The instance `r`.
    pub fn instance(&self, r: Ref) -> Option<&Instance> {
        match self.cells.get(r)? {
            Cell::Object(i) => Some(i),
            _ => None,
        }
    }
    /// The instance `r`, to change.
    pub fn instance_mut(&mut self, r: Ref) -> Option<&mut Instance> {
        match self.cells.get_mut(r)? {
            Cell::Object(i) => Some(i),
            _ => None,
        }
    }
    /// Elements of a list or tuple.
    pub fn elements<'a>(&'a self, v: &'a Value) -> Option<&'a [Value]> {
        match v {
            Value::Tuple(_, items) => Some(items),
            Value::List(r) => match self.cells.get(*r)? {
                Cell::List(items) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }
    /// The stacked elements of a list that a loop made.
    pub fn stacked(&self, v: &Value) -> Option<V> {
        match v {
            Value::List(r) => match self.cells.get(*r)? {
                Cell::Stacked(Value::Stacked(v)) => Some(*v),
                _ => None,
            },
            _ => None,
        }
    }
    /// The elements of list `r`, to change.
    pub fn list_mut(&mut self, r: Ref) -> Option<&mut Vec<Value>> {
        match self.cells.get_mut(r)? {
            Cell::List(items) => Some(items),
            _ => None,
        }
    }
    /// The items of dictionary `r`.
    pub fn dict(&self, r: Ref) -> Option<&Vec<(Value, Value)>> {
        match self.cells.get(r)? {
            Cell::Dict(items) => Some(items),
            _ => None,
        }
    }
    /// The items of dictionary `r`, to change.
    pub fn dict_mut(&mut self, r: Ref) -> Option<&mut Vec<(Value, Value)>> {
        match self.cells.get_mut(r)? {
            Cell::Dict(items) => Some(items),
            _ => None,
        }
    }
    /// The position of `key` in dictionary `r`.
    pub fn find(&self, r: Ref, key: &Value) -> Option<usize> {
        self.dict(r)?.iter().position(|(k, _)| known_equal(self, k, key) == Some(true))
    }
    /// Walks what `v` holds, lists and tuples in it too; false when that nests deeper than [`MAX_NESTING`], has more than `left` elements,
    /// or leads to object `to`.
    pub fn walk(&self, v: &Value, to: Option<Ref>, left: &mut usize, depth: usize) -> bool {
        if *left == 0 || depth > MAX_NESTING {
            return false;
        }
        *left -= 1;
        match v {
            Value::Tuple(_, items) => items.iter().all(|v| self.walk(v, to, left, depth + 1)),
            Value::Maybe(_, inner) => self.walk(inner, to, left, depth + 1),
            Value::List(r) | Value::Dict(r) if Some(*r) == to => false,
            Value::List(r) | Value::Dict(r) => match self.cells.get(*r) {
                Some(Cell::List(items)) => items.iter().all(|v| self.walk(v, to, left, depth + 1)),
                Some(Cell::Dict(items)) => items.iter().all(|(_, v)| self.walk(v, to, left, depth + 1)),
                _ => true,
            },
            _ => true,
        }
    }
    /// Changes each value of the first `count` objects.
    pub fn map(&mut self, count: usize, f: &mut impl FnMut(&Value) -> Value) {
        for cell in self.cells.iter_mut().take(count) {
            match cell {
                Cell::List(items) => items.iter_mut().for_each(|v| *v = f(v)),
                Cell::Dict(items) => items.iter_mut().for_each(|(_, v)| *v = f(v)),
                Cell::Stacked(v) => *v = f(v),
                Cell::Object(i) => i.fields.iter_mut().for_each(|(_, v)| *v = f(v)),
            }
        }
    }
    /// Puts back the first objects as they were in `before`, keeping those made since.
    pub fn restore(&mut self, before: &Self) {
        for (cell, old) in self.cells.iter_mut().zip(&before.cells) {
            self.charged += old.size() / 8;
            cell.clone_from(old);
        }
    }
}
