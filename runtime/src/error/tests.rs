use super::*;

fn f32s(shape: &[usize], v: &[f32]) -> Value {
    Tensor::from_vec(shape, v.to_vec()).into()
}

fn one(want: &Value, got: &Value) -> OutputError {
    let mut report = ErrorReport::new(["y"]);
    report.add(std::slice::from_ref(want), std::slice::from_ref(got));
    report.outputs.remove(0)
}

#[test]
fn figures_are_those_of_their_formulas() {
    let o = one(&f32s(&[4], &[3.0, -4.0, 0.0, 12.0]), &f32s(&[4], &[3.0, -3.0, 0.5, 12.0]));
    assert!((o.sums.snr_db() - 10.0 * (169.0f64 / 1.25).log10()).abs() < 1e-12);
    assert!((o.sums.cosine() - 165.0 / (169.0f64.sqrt() * 162.25f64.sqrt())).abs() < 1e-12);
    assert_eq!((o.sums.max_abs, o.sums.mean_abs(), o.sums.largest), (1.0, 0.375, 12.0));
    assert_eq!((o.agree.all, o.float), (0, true));
}

#[test]
fn samples_in_pieces_give_what_they_give_at_once() {
    let v: Vec<f32> = (0..10_000u16).map(|i| f32::from(i) * 0.37 - 500.0).collect();
    let w: Vec<f32> = v.iter().map(|x| x.round()).collect();
    let all = one(&f32s(&[100, 100], &v), &f32s(&[100, 100], &w));
    let mut report = ErrorReport::new(["y"]);
    for (v, w) in v.chunks(500).zip(w.chunks(500)) {
        report.add(&[f32s(&[5, 100], v)], &[f32s(&[5, 100], w)]);
    }
    let parts = &report.outputs[0];
    assert_eq!((report.runs, parts.sums.count, parts.agree), (20, 10_000, all.agree));
    assert!((parts.sums.snr_db() - all.sums.snr_db()).abs() < 1e-9);
}

#[test]
fn nothing_differs_or_nothing_is_there() {
    let o = one(&f32s(&[2], &[1.0, 2.0]), &f32s(&[2], &[1.0, 2.0]));
    assert_eq!((o.sums.snr_db(), o.sums.cosine()), (f64::INFINITY, 1.0));
    let o = one(&f32s(&[2], &[0.0; 2]), &f32s(&[2], &[0.0, 1.0]));
    assert_eq!((o.sums.snr_db(), o.sums.cosine()), (f64::NEG_INFINITY, 0.0));
    let o = one(&f32s(&[0], &[]), &f32s(&[0], &[]));
    assert_eq!((o.sums.snr_db(), o.sums.mean_abs(), o.is_sound()), (f64::INFINITY, 0.0, true));
}

#[test]
fn numbers_that_are_not_finite() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.0];
    let o = one(&f32s(&[4], &odd), &f32s(&[4], &odd));
    assert_eq!((o.sums.odd, o.sums.count, o.is_sound()), (0, 1, true));
    let o = one(&f32s(&[4], &odd), &f32s(&[4], &[1.0, f32::NEG_INFINITY, f32::NAN, 2.0]));
    assert_eq!((o.sums.odd, o.sums.snr_db(), o.is_sound()), (3, f64::INFINITY, false));
    let huge = |v: f64| Value::from(Tensor::from_vec(&[1], vec![v]));
    let o = one(&huge(1e200), &huge(2e200));
    assert_eq!((o.sums.odd, o.sums.count), (1, 0));
    assert!(one(&huge(1e200), &huge(1e200)).is_sound());
}

#[test]
fn agreement_of_scores() {
    let want = f32s(&[4, 3], &[1.0, 2.0, 3.0, 5.0, 5.0, 0.0, f32::NAN, 1.0, 0.0, 9.0, 0.0, 0.0]);
    let got = f32s(&[4, 3], &[0.0, 2.0, 3.0, 5.0, 5.5, 0.0, 2.0, 1.0, 0.0, 9.0, 0.0, 9.0]);
    let o = one(&want, &got);
    // The second row has its first largest, the third none but of numbers, the fourth ties.
    assert_eq!(o.agree, Share { of: 2, all: 4 });
    assert_eq!(o.agree.percent(), Some(50.0));
    assert_eq!(
        (largest(&[1.0f32, 2.0, 2.0]), largest(&[f32::NAN, -1.0]), largest(&[f32::NAN])),
        (Some(1), Some(1), None)
    );
    assert_eq!(one(&f32s(&[3], &[1.0; 3]), &f32s(&[3], &[1.0; 3])).agree.percent(), None);
    assert_eq!(classes(&[2, 10, 1, 1]), Some(10));
    assert_eq!(classes(&[2, 7, 5]), Some(5));
    assert_eq!(
        (classes(&[2, 1]), classes(&[5]), classes(&[]), classes(&[1, 1, 1])),
        (None, None, None, None)
    );
}

#[test]
fn accuracy_of_both() {
    let mut report = ErrorReport::new(["h", "y", "id"]);
    let hidden = f32s(&[3, 2, 2], &[0.5; 12]);
    let want = f32s(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
    let got = f32s(&[3, 2], &[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    let ids = |v: &[i64]| Value::from(Tensor::from_ints(v));
    let (w, g) = ([hidden.clone(), want, ids(&[0, 1, 0])], [hidden, got, ids(&[0, 0, 0])]);
    report.add_labelled(&w, &g, &[0, 1, 1]);
    assert_eq!(report.outputs[0].accuracy(), None, "it has six rows");
    let (a, b) = report.accuracy().expect("labelled");
    assert!((a - 200.0 / 3.0).abs() < 1e-12 && (b - 100.0 / 3.0).abs() < 1e-12);
    assert_eq!(report.outputs[2].labelled, (Share { of: 2, all: 3 }, Share { of: 1, all: 3 }));
    assert_eq!(report.outputs[1].foreign, 0);
    report.add_labelled(&w, &g, &[0, 2, -1]);
    assert_eq!(report.outputs[1].foreign, 2);
    assert_eq!(report.outputs[1].labelled, (Share { of: 3, all: 6 }, Share { of: 2, all: 6 }));
}

#[test]
fn elements_other_than_floats() {
    let o = one(&Tensor::from_ints(&[1, 2, 3, 4]).into(), &Tensor::from_ints(&[1, 2, 3, 5]).into());
    assert_eq!((o.agree.percent(), o.float, o.sums.max_abs), (Some(75.0), false, 1.0));
    let text = |s: &str| Value::from(Tensor::from_strings(&[1], vec![s.to_owned()]));
    assert_eq!(one(&text("a"), &text("b")).agree, Share { of: 0, all: 1 });
    let o = one(
        &Tensor::from_bools(&[2], vec![true, false]).into(),
        &Tensor::from_bools(&[2], vec![true; 2]).into(),
    );
    assert_eq!(o.agree.percent(), Some(50.0));
}

#[test]
fn what_cannot_be_compared() {
    let o = one(&f32s(&[2], &[1.0; 2]), &f32s(&[2, 1], &[1.0; 2]));
    assert_eq!(o.incomparable, (1, Some("is f32[2, 1] instead of f32[2]".to_owned())));
    assert!(!one(&f32s(&[1], &[1.0]), &Tensor::from_ints(&[1]).into()).is_sound());
    let seq = |v: &[f32]| Value::Sequence(v.iter().map(|x| f32s(&[1], &[*x])).collect());
    assert!(!one(&seq(&[1.0]), &seq(&[])).is_sound());
    assert_eq!(one(&seq(&[1.0, 2.0]), &seq(&[1.0, 3.0])).sums.max_abs, 1.0);
    assert!(one(&Value::Optional(None), &Value::Optional(None)).is_sound());
    let mut report = ErrorReport::new(["y"]);
    report.add(&[f32s(&[1], &[1.0])], &[]);
    assert!(!report.is_sound());
    let wide = Value::from(Tensor::from_vec(&[1], vec![1.5f64]));
    assert!(one(&f32s(&[1], &[1.5]), &wide).is_sound(), "floats of other widths");
}

#[test]
fn the_worst_output_counts() {
    let mut report = ErrorReport::new(["a", "b"]);
    report.add(&[f32s(&[1], &[1.0]), f32s(&[1], &[10.0])], &[f32s(&[1], &[0.9]), f32s(&[1], &[9.9])]);
    assert!((report.worst_snr_db().expect("floats") - 20.0).abs() < 1e-5);
    assert_eq!(ErrorReport::new(["a"]).worst_snr_db(), None);
}
