//! Constants in the form operators read fastest, kept as far as a budget goes.
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Element, Storage, Tensor, TensorError};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Constants up to this size are always kept.
const SMALL: usize = 4096;

/// Bytes that may still be spent on copies.
pub(super) struct Budget {
    most: usize,
    spent: AtomicUsize,
}

impl Budget {
    /// Room for `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, spent: AtomicUsize::new(0) }
    }
    /// Bytes of copies made.
    pub(super) fn spent(&self) -> usize {
        self.spent.load(Ordering::Relaxed)
    }
    /// Takes `bytes` if they are there.
    fn take(&self, bytes: usize) -> bool {
        let fits = |spent: usize| {
            let sum = spent.checked_add(bytes)?;
            (bytes <= SMALL || sum <= self.most).then_some(sum)
        };
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// A constant of the graph, prepared when it is first used.
pub(super) struct Constant {
    source: Tensor,
    /// Whether products and convolutions read it, which keep a packed form.
    weights: bool,
    ready: OnceLock<Tensor>,
}

impl Constant {
    /// Wraps the graph's tensor; `weights` tells whether products or convolutions multiply by it.
    pub(super) fn new(source: Tensor, weights: bool) -> Self {
        Self { source, weights, ready: OnceLock::new() }
    }
    /// The tensor operators get.
    ///
    /// # Errors
    /// When a lazy tensor cannot be computed.
    pub(super) fn get(&self, budget: &Budget) -> Result<Tensor, TensorError> {
        if let Some(t) = self.ready.get() {
            return Ok(t.clone());
        }
        let bytes = self.source.byte_len();
        let prepared = if self.weights && budget.take(bytes.saturating_mul(2)) {
            pack(&self.source)?
        } else if needs_copy(&self.source) && budget.take(bytes) {
            copy(&self.source)?
        } else {
            self.source.clone()
        };
        Ok(self.ready.get_or_init(|| prepared).clone())
    }
}

/// Whether reading the elements computes or copies them each time.
fn needs_copy(t: &Tensor) -> bool {
    match t.storage() {
        Storage::Lazy(_) | Storage::Splat(_) => true,
        Storage::Bytes(b, _) => !(b.as_ptr() as usize).is_multiple_of(alignment(t.dtype())),
        Storage::Owned(_) | Storage::Strings(_) => false,
    }
}

fn alignment(dtype: DType) -> usize {
    match dtype {
        DType::C64 => 4,
        DType::C128 => 8,
        _ => (dtype.bits() as usize / 8).max(1),
    }
}

/// The same tensor with room for its packed form.
fn pack(t: &Tensor) -> Result<Tensor, TensorError> {
    match t.dtype() {
        DType::F32 => t.clone().with_packs::<f32>(),
        DType::F64 => t.clone().with_packs::<f64>(),
        _ => copy(t),
    }
}

/// The same tensor in aligned memory.
fn copy(t: &Tensor) -> Result<Tensor, TensorError> {
    fn owned<T: Element>(t: &Tensor) -> Result<Tensor, TensorError> {
        Ok(Tensor::from_vec(t.shape(), t.view::<T>()?.into_owned()))
    }
    match t.dtype() {
        DType::F32 => owned::<f32>(t),
        DType::F64 => owned::<f64>(t),
        DType::F16 => owned::<half::f16>(t),
        DType::BF16 => owned::<half::bf16>(t),
        DType::I8 => owned::<i8>(t),
        DType::I16 => owned::<i16>(t),
        DType::I32 => owned::<i32>(t),
        DType::I64 => owned::<i64>(t),
        DType::U8 => owned::<u8>(t),
        DType::U16 => owned::<u16>(t),
        DType::U32 => owned::<u32>(t),
        DType::U64 => owned::<u64>(t),
        DType::C64 => owned::<num_complex::Complex<f32>>(t),
        DType::C128 => owned::<num_complex::Complex<f64>>(t),
        _ => t.materialize(),
    }
}
