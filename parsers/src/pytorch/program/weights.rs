//! Parameters, buffers and constants as tensors that stay in the mapped file.
use crate::pytorch::archive::{Payload, Pt2Archive};
use crate::pytorch::lift::cx::{R, unsupported};
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::tensor::View;
use crate::source::Source;
use hoist_ir::diag::Diag;
use hoist_ir::tensor::{FileSpan, Tensor};

/// The tensor of a payload. A permuted dense layout, such as channels last, is a lazy permutation of the stored bytes.
///
/// # Errors
/// When the entry cannot be read or its type is not supported.
pub fn read(source: &Source, archive: &Pt2Archive, payload: &Payload) -> R<Tensor> {
    if let Some((stored, perm)) = payload.view.as_ref().filter(|_| !payload.pickled).and_then(stored_order) {
        let dense = Payload { view: Some(stored), ..payload.clone() };
        let tensor = row_major(source, archive, &dense)?;
        return tensor.permute(&perm).map_err(|e| bad(&payload.name, &e.to_string()));
    }
    row_major(source, archive, payload)
}

fn bad(name: &str, what: &str) -> Diag {
    Diag::error("E0203", format!("tensor `{name}`: {what}"))
}

fn row_major(source: &Source, archive: &Pt2Archive, payload: &Payload) -> R<Tensor> {
    let data = archive.read(payload).map_err(|e| Diag::error("E0203", e.to_string()))?;
    let dtype = ir_dtype(data.dtype).ok_or_else(|| {
        unsupported(format!("tensor `{}` has elements of type {}", payload.name, data.dtype))
    })?;
    let sizes: Option<Vec<usize>> = data.shape.iter().map(|n| usize::try_from(*n).ok()).collect();
    let sizes = sizes.ok_or_else(|| bad(&payload.name, "it is too large"))?;
    let span = span(source, &data.data);
    Tensor::from_bytes(dtype, &sizes, data.data, span).map_err(|e| bad(&payload.name, &e.to_string()))
}

/// Where in the file `data` lies, if it is a slice of it.
fn span(source: &Source, data: &bytes::Bytes) -> Option<FileSpan> {
    let all = source.bytes();
    let offset = (data.as_ptr() as usize).checked_sub(all.as_ptr() as usize)?;
    let inside = offset.checked_add(data.len()).is_some_and(|end| end <= all.len());
    inside.then(|| FileSpan { file: source.path().into(), offset: offset as u64 })
}

/// The contiguous view that `view` permutes, and the permutation that leads back; none when `view` is contiguous itself or no
/// permutation of a contiguous one.
pub(in crate::pytorch) fn stored_order(view: &View) -> Option<(View, Vec<usize>)> {
    if view.is_contiguous() {
        return None;
    }
    let mut order: Vec<usize> = (0..view.sizes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(view.strides[i]), i));
    let at = |list: &[u64]| order.iter().map(|&i| list[i]).collect::<Vec<u64>>();
    let stored = View { sizes: at(&view.sizes), strides: at(&view.strides), ..view.clone() };
    if !stored.is_contiguous() {
        return None;
    }
    let mut back = vec![0; order.len()];
    for (i, o) in order.into_iter().enumerate() {
        back[o] = i;
    }
    Some((stored, back))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::tensor::TorchDtype;

    #[test]
    fn channels_last_is_a_permutation() {
        let view = View::new(TorchDtype::Float32, &[2, 3, 4, 5], &[60, 1, 15, 3], 0).unwrap();
        let (stored, back) = stored_order(&view).unwrap();
        assert_eq!((stored.sizes.as_slice(), back.as_slice()), (&[2, 4, 5, 3][..], &[0, 3, 1, 2][..]));
        assert!(stored_order(&View::new(TorchDtype::Float32, &[2, 3], &[3, 1], 0).unwrap()).is_none());
        assert!(stored_order(&View::new(TorchDtype::Float32, &[2, 3], &[8, 2], 0).unwrap()).is_none());
        assert!(stored_order(&View::new(TorchDtype::Float32, &[2, 3], &[0, 1], 0).unwrap()).is_none());
    }
}
