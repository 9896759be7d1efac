//! What keeps operators from the Edge TPU.
//!
//! Its compiler maps the operators of a file from the inputs on until the first one that it cannot map; that one and all that depends on it run on the CPU. The list of operators
//! and their limits is that of Coral's documentation ("Edge TPU: TensorFlow models", section on supported operations).
use super::lowered;
use hoist_formats::tflite::lower::Target;
use hoist_formats::tflite::program::{Instr, Program, T};
use hoist_formats::tflite::schema::Builtin;
use hoist_ir::diag::Diags;
use hoist_ir::dtype::DType;
use hoist_ir::model::Model;

/// An operator that runs on the CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Label of the node it comes from.
    pub node: String,
    /// Name of the operator in TFLite.
    pub op: &'static str,
    /// Why, as a phrase.
    pub reason: &'static str,
}

/// What an operator must keep to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    None,
    /// No activation of its own.
    Bare,
    /// Windows without gaps.
    Dense,
    /// The same gaps along both axes.
    EvenGaps,
    /// One row at a time.
    Row,
    /// A row of at most 16000 numbers.
    ShortRow,
    /// Steps of 1.
    UnitSteps,
    /// Neither the first axis of four nor the last is reduced.
    Inner,
    /// The first axis stays whole.
    NotFirst,
}

const ALLOWED: &[(Builtin, Limit)] = &[
    (Builtin::Add, Limit::None),
    (Builtin::AveragePool2d, Limit::Bare),
    (Builtin::Concatenation, Limit::Bare),
    (Builtin::Conv2d, Limit::EvenGaps),
    (Builtin::DepthwiseConv2d, Limit::Dense),
    (Builtin::ExpandDims, Limit::None),
    (Builtin::FullyConnected, Limit::Row),
    (Builtin::L2Normalization, Limit::None),
    (Builtin::Logistic, Limit::None),
    (Builtin::MaxPool2d, Limit::Bare),
    (Builtin::Maximum, Limit::None),
    (Builtin::Mean, Limit::Inner),
    (Builtin::Minimum, Limit::None),
    (Builtin::Mul, Limit::None),
    (Builtin::Pack, Limit::None),
    (Builtin::Pad, Limit::None),
    (Builtin::Prelu, Limit::None),
    (Builtin::Quantize, Limit::None),
    (Builtin::ReduceMax, Limit::NotFirst),
    (Builtin::ReduceMin, Limit::NotFirst),
    (Builtin::Relu, Limit::None),
    (Builtin::Relu6, Limit::None),
    (Builtin::ReluN1To1, Limit::None),
    (Builtin::Reshape, Limit::None),
    (Builtin::ResizeBilinear, Limit::None),
    (Builtin::ResizeNearestNeighbor, Limit::None),
    (Builtin::Rsqrt, Limit::None),
    (Builtin::Slice, Limit::None),
    (Builtin::Softmax, Limit::ShortRow),
    (Builtin::SpaceToDepth, Limit::None),
    (Builtin::Split, Limit::None),
    (Builtin::SquaredDifference, Limit::None),
    (Builtin::Squeeze, Limit::None),
    (Builtin::StridedSlice, Limit::UnitSteps),
    (Builtin::Sub, Limit::None),
    (Builtin::Sum, Limit::Inner),
    (Builtin::Tanh, Limit::None),
    (Builtin::Transpose, Limit::None),
    (Builtin::TransposeConv, Limit::None),
];

/// Most numbers of a row of SOFTMAX.
const MAX_ROW: u64 = 16_000;

/// The operators of `model`, as it is written, that the Edge TPU does not run. Conversions between floats and integers at inputs and outputs do not count.
///
/// # Errors
/// All operators that TFLite cannot express.
pub fn edge_tpu(model: &Model, target: &Target) -> Result<Vec<Finding>, Diags> {
    let program = lowered(model, target)?;
    let border = |i: &Instr| match i.builtin {
        Builtin::Quantize => i.inputs.iter().flatten().all(|t| program.inputs.iter().any(|(_, x)| x == t)),
        Builtin::Dequantize => i.outputs.iter().all(|t| program.outputs.iter().any(|(_, y)| y == t)),
        _ => false,
    };
    let all = program.instrs.iter().filter(|i| !border(i));
    Ok(all
        .filter_map(|i| {
            let reason = against(&program, i)?;
            Some(Finding { node: i.label.to_string(), op: i.builtin.name(), reason })
        })
        .collect())
}

/// Why instruction `i` stays on the CPU.
fn against(program: &Program, i: &Instr) -> Option<&'static str> {
    let Some((_, limit)) = ALLOWED.iter().find(|a| a.0 == i.builtin) else {
        return Some("the Edge TPU does not have the operator");
    };
    let computed = |t: &&T| program.def(**t).data.is_none();
    let data: Vec<&T> = i.inputs.iter().flatten().filter(computed).chain(&i.outputs).collect();
    for t in data {
        let def = program.def(*t);
        if def.ty.dtype == DType::F32 {
            return Some("it computes on floats");
        }
        if !matches!(def.ty.dtype, DType::I8 | DType::U8) {
            return Some("its elements are no bytes");
        }
        let Some(sizes) = def.ty.sizes() else { return Some("sizes are not known") };
        let outer: usize = sizes.iter().rev().skip(3).copied().fold(1, usize::saturating_mul);
        if outer > 1 {
            return Some("more than three axes are larger than 1");
        }
    }
    broken(program, i, *limit)
}

fn broken(program: &Program, i: &Instr, limit: Limit) -> Option<&'static str> {
    let options = |name: &str| i.options.as_ref().filter(|o| o.table.slot(name).is_some());
    let option = |name: &str| options(name).map_or(0, |o| o.int(name));
    let gaps = (option("dilation_w_factor").max(1), option("dilation_h_factor").max(1));
    let shape = i.outputs.first().and_then(|t| program.def(*t).ty.sizes()).unwrap_or_default();
    let rows: usize = shape.iter().rev().skip(1).copied().fold(1, usize::saturating_mul);
    let last = shape.last().copied().unwrap_or(1) as u64;
    let given = |slot: usize| {
        let t = i.inputs.get(slot).copied().flatten()?;
        program.def(t).data.as_ref()?.to_i64s().ok()
    };
    let rank = i.inputs.first().copied().flatten().and_then(|t| program.def(t).ty.rank()).unwrap_or(0) as i64;
    let axes = |slot| -> Vec<i64> {
        given(slot).unwrap_or_default().into_iter().map(|a| if a < 0 { a + rank } else { a }).collect()
    };
    match limit {
        Limit::Bare if option("fused_activation_function") != 0 => Some("it has an activation of its own"),
        Limit::Dense if gaps != (1, 1) => Some("its windows have gaps"),
        Limit::EvenGaps if gaps.0 != gaps.1 => Some("the gaps of its windows differ between the axes"),
        Limit::Row if rows > 1 => Some("it computes more than one row"),
        Limit::ShortRow if rows > 1 || last > MAX_ROW => {
            Some("it computes more than one row of 16000 numbers")
        }
        Limit::UnitSteps if given(3).is_none_or(|s| s.iter().any(|s| *s != 1)) => Some("its steps are not 1"),
        Limit::Inner if axes(1).iter().any(|a| *a == 0 || *a == rank - 1) => {
            Some("it reduces other axes than height and width")
        }
        Limit::NotFirst if axes(1).contains(&0) => Some("it reduces the first axis"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_model;

    fn found(body: &str) -> Vec<(&'static str, &'static str)> {
        let text = format!(
            "graph(%x: f32[1, 8]) {{\n%s = const f32[] [0.1]\n%z = const i8[] [3]\n\
             %q = quantize_linear(%x, %s, %z)\n%d = dequantize_linear(%q, %s, %z)\n{body}\n\
             %r = quantize_linear(%y, %s, %z)\n%e = dequantize_linear(%r, %s, %z)\nreturn e: %e\n}}"
        );
        let model = parse_model(&text).expect("valid text");
        let found = edge_tpu(&model, &Target::default()).expect("legal");
        found.iter().map(|f| (f.op, f.reason)).collect()
    }

    #[test]
    fn integers_between_borders_are_mapped() {
        assert_eq!(found("%y = add(%d, %d)"), []);
        assert_eq!(found("%a = const i64[1] [1]\n%y = reduce_max(%d, %a)"), []);
    }

    #[test]
    fn what_runs_on_the_cpu_is_named() {
        let floats =
            [("QUANTIZE", "it computes on floats"), ("FLOOR", "the Edge TPU does not have the operator")];
        let all = found("%y = floor(%d)");
        assert!(all.contains(&floats[1]), "{all:?}");
        let all = found("%a = const i64[1] [1]\n%y = reduce_mean(%d, %a)");
        assert_eq!(all, [("MEAN", "it reduces other axes than height and width")]);
    }
}
