//! Operations of Keras 3 that are no layers, and functions of TensorFlow as layers: both take arguments by place or name, or from the configuration.
use super::activation;
use super::norm::numbers;
use crate::keras::kx::{Kx, Tv, Value, dtype_of, integer, number};
use crate::tensorflow::lift::bridge::Arg;
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::dtype::DType;
use serde_json::{Map, Value as Json};

/// The operation's name without its package, in the words of Keras 3.
fn plain(name: &str) -> &str {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last {
        "truediv" | "div" | "divide" => "true_divide",
        "sub" => "subtract",
        "mul" => "multiply",
        "neg" => "negative",
        "abs" => "absolute",
        "pow" => "power",
        "floordiv" => "floor_divide",
        "floormod" => "mod",
        "getitem" => "get_item",
        "reduce_mean" => "mean",
        "reduce_sum" => "sum",
        "reduce_max" | "amax" => "max",
        "reduce_min" | "amin" => "min",
        "reduce_prod" => "prod",
        "reduce_any" => "any",
        "reduce_all" => "all",
        "reduce_std" => "std",
        "reduce_variance" => "var",
        "reduce_logsumexp" => "logsumexp",
        "concat" => "concatenate",
        "clip_by_value" => "clip",
        "swish" => "silu",
        "l2_normalize" => "normalize",
        "reverse" => "flip",
        "equal" | "__eq__" => "equal",
        "greater_than" => "greater",
        other => other,
    }
}

/// The argument at place `i`, or under one of these names in the call or the configuration.
fn arg(kx: &Kx<'_, '_, '_>, i: usize, names: &[&str]) -> Option<Value> {
    let by_name = || names.iter().find_map(|n| kx.named.iter().find(|(k, _)| k == n).map(|(_, v)| v.clone()));
    // Functions of TensorFlow have their arguments in the call.
    let own = !kx.layer.class.ends_with("Lambda");
    let stated = || names.iter().find_map(|n| kx.cfg(n)).filter(|_| own).cloned().map(Value::Json);
    let found = by_name().or_else(|| kx.args.get(i).cloned()).or_else(stated);
    found.filter(|v| !v.is_null())
}

/// A setting, which comes behind the operands where it has a place.
fn setting(kx: &Kx<'_, '_, '_>, names: &[&str]) -> Option<Json> {
    arg(kx, usize::MAX, names).and_then(|v| v.json()).filter(|j| !j.is_null())
}

fn flag(kx: &Kx<'_, '_, '_>, names: &[&str]) -> bool {
    setting(kx, names).and_then(|j| j.as_bool()).unwrap_or(false)
}

fn whole(kx: &Kx<'_, '_, '_>, names: &[&str], default: Option<i64>) -> R<i64> {
    let found = setting(kx, names);
    let given = found.as_ref().map_or(default, integer);
    given.ok_or_else(|| kx.unsupported(format!("`{}` left out or computed", names[0])))
}

/// Integers of a setting: one or a list.
pub(super) fn wholes(kx: &Kx<'_, '_, '_>, names: &[&str]) -> R<Option<Vec<i64>>> {
    if let Some(v) = arg(kx, usize::MAX, names).filter(|v| !v.tensors().is_empty()) {
        return Err(kx.unsupported(format!("`{}` computed of {} tensors", names[0], v.tensors().len())));
    }
    let all = match setting(kx, names) {
        None => return Ok(None),
        Some(Json::Array(list)) => list.iter().map(integer).collect::<Option<Vec<i64>>>(),
        Some(one) => integer(&one).map(|i| vec![i]),
    };
    all.map(Some).ok_or_else(|| kx.bad(format!("`{}` is no list of integers", names[0])))
}

/// A tensor operand.
fn tensor(kx: &Kx<'_, '_, '_>, i: usize, names: &[&str]) -> R<V> {
    match arg(kx, i, names) {
        Some(Value::Tensor(t)) => Ok(t.v),
        _ => Err(kx.unsupported(format!("operand {i}, which is no tensor"))),
    }
}

/// An operand: a tensor, or numbers in the type of `like`.
fn operand(kx: &mut Kx<'_, '_, '_>, i: usize, names: &[&str], like: Option<DType>) -> R<V> {
    let json = match arg(kx, i, names) {
        Some(Value::Tensor(t)) => return Ok(t.v),
        Some(v) => v.json().ok_or_else(|| kx.unsupported("a list of tensors as an operand"))?,
        None => return Err(kx.bad(format!("operand {i} is left out"))),
    };
    if let Json::Bool(b) = json {
        return Ok(kx.konst(hoist_ir::tensor::Tensor::from_bools(&[], vec![b])));
    }
    let (t, stated) = match json.get("class_name").and_then(Json::as_str) {
        Some("__tensor__" | "__numpy__") => {
            let name = json.get("config").and_then(|c| c.get("dtype")).and_then(Json::as_str);
            (numbers(kx, &json)?, name.and_then(dtype_of))
        }
        _ => (numbers(kx, &json)?, None),
    };
    let fractions = t.to_f64s().map_err(|e| kx.bad(e))?.iter().any(|v| v.fract() != 0.0);
    let whole = json.is_i64() || json.is_u64() || (json.is_array() && !fractions);
    let dtype = stated.unwrap_or(match like {
        Some(d) if d.is_float() || whole => d,
        _ if whole => DType::I32,
        _ => DType::F32,
    });
    let t = t.cast(dtype, false).map_err(|e| kx.bad(e))?;
    Ok(kx.konst(t))
}

/// Two operands in one type.
fn pair(kx: &mut Kx<'_, '_, '_>) -> R<(V, V)> {
    const FIRST: &[&str] = &["x1", "x", "a"];
    const SECOND: &[&str] = &["x2", "y", "b"];
    let known = [(0, FIRST), (1, SECOND)].iter().find_map(|(i, names)| match arg(kx, *i, names) {
        Some(Value::Tensor(t)) => kx.dtype(t.v).ok(),
        _ => None,
    });
    let a = operand(kx, 0, FIRST, known)?;
    let b = operand(kx, 1, SECOND, known)?;
    let (left, right) = (kx.dtype(a)?, kx.dtype(b)?);
    let to = match (left.is_float(), right.is_float()) {
        _ if left == right => return Ok((a, b)),
        (true, false) => left,
        (false, true) => right,
        _ if left == DType::Bool => right,
        _ if right == DType::Bool => left,
        _ => return Err(kx.unsupported(format!("operands of types {left} and {right}"))),
    };
    Ok((kx.cast(a, to)?, kx.cast(b, to)?))
}

fn binary(kx: &mut Kx<'_, '_, '_>, op: &str) -> R<V> {
    let (mut a, mut b) = pair(kx)?;
    if op == "div" && !kx.dtype(a)?.is_float() {
        (a, b) = (kx.cast(a, DType::F32)?, kx.cast(b, DType::F32)?);
    }
    kx.named(op, &[a, b])
}

/// Two operands through an operator of `ATen`.
fn both(kx: &mut Kx<'_, '_, '_>, op: &str) -> R<V> {
    let (a, b) = pair(kx)?;
    kx.aten(op, &[("self", Arg::T(a)), ("other", Arg::T(b))])
}

/// The first operand as real numbers.
fn real(kx: &Kx<'_, '_, '_>) -> R<V> {
    tensor(kx, 0, &["x", "input", "features", "logits", "input_tensor", "inputs"])
}

fn unary(kx: &mut Kx<'_, '_, '_>, op: &str, float: bool) -> R<V> {
    let x = real(kx)?;
    let x = if float && !kx.dtype(x)?.is_float() { kx.cast(x, DType::F32)? } else { x };
    kx.named(op, &[x])
}

/// Operators of one operand under the IR's names, and whether they give real numbers only.
const UNARY: &[(&str, &str, bool)] = &[
    ("absolute", "abs", false),
    ("negative", "neg", false),
    ("sign", "sign", false),
    ("logical_not", "not", false),
    ("floor", "floor", true),
    ("ceil", "ceil", true),
    ("exp", "exp", true),
    ("log", "log", true),
    ("sqrt", "sqrt", true),
    ("sin", "sin", true),
    ("cos", "cos", true),
    ("tan", "tan", true),
    ("arcsin", "asin", true),
    ("arccos", "acos", true),
    ("arctan", "atan", true),
    ("sinh", "sinh", true),
    ("cosh", "cosh", true),
    ("tanh", "tanh", true),
    ("erf", "erf", true),
    ("isnan", "is_nan", true),
    ("isinf", "is_inf", true),
    ("reciprocal", "reciprocal", true),
];

/// Operators of two operands under the IR's names.
const BINARY: &[(&str, &str)] = &[
    ("add", "add"),
    ("subtract", "sub"),
    ("multiply", "mul"),
    ("true_divide", "div"),
    ("greater", "greater"),
    ("greater_equal", "greater_or_equal"),
    ("less", "less"),
    ("less_equal", "less_or_equal"),
    ("equal", "equal"),
    ("logical_and", "and"),
    ("logical_or", "or"),
    ("logical_xor", "xor"),
    ("matmul", "mat_mul"),
];

/// Activation functions that are operations too.
const ACTIVATIONS: &[&str] = &[
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "sigmoid",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "softmax",
    "log_softmax",
    "log_sigmoid",
    "glu",
    "tanh_shrink",
    "soft_shrink",
    "hard_shrink",
    "squareplus",
    "sparse_plus",
];

/// Lifts operation `name`.
pub(in crate::keras) fn lift(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<Vec<Tv>> {
    let short = plain(name);
    if let Some((_, op, float)) = UNARY.iter().find(|u| u.0 == short) {
        return Ok(vec![unary(kx, op, *float)?.into()]);
    }
    if let Some((_, op)) = BINARY.iter().find(|b| b.0 == short) {
        return Ok(vec![binary(kx, op)?.into()]);
    }
    if ACTIVATIONS.contains(&short) {
        let x = real(kx)?;
        let mut map: Map<String, Json> = kx.layer.config.clone();
        map.extend(kx.named.iter().filter_map(|(k, v)| Some((k.clone(), v.json()?))));
        let old = kx.weights.is_old();
        // Functions of TensorFlow have another slope than its layers.
        return Ok(vec![activation::apply(&mut kx.cx, short, x, &map, old)?.into()]);
    }
    let v = match short {
        "not_equal" => {
            let equal = binary(kx, "equal")?;
            kx.named("not", &[equal])?
        }
        "maximum" | "minimum" => both(kx, short)?,
        "power" => {
            let (a, b) = pair(kx)?;
            kx.aten("pow", &[("self", Arg::T(a)), ("exponent", Arg::T(b))])?
        }
        "mod" => both(kx, "remainder")?,
        "floor_divide" => {
            let (a, b) = pair(kx)?;
            kx.aten("floor_divide", &[("self", Arg::T(a)), ("other", Arg::T(b))])?
        }
        "square" => {
            let x = real(kx)?;
            kx.named("mul", &[x, x])?
        }
        "squared_difference" => {
            let d = binary(kx, "sub")?;
            kx.named("mul", &[d, d])?
        }
        "round" if setting(kx, &["decimals"]).is_none_or(|j| integer(&j) == Some(0)) => {
            unary(kx, "round", true)?
        }
        "rsqrt" => {
            let x = unary(kx, "sqrt", true)?;
            kx.named("reciprocal", &[x])?
        }
        "log1p" | "expm1" => {
            let x = real(kx)?;
            kx.aten(short, &[("self", Arg::T(x))])?
        }
        "identity" | "stop_gradient" | "convert_to_tensor" => real(kx)?,
        "where" => select(kx)?,
        "cast" => {
            let name = setting(kx, &["dtype"]);
            let to = name.as_ref().and_then(Json::as_str).and_then(dtype_of);
            let to = to.ok_or_else(|| kx.unsupported("an unknown type"))?;
            let x = real(kx)?;
            kx.cast(x, to)?
        }
        "clip" => clip(kx)?,
        "mean" | "sum" | "max" | "min" | "prod" | "any" | "all" | "logsumexp" | "norm" | "var" | "std" => {
            super::ops_shape::reduced(kx, short)?
        }
        _ => return super::ops_shape::lift(kx, short),
    };
    Ok(vec![v.into()])
}

fn select(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let condition = tensor(kx, 0, &["condition"])?;
    let condition = kx.cast(condition, DType::Bool)?;
    let known = [1, 2].iter().find_map(|i| match arg(kx, *i, &[["x1", "x"], ["x2", "y"]][i - 1]) {
        Some(Value::Tensor(t)) => kx.dtype(t.v).ok(),
        _ => None,
    });
    let known = known.or(Some(DType::F32));
    let a = operand(kx, 1, &["x1", "x"], known)?;
    let b = operand(kx, 2, &["x2", "y"], known)?;
    if kx.dtype(a)? != kx.dtype(b)? {
        return Err(kx.unsupported("operands of different types"));
    }
    kx.named("where", &[condition, a, b])
}

fn clip(kx: &mut Kx<'_, '_, '_>) -> R<V> {
    let x = tensor(kx, 0, &["x", "t"])?;
    let bound = |kx: &Kx<'_, '_, '_>, names: &[&str]| -> R<Option<f64>> {
        match arg(kx, usize::MAX, names) {
            None => Ok(None),
            Some(v) => match v.json().as_ref().and_then(number) {
                Some(n) => Ok(Some(n)),
                None => Err(kx.unsupported("bounds that are computed")),
            },
        }
    };
    let low = bound(kx, &["x_min", "clip_value_min"])?;
    let high = bound(kx, &["x_max", "clip_value_max"])?;
    activation::clip(&mut kx.cx, x, low, high)
}

/// The first operand and settings for the operations on shapes.
pub(super) fn first(kx: &Kx<'_, '_, '_>) -> R<V> {
    real(kx).or_else(|_| tensor(kx, 0, &["a", "tensor", "data", "images", "params"]))
}

/// Tensors of a list operand.
pub(super) fn list(kx: &Kx<'_, '_, '_>, names: &[&str]) -> R<Vec<V>> {
    let found = arg(kx, 0, names).ok_or_else(|| kx.bad("no operands"))?;
    if matches!(&found, Value::List(all) if all.iter().any(|v| !matches!(v, Value::Tensor(_)))) {
        return Err(kx.unsupported("constants among its operands"));
    }
    Ok(found.tensors().into_iter().map(|t| t.v).collect())
}

/// An integer setting.
pub(super) fn whole_of(kx: &Kx<'_, '_, '_>, names: &[&str], default: Option<i64>) -> R<i64> {
    whole(kx, names, default)
}

/// A truth value of a setting.
pub(super) fn flag_of(kx: &Kx<'_, '_, '_>, names: &[&str]) -> bool {
    flag(kx, names)
}

/// A setting as JSON.
pub(super) fn setting_of(kx: &Kx<'_, '_, '_>, names: &[&str]) -> Option<Json> {
    setting(kx, names)
}

/// Operand `i`, a tensor or numbers.
pub(super) fn operand_of(kx: &mut Kx<'_, '_, '_>, i: usize, names: &[&str], like: Option<DType>) -> R<V> {
    operand(kx, i, names, like)
}

/// The argument at place `i`.
pub(super) fn arg_of(kx: &Kx<'_, '_, '_>, i: usize, names: &[&str]) -> Option<Value> {
    arg(kx, i, names)
}
