//! What ONNX files carry beside the computation comes back as it was, through the text form too, or is refused by name.
use hoist_emitters::onnx::{WriteOptions, plan};
use hoist_formats::onnx::generated::{
    DeviceConfigurationProto, GraphProto, ModelProto, NodeDeviceConfigurationProto, NodeProto,
    OperatorSetIdProto, ShardingSpecProto, StringStringEntryProto, TensorAnnotation, TensorProto,
    TensorShapeProto, TrainingInfoProto, TypeProto, ValueInfoProto, type_proto,
};
use hoist_formats::onnx::kept::is_annotation;
use hoist_ir::diag::Diags;
use hoist_ir::model::Model;
use hoist_ir::text::{PrintOptions, parse_model, save_model};
use hoist_parsers::onnx::{ReadOptions, read};
use hoist_parsers::source::Source;
use hoist_passes::{Options, Pipeline, run};
use prost::Message;

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are optional")]
fn text(s: &str) -> Option<String> {
    Some(s.to_owned())
}

fn pair(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: text(key), value: text(value) }
}

fn float(name: &str, value: f32) -> TensorProto {
    TensorProto { name: text(name), data_type: Some(1), float_data: vec![value], ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: text(op),
        name: text(output),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

fn value(name: &str) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(TensorShapeProto::default()) };
    let ty = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: text(name), r#type: Some(ty), ..Default::default() }
}

/// `y = neg(x * w)`, with an annotation of the product, a placed node, and a training step of `w`.
fn proto() -> ModelProto {
    let mut mul = node("Mul", &["x", "w"], "t");
    let split = ShardingSpecProto { tensor_name: text("w"), device: vec![0, 1], ..Default::default() };
    mul.device_configurations.push(NodeDeviceConfigurationProto {
        configuration_id: text("two"),
        sharding_spec: vec![split],
        ..Default::default()
    });
    let graph = GraphProto {
        name: text("g"),
        node: vec![mul, node("Neg", &["t"], "y")],
        initializer: vec![float("w", 2.0), float("t_scale", 0.5)],
        input: vec![value("x")],
        output: vec![value("y")],
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: text("t"),
            quant_parameter_tensor_names: vec![pair("SCALE_TENSOR", "t_scale")],
        }],
        ..Default::default()
    };
    let step = GraphProto {
        node: vec![node("Add", &["w", "y"], "w_next")],
        output: vec![value("w_next")],
        ..Default::default()
    };
    ModelProto {
        ir_version: Some(11),
        opset_import: vec![OperatorSetIdProto { domain: text(""), version: Some(18) }],
        graph: Some(graph),
        configuration: vec![DeviceConfigurationProto {
            name: text("two"),
            num_devices: Some(2),
            device: vec!["a".to_owned(), "b".to_owned()],
        }],
        training_info: vec![TrainingInfoProto {
            algorithm: Some(step),
            update_binding: vec![pair("w", "w_next")],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn lifted(proto: &ModelProto) -> Result<Model, Diags> {
    read(&Source::from_bytes("kept.onnx", proto.encode_to_vec().into()), &ReadOptions::default())
}

fn written(model: &Model, opset: Option<i64>) -> Result<ModelProto, Diags> {
    let mut bytes = vec![];
    plan(model, &WriteOptions { opset, ..Default::default() })?
        .write_model(&mut bytes)
        .expect("writes to memory");
    Ok(ModelProto::decode(&bytes[..]).expect("valid"))
}

#[test]
fn everything_comes_back() {
    let before = proto();
    let model = lifted(&before).expect("valid");
    let mut printed = vec![];
    save_model(&mut printed, &model, PrintOptions::default()).expect("writes to memory");
    let again = parse_model(&String::from_utf8(printed).expect("text")).expect("reads back");
    for model in [model, again] {
        let after = written(&model, None).expect("expressible");
        assert_eq!(after.training_info, before.training_info);
        assert_eq!(after.configuration, before.configuration);
        assert_eq!((after.ir_version(), after.opset_import[0].version()), (11, 18));
        let (before, after) = (before.graph.as_ref().expect("one"), after.graph.expect("one"));
        assert_eq!(after.quantization_annotation, before.quantization_annotation);
        assert_eq!(after.node[0].device_configurations, before.node[0].device_configurations);
        assert!(after.initializer.iter().any(|t| t.name() == "t_scale" && t.float_data == [0.5]));
    }
}

#[test]
fn state_begins_with_what_was_saved_unless_it_is_fed() {
    let text = r#"model {
  source = "tflite",
  props = ["hoist.state" = "[{\"input\": \"s\", \"output\": \"s.next\"}]"],
  opaque = [("state.s", "0000803f00000040")]
}
graph(%x: f32[2], %s: f32[2]) {
  %n = add(%x, %s)
  return s.next: %n
}
"#;
    let mut model = parse_model(text).expect("valid");
    for _ in 0..2 {
        let proto = written(&model, None).expect("expressible");
        let graph = proto.graph.as_ref().expect("one");
        let inputs: Vec<&str> = graph.input.iter().map(|i| i.name()).collect();
        let first: Vec<&str> = graph.initializer.iter().map(|t| t.name()).collect();
        assert_eq!((inputs, first), (vec!["x", "s"], vec!["s"]));
        model = lifted(&proto).expect("valid");
        assert_eq!(model.graph.inputs().len(), 2);
        assert!(
            model.opaque.iter().any(|(k, b)| k == "state.s" && b[..] == [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40])
        );
    }
    let mut other = written(&model, None).expect("expressible");
    other.graph.as_mut().expect("one").initializer[0].dims = vec![1];
    other.graph.as_mut().expect("one").initializer[0].raw_data = Some(vec![0; 4].into());
    assert!(lifted(&other).is_err_and(|d| d.to_string().contains("`s` does not fit")));
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let refusal =
        |model: &Model, opset| written(model, opset).err().map(|d| d.to_string()).unwrap_or_default();
    let model = lifted(&proto()).expect("valid");
    assert!(refusal(&model, Some(21)).contains("operator set 21"));
    let mut gone = proto();
    gone.training_info[0].update_binding[0].key = text("v");
    assert!(refusal(&lifted(&gone).expect("valid"), None).contains("`v`"));
    let mut stale = proto();
    stale.graph.as_mut().expect("one").node[0].device_configurations[0].sharding_spec[0].tensor_name =
        text("u");
    assert!(refusal(&lifted(&stale).expect("valid"), None).contains("`u`"));
    let mut unknown = proto();
    unknown.graph.as_mut().expect("one").quantization_annotation[0].tensor_name = text("s");
    assert!(lifted(&unknown).is_err_and(|d| d.to_string().contains("`s`")));
}

#[test]
fn annotations_can_be_dropped_and_are_missed_when_a_pass_takes_them() {
    let mut model = lifted(&proto()).expect("valid");
    let all = ["device of `t`", "quantization:SCALE_TENSOR of `t`"];
    assert_eq!(model.annotations().into_iter().collect::<Vec<_>>(), all);
    let mut dead = model.clone();
    let x = dead.graph.inputs()[0];
    dead.graph.set_output(0, x).expect("fits");
    run(&Pipeline::parse("remove-dead-code").expect("a pass"), &mut dead, &mut Options::default())
        .expect("runs");
    assert!(dead.annotations().is_empty());
    model.drop_annotations(is_annotation);
    let after = written(&model, Some(21)).expect("expressible");
    assert!(
        model.annotations().is_empty() && after.training_info.is_empty() && after.configuration.is_empty()
    );
}
