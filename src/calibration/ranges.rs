//! Ranges of activations in files, so that calibration is done once: JSON of Hoist's own, and the calibration cache of `TensorRT`.
//!
//! ```text
//! {"format": "hoist-ranges", "version": 1, "method": "mse", "samples": 512, "ranges": {"x": [0.0, 1.0]}}
//! ```
//!
//! The cache is text: a line that names the calibrator, then `tensor: 3c009976`, the bits of the scale as a `f32`, most significant
//! first. The scale is the largest magnitude divided by 127, so that of a range only its magnitude is kept.
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_passes::quantize::spec::{Grid, Interval};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// Version of the JSON.
const VERSION: u64 = 1;

/// First line of a cache: `TensorRT` takes any version of the calibrator that `trtexec` has.
const CALIBRATOR: &str = "TRT-8600-EntropyCalibration2";

/// Integers whose scales a cache holds.
const INT8: Grid = Grid { dtype: DType::I8, symmetric: true };

/// How ranges are written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `.json`.
    Json,
    /// `.cache`, of `TensorRT`.
    Cache,
}

impl Form {
    /// What the name of a file says.
    ///
    /// # Errors
    /// `E0103` for other names.
    pub fn of(path: &Path) -> Result<Self, Diag> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("json") => Ok(Self::Json),
            Some("cache") => Ok(Self::Cache),
            _ => Err(Diag::error("E0103", format!("{}: no form of ranges has this ending", path.display()))
                .hint("write .json, or .cache for TensorRT")),
        }
    }
}

/// Ranges by the names of the values, and how they were found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ranges {
    /// In the order of the file; each name once.
    pub all: Vec<(String, Interval)>,
    /// What chose them, as `--method` is written; empty where the file does not say.
    pub method: String,
    /// Number of samples they come from; 0 where the file does not say.
    pub samples: usize,
}

impl Ranges {
    /// Whether these can be written in that form.
    ///
    /// # Errors
    /// `E0701` for ranges that are not finite, names that occur twice and names that are no line.
    pub fn check(&self, form: Form) -> Result<(), Diag> {
        let mut names = BTreeSet::new();
        for (name, range) in &self.all {
            let wrong = |m: &str| Err(Diag::error("E0701", format!("the range of `{name}` {m}")));
            if !(range.low.is_finite() && range.high.is_finite() && range.low <= range.high) {
                return wrong(&format!("is {:?} to {:?}", range.low, range.high));
            }
            if !names.insert(name) {
                return wrong("is there twice");
            }
            if form == Form::Cache && (name.is_empty() || name.contains(['\n', '\r'])) {
                return wrong("cannot be written in a line");
            }
        }
        Ok(())
    }

    /// Writes them, in order; equal ranges give equal bytes. [`check`](Self::check) has passed.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write(&self, form: Form, sink: &mut dyn Write) -> io::Result<()> {
        match form {
            Form::Json => self.write_json(sink),
            Form::Cache => self.write_cache(sink),
        }
    }

    fn write_json(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "{{\n  \"format\": \"hoist-ranges\",\n  \"version\": {VERSION},")?;
        writeln!(sink, "  \"method\": {},\n  \"samples\": {},", quoted(&self.method)?, self.samples)?;
        write!(sink, "  \"ranges\": {{")?;
        for (i, (name, range)) in self.all.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            // `Debug` of a finite float is its shortest form, and JSON.
            write!(sink, "{comma}\n    {}: [{:?}, {:?}]", quoted(name)?, range.low, range.high)?;
        }
        writeln!(sink, "{}}}\n}}", if self.all.is_empty() { "" } else { "\n  " })
    }

    fn write_cache(&self, sink: &mut dyn Write) -> io::Result<()> {
        writeln!(sink, "{CALIBRATOR}")?;
        for (name, range) in &self.all {
            writeln!(sink, "{name}: {:08x}", INT8.params(*range).scale.to_bits())?;
        }
        Ok(())
    }

    /// Reads either form; the first bytes tell which it is.
    ///
    /// # Errors
    /// `E0201` for a damaged file, `E0204` for a version that is not known.
    pub fn read(bytes: &[u8]) -> Result<Self, Diag> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is no text"))?;
        let ranges = if text.starts_with("TRT-") { read_cache(text) } else { read_json(text) }?;
        ranges.check(Form::Json).map_err(|d| malformed(d.message))?;
        Ok(ranges)
    }
}

fn malformed(what: impl std::fmt::Display) -> Diag {
    let hint = "ranges are read as `hoist quantize --ranges` writes them, or as TensorRT writes its calibration cache";
    Diag::error("E0201", format!("no file of ranges: {what}")).hint(hint)
}

fn quoted(text: &str) -> io::Result<String> {
    serde_json::to_string(text).map_err(io::Error::other)
}

fn read_json(text: &str) -> Result<Ranges, Diag> {
    let file: Value = serde_json::from_str(text).map_err(malformed)?;
    if file.get("format").and_then(Value::as_str) != Some("hoist-ranges") {
        return Err(malformed("it does not say \"format\": \"hoist-ranges\""));
    }
    let version = file.get("version").and_then(Value::as_u64);
    if version != Some(VERSION) {
        let said = version.map_or("none".to_owned(), |v| v.to_string());
        return Err(Diag::error("E0204", format!("ranges of version {said}; {VERSION} is known")));
    }
    let entries = file.get("ranges").and_then(Value::as_object);
    let entries = entries.ok_or_else(|| malformed("it has no object \"ranges\""))?;
    let one = |(name, range): (&String, &Value)| {
        let ends = range.as_array().filter(|a| a.len() == 2);
        let end = |i: usize| ends?.get(i)?.as_f64().map(|v| v as f32);
        let (low, high) = end(0).zip(end(1)).ok_or_else(|| malformed(format!("`{name}` has no two ends")))?;
        Ok((name.clone(), Interval { low, high }))
    };
    Ok(Ranges {
        all: entries.iter().map(one).collect::<Result<_, _>>()?,
        method: file.get("method").and_then(Value::as_str).unwrap_or_default().to_owned(),
        samples: file.get("samples").and_then(Value::as_u64).map_or(0, |n| n as usize),
    })
}

fn read_cache(text: &str) -> Result<Ranges, Diag> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let calibrator = first.splitn(3, '-').nth(2).unwrap_or_default();
    let one = |(i, line): (usize, &str)| {
        let wrong = |m: &str| malformed(format!("line {}: {m}", i + 2));
        let (name, bits) = line.rsplit_once(':').ok_or_else(|| wrong("it is not `tensor: scale`"))?;
        let bits = bits.trim();
        let hex = !bits.is_empty() && bits.len() <= 8 && bits.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = u32::from_str_radix(bits, 16).ok().filter(|_| hex);
        let scale = f32::from_bits(bits.ok_or_else(|| wrong("the scale is not 8 hexadecimal digits"))?);
        if !(scale.is_finite() && scale >= 0.0) {
            return Err(wrong("the scale is no number above 0"));
        }
        // Rounded twice, a scale may come back as its neighbour.
        let high = scale * 127.0;
        Ok((name.to_owned(), Interval { low: -high, high }))
    };
    let lines = lines.enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(Ranges { all: lines.map(one).collect::<Result<_, _>>()?, method: calibrator.to_owned(), samples: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(all: &[(&str, f32, f32)]) -> Ranges {
        let all = all.iter().map(|(n, low, high)| ((*n).to_owned(), Interval { low: *low, high: *high }));
        Ranges { all: all.collect(), method: "mse".to_owned(), samples: 512 }
    }

    fn written(ranges: &Ranges, form: Form) -> String {
        ranges.check(form).expect("can be written");
        let mut out = vec![];
        ranges.write(form, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn json_round_trips_to_the_bit() {
        let all = ranges(&[("z\"\n", -0.1, 1e-30), ("a", 0.0, f32::MAX), ("b", -0.0, 1.0 / 3.0)]);
        let text = written(&all, Form::Json);
        assert_eq!(Ranges::read(text.as_bytes()), Ok(all));
        let empty = ranges(&[]);
        assert_eq!(Ranges::read(written(&empty, Form::Json).as_bytes()), Ok(empty));
        let want = "{\n  \"format\": \"hoist-ranges\",\n  \"version\": 1,\n  \"method\": \"mse\",\n  \"samples\": 512,\n  \"ranges\": {\n    \"x\": [0.0, 0.1]\n  }\n}\n";
        assert_eq!(written(&ranges(&[("x", 0.0, 0.1)]), Form::Json), want);
    }

    #[test]
    fn the_cache_holds_scales() {
        let text =
            written(&ranges(&[("x: 1", -1.27, 1.0), ("small", 0.0, 1e-30), ("none", 0.0, 0.0)]), Form::Cache);
        let want = "TRT-8600-EntropyCalibration2\nx: 1: 3c23d70a\nsmall: 0a238973\nnone: 3f800000\n";
        assert_eq!(text, want);
        let back = Ranges::read(text.as_bytes()).expect("read");
        assert_eq!(written(&back, Form::Cache), want);
        assert_eq!(back.all[0], ("x: 1".to_owned(), Interval { low: -1.27, high: 1.27 }));
        // As another tool writes it, with a digit missing.
        let other = Ranges::read(b"TRT-8501-EntropyCalibration2\r\n167: 3c009976\r\ny: 1\r\n").expect("read");
        assert_eq!(other.all[0].1.high / 127.0, f32::from_bits(0x3c009976));
        assert_eq!((other.method.as_str(), other.all.len()), ("EntropyCalibration2", 2));
    }

    #[test]
    fn every_scale_survives_but_for_its_last_bit() {
        for i in 0..20_000_u32 {
            let bits = 0x3c00_0000 + i * 997;
            let cache = format!("TRT-1-X\nx: {bits:08x}\n");
            let back = INT8.params(Ranges::read(cache.as_bytes()).expect("read").all[0].1).scale;
            assert!(back.to_bits().abs_diff(bits) <= 1, "{bits:x}");
        }
    }

    #[test]
    fn what_is_damaged_or_cannot_be_written_is_refused() {
        let code = |text: &str| Ranges::read(text.as_bytes()).expect_err("damaged").code;
        for text in [
            "",
            "{}",
            "TRT-1-X\nx 3c",
            "TRT-1-X\nx: 3g",
            "TRT-1-X\nx: 123456789",
            "TRT-1-X\nx: 7fc00000",
            "TRT-1-X\nx: +1",
            "TRT-1-X\nx: bf800000",
            "TRT-1-X\nx: 1\nx: 1",
            r#"{"format": "hoist-ranges", "version": 1}"#,
            r#"{"format": "hoist-ranges", "version": 1, "ranges": {"x": [1]}}"#,
            r#"{"format": "hoist-ranges", "version": 1, "ranges": {"x": [1, 0]}}"#,
            r#"{"format": "hoist-ranges", "version": 1, "ranges": {"x": [0, 1e99]}}"#,
        ] {
            assert_eq!(code(text), "E0201", "{text}");
        }
        assert_eq!(code(r#"{"format": "hoist-ranges", "version": 2, "ranges": {}}"#), "E0204");
        assert!(Ranges::read(b"\xff").is_err());
        assert!(ranges(&[("x", 0.0, f32::NAN)]).check(Form::Json).is_err());
        assert!(ranges(&[("x\n", 0.0, 1.0)]).check(Form::Cache).is_err());
        assert!(ranges(&[("x", 0.0, 1.0), ("x", 0.0, 1.0)]).check(Form::Cache).is_err());
    }

    #[test]
    fn the_name_of_the_file_tells_the_form() {
        assert_eq!(Form::of(Path::new("a/b.JSON")), Ok(Form::Json));
        assert_eq!(Form::of(Path::new("b.cache")), Ok(Form::Cache));
        assert_eq!(Form::of(Path::new("json")).expect_err("no ending").code, "E0103");
    }
}
