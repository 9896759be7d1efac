//! `reshape`
use super::lists::{SymList, dims, elements, list_len, product, sizes, sym_list, syms, tensor_list};
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// The elements of `data` under the sizes `shape`. One size may be -1: it follows from the others. A size of 0 copies that of
    /// `data` at the same position, unless `allowzero`.
    reshape Reshape(data: One<T>, shape: One<S>) -> (reshaped: One<T>) {
        /// Whether 0 means an empty axis.
        allowzero: bool = false,
    } where T: ANY, S: I64_ONLY;
}

/// Entry of the shape operand.
#[derive(Clone, PartialEq)]
enum Want {
    Size(Dim),
    /// -1.
    Rest,
    Open,
}

fn want(i: usize, v: Option<&SymInt>, data: Option<&[Dim]>, allowzero: bool) -> Result<Want, OpError> {
    let Some(v) = v else { return Ok(Want::Open) };
    Ok(match v.as_const() {
        Some(-1) => Want::Rest,
        Some(0) if !allowzero => Want::Size(match data {
            None => Dim::Unknown,
            Some(d) => d.get(i).cloned().ok_or_else(|| {
                OpError::shape(format!("size 0 at position {i} copies an axis that the data does not have"))
            })?,
        }),
        Some(c) if c < 0 => return Err(OpError::shape(format!("{c} is no size to reshape to"))),
        _ => Want::Size(Dim::from_sym(Some(v.clone()))),
    })
}

/// Shape of the result for that list; `data` is `None` when its rank is unknown.
fn resolve(list: &SymList, data: Option<&[Dim]>, allowzero: bool) -> Result<Shape, OpError> {
    let wants: Vec<Want> = list
        .iter()
        .enumerate()
        .map(|(i, v)| want(i, v.as_ref(), data, allowzero))
        .collect::<Result<_, _>>()?;
    let rest = wants.iter().filter(|w| **w == Want::Rest).count();
    if rest > 1 {
        return Err(OpError::shape("only one size can be -1"));
    }
    if rest == 1 && allowzero && wants.contains(&Want::Size(Dim::Known(0))) {
        return Err(OpError::shape("-1 beside an empty axis could be any size"));
    }
    let size = |w: &Want| if let Want::Size(d) = w { d.clone() } else { Dim::Unknown };
    let mut out: Shape = wants.iter().map(size).collect();
    let Some(data) = data else { return Ok(out) };
    let open: Vec<usize> = (0..wants.len()).filter(|i| !matches!(wants[*i], Want::Size(_))).collect();
    match open.as_slice() {
        [] => check_count(data, &out)?,
        // A single size that is not known must be what the others leave, whether it is written as -1 or not.
        [at] => {
            let others: Vec<Dim> =
                wants.iter().enumerate().filter(|(i, _)| i != at).map(|(_, w)| size(w)).collect();
            out[*at] = quotient(data, &others, rest == 1)?;
        }
        _ => {}
    }
    Ok(out)
}

fn mismatch(data: &[Dim], to: &[Dim]) -> OpError {
    let text = |s: &[Dim]| s.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    OpError::shape(format!("[{}] cannot be reshaped to [{}]", text(data), text(to)))
}

fn check_count(data: &[Dim], to: &[Dim]) -> Result<(), OpError> {
    let (a, b) = cancel(data, to);
    if product(&a).surely_differs(&product(&b)) { Err(mismatch(data, to)) } else { Ok(()) }
}

/// Both lists without the sizes they share, for exact quotients of symbolic sizes.
fn cancel(data: &[Dim], others: &[Dim]) -> (Vec<Dim>, Vec<Dim>) {
    let mut left = data.to_vec();
    let mut right = vec![];
    for d in others {
        let shared = left.iter().position(|x| x.surely_equals(d)).filter(|_| *d != Dim::Known(0));
        match shared {
            Some(at) => drop(left.swap_remove(at)),
            None => right.push(d.clone()),
        }
    }
    (left, right)
}

/// The size that makes `others` and it hold as many elements as `data`.
fn quotient(data: &[Dim], others: &[Dim], written: bool) -> Result<Dim, OpError> {
    let (left, right) = cancel(data, others);
    let (total, by) = (product(&left), product(&right));
    match (total.known(), by.known()) {
        (_, Some(0)) if written => {
            Err(mismatch(data, others).hint("-1 beside an empty axis could be any size"))
        }
        (_, Some(0)) => Ok(Dim::Unknown),
        (Some(a), Some(b)) if a % b == 0 => Ok(Dim::Known(a / b)),
        (Some(_), Some(_)) => Err(mismatch(data, others)),
        _ => Ok(total.combine(&by, SymInt::exact_div)),
    }
}

impl Reshape {
    fn target(&self, data: &Tensor, shape: &Tensor) -> Result<Vec<usize>, OpError> {
        sizes(&resolve(&syms(&tensor_list(shape)?), Some(&dims(data.shape())), self.allowzero)?)
    }
}

impl Semantics for Reshape {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let shape = match sym_list(cx, 1)? {
            Some(list) => Some(resolve(&list, x.shape.as_deref(), self.allowzero)?),
            None => None,
        };
        Ok(vec![TensorType::new(x.dtype, shape).into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.take(0)?;
        let target = self.target(&x, cx.tensor(1)?)?;
        one(x.reshape(&target)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let flat = matches!(list_len(cx, 1), Ok(Some(0 | 1)));
        vec![elements(cx, 0).filter(|_| flat).map(Into::into)]
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let [Some(x), Some(shape)] = inputs else { return None };
        x.reshape(&self.target(x, shape).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Dim {
        Dim::symbol("N")
    }
    fn k(v: u64) -> Dim {
        Dim::Known(v)
    }
    fn text(list: &[i64], data: &[Dim]) -> String {
        let shape = resolve(&syms(list), Some(data), false);
        shape.map_or_else(|e| e.message, |s| TensorType::new(crate::dtype::DType::F32, s).to_string())
    }

    #[test]
    fn sizes_follow_from_the_others() {
        assert_eq!(text(&[-1], &[n(), k(3), k(4)]), "f32[12*N]");
        assert_eq!(text(&[0, -1], &[n(), k(3), k(4)]), "f32[N, 12]");
        assert_eq!(text(&[-1, 4], &[n(), k(3), k(4)]), "f32[3*N, 4]");
        assert_eq!(text(&[-1, 8], &[n(), k(3), k(4)]), "f32[?, 8]");
        assert_eq!(text(&[2, -1], &[k(3), k(4)]), "f32[2, 6]");
        assert_eq!(text(&[0, 0, -1], &[Dim::Unknown, n(), k(4)]), "f32[?, N, ?]");
        assert_eq!(text(&[], &[k(1)]), "f32[]");
        assert_eq!(text(&[0, 3], &[k(0), k(3)]), "f32[0, 3]");
    }

    #[test]
    fn symbols_in_the_list_cancel() {
        let np1 = SymInt::symbol("N").add(&1.into());
        let list = vec![np1.clone(), Some(SymInt::from(-1))];
        let data = [k(2), Dim::from_sym(np1.clone()), k(4)];
        assert_eq!(resolve(&list, Some(&data), false).expect("fits"), [Dim::from_sym(np1.clone()), k(8)]);
        // One size that is not known is the quotient too.
        let list = vec![np1, None];
        assert_eq!(resolve(&list, Some(&data), false).expect("fits")[1], k(8));
        let open = resolve(&vec![None, None], Some(&data), false).expect("fits");
        assert_eq!(open, [Dim::Unknown, Dim::Unknown]);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for (list, data) in [
            (vec![-1, -1], vec![k(4)]),
            (vec![5], vec![k(4)]),
            (vec![3, -1], vec![k(4)]),
            (vec![-2], vec![k(4)]),
            (vec![4, 0], vec![k(4)]),
            (vec![0, -1], vec![k(0), k(4)]),
            (vec![i64::MIN], vec![k(4)]),
            (vec![i64::MAX, i64::MAX], vec![k(1)]),
            (vec![2, 3], vec![n(), k(0)]),
        ] {
            let r = resolve(&syms(&list), Some(&data), false);
            // A product beyond 64 bits cannot be compared and shows when the sizes are used.
            assert!(r.is_err() || list == [i64::MAX, i64::MAX], "{list:?}");
        }
        assert!(resolve(&syms(&[0, -1]), Some(&[k(0), k(4)]), true).is_err());
        assert_eq!(resolve(&syms(&[0, 7]), Some(&[k(4), k(0)]), true).expect("empty"), [k(0), k(7)]);
    }
}
