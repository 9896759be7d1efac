//! Writing a model whose weights are not in memory: lengths first, then bytes as they come.
use super::graph::Initializer;
use hoist_formats::onnx::generated::{GraphProto, ModelProto, TensorProto};
use hoist_ir::tensor::{Storage, Tensor};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use rayon::prelude::*;
use std::io::{self, Write};

/// Field numbers of `onnx.proto`.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_RAW_DATA: u32 = 9;
/// Bytes of a lazy tensor computed at a time by one thread.
const PIECE: usize = 1 << 20;
/// Most pieces computed at once.
const MAX_PIECES: usize = 8;

fn tensor_len(header: &TensorProto, data: Option<&Tensor>) -> usize {
    let raw =
        data.map_or(0, |t| key_len(TENSOR_RAW_DATA) + encoded_len_varint(t.byte_len() as u64) + t.byte_len());
    header.encoded_len() + raw
}

fn graph_len(graph: &GraphProto, initializers: &[Initializer]) -> usize {
    let one = |(h, t): &Initializer| {
        let n = tensor_len(h, t.as_ref());
        key_len(GRAPH_INITIALIZER) + encoded_len_varint(n as u64) + n
    };
    graph.encoded_len() + initializers.iter().map(one).sum::<usize>()
}

/// Length of the whole file.
pub(super) fn model_len(model: &ModelProto, graph: &GraphProto, initializers: &[Initializer]) -> usize {
    let n = graph_len(graph, initializers);
    model.encoded_len() + key_len(MODEL_GRAPH) + encoded_len_varint(n as u64) + n
}

fn prefix(sink: &mut dyn Write, field: u32, len: usize) -> io::Result<()> {
    let mut head = Vec::with_capacity(20);
    encode_key(field, WireType::LengthDelimited, &mut head);
    encode_varint(len as u64, &mut head);
    sink.write_all(&head)
}

/// Writes the model: `model` without graph, `graph` without initializers, then the initializers.
pub(super) fn write(
    sink: &mut dyn Write,
    model: &ModelProto,
    graph: &GraphProto,
    initializers: &[Initializer],
) -> io::Result<()> {
    sink.write_all(&model.encode_to_vec())?;
    prefix(sink, MODEL_GRAPH, graph_len(graph, initializers))?;
    sink.write_all(&graph.encode_to_vec())?;
    for (header, data) in initializers {
        prefix(sink, GRAPH_INITIALIZER, tensor_len(header, data.as_ref()))?;
        sink.write_all(&header.encode_to_vec())?;
        if let Some(t) = data {
            prefix(sink, TENSOR_RAW_DATA, t.byte_len())?;
            elements(sink, t)?;
        }
    }
    Ok(())
}

/// Writes the elements of `t`; lazy ones are computed by several threads, a few pieces at a time.
pub(crate) fn elements(sink: &mut dyn Write, t: &Tensor) -> io::Result<()> {
    let total = t.byte_len();
    if !matches!(t.storage(), Storage::Lazy(_)) || total <= PIECE {
        return t.write_to(sink);
    }
    let pieces = rayon::current_num_threads().clamp(1, MAX_PIECES);
    let mut buffers = vec![vec![0u8; PIECE]; pieces];
    let mut at = 0;
    while at < total {
        let filled: Result<Vec<usize>, _> = buffers
            .par_iter_mut()
            .enumerate()
            .map(|(i, buffer)| {
                let start = (at + i * PIECE).min(total);
                let n = PIECE.min(total - start);
                t.read_bytes(start, &mut buffer[..n]).map(|()| n)
            })
            .collect();
        let filled = filled.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        for (buffer, n) in buffers.iter().zip(&filled) {
            sink.write_all(&buffer[..*n])?;
        }
        at += filled.iter().sum::<usize>();
    }
    Ok(())
}
