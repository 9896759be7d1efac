//! Building blocks of lowering functions: constants, shapes at run time, arithmetic on short lists of integers, data movement in any element type.
use super::dtype::to_code;
use super::lower::{Cx, R};
use super::program::T;
use super::schema::Builtin;
use super::table::Record;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::infer::broadcast;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};

/// Arithmetic on integers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Arith {
    Add,
    Sub,
    Mul,
    Max,
    Min,
}

impl Arith {
    fn builtin(self) -> Builtin {
        match self {
            Self::Add => Builtin::Add,
            Self::Sub => Builtin::Sub,
            Self::Mul => Builtin::Mul,
            Self::Max => Builtin::Maximum,
            Self::Min => Builtin::Minimum,
        }
    }
    fn of(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            Self::Max => Some(a.max(b)),
            Self::Min => Some(a.min(b)),
        }
    }
}

/// Most elements of constants that are computed with while lowering.
const SHORT: usize = 256;

/// The sizes of `shape` as RESHAPE takes them: -1 in place of the one that is not known. None when it cannot say them all.
pub fn target_sizes(shape: &[Dim]) -> Option<Vec<i64>> {
    let open = shape.iter().filter(|d| d.known().is_none()).count();
    if open > 1 || (open == 1 && shape.contains(&Dim::Known(0))) {
        return None;
    }
    shape.iter().map(|d| d.known().map_or(Some(-1), |n| i64::try_from(n).ok())).collect()
}

/// The element type that stands for `dtype` where elements are only moved, by a kernel that has `types`: itself, or one of the same width.
///
/// # Errors
/// When the kernel has no type of that width.
pub fn carrier(dtype: DType, types: &[DType]) -> R<DType> {
    if types.contains(&dtype) {
        return Ok(dtype);
    }
    let fixed = dtype.bits().is_multiple_of(8) && dtype != DType::String && to_code(dtype).is_some();
    let found = types.iter().find(|d| fixed && d.is_int() && d.bits() == dtype.bits());
    found.copied().ok_or_else(|| format!("element type {dtype}"))
}

/// Number of elements.
pub fn volume(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Known(1), |p, d| p.combine(d, SymInt::mul))
}

impl Cx<'_> {
    /// Product of the entries of a list of 32-bit integers, as a list of one.
    ///
    /// # Errors
    /// Never for such a list.
    pub fn product(&mut self, list: T) -> R<T> {
        if let Some(known) = self.known(list)
            && let Some(n) = known.iter().try_fold(1i64, |p, n| p.checked_mul(*n))
        {
            return self.ints32(&[n]);
        }
        if self.dims(list)? == [Dim::Known(1)] {
            return Ok(list);
        }
        let axes = self.ints32(&[0])?;
        let options = Builtin::ReduceProd.options().map(|o| o.with("keep_dims", true));
        self.compute(Builtin::ReduceProd, options, &[list, axes], DType::I32, vec![Dim::Known(1)])
    }
    /// `x` with so many neighbouring axes joined to one each.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn grouped(&mut self, x: T, counts: &[usize]) -> R<T> {
        let dims = self.dims(x)?;
        let (mut shape, mut at) = (vec![], 0);
        for n in counts {
            shape.push(volume(&dims[at..at + n]));
            at += n;
        }
        if target_sizes(&shape).is_some() || counts.iter().all(|n| *n == 1) {
            return if counts.iter().all(|n| *n == 1) { Ok(x) } else { self.reshaped(x, &shape) };
        }
        let sizes = self.shape_of(x)?;
        let (mut parts, mut at) = (vec![], 0);
        for n in counts {
            let part = self.part(sizes, at, *n)?;
            parts.push(self.product(part)?);
            at += n;
        }
        let list = self.joined(&parts)?;
        self.reshaped_to(x, list, &shape)
    }
    /// Whether what the list in operand `i` says is known as far as the type of the result tells: it is constant, or all its entries are sizes. A
    /// result may be declared more precisely than that by its file, which is no promise.
    pub fn is_followed(&self, i: usize) -> bool {
        let Some(v) = self.value(i) else { return true };
        let content = self.g.value(v).content();
        self.constant(i).is_some() || content.is_some_and(|c| c.iter().all(Option::is_some))
    }
    /// Dimensions of `t`.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn dims(&self, t: T) -> R<Shape> {
        self.def(t).ty.shape.clone().ok_or_else(|| "an operand of unknown rank".to_owned())
    }
    /// Constant integers of `t`.
    pub fn known(&self, t: T) -> Option<Vec<i64>> {
        let data = self.def(t).data.as_ref()?;
        if data.dtype().is_int() { data.to_i64s().ok() } else { None }
    }
    /// Adds an operator with one result that is intermediate.
    ///
    /// # Errors
    /// When TFLite lacks the element type.
    pub fn compute(
        &mut self,
        builtin: Builtin,
        options: Option<Record>,
        inputs: &[T],
        dtype: DType,
        shape: Shape,
    ) -> R<T> {
        let inputs: Vec<Option<T>> = inputs.iter().map(|t| Some(*t)).collect();
        self.temp(builtin, options, &inputs, TensorType::new(dtype, shape))
    }
    /// Adds an operator of one operand whose result has the same type.
    ///
    /// # Errors
    /// When TFLite lacks the element type.
    pub fn same(&mut self, builtin: Builtin, x: T) -> R<T> {
        let ty = self.def(x).ty.clone();
        self.temp(builtin, None, &[Some(x)], ty)
    }
    /// `a` and `b` combined element by element, with broadcasting. Short constants are combined now.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn arith(&mut self, how: Arith, a: T, b: T) -> R<T> {
        let dtype = self.def(a).ty.dtype;
        if let (Some(x), Some(y)) = (self.known(a), self.known(b))
            && let Some(folded) = self.folded(how, (a, &x), (b, &y))
        {
            return Ok(self.konst(folded));
        }
        let shape = broadcast(&self.dims(a)?, &self.dims(b)?).map_err(|e| e.message)?;
        self.compute(how.builtin(), None, &[a, b], dtype, shape)
    }
    fn folded(&self, how: Arith, a: (T, &[i64]), b: (T, &[i64])) -> Option<Tensor> {
        let (long, short) = if a.1.len() >= b.1.len() { (a, b) } else { (b, a) };
        let like = self.def(long.0).data.as_ref()?;
        let other = self.def(short.0).ty.sizes()?;
        // As many elements in another order of axes are not the same elements.
        let core = |shape: &[usize]| shape.iter().copied().skip_while(|n| *n == 1).collect::<Vec<_>>();
        let fits = short.1.len() == 1 || core(&other) == core(like.shape());
        if !fits || long.1.len() > SHORT || other.len() > like.rank() {
            return None;
        }
        let at = |v: &[i64], i: usize| v.get(i).or(v.first()).copied();
        let values: Vec<i64> =
            (0..long.1.len()).map(|i| how.of(at(a.1, i)?, at(b.1, i)?)).collect::<Option<_>>()?;
        let folded = Tensor::from_vec(like.shape(), values).cast(like.dtype(), false).ok()?;
        // Nothing is lost in narrow types.
        (folded.to_i64s().ok()?
            == (0..long.1.len()).map(|i| how.of(at(a.1, i)?, at(b.1, i)?)).collect::<Option<Vec<_>>>()?)
        .then_some(folded)
    }
    /// Comparison of `a` and `b`, with broadcasting.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn compare(&mut self, builtin: Builtin, a: T, b: T) -> R<T> {
        let shape = broadcast(&self.dims(a)?, &self.dims(b)?).map_err(|e| e.message)?;
        self.compute(builtin, None, &[a, b], DType::Bool, shape)
    }
    /// `a` where `condition` holds, else `b`, with broadcasting.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn select(&mut self, condition: T, a: T, b: T) -> R<T> {
        let ab = broadcast(&self.dims(a)?, &self.dims(b)?).map_err(|e| e.message)?;
        let shape = broadcast(&self.dims(condition)?, &ab).map_err(|e| e.message)?;
        let dtype = self.def(a).ty.dtype;
        self.compute(Builtin::SelectV2, None, &[condition, a, b], dtype, shape)
    }
    /// An integer of the element type of `like`, 0-d.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn int_like(&mut self, value: i64, like: T) -> R<T> {
        let dtype = self.def(like).ty.dtype;
        let t = Tensor::scalar(value).cast(dtype, false).map_err(|e| e.to_string())?;
        Ok(self.konst(t))
    }
    /// Sizes of `t` as 32-bit integers, constant when all are known.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn shape_of(&mut self, t: T) -> R<T> {
        let dims = self.dims(t)?;
        let known: Option<Vec<i64>> =
            dims.iter().map(|d| d.known().and_then(|n| i64::try_from(n).ok())).collect();
        if let Some(sizes) = known {
            return self.ints32(&sizes);
        }
        let options = Builtin::Shape.options().map(|o| o.with("out_type", to_code(DType::I32).unwrap_or(0)));
        self.compute(Builtin::Shape, options, &[t], DType::I32, vec![Dim::from(dims.len())])
    }
    /// Size of an axis of `t` as a list of one 32-bit integer, constant when it is known.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn size_of(&mut self, t: T, axis: usize) -> R<T> {
        let dims = self.dims(t)?;
        if let Some(n) = dims.get(axis).and_then(Dim::known).and_then(|n| i64::try_from(n).ok()) {
            self.ints32(&[n])
        } else {
            let all = self.shape_of(t)?;
            self.part(all, axis, 1)
        }
    }
    /// `count` entries of a list from position `start` on.
    ///
    /// # Errors
    /// When a position is beyond 32-bit integers.
    pub fn part(&mut self, list: T, start: usize, count: usize) -> R<T> {
        let dtype = self.def(list).ty.dtype;
        if let Some(v) = self.known(list)
            && let Some(part) = v.get(start..start + count)
            && let Ok(t) = Tensor::from_ints(part).cast(dtype, false)
        {
            return Ok(self.konst(t));
        }
        if self.dims(list)? == [Dim::from(count)] {
            return Ok(list);
        }
        let (begin, size) = (self.ints32(&[start as i64])?, self.ints32(&[count as i64])?);
        self.compute(Builtin::Slice, None, &[list, begin, size], dtype, vec![Dim::from(count)])
    }
    /// Lists of one element type, one behind the other.
    ///
    /// # Errors
    /// When there is none.
    pub fn joined(&mut self, lists: &[T]) -> R<T> {
        let first = *lists.first().ok_or("an empty list")?;
        let dtype = self.def(first).ty.dtype;
        if lists.len() == 1 {
            return Ok(first);
        }
        let known: Option<Vec<Vec<i64>>> = lists.iter().map(|t| self.known(*t)).collect();
        if let Some(t) = known.and_then(|k| Tensor::from_ints(&k.concat()).cast(dtype, false).ok()) {
            return Ok(self.konst(t));
        }
        let mut count = Dim::Known(0);
        for t in lists {
            count = count.combine(self.dims(*t)?.first().unwrap_or(&Dim::Unknown), SymInt::add);
        }
        let options = Builtin::Concatenation.options().map(|o| o.with("axis", 0));
        self.compute(Builtin::Concatenation, options, lists, dtype, vec![count])
    }
    /// `x` under sizes of which at most one is not known.
    ///
    /// # Errors
    /// When more are not known.
    pub fn reshaped(&mut self, x: T, shape: &[Dim]) -> R<T> {
        if self.dims(x).is_ok_and(|s| s == shape && s.iter().all(|d| d.known().is_some())) {
            return Ok(x);
        }
        let sizes = target_sizes(shape).ok_or("more than one size that is not known")?;
        self.resized(x, &sizes, shape)
    }
    /// `x` under `sizes`, one of which may be -1, which its type says as `shape`. Constants are given the sizes now.
    ///
    /// # Errors
    /// When a size is beyond 32-bit integers.
    pub fn resized(&mut self, x: T, sizes: &[i64], shape: &[Dim]) -> R<T> {
        let fixed: Option<Vec<usize>> = sizes.iter().map(|n| usize::try_from(*n).ok()).collect();
        if let (Some(t), Some(fixed)) = (&self.def(x).data, fixed)
            && let Ok(t) = t.reshape(&fixed)
        {
            return Ok(self.konst(t));
        }
        let list = self.ints32(sizes)?;
        self.reshaped_to(x, list, shape)
    }
    /// `x` under the sizes `list`, computed or not, which its type says as `shape`.
    ///
    /// # Errors
    /// When TFLite lacks the element type.
    pub fn reshaped_to(&mut self, x: T, list: T, shape: &[Dim]) -> R<T> {
        let dtype = self.def(x).ty.dtype;
        let options = Builtin::Reshape.options();
        self.compute(Builtin::Reshape, options, &[x, list], dtype, shape.to_vec())
    }
    /// `x` with new axes of size 1 at positions `at` of the result, whose dimensions are `shape`.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn reshaped_by(&mut self, x: T, at: &[usize], shape: &[Dim]) -> R<T> {
        if target_sizes(shape).is_some() {
            return self.reshaped(x, shape);
        }
        let dtype = self.def(x).ty.dtype;
        let mut dims = self.dims(x)?;
        let mut x = x;
        for axis in at {
            dims.insert(*axis, Dim::Known(1));
            let axis = self.int32(*axis as i64)?;
            x = self.compute(Builtin::ExpandDims, None, &[x, axis], dtype, dims.clone())?;
        }
        Ok(x)
    }
    /// `x` as a list of one integer, or a number of them as it is.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn as_list(&mut self, x: T) -> R<T> {
        if self.dims(x)?.is_empty() { self.reshaped(x, &[Dim::Known(1)]) } else { Ok(x) }
    }
    /// `x`, which has one element, as a 0-d tensor.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn as_scalar(&mut self, x: T) -> R<T> {
        if self.dims(x)?.is_empty() { Ok(x) } else { self.reshaped(x, &[]) }
    }
    /// The numbers from 0 on, as many as `count` (0-d, 32 bits) says, which is `dim`.
    ///
    /// # Errors
    /// Never for such a count.
    pub fn iota(&mut self, count: T, dim: &Dim) -> R<T> {
        if let Some([n]) = self.known(count).as_deref()
            && usize::try_from(*n).is_ok_and(|n| n <= SHORT)
        {
            return self.ints32(&(0..*n).collect::<Vec<_>>());
        }
        let (zero, one) = (self.int32(0)?, self.int32(1)?);
        self.compute(Builtin::Range, None, &[zero, count, one], DType::I32, vec![dim.clone()])
    }
    /// `x` with its axes permuted.
    ///
    /// # Errors
    /// When the rank is not known.
    pub fn permuted(&mut self, x: T, perm: &[usize]) -> R<T> {
        if perm.iter().enumerate().all(|(i, p)| i == *p) {
            return Ok(x);
        }
        let dims = self.dims(x)?;
        let shape: Shape = perm.iter().map(|p| dims.get(*p).cloned().unwrap_or(Dim::Unknown)).collect();
        if let Some(t) = self.def(x).data.as_ref().and_then(|t| t.permute(perm).ok()) {
            return Ok(self.konst(t));
        }
        let list = self.ints32(&perm.iter().map(|p| *p as i64).collect::<Vec<_>>())?;
        let dtype = self.def(x).ty.dtype;
        self.compute(Builtin::Transpose, None, &[x, list], dtype, shape)
    }
    /// The bits of `x` as elements of `dtype`, which has the same width.
    ///
    /// # Errors
    /// When TFLite lacks the type.
    pub fn bits(&mut self, x: T, dtype: DType) -> R<T> {
        let def = self.def(x);
        if def.ty.dtype == dtype {
            return Ok(x);
        }
        if let Some(t) = def.data.as_ref().and_then(|t| t.bitcast(dtype).ok()) {
            return Ok(self.konst(t));
        }
        let ty = TensorType { dtype, ..def.ty.clone() };
        self.temp(Builtin::Bitcast, None, &[Some(x)], ty)
    }
    /// Operand `i` in the element type that stands for its own in a kernel that moves elements of `types`.
    ///
    /// # Errors
    /// When there is none.
    pub fn moved(&mut self, i: usize, types: &[DType]) -> R<T> {
        let dtype = carrier(self.dtype(i)?, types)?;
        let x = self.arg(i)?;
        self.bits(x, dtype)
    }
    /// Adds an operator that moves elements of its first operand, whose one result is that of the node but for an element type of the same width.
    ///
    /// # Errors
    /// When TFLite lacks the type.
    pub fn emit_moved(&mut self, builtin: Builtin, options: Option<Record>, inputs: &[T]) -> R<()> {
        let first = *inputs.first().ok_or("no operand")?;
        self.emit_moved_as(builtin, options, inputs, self.def(first).ty.dtype)
    }
    /// Adds an operator whose one result is that of the node but for its element type `dtype` of the same width.
    ///
    /// # Errors
    /// When TFLite lacks the type.
    pub fn emit_moved_as(
        &mut self,
        builtin: Builtin,
        options: Option<Record>,
        inputs: &[T],
        dtype: DType,
    ) -> R<()> {
        let own = self.out_ty(0)?.clone();
        if dtype == own.dtype {
            return self.emit(builtin, options, inputs);
        }
        let inputs: Vec<Option<T>> = inputs.iter().map(|t| Some(*t)).collect();
        let y = self.temp(builtin, options, &inputs, TensorType { dtype, ..own })?;
        self.emit(Builtin::Bitcast, None, &[y])
    }
    /// Makes `x`, which has the sizes of the node's result, that result: its bits are read in the element type of the result.
    ///
    /// # Errors
    /// When TFLite lacks the type.
    pub fn finish(&mut self, x: T) -> R<()> {
        if self.def(x).ty.dtype != self.out_ty(0)?.dtype {
            return self.emit(Builtin::Bitcast, None, &[x]);
        }
        self.alias(0, x)
    }
    /// Adds the operator that makes `x`, cast to `dtype`, the result of the node.
    ///
    /// # Errors
    /// When TFLite lacks the type.
    pub fn emit_cast(&mut self, x: T, dtype: DType) -> R<()> {
        let code = |d: DType| to_code(d).unwrap_or(0);
        let from = code(self.def(x).ty.dtype);
        let options = Builtin::Cast.options();
        let options = options.map(|o| o.with("in_data_type", from).with("out_data_type", code(dtype)));
        self.emit(Builtin::Cast, options, &[x])
    }
    /// Positions in operand `i` as 32-bit integers: computed ones beyond them are clamped, as "to the end" is meant.
    ///
    /// # Errors
    /// When it is left out.
    pub fn positions32(&mut self, i: usize) -> R<T> {
        if self.constant(i).is_some() || self.dtype(i)? == DType::I32 || self.surely_fits(i) {
            return self.sizes32(i);
        }
        let t = self.arg(i)?;
        let (low, high) = (self.int_like(i32::MIN.into(), t)?, self.int_like(i32::MAX.into(), t)?);
        let t = self.arith(Arith::Max, t, low)?;
        let t = self.arith(Arith::Min, t, high)?;
        self.cast(t, DType::I32)
    }
    /// Whether all elements of operand `i` are known as sizes or small numbers.
    fn surely_fits(&self, i: usize) -> bool {
        let Some(content) = self.value(i).and_then(|v| self.g.value(v).content()) else { return false };
        content.iter().all(|v| {
            v.as_ref().is_some_and(|v| match v.as_const() {
                Some(c) => i32::try_from(c).is_ok(),
                None => v.as_symbol().is_some(),
            })
        })
    }
}
