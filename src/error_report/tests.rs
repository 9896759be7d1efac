use super::*;
use hoist_ir::eval::Value as Datum;
use hoist_ir::tensor::Tensor;

fn report(want: Datum, got: Datum) -> ErrorReport {
    let mut report = ErrorReport::new(["y"]);
    report.add(&[want], &[got]);
    report
}
fn floats(v: &[f32]) -> Datum {
    Tensor::from_vec(&[1, v.len()], v.to_vec()).into()
}
fn complaint(limits: &Limits, want: Datum, got: Datum) -> Option<String> {
    limits.complaint(&report(want, got).outputs[0])
}

#[test]
fn floats_are_bound_by_their_ratio() {
    let standard = Limits::default();
    // 20 dB, and 6 dB.
    assert_eq!(complaint(&standard, floats(&[1.0, 0.0]), floats(&[0.9, 0.0])), None);
    let why = complaint(&standard, floats(&[1.0, 0.0]), floats(&[0.5, 0.0])).expect("too far");
    assert_eq!(why, "has a signal-to-noise ratio of 6.02 dB, less than 10 dB");
    assert_eq!(complaint(&Limits { snr: 6.0, ..standard }, floats(&[1.0, 0.0]), floats(&[0.5, 0.0])), None);
    let limits = Limits { snr: -100.0, agreement: Some(60.0) };
    let why = complaint(&limits, floats(&[1.0, 0.9]), floats(&[0.9, 1.0])).expect("too far");
    assert_eq!(why, "agrees in 0.00 %, less than 60 %");
    let why = complaint(&standard, floats(&[1.0, 0.0]), floats(&[1.0, f32::NAN])).expect("too far");
    assert_eq!(why, "has elements that are NaN or infinite in one model only: 1");
    let why = complaint(&limits, floats(&[1.0]), floats(&[1.0, 2.0])).expect("too far");
    assert_eq!(why, "is f32[1, 2] instead of f32[1, 1] (runs with other sizes or types: 1)");
}

#[test]
fn other_elements_are_equal_or_near() {
    let ints = |v: &[i64]| Datum::from(Tensor::from_ints(v));
    let standard = Limits::default();
    assert_eq!(complaint(&standard, ints(&[100, 200]), ints(&[101, 201])), None, "near");
    let why = complaint(&standard, ints(&[1, 2]), ints(&[2, 1])).expect("too far");
    assert_eq!(why, "is equal in 0.00 % of the elements, less than 90 %");
    let strict = Limits { agreement: Some(100.0), ..standard };
    assert!(complaint(&strict, ints(&[100, 200]), ints(&[101, 201])).is_some());
}

#[test]
fn columns_that_nothing_fills_are_left_out() {
    let shown = text(&report(floats(&[1.0]), floats(&[0.9])), &Limits::default(), &Limits::default());
    assert!(!shown.contains("agree") && !shown.contains("accuracy"), "{shown}");
    let mut labelled = ErrorReport::new(["y\n"]);
    labelled.add_labelled(&[floats(&[1.0, 0.0])], &[floats(&[0.0, 0.1])], &[0]);
    let shown = text(&labelled, &Limits::default(), &Limits::default());
    assert!(shown.contains("agree") && shown.contains("100.00 %") && shown.contains("TOO FAR"), "{shown}");
    assert_eq!(shown.lines().count(), 2, "names cannot break lines: {shown}");
    let members = members(&labelled, &Limits::default());
    assert_eq!(members[0]["accuracy"]["drop"], 100.0);
    assert_eq!(members[0]["ok"], false);
}

#[test]
fn ratios_that_are_not_finite() {
    let same = report(floats(&[1.0]), floats(&[1.0]));
    let members = members(&same, &Limits::default());
    assert_eq!((members[0]["snr_db"].is_null(), &members[0]["exact"]), (true, &json!(true)));
    assert!(text(&same, &Limits::default(), &Limits::default()).contains("exact"));
    assert_eq!(decibels(f64::NEG_INFINITY), "no signal");
}

#[test]
fn labels_that_are_no_class_are_an_error() {
    let mut labelled = ErrorReport::new(["y"]);
    labelled.add_labelled(&[floats(&[1.0, 0.0])], &[floats(&[1.0, 0.0])], &[2]);
    let diags = Limits::default().complaints(&labelled);
    assert_eq!((diags.0.len(), diags.0[0].code), (1, "E0603"));
}
