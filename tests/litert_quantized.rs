//! Integer kernels of LiteRT: each operator here is quantized by `quantize-static` to bytes and, where LiteRT can, to words, with ranges seen on its inputs. The TFLite
//! file holds LiteRT's operator on integers and no other operator on floats, and LiteRT computes what the reference executor computes on the quantized graph, to
//! a step. Needs the oracles (`HOIST_ORACLE_PYTHON`) for the numbers. `OPS=name` takes the operators whose names contain `name`.
#[path = "common/case.rs"]
#[expect(dead_code, reason = "this test has graphs of its own")]
mod case;
#[path = "common/oracle.rs"]
#[expect(dead_code, reason = "this test has graphs of its own")]
mod oracle;

use hoist_emitters::tflite::plan;
use hoist_formats::tflite::decode::decode;
use hoist_formats::tflite::schema::{self, Builtin};
use hoist_formats::tflite::table::Record;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::model::{Executor, Model};
use hoist_ir::tensor::Tensor;
use hoist_ir::text::parse_model;
use hoist_passes::quantize::spec::Interval;
use hoist_passes::{Options, Pipeline, Quantization, run};
use hoist_runtime::reference::{Reference, ReferenceOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// An operator: its inputs, its body, LiteRT's operator, whether there is a kernel for words, and how many steps of a word its table may be off.
struct Case(&'static str, &'static str, Builtin, Words);

/// Kernels for 16 bits.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    /// There are none.
    None,
    /// There are no others: bytes take another way.
    Only,
    /// Right to so many steps.
    Steps(f64),
}

const NO: Words = Words::None;
const YES: Words = Words::Steps(1.0);
const TABLE: Words = Words::Steps(8.0);

const IMAGE: &str = "%x: f32[1, 8, 8, 8]";
const IMAGES: &str = "%x: f32[1, 8, 8, 8], %z: f32[1, 8, 8, 8]";
const CASES: &[Case] = &[
    Case(IMAGE, "%y = abs(%x)", Builtin::Abs, YES),
    Case(IMAGES, "%y = add(%x, %z)", Builtin::Add, YES),
    Case(IMAGE, "%c = const f32[8] seeded(4)\n%y = add(%x, %c)", Builtin::Add, YES),
    Case(IMAGES, "%a = add(%x, %z)\n%y = relu(%a)", Builtin::Add, YES),
    Case(
        IMAGE,
        "%y = average_pool(%x) {kernel_shape=[2, 2], strides=[2, 2], layout=channels_last}",
        Builtin::AveragePool2d,
        YES,
    ),
    Case("%x: f32[2, 6, 8], %z: f32[2, 8, 5]", "%y = mat_mul(%x, %z)", Builtin::BatchMatmul, YES),
    Case(IMAGES, "%y = concat(%x, %z) {axis=3}", Builtin::Concatenation, YES),
    Case(
        IMAGE,
        "%w = const f32[4, 8, 3, 3] seeded(1)\n%b = const f32[4] seeded(2)\n%y = conv(%x, %w, %b) {layout=channels_last}",
        Builtin::Conv2d,
        YES,
    ),
    Case(
        IMAGE,
        "%w = const f32[4, 8, 3, 3] seeded(1)\n%b = const f32[4] seeded(2)\n%a = conv(%x, %w, %b) {layout=channels_last}\n%y = relu(%a)",
        Builtin::Conv2d,
        YES,
    ),
    Case(
        IMAGE,
        "%w = const f32[4, 8, 1, 1] seeded(1)\n%a = conv(%x, %w) {layout=channels_last}\n%l = const f32[] [0.0]\n%h = const f32[] [6.0]\n%y = clip(%a, %l, %h)",
        Builtin::Conv2d,
        YES,
    ),
    Case(
        IMAGE,
        "%w = const f32[8, 1, 3, 3] seeded(1)\n%b = const f32[8] seeded(2)\n%y = conv(%x, %w, %b) {group=8, pads=[1, 1, 1, 1], layout=channels_last}",
        Builtin::DepthwiseConv2d,
        YES,
    ),
    Case(
        IMAGE,
        "%w = const f32[8, 3, 2, 2] seeded(1)\n%b = const f32[3] seeded(2)\n%y = conv_transpose(%x, %w, %b) {strides=[2, 2], layout=channels_last}",
        Builtin::TransposeConv,
        YES,
    ),
    Case(IMAGE, "%y = depth_to_space(%x) {blocksize=2, layout=channels_last}", Builtin::DepthToSpace, NO),
    Case(IMAGE, "%y = space_to_depth(%x) {blocksize=2, layout=channels_last}", Builtin::SpaceToDepth, NO),
    Case(IMAGE, "%y = elu(%x)", Builtin::Elu, NO),
    Case(IMAGE, "%y = exp(%x)", Builtin::Exp, TABLE),
    Case(
        "%x: f32[5, 8]",
        "%w = const f32[8, 6] seeded(1)\n%y = mat_mul(%x, %w)",
        Builtin::FullyConnected,
        YES,
    ),
    Case(
        "%x: f32[5, 8]",
        "%w = const f32[8, 6] seeded(1)\n%b = const f32[6] seeded(2)\n%a = mat_mul(%x, %w)\n%y = add(%b, %a)",
        Builtin::FullyConnected,
        YES,
    ),
    Case(
        "%x: f32[2, 5, 8]",
        "%w = const f32[8, 6] seeded(1)\n%b = const f32[6] seeded(2)\n%a = mat_mul(%x, %w)\n%c = add(%a, %b)\n%y = relu(%c)",
        Builtin::FullyConnected,
        YES,
    ),
    Case(IMAGE, "%i = const i64[3] [1, 5, 2]\n%y = gather(%x, %i) {axis=2}", Builtin::Gather, YES),
    Case("%i: i64[3]", "%t = const f32[3, 16] seeded(1)\n%y = gather(%t, %i)", Builtin::Gather, YES),
    Case(IMAGE, "%y = gelu(%x)", Builtin::Gelu, Words::Steps(32.0)),
    Case(IMAGE, "%y = hard_swish(%x)", Builtin::HardSwish, NO),
    Case(IMAGE, "%y = leaky_relu(%x) {alpha=0.2}", Builtin::LeakyRelu, YES),
    Case("%x: f32[4, 16]", "%y = log_softmax(%x)", Builtin::LogSoftmax, NO),
    Case(IMAGE, "%y = sigmoid(%x)", Builtin::Logistic, TABLE),
    Case(IMAGES, "%y = max(%x, %z)", Builtin::Maximum, YES),
    Case(IMAGES, "%y = min(%x, %z)", Builtin::Minimum, YES),
    Case(
        IMAGE,
        "%y = max_pool(%x) {kernel_shape=[2, 2], strides=[2, 2], layout=channels_last}",
        Builtin::MaxPool2d,
        YES,
    ),
    Case(IMAGE, "%a = const i64[2] [1, 2]\n%y = reduce_mean(%x, %a)", Builtin::Mean, YES),
    Case(IMAGE, "%a = const i64[1] [3]\n%y = reduce_sum(%x, %a)", Builtin::Sum, YES),
    Case(IMAGE, "%a = const i64[1] [3]\n%y = reduce_max(%x, %a)", Builtin::ReduceMax, YES),
    Case(IMAGE, "%a = const i64[1] [3]\n%y = reduce_min(%x, %a)", Builtin::ReduceMin, YES),
    Case(
        IMAGE,
        "%p = const i64[8] [0, 1, 1, 0, 0, 1, 1, 0]\n%y = pad(%x, %p) {mode=reflect}",
        Builtin::MirrorPad,
        YES,
    ),
    Case(IMAGE, "%p = const i64[8] [0, 1, 1, 0, 0, 1, 1, 0]\n%y = pad(%x, %p)", Builtin::Pad, YES),
    Case(
        IMAGE,
        "%p = const i64[8] [0, 1, 1, 0, 0, 1, 1, 0]\n%c = const f32[] [-0.5]\n%y = pad(%x, %p, %c)",
        Builtin::Padv2,
        YES,
    ),
    Case(
        IMAGE,
        "%p = const i64[8] [0, 1, 1, 0, 0, 1, 1, 0]\n%c = const f32[] [-inf]\n%a = pad(%x, %p, %c)\n%y = max_pool(%a) {kernel_shape=[3, 3], strides=[2, 2], layout=channels_last}",
        Builtin::Padv2,
        YES,
    ),
    Case(IMAGES, "%y = mul(%x, %z)", Builtin::Mul, YES),
    Case(IMAGE, "%s = const f32[1, 1, 8] seeded(3)\n%y = p_relu(%x, %s)", Builtin::Prelu, NO),
    Case(IMAGE, "%y = relu(%x)", Builtin::Relu, Words::Only),
    Case(IMAGE, "%y = relu(%x)", Builtin::Quantize, NO),
    Case(IMAGE, "%s = const i64[3] [1, 64, 8]\n%y = reshape(%x, %s)", Builtin::Reshape, YES),
    Case(
        IMAGE,
        "%s = const i64[4] [1, 16, 16, 8]\n%y = resize(%x, _, _, %s) {mode=linear, coordinate_transformation_mode=half_pixel}",
        Builtin::ResizeBilinear,
        YES,
    ),
    Case(
        IMAGE,
        "%s = const i64[4] [1, 16, 16, 8]\n%y = resize(%x, _, _, %s) {mode=nearest, coordinate_transformation_mode=asymmetric, nearest_mode=floor}",
        Builtin::ResizeNearestNeighbor,
        YES,
    ),
    Case(
        "%x: f32[1, 8, 8, 8], %z: f32[1, 8, 8, 8], %c: bool[1, 8, 8, 8]",
        "%y = where(%c, %x, %z)",
        Builtin::SelectV2,
        YES,
    ),
    Case(
        IMAGE,
        "%a = const i64[2] [1, 2]\n%b = const i64[2] [5, 7]\n%i = const i64[2] [1, 2]\n%y = slice(%x, %a, %b, %i)",
        Builtin::Slice,
        YES,
    ),
    Case("%x: f32[2, 4, 16]", "%y = softmax(%x)", Builtin::Softmax, TABLE),
    Case(IMAGE, "%y, %u = split(%x, _) {axis=3, num_outputs=2}", Builtin::Split, YES),
    Case(IMAGE, "%n = const i64[2] [3, 5]\n%y, %u = split(%x, %n) {axis=3}", Builtin::SplitV, YES),
    Case(IMAGES, "%y = sub(%x, %z)", Builtin::Sub, YES),
    Case(IMAGE, "%y = tanh(%x)", Builtin::Tanh, TABLE),
    Case(IMAGE, "%r = const i64[4] [1, 2, 1, 1]\n%y = tile(%x, %r)", Builtin::Tile, YES),
    Case(IMAGE, "%y = transpose(%x) {perm=[0, 2, 1, 3]}", Builtin::Transpose, YES),
];

/// Numbers between -2 and 2, booleans, positions below 3.
fn made_up(g: &Graph, round: u64) -> Vec<Value> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64.wrapping_add(round);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    let one = |v: &ValueId| {
        let ty = g.ty(*v).as_tensor().expect("a tensor").clone();
        let shape: Vec<usize> = ty.sizes().expect("known sizes");
        let count = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|_| next()).collect();
        Value::Tensor(match ty.dtype {
            DType::Bool => {
                let half: Vec<i64> = numbers.iter().map(|v| i64::from(*v > 0.5)).collect();
                Tensor::from_vec(&shape, half).cast(DType::Bool, false).expect("zeros and ones")
            }
            DType::I64 => {
                Tensor::from_vec(&shape, numbers.iter().map(|v| (v * 3.0) as i64).collect::<Vec<_>>())
            }
            _ => Tensor::from_vec(&shape, numbers.iter().map(|v| v * 4.0 - 2.0).collect::<Vec<_>>()),
        })
    };
    g.inputs().iter().map(one).collect()
}

fn pass(text: &str, model: &mut Model, quantization: Option<Quantization>) {
    let target = hoist_passes::Target::Tflite(hoist_formats::tflite::lower::Target::default());
    let quantization = quantization.map(Arc::new);
    let mut options = Options { verify_each: true, target: Some(target), quantization, ..Options::default() };
    run(&Pipeline::parse(text).expect("known passes"), model, &mut options)
        .unwrap_or_else(|e| panic!("{}", e.diags));
}

/// Ranges of all values on `inputs`.
fn seen(model: &Model, inputs: &[Value]) -> BTreeMap<ValueId, Interval> {
    let executor = Reference::new(model, ReferenceOptions::default()).expect("can be run");
    let mut all: BTreeMap<ValueId, Interval> = BTreeMap::new();
    let mut add = |v: ValueId, value: &Value| {
        let Some(t) = value.as_tensor().filter(|t| t.dtype() == DType::F32) else { return };
        for x in t.to_f32s().expect("floats").iter() {
            let one = Interval { low: *x, high: *x };
            let joined = all.get(&v).map_or(one, |i| i.union(one));
            all.insert(v, joined);
        }
    };
    model.graph.inputs().iter().zip(inputs).for_each(|(v, value)| add(*v, value));
    executor.observe(inputs.to_vec(), &mut |v, value| add(v, value)).expect("runs");
    all
}

fn quantized(text: &str, words: &str, round: u64) -> (Model, Vec<Value>) {
    let mut model = parse_model(text).unwrap_or_else(|e| panic!("{text}\n{e}"));
    pass("legalize-tflite", &mut model, None);
    let inputs = made_up(&model.graph, round);
    let mut q: Quantization = words.parse().expect("known words");
    q.ranges = seen(&model, &inputs);
    pass("quantize-static,remove-saturated-bounds,remove-requantize,cleanup", &mut model, Some(q));
    pass("legalize-tflite", &mut model, None);
    (model, inputs)
}

/// One step of output `v`.
fn step(g: &Graph, v: ValueId) -> f64 {
    let scale = g.producer(v).filter(|n| g.node(*n).op().name() == "dequantize_linear");
    let scale = scale.and_then(|n| g.constant(g.node(n).input(1)?)?.to_f64s().ok()?.first().copied());
    scale.expect("the output is dequantized")
}

/// Operators of a file, each with the codes of the types that it reads and gives; constants apart.
fn operators(bytes: &[u8]) -> Vec<(i64, Vec<i64>)> {
    let root = decode(bytes, b"TFL3", &schema::MODEL).expect("well-formed");
    let (graph, codes) = (&root.records("subgraphs")[0], root.records("operator_codes"));
    let tensors = graph.records("tensors");
    let one = |op: &Record| {
        let code = codes[op.int("opcode_index") as usize].int("builtin_code");
        let places = op.ints("inputs").iter().chain(op.ints("outputs")).filter(|t| **t >= 0);
        (code, places.map(|t| tensors[*t as usize].int("type")).collect())
    };
    graph.records("operators").iter().map(one).collect()
}

const FLOAT: i64 = 0;
const CONVERSIONS: [i64; 2] = [Builtin::Quantize as i64, Builtin::Dequantize as i64];

/// Writes the files of a case; says what is wrong with the operators of the file.
fn put(dir: &Path, at: usize, words: &str, steps: f64) -> Result<(), String> {
    let Case(inputs, body, builtin, _) = &CASES[at];
    let text = format!("graph({inputs}) {{\n{body}\nreturn y: %y\n}}");
    let (model, given) = quantized(&text, words, at as u64);
    let plan = plan(&model, &hoist_formats::tflite::lower::Target::default()).map_err(|e| e.to_string())?;
    let mut bytes = vec![];
    plan.write(&mut bytes).expect("memory");
    let found = operators(&bytes);
    let integer = |types: &[i64]| !types.contains(&FLOAT);
    let right = found.iter().any(|(code, types)| *code == *builtin as i64 && integer(types));
    let floats = found.iter().any(|(code, types)| !CONVERSIONS.contains(code) && !integer(types));
    if !right || floats {
        return Err(format!("{words}: {body}: operators and types {found:?}"));
    }
    let executor = Reference::new(&model, ReferenceOptions::default()).map_err(|e| e.to_string())?;
    let want = executor.run(given.clone()).map_err(|e| e.to_string())?;
    let (i, o) = oracle::names(&model.graph);
    let name = format!("{at}_{builtin:?}_{}", words.split('=').next_back().unwrap_or(""));
    let most = 1.01 * steps * step(&model.graph, model.graph.outputs()[0].value);
    assert!(oracle::put(dir, (&name, "tflite"), &bytes, (&i, &given), (&o, &want), (0.0, most)));
    Ok(())
}

fn check(words: &str, chosen: impl Fn(Words) -> Option<f64>) {
    let only = std::env::var("OPS").unwrap_or_default();
    let dir = tempfile::tempdir().expect("temporary folder");
    let cases = CASES.iter().enumerate().filter(|(_, c)| format!("{:?}", c.2).contains(&only));
    let wrong: Vec<String> =
        cases.filter_map(|(at, case)| put(dir.path(), at, words, chosen(case.3)?).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    oracle::accept(dir.path(), "litert.py");
}

#[test]
fn litert_computes_in_bytes() {
    check("static full activations=i8", |words| (words != Words::Only).then_some(1.0));
}

#[test]
fn litert_computes_in_words() {
    check("static full symmetric activations=i16", |words| match words {
        Words::None => None,
        Words::Only => Some(1.0),
        Words::Steps(steps) => Some(steps),
    });
}
