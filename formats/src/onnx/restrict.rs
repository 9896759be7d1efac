//! What older operator sets of ONNX ask of a node beyond element types and attribute names: operands of one type, and axes counted
//! from the front.
use super::row::{Arg, Foreign};
use hoist_ir::attr::Attr;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// Operands that share a type variable in a range of operator sets and do not in the newest: operator, first, last, operands.
const ONE_TYPE: &[(&str, i64, i64, &[usize])] = &[
    ("BatchNormalization", 1, 13, &[0, 1, 2, 3, 4]),
    ("BatchNormalization", 14, 14, &[0, 1, 2]),
    ("QuantizeLinear", 19, 22, &[0, 1]),
];

/// Checks that operands of one type variable have one element type.
///
/// # Errors
/// What the operator set lacks, as a phrase.
pub fn one_type(graph: &Graph, out: &Foreign) -> Result<(), String> {
    let covers = |(op, first, last, _): &&(&str, i64, i64, &[usize])| {
        *op == out.op_type && (*first..=*last).contains(&out.opset)
    };
    let Some((_, _, last, slots)) = ONE_TYPE.iter().find(covers) else { return Ok(()) };
    let dtype = |slot: &usize| out.value(*slot).and_then(|v| graph.ty(v).as_tensor()).map(|t| t.dtype);
    let mut types = slots.iter().filter_map(|s| Some((s, dtype(s)?)));
    let Some((first, one)) = types.next() else { return Ok(()) };
    match types.find(|(_, t)| *t != one) {
        Some((slot, other)) => {
            let since = last + 1;
            Err(format!("{one} as operand {first} beside {other} as operand {slot} (since opset {since})"))
        }
        None => Ok(()),
    }
}

/// Checks that constant positions of `OneHot` are not counted from the end, which began in operator set 11.
///
/// # Errors
/// What the operator set lacks, as a phrase.
pub fn positions_from_front(graph: &Graph, out: &Foreign) -> Result<(), String> {
    if out.opset >= 11 || out.op_type != "OneHot" {
        return Ok(());
    }
    let positions = out.value(0).and_then(|v| graph.constant(v)).and_then(|t| t.to_f64s().ok());
    if positions.is_some_and(|p| p.iter().any(|v| *v < 0.0)) {
        return Err("negative positions (since opset 11)".to_owned());
    }
    Ok(())
}

/// Operators whose axes could be counted from the end only since operator set 11.
const COUNTED: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Compress",
    "Concat",
    "Flatten",
    "OneHot",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Slice",
    "Split",
    "Squeeze",
    "TopK",
    "Unsqueeze",
];

/// Counts axes from the front before operator set 11.
///
/// # Errors
/// When the rank is not known.
pub fn axes_from_front(graph: &Graph, n: NodeId, out: &mut Foreign) -> Result<(), String> {
    if out.opset >= 11 || !out.domain.is_empty() || !COUNTED.contains(&out.op_type.as_str()) {
        return Ok(());
    }
    let node = graph.node(n);
    let rank_of = |v: Option<ValueId>| graph.ty(v?).as_tensor().and_then(TensorType::rank);
    let inserts = matches!(out.op_type.as_str(), "Unsqueeze" | "OneHot");
    let rank = rank_of(if inserts { node.outputs().first().copied() } else { node.input(0) });
    let front = |axis: i64| -> Result<i64, String> {
        if axis >= 0 {
            return Ok(axis);
        }
        let resolved = rank.and_then(|r| resolve_axis(axis, r).ok()).and_then(|a| i64::try_from(a).ok());
        resolved.ok_or_else(|| format!("axis {axis} of data of unknown rank (since opset 11)"))
    };
    // -1 is the default of these.
    let by_default = |axis: i64| axis == -1 && matches!(out.op_type.as_str(), "OneHot" | "TopK");
    let counted = |value: &Attr| match value {
        Attr::Int(axis) if *axis < 0 && !by_default(*axis) => front(*axis).map(|a| Some(Attr::Int(a))),
        Attr::Ints(axes) if axes.iter().any(|a| *a < 0) => {
            axes.iter().map(|a| front(*a)).collect::<Result<_, _>>().map(|a| Some(Attr::Ints(a)))
        }
        _ => Ok(None),
    };
    let mut changed = vec![];
    for (at, (name, value)) in out.attrs.iter().enumerate() {
        if matches!(name.as_str(), "axis" | "axes") {
            changed.extend(counted(value)?.map(|new| (at, new)));
        }
    }
    for (at, new) in changed {
        out.attrs[at].1 = new;
    }
    // Operator set 10 has the axes of slices as an operand.
    if out.op_type == "Slice"
        && let Some(axes) = out.value(3).and_then(|v| graph.constant(v)).and_then(|t| t.to_i64s().ok())
        && axes.iter().any(|a| *a < 0)
    {
        let axes: Vec<i64> = axes.into_iter().map(front).collect::<Result<_, _>>()?;
        out.set_input(3, Arg::Const(Tensor::from_ints(&axes)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::lower::{Target, lower};
    use hoist_ir::text::parse_graph;

    /// The first node of `body` at operator set `opset`.
    fn lowered(body: &str, opset: i64) -> Result<Foreign, String> {
        let g = parse_graph(body).expect("valid text");
        let n = g.order().next().expect("a node");
        lower(&g, n, &Target { opset, source: None, domains: vec![] })
    }

    #[test]
    fn axes_count_from_the_front_before_11() {
        let squeeze = "graph(%x: f32[2, 1, 1]) {\n  %a = const i64[2] [-1, -2]\n  %y = squeeze(%x, %a)\n  return y: %y\n}\n";
        let axes = |opset| lowered(squeeze, opset).expect("a form").take("axes");
        assert_eq!(axes(10), Some(Attr::Ints(vec![2, 1])));
        assert_eq!(axes(11), Some(Attr::Ints(vec![-1, -2])));
        let concat = "graph(%x: f32[*]) {\n  %y = concat(%x, %x) {axis=-1}\n  return y: %y\n}\n";
        assert!(lowered(concat, 10).is_err_and(|e| e.contains("since opset 11")));
        assert!(lowered(concat, 11).is_ok());
    }

    #[test]
    fn constant_positions_count_from_the_front_before_11() {
        let text = |first: i64| {
            format!(
                "graph(%v: f32[2]) {{\n  %i = const i64[2] [{first}, 1]\n  %d = const i64[] [3]\n  %y = one_hot(%i, %d, %v)\n  return y: %y\n}}\n"
            )
        };
        assert!(lowered(&text(-1), 10).is_err_and(|e| e.contains("since opset 11")));
        assert!(lowered(&text(0), 10).is_ok());
        assert!(lowered(&text(-1), 11).is_ok());
    }

    #[test]
    fn scales_have_the_type_of_the_data_from_19_to_22() {
        let text = "graph(%x: f32[2], %s: f16[]) {\n  %y = quantize_linear(%x, %s)\n  return y: %y\n}\n";
        assert!(lowered(text, 21).is_err_and(|e| e.contains("since opset 23")));
        assert!(lowered(text, 23).is_ok());
    }
}
