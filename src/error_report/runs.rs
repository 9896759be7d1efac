//! Two models run on the same samples, one batch at a time.
use super::border::{Border, meaning};
use crate::calibration::Batches;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::{Def, Graph};
use hoist_ir::model::Executor;
use hoist_ir::tensor::Tensor;
use hoist_parsers::source::Source;
use hoist_runtime::error::ErrorReport;
use hoist_runtime::inputs::tensor_from_npy;
use std::path::Path;

/// Constants of fewer elements are no weights.
const FEW: usize = 64;

/// Whether a model computes with quantized numbers or has its weights in them.
pub fn is_quantized(g: &Graph) -> bool {
    let computes = |name: &str| {
        name.contains("quantize")
            || name.starts_with("q_")
            || ["mat_mul_integer", "conv_integer", "mat_mul_n_bits", "mat_mul_bnb4"]
                .iter()
                .any(|p| name.starts_with(p))
    };
    let stored = g.values().any(|(v, value)| {
        let used = value.def() == Def::Const && !value.uses().is_empty();
        g.constant(v)
            .filter(|_| used)
            .is_some_and(|t| t.rank() >= 2 && t.len() >= FEW && is_narrow(t.dtype()))
    });
    stored
        || g.order().any(|n| {
            let node = g.node(n);
            computes(node.op().name()) || node.bodies().iter().any(is_quantized)
        })
}

/// Whether elements take a byte or less and are numbers.
fn is_narrow(dtype: DType) -> bool {
    dtype.bits() <= 8 && (dtype.is_int() || dtype.is_float())
}

/// Classes that are right, in the order of the samples.
#[derive(Clone, PartialEq, Debug)]
pub struct Labels {
    values: Vec<i64>,
    /// Labels of one sample.
    each: usize,
    next: usize,
}

impl Labels {
    /// Reads them from a `.npy` file: whole numbers, one per sample or one per row of a sample's scores.
    ///
    /// # Errors
    /// `E0101` when the file cannot be read, `E0603` when it holds something else.
    pub fn read(path: &Path) -> Result<Self, Diags> {
        let source = Source::open(path).map_err(|e| Diag::error("E0101", e.to_string()))?;
        let array = tensor_from_npy(source.bytes()).and_then(|t| Self::of(&t));
        array.map_err(|d| crate::io::about(path, d.into()))
    }
    /// Those of a tensor whose first axis counts samples.
    ///
    /// # Errors
    /// `E0603` when it has no axis, or holds anything but whole numbers.
    pub fn of(t: &Tensor) -> Result<Self, Diag> {
        let unfit = |m: String| Diag::error("E0603", m).hint("labels are whole numbers, one per sample");
        let Some((samples, rest)) = t.shape().split_first() else {
            return Err(unfit("a single number is no list of labels".to_owned()));
        };
        let values = if t.dtype().is_float() {
            let all = t.to_f64s().map_err(|e| unfit(e.to_string()))?;
            if let Some(odd) = all.iter().find(|v| v.fract() != 0.0 || v.abs() > 1e15) {
                return Err(unfit(format!("label {odd} is no whole number")));
            }
            all.into_iter().map(|v| v as i64).collect()
        } else {
            t.cast(DType::I64, false).and_then(|t| t.to_i64s()).map_err(|e| unfit(e.to_string()))?
        };
        let each = if *samples == 0 { 1 } else { rest.iter().copied().fold(1, usize::saturating_mul) };
        Ok(Self { values, each, next: 0 })
    }
    /// Those of the next `samples`.
    ///
    /// # Errors
    /// `E0603` when there are fewer.
    pub fn take(&mut self, samples: usize) -> Result<&[i64], Diag> {
        let start = self.next;
        let end = samples.checked_mul(self.each).and_then(|n| start.checked_add(n));
        let all = self.values.len() / self.each.max(1);
        let few =
            || Diag::error("E0603", format!("there are labels of {all} samples only, and more samples"));
        let taken = end.and_then(|end| self.values.get(start..end)).ok_or_else(few)?;
        self.next = start + taken.len();
        Ok(taken)
    }
    /// Whether all were taken.
    ///
    /// # Errors
    /// `E0603` when some are left.
    pub fn finish(&self) -> Result<(), Diag> {
        let (all, taken) = (self.values.len() / self.each.max(1), self.next / self.each.max(1));
        if all == taken {
            return Ok(());
        }
        Err(Diag::error("E0603", format!("there are labels of {all} samples, and {taken} samples")))
    }
}

/// One run of both models.
pub struct Batch {
    /// Inputs, in order.
    pub inputs: Vec<Value>,
    /// Samples in it.
    pub samples: usize,
}

impl Batch {
    /// A batch of as many samples as the first axis of the first tensor with axes counts.
    pub fn new(inputs: Vec<Value>) -> Self {
        let first = inputs.iter().filter_map(Value::as_tensor).find_map(|t| t.shape().first().copied());
        Self { inputs, samples: first.unwrap_or(1) }
    }
}

/// Samples from files as batches.
pub struct Counted {
    batches: Batches,
    labelled: bool,
}

impl Counted {
    /// All of `batches`. Where they are `labelled`, none may be left out between others.
    pub fn new(batches: Batches, labelled: bool) -> Self {
        Self { batches, labelled }
    }
    /// What is to be said about the data, after the last batch.
    pub fn warnings(&self) -> Vec<Diag> {
        self.batches.warnings()
    }
}

impl Iterator for Counted {
    type Item = Result<Batch, Diags>;
    fn next(&mut self) -> Option<Self::Item> {
        let (done, left_out) = (self.batches.done(), self.batches.left_out());
        let next = self.batches.next();
        if self.labelled && self.batches.left_out() > left_out {
            let m =
                "samples that fill no batch are left out, so it is not known which labels go with the others";
            return Some(Err(Diag::error("E0603", m)
                .hint("give samples and labels in multiples of the model's batch size")
                .into()));
        }
        let samples = self.batches.done() - done;
        Some(next?.map(|inputs| Batch { inputs, samples }).map_err(Diags::from))
    }
}

/// A model that runs.
pub struct Side<'a> {
    /// What runs it.
    pub executor: &'a dyn Executor,
    /// Where it was read from, for errors.
    pub path: Option<&'a Path>,
}

impl Side<'_> {
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Diags> {
        let named =
            |d: Diag| self.path.map_or_else(|| d.clone().into(), |p| crate::io::about(p, d.clone().into()));
        self.executor.run(inputs).map_err(named)
    }
}

/// Error of `other`, whose interface is behind `border`, against `float`, over all `batches`. Memory is that of one batch.
///
/// # Errors
/// Those of the batches; `E0603` when labels and samples are not as many, and what the executors say.
pub fn compare(
    (float, other): (&Side<'_>, &Side<'_>),
    border: &Border,
    batches: impl Iterator<Item = Result<Batch, Diags>>,
    mut labels: Option<Labels>,
    mut report: ErrorReport,
) -> Result<(ErrorReport, u64), Diags> {
    let mut samples = 0u64;
    for batch in batches {
        let Batch { inputs, samples: n } = batch?;
        let given = border.inputs(inputs.clone()).map_err(Diags::from)?;
        let want = float.run(inputs)?;
        let got = border.outputs(other.run(given)?).map_err(Diags::from)?;
        match &mut labels {
            Some(labels) => report.add_labelled(&want, &got, labels.take(n)?),
            None => report.add(&want, &got),
        }
        samples = samples.saturating_add(n as u64);
    }
    if let Some(labels) = &labels {
        labels.finish()?;
    }
    Ok((report, samples))
}

/// Inputs that were made up, moved into what the first conversions of `quantized` can tell apart, where it has some: the numbers it was made for.
///
/// # Errors
/// `E0603` when they cannot be converted.
pub fn within_range(quantized: &Graph, inputs: Vec<Value>) -> Result<Vec<Value>, Diag> {
    /// Made-up numbers lie within this of 0.
    const REACH: f32 = 3.4642;
    let one = |(i, value): (usize, Value)| {
        let interval = quantized.inputs().get(i).and_then(|v| meaning(quantized, *v)?.interval());
        let (Some((low, high)), Value::Tensor(t)) = (interval, &value) else { return Ok(value) };
        if !t.dtype().is_float() {
            return Ok(value);
        }
        let unfit = |e: hoist_ir::tensor::TensorError| Diag::error("E0603", e.to_string());
        let scale = (high - low) / (2.0 * REACH);
        let moved = |v: &f32| low + (v + REACH) * scale;
        let numbers: Vec<f32> = t
            .cast(DType::F32, false)
            .and_then(|t| Ok(t.to_f32s()?.iter().map(moved).collect()))
            .map_err(unfit)?;
        let moved = Tensor::from_vec(t.shape(), numbers);
        Ok(moved.cast(t.dtype(), false).map_err(unfit)?.into())
    };
    inputs.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_model;

    fn graph(text: &str) -> Graph {
        parse_model(text).expect("valid").graph
    }

    #[test]
    fn quantized_models_are_known() {
        let plain = "graph @g(%x: f32[2, 64]) {\n  %w = const f32[64, 2] splat(1)\n  %i = const u8[2] [1, 0]\n  %y = matmul(%x, %w)\n  return y: %y\n}\n";
        assert!(!is_quantized(&graph(&plain.replace("matmul", "mat_mul"))));
        let weights = "graph @g(%x: f32[2, 64]) {\n  %w = const i8[64, 2] splat(1)\n  %f = cast(%w) {to=f32}\n  %y = mat_mul(%x, %f)\n  return y: %y\n}\n";
        assert!(is_quantized(&graph(weights)));
        let steps = "graph @g(%x: f32[2]) {\n  %s = const f32[] [0.5]\n  %q = quantize_linear(%x, %s, _)\n  return y: %q\n}\n";
        assert!(is_quantized(&graph(steps)));
        let integers = "graph @g(%x: i8[2, 2], %y: i8[2, 2]) {\n  %q = mat_mul_integer(%x, %y, _, _)\n  return y: %q\n}\n";
        assert!(is_quantized(&graph(integers)));
    }

    #[test]
    fn labels_are_taken_in_order() {
        let mut labels = Labels::of(&Tensor::from_ints(&[1, 2, 3])).expect("labels");
        assert_eq!(labels.take(2).expect("two"), [1, 2]);
        assert!(labels.finish().is_err_and(|d| d.message.contains("3 samples, and 2")));
        assert!(labels.take(2).is_err());
        assert_eq!(labels.take(1).expect("one"), [3]);
        assert!(labels.finish().is_ok());
        let mut rows = Labels::of(&Tensor::from_vec(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0])).expect("labels");
        assert_eq!(rows.take(1).expect("one"), [1, 2]);
        assert!(Labels::of(&Tensor::from_vec(&[1], vec![0.5f32])).is_err());
        assert!(Labels::of(&Tensor::scalar(1i64)).is_err());
        assert!(Labels::of(&Tensor::from_strings(&[1], vec!["a".to_owned()])).is_err());
    }

    #[test]
    fn made_up_inputs_are_within_the_range() {
        let text = "graph @g(%x: f32[3], %y: f32[3]) {\n  %s = const f32[] [0.5]\n  %z = const u8[] [0]\n  %q = quantize_linear(%x, %s, %z)\n  return q: %q, y: %y\n}\n";
        let t = || Value::from(Tensor::from_vec(&[3], vec![-3.4642f32, 0.0, 3.4642]));
        let moved = within_range(&graph(text), vec![t(), t()]).expect("numbers");
        assert_eq!(moved, [Tensor::from_vec(&[3], vec![0.0f32, 63.75, 127.5]).into(), t()]);
    }
}
