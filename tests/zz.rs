#[path = "common/case.rs"]
#[allow(dead_code)]
mod case;
use hoist_emitters::tflite::plan;
use hoist_formats::tflite::{bind, lower::Target};
use hoist_ir::model::Model;
use hoist_passes::{Options, Pipeline, run};
use std::collections::BTreeMap;
use std::path::Path;
#[test]
fn zz() {
    let cases = case::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ops"));
    let mut by: BTreeMap<String, (usize, usize, BTreeMap<String, usize>)> = BTreeMap::new();
    for case in cases.iter().filter_map(|c| c.as_ref().ok()) {
        let op = case.place.split('.').next().unwrap().to_owned();
        let mut model = Model { graph: case.graph.clone(), ..Model::default() };
        let target = Target::default();
        let mut options = Options { target: Some(hoist_passes::Target::Tflite(target.clone())), ..Options::default() };
        let _ = run(&Pipeline::parse("legalize-tflite").unwrap(), &mut model, &mut options);
        let e = by.entry(op).or_default();
        match plan(&model, &target) { Ok(_) => e.0 += 1, Err(d) => { e.1 += 1; for d in d.0 { *e.2.entry(d.message).or_default() += 1; } } }
    }
    for (op, (w, r, why)) in by {
        println!("{op}\t{}\t{w}\t{r}\t{}", bind::lowering(&op).is_some(), why.iter().map(|(k, v)| format!("{v}x {k}")).collect::<Vec<_>>().join(" | "));
    }
}
