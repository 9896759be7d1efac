//! Matches and misses.
use super::*;
use crate::text::parse_graph;

const MLP: &str = "graph(%x: f32[2, 3], %v: f32[3, 4], %s: f32[2, 4]) {
    %w = const f32[3, 4] splat(0.5)
    %b = const f32[4] [1, 2, 3, 4]
    %half = const f32[1] [0.1]
    %p = mat_mul(%x, %w)
    %y = add(%b, %p)
    %z = mul(%y, %half)
    %q = mat_mul(%x, %v)
    %r = add(%q, %b)
    %t = mul(%q, %s)
    %u = softmax(%t) {axis=0}
    %e = sigmoid(%s)
    %f = mul(%s, %e)
    %g = add(%e, %f)
    return z: %z, r: %r, u: %u, g: %g
}";

/// The node of `graph` that defines `%name`.
fn producer(graph: &Graph, name: &str) -> NodeId {
    let named =
        |n: &NodeId| graph.node(*n).outputs().iter().any(|v| graph.value(*v).name.as_deref() == Some(name));
    graph.order().find(named).expect(name)
}
/// Names of the values of all variables, or the miss.
fn try_at(text: &str, at: &str) -> Result<String, (String, usize)> {
    let (g, p) = (parse_graph(MLP).expect("parses"), Pattern::parse(text).expect("a pattern"));
    let m = p.matches(&g, producer(&g, at)).map_err(|m| (m.reason, m.matched))?;
    let values = p.variables.iter().map(|v| m.value(v).map_or("-".to_owned(), |v| g.value_label(v)));
    Ok(values.collect::<Vec<_>>().join(" "))
}
fn miss(reason: &str, matched: usize) -> Result<String, (String, usize)> {
    Err((reason.to_owned(), matched))
}

#[test]
fn variables_constants_and_orders() {
    assert_eq!(try_at("add~(mat_mul(%x, const(%w)), %b)", "y").as_deref(), Ok("x w b"));
    assert_eq!(try_at("add(%b, mat_mul(%x, %w))", "y").as_deref(), Ok("b x w"));
    assert_eq!(try_at("mul~(const(0.1), add~(%b, mat_mul~(const(%w), %x)))", "z").as_deref(), Ok("b w x"));
    assert_eq!(try_at("mul(%x, sigmoid(%x))", "f"), miss("inner `sigmoid` is also used by `g`", 2));
    assert_eq!(try_at("mul(%x, &sigmoid(%x))", "f").as_deref(), Ok("s"));
    assert_eq!(try_at("add(sigmoid(%x), mul(%x, sigmoid(%x)))", "g").as_deref(), Ok("s"));
    assert_eq!(try_at("softmax(%x) {axis=0}", "u").as_deref(), Ok("t"));
}

#[test]
fn misses_say_why() {
    let fits_no_order = try_at("add~(mat_mul(%x, const(%w)), %b)", "r");
    assert_eq!(fits_no_order, miss("`v` of `q` is not constant", 2));
    assert_eq!(try_at("add~(mat_mul(%x, %w), %b)", "r"), miss("inner `mat_mul` is also used by `t`", 2));
    assert_eq!(try_at("add(%x, %x)", "r"), miss("`%x` would be two different values", 1));
    assert_eq!(try_at("add(%x, %y)", "z"), miss("`z` is `mul`, not `add`", 0));
    assert_eq!(try_at("softmax(%x) {axis=1}", "u"), miss("`axis` of `u` is 0, not 1", 0));
    assert_eq!(try_at("softmax(mul(%x, const(2.0)))", "u"), miss("`s` of `t` is not the constant 2", 2));
    assert_eq!(try_at("mul(%x, const(0.2))", "z"), miss("`half` of `z` is not the constant 0.2", 1));
    assert_eq!(try_at("sigmoid(relu(%x))", "e"), miss("`s` of `e` is no result of `relu`", 1));
    let shown = parse_graph("graph(%x: f32[2]) {\n%a = relu(%x)\n%b = relu(%a)\nreturn a: %a, b: %b\n}");
    let (shown, p) = (shown.expect("parses"), Pattern::parse("relu(relu(%x))").expect("a pattern"));
    let m = p.matches(&shown, producer(&shown, "b")).expect_err("shown");
    assert_eq!(
        (m.reason.as_str(), m.at),
        ("inner `relu` is also shown by output `a`", producer(&shown, "a"))
    );
}

const CONVS: &str = "graph(%x: f32[1, 2, 4, 4], %w: f32[2, 2, 1, 1], %b: f32[2]) {
    %p = conv(%x, %w)
    %q = conv(%x, %w, %b)
    %n = const i64[2] [1, 1]
    %l, %r = split(%p, %n) {axis=1}
    %s = add(%l, %q)
    %t = add(%r, %s)
    return %t
}";

#[test]
fn optional_operands_and_results() {
    let g = parse_graph(CONVS).expect("parses");
    let matches = |text: &str, at: &str| {
        let p = Pattern::parse(text).expect("a pattern");
        let names =
            |m: &Match<'_>| p.variables.iter().map(|v| m.value(v).map(|v| g.value_label(v))).collect();
        p.matches(&g, producer(&g, at)).as_ref().map(names).map_err(|m| m.reason.clone())
    };
    let some = |names: &[&str]| Ok(names.iter().map(|n| Some((*n).to_owned())).collect::<Vec<_>>());
    assert_eq!(matches("conv(%x, %w, %b?)", "q"), some(&["x", "w", "b"]));
    assert_eq!(matches("conv(%x, %w, %b?)", "p").map(|v| v[2].clone()), Ok(None));
    assert_eq!(matches("conv(%x, %w, _)", "p"), some(&["x", "w"]));
    assert_eq!(matches("conv(%x, %w, _)", "q"), Err("`q` has the operand `b`".to_owned()));
    assert_eq!(matches("conv(%x, %w, %b)", "p"), Err("an operand of `p` is absent".to_owned()));
    assert_eq!(matches("conv(%x, %w)", "q"), Err("`q` has more than 2 operands".to_owned()));
    assert_eq!(matches("conv(%x, ..)", "q"), some(&["x"]));
    assert_eq!(matches("add(&split(%x, ..).1 {axis=1}, %y)", "t"), some(&["p", "s"]));
    assert_eq!(matches("add(&split(%x, ..), %y)", "t"), Err("`r` is result 1 of `l`, not 0".to_owned()));
    assert_eq!(matches("add(split(%x, ..).1, %y)", "t"), Err("inner `split` is also used by `s`".to_owned()));
    assert_eq!(matches("add(split(%x, ..).1, add(split(%x, ..), %y))", "t"), some(&["p", "q"]));
}

#[test]
fn nodes_are_found_by_name() {
    let (g, p) =
        (parse_graph(MLP).expect("parses"), Pattern::parse("add~(mat_mul(%x, %w) @product, %b) @sum"));
    let p = p.expect("a pattern");
    let (root, inner) = (producer(&g, "y"), producer(&g, "p"));
    let m = p.matches(&g, root).expect("matches");
    assert_eq!(
        (m.node("sum"), m.node("product"), m.node("x"), m.value("q")),
        (Some(root), Some(inner), None, None)
    );
    assert_eq!((p.root(), m.inner()), ("add", &[inner][..]));
}

#[test]
fn wrong_patterns_are_refused() {
    for text in [
        "",
        "nope(%x)",
        "add(%x",
        "add(%x, %y, %z)",
        "relu~(%x)",
        "softmax(%x) {axes=1}",
        "softmax(%x) {axis=\"a\"}",
        "relu(%x) extra",
        "add(relu(%x) @n, relu(%y) @n)",
        "add(const(x), %y)",
        &"relu(".repeat(10_000),
    ] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
}
