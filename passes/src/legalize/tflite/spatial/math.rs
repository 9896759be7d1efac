//! Formulas as nodes: arithmetic in `f32`, shapes in `i64`, elements picked from data by their place.
use super::nodes::{call, cast, concat, named, shape};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::tensor::Tensor;

/// A result, or why there is none.
pub(super) type V = Result<ValueId, Diag>;

/// Adds the nodes of a formula.
pub(super) struct Math<'a, 'g> {
    /// Where to.
    pub b: &'a mut Builder<'g>,
}

impl Math<'_, '_> {
    /// The operator `name` with default attributes.
    pub fn op(&mut self, name: &str, inputs: &[ValueId]) -> V {
        named(self.b, name, inputs)
    }
    /// A number.
    pub fn k(&mut self, v: f64) -> ValueId {
        self.b.constant(Tensor::scalar(v as f32))
    }
    /// `a + c`.
    pub fn add(&mut self, a: ValueId, c: ValueId) -> V {
        self.op("add", &[a, c])
    }
    /// `a - c`.
    pub fn sub(&mut self, a: ValueId, c: ValueId) -> V {
        self.op("sub", &[a, c])
    }
    /// `a * c`.
    pub fn mul(&mut self, a: ValueId, c: ValueId) -> V {
        self.op("mul", &[a, c])
    }
    /// `a / c`.
    pub fn div(&mut self, a: ValueId, c: ValueId) -> V {
        self.op("div", &[a, c])
    }
    /// `a + v`.
    pub fn plus(&mut self, a: ValueId, v: f64) -> V {
        let k = self.k(v);
        self.add(a, k)
    }
    /// `a * v`.
    pub fn times(&mut self, a: ValueId, v: f64) -> V {
        let k = self.k(v);
        self.mul(a, k)
    }
    /// `v - a`.
    pub fn from(&mut self, v: f64, a: ValueId) -> V {
        let k = self.k(v);
        self.sub(k, a)
    }
    /// `min(max(a, low), high)`.
    pub fn clamp(&mut self, a: ValueId, low: f64, high: ValueId) -> V {
        let low = self.k(low);
        let a = self.op("max", &[a, low])?;
        self.op("min", &[a, high])
    }
    /// `a` as 32-bit floats.
    pub fn float(&mut self, a: ValueId) -> V {
        cast(self.b, a, DType::F32)
    }
    /// `a` as 64-bit integers.
    pub fn int(&mut self, a: ValueId) -> V {
        cast(self.b, a, DType::I64)
    }
    /// Entry `i` of a list, as a list of one.
    pub fn entry(&mut self, list: ValueId, i: usize) -> V {
        let at = self.b.ints(&[i as i64]);
        self.op("gather", &[list, at])
    }
    /// Size of `axis` of `x` as a list of one.
    pub fn size(&mut self, x: ValueId, axis: usize) -> V {
        let known = super::nodes::size(self.b.graph(), x, axis);
        if let Some(n) = known {
            return Ok(self.b.ints(&[n]));
        }
        let own = shape(self.b, x)?;
        self.entry(own, axis)
    }
    /// `0, 1, ..., n - 1` as `f32`; `n` is a list of one integer.
    pub fn count(&mut self, n: ValueId) -> V {
        let places = self.places(n)?;
        self.float(places)
    }
    /// `0, 1, ..., n - 1`; `n` is a list of one integer.
    pub fn places(&mut self, n: ValueId) -> V {
        let none = self.b.ints(&[]);
        let n = self.op("reshape", &[n, none])?;
        let (zero, one) = (self.b.scalar(0i64), self.b.scalar(1i64));
        self.op("range", &[zero, n, one])
    }
    /// Lists one behind the other.
    pub fn list(&mut self, parts: &[ValueId]) -> V {
        concat(self.b, 0, parts)
    }
    /// `a` where `c` holds, else `d`.
    pub fn select(&mut self, c: ValueId, a: ValueId, d: ValueId) -> V {
        self.op("where", &[c, a, d])
    }
    /// 1 where `low <= a <= high`, else 0.
    pub fn inside(&mut self, a: ValueId, low: f64, high: ValueId) -> V {
        let low = self.k(low);
        let (above, below) = (self.op("greater_or_equal", &[a, low])?, self.op("less_or_equal", &[a, high])?);
        let both = self.op("and", &[above, below])?;
        self.float(both)
    }
    /// Sum over `axis`, which goes.
    pub fn sum(&mut self, a: ValueId, axis: i64) -> V {
        let axes = self.b.ints(&[axis]);
        call(self.b, ReduceSum { keepdims: false, ..Default::default() }, &[a, axes])
    }
    /// Quotient of sizes and a positive number, rounded down; LiteRT divides 32-bit integers.
    pub fn quotient(&mut self, a: ValueId, by: i64) -> V {
        let a = cast(self.b, a, DType::I32)?;
        let by = self.b.constant(Tensor::scalar(i32::try_from(by).unwrap_or(i32::MAX)));
        let q = self.div(a, by)?;
        self.int(q)
    }
    /// Rows of `table` (first axis) at `at`.
    pub fn rows(&mut self, table: ValueId, at: ValueId) -> V {
        call(self.b, Gather { axis: 0 }, &[table, at])
    }
    /// `v` under sizes given as numbers.
    pub fn reshape(&mut self, v: ValueId, sizes: &[i64]) -> V {
        super::nodes::reshape(self.b, v, sizes)
    }
    /// `v` with axes of size 1 added.
    pub fn unsqueeze(&mut self, v: ValueId, axes: &[i64]) -> V {
        let axes = self.b.ints(axes);
        self.op("unsqueeze", &[v, axes])
    }
    /// The cubic convolution kernel (R. Keys, 1981, equation 4) at distances `d` of at least 0, with parameter `a`.
    pub fn cubic(&mut self, d: ValueId, a: f64) -> V {
        // Up to 1: ((a + 2) d - (a + 3)) d d + 1; up to 2: ((a d - 5 a) d + 8 a) d - 4 a; 0 beyond.
        let near = self.times(d, a + 2.0)?;
        let near = self.plus(near, -(a + 3.0))?;
        let near = self.mul(near, d)?;
        let near = self.mul(near, d)?;
        let near = self.plus(near, 1.0)?;
        let far = self.times(d, a)?;
        let far = self.plus(far, -5.0 * a)?;
        let far = self.mul(far, d)?;
        let far = self.plus(far, 8.0 * a)?;
        let far = self.mul(far, d)?;
        let far = self.plus(far, -4.0 * a)?;
        let (one, two, zero) = (self.k(1.0), self.k(2.0), self.k(0.0));
        let beyond = self.op("less", &[d, two])?;
        let far = self.select(beyond, far, zero)?;
        let within = self.op("less_or_equal", &[d, one])?;
        self.select(within, near, far)
    }
    /// `max(1 - d, 0)`.
    pub fn hat(&mut self, d: ValueId) -> V {
        let w = self.from(1.0, d)?;
        let zero = self.k(0.0);
        self.op("max", &[w, zero])
    }
}
