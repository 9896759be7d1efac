//! What readers rely on in decoded ONNX messages.

use bytes::Bytes;
use prost::Message;

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
