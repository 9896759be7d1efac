//! Sparse constants as dense ones.
//!
//! A sparse tensor of n axes with k blocked axes is stored as one of n + k axes: the n axes counted in blocks, then the k axes within a block. `traversal_order` says in
//! which order they are nested. Each is either dense, or compressed: `array_segments` says where the positions of each entry of the axis around it start in `array_indices`.
use super::file::bad;
use bytes::Bytes;
use hoist_formats::tflite::table::Record;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Tensor, byte_count, element_count, strides};
use std::ops::Range;

/// Dense bytes for each stored byte, beyond [`FREE`]: what a file can make the reader allocate.
const MAX_GROWTH: usize = 256;
/// Dense bytes that any tensor may take.
const FREE: usize = 16 << 20;
/// Compressed storage, as a member of `DimensionType`.
const COMPRESSED: i64 = 1;

/// An axis as it is stored.
struct Axis {
    size: usize,
    /// Distance of neighbours among the dense elements.
    stride: usize,
}

/// Numbers of one of the vectors of `DimensionMetadata`.
fn numbers(record: Option<&Record>, file: &[u8]) -> Result<Vec<usize>, Diag> {
    let Some(record) = record else { return Ok(vec![]) };
    if let Some(span) = record.span("values") {
        let bytes = file.get(span).ok_or_else(|| bad("positions of a sparse tensor lie outside the file"))?;
        return Ok(bytes.iter().map(|b| usize::from(*b)).collect());
    }
    let one = |v: &i64| usize::try_from(*v).map_err(|_| bad("a sparse tensor has a negative position"));
    record.ints("values").iter().map(one).collect()
}

/// The axes in storage order.
fn axes(sparsity: &Record, sizes: &[usize], dims: &[Record]) -> Result<Vec<Axis>, Diag> {
    let (order, blocks) = (sparsity.ints("traversal_order"), sparsity.ints("block_map"));
    let n = sizes.len();
    if order.len() != n + blocks.len() || dims.len() != order.len() {
        return Err(bad("a sparse tensor has the wrong number of axes"));
    }
    let mut seen = vec![false; order.len()];
    let mut place = Vec::with_capacity(order.len());
    for axis in order {
        let axis = usize::try_from(*axis).ok().filter(|a| *a < order.len());
        let axis = axis.filter(|a| !std::mem::replace(&mut seen[*a], true));
        place.push(axis.ok_or_else(|| bad("the order of a sparse tensor's axes is no permutation"))?);
    }
    let mut outer: Vec<Axis> = sizes
        .iter()
        .zip(strides(sizes).iter())
        .map(|(size, stride)| Axis { size: *size, stride: *stride })
        .collect();
    let mut inner = vec![];
    for (b, axis) in blocks.iter().enumerate() {
        let wrong = || bad("the blocks of a sparse tensor do not fit its shape");
        let around = usize::try_from(*axis).ok().and_then(|a| outer.get_mut(a)).ok_or_else(wrong)?;
        let at = place.iter().position(|p| *p == n + b).ok_or_else(wrong)?;
        let size = usize::try_from(dims[at].int("dense_size")).ok().filter(|s| *s > 0).ok_or_else(wrong)?;
        if around.size % size != 0 {
            return Err(wrong());
        }
        inner.push(Axis { size, stride: around.stride });
        around.size /= size;
        around.stride = around.stride.checked_mul(size).ok_or_else(wrong)?;
    }
    let all: Vec<Axis> = outer.into_iter().chain(inner).collect();
    Ok(place.into_iter().map(|p| Axis { size: all[p].size, stride: all[p].stride }).collect())
}

/// Positions of the stored elements among the dense ones.
fn positions(axes: &[Axis], dims: &[Record], file: &[u8], stored: usize) -> Result<Vec<usize>, Diag> {
    let mut places = vec![0usize];
    for (axis, dim) in axes.iter().zip(dims) {
        if dim.int("format") != COMPRESSED {
            if usize::try_from(dim.int("dense_size")).ok() != Some(axis.size) {
                return Err(bad("a dense axis of a sparse tensor has the wrong size"));
            }
            let count = places.len().checked_mul(axis.size).filter(|c| *c <= stored.max(file.len()));
            count.ok_or_else(|| bad("a sparse tensor says it stores more than the file holds"))?;
            places = places.iter().flat_map(|p| (0..axis.size).map(move |i| p + i * axis.stride)).collect();
            continue;
        }
        let segments = numbers(dim.record("array_segments"), file)?;
        let indices = numbers(dim.record("array_indices"), file)?;
        if segments.len() != places.len() + 1 || segments.last() != Some(&indices.len()) {
            return Err(bad("the segments of a sparse tensor do not fit"));
        }
        let mut next = Vec::with_capacity(indices.len());
        for (p, ends) in places.iter().zip(segments.windows(2)) {
            let part = indices.get(Range { start: ends[0], end: ends[1] });
            for i in part.ok_or_else(|| bad("the segments of a sparse tensor do not grow"))? {
                if *i >= axis.size {
                    return Err(bad(format!(
                        "position {i} of a sparse tensor lies beyond size {}",
                        axis.size
                    )));
                }
                next.push(p + i * axis.stride);
            }
        }
        places = next;
    }
    Ok(places)
}

/// The dense tensor whose elements other than zero are `stored`; `file` holds the bytes of the vectors.
///
/// # Errors
/// When the positions do not fit the shape or the number of elements, and for a tensor that is out of all proportion to what is stored.
pub(super) fn densify(
    sparsity: &Record,
    (dtype, sizes): (DType, &[usize]),
    stored: &[u8],
    file: &[u8],
) -> Result<Tensor, Diag> {
    let failed = |e: hoist_ir::tensor::TensorError| bad(e.to_string());
    if dtype.is_packed() || dtype == DType::String || element_count(sizes).is_none() {
        return Err(bad(format!("a sparse tensor of {dtype} {sizes:?} is not read")));
    }
    let width = (dtype.bits() / 8) as usize;
    let bytes = byte_count(dtype, sizes).map_err(failed)?;
    if bytes > FREE.max(stored.len().saturating_mul(MAX_GROWTH)) {
        return Err(bad(format!("a sparse tensor of {} bytes stands for {bytes}", stored.len())));
    }
    let dims = sparsity.records("dim_metadata");
    let axes = axes(sparsity, sizes, dims)?;
    let places = positions(&axes, dims, file, stored.len() / width)?;
    if places.len().checked_mul(width) != Some(stored.len()) {
        return Err(bad(format!(
            "a sparse tensor has {} positions for {} bytes",
            places.len(),
            stored.len()
        )));
    }
    let mut dense = vec![0u8; bytes];
    for (place, element) in places.iter().zip(stored.chunks_exact(width)) {
        let to = dense.get_mut(place * width..(place + 1) * width);
        to.ok_or_else(|| bad("a sparse tensor stores an element outside its shape"))?
            .copy_from_slice(element);
    }
    Tensor::from_bytes(dtype, sizes, Bytes::from(dense), None).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_formats::tflite::schema;

    fn dense(size: usize) -> Record {
        Record::new(&schema::DIMENSION_METADATA).with("dense_size", size)
    }
    fn compressed(segments: &[i64], indices: &[i64]) -> Record {
        let vector = |v: &[i64]| Record::new(&schema::INT32_VECTOR).with("values", v.to_vec());
        Record::new(&schema::DIMENSION_METADATA)
            .with("format", COMPRESSED)
            .with("array_segments", vector(segments))
            .with("array_indices", vector(indices))
    }
    fn sparsity(order: &[i64], blocks: &[i64], dims: Vec<Record>) -> Record {
        Record::new(&schema::SPARSITY_PARAMETERS)
            .with("traversal_order", order.to_vec())
            .with("block_map", blocks.to_vec())
            .with("dim_metadata", dims)
    }
    fn read(s: &Record, sizes: &[usize], stored: &[u8]) -> Result<Vec<u8>, Diag> {
        Ok(densify(s, (DType::U8, sizes), stored, stored)?.bytes().expect("bytes").into_owned())
    }

    #[test]
    fn rows_and_columns() {
        let s = sparsity(&[0, 1], &[], vec![dense(3), compressed(&[0, 2, 2, 3], &[0, 3, 1])]);
        assert_eq!(read(&s, &[3, 4], &[1, 2, 3]).expect("fits"), [1, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0]);
        let s = sparsity(&[1, 0], &[], vec![dense(2), compressed(&[0, 1, 2], &[2, 0])]);
        assert_eq!(read(&s, &[3, 2], &[7, 9]).expect("fits"), [0, 9, 0, 0, 7, 0]);
    }

    #[test]
    fn blocks_lie_within_the_axis_they_divide() {
        let s = sparsity(&[0, 1, 2], &[1], vec![dense(2), compressed(&[0, 1, 2], &[1, 0]), dense(2)]);
        assert_eq!(read(&s, &[2, 4], &[1, 2, 3, 4]).expect("fits"), [0, 0, 1, 2, 3, 4, 0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let with = |dim| sparsity(&[0, 1], &[], vec![dense(3), dim]);
        for (s, why) in [
            (with(compressed(&[0, 2, 2, 3], &[0, 4, 1])), "beyond"),
            (with(compressed(&[0, 2, 1, 3], &[0, 3, 1])), "grow"),
            (with(compressed(&[0, 2, 3], &[0, 3, 1])), "segments"),
            (with(compressed(&[0, 2, 2, 3], &[0, -3, 1])), "negative"),
            (with(dense(1 << 30)), "wrong size"),
            (sparsity(&[0, 0], &[], vec![dense(3), dense(4)]), "permutation"),
            (sparsity(&[0, 1, 2], &[7], vec![dense(3), dense(4), dense(1)]), "blocks"),
        ] {
            let e = read(&s, &[3, 4], &[1, 2, 3]).expect_err("refused");
            assert!(e.message.contains(why), "{e} does not say {why}");
        }
        let s = sparsity(&[0, 1], &[], vec![dense(1 << 15), compressed(&[0], &[])]);
        assert!(
            read(&s, &[1 << 15, 1 << 15], &[])
                .expect_err("a gigabyte of zeros")
                .message
                .contains("stands for")
        );
    }
}
