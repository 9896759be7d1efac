//! Attribute values: the one currency between op structs, the text form and file formats.
use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::types::Type;
use std::fmt;

/// Value of an attribute.
#[derive(Clone, PartialEq, Debug)]
pub enum Attr {
    /// Left out: the operator's own rule applies.
    None,
    /// Truth value.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Number.
    Float(f32),
    /// Text.
    Str(String),
    /// One of a closed list of words, such as a layout.
    Word(&'static str),
    /// Element type.
    DType(DType),
    /// Integers.
    Ints(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Texts.
    Strs(Vec<String>),
    /// Constant.
    Tensor(Tensor),
    /// Constants.
    Tensors(Vec<Tensor>),
    /// Type of a value.
    Type(Type),
    /// Types of values.
    Types(Vec<Type>),
    /// Body of the node with this position.
    Body(usize),
    /// Bodies of the node with these positions.
    Bodies(Vec<usize>),
    /// A value of a format that Hoist passes through as the bytes it was stored in: format's tag, bytes.
    Opaque(String, Vec<u8>),
}

/// Declared name and kind of an attribute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AttrSpec {
    /// Name in the text form; formats may rename it.
    pub name: &'static str,
    /// Kind, such as `int` or `ints`.
    pub kind: &'static str,
    /// One line for the generated page.
    pub doc: &'static str,
}

/// A Rust field type that can live in an op struct.
pub trait AttrType: Sized + Clone {
    /// Kind shown in messages and generated pages.
    const KIND: &'static str;
    /// The value as an attribute.
    fn to_attr(&self) -> Attr;
    /// The field from an attribute; `None` when the kind or the word is wrong.
    fn from_attr(attr: &Attr) -> Option<Self>;
}

impl AttrType for bool {
    const KIND: &'static str = "bool";
    fn to_attr(&self) -> Attr {
        Attr::Bool(*self)
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        match attr {
            Attr::Bool(v) => Some(*v),
            Attr::Int(v @ (0 | 1)) => Some(*v == 1),
            _ => None,
        }
    }
}
impl AttrType for i64 {
    const KIND: &'static str = "int";
    fn to_attr(&self) -> Attr {
        Attr::Int(*self)
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if let Attr::Int(v) = attr { Some(*v) } else { None }
    }
}
impl AttrType for f32 {
    const KIND: &'static str = "float";
    fn to_attr(&self) -> Attr {
        Attr::Float(*self)
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        match attr {
            Attr::Float(v) => Some(*v),
            Attr::Int(v) if (*v as f32) as i64 == *v => Some(*v as f32),
            _ => None,
        }
    }
}
impl AttrType for String {
    const KIND: &'static str = "string";
    fn to_attr(&self) -> Attr {
        Attr::Str(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if let Attr::Str(v) = attr { Some(v.clone()) } else { None }
    }
}
impl AttrType for DType {
    const KIND: &'static str = "dtype";
    fn to_attr(&self) -> Attr {
        Attr::DType(*self)
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if let Attr::DType(v) = attr { Some(*v) } else { None }
    }
}
impl AttrType for Tensor {
    const KIND: &'static str = "tensor";
    fn to_attr(&self) -> Attr {
        Attr::Tensor(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if let Attr::Tensor(v) = attr { Some(v.clone()) } else { None }
    }
}
impl AttrType for Type {
    const KIND: &'static str = "type";
    fn to_attr(&self) -> Attr {
        Attr::Type(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if let Attr::Type(v) = attr { Some(v.clone()) } else { None }
    }
}
impl AttrType for Vec<i64> {
    const KIND: &'static str = "ints";
    fn to_attr(&self) -> Attr {
        Attr::Ints(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if let Attr::Ints(v) = attr { Some(v.clone()) } else { None }
    }
}
impl AttrType for Vec<f32> {
    const KIND: &'static str = "floats";
    fn to_attr(&self) -> Attr {
        Attr::Floats(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        match attr {
            Attr::Floats(v) => Some(v.clone()),
            Attr::Ints(v) if v.is_empty() => Some(vec![]),
            _ => None,
        }
    }
}
impl AttrType for Vec<String> {
    const KIND: &'static str = "strings";
    fn to_attr(&self) -> Attr {
        Attr::Strs(self.clone())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        match attr {
            Attr::Strs(v) => Some(v.clone()),
            Attr::Ints(v) if v.is_empty() => Some(vec![]),
            _ => None,
        }
    }
}
impl<T: AttrType> AttrType for Option<T> {
    const KIND: &'static str = T::KIND;
    fn to_attr(&self) -> Attr {
        self.as_ref().map_or(Attr::None, T::to_attr)
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        if *attr == Attr::None { Some(None) } else { T::from_attr(attr).map(Some) }
    }
}

/// A closed list of words as an attribute: implement it and [`AttrType`] follows.
pub trait Word: Copy + 'static {
    /// Kind shown in messages.
    const KIND: &'static str;
    /// Every value with its word. Words are the ones ONNX uses where it has the attribute.
    const WORDS: &'static [(Self, &'static str)];
    /// The word of `self`.
    fn word(self) -> &'static str;
    /// The value of `word`.
    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, w)| *w == word).map(|(v, _)| *v)
    }
}
impl<W: Word> AttrType for W {
    const KIND: &'static str = W::KIND;
    fn to_attr(&self) -> Attr {
        Attr::Word(self.word())
    }
    fn from_attr(attr: &Attr) -> Option<Self> {
        match attr {
            Attr::Word(w) => W::from_word(w),
            Attr::Str(w) => W::from_word(w),
            _ => None,
        }
    }
}

impl Attr {
    /// Whether both print the same: like `==`, with NaN equal to itself.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Floats(a), Self::Floats(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
            }
            _ => self == other,
        }
    }
}

/// Shortest text that reads back as the same number: `1.0`, `1e-5`, `inf`, `nan`.
pub fn float_text(v: f32) -> String {
    if v.is_nan() {
        return "nan".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    format!("{v:?}")
}

fn list<T>(f: &mut fmt::Formatter<'_>, items: &[T], one: impl Fn(&T) -> String) -> fmt::Result {
    let all: Vec<String> = items.iter().map(one).collect();
    write!(f, "[{}]", all.join(", "))
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => f.write_str(&float_text(*v)),
            Self::Str(v) => write!(f, "{v:?}"),
            Self::Word(v) => f.write_str(v),
            Self::DType(v) => write!(f, "{v}"),
            Self::Ints(v) => list(f, v, ToString::to_string),
            Self::Floats(v) => list(f, v, |x| float_text(*x)),
            Self::Strs(v) => list(f, v, |x| format!("{x:?}")),
            Self::Tensor(t) => write!(f, "{}", crate::text::print::tensor_text(t)),
            Self::Tensors(v) => list(f, v, crate::text::print::tensor_text),
            Self::Type(t) => write!(f, "{t}"),
            Self::Types(v) => list(f, v, ToString::to_string),
            Self::Body(i) => write!(f, "body({i})"),
            Self::Bodies(v) => write!(f, "bodies{v:?}"),
            Self::Opaque(tag, bytes) => {
                write!(f, "opaque({tag:?}, \"")?;
                for b in bytes {
                    write!(f, "{b:02x}")?;
                }
                f.write_str("\")")
            }
        }
    }
}
