//! Integers as inputs and outputs of a quantized graph.
//!
//! An input of floats that is only quantized becomes one of integers, and an output that was dequantized shows the integers. Who runs the model then converts: the file says the
//! scales where its format has a place for them, as TFLite does.
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::types::{TensorType, Type};

/// Changes the interface of `g`; returns the names of what holds integers now.
///
/// # Errors
/// Those of edits, none of which a valid graph causes.
pub fn integer_interface(g: &mut Graph) -> Result<Vec<String>, Diag> {
    let mut changed = vec![];
    for v in g.inputs().to_vec() {
        let Some((conversions, ty)) = only_quantized(g, v) else { continue };
        g.set_input_type(v, ty)?;
        for n in conversions {
            for q in g.node(n).outputs().to_vec() {
                g.replace_uses(q, v)?;
            }
            g.erase(n)?;
        }
        changed.push(g.value_label(v));
    }
    for i in 0..g.outputs().len() {
        let Some((n, stored)) = dequantized(g, g.outputs()[i].value) else { continue };
        g.redirect_output(i, stored)?;
        g.erase_dead(n);
        changed.push(g.outputs()[i].name.to_string());
    }
    Ok(changed)
}

/// The nodes that read input `v`, all of which quantize it alike with one scale, and the type of their results.
fn only_quantized(g: &Graph, v: ValueId) -> Option<(Vec<NodeId>, Type)> {
    let reader = |u: &Use| match u {
        Use::Node { node, slot: 0 } if g.node(*node).op().name() == "quantize_linear" => Some(*node),
        _ => None,
    };
    let nodes: Vec<NodeId> = g.value(v).uses().iter().map(reader).collect::<Option<_>>()?;
    let stored = |n: &NodeId| g.ty(*g.node(*n).outputs().first()?).as_tensor().cloned();
    let first = *nodes.first()?;
    let dtype = stored(&first)?.dtype;
    let scale = g.constant(g.node(first).input(1)?)?;
    let alike = |n: &NodeId| {
        let (a, b) = (g.node(*n), g.node(first));
        (a.op(), a.input(1), a.input(2)) == (b.op(), b.input(1), b.input(2))
    };
    let ty = TensorType { dtype, ..g.ty(v).as_tensor()?.clone() };
    (is_stored(dtype) && scale.len() == 1 && nodes.iter().all(alike)).then(|| (nodes, ty.into()))
}

/// The node that dequantizes what is computed as `v`, with one scale, and the integers.
fn dequantized(g: &Graph, v: ValueId) -> Option<(NodeId, ValueId)> {
    let n = g.producer(v).filter(|n| g.node(*n).op().name() == "dequantize_linear")?;
    let stored = g.node(n).input(0).filter(|s| g.producer(*s).is_some())?;
    let scale = g.constant(g.node(n).input(1)?)?;
    let dtype = g.ty(stored).as_tensor()?.dtype;
    (is_stored(dtype) && scale.len() == 1).then_some((n, stored))
}

fn is_stored(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8 | DType::I16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::{graph_text, parse_graph};

    const CONVERSIONS: &str = "graph(%x: f32[N, 4], %z: f32[N, 4]) {\n  %s = const f32[] [0.5]\n  %o = const i8[] [3]\n  \
        %q = quantize_linear(%x, %s, %o)\n  %d = dequantize_linear(%q, %s, %o)\n  %p = quantize_linear(%z, %s, %o)\n  \
        %e = dequantize_linear(%p, %s, %o)\n  %a = add(%d, %e)\n  %r = quantize_linear(%a, %s, %o)\n  \
        %y = dequantize_linear(%r, %s, %o)\n  %c = relu(%z)\n  return y: %y, c: %c\n}\n";

    #[test]
    fn what_is_only_quantized_becomes_integers() {
        let mut g = parse_graph(CONVERSIONS).expect("valid text");
        let changed = integer_interface(&mut g).expect("edits");
        assert_eq!(changed, ["x", "y"], "z is also read as floats");
        assert!(g.verify().0.is_empty());
        let text = graph_text(&g);
        assert!(text.starts_with("graph(%x: i8[N, 4], %z: f32[N, 4])"), "{text}");
        assert_eq!(text.matches("= quantize_linear(").count(), 2, "{text}");
        assert!(integer_interface(&mut g).expect("edits").is_empty());
    }
}
