//! `murmur_hash3`
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

const HASHED: DTypeSet =
    DTypeSet::of(&[DType::I32, DType::U32, DType::I64, DType::U64, DType::F32, DType::F64, DType::String]);

crate::op! {
    /// `MurmurHash3` (x86, 32 bits) of the bytes of each element.
    murmur_hash3 MurmurHash3(x: One<T1>) -> (y: One<T2>) {
        /// Whether results are unsigned.
        positive: bool = true,
        /// Start value, of which the low 32 bits count.
        seed: i64 = 0,
    } where T1: HASHED, T2: DTypeSet::of(&[DType::U32, DType::I32]);
}

/// The hash function of Austin Appleby, public domain: blocks of 4 bytes, the rest, the length, a final mix.
fn hash(bytes: &[u8], seed: u32) -> u32 {
    let scrambled = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut h = seed;
    let (blocks, rest) = bytes.as_chunks::<4>();
    for block in blocks {
        h ^= scrambled(u32::from_le_bytes(*block));
        h = h.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    if !rest.is_empty() {
        h ^= scrambled(rest.iter().rev().fold(0, |k, b| (k << 8) | u32::from(*b)));
    }
    h ^= bytes.len() as u32;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

impl MurmurHash3 {
    fn result(&self) -> DType {
        if self.positive { DType::U32 } else { DType::I32 }
    }
}

impl Semantics for MurmurHash3 {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![TensorType::new(self.result(), cx.shape(0)?.cloned()).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let seed = self.seed as u32;
        let hashes: Vec<u32> = if x.dtype() == DType::String {
            x.strings()?.iter().map(|s| hash(s.as_bytes(), seed)).collect()
        } else {
            let width = (x.dtype().bits() as usize / 8).max(1);
            x.bytes()?.chunks_exact(width).map(|b| hash(b, seed)).collect()
        };
        one(Tensor::from_vec(x.shape(), hashes).bitcast(self.result())?)
    }
}
