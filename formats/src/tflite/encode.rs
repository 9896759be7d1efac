//! Writes records as a flatbuffer.
use super::table::{Field, Kind, Record, Scalar, Value};
use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, VOffsetT, WIPOffset};

type Place = WIPOffset<UnionWIPOffset>;

/// The file whose root table is `root` and whose identifier is `identifier`.
pub fn encode(root: &Record, identifier: &str) -> Vec<u8> {
    let mut b = FlatBufferBuilder::new();
    let at = table(&mut b, root);
    b.finish(at, Some(identifier));
    b.finished_data().to_vec()
}

fn table(b: &mut FlatBufferBuilder<'_>, record: &Record) -> Place {
    // What a table points to is written before it.
    let parts: Vec<(usize, Option<Place>)> = record
        .fields()
        .iter()
        .map(|(slot, value)| (*slot, part(b, &record.table.fields[*slot], value)))
        .collect();
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

/// Writes what field `field` points to, when it points to something.
fn part(b: &mut FlatBufferBuilder<'_>, field: &Field, value: &Value) -> Option<Place> {
    let place = |n: flatbuffers::UOffsetT| Some(WIPOffset::new(n));
    match value {
        Value::String(s) => place(b.create_string(s).value()),
        Value::Strings(list) => {
            let all: Vec<_> = list.iter().map(|s| b.create_string(s)).collect();
            place(b.create_vector(&all).value())
        }
        Value::Bytes(bytes) => place(b.create_vector(bytes).value()),
        Value::Ints(list) => ints(b, field, list),
        Value::Floats(list) => {
            if let Kind::Vector(Scalar::F64) = field.kind {
                return place(b.create_vector(list).value());
            }
            let narrow: Vec<f32> = list.iter().map(|v| *v as f32).collect();
            place(b.create_vector(&narrow).value())
        }
        Value::Record(r) => Some(table(b, r)),
        Value::Records(list) => {
            let all: Vec<Place> = list.iter().map(|r| table(b, r)).collect();
            place(b.create_vector(&all).value())
        }
        Value::Int(_) | Value::Float(_) | Value::Span(_) => None,
    }
}

fn ints(b: &mut FlatBufferBuilder<'_>, field: &Field, list: &[i64]) -> Option<Place> {
    fn cast<T>(list: &[i64], f: impl Fn(i64) -> T) -> Vec<T> {
        list.iter().map(|v| f(*v)).collect()
    }
    let Kind::Vector(s) = field.kind else { return None };
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
