use super::*;
use crate::npz::{Array, ArrayData, NpyType, write_npz};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::dim::Dim;
use hoist_ir::graph::Origin;
use hoist_ir::ops::Op;
use hoist_ir::types::Shape;
use std::io::Cursor;

fn graph(inputs: &[(&str, DType, Shape)]) -> Graph {
    let mut g = Graph::new("g");
    for (name, dtype, shape) in inputs {
        g.add_input(name, TensorType::new(*dtype, shape.clone()).into());
    }
    g
}

fn fixed(sizes: &[u64]) -> Shape {
    sizes.iter().map(|n| Dim::Known(*n)).collect()
}

fn tensors(values: &[Value]) -> Vec<Tensor> {
    values.iter().map(|v| v.as_tensor().expect("a tensor").clone()).collect()
}

#[test]
fn equal_seeds_give_equal_values() {
    let g = graph(&[("a", DType::F32, fixed(&[100])), ("b", DType::F32, fixed(&[100]))]);
    let run = |seed| seeded(&g, seed, &DimBindings::default()).expect("fixed");
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_ne!(run(1)[0], run(1)[1]);
    let first = tensors(&run(42))[0].to_f32s().expect("floats")[0];
    assert_eq!(first.to_bits(), FIRST_OF_SEED_42, "{first}: seeded values changed");
}

/// Bits of the first element of input 0 under seed 42: results recorded with seeds stay reproducible.
const FIRST_OF_SEED_42: u32 = 3_216_990_853;

#[test]
fn every_element_type_has_values() {
    for dtype in DType::all() {
        let g = graph(&[("x", dtype, fixed(&[3, 5]))]);
        let v = tensors(&seeded(&g, 0, &DimBindings::default()).expect("fixed"));
        assert_eq!((v[0].dtype(), v[0].shape()), (dtype, &[3, 5][..]));
    }
}

#[test]
fn sizes_of_symbols() {
    let s = Dim::symbol;
    let g = graph(&[
        ("ids", DType::I64, vec![s("batch_size"), s("seq")]),
        ("mask", DType::I64, vec![s("batch_size"), s("seq"), s("k")]),
        ("image", DType::F32, vec![s("M"), Dim::Known(3), s("H"), Dim::Unknown]),
    ]);
    let shapes = |b: &DimBindings| {
        tensors(&seeded(&g, 0, b).expect("sizes")).iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(shapes(&DimBindings::default()), [vec![2, 8], vec![2, 8, 9], vec![2, 3, 64, 64]]);
    let given = DimBindings([("seq".to_owned(), 5), ("H".to_owned(), 32)].into());
    assert_eq!(shapes(&given), [vec![2, 5], vec![2, 5, 8], vec![2, 3, 32, 64]]);
    let huge = DimBindings([("seq".to_owned(), 1 << 60)].into());
    assert_eq!(seeded(&g, 0, &huge).expect_err("too large").code, "E0603");
}

#[test]
fn indices_lie_inside_the_axis() {
    let mut g = graph(&[("ids", DType::I64, fixed(&[4, 50])), ("free", DType::I64, fixed(&[200]))]);
    let table = g.add_const(Tensor::from_vec(&[2, 3], vec![0f32; 6]));
    let ids = g.inputs()[0];
    let mut gather = Op::by_name("gather").expect("gather");
    gather.def_mut().set_attr("axis", &Attr::Int(-1)).expect("an attribute");
    let mut cast = Op::by_name("cast").expect("cast");
    cast.def_mut().set_attr("to", &Attr::DType(DType::I32)).expect("an attribute");
    let mut b = Builder::at_end(&mut g, Origin::default());
    let narrow = b.add(cast, &[Some(ids)]).expect("fits")[0];
    let y = b.add(gather, &[Some(table), Some(narrow)]).expect("fits")[0];
    g.add_output("y", y);
    let v = tensors(&seeded(&g, 9, &DimBindings::default()).expect("fixed"));
    let ids = v[0].to_i64s().expect("integers");
    assert!(ids.iter().all(|i| (0..3).contains(i)) && ids.contains(&2));
    assert!(v[1].to_i64s().expect("integers").iter().all(|i| (0..2).contains(i)));
}

fn npz(arrays: &[(&str, &[usize], NpyType, Vec<u8>)]) -> bytes::Bytes {
    let arrays: Vec<Array> = arrays
        .iter()
        .map(|(name, shape, kind, data)| Array {
            name: (*name).to_owned(),
            shape: shape.to_vec(),
            data: ArrayData::Numbers(*kind, data.clone().into()),
        })
        .collect();
    write_npz(Cursor::new(Vec::new()), &arrays).expect("written").into_inner().into()
}

#[test]
fn arrays_are_found_by_name_number_or_order() {
    let g = graph(&[("a", DType::U8, fixed(&[1])), ("b", DType::U8, fixed(&[1]))]);
    let one = |name, v: u8| (name, &[1usize][..], NpyType::UInt8, vec![v]);
    let firsts = |bytes: bytes::Bytes| {
        from_npz(&g, &bytes)
            .map(|v| tensors(&v).iter().map(|t| t.to_i64s().expect("integers")[0]).collect::<Vec<_>>())
    };
    assert_eq!(firsts(npz(&[one("b", 2), one("a", 1)])), Ok(vec![1, 2]));
    assert_eq!(firsts(npz(&[one("in1", 2), one("in0", 1)])), Ok(vec![1, 2]));
    assert_eq!(firsts(npz(&[one("arr_0", 1), one("arr_1", 2)])), Ok(vec![1, 2]));
    for bad in [
        npz(&[one("a", 1)]),
        npz(&[one("a", 1), one("c", 2)]),
        npz(&[one("a", 1), one("b", 2), one("c", 3)]),
        npz(&[one("x", 1)]),
        bytes::Bytes::from_static(b"PK"),
    ] {
        assert_eq!(firsts(bad).expect_err("unfit").code, "E0603");
    }
}

#[test]
fn every_element_type_round_trips() {
    for dtype in DType::all() {
        let g = graph(&[("x", dtype, fixed(&[2, 3]))]);
        let v = seeded(&g, 4, &DimBindings::default()).expect("fixed");
        let bytes = to_npz(&["x"], &v).expect("written");
        assert_eq!(bytes, to_npz(&["x"], &v).expect("written"));
        assert_eq!(from_npz(&g, &bytes.into()).expect("read"), v, "{dtype}");
    }
}

#[test]
fn what_narrow_types_cannot_hold_is_refused() {
    let g = graph(&[("x", DType::BF16, fixed(&[1]))]);
    let bytes = npz(&[("x", &[1], NpyType::Float32, 1.001f32.to_le_bytes().to_vec())]);
    assert_eq!(from_npz(&g, &bytes).expect_err("not exact").code, "E0603");
}

#[test]
fn sequences_are_numbered() {
    let t = |v: i64| Value::from(Tensor::from_ints(&[v]));
    let bytes = to_npz(&["s"], &[Value::Sequence(vec![t(1), t(2)].into())]).expect("written");
    let names: Vec<String> =
        crate::npz::read_npz(&bytes.into()).expect("read").into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["s.0", "s.1"]);
}

#[test]
fn sequences_and_optionals_round_trip() {
    let mut g = graph(&[("x", DType::I64, vec![Dim::Unknown])]);
    let ints: Type = TensorType::of_rank(DType::I64, 1).into();
    let sequence = Type::Sequence(Box::new(ints.clone()));
    g.add_input("s", sequence.clone());
    g.add_input("e", sequence.clone());
    g.add_input("o", Type::Optional(Box::new(ints.clone())));
    g.add_input("p", Type::Optional(Box::new(sequence.clone())));
    g.add_input("q", Type::Optional(Box::new(sequence)));
    let t = |v: i64| Value::from(Tensor::from_ints(&[v]));
    let some = |v: Value| Value::Optional(Some(Box::new(v)));
    let values = vec![
        t(1),
        Value::Sequence((0..12).map(t).collect()),
        Value::Sequence(vec![].into()),
        Value::Optional(None),
        some(Value::Sequence(vec![].into())),
        some(Value::Sequence(vec![t(5)].into())),
    ];
    let names = ["x", "s", "e", "o", "p", "q"];
    let bytes: bytes::Bytes = to_npz(&names, &values).expect("written").into();
    assert_eq!(from_npz(&g, &bytes).expect("read"), values);
    let numbered = ["in0", "in1", "in2", "in3", "in4", "in5"];
    let bytes: bytes::Bytes = to_npz(&numbered, &values).expect("written").into();
    assert_eq!(from_npz(&g, &bytes).expect("read"), values);
    let given = seeded(&g, 1, &DimBindings::default()).expect("made up");
    let bytes: bytes::Bytes = to_npz(&names, &given).expect("written").into();
    assert_eq!(from_npz(&g, &bytes).expect("read"), given);
}

#[test]
fn arrays_that_make_no_sequence_are_refused() {
    let mut g = Graph::new("g");
    g.add_input("s", Type::Sequence(Box::new(TensorType::of_rank(DType::U8, 1).into())));
    let one = |name, v: u8| (name, &[1usize][..], NpyType::UInt8, vec![v]);
    let read = |arrays: &[(&str, &[usize], NpyType, Vec<u8>)]| from_npz(&g, &npz(arrays));
    assert!(read(&[one("s.0", 1), one("s.1", 2), one("s.length", 2)]).is_ok());
    for bad in [
        vec![],
        vec![one("s", 1)],
        vec![one("s.1", 1)],
        vec![one("s.0", 1), one("s.2", 1)],
        vec![one("s.0", 1), one("s.length", 2)],
        vec![one("s.0", 1), one("t", 2)],
        vec![one("u", 1)],
    ] {
        assert_eq!(read(&bad).expect_err("unfit").code, "E0603");
    }
}

#[test]
fn long_inputs_are_long_along_the_last_axis_only() {
    let g = hoist_ir::text::parse_graph("graph(%x: f32[?, T], %s: f32[2, ?, 3], %k: i64[]) {\n return %x\n}")
        .expect("valid");
    let shapes = |open| -> Vec<String> {
        let all = seeded_open(&g, 0, &DimBindings::default(), open).expect("made up");
        all.iter().map(|v| v.ty().to_string()).collect()
    };
    assert_eq!(shapes(Open::Long), ["f32[1, 256]", "f32[2, 1, 3]", "i64[]"]);
    assert_eq!(shapes(Open::Longest), ["f32[1, 4096]", "f32[2, 1, 3]", "i64[]"]);
    assert_eq!(shapes(Open::Small), ["f32[2, 8]", "f32[2, 8, 3]", "i64[]"]);
    let given = DimBindings([("T".to_owned(), 5)].into());
    let first = seeded_open(&g, 0, &given, Open::Long).expect("made up")[0].ty().to_string();
    assert_eq!(first, "f32[1, 5]");
}
