//! Texts, as far as ONNX has operators for them.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::text::regex_full_match::RegexFullMatch;
use hoist_ir::ops::text::string_concat::StringConcat;
use hoist_ir::ops::text::string_normalizer::{CaseChange, StringNormalizer};
use hoist_ir::ops::text::string_split::StringSplit;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("StringLower", "", lower),
    ("StringUpper", "", upper),
    ("StringJoin", "", join),
    ("StringSplitV2", "indices values shape", split),
    ("StaticRegexFullMatch", "", static_match),
    ("RegexFullMatch", "", regex_match),
    ("AsString", "", as_string),
    ("StringToNumber", "", to_number),
];

/// The locale whose letters are those of ASCII.
const ASCII: &str = "C";

fn lower(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    case(cx, CaseChange::Lower)
}

fn upper(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    case(cx, CaseChange::Upper)
}

fn case(cx: &mut Cx<'_, '_, '_>, change: CaseChange) -> R<Vec<Val>> {
    let encoding = cx.attrs.text("encoding")?;
    if !encoding.is_empty() {
        let m = format!("encoding `{encoding}`, whose rules of upper and lower case ONNX does not have,");
        return Err(cx.unsupported(m));
    }
    let x = cx.arg(0)?;
    let op =
        StringNormalizer { case_change_action: change, locale: Some(ASCII.to_owned()), ..Default::default() };
    if cx.known_rank(x) == Some(1) {
        return Ok(vec![cx.op(op, &[x])?.into()]);
    }
    let shape = cx.shape_of(x)?;
    let flat = cx.reshape(x, &[-1])?;
    let y = cx.op(op, &[flat])?;
    Ok(vec![cx.reshape_to(y, shape)?.into()])
}

fn text(cx: &mut Cx<'_, '_, '_>, text: &str) -> V {
    cx.konst(Tensor::from_strings(&[], vec![text.to_owned()]))
}

fn join(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let separator = cx.attrs.text("separator")?.to_owned();
    let mut all = cx.args()?.into_iter();
    let mut out = all.next().ok_or_else(|| cx.bad("nothing to join"))?;
    for next in all {
        if !separator.is_empty() {
            let separator = text(cx, &separator);
            out = cx.op(StringConcat {}, &[out, separator])?;
        }
        out = cx.op(StringConcat {}, &[out, next])?;
    }
    Ok(vec![out.into()])
}

/// Pieces of texts as a sparse matrix. ONNX pads them to a matrix and counts them; it finds no piece in an empty text, where TensorFlow finds an empty one.
fn split(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, separator) = (cx.arg(0)?, cx.arg(1)?);
    let separator = cx.constant(separator).and_then(|t| t.strings().ok()?.first().cloned());
    let separator = separator.ok_or_else(|| cx.unsupported("a separator that is computed"))?;
    if separator.is_empty() {
        return Err(
            cx.unsupported("white space as the separator, which runtimes of ONNX understand differently,")
        );
    }
    let maxsplit = cx.attrs.int("maxsplit").filter(|n| *n >= 0);
    let out = cx.op_n(StringSplit { delimiter: Some(separator), maxsplit }, &[Some(x)], 2)?;
    let [pieces, counts] = out.as_slice() else { return Err(cx.bad("two results")) };
    let one = cx.konst(Tensor::scalar(1i64));
    let counts = cx.named("max", &[*counts, one])?;
    let length = cx.size_of(x, 0)?;
    let unit = cx.int_list(&[1]);
    let column = cx.concat(&[length, unit], 0)?;
    let empty = text(cx, "");
    let empty = cx.expand(empty, column)?;
    let pieces = cx.concat(&[*pieces, empty], 1)?;
    let width = cx.size_of(pieces, 1)?;
    let scalar = cx.reshape(width, &[])?;
    let zero = cx.konst(Tensor::scalar(0i64));
    let columns = cx.named("range", &[zero, scalar, one])?;
    let counts = cx.unsqueeze(counts, &[1])?;
    let there = cx.named("less", &[columns, counts])?;
    let found = cx.named("non_zero", &[there])?;
    let indices = cx.transpose(found, &[1, 0])?;
    let values = cx.named("gather_nd", &[pieces, indices])?;
    let axis = cx.aten(
        "amax",
        &[
            ("self", super::bridge::Arg::T(counts)),
            ("dim", super::bridge::Arg::Is(vec![])),
            ("keepdim", super::bridge::Arg::B(false)),
        ],
    )?;
    let most = cx.reshape(axis, &[1])?;
    let shape = cx.concat(&[length, most], 0)?;
    Ok(vec![indices.into(), values.into(), shape.into()])
}

fn static_match(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let pattern = cx.attrs.text("pattern")?.to_owned();
    let x = cx.arg(0)?;
    Ok(vec![cx.op(RegexFullMatch { pattern }, &[x])?.into()])
}

fn regex_match(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, pattern) = (cx.arg(0)?, cx.arg(1)?);
    let pattern = cx.constant(pattern).and_then(|t| t.strings().ok()?.first().cloned());
    let pattern = pattern.ok_or_else(|| cx.unsupported("a pattern that is computed"))?;
    Ok(vec![cx.op(RegexFullMatch { pattern }, &[x])?.into()])
}

fn as_string(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let default = |name: &str| cx.attrs.int(name).unwrap_or(-1) < 0;
    if !default("width") || !cx.attrs.text("fill")?.is_empty() {
        return Err(cx.unsupported("a fixed width"));
    }
    match cx.dtype(x)? {
        DType::Bool => {
            let (yes, no) = (text(cx, "true"), text(cx, "false"));
            Ok(vec![cx.op(Where {}, &[x, yes, no])?.into()])
        }
        DType::String => Ok(vec![x.into()]),
        dtype if dtype.is_int() && default("precision") => {
            let wide = if dtype == DType::U64 { x } else { cx.cast(x, DType::I64)? };
            Ok(vec![cx.op(Cast { to: DType::String, ..Cast::default() }, &[wide])?.into()])
        }
        dtype => Err(cx.unsupported(format!("{dtype}, which ONNX spells with other digits,"))),
    }
}

fn to_number(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let dtype = cx.attrs.dtype("out_type").unwrap_or(DType::F32);
    Ok(vec![cx.op(Cast { to: dtype, ..Cast::default() }, &[x])?.into()])
}
