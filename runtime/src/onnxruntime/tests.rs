use super::*;

/// `y = x + x` with `x: f32[2]`, ONNX's wire format by hand: IR version 8, opset 17.
fn model() -> Vec<u8> {
    fn field(number: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(body.len()).expect("short")];
        out.extend_from_slice(body);
        out
    }
    let info = |name: &str| {
        let dim = field(1, &[8, 2]);
        let tensor = [&[8u8, 1][..], &field(2, &dim)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    };
    let node = [field(1, b"x"), field(1, b"x"), field(2, b"y"), field(4, b"Add")].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &info("x")), field(12, &info("y"))].concat();
    [&[8u8, 8][..], &field(7, &graph), &field(8, &[16, 17])].concat()
}

#[test]
fn missing_libraries_are_explained() {
    let e = find_library(Some(Path::new("no/such/libonnxruntime.so"))).expect_err("missing");
    assert_eq!(e.code, "E0604");
    assert!(e.hint.is_some_and(|h| h.contains("HOIST_ORACLE_PYTHON")));
    assert_eq!(library_of(Path::new("no/such/bin/python")), None);
    assert!(is_library("libonnxruntime.so.1.32.0") && is_library("libonnxruntime.1.32.0.dylib"));
    assert!(!is_library("libonnxruntime_providers_shared.so"));
}

#[test]
fn values_go_there_and_back() {
    if std::env::var_os("HOIST_ORACLE_PYTHON").is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, model()).expect("written");
    let engine = OnnxRuntime::load(None, &path, Some(1)).expect("loads");
    let x = Value::from(Tensor::from_vec(&[2], vec![1.5f32, -2.0]));
    assert_eq!(engine.run(vec![x.clone()]), Ok(vec![Tensor::from_vec(&[2], vec![3.0f32, -4.0]).into()]));
    assert_eq!(engine.run(vec![x.clone(), x]).expect_err("two").code, "E0603");
    for dtype in [DType::F64, DType::F16, DType::I4] {
        let odd = Tensor::scalar(1i64).cast(dtype, false).expect("ok").reshape(&[1]).expect("ok");
        assert!(engine.run(vec![odd.into()]).is_err());
    }
    let texts = Value::from(Tensor::from_strings(&[2], vec!["a".to_owned(), "ß".to_owned()]));
    assert_eq!(to_ort(&texts).and_then(from_ort), Ok(texts));
    let two = Value::Sequence(vec![Tensor::from_ints(&[1, 2]).into(), Tensor::from_ints(&[3]).into()].into());
    assert_eq!(to_ort(&two).and_then(from_ort), Ok(two.clone()));
    let some = Value::Optional(Some(Box::new(two.clone())));
    assert_eq!(to_ort(&some).and_then(from_ort), Ok(two));
    assert!(to_ort(&Value::Sequence(vec![].into())).is_err() && to_ort(&Value::Optional(None)).is_err());
    let truths = Value::from(Tensor::from_bools(&[0, 2], vec![]));
    assert_eq!(to_ort(&truths).and_then(from_ort), Ok(truths));
}
