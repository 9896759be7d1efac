//! Models of operators on quantized tensors, as the gate sees them.
//!
//! Such an operator rounds a number to one of the steps of its result. A format that has it as a float operator between conversions, or as an integer
//! operator that stands for those, rounds a number that differs in the last bits: where it is all but between two steps, the result is the
//! other one, and what follows differs by some steps. Such results are compared with those of the same model of float operators, as exactly as any
//! others, and less exactly with those of the model itself.
use hoist_formats::tflite::lower::Target;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_passes::{Options, Pipeline, run};

/// Steps by which 8-bit results may differ.
const STEPS: u64 = 3;
/// Part of the largest magnitude by which real results may differ.
const PART: f64 = 0.05;

/// `source` with its operators on quantized tensors replaced by what they mean in reals; none when it has none.
pub fn in_reals(source: &Model) -> Option<Model> {
    let mut model = source.clone();
    let pipeline = Pipeline::parse("legalize-quantized").ok()?;
    let target = Some(hoist_passes::Target::Tflite(Target::default()));
    let mut options = Options { target, ..Options::default() };
    let report = run(&pipeline, &mut model, &mut options).ok()?;
    (report.changed() > 0).then_some(model)
}

/// Whether results differ by a few steps at most.
pub fn near(got: &[Value], want: &[Value]) -> bool {
    got.len() == want.len()
        && got.iter().zip(want).all(|pair| match pair {
            (Value::Tensor(g), Value::Tensor(w)) => near_tensors(g, w),
            (g, w) => g == w,
        })
}

fn near_tensors(got: &Tensor, want: &Tensor) -> bool {
    if got.ty() != want.ty() {
        return false;
    }
    if matches!(want.dtype(), DType::I8 | DType::U8) {
        let (Ok(g), Ok(w)) = (got.to_i64s(), want.to_i64s()) else { return false };
        return g.iter().zip(&w).all(|(g, w)| g.abs_diff(*w) <= STEPS);
    }
    if !want.dtype().is_float() {
        return got == want;
    }
    let (Ok(g), Ok(w)) = (got.to_f64s(), want.to_f64s()) else { return false };
    let most = w.iter().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs())) * PART;
    g.iter().zip(&w).all(|(g, w)| g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= most)
}
