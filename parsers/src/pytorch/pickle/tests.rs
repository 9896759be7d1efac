use super::*;

/// A tensor of sizes (2, 3) on a float storage `0` of six elements, as protocol 2 writes it.
const TENSOR: &[u8] = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtR.";

fn parse(stream: &[u8]) -> Pickle {
    Pickle::parse(stream).unwrap()
}

fn root(stream: &[u8]) -> Object {
    let pickle = parse(stream);
    pickle.get(pickle.root()).clone()
}

#[test]
fn tensors_refer_to_storages() {
    let Object::Tensor(tensor) = root(TENSOR) else { panic!("no tensor") };
    assert_eq!(tensor.view, View::new(TorchDtype::Float32, &[2, 3], &[3, 1], 0).unwrap());
    assert_eq!((&*tensor.storage.key, tensor.storage.numel), ("0", 6));
    assert_eq!(parse(TENSOR).consumed(), TENSOR.len());
    assert!(parse(TENSOR).require_known().is_ok());
}

#[test]
fn scalars_of_all_protocols() {
    assert_eq!(root(b"I42\n."), Object::Int(42));
    assert_eq!(root(b"I01\n."), Object::Bool(true));
    assert_eq!(root(b"L-7L\n."), Object::Int(-7));
    assert_eq!(root(b"\x80\x02J\xff\xff\xff\xff."), Object::Int(-1));
    assert_eq!(root(b"\x80\x02\x8a\x01\xff."), Object::Int(-1));
    assert_eq!(root(b"\x80\x02\x8a\x00."), Object::Int(0));
    assert_eq!(
        root(b"\x80\x02\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00."),
        Object::BigInt([255, 255, 255, 255, 255, 255, 255, 255, 0].into())
    );
    assert_eq!(root(b"\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00."), Object::Float(1.5));
    assert_eq!(root(b"F1.5\n."), Object::Float(1.5));
    assert_eq!(root(b"S'ab'\n."), Object::Str("ab".into()));
    assert_eq!(root(b"\x80\x05\x96\x02\0\0\0\0\0\0\0ab."), Object::Bytes(b"ab".as_slice().into()));
    assert_eq!(root(b"\x80\x02ctorch\nbfloat16\n."), Object::Dtype(TorchDtype::BFloat16));
    assert_eq!(
        root(b"\x80\x02c_codecs\nencode\nX\x02\0\0\0\xc3\xbfX\x06\0\0\0latin1\x86R."),
        Object::Bytes([255].into())
    );
}

#[test]
fn containers_keep_order_and_sharing() {
    let pickle = parse(b"\x80\x02](]q\0K\x01h\0\x85e.");
    assert!(Pickle::parse(b"\x80\x02]q\0(K\x01h\0e.").is_err(), "a list inside itself");
    let Object::List(items) = pickle.get(pickle.root()) else { panic!("no list") };
    let [first, one, pair] = items[..] else { panic!("not three items") };
    assert_eq!((pickle.get(one), pickle.get(pair)), (&Object::Int(1), &Object::Tuple(vec![first])));
    let dict = parse(b"\x80\x02}(X\x01\0\0\0bK\x01X\x01\0\0\0aK\x02u.");
    let Object::Dict(d) = dict.get(dict.root()) else { panic!("no dict") };
    assert_eq!(d.items.iter().map(|&(k, _)| dict.text(k).unwrap()).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn unlisted_names_stay_data_and_are_refused_by_name() {
    let pickle = parse(b"cposix\nsystem\n(X\x02\0\0\0lstR.");
    let Object::Opaque(call) = pickle.get(pickle.root()) else { panic!("not opaque") };
    assert_eq!(call.callee.to_string(), "posix.system");
    assert_eq!(pickle.require_known(), Err(PickleError::Foreign(vec!["posix.system".to_owned()])));
    let stacked = parse(b"\x80\x04X\x02\0\0\0osX\x06\0\0\0system\x93.");
    assert_eq!(stacked.foreign_names(), ["os.system"]);
    assert_eq!(parse(b"ccollections\nOrderedDict\r\n.").foreign_names(), ["collections.OrderedDict\r"]);
}

#[test]
fn hostile_streams_are_refused() {
    let deep: Vec<u8> = [vec![b']'; 400], vec![b'a'; 399], vec![b'.']].concat();
    assert!(matches!(Pickle::parse(&deep), Err(PickleError::Shape(_))));
    let marks = vec![b'('; 1000];
    assert!(matches!(Pickle::parse(&marks), Err(PickleError::Shape(_))));
    for bad in [
        &b""[..],
        b".",
        b"0.",
        b"t.",
        b"h\0.",
        b"\x80\x63N.",
        b"X\xff\xff\xff\xff.",
        b"\x8d\0\0\0\0\0\0\0\x80.",
        b"\x95\0\0\0\0\0\0\0\x40N.",
        b"\x8b\xff\xff\xff\xff.",
        b"}(]NuN.",
        b"X\x01\0\0\0xNR.",
        b"N",
        b"I99999999999999999999\n.",
        b"(0}(K\x01u.",
        b"}(X\x01\0\0\0aNX\x01\0\0\0aNu.",
        b"(N0(.",
    ] {
        assert!(Pickle::parse(bad).is_err(), "{bad:?}");
    }
    for cut in 0..TENSOR.len() {
        assert!(Pickle::parse(&TENSOR[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn shared_lists_are_not_walked_twice() {
    // 200 lists, each holding the last one twice.
    let mut stream = b"\x80\x02]q\0".to_vec();
    for i in 1..200_u8 {
        stream.extend([b']', b'q', i, b'(', b'h', i - 1, b'h', i - 1, b'e']);
    }
    stream.push(b'.');
    assert!(Pickle::parse(&stream).is_ok());
}

#[test]
fn copies_are_charged() {
    // One long list, made into a tuple again and again.
    let mut stream = b"\x80\x02](".to_vec();
    stream.extend([b'N'; 2000]);
    stream.extend(b"e\x85q\x010cbuiltins\ntuple\nq\x02");
    stream.extend(b"h\x02h\x01R".repeat(100));
    stream.push(b'.');
    assert!(matches!(Pickle::parse(&stream), Err(PickleError::Shape(_))));
}

#[test]
fn lazy_conjugates_are_refused() {
    let conj = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x00))\x89N}X\x04\0\0\0conj\x88stR.";
    assert!(matches!(Pickle::parse(conj), Err(PickleError::Shape(what)) if what.contains("`conj`")));
}
