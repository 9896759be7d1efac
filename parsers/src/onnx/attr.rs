//! `AttributeProto` to attributes.
use super::tensor::{Loader, shorten};
use super::types;
use bytes::Bytes;
use hoist_formats::onnx::generated::AttributeProto;
use hoist_formats::onnx::generated::attribute_proto::AttributeType as Kind;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::types::Type;
use prost::Message;

/// Tag of attributes kept in ONNX's own encoding.
pub(super) const OPAQUE: &str = "onnx.attribute";

fn bad(a: &AttributeProto, message: impl std::fmt::Display) -> Diag {
    Diag::error("E0304", format!("attribute `{}`: {message}", shorten(a.name())))
}

/// Kinds whose field holds something.
fn filled(a: &AttributeProto) -> Vec<Kind> {
    let all = [
        (Kind::Float, a.f.is_some()),
        (Kind::Int, a.i.is_some()),
        (Kind::String, a.s.is_some()),
        (Kind::Tensor, a.t.is_some()),
        (Kind::Graph, a.g.is_some()),
        (Kind::Floats, !a.floats.is_empty()),
        (Kind::Ints, !a.ints.is_empty()),
        (Kind::Strings, !a.strings.is_empty()),
        (Kind::Tensors, !a.tensors.is_empty()),
        (Kind::Graphs, !a.graphs.is_empty()),
        (Kind::SparseTensor, a.sparse_tensor.is_some()),
        (Kind::SparseTensors, !a.sparse_tensors.is_empty()),
        (Kind::TypeProto, a.tp.is_some()),
        (Kind::TypeProtos, !a.type_protos.is_empty()),
    ];
    all.into_iter().filter(|(_, used)| *used).map(|(k, _)| k).collect()
}

/// The kind an attribute has: declared, or (before IR version 2) from the one field that is set.
pub(super) fn kind(a: &AttributeProto) -> Result<Kind, Diag> {
    let filled = filled(a);
    let declared = match a.r#type {
        None | Some(0) => None,
        Some(code) => Some(Kind::try_from(code).map_err(|_| bad(a, format!("type {code} is unknown")))?),
    };
    // Exporters set zero defaults of other fields; only content contradicts.
    let zero = |k: &Kind| match k {
        Kind::Float => a.f == Some(0.0),
        Kind::Int => a.i == Some(0),
        Kind::String => a.s.as_ref().is_some_and(Bytes::is_empty),
        _ => false,
    };
    match (declared, filled.as_slice()) {
        (Some(k), _) => match filled.iter().find(|f| **f != k && !zero(f)) {
            Some(other) => {
                Err(bad(a, format!("is declared {} and carries {}", k.as_str_name(), other.as_str_name())))
            }
            None => Ok(k),
        },
        (None, [k]) => Ok(*k),
        (None, _) => Err(bad(a, "has no type and no single value")),
    }
}

/// The attribute's value; graphs are the caller's.
pub(super) fn read(a: &AttributeProto, kind: Kind, loader: &mut Loader) -> Result<Attr, Diag> {
    if !a.ref_attr_name().is_empty() {
        return Err(bad(a, "refers to a function's attribute outside a function"));
    }
    let text = |b: &Bytes| std::str::from_utf8(b).ok().map(str::to_owned);
    let one_type = |p| types::read(Some(p)).map(|t| t.unwrap_or(Type::Unknown)).map_err(|m| bad(a, m));
    let opaque = || Attr::Opaque(OPAQUE.to_owned(), a.encode_to_vec());
    Ok(match kind {
        Kind::Float => Attr::Float(a.f()),
        Kind::Int => Attr::Int(a.i()),
        Kind::String => a.s.as_ref().map_or(Some(String::new()), text).map_or_else(opaque, Attr::Str),
        Kind::Floats => Attr::Floats(a.floats.clone()),
        Kind::Ints => Attr::Ints(a.ints.clone()),
        Kind::Strings => {
            a.strings.iter().map(text).collect::<Option<Vec<_>>>().map_or_else(opaque, Attr::Strs)
        }
        Kind::Tensor => {
            let t = a.t.as_deref().ok_or_else(|| bad(a, "has no tensor"))?;
            Attr::Tensor(loader.read(t)?)
        }
        Kind::Tensors => Attr::Tensors(a.tensors.iter().map(|t| loader.read(t)).collect::<Result<_, _>>()?),
        Kind::TypeProto => Attr::Type(a.tp.as_deref().map_or(Ok(Type::Unknown), one_type)?),
        Kind::TypeProtos => Attr::Types(a.type_protos.iter().map(one_type).collect::<Result<_, _>>()?),
        Kind::SparseTensor | Kind::SparseTensors => opaque(),
        Kind::Graph | Kind::Graphs | Kind::Undefined => return Err(bad(a, "has no value")),
    })
}
