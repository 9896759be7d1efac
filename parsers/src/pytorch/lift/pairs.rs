//! Complex tensors as pairs of real ones.
//!
//! A complex tensor of shape `S` is a real value of shape `S + [2]`, real and imaginary parts side by side as PyTorch stores them,
//! that [`Cx::pairs`] lists. Lifting functions see its logical shape and a complex element type. Where both parts were computed
//! apart, they are kept beside the joined value, so that chains of arithmetic take nothing apart again.
use super::cx::{Cx, R, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// What is known of a complex value beside the joined pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parts {
    /// Nothing.
    Joined,
    /// Real and imaginary part.
    Apart(V, V),
    /// The real part; the imaginary one is zero.
    Real(V),
}

/// Element type of the parts of a complex type; other types are their own.
pub fn part_type(dtype: DType) -> DType {
    match dtype {
        DType::C64 => DType::F32,
        DType::C128 => DType::F64,
        other => other,
    }
}
/// The complex type with parts of this type.
pub fn complex_type(part: DType) -> R<DType> {
    match part {
        DType::F32 => Ok(DType::C64),
        DType::F64 => Ok(DType::C128),
        other => Err(unsupported(format!("complex numbers with parts of {other}"))
            .hint("complex64 and complex128 are supported")),
    }
}
/// Inputs and outputs of a model are real: the formats written have no operators on complex numbers.
pub fn complex_interface(what: &str, name: &str) -> Diag {
    let hint = if what == "input" {
        "take pairs of real numbers and begin with torch.view_as_complex(x)"
    } else {
        "end the model with torch.view_as_real(y), or `.real`, `.imag`, `.abs()`"
    };
    unsupported(format!("{what} `{name}` is complex; models have real inputs and outputs")).hint(hint)
}
/// The type of the stored pairs of a complex type.
pub fn stored_type(ty: TensorType) -> TensorType {
    let mut shape = ty.shape;
    if let Some(dims) = &mut shape {
        dims.push(Dim::Known(2));
    }
    TensorType { dtype: part_type(ty.dtype), shape }
}
/// The stored pairs of a complex tensor, as a real tensor with a last axis of 2; the bytes stay where they are.
pub fn stored_pairs(t: &Tensor) -> R<Tensor> {
    let bad = |e: hoist_ir::tensor::TensorError| malformed(e.to_string());
    let mut sizes = t.shape().to_vec();
    sizes.push(2);
    let bytes = t.to_shared_bytes().map_err(bad)?;
    let span = match t.storage() {
        hoist_ir::tensor::Storage::Bytes(_, span) => span.clone(),
        _ => None,
    };
    Tensor::from_bytes(part_type(t.dtype()), &sizes, bytes, span).map_err(bad)
}

impl Cx {
    /// Whether `v` is a complex tensor.
    pub fn is_complex(&self, v: V) -> bool {
        self.pairs.contains_key(&v)
    }
    fn parts(&self, v: V) -> Parts {
        self.pairs.get(&v).copied().unwrap_or(Parts::Joined)
    }
    /// Notes that the real value `v`, whose last axis has size 2, is a complex tensor.
    pub fn mark(&mut self, v: V, parts: Parts) -> V {
        self.pairs.insert(v, parts);
        v
    }
    /// The complex tensor whose stored pairs are `pairs`, under a name of its own.
    pub fn as_complex(&mut self, pairs: V) -> R<V> {
        if self.is_complex(pairs) {
            return Err(malformed("a real tensor is expected"));
        }
        complex_type(self.dtype(pairs)?)?;
        let last = self.dims(pairs)?.last().cloned();
        if last != Some(Dim::Known(2)) {
            return Err(malformed("pairs of real numbers need a last axis of size 2"));
        }
        let v = self.raw("identity", &[pairs], &[])?;
        Ok(self.mark(v, Parts::Joined))
    }
    /// The stored pairs of a complex tensor, as a real tensor.
    pub fn as_pairs(&mut self, v: V) -> R<V> {
        self.raw("identity", &[v], &[])
    }
    /// The complex tensor of these parts, which have the same shape.
    pub fn complex(&mut self, re: V, im: V) -> R<V> {
        complex_type(self.dtype(re)?)?;
        let joined = self.join(re, im)?;
        Ok(self.mark(joined, Parts::Apart(re, im)))
    }
    fn join(&mut self, re: V, im: V) -> R<V> {
        let at = self.rank(re)?;
        let axis = [at as i64];
        let (re, im) = (self.unsqueeze(re, &axis)?, self.unsqueeze(im, &axis)?);
        self.concat(&[re, im], at)
    }
    /// A real tensor as a complex one.
    pub fn complex_of_real(&mut self, re: V) -> R<V> {
        let dtype = self.dtype(re)?;
        complex_type(dtype)?;
        let zero = self.num_of(dtype, 0.0)?;
        let zeros = if self.rank(re)? == 0 {
            zero
        } else {
            let sizes = self.shape_of(re)?;
            self.full(&sizes, zero)?
        };
        let joined = self.join(re, zeros)?;
        Ok(self.mark(joined, Parts::Real(re)))
    }
    /// A 0-d complex constant.
    pub fn complex_number(&mut self, dtype: DType, re: f64, im: f64) -> R<V> {
        let part = part_type(dtype);
        let t = Tensor::from_vec(&[2], vec![re, im]);
        let v = self.constant(t.cast(part, false).map_err(|e| malformed(e.to_string()))?);
        let re = self.num_of(part, re)?;
        let parts = if im == 0.0 { Parts::Real(re) } else { Parts::Apart(re, self.num_of(part, im)?) };
        Ok(self.mark(v, parts))
    }
    /// The real part; a real tensor is its own.
    pub fn re(&mut self, v: V) -> R<V> {
        if !self.is_complex(v) {
            return Ok(v);
        }
        match self.parts(v) {
            Parts::Apart(re, _) | Parts::Real(re) => Ok(re),
            Parts::Joined => Ok(self.split(v)?.0),
        }
    }
    /// The imaginary part, unless it is known to be zero.
    pub fn some_im(&mut self, v: V) -> R<Option<V>> {
        if !self.is_complex(v) {
            return Ok(None);
        }
        match self.parts(v) {
            Parts::Apart(_, im) => Ok(Some(im)),
            Parts::Real(_) => Ok(None),
            Parts::Joined => Ok(Some(self.split(v)?.1)),
        }
    }
    /// The imaginary part.
    pub fn im(&mut self, v: V) -> R<V> {
        if let Some(im) = self.some_im(v)? {
            return Ok(im);
        }
        let re = self.re(v)?;
        self.zeros_like(re)
    }
    /// Zeros of the type and sizes of `x`.
    pub fn zeros_like(&mut self, x: V) -> R<V> {
        let zero = self.num(x, 0.0)?;
        let sizes = self.shape_of(x)?;
        self.full(&sizes, zero)
    }
    fn split(&mut self, v: V) -> R<(V, V)> {
        let axis = [("axis", Attr::Int(self.rank(v)? as i64))];
        let (zero, one) = (self.constant(Tensor::scalar(0i64)), self.constant(Tensor::scalar(1i64)));
        let (re, im) = (self.raw("gather", &[v, zero], &axis)?, self.raw("gather", &[v, one], &axis)?);
        self.mark(v, Parts::Apart(re, im));
        Ok((re, im))
    }
    /// Adds a node that takes complex values for what they are stored as.
    pub(super) fn raw(&mut self, name: &str, inputs: &[V], attrs: &[(&str, Attr)]) -> R<V> {
        let inputs: Vec<Option<V>> = inputs.iter().map(|v| Some(*v)).collect();
        let out = self.add_node(name, &inputs, attrs, 1)?;
        out.first().copied().ok_or_else(|| malformed(format!("`{name}` has no result")))
    }
    /// Applies `f` to the stored parts of a complex tensor, or to a real one as it is. `f` keeps zero zero.
    pub fn each_part(&mut self, v: V, f: &mut dyn FnMut(&mut Self, V) -> R<V>) -> R<V> {
        if !self.is_complex(v) {
            return f(self, v);
        }
        let re = self.re(v)?;
        let re = f(self, re)?;
        match self.some_im(v)? {
            None => self.complex_of_real(re),
            Some(im) => {
                let im = f(self, im)?;
                self.complex(re, im)
            }
        }
    }
    /// The complex conjugate; a real tensor is its own.
    pub fn conjugate(&mut self, v: V) -> R<V> {
        match (self.is_complex(v), self.parts(v)) {
            (false, _) | (_, Parts::Real(_)) => Ok(v),
            (_, Parts::Apart(re, im)) => {
                let im = self.u("neg", im)?;
                self.complex(re, im)
            }
            (_, Parts::Joined) => {
                let part = part_type(self.dtype(v)?);
                let signs = Tensor::from_vec(&[2], vec![1.0f64, -1.0]).cast(part, false);
                let signs = self.constant(signs.map_err(|e| malformed(e.to_string()))?);
                let y = self.raw("mul", &[v, signs], &[])?;
                Ok(self.mark(y, Parts::Joined))
            }
        }
    }
    /// [`Cx::cast`] from or to a complex type. A complex number is no real one: taking its real part is up to the caller.
    pub(super) fn cast_complex(&mut self, v: V, to: DType) -> R<V> {
        match (self.is_complex(v), to.is_complex()) {
            (true, true) => {
                let part = part_type(to);
                if self.parts(v) != Parts::Joined {
                    return self.each_part(v, &mut |cx, p| cx.cast(p, part));
                }
                let v = self.raw("cast", &[v], &[("to", Attr::DType(part))])?;
                Ok(self.mark(v, Parts::Joined))
            }
            (false, _) => {
                let re = self.cast(v, part_type(to))?;
                self.complex_of_real(re)
            }
            (true, false) if to == DType::Bool => {
                let (re, im) = (self.re(v)?, self.some_im(v)?);
                let re = self.cast(re, DType::Bool)?;
                match im {
                    None => Ok(re),
                    Some(im) => {
                        let im = self.cast(im, DType::Bool)?;
                        self.b("or", re, im)
                    }
                }
            }
            (true, false) => Err(unsupported(format!("complex numbers as {to}"))
                .hint("take `.real`, `.imag`, `.abs()` or torch.view_as_real(x)")),
        }
    }
    /// The constant that `key` names, made at its first use.
    pub fn shared(&mut self, key: String, make: impl FnOnce(&Self) -> R<Tensor>) -> R<V> {
        if let Some(v) = self.tables.get(&key) {
            return Ok(*v);
        }
        let t = make(self)?;
        let v = self.constant(t);
        self.tables.insert(key, v);
        Ok(v)
    }
    /// Type of `v` as the program sees it.
    pub fn logical_type(&self, v: V) -> R<TensorType> {
        Ok(TensorType::new(self.dtype(v)?, self.dims(v)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complex_input(cx: &mut Cx) -> V {
        let x = cx.graph.add_input("x", TensorType::fixed(DType::F32, &[3, 4, 2]).into());
        cx.as_complex(x).expect("pairs")
    }

    #[test]
    fn programs_see_complex_types_and_no_pairs() {
        let mut cx = Cx::new("t");
        let z = complex_input(&mut cx);
        assert_eq!((cx.dtype(z).unwrap(), cx.rank(z).unwrap()), (DType::C64, 2));
        assert_eq!((cx.known_sizes(z), cx.known(z, 2)), (Some(vec![3, 4]), None));
        let sum = cx.reduce("reduce_sum", z, &[], false).unwrap();
        assert_eq!((cx.dtype(sum).unwrap(), cx.known_sizes(sum)), (DType::C64, Some(vec![])));
        let pairs = cx.as_pairs(z).unwrap();
        assert_eq!((cx.dtype(pairs).unwrap(), cx.known_sizes(pairs)), (DType::F32, Some(vec![3, 4, 2])));
        assert!(cx.as_complex(z).is_err(), "complex already");
    }

    #[test]
    fn operators_of_real_numbers_are_refused() {
        let mut cx = Cx::new("t");
        let z = complex_input(&mut cx);
        for name in ["relu", "exp", "abs", "sqrt", "sign", "floor", "not"] {
            let d = cx.u(name, z).expect_err(name);
            assert!(d.message.contains("of complex numbers is not supported"), "{}", d.message);
        }
        assert!(cx.b("less", z, z).is_err() && cx.b("max", z, z).is_err());
        assert!(cx.reduce("reduce_max", z, &[0], false).is_err());
        let real = cx.as_pairs(z).unwrap();
        let c = cx.u("is_nan", z).unwrap();
        assert!(cx.choose(c, z, real).is_err() && cx.concat(&[z, real], 0).is_err(), "mixed");
        assert!(cx.cast(z, DType::F32).is_err(), "the imaginary part would be lost");
        assert_eq!(cx.dtype(c).unwrap(), DType::Bool);
    }

    #[test]
    fn constants_stay_where_they_are() {
        let t = Tensor::from_vec(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]);
        let t = Tensor::from_bytes(DType::C64, &[2], t.to_shared_bytes().unwrap(), None).unwrap();
        let mut cx = Cx::new("t");
        let z = cx.any_constant(t).unwrap();
        assert_eq!((cx.dtype(z).unwrap(), cx.known_sizes(z)), (DType::C64, Some(vec![2])));
        assert_eq!(cx.graph.constant(z).unwrap().to_f64s().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}
