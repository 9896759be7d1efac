//! Tensors that are stored in parts: variables that were split over several machines.
use super::{Bundle, kind};
use crate::tensorflow::tensor::bad;
use hoist_formats::tensorflow::generated::tensor_slice_proto::extent::HasLength;
use hoist_formats::tensorflow::generated::{BundleEntryProto, TensorSliceProto};
use hoist_ir::diag::Diag;
use hoist_ir::tensor::Tensor;
use std::collections::BTreeSet;

/// Most parts of one tensor.
const MOST_PARTS: usize = 1 << 16;

/// A part: where it begins, its sizes and itself.
struct Part {
    starts: Vec<usize>,
    sizes: Vec<usize>,
    tensor: Tensor,
}

/// The tensor `key`, joined of its parts, which lie under keys of their own.
pub(super) fn joined(bundle: &Bundle, key: &[u8], entry: &BundleEntryProto) -> Result<Tensor, Diag> {
    let (dtype, sizes) = kind(entry)?;
    if entry.slices.len() > MOST_PARTS {
        return Err(bad(format!("{} parts", entry.slices.len())));
    }
    let mut parts = vec![];
    for slice in &entry.slices {
        let (starts, part_sizes) = bounds(slice, &sizes)?;
        let own = bundle.entry(&key_of(key, slice)).ok_or_else(|| bad("a part of it is missing"))?;
        let tensor = bundle.whole(own)?;
        if tensor.dtype() != dtype || tensor.shape() != part_sizes {
            return Err(bad("a part of it has another type or other sizes than it says"));
        }
        parts.push(Part { starts, sizes: part_sizes, tensor });
    }
    let zero = vec![0; sizes.len()];
    join(parts, &zero, &sizes, 0)
}

/// Where a part begins and its sizes.
fn bounds(slice: &TensorSliceProto, whole: &[usize]) -> Result<(Vec<usize>, Vec<usize>), Diag> {
    if slice.extent.len() != whole.len() {
        return Err(bad("a part of it has another number of axes"));
    }
    let outside = || bad("a part of it reaches outside");
    let mut out = (vec![], vec![]);
    for (extent, size) in slice.extent.iter().zip(whole) {
        let start = usize::try_from(extent.start).map_err(|_| outside())?;
        let length = match extent.has_length {
            None => *size,
            Some(HasLength::Length(n)) => usize::try_from(n).map_err(|_| outside())?,
        };
        if start.checked_add(length).is_none_or(|end| end > *size) {
            return Err(outside());
        }
        out.0.push(start);
        out.1.push(length);
    }
    Ok(out)
}

/// Joins the parts of the box of `sizes` from `starts`, which are cut along `axis` and later ones.
fn join(mut parts: Vec<Part>, starts: &[usize], sizes: &[usize], axis: usize) -> Result<Tensor, Diag> {
    let gap = || bad("its parts overlap or leave a hole");
    if axis == sizes.len() {
        return match (parts.pop(), parts.pop()) {
            (Some(one), None) if one.starts == starts && one.sizes == sizes => Ok(one.tensor),
            _ => Err(gap()),
        };
    }
    let cuts: BTreeSet<usize> = parts.iter().map(|p| p.starts[axis]).collect();
    let (mut at, mut pieces) = (starts[axis], vec![]);
    for cut in cuts {
        let (here, later): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|p| p.starts[axis] == cut);
        parts = later;
        let length = here.first().map_or(0, |p| p.sizes[axis]);
        if cut != at || here.iter().any(|p| p.sizes[axis] != length) {
            return Err(gap());
        }
        let (mut inner_starts, mut inner) = (starts.to_vec(), sizes.to_vec());
        (inner_starts[axis], inner[axis]) = (cut, length);
        pieces.push(join(here, &inner_starts, &inner, axis + 1)?);
        at = cut + length;
    }
    if at != starts[axis] + sizes[axis] {
        return Err(gap());
    }
    match pieces.as_slice() {
        [one] => Ok(one.clone()),
        [first, ..] if first.strings().is_ok() => Err(bad("texts in parts are not read")),
        all => Tensor::concat(all, axis).map_err(|e| bad(e.to_string())),
    }
}

/// The key of a part: a zero, the name, the number of axes, start and length along each, all so that bytes sort as what they stand for.
fn key_of(name: &[u8], slice: &TensorSliceProto) -> Vec<u8> {
    let mut out = vec![0];
    for byte in name {
        out.push(*byte);
        match byte {
            0 => out.push(0xff),
            0xff => out.push(0),
            _ => {}
        }
    }
    out.extend([0, 1]);
    let rank = slice.extent.len() as u64;
    let width = 8 - rank.leading_zeros() as usize / 8;
    out.push(width as u8);
    out.extend(&rank.to_be_bytes()[8 - width..]);
    for extent in &slice.extent {
        let length = match extent.has_length {
            None => -1,
            Some(HasLength::Length(n)) => n,
        };
        signed(extent.start, &mut out);
        signed(length, &mut out);
    }
    out
}

/// A number whose first bits say how many bytes it has: all ones of a positive number, all zeros of a negative one.
fn signed(value: i64, out: &mut Vec<u8>) {
    let magnitude = if value < 0 { !value } else { value } as u64;
    let bits = (64 - magnitude.leading_zeros()) as usize;
    let width = bits / 7 + 1;
    let mut wide = [if value < 0 { 0xff } else { 0 }; 10];
    wide[2..].copy_from_slice(&value.to_be_bytes());
    let own = &mut wide[10 - width..];
    // `width` ones at the start, in the first two bytes.
    let header = !(u16::MAX >> width);
    let [high, low] = header.to_be_bytes();
    own[0] ^= high;
    if let Some(second) = own.get_mut(1) {
        *second ^= low;
    }
    out.extend_from_slice(own);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: i64) -> Vec<u8> {
        let mut out = vec![];
        signed(value, &mut out);
        out
    }

    #[test]
    fn numbers_sort_as_their_bytes_do() {
        assert_eq!(one(0), [0x80]);
        assert_eq!(one(-1), [0x7f]);
        assert_eq!(one(63), [0xbf]);
        assert_eq!(one(64), [0xc0, 0x40]);
        assert_eq!(one(-64), [0x40]);
        assert_eq!(one(-65), [0x3f, 0xbf]);
        let ordered = [i64::MIN, -1 << 40, -300, -65, -1, 0, 5, 63, 64, 8191, 8192, 1 << 40, i64::MAX];
        assert!(ordered.windows(2).all(|w| one(w[0]) < one(w[1])));
    }
}
