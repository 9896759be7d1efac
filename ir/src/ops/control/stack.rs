//! Values of all iterations, stacked along a new axis.
use crate::dim::Dim;
use crate::eval::{Limits, TENSOR_OVERHEAD, Value, too_many_bytes};
use crate::graph::Graph;
use crate::infer::resolve_axis;
use crate::op::OpError;
use crate::ops::movement::{lists::sizes, mover, pick};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Type of `trips` values of type `ty` stacked along `axis` of the result.
///
/// # Errors
/// When it is no tensor type, or has no such axis.
pub fn stacked(ty: &Type, trips: &Dim, axis: i64) -> Result<Type, OpError> {
    match ty {
        Type::Unknown => Ok(Type::Unknown),
        Type::Tensor(TensorType { dtype, shape }) => {
            let mut shape = shape.clone();
            if let Some(s) = &mut shape {
                s.insert(resolve_axis(axis, s.len() + 1)?, trips.clone());
            }
            Ok(Type::Tensor(TensorType { dtype: *dtype, shape }))
        }
        _ => Err(OpError::operand(format!("a scan value must be a tensor, is {ty}"))),
    }
}

/// One stacked result.
struct Column<'g> {
    ty: &'g Type,
    axis: i64,
    /// Whether later values come first.
    prepended: bool,
    pieces: Vec<Tensor>,
}

/// Values of the last outputs of a body, iteration by iteration.
pub struct Stack<'g> {
    columns: Vec<Column<'g>>,
    bytes: usize,
}

impl<'g> Stack<'g> {
    /// Nothing yet of the outputs of `body` behind the first `skipped`. `how` gives the axis of each result, and whether later values
    /// come first.
    pub fn new(body: &'g Graph, skipped: usize, how: impl Fn(usize) -> (i64, bool)) -> Self {
        let column = |(k, ty)| {
            let (axis, prepended) = how(k);
            Column { ty, axis, prepended, pieces: vec![] }
        };
        let types = body.outputs().iter().skip(skipped).map(|o| body.ty(o.value));
        Self { columns: types.enumerate().map(column).collect(), bytes: 0 }
    }
    /// Adds the values of one iteration.
    ///
    /// # Errors
    /// When one is no tensor, or all take too much memory.
    pub fn push(&mut self, values: impl Iterator<Item = Value>) -> Result<(), OpError> {
        for (column, v) in self.columns.iter_mut().zip(values) {
            let t = v.into_tensor()?;
            self.bytes = self.bytes.saturating_add(t.byte_len()).saturating_add(TENSOR_OVERHEAD);
            let limit = Limits::default().result_bytes;
            if self.bytes > limit {
                return Err(too_many_bytes("the scan values of a loop", limit));
            }
            column.pieces.push(t);
        }
        Ok(())
    }
    /// The stacked results.
    ///
    /// # Errors
    /// When values of different iterations do not stack.
    pub fn results(self) -> Result<Vec<Value>, OpError> {
        self.columns.into_iter().map(|c| Ok(c.result()?.into())).collect()
    }
}

impl Column<'_> {
    fn result(mut self) -> Result<Tensor, OpError> {
        let Some(first) = self.pieces.first() else { return none(self.ty, self.axis) };
        let mut shape = first.shape().to_vec();
        if self.pieces.iter().any(|p| p.shape() != shape) {
            return Err(OpError::shape("the scan values of a loop differ in shape, so they do not stack"));
        }
        let axis = resolve_axis(self.axis, shape.len() + 1)?;
        shape.insert(axis, 1);
        if self.prepended {
            self.pieces.reverse();
        }
        let pieces = self.pieces.iter().map(|p| p.reshape(&shape)).collect::<Result<Vec<_>, _>>()?;
        pick::join(&pieces.iter().collect::<Vec<_>>(), axis)
    }
}

/// A stack of no values: sizes that are not known are 0, as nothing says otherwise.
fn none(ty: &Type, axis: i64) -> Result<Tensor, OpError> {
    let Type::Tensor(TensorType { dtype, shape }) = ty else {
        return Err(OpError::eval("the type of a scan value without iterations is not known"));
    };
    let fixed = |d: &Dim| d.known().map_or(Dim::Known(0), Dim::Known);
    let mut all: Vec<Dim> = shape.iter().flatten().map(fixed).collect();
    let axis = if shape.is_some() { resolve_axis(axis, all.len() + 1)? } else { 0 };
    all.insert(axis, Dim::Known(0));
    mover::empty(*dtype, &sizes(&all)?)
}
