use super::*;
use crate::quantization::analyze::tests::{CHAIN, batches, kept_in_float, model};
use hoist_ir::tensor::Tensor;

fn report(want: &[f32], got: &[f32]) -> ErrorReport {
    let value = |v: &[f32]| Value::from(Tensor::from_vec(&[v.len()], v.to_vec()));
    let mut report = ErrorReport::new(["y"]);
    report.add(&[value(want)], &[value(got)]);
    report
}

#[test]
fn models_are_compared_on_all_batches() {
    let written = kept_in_float(&["b".to_owned()]);
    let all = batches().into_iter().map(Ok);
    let found = check_quantized(&model(CHAIN), &written, Path::new("w.onnx"), all).expect("runs");
    assert_eq!((found.runs, found.outputs[0].name.as_str(), found.outputs[0].sums.count), (4, "y", 32));
    assert!(found.worst_snr_db().is_some_and(|db| db > 30.0 && db < 80.0), "{found:?}");
    assert!(Allowance::default().judge(&found, false).is_ok_and(|w| w.0.is_empty()));
    let fails = std::iter::once(Err(Diag::error("E0603", "damaged")));
    assert!(check_quantized(&model(CHAIN), &written, Path::new("w.onnx"), fails).is_err());
    let other = model("graph @g(%x: f32[3]) {\n  return y: %x\n}\n");
    let diags = check_quantized(&model(CHAIN), &other, Path::new("w.onnx"), batches().into_iter().map(Ok));
    assert!(diags.expect_err("other inputs").0[0].message.contains("w.onnx"));
}

#[test]
fn too_much_is_refused_unless_it_is_allowed() {
    // 6 dB.
    let far = report(&[1.0, 0.0], &[0.5, 0.0]);
    let standard = Allowance::default();
    let diags = standard.judge(&far, false).expect_err("too far");
    assert!(
        diags.0[0].code == "E0601" && diags.0[0].hint.as_deref().is_some_and(|h| h.contains("--allow-loss"))
    );
    let allowed = Allowance { allow_loss: true, ..standard };
    let warnings = allowed.judge(&far, false).expect("allowed");
    assert_eq!((warnings.0.len(), warnings.0[0].severity), (1, Severity::Warning));
    assert!(Allowance { min_snr: Some(6.0), ..standard }.judge(&far, false).is_ok_and(|w| w.0.is_empty()));
    assert!(Allowance { min_snr: Some(30.0), ..standard }.judge(&report(&[1.0], &[0.9]), false).is_err());
}

#[test]
fn made_up_inputs_only_warn_unless_nothing_is_left() {
    let standard = Allowance::default();
    let warnings = standard.judge(&report(&[1.0, 0.0], &[0.5, 0.0]), true).expect("only far");
    assert_eq!((warnings.0.len(), warnings.0[0].severity), (1, Severity::Warning));
    assert!(standard.judge(&report(&[1.0, 0.0], &[-0.5, 0.0]), true).is_err(), "worse than zeros");
    assert!(
        Allowance { min_snr: Some(10.0), ..standard }.judge(&report(&[1.0], &[0.5]), true).is_err(),
        "asked for"
    );
}

#[test]
fn nothing_allows_what_is_no_number() {
    let odd = report(&[1.0, 2.0], &[1.0, f32::NAN]);
    let allowed = Allowance { allow_loss: true, ..Allowance::default() };
    let diags = allowed.judge(&odd, true).expect_err("NaN");
    assert!(diags.0[0].hint.as_deref().is_some_and(|h| !h.contains("--allow-loss")));
}

#[test]
fn costly_models_are_checked_on_fewer_samples() {
    assert_eq!(samples(&model(CHAIN)), SAMPLES);
    let large = model(
        "graph @g(%x: f32[4096, 4096], %y: f32[4096, 4096]) {\n  %z = mat_mul(%x, %y)\n  return z: %z\n}\n",
    );
    assert_eq!(samples(&large), 1);
}
