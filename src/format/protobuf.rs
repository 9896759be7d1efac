//! Which message a protobuf file holds, by its first fields.

/// Whether the fields of a protobuf message are those of ONNX's `ModelProto`: an integer `ir_version` (1) and a `graph` (7), and nothing
/// that `ModelProto` does not have among the fields looked at.
pub(super) fn is_onnx(bytes: &[u8]) -> bool {
    let (mut rest, mut version, mut graph) = (bytes, false, false);
    for _ in 0..64 {
        if rest.is_empty() {
            break;
        }
        let Some((number, wire, after)) = field(rest) else { return false };
        match (number, wire) {
            (1, 0) => version = true,
            (7, 2) => graph = true,
            (5, 0) | (2 | 3 | 4 | 6 | 8 | 14 | 20 | 25 | 26, 2) => {}
            _ => return false,
        }
        rest = after;
    }
    version && graph
}

/// Whether the first fields of a protobuf message are those of TensorFlow's `SavedModel`: a version (1) and graphs (2), which begin with what they are (1)
/// or a graph (2).
pub(super) fn is_saved_model(bytes: &[u8]) -> bool {
    let Some((1, 0, rest)) = field(bytes) else { return false };
    let Some((2, 2, _)) = field(rest) else { return false };
    inner(rest).and_then(field).is_some_and(|(number, wire, _)| matches!((number, wire), (1 | 2, 2)))
}

/// What follows the length of the first field, which is a message.
fn inner(bytes: &[u8]) -> Option<&[u8]> {
    let (_, rest) = varint(bytes)?;
    Some(varint(rest)?.1)
}

/// Whether the first fields of a protobuf message are those of TensorFlow's `MetaGraphDef`: what it is (1), which is no node, and a graph (2).
pub(super) fn is_meta_graph(bytes: &[u8]) -> bool {
    let rest = match field(bytes) {
        Some((1, 2, rest)) if !is_graph_def(bytes) => rest,
        Some((2, 2, _)) => bytes,
        _ => return false,
    };
    matches!(field(rest), Some((2, 2, _))) && inner(rest).is_some_and(is_graph_def)
}

/// Whether the first field of a protobuf message is that of TensorFlow's `GraphDef`: a node (1), which begins with a name (1) and an operator (2).
pub(super) fn is_graph_def(bytes: &[u8]) -> bool {
    let Some((1, 2, _)) = field(bytes) else { return false };
    let Some((1, 2, rest)) = inner(bytes).and_then(field) else { return false };
    matches!(field(rest), Some((2, 2, _)))
}

/// Number, wire type and what follows of the first field; `None` when it is none or leaves `bytes`.
fn field(bytes: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let after = match tag & 7 {
        0 => varint(rest)?.1,
        1 => rest.get(8..)?,
        2 => {
            let (length, rest) = varint(rest)?;
            rest.get(usize::try_from(length).ok()?..)?
        }
        5 => rest.get(4..)?,
        _ => return None,
    };
    Some((tag >> 3, tag & 7, after))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::is_onnx;

    #[test]
    fn protobuf_of_another_kind_is_not_onnx() {
        // A SavedModel: version and meta graphs. A GraphDef: nodes. A truncated graph.
        for other in [&[8, 1, 0x12, 1, 0][..], &[0x0a, 2, 0x0a, 0], &[8, 8, 0x3a, 9, 0], &[0xff; 20]] {
            assert!(!is_onnx(other), "{other:?}");
        }
    }
}
