//! `legalize-tflite-integers`
//!
//! ```text
//! %y: i64 = abs(%x)   ->   %n = neg(%x)
//!                          %y = max(%x, %n)
//! ```
//! - Arithmetic on integers of 32 and 64 bits that LiteRT lacks: `abs`, `sign`, `div`, `pow`.
//! - Bits: `bitwise_or` is the sum less what both have, `bitwise_xor` that less it again; a shift to the left is a product.
//! - Order of 64-bit integers without a sign is that of those with one, moved by half the range.
//!
//! All of it is exact modulo the range of the type, as the IR has it.
use super::formula::{Formula, V, dtype, settle};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Mod;
use hoist_ir::ops::elementwise::logic::{BitShift, Direction};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::bit_cast::BitCast;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTfliteIntegers;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-integers",
    doc: "Composes arithmetic on integers that LiteRT lacks, exactly.",
};

const OPS: &[&str] = &[
    "abs",
    "bit_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "div",
    "greater",
    "greater_or_equal",
    "less",
    "less_or_equal",
    "max",
    "min",
    "neg",
    "pow",
    "relu",
    "sign",
    "sub",
];

impl Pass for LegalizeTfliteIntegers {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(settle(g, cx, OPS, compose))
    }
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, inputs) = (node.op().clone(), node.inputs().iter().flatten().copied().collect::<Vec<_>>());
    let Some(d) = inputs.first().and_then(|x| dtype(g, *x)) else { return Outcome::Skip };
    let float = matches!(d, DType::F64) && matches!(op.name(), "neg" | "sub" | "abs" | "relu");
    if !float && !matches!(d, DType::I32 | DType::I64 | DType::U64) && !is_bits(&op) {
        return Outcome::miss("the elements are no integers of 32 or 64 bits");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let f = &mut Formula::new(b, d);
        let y = match d {
            DType::F64 => double(f, op.name(), &inputs),
            DType::U64 => unsigned(f, &op, &inputs),
            _ => signed(f, &op, &inputs, d),
        };
        Ok(vec![y?])
    }))
}

fn is_bits(op: &Op) -> bool {
    matches!(op.name(), "bit_shift" | "bitwise_not" | "bitwise_or" | "bitwise_xor")
}

fn none(op: &str) -> Diag {
    Diag::error("E0302", format!("`{op}` has no form by these operands"))
}

/// Sums and products of `f64` are computed; the negative is a product.
fn double(f: &mut Formula<'_, '_>, op: &str, inputs: &[ValueId]) -> V {
    match (op, inputs) {
        ("neg", [x]) => f.with("mul", *x, -1.0),
        ("sub", [x, y]) => {
            let minus = f.with("mul", *y, -1.0)?;
            f.op("add", &[*x, minus])
        }
        ("abs", [x]) => {
            let minus = f.with("mul", *x, -1.0)?;
            f.op("max", &[*x, minus])
        }
        ("relu", [x]) => f.with("max", *x, 0.0),
        _ => Err(none(op)),
    }
}

fn signed(f: &mut Formula<'_, '_>, op: &Op, inputs: &[ValueId], d: DType) -> V {
    match (op, inputs) {
        (Op::Abs(_), [x]) => {
            let minus = f.op("neg", &[*x])?;
            f.op("max", &[*x, minus])
        }
        (Op::Relu(_), [x]) => {
            let zero = f.int(0)?;
            f.op("max", &[zero, *x])
        }
        (Op::Sign(_), [x]) => {
            let zero = f.int(0)?;
            let (above, below) = (f.op("greater", &[*x, zero])?, f.op("less", &[*x, zero])?);
            let (above, below) = (f.cast(above, d)?, f.cast(below, d)?);
            f.op("sub", &[above, below])
        }
        (Op::Div(_), [a, b]) if d == DType::I64 => truncated(f, *a, *b),
        (Op::Pow(_), [x, y]) => power(f, *x, *y, d),
        (Op::BitwiseNot(_), [x]) => {
            let ones = all_ones(f, d)?;
            f.op("sub", &[ones, *x])
        }
        (Op::BitwiseOr(_) | Op::BitwiseXor(_), [a, b]) => {
            let both = f.op("bitwise_and", &[*a, *b])?;
            let sum = f.op("add", &[*a, *b])?;
            let either = f.op("sub", &[sum, both])?;
            if matches!(op, Op::BitwiseOr(_)) { Ok(either) } else { f.op("sub", &[either, both]) }
        }
        (Op::BitShift(s), [x, y]) => shift(f, s, *x, *y, d),
        _ => Err(none(op.name())),
    }
}

/// The number whose bits are all set.
fn all_ones(f: &mut Formula<'_, '_>, d: DType) -> V {
    f.int(if d.is_signed_int() { -1 } else { d.int_range().map_or(-1, |r| r.1 as i64) })
}

/// The quotient truncated towards zero. What the remainder leaves of the dividend is a multiple of the divisor; its quotient is found in
/// three steps, each by the rounded quotient in `f32` of what is left. The first leaves at most `2^40` times the divisor, the second
/// `2^18` times, and that the third finds exactly.
fn truncated(f: &mut Formula<'_, '_>, a: ValueId, b: ValueId) -> V {
    let rest = f.node(Mod { fmod: true }, &[a, b])?;
    let mut left = f.op("sub", &[a, rest])?;
    let divisor = f.cast(b, DType::F32)?;
    let mut sum: Option<ValueId> = None;
    for step in 0..3 {
        let float = f.cast(left, DType::F32)?;
        let q = f.op("div", &[float, divisor])?;
        let q = if planted("legalize-tflite-integers") && step > 1 { float } else { f.op("round", &[q])? };
        let q = f.cast(q, DType::I64)?;
        if step < 2 {
            let found = f.op("mul", &[q, b])?;
            left = f.op("sub", &[left, found])?;
        }
        sum = Some(match sum {
            Some(s) => f.op("add", &[s, q])?,
            None => q,
        });
    }
    sum.ok_or_else(|| none("div"))
}

/// Most factors of a power with a constant exponent.
const MAX_POWER: i64 = 1 << 20;

/// With a constant exponent, products; else those of the exponent's bits, with negative exponents set apart.
fn power(f: &mut Formula<'_, '_>, x: ValueId, y: ValueId, d: DType) -> V {
    let g = f.b.graph();
    let single = g.constant(y).filter(|t| t.len() == 1 && t.rank() == 0);
    let exponent = single.and_then(Tensor::as_f64).filter(|e| e.fract() == 0.0 && *e >= 0.0);
    if let Some(e) = exponent.filter(|e| *e <= MAX_POWER as f64) {
        return by_squares(f, x, e as i64);
    }
    let kind = dtype(g, y);
    if !kind.is_some_and(|k| k.is_int() && k != DType::U64) {
        return Err(none("pow"));
    }
    let y = f.cast(y, DType::I64)?;
    let base = d;
    let (x, f) = (f.cast(x, DType::I64)?, &mut Formula::new(f.b, DType::I64));
    let (zero, one, two) = (f.int(0)?, f.int(1)?, f.int(2)?);
    // Set apart from the exponent, so that the power is computed of numbers that are not negative.
    let (negative, minus_one) = (f.op("less", &[y, zero])?, f.int(-1)?);
    let odd = f.node(Mod { fmod: false }, &[y, two])?;
    let is_odd = f.op("equal", &[odd, one])?;
    let sign = f.op("where", &[is_odd, minus_one, one])?;
    let (is_one, is_minus) = (f.op("equal", &[x, one])?, f.op("equal", &[x, minus_one])?);
    let small = f.op("where", &[is_minus, sign, zero])?;
    let small = f.op("where", &[is_one, one, small])?;
    let large = product_of_bits(f, x, y)?;
    let result = f.op("where", &[negative, small, large])?;
    f.cast(result, base)
}

/// `x^y` where `0 <= y`, bit by bit of the exponent, modulo the range.
fn product_of_bits(f: &mut Formula<'_, '_>, x: ValueId, y: ValueId) -> V {
    const LAST: u32 = 62;
    let one = f.int(1)?;
    let (mut square, mut result) = (x, one);
    for bit in 0..=LAST {
        let low = if bit == LAST {
            y
        } else {
            let next = f.int(1i64 << (bit + 1))?;
            f.node(Mod { fmod: false }, &[y, next])?
        };
        let weight = f.int(1i64 << bit)?;
        let is_set = f.op("greater_or_equal", &[low, weight])?;
        let factor = f.op("where", &[is_set, square, one])?;
        result = f.op("mul", &[result, factor])?;
        if bit < LAST {
            square = f.op("mul", &[square, square])?;
        }
    }
    Ok(result)
}

fn by_squares(f: &mut Formula<'_, '_>, x: ValueId, e: i64) -> V {
    if e == 0 {
        let zero = f.int(0)?;
        let nothing = f.op("mul", &[x, zero])?;
        let one = f.int(1)?;
        return f.op("add", &[nothing, one]);
    }
    let (mut square, mut rest, mut result) = (x, e, None);
    while rest > 0 {
        if rest & 1 == 1 {
            result = Some(match result {
                Some(r) => f.op("mul", &[r, square])?,
                None => square,
            });
        }
        rest >>= 1;
        if rest > 0 {
            square = f.op("mul", &[square, square])?;
        }
    }
    result.ok_or_else(|| none("pow"))
}

/// To the left, the product with the power of two, looked up in a table whose last entry, 0, stands for all places beyond the width.
/// To the right, of numbers of at most 32 bits, the quotient of wider ones.
fn shift(f: &mut Formula<'_, '_>, op: &BitShift, x: ValueId, y: ValueId, d: DType) -> V {
    let width = i64::from(d.bits());
    let place = f.cast(y, DType::I64)?;
    let number = |f: &mut Formula<'_, '_>, v: i64| f.b.scalar(v);
    // Numbers of places below 0 or beyond the width.
    let (zero, limit) = (number(f, 0), number(f, width));
    let (low, high) = (f.op("less", &[place, zero])?, f.op("greater", &[place, limit])?);
    let outside = f.op("or", &[low, high])?;
    let place = f.op("where", &[outside, limit, place])?;
    if op.direction == Direction::Left {
        if d != DType::I32 && d != DType::I64 {
            return shifted_wide(f, op, x, place, d);
        }
        let table: Vec<i64> = (0..=width).map(|i| if i < width { 1i64 << i } else { 0 }).collect();
        let table =
            Tensor::from_ints(&table).cast(d, false).map_err(|e| Diag::error("E0303", e.to_string()))?;
        let table = f.b.constant(table);
        let factor = f.node(Gather { axis: 0 }, &[table, place])?;
        return f.op("mul", &[x, factor]);
    }
    if width > 32 {
        return shifted_right(f, x, place);
    }
    shifted_wide(f, op, x, place, d)
}

/// The quotient by the power of two, rounded down. That by 2^63 and all beyond is the sign.
fn shifted_right(f: &mut Formula<'_, '_>, x: ValueId, place: ValueId) -> V {
    const LAST: i64 = 62;
    let last = f.int(LAST)?;
    let near = f.op("min", &[last, place])?;
    let table: Vec<i64> = (0..=LAST).map(|i| 1i64 << i).collect();
    let table = f.b.ints(&table);
    let power = f.node(Gather { axis: 0 }, &[table, near])?;
    let rest = f.node(Mod { fmod: false }, &[x, power])?;
    let whole = f.op("sub", &[x, rest])?;
    let quotient = f.op("div", &[whole, power])?;
    let (zero, minus) = (f.int(0)?, f.int(-1)?);
    let below = f.op("less", &[x, zero])?;
    let sign = f.op("where", &[below, minus, zero])?;
    let far = f.op("greater", &[place, last])?;
    f.op("where", &[far, sign, quotient])
}

/// Bits that a shift to the right of a number with a sign fills with it are cleared.
fn shifted_right_unsigned(f: &mut Formula<'_, '_>, x: ValueId, y: ValueId) -> V {
    const WIDTH: i64 = 64;
    let (zero, limit) = (f.int(0)?, f.int(WIDTH)?);
    let (low, high) = (f.op("less", &[y, zero])?, f.op("greater", &[y, limit])?);
    let outside = f.op("or", &[low, high])?;
    let place = f.op("where", &[outside, limit, y])?;
    let filled = shifted_right(f, x, place)?;
    let kept = |i: i64| {
        if i == 0 {
            -1
        } else if i == WIDTH {
            0
        } else {
            (u64::MAX >> i) as i64
        }
    };
    let table: Vec<i64> = (0..=WIDTH).map(kept).collect();
    let table = f.b.ints(&table);
    let mask = f.node(Gather { axis: 0 }, &[table, place])?;
    f.op("bitwise_and", &[filled, mask])
}

/// The shift of a number of at most 32 bits among those of 64: a product, or a quotient rounded down.
fn shifted_wide(f: &mut Formula<'_, '_>, op: &BitShift, x: ValueId, place: ValueId, d: DType) -> V {
    let table: Vec<i64> = (0..=i64::from(d.bits())).map(|i| 1i64 << i).collect();
    let table = f.b.ints(&table);
    let power = f.node(Gather { axis: 0 }, &[table, place])?;
    let wide = f.cast(x, DType::I64)?;
    let y = if op.direction == Direction::Left {
        f.op("mul", &[wide, power])?
    } else {
        let rest = f.node(Mod { fmod: false }, &[wide, power])?;
        let whole = f.op("sub", &[wide, rest])?;
        f.op("div", &[whole, power])?
    };
    f.cast(y, d)
}

/// 64-bit integers without a sign by those with one.
fn unsigned(f: &mut Formula<'_, '_>, op: &Op, inputs: &[ValueId]) -> V {
    let bits = |f: &mut Formula<'_, '_>, v: ValueId, to: DType| f.node(BitCast { to }, &[v]);
    let mut given = vec![];
    for v in inputs {
        given.push(bits(f, *v, DType::I64)?);
    }
    if let (Op::BitShift(s), [x, y]) = (op, given.as_slice()) {
        let f = &mut Formula::new(f.b, DType::I64);
        let y = match s.direction {
            Direction::Left => shift(f, s, *x, *y, DType::I64)?,
            Direction::Right => shifted_right_unsigned(f, *x, *y)?,
        };
        return bits(f, y, DType::U64);
    }
    if matches!(op.name(), "bitwise_not" | "bitwise_or" | "bitwise_xor") {
        let f = &mut Formula::new(f.b, DType::I64);
        let y = signed(f, op, &given, DType::I64)?;
        return bits(f, y, DType::U64);
    }
    if !matches!(op.name(), "greater" | "greater_or_equal" | "less" | "less_or_equal" | "max" | "min") {
        return Err(none(op.name()));
    }
    let half = f.b.scalar(i64::MIN);
    for v in &mut given {
        *v = f.op("add", &[*v, half])?;
    }
    let y = f.node(op.clone(), &given)?;
    if !matches!(op.name(), "max" | "min") {
        return Ok(y);
    }
    let y = f.op("add", &[y, half])?;
    bits(f, y, DType::U64)
}
