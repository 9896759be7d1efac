//! Reads and verifies a flatbuffer by its description: every offset, length and width is checked before anything is read through it.
//!
//! The layout is that of `FlatBuffers`' own documentation ("internals"): a table starts with the signed distance back to its vtable, which holds
//! its own length, the table's length, and the position of each field; offsets to strings, vectors and tables are unsigned and point forward.
use super::table::{Field, Kind, Record, Scalar, Table, Union, Value};
use hoist_ir::diag::Diag;

/// Deepest nesting of tables; the schema's own is 8.
const MAX_DEPTH: usize = 24;
/// Bytes decoded for each byte of the file: files may share parts, but not multiply themselves.
const MAX_SHARING: usize = 4;
/// Bytes that any file may decode to.
const MIN_BUDGET: usize = 1 << 16;
/// Where the file identifier lies.
const IDENTIFIER: std::ops::Range<usize> = 4..8;

type R<T> = Result<T, Diag>;

fn bad(at: usize, what: impl std::fmt::Display) -> Diag {
    Diag::error("E0202", format!("the flatbuffer is malformed at byte {at}: {what}"))
        .hint("the file is damaged or was cut off; fetch or export it again")
}

/// Decodes the file whose root table is `root` and whose identifier is `identifier`.
///
/// # Errors
/// `E0202` for anything that does not lie where it must.
pub fn decode(bytes: &[u8], identifier: &[u8; 4], root: &'static Table) -> R<Record> {
    if bytes.get(IDENTIFIER) != Some(identifier) {
        let name = String::from_utf8_lossy(identifier).into_owned();
        return Err(bad(IDENTIFIER.start, format!("the identifier is not `{name}`")));
    }
    let budget = bytes.len().saturating_mul(MAX_SHARING).max(MIN_BUDGET);
    let mut d = Decoder { bytes, budget };
    let at = d.forward(0)?;
    d.table(at, root, 0)
}

struct Decoder<'a> {
    bytes: &'a [u8],
    budget: usize,
}

impl Decoder<'_> {
    fn spend(&mut self, at: usize, bytes: usize) -> R<()> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or_else(|| bad(at, "parts are shared so often that the content is many times the file"))?;
        Ok(())
    }
    fn array<const N: usize>(&self, at: usize) -> R<[u8; N]> {
        let end = at.checked_add(N);
        let found = end.and_then(|end| self.bytes.get(at..end)).and_then(|b| b.try_into().ok());
        found.ok_or_else(|| bad(at, "it points beyond the end of the file"))
    }
    fn u16(&self, at: usize) -> R<usize> {
        Ok(u16::from_le_bytes(self.array(at)?).into())
    }
    fn u32(&self, at: usize) -> R<usize> {
        Ok(u32::from_le_bytes(self.array(at)?) as usize)
    }
    /// Target of the offset at `at`.
    fn forward(&self, at: usize) -> R<usize> {
        let distance = self.u32(at)?;
        let target = at.checked_add(distance).filter(|t| distance > 0 && t % 4 == 0 && *t < self.bytes.len());
        target.ok_or_else(|| bad(at, format!("an offset of {distance} leads nowhere")))
    }
    fn table(&mut self, at: usize, table: &'static Table, depth: usize) -> R<Record> {
        if depth > MAX_DEPTH {
            return Err(bad(at, "tables are nested too deep"));
        }
        let back = i32::from_le_bytes(self.array(at)?);
        let vtable = (at as i64).checked_sub(back.into()).and_then(|v| usize::try_from(v).ok());
        let vtable = vtable.filter(|v| v % 2 == 0).ok_or_else(|| bad(at, "a table without a vtable"))?;
        let (own, size) = (self.u16(vtable)?, self.u16(vtable + 2)?);
        if own < 4
            || own % 2 != 0
            || size < 4
            || at + size > self.bytes.len()
            || vtable + own > self.bytes.len()
        {
            return Err(bad(vtable, format!("a vtable of {own} bytes for a table of {size}")));
        }
        self.spend(at, size + 16)?;
        let mut record = Record::new(table);
        for (slot, field) in table.fields.iter().enumerate() {
            let entry = 4 + 2 * slot;
            if entry + 2 > own {
                break;
            }
            let position = self.u16(vtable + entry)?;
            if position == 0 {
                continue;
            }
            if position + width(field.kind) > size {
                return Err(bad(
                    vtable + entry,
                    format!("`{}.{}` lies outside its table", table.name, field.name),
                ));
            }
            if let Some(value) = self.field(at + position, field, &record, slot, depth)? {
                record.set_slot(slot, value);
            }
        }
        Ok(record)
    }
    fn field(
        &mut self,
        at: usize,
        field: &Field,
        record: &Record,
        slot: usize,
        depth: usize,
    ) -> R<Option<Value>> {
        Ok(Some(match field.kind {
            Kind::Deprecated => return Ok(None),
            Kind::Number(s) => self.number(at, s)?,
            Kind::String => Value::String(self.string(self.forward(at)?)?),
            Kind::Vector(s) => self.vector(self.forward(at)?, s)?,
            Kind::Strings => {
                let starts = self.offsets(at)?;
                Value::Strings(starts.into_iter().map(|s| self.string(s)).collect::<R<_>>()?)
            }
            Kind::Table(t) => self.table(self.forward(at)?, t, depth + 1)?.into(),
            Kind::Tables(t) => {
                let starts = self.offsets(at)?;
                Value::Records(starts.into_iter().map(|s| self.table(s, t, depth + 1)).collect::<R<_>>()?)
            }
            Kind::Union(union) => return self.member(at, union, record, slot, depth),
        }))
    }
    /// The table that the field before says; absent where it says none, or one that this description does not know.
    fn member(
        &mut self,
        at: usize,
        union: &Union,
        record: &Record,
        slot: usize,
        depth: usize,
    ) -> R<Option<Value>> {
        let number = record.fields().iter().find(|f| f.0 + 1 == slot);
        let Some((_, Value::Int(n @ 1..))) = number else { return Ok(None) };
        let start = self.forward(at)?;
        match union.members.get(*n as usize - 1) {
            Some(t) => Ok(Some(self.table(start, t, depth + 1)?.into())),
            None => Ok(None),
        }
    }
    fn number(&self, at: usize, s: Scalar) -> R<Value> {
        if !at.is_multiple_of(s.size()) {
            return Err(bad(at, format!("a number of {} bytes is not aligned", s.size())));
        }
        Ok(match s {
            Scalar::F32 => Value::Float(f32::from_le_bytes(self.array(at)?).into()),
            Scalar::F64 => Value::Float(f64::from_le_bytes(self.array(at)?)),
            _ => Value::Int(self.int(at, s)?),
        })
    }
    fn int(&self, at: usize, s: Scalar) -> R<i64> {
        Ok(match s {
            Scalar::Bool | Scalar::U8 => u8::from_le_bytes(self.array(at)?).into(),
            Scalar::I8 => i8::from_le_bytes(self.array(at)?).into(),
            Scalar::I16 => i16::from_le_bytes(self.array(at)?).into(),
            Scalar::U16 => u16::from_le_bytes(self.array(at)?).into(),
            Scalar::I32 => i32::from_le_bytes(self.array(at)?).into(),
            Scalar::U32 => u32::from_le_bytes(self.array(at)?).into(),
            Scalar::I64 => i64::from_le_bytes(self.array(at)?),
            Scalar::U64 => i64::try_from(u64::from_le_bytes(self.array(at)?))
                .map_err(|_| bad(at, "a number of 2^63 or more"))?,
            Scalar::F32 | Scalar::F64 => {
                return Err(bad(at, "a floating-point number where an integer belongs"));
            }
        })
    }
    /// Length and first byte of the vector at `at`, whose elements take `size` bytes.
    fn extent(&self, at: usize, size: usize) -> R<(usize, usize)> {
        let (len, start) = (self.u32(at)?, at + 4);
        let end = len.checked_mul(size).and_then(|n| n.checked_add(start));
        if end.is_none_or(|end| end > self.bytes.len()) {
            return Err(bad(at, format!("{len} elements of {size} bytes go beyond the end of the file")));
        }
        if len > 0 && start % size != 0 {
            return Err(bad(at, format!("elements of {size} bytes are not aligned")));
        }
        Ok((len, start))
    }
    fn vector(&mut self, at: usize, s: Scalar) -> R<Value> {
        let (len, start) = self.extent(at, s.size())?;
        if s == Scalar::U8 {
            return Ok(Value::Span(start..start + len));
        }
        self.spend(at, len * s.size())?;
        let places = (0..len).map(|i| start + i * s.size());
        Ok(match s {
            Scalar::F32 => Value::Floats(
                places.map(|p| Ok(f32::from_le_bytes(self.array(p)?).into())).collect::<R<_>>()?,
            ),
            Scalar::F64 => {
                Value::Floats(places.map(|p| Ok(f64::from_le_bytes(self.array(p)?))).collect::<R<_>>()?)
            }
            _ => Value::Ints(places.map(|p| self.int(p, s)).collect::<R<_>>()?),
        })
    }
    /// Targets of the vector of offsets that the offset at `at` leads to.
    fn offsets(&mut self, at: usize) -> R<Vec<usize>> {
        let at = self.forward(at)?;
        let (len, start) = self.extent(at, 4)?;
        self.spend(at, len * 4)?;
        (0..len).map(|i| self.forward(start + 4 * i)).collect()
    }
    fn string(&mut self, at: usize) -> R<String> {
        let (len, start) = self.extent(at, 1)?;
        self.spend(at, len)?;
        if self.bytes.get(start + len) != Some(&0) {
            return Err(bad(at, "text without its end"));
        }
        Ok(String::from_utf8_lossy(&self.bytes[start..start + len]).into_owned())
    }
}

/// Bytes that a field takes inside its table.
fn width(kind: Kind) -> usize {
    match kind {
        Kind::Number(s) => s.size(),
        Kind::Deprecated => 0,
        _ => 4,
    }
}

/// Positions of the field `slot` inside the tables that field `list` of the root table lists. For a file that [`decode`] accepted; tables
/// without the field have none.
///
/// # Errors
/// As [`decode`].
pub fn places(bytes: &[u8], list: usize, slot: usize) -> R<Vec<Option<usize>>> {
    let mut d = Decoder { bytes, budget: bytes.len().max(MIN_BUDGET) };
    let place = |d: &Decoder<'_>, table: usize, slot: usize| -> R<Option<usize>> {
        let back = i32::from_le_bytes(d.array(table)?);
        let vtable = usize::try_from(table as i64 - i64::from(back)).map_err(|_| bad(table, "no vtable"))?;
        let position = if 4 + 2 * slot < d.u16(vtable)? { d.u16(vtable + 4 + 2 * slot)? } else { 0 };
        Ok((position > 0).then(|| table + position))
    };
    let root = d.forward(0)?;
    let Some(list) = place(&d, root, list)? else { return Ok(vec![]) };
    let tables = d.offsets(list)?;
    tables.into_iter().map(|t| place(&d, t, slot)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tflite::encode::encode;
    use crate::tflite::schema;

    fn sample() -> Record {
        let options = Record::new(&schema::CONV2D_OPTIONS).with("stride_w", 2).with("dilation_w_factor", 3);
        let operator = Record::new(&schema::OPERATOR)
            .with("inputs", vec![0, 1, -1])
            .with("builtin_options_type", 1)
            .with("builtin_options", options);
        let quant = Record::new(&schema::QUANTIZATION_PARAMETERS)
            .with("scale", vec![0.5, 0.25])
            .with("zero_point", vec![-3, 7]);
        let tensor = Record::new(&schema::TENSOR)
            .with("name", "x")
            .with("shape", vec![2, 3])
            .with("quantization", quant);
        let graph =
            Record::new(&schema::SUB_GRAPH).with("tensors", vec![tensor]).with("operators", vec![operator]);
        Record::new(&schema::MODEL)
            .with("version", 3)
            .with("subgraphs", vec![graph])
            .with("description", "a model")
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = encode(&sample(), "TFL3");
        let back = decode(&bytes, b"TFL3", &schema::MODEL).expect("well-formed");
        assert_eq!(back, sample());
        let options =
            back.records("subgraphs")[0].records("operators")[0].record("builtin_options").expect("there");
        assert_eq!(
            (options.int("stride_w"), options.int("stride_h"), options.int("dilation_h_factor")),
            (2, 0, 1)
        );
    }

    #[test]
    fn every_damaged_byte_is_refused_or_read_within_bounds() {
        let bytes = encode(&sample(), "TFL3");
        let mut refused = 0;
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                refused += usize::from(decode(&damaged, b"TFL3", &schema::MODEL).is_err());
            }
        }
        assert!(refused > bytes.len(), "{refused} of {} were refused", 5 * bytes.len());
        for len in 0..bytes.len() {
            // Cutting off the last bytes may leave only what nothing points to.
            assert!(
                decode(&bytes[..len], b"TFL3", &schema::MODEL).is_err() || len + 4 > bytes.len(),
                "{len}"
            );
        }
    }

    #[test]
    fn sharing_is_bounded() {
        let mut graphs = vec![Record::new(&schema::SUB_GRAPH); 4000];
        graphs[0].set("inputs", vec![7; 4000]);
        let mut bytes = encode(&Record::new(&schema::MODEL).with("subgraphs", graphs), "TFL3");
        decode(&bytes, b"TFL3", &schema::MODEL).expect("nothing is shared");
        let d = Decoder { bytes: &bytes, budget: usize::MAX };
        let root = d.forward(0).expect("well-formed");
        let vtable = root - i32::from_le_bytes(d.array(root).expect("there")) as usize;
        let slot = schema::MODEL.slot("subgraphs").expect("there");
        let list = d.forward(root + d.u16(vtable + 4 + 2 * slot).expect("there")).expect("well-formed");
        let first = d.forward(list + 4).expect("well-formed");
        for entry in (0..4000).map(|i| list + 4 + 4 * i) {
            bytes[entry..entry + 4].copy_from_slice(&((first - entry) as u32).to_le_bytes());
        }
        let error = decode(&bytes, b"TFL3", &schema::MODEL).expect_err("64 MB of inputs");
        assert!(error.message.contains("shared"), "{error:?}");
    }
}
