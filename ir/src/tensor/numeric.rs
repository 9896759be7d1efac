//! Number formats without a hardware or crate type: the floats of 8, 6 and 4 bits.
//!
//! Bit layouts: OCP 8-bit floating point (OFP8) and OCP MX specifications; the `FNUZ` variants as in the ONNX
//! "Float stored in 8 bits" page.
use crate::dtype::DType;
use std::sync::OnceLock;

/// The 8-bit float formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum F8 {
    /// 4 exponent bits, bias 7, no infinities, NaN at `0x7f`.
    E4M3FN,
    /// 4 exponent bits, bias 8, no infinities, NaN at `0x80`.
    E4M3FNUZ,
    /// 5 exponent bits, bias 15, infinities at `0x7c`.
    E5M2,
    /// 5 exponent bits, bias 16, no infinities, NaN at `0x80`.
    E5M2FNUZ,
    /// Exponent only, bias 127, NaN at `0xff`, no sign.
    E8M0,
}

struct Layout {
    mantissa: u32,
    bias: i32,
    /// Largest finite code without sign.
    max_code: u8,
    nan: u8,
    infinity: Option<u8>,
    negative_zero: bool,
}

fn layout(kind: F8) -> Layout {
    match kind {
        F8::E4M3FN => {
            Layout { mantissa: 3, bias: 7, max_code: 0x7e, nan: 0x7f, infinity: None, negative_zero: true }
        }
        F8::E4M3FNUZ => {
            Layout { mantissa: 3, bias: 8, max_code: 0x7f, nan: 0x80, infinity: None, negative_zero: false }
        }
        F8::E5M2 => Layout {
            mantissa: 2,
            bias: 15,
            max_code: 0x7b,
            nan: 0x7f,
            infinity: Some(0x7c),
            negative_zero: true,
        },
        F8::E5M2FNUZ => {
            Layout { mantissa: 2, bias: 16, max_code: 0x7f, nan: 0x80, infinity: None, negative_zero: false }
        }
        F8::E8M0 => {
            Layout { mantissa: 0, bias: 127, max_code: 0xfe, nan: 0xff, infinity: None, negative_zero: false }
        }
    }
}

/// Value of a code without sign: `2^(e - bias) * 1.m`, or `2^(1 - bias) * 0.m` where `e` is 0.
fn magnitude(code: u8, mantissa: u32, bias: i32) -> f32 {
    let m = f32::from(code & ((1 << mantissa) - 1)) / (1u32 << mantissa) as f32;
    let e = i32::from(code >> mantissa);
    let (scale, lead) = if e == 0 { (1 - bias, 0.0) } else { (e - bias, 1.0) };
    ((lead + f64::from(m)) * f64::from(scale).exp2()) as f32
}

/// The number that `code` stands for.
pub fn decode_f8(code: u8, kind: F8) -> f32 {
    let l = layout(kind);
    if kind == F8::E8M0 {
        return if code == l.nan { f32::NAN } else { (f64::from(code) - 127.0).exp2() as f32 };
    }
    if code == l.nan || (l.negative_zero && code & 0x7f == 0x7f) {
        return f32::NAN;
    }
    let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
    match l.infinity {
        Some(inf) if code & 0x7f == inf => sign * f32::INFINITY,
        Some(inf) if code & 0x7f > inf => f32::NAN,
        _ => sign * magnitude(code & 0x7f, l.mantissa, l.bias),
    }
}

/// Finite magnitudes by code, ascending, per format.
fn magnitudes(kind: F8) -> &'static [f32] {
    static TABLES: [OnceLock<Vec<f32>>; 4] = [const { OnceLock::new() }; 4];
    let l = layout(kind);
    TABLES[kind as usize % 4]
        .get_or_init(|| (0..=l.max_code).map(|c| magnitude(c, l.mantissa, l.bias)).collect())
}

/// Position of the entry of `table` nearest to `v`, ties to the even position; `table.len()` when `v` rounds past the end.
fn nearest_even(v: f32, table: &[f32]) -> usize {
    let above = table.partition_point(|t| *t < v);
    if above == 0 {
        return 0;
    }
    let low = f64::from(table[above - 1]);
    // Past the end, the next code would lie as far above the last as the last above the one before.
    let last = table.len() - 1;
    let high = table.get(above).map_or(2.0 * low - f64::from(table[last - 1]), |t| f64::from(*t));
    let (down, up) = (f64::from(v) - low, high - f64::from(v));
    if down < up || (down == up && (above - 1) % 2 == 0) { above - 1 } else { above }
}

/// The code nearest to `v`, ties to even. Out of range it is the largest finite code when `saturate`, else infinity or NaN.
/// `E8M0` rounds up to the next power of two.
pub fn encode_f8(v: f32, kind: F8, saturate: bool) -> u8 {
    let l = layout(kind);
    if kind == F8::E8M0 {
        return encode_e8m0(v);
    }
    let sign = if v.is_sign_negative() { 0x80 } else { 0 };
    let signed = |c: u8| if c == 0 && !l.negative_zero { 0 } else { c | sign };
    if v.is_nan() {
        return if l.nan == 0x80 { l.nan } else { l.nan | sign };
    }
    let table = magnitudes(kind);
    let at = if v.is_infinite() { table.len() } else { nearest_even(v.abs(), table) };
    if at < table.len() {
        return signed(at as u8);
    }
    match (saturate, l.infinity) {
        (true, _) => signed(l.max_code),
        (false, Some(inf)) => inf | sign,
        (false, None) if l.nan == 0x80 => l.nan,
        (false, None) => l.nan | sign,
    }
}

fn encode_e8m0(v: f32) -> u8 {
    if v.is_nan() || v < 0.0 {
        return 0xff;
    }
    (0..=0xfeu8).find(|c| (f64::from(*c) - 127.0).exp2() >= f64::from(v)).unwrap_or(0xfe)
}

/// Magnitudes of the 4-bit float by code (1 sign, 2 exponent, 1 mantissa bit).
const F4: &[f32] = &[0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
/// Magnitudes of the 6-bit float of 2 exponent and 3 mantissa bits (bias 1).
const F6E2M3: &[f32] = &[
    0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875, 2.0,
    2.25, 2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5,
];
/// Magnitudes of the 6-bit float of 3 exponent and 2 mantissa bits (bias 3).
const F6E3M2: &[f32] = &[
    0.0, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75,
    2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 14.0, 16.0, 20.0, 24.0, 28.0,
];

/// Magnitudes by code without sign of a float narrower than a byte, which has neither infinities nor NaN; `None` for other types.
pub fn narrow_magnitudes(dtype: DType) -> Option<&'static [f32]> {
    Some(match dtype {
        DType::F4E2M1 => F4,
        DType::F6E2M3 => F6E2M3,
        DType::F6E3M2 => F6E3M2,
        _ => return None,
    })
}

/// The number of a code, its sign bit above those of the magnitudes' positions.
pub fn decode_narrow(code: u8, magnitudes: &[f32]) -> f32 {
    let v = magnitudes[usize::from(code) % magnitudes.len()];
    if usize::from(code) & magnitudes.len() == 0 { v } else { -v }
}

/// The code nearest to `v`, ties to even, saturating; NaN becomes -0, as in ONNX's cases of `Cast`.
pub fn encode_narrow(v: f32, magnitudes: &[f32]) -> u8 {
    let sign = magnitudes.len() as u8;
    if v.is_nan() {
        return sign;
    }
    let last = magnitudes.len() - 1;
    let at = nearest_even(v.abs().min(magnitudes[last]), magnitudes).min(last);
    at as u8 | if v.is_sign_negative() { sign } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_round_trips() {
        for kind in [F8::E4M3FN, F8::E4M3FNUZ, F8::E5M2, F8::E5M2FNUZ, F8::E8M0] {
            for code in 0..=255u8 {
                let v = decode_f8(code, kind);
                if !v.is_nan() {
                    assert_eq!(encode_f8(v, kind, false), code, "{kind:?} {code:#x} {v}");
                }
            }
        }
        for dtype in [DType::F4E2M1, DType::F6E2M3, DType::F6E3M2] {
            let table = narrow_magnitudes(dtype).expect("narrow");
            assert_eq!(table.len(), 1 << (dtype.bits() - 1));
            for code in 0..2 * table.len() as u8 {
                assert_eq!(encode_narrow(decode_narrow(code, table), table), code, "{dtype}");
            }
        }
    }

    #[test]
    fn narrow_floats_follow_their_layout_and_saturate() {
        for (dtype, mantissa, bias) in [(DType::F4E2M1, 1, 1), (DType::F6E2M3, 3, 1), (DType::F6E3M2, 2, 3)] {
            let table = narrow_magnitudes(dtype).expect("narrow");
            let formula: Vec<f32> = (0..table.len() as u8).map(|c| magnitude(c, mantissa, bias)).collect();
            assert_eq!(table, formula, "{dtype}");
            let (sign, last) = (table.len() as u8, table.len() as u8 - 1);
            let codes = [f32::INFINITY, -1e30, f32::NAN, -0.0].map(|v| encode_narrow(v, table));
            assert_eq!(codes, [last, sign | last, sign, sign], "{dtype}");
        }
        // Codes of ml_dtypes 0.6: ties between 0.125 and 0.25, 7.0 and 7.5; past the last value.
        assert_eq!([0.1875, 0.0625, 7.25, 7.7].map(|v| encode_narrow(v, F6E2M3)), [2, 0, 30, 31]);
        assert_eq!([0.03125, 0.09375, 30.0, -26.0].map(|v| encode_narrow(v, F6E3M2)), [0, 2, 31, 62]);
    }

    #[test]
    fn ranges_and_ties() {
        assert_eq!(decode_f8(0x7e, F8::E4M3FN), 448.0);
        assert_eq!(decode_f8(0x7f, F8::E4M3FNUZ), 240.0);
        assert_eq!(encode_f8(1000.0, F8::E4M3FN, true), 0x7e);
        assert_eq!(encode_f8(1000.0, F8::E4M3FN, false), 0x7f);
        assert_eq!(encode_f8(f32::INFINITY, F8::E5M2, false), 0x7c);
        // 1.0625 lies halfway between 1.0 (0x38) and 1.125 (0x39).
        assert_eq!(encode_f8(1.0625, F8::E4M3FN, true), 0x38);
        assert_eq!(encode_f8(1.1875, F8::E4M3FN, true), 0x3a);
    }
}
