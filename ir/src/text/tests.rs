//! Texts that must survive, texts that must be refused, random graphs, and damaged texts.
use super::*;
use crate::attr::Attr;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::edit::NewNode;
use crate::graph::{Graph, Notes, Origin, OriginPart, ValueId};
use crate::model::Model;
use crate::ops::{Custom, Op};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Everything the text form can hold, as the printer writes it.
const EVERYTHING: &str = include_str!("../../../testdata/hir/text/everything.hir");

#[test]
fn everything_survives() {
    let m = parse_model(EVERYTHING).expect("parses");
    assert_eq!(model_text(&m), EVERYTHING);
    assert!(!m.graph.verify().has_errors(), "{}", m.graph.verify());
    assert_eq!(m.opset(""), Some(17));
    assert_eq!(m.functions[0].encoded[..], [0x0a, 0xff]);
    assert_eq!(m.props, [("key".to_owned(), "line\nbreak".to_owned())]);
    let g = &m.graph;
    let find = |op: &str| g.order().find(|n| g.node(*n).op().name() == op).expect("a node of it");
    let n = g.node(find("leaky_relu"));
    assert_eq!(n.name.as_deref(), Some("node name"));
    assert_eq!(n.notes.as_deref().map(|n| n.doc.as_str()), Some("why"));
    let [a, b] = n.origin.parts() else { panic!("two origins") };
    assert_eq!(
        (&*a.op, a.module.as_deref(), b.line.as_deref()),
        ("LeakyRelu", Some("net.0"), Some("m.py:3"))
    );
    let looped = g.order().map(|n| g.node(n)).find(|n| !n.bodies().is_empty()).expect("a node with bodies");
    assert_eq!((looped.bodies().len(), looped.captures(), looped.inputs().len()), (2, 2, 4));
    assert_eq!(looped.input(1), None);
    let Op::Custom(op) = looped.op() else { panic!("custom") };
    assert_eq!(op.attrs[1].1, Attr::Floats(vec![]));
    assert_eq!(op.attrs.last().map(|a| &a.1), Some(&Attr::Opaque("onnx.graph".to_owned(), vec![0, 255])));
}

#[test]
fn the_example_of_the_manual_is_what_the_printer_writes() {
    let manual = include_str!("../../../docs/hir.md");
    let example = manual.split("```\n").nth(1).expect("an example");
    let m = parse_model(example).unwrap_or_else(|d| panic!("{d}"));
    assert_eq!(model_text(&m), example.split_once('\n').expect("a comment first").1);
}

#[test]
fn types_are_inferred_and_attributes_default() {
    let text = "graph(%x: f32[N, 3]) {\n %y = transpose(%x) {perm=[1, 0],}\n %z = leaky_relu(%y) {alpha=0.01} ; default\n return %z\n}";
    let g = parse_graph(text).expect("parses");
    assert_eq!(
        graph_text(&g),
        "graph(%x: f32[N, 3]) {\n  %y: f32[3, N] = transpose(%x) {perm=[1, 0]}\n  %z: f32[3, N] = leaky_relu(%y)\n  return %z\n}\n"
    );
}

#[test]
fn numbers_follow_appearance_and_unused_constants_are_left_out() {
    let mut g = Graph::new("g");
    let x = g.add_input("x", TensorType::fixed(DType::I64, &[1]).into());
    g.add_const(Tensor::from_ints(&[0]));
    let late = g.add_const(Tensor::from_ints(&[1]));
    let early = g.add_const(Tensor::from_ints(&[2]));
    let call = |inputs: &[ValueId]| {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        NewNode::new(Custom { name: "F".to_owned(), ..Custom::default() }, &inputs)
    };
    let n = g.append(call(&[x, early])).expect("fits");
    let m = g.append(call(&[g.node(n).outputs()[0], late])).expect("fits");
    g.add_output("y", g.node(m).outputs()[0]);
    let text = "graph @g(%x: i64[1]) {\n  %0 = const i64[1] [2]\n  %1: unknown = custom(\"\", \"F\")(%x, %0)\n  %2 = const i64[1] [1]\n  %3: unknown = custom(\"\", \"F\")(%1, %2)\n  return y: %3\n}\n";
    assert_eq!(graph_text(&g), text);
}

/// Text, and parts of the messages in order.
const REFUSED: &[(&str, &[&str])] = &[
    ("", &["line 1, column 1: `graph` is expected here, found the end of the text"]),
    ("graph(%x) {\n return\n}", &["line 1, column 7: input `%x` needs a type"]),
    (
        "graph() {\n %a = nope()\n %b = also()\n %c = identity(%a)\n return %c\n}",
        &["line 2, column 7: there is no operator `nope`", "line 3, column 7: there is no operator `also`"],
    ),
    (
        "graph(%x: f32[2]) {\n %y: f32[3] = identity(%x)\n return %y\n}",
        &["line 2, column 6: `y` is declared f32[3] and computed as f32[2]"],
    ),
    ("graph(%x: f32[2]) {\n %y = identity(%z)\n return %y\n}", &["line 2, column 16: `%z` is not defined"]),
    (
        "graph(%x: f32[2]) {\n %x = identity(%x)\n return %x\n}",
        &["line 2, column 2: `%x` is already defined"],
    ),
    (
        "graph(%x: f32[2]) {\n %y = transpose(%x) {perm=[1]}\n return %y\n}",
        &["line 2, column 7: perm [1] does not permute"],
    ),
    (
        "graph(%x: f32[2]) {\n %y = transpose(%x) {axes=[0]}\n return %y\n}",
        &["line 2, column 22: `transpose` has no attribute `axes`"],
    ),
    (
        "graph(%x: f32[2]) {\n %y = leaky_relu(%x) {alpha=\"a\"}\n return %y\n}",
        &["line 2, column 29: a number is expected"],
    ),
    (
        "graph(%x: i32[2]) {\n %y = leaky_relu(%x)\n return %y\n}",
        &["line 2, column 7: operand `x` of `leaky_relu` cannot be i32"],
    ),
    (
        "graph() {\n %y = const f32[2] hash(\"00\")\n return %y\n}",
        &["line 2, column 20: this constant is given by its hash only"],
    ),
    ("graph() {\n return\n} extra", &["line 3, column 3: the end of the text is expected"]),
    ("model {maker=\"x\"}\ngraph() {\n return\n}", &["line 1, column 8: a model has no entry `maker`"]),
    ("graph() {\n %y = const f32[1] [1.0]\n", &["line 3, column 1: `return` is expected"]),
    ("graph(%x: f32[], %x: f32[]) {\n return\n}", &["`%x` is already defined"]),
    (
        "graph(%x: f32[]) {\n %y = identity(%x) @where(\"x\")\n return\n}",
        &["there is no clause `@where` here"],
    ),
    (
        "graph(%x: f32[]) {\n %y = custom(\"\", \"F\")(%x) {a: number = 1}\n return\n}",
        &["there is no kind of attribute `number`"],
    ),
];

#[test]
fn wrong_texts_are_refused_with_their_place() {
    for (text, messages) in REFUSED {
        let diags = parse_model(text).expect_err(text).0;
        for (d, m) in diags.iter().zip(*messages) {
            assert!(d.message.contains(m), "{text}\n{}\n{m}", d.message);
        }
        assert_eq!(diags.len(), messages.len(), "{text}\n{diags:?}");
    }
}

#[test]
fn nesting_and_errors_are_bounded() {
    let deep = "graph() {\n custom(\"\", \"F\")()\n body() {\n".to_owned()
        + &"custom(\"\", \"F\")()\n body() {\n".repeat(100_000);
    assert!(parse_model(&deep).is_err());
    let many = "graph() {\n".to_owned() + &"%a = nope()\n".repeat(100_000) + "return\n}";
    assert!(parse_model(&many).expect_err("errors").0.len() <= 51);
}

/// A small generator of pseudo-random numbers: each call of `below` uses the next 64-bit output.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 29)) % n.max(1) as u64) as usize
    }
    fn pick<'t, T: ?Sized>(&mut self, all: &[&'t T]) -> &'t T {
        all[self.below(all.len())]
    }
    fn text(&mut self) -> String {
        self.pick(&[
            "",
            "a",
            "b",
            "x.1",
            "has space",
            "7",
            "_",
            "quote\"\\",
            "é\n\u{1}",
            "return",
            "body",
            "none",
        ])
        .to_owned()
    }
    fn dtype(&mut self) -> DType {
        match self.below(4) {
            0 | 1 => return DType::F32,
            2 => return DType::I64,
            _ => {}
        }
        let all: Vec<DType> = DType::all().collect();
        all[self.below(all.len())]
    }
    fn ty(&mut self, depth: usize) -> Type {
        match self.below(if depth > 0 { 12 } else { 9 }) {
            0 => TensorType::unranked(self.dtype()).into(),
            9 => Type::Sequence(Box::new(self.ty(depth - 1))),
            10 => Type::Optional(Box::new(self.ty(depth - 1))),
            11 => Type::Map(DType::I64, Box::new(self.ty(depth - 1))),
            _ => {
                let rank = self.below(4);
                let dims = (0..rank).map(|_| self.dim()).collect::<Vec<_>>();
                TensorType::new(self.dtype(), dims).into()
            }
        }
    }
    fn dim(&mut self) -> Dim {
        let texts = ["N", "2*N+1", "floordiv(N, 2)", "\"odd name\"", "max(M, N)*N"];
        match self.below(6) {
            0 => Dim::Unknown,
            1 | 2 => Dim::Known(self.below(5) as u64),
            _ => {
                let text = format!("f32[{}]", texts[self.below(texts.len())]);
                let ty = types::ty(&mut lexer::Cursor::new(&text)).map_err(|f| f.diag).expect("a type");
                ty.as_tensor().and_then(|t| t.shape.clone()).expect("ranked").remove(0)
            }
        }
    }
    fn tensor(&mut self) -> Tensor {
        let sizes: Vec<usize> = (0..self.below(3)).map(|_| self.below(8)).collect();
        let (dtype, seed) = (self.dtype(), self.below(1000) as u64);
        if self.below(3) == 0 && dtype != DType::String {
            let one = seeded(dtype, &[], seed).expect("small");
            return Tensor::splat(&one, &sizes).expect("small");
        }
        seeded(dtype, &sizes, seed).expect("small")
    }
    fn notes(&mut self) -> Notes {
        let props = (0..self.below(2)).map(|_| (self.text(), self.text())).collect();
        let opaque = (0..self.below(2)).map(|_| (self.text(), bytes::Bytes::from(self.text()))).collect();
        Notes { doc: self.text(), props, opaque }
    }
    fn float(&mut self) -> f32 {
        [0.0, -0.0, 0.1, 1e-40, f32::MAX, f32::NAN, f32::NEG_INFINITY, 3.0][self.below(8)]
    }
    fn attr(&mut self) -> Attr {
        let n = self.below(3);
        match self.below(15) {
            0 => Attr::None,
            1 => Attr::Bool(n == 0),
            2 => Attr::Int(i64::MIN + n as i64),
            3 => Attr::Float(self.float()),
            4 => Attr::Str(self.text()),
            5 => Attr::DType(self.dtype()),
            6 => Attr::Ints((0..n).map(|i| i as i64 - 1).collect()),
            7 => Attr::Floats((0..n).map(|_| self.float()).collect()),
            8 => Attr::Strs((0..n).map(|_| self.text()).collect()),
            9 => Attr::Tensor(self.tensor()),
            10 => Attr::Tensors((0..n).map(|_| self.tensor()).collect()),
            11 => Attr::Type(self.ty(2)),
            12 => Attr::Types((0..n).map(|_| self.ty(2)).collect()),
            13 => Attr::Bodies((0..n).collect()),
            _ => Attr::Opaque(self.text(), vec![0, n as u8]),
        }
    }
    /// A value that may be used: an input, a constant or a result.
    fn value(&mut self, g: &mut Graph, known: &mut Vec<ValueId>) -> ValueId {
        if known.is_empty() || self.below(5) == 0 {
            let v = g.add_const(self.tensor());
            known.push(v);
        }
        known[self.below(known.len())]
    }
    fn op(&mut self, results: usize) -> Op {
        if self.below(2) == 0 {
            let schema = Op::ALL[self.below(Op::ALL.len())];
            let mut op = Op::by_name(schema.name).expect("a declared operator");
            for spec in schema.attrs {
                let _ = op.def_mut().set_attr(spec.name, &self.attr());
            }
            return op;
        }
        let mut op =
            Custom { domain: self.text(), name: self.text(), overload: self.text(), ..Custom::default() };
        for i in 0..self.below(4) {
            op.attrs.push((format!("{}{i}", self.text()), self.attr()));
        }
        op.result_types = (0..results).map(|_| self.ty(2)).collect();
        op.into()
    }
    fn node(&mut self, g: &mut Graph, known: &mut Vec<ValueId>, depth: usize) {
        let results = self.below(3);
        let op = self.op(results);
        let custom = matches!(op, Op::Custom(_));
        let count = if custom { self.below(4) } else { op.schema().inputs.len().min(8) };
        let inputs: Vec<_> = (0..count).map(|_| (self.below(6) > 0).then(|| self.value(g, known))).collect();
        let captures = if custom { self.below(inputs.len() + 1) } else { 0 };
        let bodies = if custom && depth > 0 { self.below(3) } else { 0 };
        let mut part =
            OriginPart { name: self.text().into(), op: self.text().into(), ..OriginPart::default() };
        if self.below(2) == 0 {
            (part.module, part.line) = (Some(self.text().into()), Some(self.text().into()));
        }
        let origin = if self.below(2) == 0 { Origin::new(part) } else { Origin::default() };
        let new = NewNode {
            outputs: if custom { results } else { op.schema().output_count().0.max(1) },
            op,
            inputs,
            bodies: (0..bodies).map(|_| self.graph(depth - 1, captures)).collect(),
            captures,
            origin,
            name: Some(self.text().into()),
        };
        // Operands that do not fit the operator are part of the game.
        let Ok(n) = g.append(new) else { return self.retry(g, known, depth) };
        if self.below(3) == 0 {
            let (name, notes) = (g.node(n).name.clone(), self.notes());
            g.describe_node(n, name, Some(Box::new(notes)));
        }
        for v in g.node(n).outputs().to_vec() {
            self.describe(g, v);
            known.push(v);
            let ty = self.ty(1);
            let _ = g.declare_type(v, &ty);
            self.rename_sizes(g, v);
        }
    }
    /// Other words for sizes that are not fixed, as a replacement leaves them.
    fn rename_sizes(&mut self, g: &mut Graph, v: ValueId) {
        let Type::Tensor(TensorType { dtype, shape: Some(shape) }) = g.ty(v).clone() else { return };
        let dim = |d: Dim| if d.known().is_some() { d } else { self.dim() };
        let other: Type = TensorType::new(dtype, shape.into_iter().map(dim).collect::<Vec<_>>()).into();
        if let Some(ty) = other.meet(g.ty(v)) {
            g.values[v].ty = ty;
        }
    }
    fn retry(&mut self, g: &mut Graph, known: &mut Vec<ValueId>, depth: usize) {
        if self.below(4) > 0 {
            self.node(g, known, depth);
        }
    }
    fn describe(&mut self, g: &mut Graph, v: ValueId) {
        if self.below(2) == 0 {
            g.set_name(v, Some(self.text().into()));
        }
        if self.below(5) == 0 {
            g.set_notes(v, self.notes());
        }
    }
    fn graph(&mut self, depth: usize, inputs: usize) -> Graph {
        let (mut g, mut known) = (Graph::new(&self.text()), vec![]);
        for _ in 0..inputs + self.below(3) {
            let (name, ty) = (self.text(), self.ty(2));
            known.push(g.add_input(&name, ty));
        }
        for _ in 0..self.below(8) {
            self.node(&mut g, &mut known, depth);
        }
        for v in known.clone() {
            self.describe(&mut g, v);
        }
        for i in 0..self.below(3) {
            let (name, v) = (self.text(), self.value(&mut g, &mut known));
            g.add_output(&name, v);
            if self.below(3) == 0 {
                g.set_output_notes(i, self.notes());
            }
        }
        g
    }
}

/// What two graphs must share beyond their text.
fn assert_same(a: &Graph, b: &Graph) {
    assert_eq!(a.node_count(), b.node_count());
    assert_eq!(a.inputs().len(), b.inputs().len());
    for (m, n) in a.order().zip(b.order()) {
        let (m, n) = (a.node(m), b.node(n));
        assert_eq!((&m.origin, m.captures(), m.op().name()), (&n.origin, n.captures(), n.op().name()));
        assert_eq!(m.inputs().len(), n.inputs().len());
        for (v, w) in m.inputs().iter().zip(n.inputs()) {
            assert_eq!(v.map(|v| a.constant(v)), w.map(|w| b.constant(w)));
            assert_eq!(v.map(|v| a.ty(v)), w.map(|w| b.ty(w)));
        }
        for (v, w) in m.outputs().iter().zip(n.outputs()) {
            assert_eq!(a.ty(*v), b.ty(*w));
        }
        m.bodies().iter().zip(n.bodies()).for_each(|(x, y)| assert_same(x, y));
    }
}

#[test]
fn random_graphs_survive() {
    let mut ops = std::collections::BTreeMap::new();
    for seed in 0..400 {
        let g = Random(seed).graph(2, 0);
        for n in g.order() {
            *ops.entry(g.node(n).op().name()).or_insert(0) += 1;
        }
        let text = graph_text(&g);
        let back = parse_graph(&text).unwrap_or_else(|d| panic!("seed {seed}\n{text}\n{d}"));
        assert_eq!(graph_text(&back), text, "seed {seed}");
        assert_same(&g, &back);
    }
    assert!(ops.values().sum::<usize>() > 800 && ops.len() > 40, "the generator makes graphs: {ops:?}");
}

#[test]
fn damaged_texts_never_panic() {
    let alphabet = b"%{}()[]<>|@,:;=\"\\-+*/?._0129aeNx \n\xc3";
    let mut r = Random(99);
    let mut read = 0;
    for round in 0..3000 {
        let whole = if round % 3 == 0 { EVERYTHING.to_owned() } else { graph_text(&r.graph(1, 0)) };
        let mut bytes = whole.into_bytes();
        for _ in 0..=r.below(3) {
            let at = r.below(bytes.len());
            match r.below(4) {
                0 => drop(bytes.drain(at..(at + 1 + r.below(10)).min(bytes.len()))),
                1 => bytes.insert(at, alphabet[r.below(alphabet.len())]),
                2 => bytes[at] = alphabet[r.below(alphabet.len())],
                _ => {
                    let piece = bytes[at..(at + r.below(40)).min(bytes.len())].to_vec();
                    let to = r.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(m) = parse_model(&text) {
            read += 1;
            let again = model_text(&m);
            let back = parse_model(&again).unwrap_or_else(|d| panic!("{text}\n{again}\n{d}"));
            assert_eq!(model_text(&back), again);
        }
    }
    assert!(read > 100, "some damage is harmless: {read}");
}

#[test]
fn dumps_leave_out_data_and_origins() {
    let m = parse_model(EVERYTHING).expect("parses");
    let mut out = String::new();
    write_model(&mut out, &m, PrintOptions::dump()).expect("a string");
    assert!(out.contains("hash(\"") && !out.contains("@origin"));
    assert!(parse_model(&out).expect_err("no data").0.iter().all(|d| d.code == "E0405"));
}

#[test]
fn models_stream_to_bytes() {
    let m = parse_model(EVERYTHING).expect("parses");
    let mut bytes = vec![];
    save_model(&mut bytes, &m, PrintOptions::default()).expect("a vector");
    assert_eq!(bytes, EVERYTHING.as_bytes());
    let mut short = [0u8; 10];
    assert!(save_model(&mut &mut short[..], &Model::clone(&m), PrintOptions::default()).is_err());
}
