//! Adding IR nodes: short forms of the operators that lifting functions combine.
use super::aten::special::{COMPOSED, composed};
use super::cx::{Cx, Operand, R, Scalar, Size, V, malformed, unsupported};
use super::kernels::detour;
use super::pairs::{Parts, complex_type, stored_pairs};
use super::promote::{Rank, result_type, to_float};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// Most elements of a constant whose elements are all alike.
const MAX_FILLED: usize = 1 << 22;

/// The position of `axis`, counted from the end when negative. A 0-d tensor counts as one axis, as PyTorch has it.
pub fn wrap(axis: i64, rank: usize) -> R<usize> {
    let n = rank.max(1) as i64;
    let at = if axis < 0 { axis.saturating_add(n) } else { axis };
    if (0..n).contains(&at) {
        Ok(at as usize)
    } else {
        Err(malformed(format!("dimension {axis} is outside a tensor of rank {rank}")))
    }
}

impl Cx {
    /// Adds a node of operator `name` with these attributes and `outputs` results, computed in a type that has kernels.
    pub fn node_n(
        &mut self,
        name: &str,
        inputs: &[Option<V>],
        attrs: &[(&str, Attr)],
        outputs: usize,
    ) -> R<Vec<V>> {
        if inputs.iter().flatten().any(|v| self.is_complex(*v)) {
            return self.complex_node(name, inputs, attrs, outputs);
        }
        let first = inputs.get(usize::from(name == "where")).copied().flatten();
        let dtype = first.and_then(|v| self.graph.ty(v).as_tensor()).map(|t| t.dtype);
        if dtype == Some(DType::F64) && COMPOSED.contains(&name) && outputs == 1 {
            let operands: Vec<V> = inputs.iter().flatten().copied().collect();
            return Ok(vec![composed(self, name, &operands, attrs)?]);
        }
        let Some((dtype, d)) = dtype.and_then(|t| Some((t, detour(name, t)?))) else {
            return self.add_node(name, inputs, attrs, outputs);
        };
        let mut inputs = inputs.to_vec();
        for v in inputs.iter_mut().skip(d.from).flatten() {
            if self.dtype(*v)? == dtype {
                *v = self.cast(*v, d.to)?;
            }
        }
        let mut out = self.add_node(name, &inputs, attrs, outputs)?;
        if let Some(v) = out.first_mut().filter(|_| d.returns) {
            *v = self.cast(*v, dtype)?;
        }
        Ok(out)
    }
    /// Adds a node whose operands are taken as they are stored.
    pub(super) fn add_node(
        &mut self,
        name: &str,
        inputs: &[Option<V>],
        attrs: &[(&str, Attr)],
        outputs: usize,
    ) -> R<Vec<V>> {
        let op = Op::named(name, attrs)?;
        let new = NewNode { outputs, origin: self.origin.clone(), ..NewNode::new(op, inputs) };
        let n = self.graph.append(new)?;
        Ok(self.graph.node(n).outputs().to_vec())
    }
    /// Adds a node with one result.
    pub fn with(&mut self, name: &str, inputs: &[V], attrs: &[(&str, Attr)]) -> R<V> {
        let inputs: Vec<Option<V>> = inputs.iter().map(|v| Some(*v)).collect();
        self.node1(name, &inputs, attrs)
    }
    /// Adds a node with one result and optional operands.
    pub fn node1(&mut self, name: &str, inputs: &[Option<V>], attrs: &[(&str, Attr)]) -> R<V> {
        let out = self.node_n(name, inputs, attrs, 1)?;
        out.first().copied().ok_or_else(|| Diag::error("E0901", format!("`{name}` has no result")))
    }
    /// Adds a node without attributes.
    pub fn op(&mut self, name: &str, inputs: &[V]) -> R<V> {
        self.with(name, inputs, &[])
    }
    /// One operand.
    pub fn u(&mut self, name: &str, x: V) -> R<V> {
        self.op(name, &[x])
    }
    /// Two operands.
    pub fn b(&mut self, name: &str, a: V, b: V) -> R<V> {
        self.op(name, &[a, b])
    }
    /// Two operands, the second a number of the first one's type.
    pub fn bn(&mut self, name: &str, a: V, b: f64) -> R<V> {
        let b = self.num(a, b)?;
        self.op(name, &[a, b])
    }
    /// Two operands, the first a number of the second one's type.
    pub fn nb(&mut self, name: &str, a: f64, b: V) -> R<V> {
        let a = self.num(b, a)?;
        self.op(name, &[a, b])
    }
    /// A constant of real elements.
    pub fn constant(&mut self, t: Tensor) -> V {
        self.graph.add_const(t)
    }
    /// A constant of any type; the elements of a complex one stay where they are.
    pub fn any_constant(&mut self, t: Tensor) -> R<V> {
        if !t.dtype().is_complex() {
            return Ok(self.constant(t));
        }
        let pairs = self.constant(stored_pairs(&t)?);
        Ok(self.mark(pairs, Parts::Joined))
    }
    /// A 1-d `i64` constant.
    pub fn int_list(&mut self, values: &[i64]) -> V {
        self.constant(Tensor::from_ints(values))
    }
    /// A 0-d constant of the element type of `like`.
    pub fn num(&mut self, like: V, value: f64) -> R<V> {
        let dtype = self.dtype(like)?;
        self.num_of(dtype, value)
    }
    /// A 0-d constant of an element type.
    pub fn num_of(&mut self, dtype: DType, value: f64) -> R<V> {
        if dtype.is_complex() {
            return self.complex_number(dtype, value, 0.0);
        }
        let t = Tensor::scalar(value).cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
        Ok(self.constant(t))
    }
    /// A 0-d integer constant of an element type, exact.
    pub fn int_of(&mut self, dtype: DType, value: i64) -> R<V> {
        if dtype.is_complex() {
            return self.complex_number(dtype, value as f64, 0.0);
        }
        let t = Tensor::scalar(value).cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
        Ok(self.constant(t))
    }

    /// Element type of `v`.
    pub fn dtype(&self, v: V) -> R<DType> {
        let ty = self.graph.ty(v).as_tensor().ok_or_else(|| malformed("a tensor is expected here"))?;
        if self.is_complex(v) { complex_type(ty.dtype) } else { Ok(ty.dtype) }
    }
    /// Dimensions of `v`.
    pub fn dims(&self, v: V) -> R<Vec<Dim>> {
        let ty = self.graph.ty(v).as_tensor().ok_or_else(|| malformed("a tensor is expected here"))?;
        let mut dims = ty.shape.clone().ok_or_else(|| unsupported("a tensor of unknown rank"))?;
        if self.is_complex(v) {
            dims.pop();
        }
        Ok(dims)
    }
    /// Rank of `v`.
    pub fn rank(&self, v: V) -> R<usize> {
        let rank = self.graph.ty(v).as_tensor().and_then(TensorType::rank);
        let rank = rank.ok_or_else(|| unsupported("a tensor of unknown rank"))?;
        Ok(rank - usize::from(self.is_complex(v)))
    }
    /// The size of an axis when fixed.
    pub fn known(&self, v: V, axis: usize) -> Option<i64> {
        if axis >= self.rank(v).ok()? {
            return None;
        }
        let dims = self.graph.ty(v).as_tensor()?.shape.as_ref()?;
        dims.get(axis)?.known().and_then(|n| i64::try_from(n).ok())
    }
    /// All sizes when fixed.
    pub fn known_sizes(&self, v: V) -> Option<Vec<i64>> {
        (0..self.rank(v).ok()?).map(|i| self.known(v, i)).collect()
    }
    /// All sizes, which must be fixed.
    pub fn fixed_sizes(&self, v: V) -> R<Vec<i64>> {
        let dynamic = || unsupported("this operator is supported for fixed sizes only");
        self.known_sizes(v).ok_or_else(dynamic)
    }
    /// Number of elements when fixed.
    pub fn known_len(&self, v: V) -> Option<i64> {
        self.known_sizes(v)?.into_iter().try_fold(1i64, i64::checked_mul)
    }
    /// The size of an axis.
    pub fn dim(&mut self, v: V, axis: usize) -> R<Size> {
        if let Some(n) = self.known(v, axis) {
            return Ok(Size::Known(n));
        }
        let at = axis as i64;
        let one = self.with("shape", &[v], &[("start", Attr::Int(at)), ("end", Attr::Int(at + 1))])?;
        Ok(Size::Value(one))
    }
    /// Sizes of all axes.
    pub fn shape_of(&mut self, v: V) -> R<Vec<Size>> {
        (0..self.rank(v)?).map(|i| self.dim(v, i)).collect()
    }
    /// An integer as an `i64` value of shape `[1]`.
    pub fn size_value(&mut self, s: &Size) -> V {
        match s {
            Size::Known(v) => self.int_list(&[*v]),
            Size::Value(v) => *v,
        }
    }
    /// An integer as a 0-d `i64` value.
    pub fn size_scalar(&mut self, s: &Size) -> R<V> {
        match s {
            Size::Known(v) => Ok(self.constant(Tensor::scalar(*v))),
            Size::Value(v) => self.squeeze(*v, &[0]),
        }
    }
    /// Integers as a 1-d `i64` value.
    pub fn shape_value(&mut self, sizes: &[Size]) -> R<V> {
        let known: Option<Vec<i64>> =
            sizes.iter().map(|s| if let Size::Known(v) = s { Some(*v) } else { None }).collect();
        if let Some(known) = known {
            return Ok(self.int_list(&known));
        }
        let parts: Vec<V> = sizes.iter().map(|s| self.size_value(s)).collect();
        self.concat(&parts, 0)
    }
    /// Arithmetic on integers: `op` is the IR operator, `f` computes it for known numbers.
    pub fn size_op(&mut self, op: &str, a: &Size, b: &Size, f: fn(i64, i64) -> Option<i64>) -> R<Size> {
        if let (Size::Known(a), Size::Known(b)) = (a, b) {
            return f(*a, *b).map(Size::Known).ok_or_else(|| malformed("integer arithmetic overflows"));
        }
        let (a, b) = (self.size_value(a), self.size_value(b));
        Ok(Size::Value(self.b(op, a, b)?))
    }
    /// `a + b`.
    pub fn size_add(&mut self, a: &Size, b: &Size) -> R<Size> {
        self.size_op("add", a, b, i64::checked_add)
    }
    /// `a * b`.
    pub fn size_mul(&mut self, a: &Size, b: &Size) -> R<Size> {
        self.size_op("mul", a, b, i64::checked_mul)
    }
    /// Product of all.
    pub fn size_product(&mut self, sizes: &[Size]) -> R<Size> {
        sizes.iter().try_fold(Size::Known(1), |a, b| self.size_mul(&a, b))
    }

    /// Converts the element type.
    pub fn cast(&mut self, v: V, to: DType) -> R<V> {
        let from = self.dtype(v)?;
        if from == to {
            return Ok(v);
        }
        if from.is_complex() || to.is_complex() {
            return self.cast_complex(v, to);
        }
        if let Some(t) = self.graph.constant(v).filter(|t| t.len() <= 1).cloned() {
            let t = t.cast(to, false).map_err(|e| malformed(e.to_string()))?;
            return Ok(self.constant(t));
        }
        self.with("cast", &[v], &[("to", Attr::DType(to))])
    }
    /// Other sizes for the same elements. At most one size may be -1.
    pub fn reshape(&mut self, v: V, sizes: &[Size]) -> R<V> {
        let same = self.known_sizes(v).is_some_and(|now| {
            now.len() == sizes.len() && now.iter().zip(sizes).all(|(a, b)| Size::Known(*a) == *b)
        });
        if same {
            return Ok(v);
        }
        let zero = sizes.iter().any(|s| *s == Size::Known(0) || matches!(s, Size::Value(_)))
            && !sizes.contains(&Size::Known(-1));
        let shape = self.shape_value(sizes)?;
        self.with("reshape", &[v, shape], &[("allowzero", Attr::Bool(zero))])
    }
    /// [`Cx::reshape`] to known sizes.
    pub fn reshape_to(&mut self, v: V, sizes: &[i64]) -> R<V> {
        let sizes: Vec<Size> = sizes.iter().map(|s| Size::Known(*s)).collect();
        self.reshape(v, &sizes)
    }
    /// Adds axes of size 1 at these positions of the result.
    pub fn unsqueeze(&mut self, v: V, axes: &[i64]) -> R<V> {
        if axes.is_empty() {
            return Ok(v);
        }
        let axes = self.int_list(axes);
        self.b("unsqueeze", v, axes)
    }
    /// Drops axes of size 1.
    pub fn squeeze(&mut self, v: V, axes: &[i64]) -> R<V> {
        if axes.is_empty() {
            return Ok(v);
        }
        let axes = self.int_list(axes);
        self.b("squeeze", v, axes)
    }
    /// Permutes axes.
    pub fn permute(&mut self, v: V, perm: &[usize]) -> R<V> {
        if perm.iter().enumerate().all(|(i, p)| i == *p) {
            return Ok(v);
        }
        if !self.is_complex(v)
            && let Some(t) = self.graph.constant(v)
            && let Ok(t) = t.permute(perm)
        {
            return Ok(self.constant(t));
        }
        self.with("transpose", &[v], &[("perm", Attr::Ints(perm.iter().map(|p| *p as i64).collect()))])
    }
    /// Exchanges two axes.
    pub fn swap(&mut self, v: V, a: usize, b: usize) -> R<V> {
        let mut perm: Vec<usize> = (0..self.rank(v)?).collect();
        if a >= perm.len() || b >= perm.len() {
            return Ok(v);
        }
        perm.swap(a, b);
        self.permute(v, &perm)
    }
    /// Positions `start..end` of an axis in steps.
    pub fn slice(&mut self, v: V, axis: usize, start: &Size, end: &Size, step: i64) -> R<V> {
        let (start, end) = (self.size_value(start), self.size_value(end));
        let (axes, steps) = (self.int_list(&[axis as i64]), self.int_list(&[step]));
        self.op("slice", &[v, start, end, axes, steps])
    }
    /// [`Cx::slice`] between known positions, step 1.
    pub fn slice_known(&mut self, v: V, axis: usize, start: i64, end: i64) -> R<V> {
        if start == 0 && self.known(v, axis) == Some(end) {
            return Ok(v);
        }
        self.slice(v, axis, &Size::Known(start), &Size::Known(end), 1)
    }
    /// Picks positions of an axis.
    pub fn gather(&mut self, v: V, indices: V, axis: usize) -> R<V> {
        self.with("gather", &[v, indices], &[("axis", Attr::Int(axis as i64))])
    }
    /// One position of an axis, which goes away.
    pub fn select(&mut self, v: V, axis: usize, index: i64) -> R<V> {
        let index = self.constant(Tensor::scalar(index));
        self.gather(v, index, axis)
    }
    /// Joins along an axis.
    pub fn concat(&mut self, xs: &[V], axis: usize) -> R<V> {
        if let [x] = xs {
            return Ok(*x);
        }
        self.with("concat", xs, &[("axis", Attr::Int(axis as i64))])
    }
    /// Repeats axes of size 1 up to these sizes.
    pub fn expand(&mut self, v: V, sizes: &[Size]) -> R<V> {
        let same = self.known_sizes(v).is_some_and(|now| {
            now.len() == sizes.len() && now.iter().zip(sizes).all(|(a, b)| Size::Known(*a) == *b)
        });
        if same {
            return Ok(v);
        }
        let shape = self.shape_value(sizes)?;
        self.b("expand", v, shape)
    }
    /// Repeats `v` to the sizes of `like`.
    pub fn expand_like(&mut self, v: V, like: V) -> R<V> {
        let sizes = self.shape_of(like)?;
        self.expand(v, &sizes)
    }
    /// `c ? a : b`.
    pub fn choose(&mut self, c: V, a: V, b: V) -> R<V> {
        self.op("where", &[c, a, b])
    }
    /// A reduction; empty `axes` mean all.
    pub fn reduce(&mut self, name: &str, v: V, axes: &[usize], keep: bool) -> R<V> {
        let axes: Vec<i64> = if axes.is_empty() {
            (0..self.rank(v)? as i64).collect()
        } else {
            axes.iter().map(|a| *a as i64).collect()
        };
        if axes.is_empty() {
            return self.reduce_scalar(name, v);
        }
        let axes = self.int_list(&axes);
        self.with(name, &[v, axes], &[("keepdims", Attr::Bool(keep))])
    }
    /// A reduction of a 0-d tensor: that of one element.
    fn reduce_scalar(&mut self, name: &str, v: V) -> R<V> {
        let line = self.reshape_to(v, &[1])?;
        let axes = self.int_list(&[0]);
        self.with(name, &[line, axes], &[("keepdims", Attr::Bool(false))])
    }
    /// A tensor of these sizes, all elements alike: a constant unless it is large, since a program may ask for any size.
    pub fn full(&mut self, sizes: &[Size], value: V) -> R<V> {
        if self.is_complex(value) {
            return self.each_part(value, &mut |cx, p| cx.full(sizes, p));
        }
        let known: Option<Vec<usize>> = sizes
            .iter()
            .map(|s| if let Size::Known(v) = s { usize::try_from(*v).ok() } else { None })
            .collect();
        let known = known.filter(|sizes| {
            sizes.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).is_some_and(|n| n <= MAX_FILLED)
        });
        if let (Some(known), Some(t)) = (known, self.graph.constant(value)) {
            let t = Tensor::splat(t, &known).map_err(|e| malformed(e.to_string()))?;
            return Ok(self.constant(t));
        }
        self.expand(value, sizes)
    }
    /// `0, 1, .. n-1` as a 1-d `i64` value.
    pub fn iota(&mut self, n: &Size) -> R<V> {
        if let Size::Known(n) = n
            && (0..=1 << 16).contains(n)
        {
            return Ok(self.int_list(&(0..*n).collect::<Vec<_>>()));
        }
        let (zero, one) = (self.constant(Tensor::scalar(0i64)), self.constant(Tensor::scalar(1i64)));
        let n = self.size_scalar(n)?;
        self.op("range", &[zero, n, one])
    }

    /// Type and rank of an operand in promotion.
    pub fn promotes(&self, o: &Operand) -> R<(hoist_ir::dtype::DType, Rank)> {
        Ok(match o {
            Operand::Tensor(v) => {
                (self.dtype(*v)?, if self.rank(*v)? == 0 { Rank::Zero } else { Rank::Dimensioned })
            }
            Operand::Scalar(s) => s.promotes(),
            // A float has the default element type, whatever it is computed in.
            Operand::Number(v) if self.dtype(*v)?.is_float() => (DType::F32, Rank::Number),
            Operand::Number(v) => (self.dtype(*v)?, Rank::Number),
        })
    }
    /// The type that operands are computed in.
    pub fn common(&self, operands: &[&Operand]) -> R<DType> {
        let all: Vec<_> = operands.iter().map(|o| self.promotes(o)).collect::<R<_>>()?;
        let text = || all.iter().map(|a| a.0.name()).collect::<Vec<_>>().join(" and ");
        result_type(&all).ok_or_else(|| unsupported(format!("{} have no common type", text())))
    }
    /// An operand as a value of an element type.
    pub fn value_of(&mut self, o: &Operand, dtype: DType) -> R<V> {
        match o {
            Operand::Tensor(v) | Operand::Number(v) => self.cast(*v, dtype),
            Operand::Scalar(Scalar::Int(Size::Value(v))) => {
                let v = self.squeeze(*v, &[0])?;
                self.cast(v, dtype)
            }
            Operand::Scalar(Scalar::Int(Size::Known(v))) => self.int_of(dtype, *v),
            Operand::Scalar(Scalar::Float(v)) => self.num_of(dtype, *v),
            Operand::Scalar(Scalar::Bool(v)) => self.int_of(dtype, i64::from(*v)),
            Operand::Scalar(Scalar::Complex(re, im)) if dtype.is_complex() => {
                self.complex_number(dtype, *re, *im)
            }
            Operand::Scalar(Scalar::Complex(..)) => Err(malformed(format!("a complex number as {dtype}"))),
        }
    }
    /// Two operands in their common type.
    pub fn pair(&mut self, a: &str, b: &str) -> R<(V, V)> {
        let (a, b) = (self.operand(a)?, self.operand(b)?);
        let dtype = self.common(&[&a, &b])?;
        Ok((self.value_of(&a, dtype)?, self.value_of(&b, dtype)?))
    }
    /// Like [`Cx::pair`], integers converted to floats.
    pub fn float_pair(&mut self, a: &str, b: &str) -> R<(V, V)> {
        let (a, b) = (self.operand(a)?, self.operand(b)?);
        let dtype = to_float(self.common(&[&a, &b])?);
        Ok((self.value_of(&a, dtype)?, self.value_of(&b, dtype)?))
    }
    /// A tensor argument as floats.
    pub fn float_t(&mut self, name: &str) -> R<V> {
        let x = self.t(name)?;
        let dtype = to_float(self.dtype(x)?);
        self.cast(x, dtype)
    }
    /// `x` in the type formulas are computed in, as PyTorch's kernels do: half-precision values widened.
    pub fn wide(&mut self, x: V) -> R<V> {
        let dtype = match self.dtype(x)? {
            DType::F16 | DType::BF16 => DType::F32,
            other => to_float(other),
        };
        self.cast(x, dtype)
    }
}
