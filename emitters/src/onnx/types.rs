//! Types to `TypeProto`.
use hoist_formats::onnx::dtype::to_code;
use hoist_formats::onnx::generated::{
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension, type_proto,
};
use hoist_ir::dim::Dim;
use hoist_ir::types::{TensorType, Type};

/// A symbol's own name, an expression's text.
fn param(d: &hoist_ir::dim::SymInt) -> String {
    d.as_symbol().map_or_else(|| d.to_string(), str::to_owned)
}

fn tensor(t: &TensorType) -> type_proto::Tensor {
    let dim = |d: &Dim| Dimension {
        value: match d {
            Dim::Known(n) => i64::try_from(*n).ok().map(dimension::Value::DimValue),
            Dim::Expr(e) => Some(dimension::Value::DimParam(param(e))),
            Dim::Unknown => None,
        },
        denotation: None,
    };
    let shape = t.shape.as_ref().map(|s| TensorShapeProto { dim: s.iter().map(dim).collect() });
    type_proto::Tensor { elem_type: Some(to_code(t.dtype)), shape }
}

/// The type; `None` when unknown.
pub(super) fn proto(ty: &Type) -> Option<TypeProto> {
    use type_proto::Value;
    let boxed = |t: &Type| proto(t).map(Box::new);
    let value = match ty {
        Type::Unknown => return None,
        Type::Tensor(t) => Value::TensorType(tensor(t)),
        Type::Sequence(t) => Value::SequenceType(Box::new(type_proto::Sequence { elem_type: boxed(t) })),
        Type::Optional(t) => Value::OptionalType(Box::new(type_proto::Optional { elem_type: boxed(t) })),
        Type::Map(k, t) => {
            Value::MapType(Box::new(type_proto::Map { key_type: Some(to_code(*k)), value_type: boxed(t) }))
        }
    };
    Some(TypeProto { value: Some(value), denotation: None })
}

/// A name with its type.
pub(super) fn value_info(name: &str, ty: &Type) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), r#type: proto(ty), ..ValueInfoProto::default() }
}
