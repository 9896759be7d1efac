use super::*;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::text::parse_graph;
use hoist_runtime::npz::{Array, ArrayData, NpyType, write_npy, write_npz};
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with files, and the model that they are for.
struct Bench {
    folder: TempDir,
    graph: Graph,
}

fn floats(name: &str, shape: &[usize]) -> Array {
    let n = shape.iter().product::<usize>();
    let bytes: Vec<u8> = (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect();
    Array {
        name: name.to_owned(),
        shape: shape.to_vec(),
        data: ArrayData::Numbers(NpyType::Float32, bytes.into()),
    }
}

impl Bench {
    /// A graph with these inputs, as the text form writes them.
    fn new(inputs: &str) -> Self {
        let first = inputs.split(':').next().expect("a name");
        let graph = parse_graph(&format!("graph({inputs}) {{\n return {first}\n}}")).expect("valid");
        Self { folder: tempfile::tempdir().expect("a folder"), graph }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, bytes).expect("written");
        path
    }
    fn npz(&self, name: &str, arrays: &[Array]) -> PathBuf {
        self.file(name, write_npz(Cursor::new(vec![]), arrays).expect("written").into_inner())
    }
    fn npy(&self, name: &str, array: &Array) -> PathBuf {
        self.file(name, write_npy(array).expect("written"))
    }
    fn opts(path: PathBuf) -> CalibrationOpts {
        CalibrationOpts { calibration: vec![path], ..CalibrationOpts::default() }
    }
    fn open(&self, path: PathBuf) -> Batches {
        Self::opts(path).open(&self.graph).unwrap_or_else(|e| panic!("{e}"))
    }
    fn refused(&self, path: PathBuf) -> String {
        let opts = Self::opts(path);
        match opts.open(&self.graph) {
            Err(e) => e.to_string(),
            Ok(mut batches) => {
                let error = batches.find_map(Result::err);
                error.expect("something is wrong with it").to_string()
            }
        }
    }
}

/// Types of the values of each batch.
fn types(batches: &mut Batches) -> Vec<String> {
    let of = |values: Vec<Value>| values.iter().map(|v| v.ty().to_string()).collect::<Vec<_>>().join(" ");
    batches.map(|b| of(b.expect("a batch"))).collect()
}

/// First element of the first input of each batch.
fn firsts(batches: &mut Batches) -> Vec<f64> {
    let of = |values: Vec<Value>| values[0].as_tensor().expect("a tensor").to_f64s().expect("numbers")[0];
    batches.map(|b| of(b.expect("a batch"))).collect()
}

#[test]
fn batches_of_an_array() {
    let b = Bench::new("%x: f32[N, 3]");
    let mut all = b.open(b.npz("a.npz", &[floats("x", &[20, 3])]));
    assert_eq!(all.samples(), 20);
    assert!(!CalibrationOpts::default().is_given() && Bench::opts(b.path("a.npz")).is_given());
    assert_eq!(types(&mut all), ["f32[4, 3]"; 5]);
    assert_eq!((all.done(), all.next().is_none()), (20, true));
    all.restart();
    assert_eq!(firsts(&mut all), [0., 12., 24., 36., 48.]);
    all.take_spread(5);
    assert_eq!(all.samples(), 5);
    let rows = |values: Vec<Value>| -> Vec<f64> {
        values[0].as_tensor().expect("x").to_f64s().expect("floats").chunks(3).map(|r| r[0]).collect()
    };
    let five: Vec<f64> = all.by_ref().flat_map(|b| rows(b.expect("read"))).collect();
    assert_eq!(five, [0., 12., 24., 36., 48.]);
}

#[test]
fn the_command_line_limits_samples_and_batches() {
    let b = Bench::new("%x: f32[N, 3]");
    let mut opts = Bench::opts(b.npz("a.npz", &[floats("x", &[20, 3])]));
    (opts.samples, opts.calibration_batch) = (NonZeroUsize::new(5), NonZeroUsize::new(2));
    let mut all = opts.open(&b.graph).expect("fits");
    assert_eq!((all.samples(), firsts(&mut all)), (5, vec![0., 24., 48.]));
    all.take_spread(99);
    assert_eq!(all.samples(), 5);
}

#[test]
fn fixed_batches_are_full() {
    let b = Bench::new("%x: f32[4, 3], %k: i64[]");
    let k = Array {
        name: "k".into(),
        shape: vec![],
        data: ArrayData::Numbers(NpyType::Int64, 7_i64.to_le_bytes().to_vec().into()),
    };
    let path = b.npz("a.npz", &[floats("x", &[10, 3]), k]);
    let mut all = b.open(path.clone());
    assert_eq!(types(&mut all), ["f32[4, 3] i64[]", "f32[4, 3] i64[]"]);
    assert_eq!(all.warnings()[0].message, "2 samples that do not fill a batch are left out");
    all.take_spread(1);
    assert_eq!((all.samples(), types(&mut all).len()), (4, 1));
    let mut opts = Bench::opts(path);
    opts.samples = NonZeroUsize::new(7);
    assert_eq!(opts.open(&b.graph).expect("fits").samples(), 4);
    opts.calibration_batch = NonZeroUsize::new(3);
    assert!(opts.open(&b.graph).is_err());
}

#[test]
fn whole_inputs_states_and_constants() {
    let b = Bench::new("%x: f32[N, 5], %h: f32[2, N, 3], %r: i64[1]");
    let r = || Array {
        name: "r".into(),
        shape: vec![1],
        data: ArrayData::Numbers(NpyType::Int32, vec![1, 0, 0, 0].into()),
    };
    let of = |name: &str, h: &[usize], x: &[usize]| {
        types(&mut b.open(b.npz(name, &[floats("x", x), floats("h", h), r()])))
    };
    assert_eq!(of("a.npz", &[3, 2, 1, 3], &[3, 5]), ["f32[1, 5] f32[2, 1, 3] i64[1]"; 3]);
    assert_eq!(of("b.npz", &[2, 1, 3], &[3, 5]), ["f32[1, 5] f32[2, 1, 3] i64[1]"; 3]);
    assert_eq!(of("c.npz", &[2, 3, 3], &[3, 5]), ["f32[3, 5] f32[2, 3, 3] i64[1]"]);
    assert_eq!(of("d.npz", &[2, 2, 1, 3], &[2, 1, 5]), ["f32[1, 5] f32[2, 1, 3] i64[1]"; 2]);
    let said = b.refused(b.npz("e.npz", &[floats("x", &[3, 5]), floats("h", &[2, 4, 3]), r()]));
    assert!(said.contains("`x` [3, 5] holds 3, `h` [2, 4, 3] holds 4"), "{said}");
    let mut all = b.open(b.npz("f.npz", &[floats("x", &[3, 5]), floats("h", &[2, 3, 3]), r()]));
    let values = all.next().expect("one").expect("read");
    let middle = values[1].as_tensor().expect("h").to_f64s().expect("floats");
    assert_eq!(middle, (0..18).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn files_of_a_folder_follow_each_other() {
    let b = Bench::new("%x: f32[N, 3]");
    b.npz("d/b/2.npz", &[floats("x", &[2, 3])]);
    b.npy("e/0.npy", &floats("", &[3]));
    b.npz("d/a.npz", &[floats("x", &[1, 3])]);
    b.file("d/labels.txt", "cat\n");
    b.file("d/.hidden.npy", "");
    let mut all = b.open(b.path("d"));
    assert_eq!((all.samples(), types(&mut all)), (3, vec!["f32[3, 3]".to_owned()]));
    assert!(all.warnings()[0].message.contains("labels.txt"));
    all.restart();
    assert_eq!(types(&mut all).len(), 1);
    let mut opts = Bench::opts(b.path("d"));
    opts.calibration.push(b.path("e"));
    assert_eq!(opts.open(&b.graph).expect("fits").samples(), 4);
    b.npy("d/c.npy", &floats("", &[3]));
    assert!(b.refused(b.path("d")).contains("both .npz files"));
}

#[test]
fn a_folder_of_arrays_named_as_the_inputs() {
    let b = Bench::new("%x: f32[N, 3], %y: f32[N, 1]");
    b.npy("d/x.npy", &floats("", &[6, 3]));
    assert!(b.refused(b.path("d/x.npy")).contains("`x`, `y`"));
    b.npy("d/y.npy", &floats("", &[6, 1]));
    assert_eq!(types(&mut b.open(b.path("d"))), ["f32[4, 3] f32[4, 1]", "f32[2, 3] f32[2, 1]"]);
}

#[test]
fn damaged_and_unfit_data_are_refused() {
    let b = Bench::new("%x: f32[N, 3]");
    let good = write_npy(&floats("", &[2, 3])).expect("built");
    let cases = [
        (b.file("cut.npy", &good[..good.len() - 1]), "cut off"),
        (b.file("no.npz", "PK"), ".npz"),
        (b.file("no.bin", "???"), "nothing that can be calibrated"),
        (b.npy("empty.npy", &floats("", &[0, 3])), "no sample"),
        (b.npy("wide.npy", &floats("", &[2, 4])), "does not fit input `x`"),
        (b.npz("names.npz", &[floats("x", &[1, 3]), floats("z", &[1, 3])]), "`z`"),
        (
            b.npy(
                "u8.npy",
                &Array {
                    name: String::new(),
                    shape: vec![1, 3],
                    data: ArrayData::Numbers(NpyType::UInt8, vec![1, 2, 3].into()),
                },
            ),
            "--preprocess",
        ),
        (b.path("nowhere"), "nowhere"),
    ];
    for (path, wanted) in cases {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let said = b.refused(path);
        assert!(said.contains(wanted) && said.contains(&name), "{name}: {said}");
    }
    fs::create_dir(b.path("none")).expect("made");
    assert!(b.refused(b.path("none")).contains("the folder holds no"));
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_or_in_circles_do_no_harm() {
    use std::os::unix::fs::symlink;
    let b = Bench::new("%x: f32[N, 3]");
    let real = b.npy("a.npy", &floats("", &[2, 3]));
    fs::create_dir(b.path("d")).expect("made");
    symlink(&real, b.path("d/link.npy")).expect("made");
    symlink(b.path("d"), b.path("d/again")).expect("made");
    assert_eq!(b.open(b.path("d")).samples(), 2);
    symlink(b.path("gone"), b.path("d/z.npy")).expect("made");
    assert!(b.refused(b.path("d")).contains("z.npy cannot be read"));
}

#[test]
fn inputs_are_made_up_without_data() {
    let b = Bench::new("%x: f32[N, 3]");
    let mut all = Batches::seeded(&b.graph, 5, 3, hoist_runtime::inputs::Open::Small).expect("floats");
    let first: Vec<_> = all.by_ref().map(|v| v.expect("made up")).collect();
    let sizes = hoist_runtime::inputs::DimBindings::default();
    assert_eq!(first[2], hoist_runtime::inputs::seeded(&b.graph, 7, &sizes).expect("made up"));
    all.restart();
    assert_eq!((all.samples(), all.map(|v| v.expect("made up")).collect::<Vec<_>>()), (3, first));
}

#[test]
fn wider_floats_are_rounded_and_said_so() {
    let b = Bench::new("%x: f32[N, 1]");
    let data = ArrayData::Numbers(NpyType::Float64, 0.1_f64.to_le_bytes().to_vec().into());
    let mut all = b.open(b.npy("a.npy", &Array { name: String::new(), shape: vec![1, 1], data }));
    assert!(all.warnings()[0].message.contains("rounded from f64 to f32"));
    let values = all.next().expect("one").expect("read");
    assert_eq!(values[0].as_tensor().map(|t| t.dtype()), Some(DType::F32));
}

/// A picture of three bytes per pixel.
fn ppm(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    [format!("P6 {width} {height} 255\n").as_bytes(), pixels].concat()
}

fn tensors(batches: &mut Batches) -> Vec<Vec<f64>> {
    let of = |values: Vec<Value>| values[0].as_tensor().expect("a tensor").to_f64s().expect("numbers");
    batches.map(|b| of(b.expect("a batch"))).collect()
}

#[test]
fn pictures_become_inputs() {
    let b = Bench::new("%x: f32[N, 3, 1, 2]");
    b.file("d/a.ppm", ppm(2, 1, &[0, 51, 102, 153, 204, 255]));
    b.file("d/b.pgm", b"P5 2 1 255\n\x00\xff");
    let mut all = b.open(b.path("d"));
    assert_eq!(all.samples(), 2);
    let message = &all.warnings()[0].message;
    assert!(message.contains("0..1"), "{message}");
    assert_eq!(all.warnings().len(), 1);
    let want = [0., 153., 51., 204., 102., 255., 0., 255., 0., 255., 0., 255.];
    let got = tensors(&mut all);
    assert_eq!(got[0], want.map(|v| f64::from(v * (1.0_f32 / 255.0))));
    let mut opts = Bench::opts(b.path("d"));
    opts.preprocess = Some("scale=1,mean=51/0/1,std=2/1/1,channels=bgr".parse().expect("valid"));
    let mut all = opts.open(&b.graph).expect("fits");
    assert_eq!(all.warnings(), []);
    assert_eq!(tensors(&mut all)[0][..6], [25.5, 102., 51., 204., -1., 152.]);
}

#[test]
fn pictures_are_cut_stretched_or_padded() {
    let b = Bench::new("%x: u8[1, 2, 2, 1]");
    // Four columns: 0, 40, 80, 120.
    let path = b.file("a.pgm", [&b"P5 4 2 255\n"[..], &[0, 40, 80, 120, 0, 40, 80, 120]].concat());
    let with = |spec: &str| {
        let mut opts = Bench::opts(path.clone());
        opts.preprocess = Some(spec.parse().expect("valid"));
        tensors(&mut opts.open(&b.graph).expect("fits")).remove(0)
    };
    assert_eq!(with(""), [40., 80., 40., 80.]);
    assert_eq!(with("crop=none")[0], with("crop=none")[2]);
    assert!(with("crop=none")[0] < 40. && with("crop=none")[1] > 80.);
    let padded = with("pad=7");
    assert_eq!(padded.iter().filter(|v| **v == 7.).count(), 2, "{padded:?}");
    let flat = Bench::new("%x: f16[2, 2, 1]");
    assert_eq!(types(&mut flat.open(path)), ["f16[2, 2, 1]"]);
}

#[test]
fn jpeg_and_broken_pictures() {
    let b = Bench::new("%x: f32[N, 3, 8, 8]");
    assert!(b.refused(b.file("a.png", b"\x89PNG\r\n\x1a\n")).contains("broken"));
    assert!(b.refused(b.file("b.jpg", b"\xff\xd8\xff\xe0")).contains("broken"));
    assert!(b.refused(b.file("c.ppm", "P6 60000 60000 255\n")).contains("60000"));
    let long = b.file("d.pgm", [&b"P5 60000 1 255\n"[..], &vec![0; 60000]].concat());
    assert_eq!(types(&mut b.open(long.clone())), ["f32[1, 3, 8, 8]"]);
    let mut opts = Bench::opts(long);
    opts.preprocess = Some("resize=200".parse().expect("valid"));
    let said = opts.open(&b.graph).expect("looks fine").find_map(Result::err).expect("too long");
    assert!(said.message.contains("too long"), "{said}");
    let two = Bench::new("%x: f32[N, 3, 8, 8], %y: f32[N]");
    assert!(two.refused(b.path("a.png")).contains("the model has 2"));
}

#[test]
fn lines_of_token_ids() {
    let b = Bench::new("%ids: i64[N, T], %mask: i32[N, T]");
    let text = "# ids and mask\n1 2 3\t1 1 1\n\n4,5,6\t1,1,0\r\n7\t1\n8 9\t1 0\n";
    let mut all = b.open(b.file("a.txt", text));
    assert_eq!(all.samples(), 4);
    assert_eq!(types(&mut all), ["i64[2, 3] i32[2, 3]", "i64[1, 1] i32[1, 1]", "i64[1, 2] i32[1, 2]"]);
    all.restart();
    assert_eq!(tensors(&mut all)[0], [1., 2., 3., 4., 5., 6.]);
    all.take_spread(2);
    assert_eq!(tensors(&mut all), [vec![1., 2., 3.], vec![7.]]);
    assert!(
        b.refused(b.file("b.txt", "1 2\n"))
            .contains("line 1: 1 columns (separated by tabs) for 2 inputs: ids, mask")
    );
    assert!(b.refused(b.file("c.txt", "1 2\t1\n")).contains("`T` is 2"));
    assert!(b.refused(b.file("d.txt", "1\t1\n\n1 x\t1 1\n")).contains("line 3: `x` is no token id"));
    assert!(b.refused(b.file("e.txt", "1\t9999999999\n")).contains("`mask`"));
    assert!(b.refused(b.file("f.txt", b"1\t1\xff\n")).contains("line 1 is no UTF-8"));
    assert!(b.refused(b.file("g.txt", "# nothing\n")).contains("no sample"));
}

#[test]
fn short_lines_are_filled_where_that_is_said() {
    let b = Bench::new("%ids: i64[1, 3], %mask: i64[1, 3]");
    let path = b.file("a.txt", "5\t1\n1 2 3\t1 1 1\n");
    assert!(b.refused(path.clone()).contains("--pad-id"));
    let mut opts = Bench::opts(path);
    opts.pad_id = vec![9, 0];
    let mut all = opts.open(&b.graph).expect("fits");
    let first = all.next().expect("one").expect("read");
    let ints: Vec<_> = first.iter().map(|v| v.as_tensor().expect("ids").to_i64s().expect("ints")).collect();
    assert_eq!(ints, [[5, 9, 9], [1, 0, 0]]);
    assert!(all.next().expect("two").is_ok() && all.next().is_none());
    opts.pad_id = vec![1, 2, 3];
    assert!(opts.open(&b.graph).is_err());
    opts.calibration = vec![b.file("b.txt", "1 2 3 4\t1 1 1\n")];
    opts.pad_id = vec![0];
    assert!(opts.open(&b.graph).expect("counts").next().expect("one").is_err());
    let floats = Bench::new("%x: f32[N, 3]");
    assert!(floats.refused(b.path("a.txt")).contains("token ids"));
}

#[test]
fn integers_are_scaled_where_that_is_said() {
    let b = Bench::new("%x: f32[N, 3, 1, 2]");
    let u8s = |shape: &[usize]| Array {
        name: "x".into(),
        shape: shape.to_vec(),
        data: ArrayData::Numbers(NpyType::UInt8, (0..shape.iter().product::<usize>() as u8).collect()),
    };
    let mut opts = Bench::opts(b.npy("a.npy", &u8s(&[2, 3, 1, 2])));
    let with = |opts: &mut CalibrationOpts, spec: &str| {
        opts.preprocess = Some(spec.parse().expect("valid"));
        opts.open(&b.graph).map(|mut all| tensors(&mut all).remove(0)).map_err(|e| e.to_string())
    };
    let got = with(&mut opts, "scale=2,mean=1/2/3").expect("fits");
    assert_eq!(got[..6], [-1., 1., 2., 4., 5., 7.]);
    assert_eq!(got[6..], [11., 13., 14., 16., 17., 19.]);
    assert_eq!(with(&mut opts, "").expect("fits")[5], f64::from(5.0 * (1.0_f32 / 255.0)));
    assert!(with(&mut opts, "size=2").is_err_and(|m| m.contains("for pictures")));
    opts.calibration = vec![b.npy("f.npy", &floats("x", &[2, 3, 1, 2]))];
    assert!(with(&mut opts, "scale=1").is_err_and(|m| m.contains("there are none")));
}

/// Every byte of small files is damaged in turn: whatever is read then, nothing panics, and nothing is larger than the files.
#[test]
fn damage_never_panics() {
    let b = Bench::new("%x: f32[N, 3]");
    let stored = fs::read(b.npz("a.npz", &[floats("x", &[2, 3])])).expect("there");
    let plain = fs::read(b.npy("a.npy", &floats("x", &[2, 3]))).expect("there");
    let picture = Bench::new("%x: f32[N, 3, 2, 2]");
    let ppm = ppm(3, 1, &[1; 9]);
    for (b, name, bytes) in [(&b, "b.npz", stored), (&b, "b.npy", plain), (&picture, "b.ppm", ppm)] {
        for at in 0..bytes.len() {
            for value in [b'9', bytes[at] ^ 0x81] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let path = b.file(name, damaged);
                if let Ok(batches) = Bench::opts(path).open(&b.graph) {
                    assert!(batches.count() < 9);
                }
            }
        }
    }
}
