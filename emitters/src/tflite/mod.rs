//! IR to TFLite files. The tables are encoded in memory; constants are streamed behind them, so memory does not follow the model's size.
use buffers::Buffers;
use hoist_formats::tflite::bind::{activation, linear, quant};
use hoist_formats::tflite::decode::places;
use hoist_formats::tflite::dtype::to_code;
use hoist_formats::tflite::encode::encode;
use hoist_formats::tflite::lower::{Target, dimension, name_apart, program};
use hoist_formats::tflite::program::{Instr, Program, TensorDef};
use hoist_formats::tflite::schema::{self, Builtin};
use hoist_formats::tflite::table::{Record, Value};
use hoist_formats::tflite::versions;
use hoist_formats::tflite::{HYBRID, IDENTIFIER, QUICK};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::sync::Arc;

mod buffers;
pub mod edge_tpu;
mod reshaped_inputs;
mod variables;

#[cfg(test)]
use buffers::ALIGNMENT;

/// Version of the schema.
const VERSION: i64 = 3;
/// Offsets inside a flatbuffer are signed 32-bit numbers for some readers; constants beyond this lie behind it, by offset and size.
const MAX_FLATBUFFER: usize = (1 << 31) - (1 << 20);
/// Key of the one signature, as TensorFlow names it.
const SIGNATURE: &str = "serving_default";
/// Codes up to this one fit the field that old runtimes read.
const PLACEHOLDER: i64 = Builtin::PlaceholderForGreaterOpCodes as i64;

/// A model ready to be written.
pub struct Plan {
    head: Vec<u8>,
    buffers: Buffers,
}

/// Decides everything about the file.
///
/// # Errors
/// All operators that TFLite cannot express.
pub fn plan(model: &Model, target: &Target) -> Result<Plan, Diags> {
    plan_within(model, target, MAX_FLATBUFFER)
}

/// [`plan`] with constants behind the flatbuffer where it would take more than `max` bytes.
fn plan_within(model: &Model, target: &Target, max: usize) -> Result<Plan, Diags> {
    let main = lowered(model, target)?;
    let mut file = File::default();
    file.subgraph(&main).map_err(Diags::from)?;
    file.finish(model, &main, max)
}

/// The operators of the file.
fn lowered(model: &Model, target: &Target) -> Result<Program, Diags> {
    let mut main = program(&model.graph, target)?;
    variables::restore(model, &mut main)?;
    name_apart(&mut main);
    quant::prepare::prepare(&mut main);
    linear::fuse(&mut main);
    activation::fuse(&mut main);
    let said = |what: &str| model.opaque.iter().any(|(kind, _)| kind == what);
    quant::fuse::fuse(&mut main, said(QUICK));
    if said(HYBRID) {
        quant::fuse::hybrid(&mut main);
    }
    reshaped_inputs::copy(&mut main);
    main.compact();
    if main.name.is_empty() {
        "main".clone_into(&mut main.name);
    }
    Ok(main)
}

impl Plan {
    /// Writes the file.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        sink.write_all(&self.head)?;
        self.buffers.write(sink)
    }
}

/// The tables of a file while they grow.
#[derive(Default)]
struct File {
    subgraphs: Vec<Option<Record>>,
    codes: BTreeMap<(Builtin, String, u32), usize>,
    runtime: &'static str,
    buffers: Buffers,
}

impl File {
    /// Adds `p` and the subgraphs that it calls; returns its index.
    fn subgraph(&mut self, p: &Program) -> Result<usize, Diag> {
        let index = self.subgraphs.len();
        self.subgraphs.push(None);
        let mut names = HashSet::new();
        let reserved = p.inputs.iter().chain(&p.outputs).map(|(n, _)| n.clone()).collect::<HashSet<_>>();
        let owner: BTreeMap<u32, Arc<str>> =
            p.outputs.iter().chain(&p.inputs).map(|(n, t)| (t.0, n.clone())).collect();
        let mut tensors = vec![];
        for (i, def) in p.tensors.iter().enumerate() {
            let own = owner.get(&(i as u32)).cloned();
            let wanted =
                own.clone().or_else(|| def.name.clone().filter(|n| !n.is_empty() && !reserved.contains(n)));
            let name = unique(wanted.as_deref(), i, &mut names);
            tensors.push(self.tensor(def, &name)?);
        }
        let mut operators = vec![];
        for instr in &p.instrs {
            operators.push(self.operator(p, instr)?);
        }
        let places = |list: &[(Arc<str>, hoist_formats::tflite::program::T)]| {
            Value::Ints(list.iter().map(|(_, t)| i64::from(t.0)).collect())
        };
        let record = Record::new(&schema::SUB_GRAPH)
            .with("tensors", tensors)
            .with("inputs", places(&p.inputs))
            .with("outputs", places(&p.outputs))
            .with("operators", operators)
            .with("name", p.name.as_str());
        self.subgraphs[index] = Some(record);
        Ok(index)
    }
    fn tensor(&mut self, def: &TensorDef, name: &str) -> Result<Record, Diag> {
        let code = def.handle.or_else(|| to_code(def.ty.dtype));
        let code =
            code.ok_or_else(|| Diag::error("E0302", format!("TFLite has no element type {}", def.ty.dtype)))?;
        let mut record = Record::new(&schema::TENSOR).with("type", code).with("name", name);
        let buffer = match &def.data {
            Some(data) => self.buffers.add(data)?,
            None => 0,
        };
        record.set("buffer", buffer);
        if let Some(shape) = &def.ty.shape {
            let (sizes, signature): (Vec<i64>, Vec<i64>) = shape.iter().map(dimension).unzip();
            if signature.contains(&-1) {
                record.set("shape_signature", signature);
            }
            record.set("shape", sizes);
            record.set("has_rank", true);
        }
        if let Some(q) = &def.quant {
            let quant = Record::new(&schema::QUANTIZATION_PARAMETERS)
                .with("scale", q.scale.iter().map(|s| f64::from(*s)).collect::<Vec<_>>())
                .with("zero_point", q.zero_point.clone())
                .with("quantized_dimension", q.axis);
            record.set("quantization", quant);
        }
        if def.variable {
            record.set("is_variable", true);
        }
        Ok(record)
    }
    fn operator(&mut self, p: &Program, instr: &Instr) -> Result<Record, Diag> {
        let version = versions::version(p, instr);
        self.runtime = versions::later(self.runtime, versions::min_runtime(instr.builtin, version));
        let custom = instr.custom.as_ref().map_or(String::new(), |c| c.0.clone());
        let next = self.codes.len();
        let code = *self.codes.entry((instr.builtin, custom, version)).or_insert(next);
        let mut options = instr.options.clone();
        for (field, body) in &instr.bodies {
            let index = self.subgraph(body)?;
            if let Some(o) = &mut options {
                o.set(field, index);
            }
        }
        let places = |list: &mut dyn Iterator<Item = i64>| Value::Ints(list.collect());
        let mut record = Record::new(&schema::OPERATOR)
            .with("opcode_index", code)
            .with("inputs", places(&mut instr.inputs.iter().map(|t| t.map_or(-1, |t| i64::from(t.0)))))
            .with("outputs", places(&mut instr.outputs.iter().map(|t| i64::from(t.0))));
        if let Some(options) = options {
            set_options(&mut record, options);
        }
        if let Some((_, bytes)) = &instr.custom {
            record.set("custom_options", Value::Bytes(bytes.clone()));
        }
        Ok(record)
    }
    fn finish(mut self, model: &Model, main: &Program, max: usize) -> Result<Plan, Diags> {
        let mut codes: Vec<(usize, Record)> = self
            .codes
            .iter()
            .map(|((b, custom, version), i)| (*i, operator_code(*b, custom, *version)))
            .collect();
        codes.sort_by_key(|c| c.0);
        let runtime = self.buffers.add_bytes(padded(self.runtime));
        let metadata =
            Record::new(&schema::METADATA).with("name", "min_runtime_version").with("buffer", runtime);
        let mut root = Record::new(&schema::MODEL)
            .with("version", VERSION)
            .with("operator_codes", codes.into_iter().map(|c| c.1).collect::<Vec<_>>())
            .with("subgraphs", self.subgraphs.into_iter().flatten().collect::<Vec<_>>())
            .with("description", if model.doc.is_empty() { "written by Hoist" } else { model.doc.as_str() })
            .with("metadata", vec![metadata])
            .with("signature_defs", vec![signature(main)]);
        let mut encoded = |inside: bool| {
            root.set("buffers", self.buffers.records(inside));
            let mut head = encode(&root, IDENTIFIER);
            let (slot, list) =
                (schema::BUFFER.slot(if inside { "data" } else { "offset" }), schema::MODEL.slot("buffers"));
            let places = places(&head, list.unwrap_or(0), slot.unwrap_or(0))?;
            let end = self.buffers.lay_out(&mut head, &places, inside)?;
            Ok::<_, Diag>((head, end))
        };
        let (mut head, end) = encoded(true)?;
        if end > max {
            head = encoded(false)?.0;
        }
        Ok(Plan { head, buffers: self.buffers })
    }
}

/// Sets the options of an operator in the union that has their table.
fn set_options(operator: &mut Record, options: Record) {
    for (union, kind, field) in [
        (&schema::BUILTIN_OPTIONS, "builtin_options_type", "builtin_options"),
        (&schema::BUILTIN_OPTIONS2, "builtin_options2_type", "builtin_options2"),
    ] {
        if let Some(number) = union.number_of(options.table) {
            operator.set(kind, number);
            operator.set(field, options);
            return;
        }
    }
}

fn operator_code(builtin: Builtin, custom: &str, version: u32) -> Record {
    let code = builtin as i64;
    let mut record = Record::new(&schema::OPERATOR_CODE)
        .with("deprecated_builtin_code", code.min(PLACEHOLDER))
        .with("builtin_code", code)
        .with("version", i64::from(version));
    if builtin == Builtin::Custom {
        record.set("custom_code", custom);
    }
    record
}

/// Text of a version as the metadata holds it: 16 bytes, zeros at the end.
fn padded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn signature(main: &Program) -> Record {
    let map = |list: &[(Arc<str>, hoist_formats::tflite::program::T)]| -> Vec<Record> {
        list.iter()
            .map(|(name, t)| {
                Record::new(&schema::TENSOR_MAP).with("name", &**name).with("tensor_index", i64::from(t.0))
            })
            .collect()
    };
    Record::new(&schema::SIGNATURE_DEF)
        .with("inputs", map(&main.inputs))
        .with("outputs", map(&main.outputs))
        .with("signature_key", SIGNATURE)
        .with("subgraph_index", 0)
}

/// `wanted`, with a number where it is taken or missing.
fn unique(wanted: Option<&str>, index: usize, taken: &mut HashSet<String>) -> String {
    let base = wanted.map_or_else(|| format!("t{index}"), str::to_owned);
    let mut name = base.clone();
    let mut n = 1usize;
    while !taken.insert(name.clone()) {
        name = format!("{base}_{n}");
        n += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_formats::tflite::decode::decode;
    use hoist_ir::text::parse_model;

    /// A sum with a constant too large to be shared with others.
    const TEXT: &str = "graph(%x: f32[N, 400]) {\n%w = const f32[400] seeded(1)\n%y = add(%x, %w)\n%z = add(%y, %w)\nreturn z: %z\n}";

    fn written(max: usize) -> (Vec<u8>, Record) {
        let model = parse_model(TEXT).expect("valid text");
        let plan = plan_within(&model, &Target::default(), max).expect("legal");
        let mut bytes = vec![];
        plan.write(&mut bytes).expect("memory");
        let root = decode(&bytes, b"TFL3", &schema::MODEL).expect("well-formed");
        (bytes, root)
    }
    /// Where the elements of the constant lie.
    fn constant(root: &Record) -> std::ops::Range<usize> {
        let tensors = root.records("subgraphs")[0].records("tensors");
        let buffer = tensors.iter().map(|t| t.int("buffer")).find(|b| *b > 0).expect("a constant");
        let buffer = &root.records("buffers")[buffer as usize];
        let (at, size) = (buffer.int("offset") as usize, buffer.int("size") as usize);
        buffer.span("data").unwrap_or(at..at + size)
    }

    #[test]
    fn constants_are_aligned_and_the_same_inside_and_behind() {
        let (inside, root) = written(usize::MAX);
        let (behind, far) = written(0);
        let (a, b) = (constant(&root), constant(&far));
        assert_eq!((a.len(), a.start % ALIGNMENT, b.start % ALIGNMENT), (1600, 0, 0));
        assert_eq!(inside[a], behind[b.clone()]);
        assert!(far.records("buffers").iter().all(|r| r.span("data").is_none()), "nothing stays inside");
        assert_eq!(behind.len(), behind.len().max(b.end), "the file ends with its last constant");
    }

    #[test]
    fn open_sizes_are_in_the_signature_and_names_are_the_models() {
        let (_, root) = written(usize::MAX);
        let graph = &root.records("subgraphs")[0];
        let x = &graph.records("tensors")[graph.ints("inputs")[0] as usize];
        assert_eq!(
            (x.ints("shape"), x.ints("shape_signature"), x.text("name")),
            (&[1, 400][..], &[-1, 400][..], "x")
        );
        let signature = &root.records("signature_defs")[0];
        assert_eq!(signature.records("outputs")[0].text("name"), "z");
    }

    #[test]
    fn a_constant_is_stored_once() {
        let (bytes, root) = written(usize::MAX);
        assert!(bytes.len() < 2 * 1600 + 1000, "{} bytes", bytes.len());
        assert!(root.records("buffers").len() <= 3);
    }
}
