//! Files for readers of other makers, and what those say: `accept.py` checks each ONNX model and runs it in ONNX Runtime, `litert.py` runs each TFLite model
//! in LiteRT. Needs `HOIST_ORACLE_PYTHON`.
use super::case::{Case, Expected};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_runtime::inputs::to_npz;
use std::path::Path;
use std::process::Command;

/// Writes the files that the scripts read; the model's is called `name` with the ending `kind`.
pub fn put(
    dir: &Path,
    (name, kind): (&str, &str),
    model: &[u8],
    inputs: (&[String], &[Value]),
    outputs: (&[String], &[Value]),
    tol: (f64, f64),
) -> bool {
    let (Ok(i), Ok(o)) = (to_npz(inputs.0, inputs.1), to_npz(outputs.0, outputs.1)) else { return false };
    let file = |ending: &str| dir.join(format!("{name}.{ending}"));
    std::fs::write(file(kind), model).expect("writes");
    std::fs::write(file("in.npz"), i).expect("writes");
    std::fs::write(file("out.npz"), o).expect("writes");
    std::fs::write(file("tol"), format!("{} {}", tol.0, tol.1)).expect("writes");
    true
}

/// Input and output names of a graph.
pub fn names(graph: &hoist_ir::graph::Graph) -> (Vec<String>, Vec<String>) {
    let i = graph.interface();
    let texts = |v: Vec<(std::sync::Arc<str>, _)>| v.into_iter().map(|(n, _)| n.to_string()).collect();
    (texts(i.inputs), texts(i.outputs))
}

/// Whether numpy cannot hold the value.
fn odd(v: &Value) -> bool {
    match v {
        Value::Tensor(t) => {
            let bits = t.dtype().bits();
            (bits < 8 && bits > 0) || (t.dtype().is_float() && bits == 8) || t.dtype() == DType::BF16
        }
        Value::Sequence(all) => all.iter().any(odd),
        Value::Optional(v) => v.as_deref().is_some_and(odd),
    }
}

/// What a case expects, where its outputs are fixed and numpy can hold its values.
pub fn comparable(case: &Case) -> Option<Vec<Value>> {
    let known = |e: &Expected| match e {
        Expected::Value(v) => Some(v.clone()),
        Expected::Any(_) => None,
    };
    let expected: Vec<Value> = case.expected.iter().map(known).collect::<Option<_>>()?;
    let odd = case.inputs.iter().chain(&expected).any(odd);
    (!odd).then_some(expected)
}

/// Runs `script` on the files in `dir`; without Python, nothing is compared.
#[expect(clippy::print_stderr, reason = "says that nothing was compared")]
pub fn accept(dir: &Path, script: &str) {
    let Some(python) = std::env::var_os("HOIST_ORACLE_PYTHON") else {
        eprintln!("HOIST_ORACLE_PYTHON is not set: nothing is compared with other readers");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracles").join(script);
    let out = Command::new(python).arg(script).arg(dir).output().expect("python starts");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.trim_end().ends_with(" 0 failed"), "{text}");
}
