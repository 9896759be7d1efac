//! `TypeProto` to types.
use hoist_formats::onnx::dtype::from_code;
use hoist_formats::onnx::generated::{
    TensorShapeProto, TypeProto, tensor_shape_proto::dimension, type_proto::Value,
};
use hoist_ir::dim::Dim;
use hoist_ir::types::{Shape, TensorType, Type};

/// Nesting of sequences, optionals and maps that a type may have.
const MAX_DEPTH: usize = 16;
/// Axes a tensor may have.
pub(super) const MAX_RANK: usize = 64;

/// The type; `None` for an absent one and for kinds without an IR type (sparse, opaque).
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(proto: Option<&TypeProto>) -> Result<Option<Type>, String> {
    proto.map_or(Ok(None), |p| nested(p, 0))
}

fn nested(proto: &TypeProto, depth: usize) -> Result<Option<Type>, String> {
    if depth > MAX_DEPTH {
        return Err(format!("types are nested more than {MAX_DEPTH} deep"));
    }
    let boxed = |t: Option<&TypeProto>| -> Result<Box<Type>, String> {
        let inner = t.map_or(Ok(None), |t| nested(t, depth + 1))?;
        Ok(Box::new(inner.unwrap_or(Type::Unknown)))
    };
    Ok(match &proto.value {
        None | Some(Value::OpaqueType(_) | Value::SparseTensorType(_)) => None,
        Some(Value::TensorType(t)) => {
            let code = t.elem_type();
            if code == 0 {
                return Ok(None);
            }
            let dtype = from_code(code).ok_or_else(|| format!("element type {code} is unknown"))?;
            let shape = t.shape.as_ref().map(shape).transpose()?;
            Some(TensorType { dtype, shape }.into())
        }
        Some(Value::SequenceType(s)) => Some(Type::Sequence(boxed(s.elem_type.as_deref())?)),
        Some(Value::OptionalType(o)) => Some(Type::Optional(boxed(o.elem_type.as_deref())?)),
        Some(Value::MapType(m)) => {
            let key =
                from_code(m.key_type()).ok_or_else(|| format!("map key type {} is unknown", m.key_type()))?;
            Some(Type::Map(key, boxed(m.value_type.as_deref())?))
        }
    })
}

/// `ty` with unknown sizes in place of named ones: everywhere if `varying`, else in the elements of sequences and maps. Elements of a
/// sequence that varies may even differ in rank, whatever the file declares of the first.
pub(super) fn settled(ty: Type, varying: bool) -> Type {
    match ty {
        Type::Tensor(mut t) if varying => {
            for d in t.shape.iter_mut().flatten() {
                if d.known().is_none() {
                    *d = Dim::Unknown;
                }
            }
            Type::Tensor(t)
        }
        Type::Sequence(t) => Type::Sequence(Box::new(match *t {
            Type::Tensor(t) if varying => TensorType::unranked(t.dtype).into(),
            t => settled(t, true),
        })),
        Type::Map(k, t) => Type::Map(k, Box::new(settled(*t, true))),
        Type::Optional(t) => Type::Optional(Box::new(settled(*t, varying))),
        Type::Tensor(_) | Type::Unknown => ty,
    }
}

fn shape(proto: &TensorShapeProto) -> Result<Shape, String> {
    if proto.dim.len() > MAX_RANK {
        return Err(format!("a tensor has {} axes; at most {MAX_RANK} are supported", proto.dim.len()));
    }
    let one = |d: &hoist_formats::onnx::generated::tensor_shape_proto::Dimension| match &d.value {
        // Exporters write -1 (and 0 never) for a dimension they do not know.
        Some(dimension::Value::DimValue(n)) => u64::try_from(*n).map_or(Dim::Unknown, Dim::Known),
        Some(dimension::Value::DimParam(s)) if !s.is_empty() => Dim::symbol(s),
        _ => Dim::Unknown,
    };
    Ok(proto.dim.iter().map(one).collect())
}
