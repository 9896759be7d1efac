use super::*;
use crate::quantization::analyze::tests::{CHAIN, kept_in_float, model};
use hoist_ir::tensor::Tensor;
use hoist_runtime::inputs::to_npz;
use hoist_runtime::npz::{Array, ArrayData, NpyType, write_npy};

/// A folder with samples for [`CHAIN`] and labels that its float form finds.
fn folder() -> (tempfile::TempDir, CalibrationOpts, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers: Vec<f32> = (0..24 * 8).map(|i| ((i * 37) % 23) as f32 * 0.13 - 1.4).collect();
    let npz = to_npz(&["x"], &[Tensor::from_vec(&[24, 8], numbers).into()]).expect("an archive");
    let samples = folder.path().join("samples.npz");
    std::fs::write(&samples, npz).expect("writable");
    let calibration = CalibrationOpts { calibration: vec![samples], ..CalibrationOpts::default() };
    let float = crate::gate::executor(&model(CHAIN)).expect("runs");
    let mut labels: Vec<u8> = vec![];
    for batch in calibration.open(&model(CHAIN).graph).expect("samples") {
        use hoist_ir::model::Executor as _;
        let y = float.run(batch.expect("a batch")).expect("runs").remove(0).into_tensor().expect("a tensor");
        for row in y.to_f32s().expect("floats").chunks(4) {
            labels.push((0..4u8).max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize])).expect("four"));
        }
    }
    let array = Array {
        name: String::new(),
        shape: vec![24],
        data: ArrayData::Numbers(NpyType::UInt8, labels.into()),
    };
    let path = folder.path().join("labels.npy");
    std::fs::write(&path, write_npy(&array).expect("an array")).expect("writable");
    (folder, calibration, path)
}

#[expect(clippy::unnecessary_wraps, reason = "it is called as one that may fail")]
fn build(kept: &[String], _: bool) -> Result<Model, Diags> {
    Ok(kept_in_float(kept))
}

#[test]
fn layers_are_shown_and_drawn() {
    let (folder, calibration, _) = folder();
    let picture = folder.path().join("layers.svg");
    let asked = Studying { analyze: true, analyze_plot: Some(picture.clone()), ..Studying::default() };
    assert!(asked.is_asked() && !Studying::default().is_asked());
    let (found, drawn) =
        asked.run(&model(CHAIN), &build, &calibration, "chain", &mut |_, _| {}).expect("runs");
    assert!(!picture.exists(), "it appears with the model");
    drawn.expect("a picture").commit().expect("writable");
    assert!(found.kept().is_empty() && found.members().contains_key("analysis"));
    assert!(found.to_string().lines().nth(1).is_some_and(|l| l.starts_with("b ")), "{found}");
    assert!(std::fs::read_to_string(&picture).expect("written").contains("<title>b (mat_mul)"));
    let made_up = asked.run(&model(CHAIN), &build, &CalibrationOpts::default(), "chain", &mut |_, _| {});
    assert_eq!(made_up.expect("runs").0.analysis.map(|a| a.layers.len()), Some(2));
}

#[test]
fn a_drop_is_met_by_keeping_the_worst_layer() {
    let (_folder, calibration, labels) = folder();
    for labels in [Some(labels), None] {
        let asked = Studying { max_drop: Some(0.0), labels, ..Studying::default() };
        let (found, _) = asked.run(&model(CHAIN), &build, &calibration, "", &mut |_, _| {}).expect("met");
        assert_eq!(found.kept(), ["b"], "{found}");
        let budget = found.budget.as_ref().expect("found");
        assert!(budget.before.drop > 0.0 && budget.after.drop <= 0.0, "{budget:?}");
        assert!(found.to_string().starts_with("drop ") && found.to_string().ends_with("  b\n"), "{found}");
        assert_eq!(found.members()["budget"]["kept_in_float"], json!(["b"]));
    }
}

#[test]
fn a_drop_that_is_small_enough_costs_one_run() {
    let (_folder, calibration, _) = folder();
    let asked = Studying { max_drop: Some(100.0), ..Studying::default() };
    let (found, _) = asked.run(&model(CHAIN), &build, &calibration, "", &mut |_, _| {}).expect("met");
    assert!(found.analysis.is_none() && found.budget.as_ref().is_some_and(|b| b.evaluations == 1));
    assert!(found.to_string().contains("no layer has to stay"), "{found}");
}

#[test]
fn a_drop_needs_samples() {
    let asked = Studying { max_drop: Some(1.0), ..Studying::default() };
    let diags = asked.run(&model(CHAIN), &build, &CalibrationOpts::default(), "", &mut |_, _| {});
    assert_eq!(diags.err().map(|d| d.0[0].code), Some("E0603"));
}
