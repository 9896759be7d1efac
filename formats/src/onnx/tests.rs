//! What readers rely on in decoded ONNX messages.

use bytes::Bytes;
use prost::Message;

use super::bind::{body_attrs, is_bound, read_row, rows};
use super::row::Fix;
use super::signatures::SIGNATURES;
use super::versions::{NEWEST_OPSET, ir_name, operators, since_version};
use hoist_ir::ops::Op;

use super::generated::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Key of a protobuf field: its number and wire type.
fn key(field: u8, wire: u8) -> u8 {
    field << 3 | wire
}

/// A model whose graph holds `depth` nested `If` branches.
fn nested_if(depth: usize) -> ModelProto {
    let mut graph = GraphProto::default();
    for _ in 0..depth {
        let branch = AttributeProto { g: Some(Box::new(graph)), ..Default::default() };
        let node = NodeProto { attribute: vec![branch], ..Default::default() };
        graph = GraphProto { node: vec![node], ..Default::default() };
    }
    ModelProto { graph: Some(graph), ..Default::default() }
}

#[test]
fn raw_data_is_a_slice_of_the_input() {
    let tensor = TensorProto { raw_data: Some(Bytes::from(vec![7; 64])), ..Default::default() };
    let file = Bytes::from(tensor.encode_to_vec());
    let raw = TensorProto::decode(file.clone()).unwrap().raw_data.unwrap();
    assert_eq!(raw, vec![7; 64]);
    assert!(file.as_ptr_range().contains(&raw.as_ptr()));
}

#[test]
fn repeated_numbers_decode_packed_and_unpacked() {
    let unpacked = [key(1, 0), 2, key(1, 0), 3];
    let packed = [key(1, 2), 2, 2, 3];
    for dims in [&unpacked, &packed] {
        assert_eq!(TensorProto::decode(&dims[..]).unwrap().dims, [2, 3]);
    }
    let floats = |wire: &[u8]| TensorProto::decode(wire).unwrap().float_data;
    let one = 1.0f32.to_le_bytes();
    assert_eq!(floats(&[&[key(4, 5)][..], &one].concat()), [1.0]);
    assert_eq!(floats(&[&[key(4, 2), 4][..], &one].concat()), [1.0]);
}

#[test]
fn weights_are_written_packed_and_dims_are_not() {
    let tensor = TensorProto { dims: vec![2, 3], int64_data: vec![4, 5], ..Default::default() };
    assert_eq!(tensor.encode_to_vec(), [key(1, 0), 2, key(1, 0), 3, key(7, 2), 2, 4, 5]);
}

#[test]
fn zero_differs_from_absent() {
    assert_eq!(AttributeProto::decode(&[key(3, 0), 0][..]).unwrap().i, Some(0));
    assert_eq!(AttributeProto::decode(&[][..]).unwrap().i, None);
}

#[test]
fn unknown_fields_and_enum_numbers_are_no_error() {
    let wire = [key(15, 0), 9, key(2, 0), 99];
    assert_eq!(TensorProto::decode(&wire[..]).unwrap().data_type, Some(99));
}

#[test]
fn names_must_be_utf8() {
    let latin1 = [key(3, 2), 1, 0xe9];
    assert!(NodeProto::decode(&latin1[..]).is_err());
}

#[test]
fn nesting_is_bounded() {
    for depth in [8, 32] {
        let model = nested_if(depth);
        assert_eq!(ModelProto::decode(model.encode_to_vec().as_slice()).unwrap(), model);
    }
    let error = ModelProto::decode(nested_if(40).encode_to_vec().as_slice()).unwrap_err();
    assert!(error.to_string().contains("recursion limit reached"), "{error}");
}

#[test]
fn truncated_lengths_are_errors() {
    let past_the_end = [key(9, 2), 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(TensorProto::decode(&past_the_end[..]).is_err());
}

/// Attributes exist by the hundred thousand: the rare large members stay behind a pointer.
#[test]
fn attributes_are_small() {
    assert!(size_of::<AttributeProto>() <= 352, "{}", size_of::<AttributeProto>());
}

/// Operator sets in which a version of an operator holds.
fn opsets(op: &str, version: i64) -> impl Iterator<Item = i64> {
    (version..=NEWEST_OPSET).filter(move |t| since_version(op, *t) == Some(version))
}

#[test]
fn every_version_of_a_bound_operator_is_read() {
    let mut checked = 0;
    for (op, version, _, _) in SIGNATURES.iter().filter(|(op, ..)| is_bound(op)) {
        for opset in opsets(op, *version) {
            assert!(read_row("", op, opset).is_some(), "`{op}` of operator set {opset} would pass through");
            checked += 1;
        }
    }
    assert!(checked > 1000, "{checked}");
    for op in operators() {
        assert!(SIGNATURES.iter().any(|(o, ..)| *o == op), "`{op}` has no signature");
    }
}

/// An attribute that a version lists is the IR's, becomes an operand, or is read by a function of the row.
#[test]
fn every_attribute_of_every_version_is_known() {
    let mut problems = vec![];
    for (foreign, version, _, attrs) in SIGNATURES {
        let Some(row) = read_row("", foreign, *version) else { continue };
        let by_hand =
            |f: &Fix| matches!(f, Fix::Upgrade(_) | Fix::OnRead(_) | Fix::Build(_) | Fix::Prepare(_));
        if row.fixes.iter().any(by_hand) {
            continue;
        }
        let op = Op::by_name(row.op).expect("an operator");
        for attr in attrs.iter().map(|a| a.trim_end_matches('!')) {
            let operand = |f: &Fix| matches!(f, Fix::AttrIsInput { attr: a, .. } if *a == attr);
            let known = attr == "consumed_inputs"
                || row.fixes.iter().any(operand)
                || body_attrs(foreign).contains(&attr)
                || op.schema().attrs.iter().any(|a| a.name == ir_name(attr));
            if !known {
                problems.push(format!("{foreign} {version}: {attr}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Reading and writing ranges leave no gap that only writing knows.
#[test]
fn what_is_written_is_read() {
    for r in rows().iter().filter(|r| r.writes() && r.domain.is_empty()) {
        for opset in r.since..=r.until.min(NEWEST_OPSET) {
            let back = read_row("", r.foreign, opset).map(|b| b.op);
            assert_eq!(back, Some(r.op), "`{}` written at {opset}", r.foreign);
        }
    }
}
