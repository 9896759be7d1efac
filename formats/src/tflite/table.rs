//! Tables of a flatbuffer as data: what fields a table has, and records of their values.
//!
//! One description serves the verifier, the reader and the writer, so that they cannot disagree.
use std::ops::Range;

/// A number of fixed width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Scalar {
    Bool,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Scalar {
    /// Whether a number of this kind can be `n`.
    pub fn holds(self, n: i64) -> bool {
        let (low, high) = match self {
            Self::Bool => (0, 1),
            Self::I8 => (i8::MIN.into(), i8::MAX.into()),
            Self::U8 => (0, u8::MAX.into()),
            Self::I16 => (i16::MIN.into(), i16::MAX.into()),
            Self::U16 => (0, u16::MAX.into()),
            Self::I32 => (i32::MIN.into(), i32::MAX.into()),
            Self::U32 => (0, u32::MAX.into()),
            Self::U64 => (0, i64::MAX),
            Self::I64 | Self::F32 | Self::F64 => (i64::MIN, i64::MAX),
        };
        (low..=high).contains(&n)
    }
    /// Width in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }
    /// Whether values are floating-point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One number.
    Number(Scalar),
    /// Text.
    String,
    /// Numbers.
    Vector(Scalar),
    /// Texts.
    Strings,
    /// A table.
    Table(&'static Table),
    /// Tables.
    Tables(&'static Table),
    /// One of several tables; the field before it says which.
    Union(&'static Union),
    /// A slot that is no longer used.
    Deprecated,
}

#[expect(non_upper_case_globals, reason = "short forms of the numbers, named as their types")]
impl Kind {
    /// One of [`Scalar::Bool`].
    pub const Bool: Self = Self::Number(Scalar::Bool);
    /// One of [`Scalar::I8`].
    pub const I8: Self = Self::Number(Scalar::I8);
    /// One of [`Scalar::U8`].
    pub const U8: Self = Self::Number(Scalar::U8);
    /// One of [`Scalar::I16`].
    pub const I16: Self = Self::Number(Scalar::I16);
    /// One of [`Scalar::I32`].
    pub const I32: Self = Self::Number(Scalar::I32);
    /// One of [`Scalar::U32`].
    pub const U32: Self = Self::Number(Scalar::U32);
    /// One of [`Scalar::I64`].
    pub const I64: Self = Self::Number(Scalar::I64);
    /// One of [`Scalar::U64`].
    pub const U64: Self = Self::Number(Scalar::U64);
    /// One of [`Scalar::F32`].
    pub const F32: Self = Self::Number(Scalar::F32);
}

/// A field of a table; its slot is its position.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name; empty for slots that are no longer used.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Number that an absent field stands for.
    pub default: f64,
}

impl Field {
    /// A field whose number is zero when absent.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: 0.0 }
    }
    /// The same with another number when absent.
    #[must_use]
    pub const fn or(mut self, default: f64) -> Self {
        self.default = default;
        self
    }
}

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Name in the schema.
    pub name: &'static str,
    /// Its fields by slot.
    pub fields: &'static [Field],
}

impl Table {
    /// Slot of field `name`.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }
}

/// A union: one of several tables, numbered from 1.
#[derive(Debug)]
pub struct Union {
    /// The tables.
    pub members: &'static [&'static Table],
}

impl Union {
    /// Number of `table` among the members.
    pub fn number_of(&self, table: &Table) -> Option<usize> {
        self.members.iter().position(|m| m.name == table.name).map(|i| i + 1)
    }
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer or truth value. Values of `u64` beyond `i64` are refused by the reader.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    String(String),
    /// Integers or truth values.
    Ints(Vec<i64>),
    /// Floating-point numbers.
    Floats(Vec<f64>),
    /// Bytes of the file.
    Span(Range<usize>),
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// Texts.
    Strings(Vec<String>),
    /// A table, by value or as the member of a union.
    Record(Box<Record>),
    /// Tables.
    Records(Vec<Record>),
}

/// The values of a table's fields.
#[derive(Clone, Debug)]
pub struct Record {
    /// The table.
    pub table: &'static Table,
    fields: Vec<(usize, Value)>,
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.table.name == other.table.name && self.fields == other.fields
    }
}

impl Record {
    /// A record without any field.
    pub fn new(table: &'static Table) -> Self {
        Self { table, fields: vec![] }
    }
    /// The same with a field set. A name that the table does not have is a defect of the caller and changes nothing.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }
    /// Sets a field. A name that the table does not have is a defect of the caller and changes nothing.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let slot = self.table.slot(name);
        debug_assert!(slot.is_some(), "`{}` has no field `{name}`", self.table.name);
        if let Some(slot) = slot {
            self.set_slot(slot, value.into());
        }
    }
    /// Sets the field of `slot`.
    pub fn set_slot(&mut self, slot: usize, value: Value) {
        match self.fields.binary_search_by_key(&slot, |f| f.0) {
            Ok(i) => self.fields[i].1 = value,
            Err(i) => self.fields.insert(i, (slot, value)),
        }
    }
    /// An integer that is more than its field holds.
    pub fn beyond(&self) -> Option<i64> {
        let value = |(slot, value): &(usize, Value)| match (self.table.fields.get(*slot)?.kind, value) {
            (Kind::Number(s), Value::Int(n)) => Some(*n).filter(|n| !s.holds(*n)),
            (Kind::Vector(s), Value::Ints(all)) => all.iter().copied().find(|n| !s.holds(*n)),
            _ => None,
        };
        self.fields.iter().find_map(value)
    }
    /// Values by slot, those that are there.
    pub fn fields(&self) -> &[(usize, Value)] {
        &self.fields
    }
    /// The value of field `name`, when it is there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let slot = self.table.slot(name);
        debug_assert!(slot.is_some(), "`{}` has no field `{name}`", self.table.name);
        let slot = slot?;
        self.fields.iter().find(|f| f.0 == slot).map(|f| &f.1)
    }
    /// Integer or truth value of a field; its default when absent.
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Value::Int(v)) => *v,
            _ => self.default(name) as i64,
        }
    }
    /// Truth value of a field.
    pub fn bool(&self, name: &str) -> bool {
        self.int(name) != 0
    }
    /// Floating-point number of a field; its default when absent.
    pub fn float(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Float(v)) => *v,
            _ => self.default(name),
        }
    }
    /// Integers of a field; empty when absent.
    pub fn ints(&self, name: &str) -> &[i64] {
        if let Some(Value::Ints(v)) = self.get(name) { v } else { &[] }
    }
    /// Floating-point numbers of a field; empty when absent.
    pub fn floats(&self, name: &str) -> &[f64] {
        if let Some(Value::Floats(v)) = self.get(name) { v } else { &[] }
    }
    /// Text of a field; empty when absent.
    pub fn text(&self, name: &str) -> &str {
        if let Some(Value::String(v)) = self.get(name) { v } else { "" }
    }
    /// Where the bytes of a field lie in the file.
    pub fn span(&self, name: &str) -> Option<Range<usize>> {
        if let Some(Value::Span(r)) = self.get(name) { Some(r.clone()) } else { None }
    }
    /// The table of a field.
    pub fn record(&self, name: &str) -> Option<&Self> {
        if let Some(Value::Record(r)) = self.get(name) { Some(r) } else { None }
    }
    /// The tables of a field; empty when absent.
    pub fn records(&self, name: &str) -> &[Self] {
        if let Some(Value::Records(r)) = self.get(name) { r } else { &[] }
    }
    fn default(&self, name: &str) -> f64 {
        self.table.slot(name).map_or(0.0, |s| self.table.fields[s].default)
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Self::Int(v as i64)
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Int(v.into())
    }
}
impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}
impl From<f32> for Value {
    fn from(v: f32) -> Self {
        Self::Float(v.into())
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::String(v.to_owned())
    }
}
impl From<Vec<i64>> for Value {
    fn from(v: Vec<i64>) -> Self {
        Self::Ints(v)
    }
}
impl From<Vec<f64>> for Value {
    fn from(v: Vec<f64>) -> Self {
        Self::Floats(v)
    }
}
impl From<Vec<Record>> for Value {
    fn from(v: Vec<Record>) -> Self {
        Self::Records(v)
    }
}
impl From<Record> for Value {
    fn from(v: Record) -> Self {
        Self::Record(Box::new(v))
    }
}

#[cfg(test)]
mod tests {
    use crate::tflite::schema::Builtin;

    #[test]
    fn numbers_that_a_field_does_not_hold_are_found() {
        let of = |n: i64| Builtin::Conv2d.options().expect("a table").with("stride_w", n).beyond();
        assert_eq!((of(2), of(i64::from(i32::MAX)), of(1 << 32)), (None, None, Some(1 << 32)));
        let squeeze = Builtin::Squeeze.options().expect("a table");
        assert_eq!(squeeze.with("squeeze_dims", vec![0, i64::MIN]).beyond(), Some(i64::MIN));
    }
}
