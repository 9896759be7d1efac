use super::*;
use crate::quantization::analyze::tests::{CHAIN, batches, kept_in_float, model};
use hoist_ir::tensor::Tensor;

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("l{i}")).collect()
}

/// Finds with a drop that is a function of which layers are kept; checks that what is returned is what was measured.
fn found(n: usize, max: f64, give_back: usize, drop: impl Fn(&[bool]) -> f64) -> Result<Budget, Diags> {
    let layers = names(n);
    let mut measure = |kept: &[String]| {
        let kept: Vec<bool> = layers.iter().map(|l| kept.contains(l)).collect();
        let bytes = 100 + 300 * kept.iter().filter(|k| **k).count() as u64;
        Ok(Outcome { drop: drop(&kept), bytes })
    };
    let budget = find(measure(&[])?, &layers, max, give_back, &mut measure)?;
    assert_eq!(measure(&budget.kept)?, budget.after);
    assert!(budget.after.drop <= max);
    Ok(budget)
}

/// Each layer costs what its rank says.
fn sum(costs: &[f64]) -> impl Fn(&[bool]) -> f64 {
    let costs = costs.to_vec();
    move |kept| costs.iter().zip(kept).filter(|(_, k)| !**k).map(|(c, _)| c).sum()
}

#[test]
fn nothing_is_kept_where_nothing_must_be() {
    let b = found(4, 0.5, GIVE_BACK, |_| 0.4).expect("fits");
    assert_eq!((b.kept.len(), b.evaluations, b.after), (0, 1, b.before));
    let b = found(0, 0.5, GIVE_BACK, |_| 0.5).expect("fits");
    assert!(b.kept.is_empty());
}

#[test]
fn the_fewest_of_the_worst_are_kept() {
    let costs: Vec<f64> = (0..100).map(|i| if i < 3 { 2.0 } else { 0.001 }).collect();
    let b = found(100, 0.5, GIVE_BACK, sum(&costs)).expect("fits");
    assert_eq!(b.kept, names(3));
    // One with everything quantized, one with nothing, seven to choose among a hundred, two to give back.
    assert_eq!(b.evaluations, 11);
    assert_eq!((b.before.bytes, b.after.bytes), (100, 1000));
}

#[test]
fn layers_of_high_rank_that_do_no_harm_are_given_back() {
    // The third layer alone does the harm.
    let costs = [0.0, 0.01, 5.0, 0.1];
    let b = found(4, 0.5, GIVE_BACK, sum(&costs)).expect("fits");
    assert_eq!(b.kept, ["l2"]);
    let b = found(4, 0.5, 1, sum(&costs)).expect("fits");
    assert_eq!(b.kept, ["l0", "l2"], "no evaluations are left");
    let b = found(4, 0.105, GIVE_BACK, sum(&costs)).expect("fits");
    assert_eq!(b.kept, ["l1", "l2"], "both would be too much");
}

#[test]
fn a_loss_that_jumps_about_is_met_all_the_same() {
    // Odd numbers of layers lose more, and so do less than five.
    let jumps = |kept: &[bool]| {
        let n = kept.iter().filter(|k| **k).count();
        if n == kept.len() || n >= 5 && n.is_multiple_of(2) { 0.1 } else { 1.0 + n as f64 }
    };
    for give_back in [0, GIVE_BACK] {
        let b = found(21, 0.5, give_back, jumps).expect("fits");
        assert!(b.after.drop == 0.1 && b.kept.len() >= 6, "{b:?}");
    }
    assert_eq!(found(1, 0.5, GIVE_BACK, |k| if k[0] { 0.0 } else { 1.0 }).expect("fits").kept, ["l0"]);
}

#[test]
fn what_cannot_be_met_is_refused() {
    let diags = found(3, 0.5, GIVE_BACK, |_| 0.75).expect_err("too much");
    assert_eq!(diags.0[0].code, "E0601");
    assert!(diags.0[0].message.contains("still 0.750 % with all 3 layers"), "{diags}");
    assert!(found(3, 0.5, GIVE_BACK, |_| f64::NAN).is_err());
    assert!(found(0, 0.5, GIVE_BACK, |_| 1.0).is_err());
}

#[test]
fn an_error_ends_the_search() {
    let mut runs = 0;
    let mut measure = |_: &[String]| {
        runs += 1;
        if runs == 2 {
            Err(Diags::from(Diag::error("E0603", "no more")))
        } else {
            Ok(Outcome { drop: 0.0, bytes: 0 })
        }
    };
    let before = Outcome { drop: 1.0, bytes: 0 };
    assert_eq!(find(before, &names(8), 0.5, 4, &mut measure).expect_err("fails").0[0].code, "E0603");
    assert_eq!(runs, 2);
}

#[test]
fn losses_of_reports() {
    let floats = |shape: &[usize], v: &[f32]| Value::from(Tensor::from_vec(shape, v.to_vec()));
    let report = |want: Value, got: Value, labels: &[i64]| {
        let mut report = ErrorReport::new(["y"]);
        report.add_labelled(&[want], &[got], labels);
        report
    };
    let (w, g) = (floats(&[2, 2], &[1.0, 0.0, 0.0, 1.0]), floats(&[2, 2], &[1.0, 0.0, 1.0, 0.0]));
    assert_eq!(loss(&report(w.clone(), g.clone(), &[0, 1])), 50.0);
    assert_eq!(loss(&report(w.clone(), g.clone(), &[0, 0])), -50.0, "it became better");
    assert_eq!(loss(&report(w.clone(), g, &[])), 50.0, "agreement");
    let error = loss(&report(floats(&[1], &[1.0]), floats(&[1], &[0.9]), &[]));
    assert!((error - 1.0).abs() < 1e-5, "{error}");
    assert_eq!(loss(&report(w, floats(&[1], &[1.0]), &[])), 100.0);
    assert_eq!(loss(&ErrorReport::new(["y"])), 0.0);
}

#[test]
fn models_are_measured_on_data_that_is_read_again() {
    let float = model(CHAIN);
    let build = |kept: &[String], _: bool| Ok(kept_in_float(kept));
    let mut opened = 0;
    let mut data = || {
        opened += 1;
        let all = batches().into_iter().map(|b| Ok(Batch::new(b)));
        Ok(Box::new(all) as Box<dyn Iterator<Item = Result<Batch, Diags>>>)
    };
    let labels = Labels::of(&Tensor::from_ints(&[0; 8])).expect("labels");
    let mut labelled = Evaluation::new(&float, &build, &mut data, Some(labels));
    let all: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
    let none = labelled.measure(&all).expect("runs");
    assert_eq!(none.drop, 0.0);
    drop(labelled);
    let mut plain = Evaluation::new(&float, &build, &mut data, None);
    let (first, second) = (plain.measure(&[]).expect("runs"), plain.measure(&[]).expect("runs"));
    assert_eq!(first, second, "outputs that are kept are those that would be computed");
    assert!(plain.measure(&all).expect("runs").drop == 0.0 && first.bytes < none.bytes);
    drop(plain);
    let few = Labels::of(&Tensor::from_ints(&[0; 7])).expect("labels");
    assert!(Evaluation::new(&float, &build, &mut data, Some(few)).measure(&[]).is_err());
    assert_eq!(opened, 5);
}
