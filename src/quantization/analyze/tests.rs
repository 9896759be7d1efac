use super::*;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::Origin;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::text::parse_model;
use hoist_passes::quantize::spec::Grid;
use hoist_passes::quantize::weights::per_channel;

/// Two products with an activation between them.
pub const CHAIN: &str = "graph @g(%x: f32[2, 8]) {\n  %u = const f32[8, 16] seeded(1)\n  %v = const f32[16, 4] seeded(2)\n  \
     %a = mat_mul(%x, %u)\n  %r = relu(%a)\n  %b = mat_mul(%r, %v)\n  return y: %b\n}\n";

pub fn model(text: &str) -> Model {
    parse_model(text).expect("valid")
}

/// [`CHAIN`] with weights in 8 bits but for layers kept in floats. Those of `b` have a scale that is far too large.
pub fn kept_in_float(kept: &[String]) -> Model {
    let mut model = model(CHAIN);
    let g = &mut model.graph;
    for n in g.order_list() {
        let label = g.node_label(n);
        let Some(w) = g.node(n).input(1).filter(|_| !kept.contains(&label)) else { continue };
        let grid = Grid { dtype: DType::I8, symmetric: true };
        let least = if label == "b" { [0.5; 4].as_slice() } else { &[] };
        let q = per_channel(g.constant(w).expect("weights"), Some(1), grid, least).expect("quantizes");
        let mut b = Builder::before(g, n, Origin::default());
        let (data, scales) = (b.constant(q.data), b.constant(q.scales));
        let real = b.add(DequantizeLinear::default(), &[Some(data), Some(scales), None]).expect("fits")[0];
        g.set_operand(n, 1, Some(real)).expect("fits");
        g.drop_unused_const(w);
    }
    model
}

pub fn batches() -> Vec<Vec<Value>> {
    let numbers =
        |k: usize| (0..16).map(move |i| ((i * 7 + k * 5) % 11) as f32 * 0.3 - 1.2).collect::<Vec<f32>>();
    (0..4).map(|k| vec![Tensor::from_vec(&[2, 8], numbers(k)).into()]).collect()
}

fn analysis(build: Build<'_>) -> Analysis {
    analyze(&model(CHAIN), build, &batches(), &mut |_, _| {}).expect("runs")
}

#[test]
fn the_worst_layer_comes_first() {
    let found = analysis(&|kept: &[String], _| Ok(kept_in_float(kept)));
    let names: Vec<&str> = found.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!((names, found.runs), (vec!["b", "a"], 4));
    let [b, a] = &found.layers[..] else { panic!("two layers") };
    assert!(a.output_db > 30.0 && b.output_db < 25.0, "{found:?}");
    // The last layer's own result is the output.
    assert_eq!(b.own_db, Some(b.output_db));
    assert!(a.own_db.is_some_and(|own| own > 35.0), "{a:?}");
    assert!(found.all_db <= b.output_db + 0.5 && found.all_db > b.output_db - 3.0, "{found:?}");
    assert_eq!((b.op.as_str(), b.measured), ("mat_mul", Measured::Alone));
}

#[test]
fn layers_that_are_not_quantized_alone_are_left_out_instead() {
    // `a` is quantized only together with `b`.
    let build = |kept: &[String], _: bool| {
        let mut kept = kept.to_vec();
        if kept.contains(&"b".to_owned()) {
            kept.push("a".to_owned());
        }
        Ok(kept_in_float(&kept))
    };
    let found = analysis(&build);
    let a = found.layers.iter().find(|l| l.name == "a").expect("listed");
    assert_eq!((a.measured, a.own_db), (Measured::Without, None));
    assert!(a.output_db > 25.0, "{found:?}");
    let b = &found.layers[0];
    assert_eq!((b.name.as_str(), b.measured), ("b", Measured::Alone));
}

#[test]
fn a_layer_is_built_with_the_bound_behind_it() {
    let built = std::cell::RefCell::new(vec![]);
    let build = |kept: &[String], forced: bool| {
        built.borrow_mut().push((kept.to_vec(), forced));
        Ok(kept_in_float(kept))
    };
    analysis(&build);
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(*built.borrow(), [(vec![], false), (own(&["b"]), true), (own(&["a", "r"]), true)]);
}

#[test]
fn errors_that_are_gone() {
    // Errors of equal power: without one of them half is left.
    assert!((gone(20.0, 20.0 + 10.0 * 2f64.log10()) - 23.0103).abs() < 1e-4);
    assert!((gone(20.0, f64::INFINITY) - 20.0).abs() < 1e-12);
    assert_eq!(gone(20.0, 19.0), f64::INFINITY);
    assert_eq!(gone(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::INFINITY);
    assert_eq!(gone(f64::NEG_INFINITY, 10.0), f64::NEG_INFINITY);
}

#[test]
fn progress_and_errors() {
    let mut told = vec![];
    let build = |kept: &[String], _: bool| Ok(kept_in_float(kept));
    analyze(&model(CHAIN), &build, &batches(), &mut |done, all| told.push((done, all))).expect("runs");
    assert_eq!(told, [(1, 2), (2, 2)]);
    let fails = |kept: &[String], _: bool| {
        if kept.is_empty() { Ok(kept_in_float(kept)) } else { Err(Diag::error("E0301", "no").into()) }
    };
    assert!(analyze(&model(CHAIN), &fails, &batches(), &mut |_, _| {}).is_err());
    let nothing = |_: &[String], _: bool| Ok(model(CHAIN));
    let found = analyze(&model(CHAIN), &nothing, &batches(), &mut |_, _| {}).expect("runs");
    assert!(found.layers.is_empty() && found.all_db == f64::INFINITY);
}

#[test]
fn neighbours_are_kept_together_while_they_fit() {
    let sizes = [KEPT, 1, KEPT - 1, 1, 2 * KEPT, 5];
    let found: Vec<usize> = groups(&sizes, |s| Some(*s)).iter().map(|g| g.len()).collect();
    assert_eq!(found, [1, 2, 1, 1, 1]);
    assert!(groups(&[0usize; 0], |s| Some(*s)).is_empty());
    assert_eq!(groups(&sizes, |_| None).len(), 1);
}

fn chosen(float: &str, quantized: &str) -> Vec<(String, bool)> {
    quantized_nodes(&model(float).graph, &model(quantized).graph)
        .into_iter()
        .map(|(_, l, k)| (l, k))
        .collect()
}

#[test]
fn nodes_between_conversions_are_quantized() {
    let float = "graph @g(%x: f32[4], %y: f32[4]) {\n  %s = add(%x, %y)\n  %r = reshape(%s, %s0)\n  %t = tanh(%r)\n  return t: %t\n}\n"
        .replace("  %s =", "  %s0 = const i64[1] [4]\n  %s =");
    let head = "graph @g(%x: f32[4], %y: f32[4]) {\n  %s0 = const i64[1] [4]\n  %k = const f32[] [0.1]\n  %z = const i8[] [0]\n  \
         %xq = quantize_linear(%x, %k, %z)\n  %xd = dequantize_linear(%xq, %k, %z)\n  %yq = quantize_linear(%y, %k, %z)\n  %yd = dequantize_linear(%yq, %k, %z)\n  \
         %s = add(%xd, %yd)\n  %sq = quantize_linear(%s, %k, %z)\n  %sd = dequantize_linear(%sq, %k, %z)\n";
    let moved = format!(
        "{head}  %r = reshape(%sd, %s0)\n  %rq = quantize_linear(%r, %k, %z)\n  %rd = dequantize_linear(%rq, %k, %z)\n  %t = tanh(%rd)\n  return t: %t\n}}\n"
    );
    // The activation reads what was dequantized and computes on floats.
    assert_eq!(chosen(&float, &moved), [("s".to_owned(), true), ("r".to_owned(), false)]);
    let real = format!("{head}  %r = reshape(%sd, %s0)\n  %t = tanh(%r)\n  return t: %t\n}}\n");
    assert_eq!(chosen(&float, &real), [("s".to_owned(), true)]);
    assert_eq!(chosen(&moved, &moved), []);
    let bound = "graph @g(%x: f32[4]) {\n  %k = const f32[] [0.1]\n  %z = const i8[] [0]\n  %xq = quantize_linear(%x, %k, %z)\n  \
         %xd = dequantize_linear(%xq, %k, %z)\n  %a = abs(%xd)\n  %r = relu(%a)\n  %q = quantize_linear(%r, %k, %z)\n  return q: %q\n}\n";
    let float = "graph @g(%x: f32[4]) {\n  %a = abs(%x)\n  %r = relu(%a)\n  return q: %r\n}\n";
    assert_eq!(chosen(float, bound), [("a".to_owned(), true)]);
}
