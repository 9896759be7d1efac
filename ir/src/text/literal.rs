//! Tensor contents as text: lists, splats, hexadecimal bytes, hashes and seeds.
use super::lexer::{Cursor, Fault, Tok, quote};
use super::print::Constants;
use super::seeded::seeded;
use crate::attr::float_text;
use crate::dtype::DType;
use crate::tensor::convert::Wide;
use crate::tensor::numeric::narrow_magnitudes;
use crate::tensor::{Storage, Tensor, TensorError, byte_count, element_count};
use num_complex::Complex;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::io;

/// Elements printed as a list; more are printed as bytes.
const LIST: usize = 32;
/// Bytes that all `seeded` constants of one text may take together: a short text must not ask for unlimited memory.
pub(crate) const SEEDED_BYTES: usize = 1 << 28;
/// Bytes read and printed at a time; a multiple of every element width.
const PIECE: usize = 1 << 15;

/// Writes type and contents.
pub(crate) fn write_tensor(out: &mut dyn Write, t: &Tensor, constants: Constants) -> fmt::Result {
    write!(out, "{} ", t.ty())?;
    if t.is_empty() {
        return out.write_str("[]");
    }
    if let Storage::Splat(_) = t.storage() {
        let one = first_element(t).map_err(|_| fmt::Error)?;
        return write!(out, "splat({})", list_text(&one).map_or_else(|| hex_text(&one), Ok)?);
    }
    if let Constants::Elide { above } = constants
        && t.len() > above
    {
        return write!(out, "hash(\"{}\")", hash(t).map_err(|_| fmt::Error)?);
    }
    let list = if t.len() <= LIST || t.dtype() == DType::String { list_text(t) } else { None };
    match list {
        Some(list) => write!(out, "[{list}]"),
        None => write_hex(out, t),
    }
}

fn first_element(t: &Tensor) -> Result<Tensor, TensorError> {
    let mut one = vec![0; t.dtype().bytes(1).unwrap_or(0)];
    t.read_bytes(0, &mut one)?;
    if t.dtype().is_packed() {
        one[0] &= (1 << t.dtype().bits()) - 1;
    }
    Tensor::from_bytes(t.dtype(), &[], one.into(), None)
}

fn hex_text(t: &Tensor) -> Result<String, fmt::Error> {
    let mut out = String::new();
    write_hex(&mut out, t)?;
    Ok(out)
}

fn write_hex(out: &mut dyn Write, t: &Tensor) -> fmt::Result {
    out.write_str("hex(\"")?;
    let total = t.byte_len();
    let mut bytes = vec![0; total.min(PIECE)];
    let mut at = 0;
    while at < total {
        let n = bytes.len().min(total - at);
        t.read_bytes(at, &mut bytes[..n]).map_err(|_| fmt::Error)?;
        out.write_str(&hex(&bytes[..n]))?;
        at += n;
    }
    out.write_str("\")")
}

/// Two lower-case digits per byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(2));
    for b in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Value of each hexadecimal digit; 16 for other bytes.
const DIGIT: [u8; 256] = {
    let (mut table, mut i) = ([16; 256], 0);
    while i < 16 {
        table[b"0123456789abcdef"[i] as usize] = i as u8;
        table[b"0123456789ABCDEF"[i] as usize] = i as u8;
        i += 1;
    }
    table
};

/// The bytes of `digits`; `None` unless they are pairs of hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let (mut out, mut seen) = (Vec::with_capacity(pairs.len()), 0);
    for [a, b] in pairs {
        let (high, low) = (DIGIT[usize::from(*a)], DIGIT[usize::from(*b)]);
        seen |= high | low;
        out.push(high << 4 | (low & 15));
    }
    (rest.is_empty() && seen < 16).then_some(out)
}

/// Digest of the contents: the first 16 bytes of their SHA-256. Texts are hashed with their lengths.
fn hash(t: &Tensor) -> io::Result<String> {
    struct Hash(Sha256);
    impl io::Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hash(Sha256::new());
    match t.strings() {
        Ok(texts) => {
            for s in texts {
                hash.0.update((s.len() as u64).to_le_bytes());
                hash.0.update(s);
            }
        }
        Err(_) => t.write_to(&mut hash)?,
    }
    Ok(hex(&hash.0.finalize()[..16]))
}

/// The elements, separated by commas; `None` when reading them back would not give the same bits, as for unusual NaNs.
fn list_text(t: &Tensor) -> Option<String> {
    let texts: Vec<String> = match t.widen().ok()? {
        Wide::F32(v) if t.dtype() == DType::F32 => v.iter().map(|x| float_text(*x)).collect(),
        Wide::F32(v) => v.iter().map(|x| narrow_text(*x, t.dtype())).collect(),
        Wide::F64(v) => v.iter().map(|x| double_text(*x)).collect(),
        Wide::I64(v) if t.dtype() == DType::Bool => v.iter().map(|x| (*x != 0).to_string()).collect(),
        Wide::I64(v) => v.iter().map(ToString::to_string).collect(),
        Wide::U64(v) => v.iter().map(ToString::to_string).collect(),
        Wide::C128(v) if t.dtype() == DType::C64 => {
            v.iter().map(|x| format!("({}, {})", float_text(x.re as f32), float_text(x.im as f32))).collect()
        }
        Wide::C128(v) => {
            v.iter().map(|x| format!("({}, {})", double_text(x.re), double_text(x.im))).collect()
        }
        Wide::Str(v) => return Some(v.iter().map(|s| quote(s)).collect::<Vec<_>>().join(", ")),
    };
    let text = texts.join(", ");
    let closed = format!("{text}]");
    let back = numbers(&mut Cursor::new(&closed), t.dtype(), true).ok()?;
    Tensor::from_wide(t.dtype(), t.shape(), &back, false).is_ok_and(|b| b == *t).then_some(text)
}

/// Like [`float_text`], for binary64.
fn double_text(v: f64) -> String {
    if v.is_nan() { "nan".to_owned() } else { format!("{v:?}") }
}

/// `v` exactly where that is short, else the fewest digits that read back as `v` in a type narrower than `f32`.
fn narrow_text(v: f32, dtype: DType) -> String {
    let exact = float_text(v);
    if exact.len() <= "65504.0".len() {
        return exact;
    }
    let reads_back = |x: &f32| {
        let t = Tensor::from_wide(dtype, &[], &Wide::F32(vec![*x]), false);
        t.and_then(|t| Ok(t.to_f32s()?.first() == Some(&v))) == Ok(true)
    };
    let digits = |n: usize| format!("{v:.n$e}").parse::<f32>().ok().filter(reads_back);
    (0..9).find_map(digits).map_or(exact, float_text)
}

/// Reads a type with fixed sizes, then contents.
///
/// # Errors
/// When either does not parse or they do not fit each other.
pub(crate) fn tensor(c: &mut Cursor<'_>, budget: &mut usize) -> Result<Tensor, Fault> {
    let at = c.at;
    let ty = super::types::ty(c)?;
    let sizes = ty.as_tensor().and_then(|t| Some((t.dtype, t.sizes()?)));
    let (dtype, sizes) = sizes
        .ok_or_else(|| Fault::new(at, format!("a tensor with fixed sizes is expected here, not {ty}")))?;
    contents(c, dtype, &sizes, budget)
}

/// Reads the contents of a tensor of that type.
///
/// # Errors
/// When they do not parse or do not fit.
pub(crate) fn contents(
    c: &mut Cursor<'_>,
    dtype: DType,
    sizes: &[usize],
    budget: &mut usize,
) -> Result<Tensor, Fault> {
    let at = c.at;
    let fits = |r: Result<Tensor, TensorError>| r.map_err(|e| Fault::new(at, e.to_string()));
    if c.eat('[') {
        let values = numbers(c, dtype, true)?;
        let needed = element_count(sizes);
        if needed != Some(values.len()) {
            let needed = needed.map_or("more".to_owned(), |n| n.to_string());
            return Err(Fault::new(at, format!("{needed} elements are needed here, found {}", values.len())));
        }
        return fits(Tensor::from_wide(dtype, sizes, &values, false));
    }
    let Tok::Ident(how) = c.tok else {
        return Err(c.expected("`[`, `splat`, `seeded` or `hex`"));
    };
    c.bump();
    match how {
        "hex" => fits(Tensor::from_bytes(dtype, sizes, hex_bytes(c, dtype, sizes)?.into(), None)),
        "splat" => {
            c.need('(')?;
            let one = if c.eat_word("hex") {
                fits(Tensor::from_bytes(dtype, &[], hex_bytes(c, dtype, &[])?.into(), None))?
            } else {
                fits(Tensor::from_wide(dtype, &[], &numbers(c, dtype, false)?, false))?
            };
            c.need(')')?;
            if dtype == DType::String {
                return Err(Fault::new(at, "`splat` is not defined for texts; write the list"));
            }
            fits(Tensor::splat(&one, sizes))
        }
        "seeded" => {
            c.need('(')?;
            let seed = integer(c, 0, i128::from(u64::MAX))? as u64;
            c.need(')')?;
            let width =
                if dtype == DType::String { size_of::<String>() } else { dtype.bits().max(8) as usize / 8 };
            let bytes = element_count(sizes).and_then(|n| n.checked_mul(width));
            let left = bytes.and_then(|b| budget.checked_sub(b));
            *budget = left.ok_or_else(|| {
                Fault::new(at, format!("`seeded` constants may take {SEEDED_BYTES} bytes in one text"))
            })?;
            fits(seeded(dtype, sizes, seed))
        }
        "hash" => Err(no_data(at)),
        _ => Err(Fault::new(
            at,
            format!("`{how}` is no way to write contents; use a list, splat, seeded or hex"),
        )),
    }
}

fn no_data(at: usize) -> Fault {
    let mut f = Fault::new(at, "this constant is given by its hash only, as dumps do");
    f.diag.code = "E0405";
    f.diag.hint = Some("write the text with full constants".to_owned());
    f
}

/// `("..")` with exactly the bytes of a tensor of that type.
fn hex_bytes(c: &mut Cursor<'_>, dtype: DType, sizes: &[usize]) -> Result<Vec<u8>, Fault> {
    c.need('(')?;
    let Tok::Str(digits) = c.tok else { return Err(c.expected("a text of hexadecimal digits")) };
    let needed = byte_count(dtype, sizes).map_err(|e| c.fault(e.to_string()))?;
    if digits.len() / 2 != needed {
        return Err(c.fault(format!("{needed} bytes are needed here, found {}", digits.len() / 2)));
    }
    let bytes = unhex(digits).ok_or_else(|| c.fault("bytes are pairs of hexadecimal digits"))?;
    c.bump();
    c.need(')')?;
    Ok(bytes)
}

/// Elements of type `dtype`: up to `]` when `many`, else one.
fn numbers(c: &mut Cursor<'_>, dtype: DType, many: bool) -> Result<Wide, Fault> {
    fn items<'a, T>(
        c: &mut Cursor<'a>,
        many: bool,
        mut one: impl FnMut(&mut Cursor<'a>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        if many { c.list(']', one) } else { Ok(vec![one(c)?]) }
    }
    if let Some((low, high)) = dtype.int_range() {
        return Ok(if dtype.is_signed_int() {
            Wide::I64(items(c, many, |c| integer(c, low, high).map(|v| v as i64))?)
        } else {
            Wide::U64(items(c, many, |c| integer(c, low, high).map(|v| v as u64))?)
        });
    }
    Ok(match dtype {
        DType::F64 => Wide::F64(items(c, many, double)?),
        DType::Bool => Wide::I64(items(c, many, |c| truth(c).map(i64::from))?),
        DType::String => Wide::Str(items(c, many, |c| c.string().map(String::from))?),
        DType::C64 | DType::C128 => Wide::C128(items(c, many, complex)?),
        DType::F32 => Wide::F32(items(c, many, single)?),
        _ => Wide::F32(items(c, many, |c| narrow(c, dtype))?),
    })
}

/// `true` or `false`.
pub(crate) fn truth(c: &mut Cursor<'_>) -> Result<bool, Fault> {
    match c.tok {
        Tok::Ident(v @ ("true" | "false")) => {
            c.bump();
            Ok(v == "true")
        }
        _ => Err(c.expected("`true` or `false`")),
    }
}

/// An integer within `low..=high`.
pub(crate) fn integer(c: &mut Cursor<'_>, low: i128, high: i128) -> Result<i128, Fault> {
    let at = c.at;
    let negative = c.eat('-');
    let Tok::Num(text) = c.tok else { return Err(c.expected("an integer")) };
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(c.expected("an integer"));
    }
    let value = text.parse::<i128>().ok().map(|v| if negative { -v } else { v });
    let value = value.filter(|v| (low..=high).contains(v));
    let value = value.ok_or_else(|| Fault::new(at, format!("{text} is outside {low} to {high}")))?;
    c.bump();
    Ok(value)
}

/// A number with its sign, and whether it is written in digits rather than as `inf` or `nan`.
fn number<T: std::str::FromStr + std::ops::Neg<Output = T>>(c: &mut Cursor<'_>) -> Result<(T, bool), Fault> {
    let negative = c.eat('-');
    let (Tok::Num(text) | Tok::Ident(text @ ("inf" | "nan"))) = c.tok else {
        return Err(c.expected("a number"));
    };
    let digits = matches!(c.tok, Tok::Num(_));
    let value = text.parse::<T>().map_err(|_| c.expected("a number"))?;
    c.bump();
    Ok((if negative { -value } else { value }, digits))
}

/// A binary32 number.
pub(crate) fn single(c: &mut Cursor<'_>) -> Result<f32, Fault> {
    let at = c.at;
    match number::<f32>(c)? {
        (v, true) if v.is_infinite() => Err(Fault::new(at, "this number is too large for f32")),
        (v, _) => Ok(v),
    }
}

/// A binary64 number.
pub(crate) fn double(c: &mut Cursor<'_>) -> Result<f64, Fault> {
    let at = c.at;
    match number::<f64>(c)? {
        (v, true) if v.is_infinite() => Err(Fault::new(at, "this number is too large for f64")),
        (v, _) => Ok(v),
    }
}

/// A number that a type narrower than `f32` can hold, after rounding.
fn narrow(c: &mut Cursor<'_>, dtype: DType) -> Result<f32, Fault> {
    let at = c.at;
    let v = single(c)?;
    let stored = Tensor::from_wide(dtype, &[], &Wide::F32(vec![v]), false);
    let r = stored.ok().and_then(|t| t.to_f32s().ok()?.first().copied()).unwrap_or(f32::NAN);
    let kept = if v.is_finite() { r.is_finite() } else { r == v || (v.is_nan() && r.is_nan()) };
    let past = narrow_magnitudes(dtype).and_then(|m| m.last()).is_some_and(|last| v.abs() > *last);
    if kept && !past {
        return Ok(v);
    }
    Err(Fault::new(at, format!("{dtype} cannot hold {v}")))
}

fn complex(c: &mut Cursor<'_>) -> Result<Complex<f64>, Fault> {
    c.need('(')?;
    let re = double(c)?;
    c.need(',')?;
    let im = double(c)?;
    c.need(')')?;
    Ok(Complex::new(re, im))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tensor, String> {
        let mut c = Cursor::new(text);
        let t = tensor(&mut c, &mut SEEDED_BYTES.clone()).map_err(|f| f.diag.message)?;
        if c.tok == Tok::End { Ok(t) } else { Err(format!("left over: {:?}", c.tok)) }
    }
    fn print(t: &Tensor, constants: Constants) -> String {
        let mut out = String::new();
        write_tensor(&mut out, t, constants).expect("printable");
        out
    }

    #[test]
    fn contents_print_as_they_read() {
        for text in [
            "f32[2, 2] [1.0, -0.0, 1e-45, 3.4028235e38]",
            "f32[3] [inf, -inf, nan]",
            "f64[2] [0.1, 1e300]",
            "f16[3] [0.1, 65504.0, -inf]",
            "bf16[2] [0.1, 3e38]",
            "f8e4m3fn[3] [0.1, 448.0, nan]",
            "f8e8m0[2] [0.125, 2.0]",
            "f4e2m1[3] [0.5, -6.0, 1.5]",
            "i2[5] [-2, -1, 0, 1, -2]",
            "u4[3] [0, 15, 7]",
            "i64[2] [-9223372036854775808, 9223372036854775807]",
            "u64[1] [18446744073709551615]",
            "bool[2] [true, false]",
            "string[2] [\"a\\\"b\", \"\"]",
            "c64[2] [(1.0, -2.5), (nan, inf)]",
            "c128[] [(0.1, 1e300)]",
            "i64[] [5]",
            "f32[0, 3] []",
            "string[0] []",
            "f32[1000000000, 1000] splat(0.5)",
            "i4[3] splat(-3)",
            "f32[1] hex(\"0100c07f\")",
            "f32[4] splat(hex(\"0100c07f\"))",
            "bool[1] hex(\"02\")",
            "i4[1] hex(\"f1\")",
        ] {
            assert_eq!(read(text).map(|t| print(&t, Constants::Full)).as_deref(), Ok(text));
        }
    }

    #[test]
    fn large_contents_are_bytes_or_a_hash() {
        let t = read("i16[40] seeded(7)").expect("ok");
        let full = print(&t, Constants::Full);
        assert!(full.starts_with("i16[40] hex(\""), "{full}");
        assert!(read(&full).expect("reads back").same_bits(&t));
        let short = print(&t, Constants::Elide { above: 39 });
        assert!(short.starts_with("i16[40] hash(\"") && short.len() == "i16[40] hash(\"\")".len() + 32);
        assert_eq!(print(&t, Constants::Elide { above: 40 }), full);
        let mut c = Cursor::new(&short);
        let e = tensor(&mut c, &mut 0).expect_err("no data");
        assert_eq!(e.diag.code, "E0405");
    }

    #[test]
    fn every_type_reads_back_bit_for_bit() {
        for d in DType::all() {
            for n in [31, 77] {
                let t = seeded(d, &[n], 5).expect("ok");
                assert!(read(&print(&t, Constants::Full)).expect("reads back").same_bits(&t), "{d}");
            }
        }
        // All codes of the one-byte and half-precision types, in lists short enough to be decimal.
        for d in [DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F8E8M0] {
            for code in 0..=255u8 {
                let t = Tensor::from_bytes(d, &[], vec![code].into(), None).expect("ok");
                assert!(read(&print(&t, Constants::Full)).expect("reads back").same_bits(&t), "{d} {code}");
            }
        }
        for code in (0..=u16::MAX).step_by(17) {
            for d in [DType::F16, DType::BF16] {
                let t = Tensor::from_bytes(d, &[], code.to_le_bytes().to_vec().into(), None).expect("ok");
                assert!(read(&print(&t, Constants::Full)).expect("reads back").same_bits(&t), "{d} {code}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in [
            "f32[2] [1.0]",
            "f32[N] [1.0]",
            "f32[] [1e39]",
            "f64[] [1e309]",
            "f16[] [70000.0]",
            "f8e4m3fn[] [1000.0]",
            "f4e2m1[] [7.0]",
            "f4e2m1[] [nan]",
            "i8[] [128]",
            "u8[] [-1]",
            "i32[] [1.5]",
            "bool[] [1]",
            "string[1000] splat(\"x\")",
            "f32[2] hex(\"00\")",
            "f32[1] hex(\"0000000g\")",
            "f32[99999999999] seeded(1)",
            "f32[99999999999, 99999999999] splat(1)",
            "f32[1] zeros(1)",
            "seq<f32[]> [1]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
