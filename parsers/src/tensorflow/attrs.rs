//! Attributes of nodes.
use super::tensor::{bad, shape, tensor};
use hoist_formats::tensorflow::dtype::of_code;
use hoist_formats::tensorflow::generated::attr_value::{ListValue, Value};
use hoist_formats::tensorflow::generated::{AttrValue, NameAttrList};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;
use std::collections::BTreeMap;

/// Attributes by name.
#[derive(Clone, Debug, Default)]
pub struct Attrs(BTreeMap<String, AttrValue>);

/// What a function's node leaves to its call.
const OPEN: &str = "attribute that the caller of a function gives";

impl Attrs {
    /// The attributes of a node.
    pub fn new(map: BTreeMap<String, AttrValue>) -> Self {
        Self(map)
    }
    /// Attributes that name functions.
    pub fn calling(functions: &[(&str, &str)]) -> Self {
        let call = |(key, name): &(&str, &str)| {
            let f = NameAttrList { name: (*name).into(), ..NameAttrList::default() };
            ((*key).to_owned(), AttrValue { value: Some(Value::Func(Box::new(f))) })
        };
        Self(functions.iter().map(call).collect())
    }
    /// One attribute that lists functions.
    pub fn choosing<'a>(key: &str, functions: impl Iterator<Item = &'a str>) -> Self {
        let call = |name: &str| NameAttrList { name: name.into(), ..NameAttrList::default() };
        let list = ListValue { func: functions.map(call).collect(), ..ListValue::default() };
        Self([(key.to_owned(), AttrValue { value: Some(Value::List(Box::new(list))) })].into())
    }
    /// One attribute: the number of an element type.
    pub fn of_type(key: &str, code: i32) -> Self {
        Self([(key.to_owned(), AttrValue { value: Some(Value::Type(code)) })].into())
    }
    /// These, with what is left to the call taken from `call`.
    pub fn filled(&self, call: &Self) -> Self {
        let fill = |(name, value): (&String, &AttrValue)| {
            let given = match &value.value {
                Some(Value::Placeholder(p)) => call.0.get(p),
                _ => None,
            };
            (name.clone(), given.unwrap_or(value).clone())
        };
        Self(self.0.iter().map(fill).collect())
    }
    /// Whether some attribute is left to the call.
    pub fn is_open(&self) -> bool {
        self.0.values().any(|v| matches!(v.value, Some(Value::Placeholder(_))))
    }
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)?.value.as_ref()
    }
    /// Names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
    /// Whether there is an attribute `name`.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
    /// An integer.
    pub fn int(&self, name: &str) -> Option<i64> {
        if let Some(Value::I(i)) = self.get(name) { Some(*i) } else { None }
    }
    /// A number.
    pub fn float(&self, name: &str) -> Option<f32> {
        if let Some(Value::F(f)) = self.get(name) { Some(*f) } else { None }
    }
    /// A truth value; false when there is none.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::B(true)))
    }
    /// A truth value.
    pub fn bool(&self, name: &str) -> Option<bool> {
        if let Some(Value::B(b)) = self.get(name) { Some(*b) } else { None }
    }
    /// A text; empty when there is none.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self, name: &str) -> Result<&str, Diag> {
        let Some(Value::S(s)) = self.get(name) else { return Ok("") };
        std::str::from_utf8(s).map_err(|_| bad(format!("attribute `{name}` is not UTF-8")))
    }
    fn list(&self, name: &str) -> Option<&ListValue> {
        if let Some(Value::List(l)) = self.get(name) { Some(l) } else { None }
    }
    /// Integers; none when there is no list.
    pub fn ints(&self, name: &str) -> &[i64] {
        self.list(name).map_or(&[], |l| &l.i)
    }
    /// Numbers; none when there is no list.
    pub fn floats(&self, name: &str) -> &[f32] {
        self.list(name).map_or(&[], |l| &l.f)
    }
    /// Texts; none when there is no list.
    ///
    /// # Errors
    /// When one is not UTF-8.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, Diag> {
        let all = self.list(name).map_or(&[][..], |l| &l.s);
        let text = |s| std::str::from_utf8(s).map_err(|_| bad(format!("attribute `{name}` is not UTF-8")));
        all.iter().map(|s| text(s)).collect()
    }
    /// The number of an element type in TensorFlow's `DataType`.
    pub fn code(&self, name: &str) -> Option<i32> {
        if let Some(Value::Type(t)) = self.get(name) { Some(*t) } else { None }
    }
    /// Numbers of element types.
    pub fn codes(&self, name: &str) -> &[i32] {
        self.list(name).map_or(&[], |l| &l.r#type)
    }
    /// Name of an attribute that says an element type everywhere, and here something else.
    pub fn misused(&self) -> Option<&'static str> {
        let kind = |name: &str| match self.get(name) {
            None | Some(Value::Type(_) | Value::List(_) | Value::Placeholder(_)) => false,
            Some(_) => true,
        };
        ["T", "dtype"].into_iter().find(|name| kind(name))
    }
    /// An element type.
    ///
    /// # Errors
    /// When there is none, or it is none of tensors of numbers and texts.
    pub fn dtype(&self, name: &str) -> Result<DType, Diag> {
        let code = match self.get(name) {
            Some(Value::Type(t)) => *t,
            Some(Value::Placeholder(_)) => return Err(bad(format!("`{name}` is an {OPEN}"))),
            _ => return Err(bad(format!("there is no element type `{name}`"))),
        };
        of_code(code).ok_or_else(|| bad(format!("element type {code} of `{name}` is not known")))
    }
    /// Sizes: `None` outside when there is no such attribute, inside when the rank is not known.
    ///
    /// # Errors
    /// When they are malformed.
    pub fn shape(&self, name: &str) -> Result<Option<Option<Shape>>, Diag> {
        let Some(Value::Shape(s)) = self.get(name) else { return Ok(None) };
        shape(s).map(Some)
    }
    /// Lists of sizes, as [`shape`](Self::shape).
    ///
    /// # Errors
    /// When one is malformed.
    pub fn shapes(&self, name: &str) -> Result<Vec<Option<Shape>>, Diag> {
        self.list(name).map_or(&[][..], |l| &l.shape).iter().map(shape).collect()
    }
    /// A constant.
    ///
    /// # Errors
    /// When there is none, or it is malformed.
    pub fn tensor(&self, name: &str) -> Result<Tensor, Diag> {
        let Some(Value::Tensor(t)) = self.get(name) else {
            return Err(bad(format!("there is no tensor `{name}`")));
        };
        tensor(t)
    }
    /// A function, with the attributes that it is called with.
    ///
    /// # Errors
    /// When there is none.
    pub fn function(&self, name: &str) -> Result<(&str, Attrs), Diag> {
        let Some(Value::Func(f)) = self.get(name) else {
            return Err(bad(format!("there is no function `{name}`")));
        };
        Ok((&f.name, Attrs(f.attr.clone())))
    }
    /// Names of all functions that some attribute holds.
    pub fn called(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|v| {
            let (one, list) = match &v.value {
                Some(Value::Func(f)) => (Some(&**f), &[][..]),
                Some(Value::List(l)) => (None, l.func.as_slice()),
                _ => (None, &[][..]),
            };
            one.into_iter().chain(list).map(|f| f.name.as_str())
        })
    }
    /// Functions.
    pub fn functions(&self, name: &str) -> &[NameAttrList] {
        self.list(name).map_or(&[], |l| &l.func)
    }
    /// Length of the list `name`, or the integer `name` where that is none.
    pub fn count(&self, name: &str) -> Option<usize> {
        match self.get(name)? {
            Value::I(n) => usize::try_from(*n).ok(),
            Value::List(l) => {
                let lengths = [l.i.len(), l.f.len(), l.s.len(), l.b.len(), l.r#type.len(), l.shape.len()];
                lengths.into_iter().max()
            }
            _ => None,
        }
    }
}
