//! Arithmetic on known numbers, as Python and PyTorch have it.
use crate::pytorch::lift::cx::Size;
use crate::pytorch::torchscript::value::Value;

/// A known number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    /// As a float.
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(v) => v as f64,
            Self::Float(v) => v,
        }
    }
}

pub(super) fn known(v: &Value) -> Option<Num> {
    match v {
        Value::Int(Size::Known(v)) => Some(Num::Int(*v)),
        Value::Bool(b) => Some(Num::Int(i64::from(*b))),
        Value::Float(v) => Some(Num::Float(*v)),
        _ => None,
    }
}

/// The result on known numbers: the outer `None` when the operator is another, the inner one when it has no result.
#[expect(clippy::option_option, reason = "no such operator, and no such result")]
pub(super) fn compute(name: &str, nums: &[Num], first_is_bool: bool) -> Option<Option<Value>> {
    let int = |v: Option<i64>| Some(v.map(Value::int));
    let float = |v: f64| Some(Some(Value::Float(v)));
    match nums {
        [Num::Int(a)] => {
            let a = *a;
            match name {
                "neg" => int(a.checked_neg()),
                "abs" => int(a.checked_abs()),
                "__not__" => Some(Some(Value::Bool(a == 0))),
                "ceil" | "floor" | "trunc" => int(Some(a)),
                "round" if first_is_bool => None,
                "bitwise_not" => int(Some(!a)),
                "NumToTensor" | "tensor" | "scalar_tensor" | "dim" | "len" | "str" | "format" => None,
                _ => unary(name, a as f64).map(Some),
            }
        }
        [Num::Float(a)] => match name {
            "neg" => float(-a),
            "abs" => float(a.abs()),
            "ceil" => int(Some(a.ceil() as i64)),
            "floor" => int(Some(a.floor() as i64)),
            "trunc" => int(Some(a.trunc() as i64)),
            "__not__" => Some(Some(Value::Bool(*a == 0.0))),
            _ => unary(name, *a).map(Some),
        },
        [Num::Int(a), Num::Int(b)] => integers(name, *a, *b, first_is_bool),
        [a, b] => floats(name, a.float(), b.float()),
        _ => None,
    }
}

fn unary(name: &str, a: f64) -> Option<Value> {
    let v = match name {
        "sqrt" => a.sqrt(),
        "exp" => a.exp(),
        "log" => a.ln(),
        "log2" => a.log2(),
        "log10" => a.log10(),
        "log1p" => a.ln_1p(),
        "sin" => a.sin(),
        "cos" => a.cos(),
        "tan" => a.tan(),
        "tanh" => a.tanh(),
        "atan" => a.atan(),
        "asin" => a.asin(),
        "acos" => a.acos(),
        "sinh" => a.sinh(),
        "cosh" => a.cosh(),
        "degrees" => a.to_degrees(),
        "radians" => a.to_radians(),
        "fabs" => a.abs(),
        "round" => a.round_ties_even(),
        "isnan" => return Some(Value::Bool(a.is_nan())),
        "isinf" => return Some(Value::Bool(a.is_infinite())),
        "isfinite" => return Some(Value::Bool(a.is_finite())),
        _ => return None,
    };
    Some(Value::Float(v))
}

#[expect(clippy::option_option, reason = "no such operator, and no such result")]
fn integers(name: &str, a: i64, b: i64, bools: bool) -> Option<Option<Value>> {
    let int = |v: Option<i64>| Some(v.map(Value::int));
    let truth = |v: bool| Some(Some(Value::Bool(v)));
    match name {
        "add" => int(a.checked_add(b)),
        "sub" => int(a.checked_sub(b)),
        "mul" => int(a.checked_mul(b)),
        "floordiv" => int(a.checked_div(b).map(|q| if a % b != 0 && (a < 0) != (b < 0) { q - 1 } else { q })),
        "remainder" => int(a.checked_rem(b).map(|r| if r != 0 && (r < 0) != (b < 0) { r + b } else { r })),
        "div" => Some((b != 0).then(|| Value::Float(a as f64 / b as f64))),
        // The power of integers is a float: overload `pow.int`.
        "pow" => Some(Some(Value::Float((a as f64).powf(b as f64)))),
        "gcd" => int(Some(gcd(a.unsigned_abs(), b.unsigned_abs()) as i64)),
        "eq" => truth(a == b),
        "ne" => truth(a != b),
        "lt" => truth(a < b),
        "le" => truth(a <= b),
        "gt" => truth(a > b),
        "ge" => truth(a >= b),
        "max" => int(Some(a.max(b))),
        "min" => int(Some(a.min(b))),
        "__and__" if bools => truth(a & b != 0),
        "__or__" if bools => truth(a | b != 0),
        "__xor__" if bools => truth(a ^ b != 0),
        "__and__" => int(Some(a & b)),
        "__or__" => int(Some(a | b)),
        "__xor__" => int(Some(a ^ b)),
        "__lshift__" => int(u32::try_from(b).ok().and_then(|b| a.checked_shl(b))),
        "__rshift__" => int(u32::try_from(b).ok().and_then(|b| a.checked_shr(b))),
        "fmod" | "atan2" | "copysign" | "hypot" => floats(name, a as f64, b as f64),
        _ => None,
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[expect(clippy::option_option, reason = "no such operator, and no such result")]
fn floats(name: &str, a: f64, b: f64) -> Option<Option<Value>> {
    let truth = |v: bool| Some(Some(Value::Bool(v)));
    let v = match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" | "floordiv" | "remainder" if b == 0.0 => return Some(None),
        "div" => a / b,
        "floordiv" => (a / b).floor(),
        "remainder" => {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }
        "fmod" => a % b,
        "pow" => a.powf(b),
        "max" => a.max(b),
        "min" => a.min(b),
        "atan2" => a.atan2(b),
        "copysign" => a.copysign(b),
        "hypot" => a.hypot(b),
        "eq" => return truth(a == b),
        "ne" => return truth(a != b),
        "lt" => return truth(a < b),
        "le" => return truth(a <= b),
        "gt" => return truth(a > b),
        "ge" => return truth(a >= b),
        _ => return None,
    };
    Some(Some(Value::Float(v)))
}
