//! `legalize-tflite-functions`
//!
//! ```text
//! %y = tan(%x)   ->   %s = sin(%x)
//!                     %c = cos(%x)
//!                     %y = div(%s, %c)
//! ```
//! - `tan`, hyperbolic functions and their inverses, `erf`, of `f32`. Powers of `f32` with whole exponents.
//!
//! The formulas keep their relative precision near zero and hold at infinities: `elu` stands for `e^x - 1`.
use super::formula::{Formula, V, dtype, settle};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};

/// The pass.
pub struct LegalizeTfliteFunctions;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-functions",
    doc: "Composes elementary functions that LiteRT lacks of those that it has.",
};

/// A formula.
type Rule = fn(&mut Formula<'_, '_>, ValueId) -> V;

const RULES: &[(&str, Rule)] = &[
    ("acosh", acosh),
    ("asinh", asinh),
    ("atanh", atanh),
    ("cosh", cosh),
    ("erf", erf),
    ("sinh", sinh),
    ("tan", |f, x| {
        let (s, c) = (f.op("sin", &[x])?, f.op("cos", &[x])?);
        f.op("div", &[s, c])
    }),
];

impl Pass for LegalizeTfliteFunctions {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let names: Vec<&str> = RULES.iter().map(|r| r.0).chain(["pow"]).collect();
        Ok(settle(g, cx, &names, compose))
    }
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let name = g.node(n).op().name();
    if name == "pow" {
        return whole_power(g, n);
    }
    let Some(rule) = RULES.iter().find(|r| r.0 == name) else { return Outcome::Skip };
    let Some(x) = g.node(n).input(0) else { return Outcome::Skip };
    if dtype(g, x) != Some(DType::F32) {
        return Outcome::miss("the elements are not of type f32");
    }
    Outcome::of(g.rewrite(n, &[], |b| Ok(vec![rule.1(&mut Formula::new(b, DType::F32), x)?])))
}

/// A power with a whole exponent: as a product of two powers, of the exponent rounded to `f32` and of what that lost.
fn whole_power(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(y)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let whole = dtype(g, y).is_some_and(|d| d.is_int() && d != DType::U64);
    if dtype(g, x) != Some(DType::F32) || !whole {
        return Outcome::miss("it is no power of type f32 with a whole exponent");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let f = &mut Formula::new(b, DType::F32);
        let high = f.cast(y, DType::F32)?;
        let large = f.op("pow", &[x, high])?;
        if planted("legalize-tflite-functions") || dtype(f.b.graph(), y).is_some_and(|d| d.bits() <= 16) {
            return Ok(vec![large]);
        }
        let (wide, back) = (f.cast(y, DType::I64)?, f.cast(high, DType::I64)?);
        let lost = f.op("sub", &[wide, back])?;
        let low = f.cast(lost, DType::F32)?;
        let small = f.op("pow", &[x, low])?;
        Ok(vec![f.op("mul", &[large, small])?])
    }))
}

/// `u` with the sign of `x`.
fn signed(f: &mut Formula<'_, '_>, u: ValueId, x: ValueId) -> V {
    let sign = f.op("sign", &[x])?;
    f.op("mul", &[u, sign])
}

/// With `a = |x|`, `t = 1 - e^-a` and `h = e^(a/2)`: `(t + t h h) / 2`.
fn sinh(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let a = f.op("abs", &[x])?;
    let down = f.op("neg", &[a])?;
    let t = f.op("elu", &[down])?;
    let half = f.with("mul", t, -0.5)?;
    let root = f.with("mul", a, 0.5)?;
    let h = f.op("exp", &[root])?;
    let large = f.op("mul", &[half, h])?;
    let large = f.op("mul", &[large, h])?;
    let sum = f.op("add", &[half, large])?;
    signed(f, sum, x)
}

/// `(h h + 1 / h / h) / 2` with `h = e^(|x|/2)`.
fn cosh(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let a = f.op("abs", &[x])?;
    let side = |f: &mut Formula<'_, '_>, factor: f64| {
        let root = f.with("mul", a, factor)?;
        let h = f.op("exp", &[root])?;
        let half = f.with("mul", h, 0.5)?;
        f.op("mul", &[half, h])
    };
    let (up, down) = (side(f, 0.5)?, side(f, -0.5)?);
    f.op("add", &[up, down])
}

/// `log1p(a + a q)` with `a = |x|` and `q = a / (1 + sqrt(a a + 1))`, which is 1 for large `a`.
fn asinh(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let a = f.op("abs", &[x])?;
    let near = f.of("min", 1e9, a)?;
    let square = f.op("mul", &[near, near])?;
    let square = f.with("add", square, 1.0)?;
    let root = f.op("sqrt", &[square])?;
    let root = f.with("add", root, 1.0)?;
    let q = f.op("div", &[near, root])?;
    let rest = f.op("mul", &[a, q])?;
    let u = f.op("add", &[a, rest])?;
    let y = f.log1p(u)?;
    signed(f, y, x)
}

/// `log1p(d + sqrt(d) sqrt(d + 2))` with `d = x - 1`.
fn acosh(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let d = f.with("sub", x, 1.0)?;
    let low = f.op("sqrt", &[d])?;
    let high = f.with("add", d, 2.0)?;
    let high = f.op("sqrt", &[high])?;
    let root = f.op("mul", &[low, high])?;
    let u = f.op("add", &[d, root])?;
    f.log1p(u)
}

/// `(log1p(x) - log1p(-x)) / 2`.
fn atanh(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let minus = f.op("neg", &[x])?;
    let (up, down) = (f.log1p(x)?, f.log1p(minus)?);
    let y = f.op("sub", &[up, down])?;
    f.with("mul", y, 0.5)
}

/// Where the error function is 1 in `f32`.
const ERF_FLAT: f64 = 3.92;
/// `erf(z) / z = P(z z) / Q(z z)` for `|z| <= ERF_FLAT`, highest power first: a weighted least-squares fit, within 2e-8 of the function
/// relatively, and within 4e-7 when computed in `f32`.
const ERF_P: [f64; 6] = [
    2.050_112_470_897_147_4e-6,
    0.000_284_879_119_135_439_4,
    0.003_765_465_924_516_320_2,
    0.052_748_262_882_232_666,
    0.190_402_984_619_140_62,
    1.128_379_106_521_606_4,
];
const ERF_Q: [f64; 6] = [
    3.809_178_451_774_642e-5,
    0.001_162_498_374_469_578_3,
    0.014_968_916_773_796_082,
    0.114_107_668_399_810_79,
    0.502_072_989_940_643_3,
    1.0,
];

fn erf(f: &mut Formula<'_, '_>, x: ValueId) -> V {
    let z = f.of("max", -ERF_FLAT, x)?;
    let z = f.of("min", ERF_FLAT, z)?;
    let square = f.op("mul", &[z, z])?;
    let (p, q) = (f.poly(square, &ERF_P)?, f.poly(square, &ERF_Q)?);
    let top = f.op("mul", &[z, p])?;
    f.op("div", &[top, q])
}
