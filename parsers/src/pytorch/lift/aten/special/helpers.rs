//! What formulas of special functions are made of.
use crate::pytorch::lift::cx::{Cx, Out, R, V, Val, malformed};
use crate::pytorch::lift::promote::to_float;
use hoist_ir::dtype::DType;
use hoist_ir::types::Type;

/// A polynomial that stands for a function on an interval, in `u = (2 x - low - high) / (high - low)`, highest power first.
pub(super) struct Fit {
    /// Beginning of the interval.
    pub low: f64,
    /// Its end.
    pub high: f64,
    /// Coefficients that suffice in single precision.
    pub single: &'static [f64],
    /// Those for double precision.
    pub double: &'static [f64],
}

impl Cx {
    /// `fit` at `x`; any number comes out outside of its interval.
    pub(super) fn fit(&mut self, x: V, fit: &Fit) -> R<V> {
        let half = (fit.high - fit.low) / 2.0;
        let u = self.bn("mul", x, 1.0 / half)?;
        let u = self.bn("sub", u, f64::midpoint(fit.low, fit.high) / half)?;
        let terms = if self.dtype(x)? == DType::F64 { fit.double } else { fit.single };
        self.horner(u, terms)
    }
    /// The polynomial with these coefficients, highest power first.
    pub(super) fn horner(&mut self, u: V, terms: &[f64]) -> R<V> {
        let mut y = self.num(u, terms.first().copied().unwrap_or(0.0))?;
        for c in terms.iter().skip(1) {
            y = self.b("mul", y, u)?;
            y = self.bn("add", y, *c)?;
        }
        Ok(y)
    }
    /// `test ? number : x`.
    pub(in super::super) fn put(&mut self, test: V, number: f64, x: V) -> R<V> {
        let number = self.num(x, number)?;
        self.choose(test, number, x)
    }
    /// `x` where `op(x, bound)` holds, else `number`: keeps formulas away from arguments they are not for.
    pub(super) fn only(&mut self, x: V, op: &str, bound: f64, number: f64) -> R<V> {
        let own = self.bn(op, x, bound)?;
        let number = self.num(x, number)?;
        self.choose(own, x, number)
    }
    /// `exp(sign x^2)`, the square split so that its rounding is not magnified.
    pub(super) fn exp_square(&mut self, x: V, sign: f64) -> R<V> {
        let high = self.bn("mul", x, 16.0)?;
        let high = self.u("floor", high)?;
        let high = self.bn("mul", high, 1.0 / 16.0)?;
        let (d, s) = (self.b("sub", x, high)?, self.b("add", x, high)?);
        let (a, b) = (self.b("mul", high, high)?, self.b("mul", d, s)?);
        let (a, b) = (self.bn("mul", a, sign)?, self.bn("mul", b, sign)?);
        let (a, b) = (self.u("exp", a)?, self.u("exp", b)?);
        let y = self.b("mul", a, b)?;
        // Infinity less itself.
        let inf = self.u("is_inf", x)?;
        self.put(inf, if sign > 0.0 { f64::INFINITY } else { 0.0 }, y)
    }
    /// The whole number next to zero.
    pub(super) fn is_whole_number(&mut self, x: V) -> R<V> {
        let down = self.u("floor", x)?;
        self.b("equal", x, down)
    }
    /// Repeats `body` while it says so, at most `trips` (0-d `i64`) times, starting from `carried`, all of one shape and type each. `body`
    /// gets the number of the round, what is carried and `seen`, and gives whether to go on (0-d; always when `None`) and what is
    /// carried next. It must use no other value.
    pub(in super::super) fn repeat(
        &mut self,
        trips: V,
        carried: &[V],
        seen: &[V],
        body: impl FnOnce(&mut Self, V, &[V], &[V]) -> R<(Option<V>, Vec<V>)>,
    ) -> R<Vec<V>> {
        let scalar = |d: DType| Type::from(hoist_ir::types::TensorType::new(d, vec![]));
        let mut own =
            vec![("round".to_owned(), scalar(DType::I64)), ("more".to_owned(), scalar(DType::Bool))];
        for (i, v) in carried.iter().enumerate() {
            own.push((format!("carried_{i}"), self.graph.ty(*v).clone()));
        }
        let vals: Vec<Val> = seen.iter().map(|v| Val::FloatValue(*v)).collect();
        let sight = self.seen(&vals);
        let (around, inputs) = self.begin_body("rounds", &own, &sight);
        let inside: Vec<Option<V>> = seen.iter().map(|v| inside_of(&around, *v)).collect();
        let result = match inside.into_iter().collect::<Option<Vec<V>>>() {
            Some(inside) => body(self, inputs[0], &inputs[2..], &inside),
            None => Err(malformed("a loop does not see its values")),
        };
        let (more, next) = match result {
            Ok((more, next)) => (more.unwrap_or(inputs[1]), next),
            Err(d) => {
                self.end_body(around, vec![]);
                return Err(d);
            }
        };
        let results: Vec<V> = std::iter::once(more).chain(next).collect();
        let body = self.end_body(around, results);
        let go = self.int_of(DType::Bool, 1)?;
        self.loop_node(Some(trips), Some(go), carried, body)
    }
    /// Both operands in the sizes they broadcast to.
    pub(super) fn broadcast(&mut self, a: V, b: V) -> R<(V, V)> {
        if self.dims(a)? == self.dims(b)? {
            return Ok((a, b));
        }
        let none_a = self.bn("mul", a, 0.0)?;
        let none_b = self.bn("mul", b, 0.0)?;
        let both = self.b("add", none_a, none_b)?;
        Ok((self.expand_like(a, both)?, self.expand_like(b, both)?))
    }
}

fn inside_of(around: &crate::pytorch::lift::body::Around, v: V) -> Option<V> {
    match around.inside(&Val::FloatValue(v)) {
        Val::FloatValue(v) => Some(v),
        _ => None,
    }
}
/// A formula over two operands in their common float type, half precision computed wide, or all in double precision.
pub(super) fn formula2(
    cx: &mut Cx,
    names: [&str; 2],
    double: bool,
    f: impl FnOnce(&mut Cx, V, V) -> R<V>,
) -> R<Out> {
    let (a, b) = (cx.operand(names[0])?, cx.operand(names[1])?);
    let dtype = to_float(cx.common(&[&a, &b])?);
    let wide = if double { DType::F64 } else { dtype };
    let (a, b) = (cx.value_of(&a, dtype)?, cx.value_of(&b, dtype)?);
    let (a, b) = (cx.cast(a, wide)?, cx.cast(b, wide)?);
    let (a, b) = (cx.wide(a)?, cx.wide(b)?);
    let y = f(cx, a, b)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
/// A formula of one operand computed in double precision.
pub(super) fn in_double(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    let x = cx.float_t("self")?;
    let dtype = cx.dtype(x)?;
    let x = cx.cast(x, DType::F64)?;
    let y = f(cx, x)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
