//! Writes records as a flatbuffer. Vectors of numbers and single tables that are equal, such as the zero points of weights and of biases, are written once.
use super::table::{Field, Kind, Record, Scalar, Value};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, VOffsetT, WIPOffset};
use std::collections::HashMap;

type Place = WIPOffset<UnionWIPOffset>;

/// What was written, so that it is found when the same is to be written again. Places stand for what they hold.
#[derive(PartialEq, Eq, Hash)]
enum Content {
    Ints(Scalar, Vec<i64>),
    Floats(bool, Vec<u64>),
    Table(&'static str, Vec<(usize, u64)>),
}

/// A file while it grows, from its end to its start.
struct Encoder<'a> {
    b: FlatBufferBuilder<'a>,
    written: HashMap<Content, Place>,
}

/// The file whose root table is `root` and whose identifier is `identifier`.
pub fn encode(root: &Record, identifier: &str) -> Vec<u8> {
    let mut e = Encoder { b: FlatBufferBuilder::new(), written: HashMap::new() };
    let at = e.table(root);
    e.b.finish(at, Some(identifier));
    e.b.finished_data().to_vec()
}

impl Encoder<'_> {
    fn table(&mut self, record: &Record) -> Place {
        let parts = self.parts(record);
        self.table_of(record, &parts)
    }
    /// A table that one field alone points to.
    fn single(&mut self, record: &Record) -> Place {
        let parts = self.parts(record);
        let content =
            |((slot, place), (_, value)): (&(usize, Option<Place>), &(usize, Value))| match (place, value) {
                (Some(p), _) => (*slot, u64::from(p.value())),
                (None, Value::Int(v)) => (*slot, v.cast_unsigned()),
                (None, Value::Float(v)) => (*slot, v.to_bits()),
                _ => (*slot, 0),
            };
        let key = Content::Table(record.table.name, parts.iter().zip(record.fields()).map(content).collect());
        if let Some(place) = self.written.get(&key) {
            return *place;
        }
        let place = self.table_of(record, &parts);
        self.written.insert(key, place);
        place
    }
    /// What a table points to is written before it.
    fn parts(&mut self, record: &Record) -> Vec<(usize, Option<Place>)> {
        let fields = record.fields().iter();
        fields.map(|(slot, value)| (*slot, self.part(&record.table.fields[*slot], value))).collect()
    }
    fn table_of(&mut self, record: &Record, parts: &[(usize, Option<Place>)]) -> Place {
        let b = &mut self.b;
        let start = b.start_table();
        for ((slot, place), (_, value)) in parts.iter().zip(record.fields()) {
            let (at, field) = (4 + 2 * *slot as VOffsetT, &record.table.fields[*slot]);
            match (place, field.kind, value) {
                (Some(p), _, _) => b.push_slot_always(at, *p),
                (None, Kind::Number(s), Value::Int(v)) => number(b, at, s, *v as f64, *v, field.default),
                (None, Kind::Number(s), Value::Float(v)) => number(b, at, s, *v, *v as i64, field.default),
                // A place that is filled in later.
                (None, Kind::Vector(_), Value::Int(v)) => b.push_slot_always(at, *v as u32),
                _ => {}
            }
        }
        let end = b.end_table(start);
        WIPOffset::new(end.value())
    }
    /// Writes what field `field` points to, when it points to something.
    fn part(&mut self, field: &Field, value: &Value) -> Option<Place> {
        let b = &mut self.b;
        let place = |n: flatbuffers::UOffsetT| Some(WIPOffset::new(n));
        match value {
            Value::String(s) => place(b.create_string(s).value()),
            Value::Strings(list) => {
                let all: Vec<_> = list.iter().map(|s| b.create_string(s)).collect();
                place(b.create_vector(&all).value())
            }
            Value::Bytes(bytes) => place(b.create_vector(bytes).value()),
            Value::Ints(list) => {
                let Kind::Vector(s) = field.kind else { return None };
                self.once(Content::Ints(s, list.clone()), |b| ints(b, s, list))
            }
            Value::Floats(list) => {
                let wide = matches!(field.kind, Kind::Vector(Scalar::F64));
                let bits = list.iter().map(|v| v.to_bits()).collect();
                self.once(Content::Floats(wide, bits), |b| Some(floats(b, wide, list)))
            }
            Value::Record(r) => Some(self.single(r)),
            Value::Records(list) => {
                let all: Vec<Place> = list.iter().map(|r| self.table(r)).collect();
                place(self.b.create_vector(&all).value())
            }
            Value::Int(_) | Value::Float(_) | Value::Span(_) => None,
        }
    }
    /// Where `content` is, which `write` writes the first time.
    fn once(
        &mut self,
        content: Content,
        write: impl FnOnce(&mut FlatBufferBuilder<'_>) -> Option<Place>,
    ) -> Option<Place> {
        if let Some(place) = self.written.get(&content) {
            return Some(*place);
        }
        let place = write(&mut self.b)?;
        self.written.insert(content, place);
        Some(place)
    }
}

fn number(b: &mut FlatBufferBuilder<'_>, at: VOffsetT, s: Scalar, float: f64, int: i64, default: f64) {
    match s {
        Scalar::Bool => b.push_slot(at, int != 0, default != 0.0),
        Scalar::I8 => b.push_slot(at, int as i8, default as i8),
        Scalar::U8 => b.push_slot(at, int as u8, default as u8),
        Scalar::I16 => b.push_slot(at, int as i16, default as i16),
        Scalar::U16 => b.push_slot(at, int as u16, default as u16),
        Scalar::I32 => b.push_slot(at, int as i32, default as i32),
        Scalar::U32 => b.push_slot(at, int as u32, default as u32),
        Scalar::I64 => b.push_slot(at, int, default as i64),
        Scalar::U64 => b.push_slot(at, int as u64, default as u64),
        Scalar::F32 => b.push_slot(at, float as f32, default as f32),
        Scalar::F64 => b.push_slot(at, float, default),
    }
}

fn floats(b: &mut FlatBufferBuilder<'_>, wide: bool, list: &[f64]) -> Place {
    if wide {
        return WIPOffset::new(b.create_vector(list).value());
    }
    let narrow: Vec<f32> = list.iter().map(|v| *v as f32).collect();
    WIPOffset::new(b.create_vector(&narrow).value())
}

fn ints(b: &mut FlatBufferBuilder<'_>, s: Scalar, list: &[i64]) -> Option<Place> {
    fn cast<T>(list: &[i64], f: impl Fn(i64) -> T) -> Vec<T> {
        list.iter().map(|v| f(*v)).collect()
    }
    let place = match s {
        Scalar::Bool => b.create_vector(&cast(list, |v| v != 0)).value(),
        Scalar::I8 => b.create_vector(&cast(list, |v| v as i8)).value(),
        Scalar::U8 => b.create_vector(&cast(list, |v| v as u8)).value(),
        Scalar::I16 => b.create_vector(&cast(list, |v| v as i16)).value(),
        Scalar::U16 => b.create_vector(&cast(list, |v| v as u16)).value(),
        Scalar::I32 => b.create_vector(&cast(list, |v| v as i32)).value(),
        Scalar::U32 => b.create_vector(&cast(list, |v| v as u32)).value(),
        Scalar::I64 => b.create_vector(list).value(),
        Scalar::U64 => b.create_vector(&cast(list, |v| v as u64)).value(),
        Scalar::F32 | Scalar::F64 => return None,
    };
    Some(WIPOffset::new(place))
}
