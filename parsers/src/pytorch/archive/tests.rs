use super::*;
use crate::pytorch::sample::DenseTensor;
use crate::zip::tests::build;
use ::zip::CompressionMethod;

const PROGRAM: &str = r#"{"graph_module": {"graph": {"inputs": [], "outputs": [], "nodes": [], "tensor_values": {}},
  "signature": {"input_specs": [], "output_specs": []}}, "schema_version": {"major": 8, "minor": 20}}"#;

const NO_CONSTANTS: &str = r#"{"config": {}}"#;

/// (args, kwargs) = ((float tensor of one element,), {"flag": True})
const SAMPLE: &[u8] = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00K\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR\x85}X\x04\0\0\0flag\x88s\x86.";

fn config(fields: &str) -> String {
    format!(
        r#"{{"config": {{"w": {{"path_name": "weight_0", "is_param": true, "use_pickle": false,
        "tensor_meta": {{"dtype": 3, "sizes": [{{"as_int": 3}}, {{"as_int": 2}}], "requires_grad": true,
        "device": {{"type": "cpu", "index": null}}, "strides": [{{"as_int": 1}}, {{"as_int": 3}}],
        "storage_offset": {{"as_int": 0}}, "layout": 7{fields}}}}}}}}}"#
    )
}

fn archive(format: &str, order: &str, config: &str, weight: &[u8]) -> Bytes {
    with_program(PROGRAM, format, order, config, weight)
}

fn with_program(program: &str, format: &str, order: &str, config: &str, weight: &[u8]) -> Bytes {
    let sample = build(
        &[("archive/data.pkl", SAMPLE), ("archive/data/0", &1.5_f32.to_le_bytes())],
        CompressionMethod::Stored,
    );
    let entries: [(&str, &[u8]); 7] = [
        ("m/data/weights/weight_0", weight),
        ("m/data/weights/model_weights_config.json", config.as_bytes()),
        ("m/data/constants/model_constants_config.json", NO_CONSTANTS.as_bytes()),
        ("m/models/model.json", program.as_bytes()),
        ("m/data/sample_inputs/model.pt", &sample),
        ("m/archive_format", format.as_bytes()),
        ("m/byteorder", order.as_bytes()),
    ];
    build(&entries, CompressionMethod::Stored).into()
}

fn open(bytes: Bytes) -> Result<Pt2Archive, Pt2Error> {
    Pt2Archive::open(bytes, None)
}

fn shorts(numbers: &[u8]) -> Vec<u8> {
    numbers.iter().flat_map(|&n| [n, 0]).collect()
}

#[test]
fn weights_are_read_through_their_strides() {
    let opened = open(archive("pt2", "little", &config(""), &shorts(&[0, 1, 2, 3, 4, 5]))).unwrap();
    let data = opened.read(opened.payload("w").unwrap()).unwrap();
    assert_eq!((data.dtype, &data.shape[..]), (TorchDtype::Int16, &[3, 2][..]));
    assert_eq!(data.data, shorts(&[0, 3, 1, 4, 2, 5]));
    assert!(opened.payload("v").is_none());
    assert_eq!(opened.program().validate(), []);
}

#[test]
fn weights_that_the_program_asks_for_must_be_there() {
    let input = r#""inputs": [{"as_tensor": {"name": "p"}}]"#;
    let spec = r#""input_specs": [{"parameter": {"arg": {"name": "p"}, "parameter_name": "w"}}]"#;
    let meta = config("").split_once("\"tensor_meta\": ").unwrap().1.trim_end_matches("}}}").to_owned();
    let problems = |spec: &str, meta: &str| {
        let program = PROGRAM
            .replace("\"inputs\": []", input)
            .replace("\"input_specs\": []", spec)
            .replace("\"tensor_values\": {}", &format!("\"tensor_values\": {{\"p\": {meta}}}"));
        let bytes = with_program(&program, "pt2", "little", &config(""), &shorts(&[0; 6]));
        open(bytes).unwrap().validate().len()
    };
    assert_eq!(problems(spec, &meta), 0);
    assert_eq!(problems(&spec.replace("\"w\"", "\"v\""), &meta), 1);
    assert_eq!(problems(spec, &meta.replace("\"dtype\": 3", "\"dtype\": 13")), 1);
    assert_eq!(problems(spec, &meta.replace("\"as_int\": 2", "\"as_int\": 4")), 1);
    assert_eq!(problems(&spec.replace("\"p\"", "\"q\""), &meta), 1);
}

#[test]
fn sample_inputs_are_a_pair() {
    let opened = open(archive("pt2", "little", &config(""), &[])).unwrap();
    let inputs = opened.sample_inputs().unwrap().unwrap();
    let tensor = DenseTensor {
        dtype: TorchDtype::Float32,
        shape: vec![1],
        data: Bytes::copy_from_slice(&1.5_f32.to_le_bytes()),
    };
    assert_eq!(inputs.args, [Sample::Tensor(tensor)]);
    assert_eq!(inputs.kwargs, [("flag".to_owned(), Sample::Bool(true))]);
}

#[test]
fn wrong_archives_are_refused() {
    let good = shorts(&[0; 6]);
    assert!(matches!(open(archive("zork", "little", &config(""), &good)), Err(Pt2Error::NotPt2(_))));
    assert!(matches!(open(archive("pt2", "big", &config(""), &good)), Err(Pt2Error::Pickled { .. })));
    let outside = config("").replace("weight_0", "../weight_0");
    assert!(matches!(open(archive("pt2", "little", &outside, &good)), Err(Pt2Error::Payload { .. })));
    let missing = config("").replace("weight_0", "weight_1");
    assert!(matches!(open(archive("pt2", "little", &missing, &good)), Err(Pt2Error::Payload { .. })));
    let sparse = config("").replace("\"layout\": 7", "\"layout\": 1");
    assert!(matches!(open(archive("pt2", "little", &sparse, &good)), Err(Pt2Error::Payload { .. })));
    let short = open(archive("pt2", "little", &config(""), &good[..10])).unwrap();
    assert!(matches!(short.read(&short.weights()[0]), Err(Pt2Error::Payload { .. })));
    assert!(matches!(
        Pt2Archive::open(archive("pt2", "little", &config(""), &good), Some("x")),
        Err(Pt2Error::WhichModel(_))
    ));
}
