//! Moving elements whatever their type: a movement is written once over [`Unit`]s and runs on machine words of the element
//! width, on one byte per element for packed types, and on references for texts.
use crate::dtype::DType;
use crate::op::OpError;
use crate::tensor::convert::{pack, unpack};
use crate::tensor::{Element, Tensor, TensorError, byte_count, element_count};
use bytemuck::{NoUninit, Pod};
use bytes::Bytes;
use half::{bf16, f16};
use num_complex::Complex;
use std::borrow::Cow;

/// An element in motion; its default stands for a number's zero, `false` and the empty text.
pub trait Unit: Copy + Default + Send + Sync {}
impl<T: Copy + Default + Send + Sync> Unit for T {}

/// A movement that does not look at the elements.
pub trait Move {
    /// The result's elements from those of the operands, as many as the shape given to [`apply`] holds.
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T>;
}

/// Most texts a result may hold.
const MAX_TEXTS: usize = 1 << 26;

/// Elements above which a movement is worth more than one thread.
pub const PARALLEL: usize = 1 << 16;

/// Runs `m` on `xs`, which have one element type, for a result of `shape`.
///
/// # Errors
/// When the result is too large, or an operand cannot be read.
pub fn apply(m: &impl Move, xs: &[&Tensor], shape: &[usize]) -> Result<Tensor, OpError> {
    let dtype = xs.first().map_or(DType::F32, |x| x.dtype());
    debug_assert!(xs.iter().all(|x| x.dtype() == dtype));
    let count = check_size(dtype, shape)?;
    if dtype == DType::String {
        let texts = xs.iter().map(|x| x.strings()).collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<Vec<&str>> =
            texts.into_iter().map(|s| s.iter().map(String::as_str).collect()).collect();
        let moved = if count == 0 { vec![] } else { m.run(&slices(&texts)) };
        return Ok(Tensor::from_strings(shape, moved.into_iter().map(str::to_owned).collect()));
    }
    if count == 0 {
        return empty(dtype, shape);
    }
    let raw = xs.iter().map(|x| x.bytes()).collect::<Result<Vec<_>, _>>()?;
    Ok(match (dtype.bits(), dtype) {
        (bits @ (2 | 4 | 6), _) => {
            let wide: Vec<Vec<u8>> = raw.iter().zip(xs).map(|(b, x)| unpacked(b, bits, x.len())).collect();
            let packed = pack(m.run(&slices(&wide)).into_iter(), bits);
            Tensor::from_bytes(dtype, shape, packed.into(), None)?
        }
        (8, _) => owned(dtype, shape, m.run(&raw.iter().map(Cow::as_ref).collect::<Vec<&[u8]>>()))?,
        (16, _) => sized::<u16, [u8; 2]>(m, &raw, dtype, shape)?,
        (32, _) => sized::<u32, [u8; 4]>(m, &raw, dtype, shape)?,
        (64, DType::C64) => sized::<[u32; 2], [u8; 8]>(m, &raw, dtype, shape)?,
        (64, _) => sized::<u64, [u8; 8]>(m, &raw, dtype, shape)?,
        _ => sized::<[u64; 2], [u8; 16]>(m, &raw, dtype, shape)?,
    })
}

/// Number of elements of a result, refused where it cannot be held.
///
/// # Errors
/// When the bytes do not fit the address space, or there are too many texts.
pub fn check_size(dtype: DType, shape: &[usize]) -> Result<usize, OpError> {
    let count = element_count(shape).ok_or_else(|| TensorError::TooLarge(shape.to_vec()))?;
    if dtype != DType::String {
        byte_count(dtype, shape)?;
    } else if count > MAX_TEXTS {
        return Err(OpError::new("E0307", format!("a result of {count} texts is too large")));
    }
    Ok(count)
}

/// A tensor of a shape with no elements.
///
/// # Errors
/// When the shape has elements.
pub fn empty(dtype: DType, shape: &[usize]) -> Result<Tensor, OpError> {
    if dtype == DType::String {
        return Ok(Tensor::from_strings(&[0], vec![]).reshape(shape)?);
    }
    Ok(Tensor::from_bytes(dtype, shape, Bytes::new(), None)?)
}

fn unpacked(bytes: &[u8], bits: u32, count: usize) -> Vec<u8> {
    bytemuck::cast_vec(unpack(bytes, bits, count, false))
}

fn slices<T>(xs: &[Vec<T>]) -> Vec<&[T]> {
    xs.iter().map(Vec::as_slice).collect()
}

/// Runs on words of type `A` where all operands are aligned for them, else on byte groups `B` of the same width: mapped
/// weights need not be aligned, and copying them all to take a part would be a waste.
fn sized<A: Pod + Unit, B: Pod + Unit>(
    m: &impl Move,
    raw: &[Cow<'_, [u8]>],
    dtype: DType,
    shape: &[usize],
) -> Result<Tensor, TensorError> {
    let words: Result<Vec<&[A]>, _> = raw.iter().map(|b| bytemuck::try_cast_slice(b)).collect();
    if let Ok(words) = words {
        return owned(dtype, shape, m.run(&words));
    }
    let groups: Vec<&[B]> = raw.iter().map(|b| bytemuck::cast_slice(b)).collect();
    Tensor::from_bytes(dtype, shape, bytemuck::cast_vec::<B, u8>(m.run(&groups)).into(), None)
}

/// A tensor that owns `units`, in the vector type its element type asks for.
fn owned<A: NoUninit>(dtype: DType, shape: &[usize], units: Vec<A>) -> Result<Tensor, TensorError> {
    match dtype {
        DType::F32 => typed::<A, f32>(shape, units),
        DType::F64 => typed::<A, f64>(shape, units),
        DType::F16 => typed::<A, f16>(shape, units),
        DType::BF16 => typed::<A, bf16>(shape, units),
        DType::I8 => typed::<A, i8>(shape, units),
        DType::I16 => typed::<A, i16>(shape, units),
        DType::I32 => typed::<A, i32>(shape, units),
        DType::I64 => typed::<A, i64>(shape, units),
        DType::U8 => typed::<A, u8>(shape, units),
        DType::U16 => typed::<A, u16>(shape, units),
        DType::U32 => typed::<A, u32>(shape, units),
        DType::U64 => typed::<A, u64>(shape, units),
        DType::C64 => typed::<A, Complex<f32>>(shape, units),
        DType::C128 => typed::<A, Complex<f64>>(shape, units),
        _ => {
            let raw = bytemuck::try_cast_vec::<A, u8>(units)
                .unwrap_or_else(|(_, units)| bytemuck::cast_slice(&units).to_vec());
            Tensor::from_bytes(dtype, shape, raw.into(), None)
        }
    }
}

fn typed<A: NoUninit, E: Element>(shape: &[usize], units: Vec<A>) -> Result<Tensor, TensorError> {
    let elements = bytemuck::try_cast_vec::<A, E>(units)
        .unwrap_or_else(|(_, units)| bytemuck::pod_collect_to_vec::<A, E>(&units));
    if element_count(shape) != Some(elements.len()) {
        return Err(TensorError::Shape(format!("{} elements do not fill shape {shape:?}", elements.len())));
    }
    Ok(Tensor::from_vec(shape, elements))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tensor of every element type, with elements that differ where the width allows.
    pub fn samples(shape: &[usize]) -> Vec<Tensor> {
        let n = element_count(shape).expect("small");
        let one = |d: DType| {
            if d == DType::String {
                return Tensor::from_strings(shape, (0..n).map(|i| format!("t{i}")).collect());
            }
            let raw: Vec<u8> =
                (0..byte_count(d, shape).expect("small")).map(|i| (i * 37 + 11) as u8).collect();
            let raw = if d == DType::Bool { raw.into_iter().map(|b| b & 1).collect() } else { raw };
            Tensor::from_bytes(d, shape, raw.into(), None).expect("fits")
        };
        DType::all().map(one).collect()
    }

    /// One element of a tensor, as its bits.
    pub fn bits_at(t: &Tensor, i: usize) -> Vec<u8> {
        match t.dtype().bits() {
            0 => t.strings().expect("texts")[i].clone().into_bytes(),
            b @ (2 | 4 | 6) => vec![unpack(&t.bytes().expect("bytes"), b, t.len(), false)[i] as u8],
            b => {
                let w = b as usize / 8;
                t.bytes().expect("bytes")[i * w..(i + 1) * w].to_vec()
            }
        }
    }

    struct Reverse;
    impl Move for Reverse {
        fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
            xs[0].iter().rev().copied().collect()
        }
    }

    #[test]
    fn every_type_moves_bit_for_bit() {
        for x in samples(&[3, 3]) {
            let y = apply(&Reverse, &[&x], &[9]).expect("fits");
            assert_eq!((y.dtype(), y.shape()), (x.dtype(), &[9][..]));
            for i in 0..9 {
                assert_eq!(bits_at(&y, i), bits_at(&x, 8 - i), "{} at {i}", x.dtype());
            }
        }
    }

    #[test]
    fn unaligned_storage_moves_too() {
        let aligned = Tensor::from_vec(&[4], vec![1.0f32, 2.0, 3.0, 4.0]);
        for skip in 0..4 {
            let mut raw = vec![0u8; skip];
            raw.extend_from_slice(&aligned.bytes().expect("bytes"));
            let x = Tensor::from_bytes(DType::F32, &[4], Bytes::from(raw).slice(skip..), None).expect("fits");
            let y = apply(&Reverse, &[&x], &[2, 2]).expect("fits");
            assert_eq!(*y.view::<f32>().expect("f32"), [4.0, 3.0, 2.0, 1.0]);
        }
    }

    #[test]
    fn results_can_be_taken_as_vectors() {
        for x in samples(&[2]) {
            let y = apply(&Reverse, &[&x], &[2]).expect("fits");
            match x.dtype() {
                DType::F32 => assert_eq!(y.into_vec::<f32>().expect("f32").len(), 2),
                DType::C64 => assert_eq!(y.into_vec::<Complex<f32>>().expect("c64").len(), 2),
                DType::U8 => assert_eq!(y.into_vec::<u8>().expect("u8").len(), 2),
                _ => {}
            }
        }
    }
}
