//! Lookup tables: their content is known while reading, from the operators that fill them.
use super::cx::{Cx, R, V};
use super::val::Val;
use super::{Lifter, Row};
use crate::tensorflow::program::{Body, Node, Program, Ref};
use crate::tensorflow::restore::{called, identity, read_place, resource, source};
use crate::tensorflow::tensor::bad;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::ml::label_encoder::LabelEncoder;
use hoist_ir::tensor::Tensor;
use lines::{File, Side};
use std::collections::BTreeMap;

mod lines;

pub(super) const TABLE: &[Row] = &[
    ("HashTable", "", handle),
    ("HashTableV2", "", handle),
    ("MutableHashTable", "", handle),
    ("MutableHashTableV2", "", handle),
    ("MutableHashTableOfTensors", "", handle),
    ("MutableHashTableOfTensorsV2", "", handle),
    ("LookupTableFind", "", find),
    ("LookupTableFindV2", "", find),
    ("LookupTableSize", "", size),
    ("LookupTableSizeV2", "", size),
];

/// Operators that fill a table with keys and values.
const FILLERS: &[&str] =
    &["InitializeTable", "InitializeTableV2", "LookupTableImport", "LookupTableImportV2"];
/// Operators that fill a table from a file.
const FILE_FILLERS: &[&str] = &["InitializeTableFromTextFile", "InitializeTableFromTextFileV2"];
/// Most keys of a table.
const MOST_KEYS: usize = 1 << 24;

/// What a table holds.
#[derive(Clone, Debug)]
struct Content {
    /// `[n]`, all different.
    keys: Tensor,
    /// `[n]` and the shape of a value.
    values: Tensor,
}

#[derive(Debug)]
struct Held {
    name: String,
    /// Whether keys may be filled in again.
    mutable: bool,
    content: Option<Content>,
}

/// The tables that lifting has come across.
#[derive(Debug, Default)]
pub struct Tables {
    list: Vec<Held>,
    by_name: BTreeMap<String, usize>,
}

/// An operator that fills a table: in the graph, or in the function that a node of the graph calls.
#[derive(Clone, Copy)]
struct Filler<'p> {
    call: Option<&'p Node>,
    node: &'p Node,
}

fn handle(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let name = identity(cx.node).to_owned();
    let tables = &mut cx.l.tables;
    let next = tables.list.len();
    let n = *tables.by_name.entry(name.clone()).or_insert(next);
    if n == next {
        tables.list.push(Held { name, mutable: cx.node.op.starts_with("Mutable"), content: None });
    }
    Ok(vec![Val::Table(n)])
}

fn table(cx: &mut Cx<'_, '_, '_>) -> R<Content> {
    let Val::Table(n) = *cx.val(0)? else {
        return Err(cx.bad(format!("operand 0 is {}, not a table", cx.val(0)?.what())));
    };
    if let Some(content) = &cx.l.tables.list[n].content {
        return Ok(content.clone());
    }
    let (name, mutable) = (cx.l.tables.list[n].name.clone(), cx.l.tables.list[n].mutable);
    let content = filled(cx.l, &name, mutable)?;
    cx.l.tables.list[n].content = Some(content.clone());
    Ok(content)
}

fn size(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let count = table(cx)?.keys.len() as i64;
    Ok(vec![cx.konst(Tensor::scalar(count)).into()])
}

fn find(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let content = table(cx)?;
    let (mut x, default) = (cx.arg(1)?, cx.arg(2)?);
    let dtype = content.values.dtype();
    if content.keys.dtype() != cx.dtype(x)? || dtype != cx.dtype(default)? {
        return Err(cx.bad("keys or the default value are of another type than those of the table"));
    }
    let keys = match content.keys.dtype() {
        DType::String | DType::I64 | DType::F32 => content.keys.clone(),
        DType::I32 => {
            x = cx.cast(x, DType::I64)?;
            content.keys.cast(DType::I64, false).map_err(|e| cx.bad(e))?
        }
        other => return Err(cx.unsupported(format!("keys of type {other}"))),
    };
    let fixed = cx.constant(default).filter(|t| t.len() == 1).cloned();
    let direct = content.values.rank() == 1 && !keys.is_empty();
    if let (Some(fixed), true) = (fixed, direct)
        && let Some(y) = encoded(cx, x, &keys, (&content.values, &fixed))?
    {
        return Ok(vec![y.into()]);
    }
    // The default value lies behind the others.
    let count = keys.len() as i64;
    let at = if keys.is_empty() {
        let (zero, shape) = (cx.konst(Tensor::scalar(0i64)), cx.shape_of(x)?);
        cx.expand(zero, shape)?
    } else {
        let op = with_keys(
            &keys,
            LabelEncoder {
                values_int64s: (0..count).collect(),
                default_int64: count,
                ..LabelEncoder::default()
            },
        )?;
        cx.op(op, &[x])?
    };
    let mut row: Vec<i64> = content.values.shape().iter().map(|n| *n as i64).collect();
    row[0] = 1;
    let (values, default) = (cx.konst(content.values), cx.reshape(default, &row)?);
    let all = cx.concat(&[values, default], 0)?;
    Ok(vec![cx.op(Gather { axis: 0 }, &[all, at])?.into()])
}

/// The values and the default as labels, where these have the type.
fn encoded(
    cx: &mut Cx<'_, '_, '_>,
    x: V,
    keys: &Tensor,
    (values, default): (&Tensor, &Tensor),
) -> R<Option<V>> {
    let plain = LabelEncoder::default();
    let wrong = |e: hoist_ir::tensor::TensorError| bad(e.to_string());
    let op = match values.dtype() {
        DType::String => LabelEncoder {
            values_strings: values.strings().map_err(wrong)?.to_vec(),
            default_string: default.strings().map_err(wrong)?.first().cloned().unwrap_or_default(),
            ..plain
        },
        DType::F32 => LabelEncoder {
            values_floats: values.to_f32s().map_err(wrong)?.into_owned(),
            default_float: default.to_f32s().map_err(wrong)?.first().copied().unwrap_or_default(),
            ..plain
        },
        DType::I64 | DType::I32 => LabelEncoder {
            values_int64s: values.to_i64s().map_err(wrong)?,
            default_int64: default.as_int().unwrap_or_default(),
            ..plain
        },
        _ => return Ok(None),
    };
    let y = cx.op(with_keys(keys, op)?, &[x])?;
    cx.cast(y, values.dtype()).map(Some)
}

fn with_keys(keys: &Tensor, op: LabelEncoder) -> R<LabelEncoder> {
    let wrong = |e: hoist_ir::tensor::TensorError| bad(e.to_string());
    Ok(match keys.dtype() {
        DType::String => LabelEncoder { keys_strings: keys.strings().map_err(wrong)?.to_vec(), ..op },
        DType::F32 => LabelEncoder { keys_floats: keys.to_f32s().map_err(wrong)?.into_owned(), ..op },
        _ => LabelEncoder { keys_int64s: keys.to_i64s().map_err(wrong)?, ..op },
    })
}

/// What the operators of the file put into table `name`.
fn filled(l: &mut Lifter<'_>, name: &str, mutable: bool) -> R<Content> {
    let mut all = fillers(l, name);
    if all.iter().any(|f| f.restores(l.program)) {
        // What was saved counts, not what the table began with.
        all.retain(|f| f.restores(l.program));
    }
    let mut found: Option<Content> = None;
    for filler in all {
        let content = filler.content(l, mutable)?;
        if found.as_ref().is_some_and(|f| f.keys != content.keys || f.values != content.values) {
            return Err(Diag::error("E0301", format!("table `{name}` is filled in several ways")));
        }
        found = Some(content);
    }
    found.ok_or_else(|| {
        Diag::error("E0202", format!("nothing in the file says what table `{name}` holds"))
            .hint("convert the SavedModel, whose graph fills its tables")
    })
}

/// The operators that fill table `name`.
fn fillers<'p>(l: &Lifter<'p>, name: &str) -> Vec<Filler<'p>> {
    let program = l.program;
    let main = &program.main;
    let fills = |node: &Node| FILLERS.contains(&&*node.op) || FILE_FILLERS.contains(&&*node.op);
    let of = |found: Option<&Node>| found.is_some_and(|n| n.op.contains("HashTable") && identity(n) == name);
    let mut out = vec![];
    for node in &main.nodes {
        let Some(first) = node.inputs.first() else { continue };
        if fills(node) && of(resource(main, main, &[], *first)) {
            out.push(Filler { call: None, node });
        }
        let Some(body) = called(program, node) else { continue };
        if !node.inputs.iter().any(|at| of(resource(main, main, &[], *at))) {
            continue;
        }
        let inner = body.nodes.iter().filter(|n| fills(n));
        let inner =
            inner.filter(|n| n.inputs.first().is_some_and(|at| of(resource(main, body, &node.inputs, *at))));
        out.extend(inner.map(|inner| Filler { call: Some(node), node: inner }));
    }
    out
}

impl Filler<'_> {
    /// Whether the values come from a checkpoint.
    fn restores(&self, program: &Program) -> bool {
        let body = self.call.and_then(|c| called(program, c)).unwrap_or(&program.main);
        self.node.inputs.get(1).is_some_and(|at| source(body, *at).is_some())
    }
    fn content(&self, l: &mut Lifter<'_>, mutable: bool) -> R<Content> {
        let operand = |i: usize| {
            let at = self.node.inputs.get(i);
            at.copied().ok_or_else(|| bad(format!("`{}` has no operand {i}", self.node.name)))
        };
        if FILE_FILLERS.contains(&&*self.node.op) {
            let path = self.path(l, operand(1)?)?;
            let attrs = &self.node.attrs;
            let int = |name: &str, default: i64| attrs.int(name).unwrap_or(default);
            if int("offset", 0) != 0 {
                return Err(Diag::error("E0301", "a table that skips lines of its file is not read"));
            }
            let table = self.table(l)?;
            let side = |index: &str, dtype: &str| -> R<Side> {
                Ok(Side { index: int(index, -2), dtype: table.attrs.dtype(dtype)? })
            };
            let file = File {
                delimiter: match attrs.text("delimiter")? {
                    "" => "\t".to_owned(),
                    text => text.to_owned(),
                },
                most: usize::try_from(int("vocab_size", -1)).ok(),
                keys: side("key_index", "key_dtype")?,
                values: side("value_index", "value_dtype")?,
            };
            let (keys, values) = file.read(&l.program.store.folder, &path)?;
            return distinct(keys, values, mutable);
        }
        let (keys, values) = (self.known(l, operand(1)?)?, self.known(l, operand(2)?)?);
        distinct(keys, values, mutable)
    }
    /// The node that makes the table.
    fn table<'p>(&self, l: &Lifter<'p>) -> R<&'p Node> {
        let main = &l.program.main;
        let (body, args) = match self.call {
            None => (main, &[][..]),
            Some(call) => (called(l.program, call).unwrap_or(main), call.inputs.as_slice()),
        };
        let at = self.node.inputs.first().copied();
        // A handle outlives the body: nodes belong to the program.
        at.and_then(|at| resource(main, body, args, at)).ok_or_else(|| bad("a table that nothing makes"))
    }
    /// A value that is computed of constants alone.
    fn known(&self, l: &mut Lifter<'_>, at: Ref) -> R<Tensor> {
        let body = self.call.and_then(|c| called(l.program, c)).unwrap_or(&l.program.main);
        if let (Some(place), Some(bundle)) = (source(body, at), &l.program.store.bundle) {
            return read_place(bundle, &place);
        }
        let mut graph = Graph::new("table");
        let mut b = Builder::at_end(&mut graph, Origin::default());
        let found = match (self.call, at) {
            (None, at) => l.main(&mut b, &[], &[at])?,
            (Some(call), Ref::Arg(i)) => {
                let at = call.inputs.get(i).ok_or_else(|| bad("an operand of a call is missing"))?;
                l.main(&mut b, &[], &[*at])?
            }
            (Some(call), at) => {
                let (name, attrs) = call.attrs.function("f")?;
                l.inside(&mut b, name, &attrs, at)?
            }
        };
        let constant = match found.as_slice() {
            [Val::Tensor(v)] => graph.constant(*v).cloned(),
            _ => None,
        };
        constant.ok_or_else(|| {
            Diag::error("E0301", format!("`{}` fills a table with values that are computed", self.node.name))
        })
    }
    /// The path of a file, relative to the folder of the model where it is an asset.
    fn path(&self, l: &mut Lifter<'_>, at: Ref) -> R<String> {
        let outside = match (self.call, at) {
            (Some(call), Ref::Arg(i)) => call.inputs.get(i).copied(),
            (Some(_), Ref::Node(..)) => None,
            (None, at) => Some(at),
        };
        let main = &l.program.main;
        let node = outside.and_then(|at| resource(main, main, &[], at));
        let node = node.and_then(|n| if &*n.op == "ReadVariableOp" { assigned_to(main, n) } else { Some(n) });
        if let Some(asset) = node.and_then(|n| l.program.store.assets.get(&*n.name)) {
            return Ok(asset.clone());
        }
        let path = self.known(l, at)?;
        let path = path.strings().ok().and_then(<[String]>::first).cloned();
        let path = path.ok_or_else(|| bad("the path of a table's file is no text"))?;
        // The machine on which the graph was made is another one: the file is looked for beside the graph.
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let asset = format!("assets/{name}");
        let there = l.program.store.folder.join(&asset).is_file();
        Ok(if there { asset } else { name.to_owned() })
    }
}

/// What is assigned to the variable that `read` reads.
fn assigned_to<'p>(main: &'p Body, read: &Node) -> Option<&'p Node> {
    let variable = identity(resource(main, main, &[], *read.inputs.first()?)?);
    let mut assigns = main.nodes.iter().filter(|n| &*n.op == "AssignVariableOp");
    assigns.find_map(|n| {
        let handle = resource(main, main, &[], *n.inputs.first()?)?;
        if identity(handle) == variable { resource(main, main, &[], *n.inputs.get(1)?) } else { None }
    })
}

/// Keys that are there once. Where keys may be filled in again, the last value counts.
fn distinct(keys: Tensor, values: Tensor, mutable: bool) -> R<Content> {
    let wrong = |e: hoist_ir::tensor::TensorError| bad(e.to_string());
    if keys.rank() != 1 || values.shape().first() != Some(&keys.len()) || keys.len() > MOST_KEYS {
        return Err(bad("the keys and values of a table do not go with each other"));
    }
    let texts: Vec<String> = match keys.dtype() {
        DType::String => keys.strings().map_err(wrong)?.to_vec(),
        dtype if dtype.is_float() => {
            keys.to_f64s().map_err(wrong)?.iter().map(|v| (v + 0.0).to_bits().to_string()).collect()
        }
        _ => keys.to_i64s().map_err(wrong)?.iter().map(ToString::to_string).collect(),
    };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut repeated = false;
    for (i, key) in texts.iter().enumerate() {
        repeated |= seen.insert(key, i).is_some();
    }
    if !repeated {
        return Ok(Content { keys, values });
    }
    let kept: Vec<usize> = seen.into_values().collect();
    if !mutable {
        return Err(Diag::error("E0202", "a table has a key twice"));
    }
    Ok(Content { keys: rows(&keys, &kept)?, values: rows(&values, &kept)? })
}

fn rows(t: &Tensor, kept: &[usize]) -> R<Tensor> {
    let wrong = |e: hoist_ir::tensor::TensorError| bad(e.to_string());
    let mut shape = t.shape().to_vec();
    let width = t.len().checked_div(shape[0]).unwrap_or(0);
    shape[0] = kept.len();
    if t.dtype() == DType::String {
        let all = t.strings().map_err(wrong)?;
        let picked = kept.iter().flat_map(|i| all[i * width..(i + 1) * width].iter().cloned());
        return Ok(Tensor::from_strings(&shape, picked.collect()));
    }
    let (all, width) = (t.bytes().map_err(wrong)?, width * t.dtype().bits() as usize / 8);
    let picked: Vec<u8> = kept.iter().flat_map(|i| all[i * width..(i + 1) * width].iter().copied()).collect();
    Tensor::from_bytes(t.dtype(), &shape, picked.into(), None).map_err(wrong)
}
