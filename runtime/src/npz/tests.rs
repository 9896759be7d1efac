use super::*;

fn npy(header: &str, body: &[u8]) -> Bytes {
    let len = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], header.as_bytes(), body].concat().into()
}

fn read(header: &str, body: &[u8]) -> Result<Array, NpzError> {
    read_npy("a", &npy(header, body))
}

fn numbers(name: &str, dtype: NpyType, shape: &[usize], bytes: &[u8]) -> Array {
    let data = ArrayData::Numbers(dtype, Bytes::copy_from_slice(bytes));
    Array { name: name.to_owned(), shape: shape.to_vec(), data }
}

#[test]
fn arrays_survive_a_round_trip_in_order() {
    let texts = ArrayData::Texts(vec!["häß".to_owned(), String::new()]);
    let arrays = [
        numbers("z", NpyType::Int16, &[2, 1], &[1, 2, 3, 4]),
        numbers("a", NpyType::Complex64, &[], &[9; 8]),
        Array { name: "t/u".to_owned(), shape: vec![2], data: texts },
        numbers("empty", NpyType::Bool, &[0, 7], &[]),
    ];
    let write = || write_npz(Cursor::new(Vec::new()), &arrays).unwrap().into_inner();
    let bytes = Bytes::from(write());
    assert_eq!(bytes, write());
    assert_eq!(read_npz(&bytes).unwrap(), arrays);
    assert!(write_npz(Cursor::new(Vec::new()), &[arrays[0].clone(), arrays[0].clone()]).is_err());
    for cut in 0..bytes.len() {
        assert!(read_npz(&bytes.slice(..cut)).is_err(), "{cut}");
    }
}

#[test]
fn fortran_and_big_endian_arrays_are_turned() {
    let header = "{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3), }";
    let body: Vec<u8> = (0..6).flat_map(|i| [0, i]).collect();
    let expected: Vec<u8> = [0, 2, 4, 1, 3, 5].iter().flat_map(|&i| [i, 0]).collect();
    assert_eq!(read(header, &body).unwrap(), numbers("a", NpyType::UInt16, &[2, 3], &expected));
}

#[test]
fn elements_start_aligned() {
    let bytes = write_npy(&numbers("a", NpyType::UInt8, &[1], &[7])).unwrap();
    assert_eq!((bytes.len() % 64, bytes.last()), (1, Some(&7)));
    assert!(write_npy(&numbers("a", NpyType::UInt8, &[2], &[7])).is_err());
}

#[test]
fn damaged_and_foreign_arrays_are_refused() {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
    };
    assert!(read(&header("'<f4'", "(2,)"), &[0; 8]).is_ok());
    for (descr, shape) in [
        ("'<f4'", "(3,)"),
        ("'<f4'", "(-1,)"),
        ("'<f4'", "(4611686018427387904, 4)"),
        ("'<f4'", "2"),
        ("'|O'", "(1,)"),
        ("'<V2'", "(1,)"),
        ("[('x', '<f4')]", "(1,)"),
        ("'<U0'", "(1000000000000,)"),
        ("'<U18446744073709551615'", "(1,)"),
    ] {
        assert!(
            matches!(read(&header(descr, shape), &[0; 8]), Err(NpzError::Array { .. })),
            "{descr} {shape}"
        );
    }
    assert!(read(&header("'<U1'", "(2,)"), &[255; 8]).is_err(), "no Unicode");
    assert!(read("{}", &[]).is_err());
}
