//! Shape arithmetic through whole graphs, and hostile operands.
use super::mover::tests::samples;
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::eval::{EvalCx, Limits, Value, eval_op};
use crate::infer::{InferCx, Known, infer_contents, infer_op};
use crate::op::OpError;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::text::parse_graph;
use crate::types::{TensorType, Type};

/// Types of the outputs of a graph whose inputs are `%x: f32[N, 3, H]`, `%y: f32[M, 4]`.
fn outputs(body: &str, names: &[&str]) -> Vec<String> {
    let shown: Vec<String> = names.iter().map(|n| format!("{n}: %{n}")).collect();
    let text =
        format!("graph @main(%x: f32[N, 3, H], %y: f32[M, 4]) {{\n{body}\n  return {}\n}}", shown.join(", "));
    let g = parse_graph(&text).unwrap_or_else(|d| panic!("{text}\n{d}"));
    assert!(!g.verify().has_errors(), "{}", g.verify());
    g.outputs().iter().map(|o| g.ty(o.value).to_string()).collect()
}

#[test]
fn shape_arithmetic_keeps_symbols() {
    let body = "
  %s = shape(%x)
  %i0 = const i64[] [0]
  %i2 = const i64[] [-1]
  %n = gather(%s, %i0)
  %h = gather(%s, %i2)
  %a0 = const i64[1] [0]
  %n1 = unsqueeze(%n, %a0)
  %h1 = unsqueeze(%h, %a0)
  %rest = const i64[1] [-1]
  %to = concat(%n1, %h1, %rest)
  %r = reshape(%x, %to)
  %flat = reshape(%x, %rest)
  %zero = const i64[2] [0, -1]
  %keep = reshape(%x, %zero)
  %len = size(%x)
  %len1 = reshape(%len, %rest)
  %all = reshape(%x, %len1)
  %part = shape(%x) {start=1}
  %tail = squeeze(%h1)
  %one = const i64[] [1]
  %count = range(%i0, %tail, %one)
  %filled = constant_of_shape(%part)
  %wide = concat(%n1, %s) {axis=-1}
  %e = expand(%one, %wide)
  %first, %second = split(%s) {num_outputs=2}
  %cut = constant_of_shape(%first)
  %cut2 = constant_of_shape(%second)";
    assert_eq!(
        outputs(body, &["r", "flat", "keep", "all", "count", "filled", "e", "cut", "cut2"]),
        [
            "f32[N, H, 3]",
            "f32[3*H*N]",
            "f32[N, 3*H]",
            "f32[3*H*N]",
            "i64[H]",
            "f32[3, H]",
            "i64[N, N, 3, H]",
            "f32[N, 3]",
            "f32[H]"
        ]
    );
}

#[test]
fn slices_and_pieces_of_symbolic_sizes() {
    let body = "
  %z = const i64[1] [0]
  %one = const i64[1] [1]
  %last = const i64[1] [-1]
  %max = const i64[1] [9223372036854775807]
  %min = const i64[1] [-9223372036854775808]
  %xs = shape(%x)
  %ys = shape(%y)
  %n = slice(%xs, %z, %one)
  %m = slice(%ys, %z, %one)
  %both = concat(%x, %x)
  %head = slice(%both, %z, %n)
  %tail = slice(%both, %n, %max)
  %less = slice(%x, %z, %last)
  %cut = slice(%y, %z, %n)
  %turned = slice(%x, %last, %min, %z, %last)
  %a, %b = split(%x) {num_outputs=2}
  %c, %d = split(%both) {num_outputs=2}
  %nm = concat(%n, %n)
  %e, %f = split(%both, %nm)
  %pads = concat(%z, %m)
  %padded = pad(%x, %pads, _, %z)
  %reps = concat(%m, %one)
  %tiled = tile(%y, %reps)
  %flat = flatten(%x) {axis=2}
  %hot = one_hot(%n, %z, %pads)";
    let names =
        ["head", "tail", "less", "cut", "turned", "a", "b", "c", "d", "e", "f", "padded", "tiled", "flat"];
    assert_eq!(
        outputs(body, &names),
        [
            "f32[N, 3, H]",
            "f32[N, 3, H]",
            "f32[max(0, N-1), 3, H]",
            "f32[min(M, N), 4]",
            "f32[N, 3, H]",
            "f32[-floordiv(N, 2)+N, 3, H]",
            "f32[floordiv(N, 2), 3, H]",
            "f32[N, 3, H]",
            "f32[N, 3, H]",
            "f32[N, 3, H]",
            "f32[N, 3, H]",
            "f32[N+M, 3, H]",
            "f32[M*M, 4]",
            "f32[3*N, H]"
        ]
    );
}

/// A small deterministic generator.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n.max(1)
    }
    fn int(&mut self) -> i64 {
        let extremes = [i64::MIN, i64::MAX, i64::MIN + 1, 1 << 62, -(1 << 62), i64::from(i32::MAX), 1 << 40];
        if self.below(8) == 0 { extremes[self.below(7)] } else { self.below(8) as i64 - 3 }
    }
    fn shape(&mut self) -> Vec<usize> {
        let huge = self.below(12) == 0;
        let mut s: Vec<usize> = (0..self.below(5)).map(|_| self.below(4)).collect();
        if huge && s.contains(&0) {
            // An empty tensor may claim any size beside its empty axis.
            for d in s.iter_mut().filter(|d| **d > 0) {
                *d = 1 << [20, 31, 61][*d % 3];
            }
        }
        s
    }
    fn ints(&mut self, dtype: DType) -> Tensor {
        let n = self.below(5);
        let shape = if n == 1 && self.below(2) == 0 { vec![] } else { vec![n] };
        let t = Tensor::from_vec(&shape, (0..n).map(|_| self.int()).collect::<Vec<i64>>());
        t.cast(dtype, false).expect("a number")
    }
    /// Often of the shape of the operand before: many operators ask for that.
    fn tensor(&mut self, dtype: DType, before: Option<Vec<usize>>) -> Tensor {
        let index = matches!(dtype, DType::I32 | DType::I64);
        let before = before.filter(|_| self.below(2) == 0);
        if index && before.is_none() && self.below(3) > 0 {
            return self.ints(dtype);
        }
        let shape = before.unwrap_or_else(|| self.shape());
        if index {
            let n = crate::tensor::element_count(&shape).expect("small");
            let t = Tensor::from_vec(&shape, (0..n).map(|_| self.below(4) as i64 - 1).collect::<Vec<i64>>());
            return t.cast(dtype, false).expect("a number");
        }
        samples(&shape).swap_remove(dtype as usize)
    }
}

/// An operator of these families with random attributes, and operands its schema allows.
fn case(r: &mut Random, names: &[&str]) -> (Op, Vec<Option<Tensor>>, usize) {
    let mut op = Op::by_name(names[r.below(names.len())]).expect("declared");
    for spec in op.schema().attrs {
        let v = match spec.kind {
            "int" => crate::attr::Attr::Int(r.int()),
            "bool" => crate::attr::Attr::Bool(r.below(2) == 0),
            "ints" => crate::attr::Attr::Ints((0..r.below(4)).map(|_| r.int()).collect()),
            "dtype" => crate::attr::Attr::DType(DType::all().nth(r.below(26)).expect("in range")),
            "tensor" => crate::attr::Attr::Tensor(r.ints(DType::I64)),
            _ => crate::attr::Attr::Str(
                ["edge", "wrap", "reflect", "add", "max", "mul"][r.below(6)].to_owned(),
            ),
        };
        if r.below(2) == 0 {
            let _ = op.def_mut().set_attr(spec.name, &v);
        }
    }
    let schema = op.schema();
    let mut chosen: Vec<(&str, DType)> = vec![];
    let mut inputs = vec![];
    for i in 0..if schema.inputs.len() == 1 { 1 + r.below(2) } else { schema.inputs.len() } {
        let Some(o) = schema.input(i) else { break };
        let bound = chosen.iter().find(|(v, _)| *v == o.var).map(|c| c.1);
        let dtype = bound.unwrap_or_else(|| {
            let all: Vec<DType> = schema.allowed(o.var).map_or(vec![DType::F32], |s| s.iter().collect());
            all[r.below(all.len())]
        });
        chosen.push((o.var, dtype));
        let absent = o.arity == crate::op::Arity::Optional && r.below(2) == 0;
        let before = inputs.last().and_then(|t: &Option<Tensor>| Some(t.as_ref()?.shape().to_vec()));
        inputs.push((!absent).then(|| r.tensor(dtype, before)));
    }
    let outputs = if matches!(op, Op::Split(_)) { 1 + r.below(3) } else { 1 };
    (op, inputs, outputs)
}

/// What is known of an operand when less is known than its value: some sizes, or nothing of them.
fn blurred(r: &mut Random, t: &Tensor) -> Type {
    let mut ty: TensorType = t.ty();
    match (r.below(6), &mut ty.shape) {
        (0, shape) => *shape = None,
        (k, Some(shape)) => {
            for d in shape.iter_mut().filter(|_| k > 2) {
                if r.below(3) == 0 {
                    *d = Dim::Unknown;
                }
            }
        }
        _ => {}
    }
    ty.into()
}

/// Infers with less knowledge than the values; when evaluation succeeds that must have succeeded and agree.
fn check(r: &mut Random, op: &Op, inputs: &[Option<Tensor>], outputs: usize) -> bool {
    let types: Vec<Option<Type>> = inputs.iter().map(|t| t.as_ref().map(|t| blurred(r, t))).collect();
    let contents: Vec<Option<crate::infer::Content>> = inputs
        .iter()
        .map(|t| {
            let t = t.as_ref().filter(|t| t.rank() < 2 && t.len() <= 64 && t.dtype() == DType::I64)?;
            Some(t.to_i64s().ok()?.into_iter().map(|v| (v % 2 == 0).then(|| SymInt::from(v))).collect())
        })
        .collect();
    let known: Vec<Option<Known<'_>>> = types
        .iter()
        .zip(&contents)
        .zip(inputs)
        .map(|((ty, content), t)| {
            let exact = ty.as_ref().zip(t.as_ref()).is_some_and(|(ty, t)| *ty == Type::from(t.ty()));
            let tensor = t.as_ref().filter(|_| exact && content.is_none());
            ty.as_ref().map(|ty| Known { ty, tensor, content: content.as_ref() })
        })
        .collect();
    let cx = InferCx::new(op.schema(), &known, &[], 0, outputs);
    let inferred = infer_op(op, &cx);
    infer_contents(op, &cx);
    let values: Vec<Option<Value>> = inputs.iter().map(|t| t.clone().map(Value::Tensor)).collect();
    let run = |_: &crate::graph::Graph, _| Err(OpError::eval("no bodies here"));
    let cx = EvalCx { inputs: values, outputs, bodies: &[], captures: 0, run: &run };
    let Ok(results) = eval_op(op, cx, Limits { result_bytes: 1 << 20 }) else { return false };
    let types = inferred.unwrap_or_else(|e| panic!("{op:?} {inputs:?} evaluates and is not typed: {e}"));
    for (v, ty) in results.iter().zip(types) {
        assert!(ty.meet(&v.ty()).is_some(), "{op:?} {inputs:?}: inferred {ty}, is {}", v.ty());
    }
    true
}

#[test]
fn hostile_operands_are_refused_and_types_agree() {
    let names = [
        "transpose",
        "reshape",
        "squeeze",
        "unsqueeze",
        "flatten",
        "expand",
        "concat",
        "split",
        "slice",
        "tile",
        "pad",
        "reverse_sequence",
        "trilu",
        "shape",
        "size",
        "range",
        "constant_of_shape",
        "eye_like",
        "one_hot",
        "non_zero",
        "gather",
        "gather_elements",
        "gather_nd",
        "scatter_elements",
        "scatter_nd",
        "unique",
        "compress",
    ];
    let mut r = Random(7);
    let mut done: Vec<usize> = vec![0; names.len()];
    for i in 0..names.len() * 1500 {
        let at = i % names.len();
        let (op, inputs, outputs) = case(&mut r, &names[at..=at]);
        done[at] += usize::from(check(&mut r, &op, &inputs, outputs));
    }
    let idle: Vec<_> = names.iter().zip(&done).filter(|(_, n)| **n < 3).collect();
    assert!(idle.is_empty(), "hardly ever evaluated: {idle:?}");
}
