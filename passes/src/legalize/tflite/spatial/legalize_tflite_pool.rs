//! `legalize-tflite-pool`
//!
//! ```text
//! %y = average_pool(%x) {pads=...}   ->   %p = pad(%x, ..., 0)
//!                                         %a = average_pool(%p)
//!                                         %y = mul(%a, elements of a window / those that count)
//! %y = max_pool(%x) {dilations=...}  ->   %y = max(slice(%x, ...), slice(%x, ...), ...)     # one axis after the other
//! %y = max_pool(%x: [N, D, H, W, C]) ->   over [N * D, H, W, C], then over [N, D, H * W, C]
//! %y = lp_pool(%x) {p=2}             ->   %y = sqrt(average_pool(%x * %x) * elements of a window)
//! ```
//! - A border of an average is that of zeros; the share of elements that count is constant where the sizes are known.
//! - Windows with dilations, and windows over three axes, have an explicit border first.
use super::legalize_tflite_padding::{filling, is_same, pad_same};
use super::nodes::{Sliding, call, concat, first, flag, floats, layout, named, pad, shape, strided};
use crate::fault::planted;
use crate::legalize::{where_lacking, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::window::Axis;
use hoist_formats::tflite::bind::spatial::{AXES, DILATION, PADDING};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::spatial::average_pool::AveragePool;
use hoist_ir::ops::words::Layout;

/// The pass.
pub struct LegalizeTflitePool;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-pool",
    doc: "Gives poolings that LiteRT lacks as poolings without border, slices and arithmetic.",
};

/// Most rewrites of one node.
const STEPS: usize = 4;

const OPS: &[&str] = &["average_pool", "global_lp_pool", "lp_pool", "max_pool"];

impl Pass for LegalizeTflitePool {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        // An explicit border comes first, what it leaves after it.
        let mut changed = Changed::default();
        for _ in 0..STEPS {
            let round = where_lacking(g, cx, OPS, |g, n, _, reason| rule(g, n, &reason));
            if !round.any() {
                break;
            }
            changed.0 = changed.0.saturating_add(round.0);
        }
        Ok(changed)
    }
}

fn rule(g: &mut Graph, n: NodeId, reason: &str) -> Outcome {
    if g.node(n).op().name() == "global_lp_pool" {
        return global_norm(g, n);
    }
    let Some(s) = Sliding::of(g, n) else { return Outcome::miss("the sizes of the window are not known") };
    if s.op.name() == "lp_pool" {
        return norm(g, n, &s);
    }
    if ![PADDING, DILATION, AXES].contains(&reason) || (reason == AXES && s.rank != 5) {
        return Outcome::miss("it lacks something else");
    }
    let Some(borders) = s.windows.borders() else {
        return if is_same(&s) {
            Outcome::of(same(g, n, &s))
        } else {
            Outcome::miss("the border depends on a size that is not known")
        };
    };
    let bordered = borders.iter().any(|b| *b != (0, 0)) || s.windows.ceil_mode;
    if g.node(n).op().name() == "max_pool" && reason == PADDING {
        return Outcome::miss("another pass adds its border");
    }
    let results = g.node(n).outputs().len();
    if results > 1 && !g.value(g.node(n).outputs()[1]).uses().is_empty() {
        return Outcome::miss("positions of the largest elements are used");
    }
    let done = g.rewrite(n, &[], |b| {
        let y = match (bordered, s.op.name()) {
            (true, "max_pool") => {
                let x = pad(b, s.x, &s.entries(&borders), filling(b.graph(), &s))?;
                first(b.add(s.bare()?, &[Some(x)])?)?
            }
            (true, _) => average(b, &s, &borders)?,
            (false, _) if s.windows.axes.iter().any(|a| a.dilation != 1) => by_slices(b, &s)?,
            (false, _) => in_two_steps(b, &s)?,
        };
        let mut all = vec![y];
        if results > 1 {
            // Never used.
            all.push(b.cast(
                hoist_ir::ops::elementwise::cast::Cast {
                    to: hoist_ir::dtype::DType::I64,
                    ..Default::default()
                },
                y,
            )?);
        }
        Ok(all)
    });
    Outcome::of(done)
}

/// The pooling over data with a border that follows from their sizes when the model runs.
fn same(g: &mut Graph, n: NodeId, s: &Sliding) -> Result<(), Diag> {
    let (largest, results) = (s.op.name() == "max_pool", g.node(n).outputs().len());
    let fill = filling(g, s);
    g.rewrite(n, &[], |b| {
        let x = pad_same(b, s, s.x, fill)?;
        let mut all = b.add_n(s.bare()?, &[Some(x)], results)?;
        if !largest && !flag(&s.op, "count_include_pad") {
            let ones = open_ones(b, s, &vec![(0, 0); s.windows.axes.len()])?;
            let mask = pad_same(b, s, ones, 0.0)?;
            let share = first(b.add(s.bare()?, &[Some(mask)])?)?;
            all = vec![named(b, "div", &[first(all)?, share])?];
        }
        Ok(all)
    })
}

/// The mean over padded data, times the share that makes it the mean of what counts.
fn average(b: &mut Builder<'_>, s: &Sliding, borders: &[(i64, i64)]) -> Result<ValueId, Diag> {
    let x = pad(b, s.x, &s.entries(borders), 0.0)?;
    let y = first(b.add(s.bare()?, &[Some(x)])?)?;
    let with_border = flag(&s.op, "count_include_pad");
    let counted: Vec<(i64, i64)> = s
        .windows
        .axes
        .iter()
        .zip(borders)
        .map(|(a, border)| {
            if with_border && s.windows.ceil_mode {
                a.pads
            } else if with_border {
                *border
            } else {
                (0, 0)
            }
        })
        .collect();
    if counted == borders {
        return Ok(y);
    }
    if s.windows.axes.iter().all(|a| a.size.is_some()) {
        let factor = share(b, s, borders, &counted)?;
        return named(b, "mul", &[y, factor]);
    }
    let ones = open_ones(b, s, &counted)?;
    let rest: Vec<_> = borders.iter().zip(&counted).map(|(b, c)| (b.0 - c.0, b.1 - c.1)).collect();
    let mask = pad(b, ones, &s.entries(&rest), 0.0)?;
    let share = first(b.add(s.bare()?, &[Some(mask)])?)?;
    named(b, "div", &[y, share])
}

/// Elements of a window over those that count, for each window.
fn share(
    b: &mut Builder<'_>,
    s: &Sliding,
    borders: &[(i64, i64)],
    counted: &[(i64, i64)],
) -> Result<ValueId, Diag> {
    let mut factor: Option<ValueId> = None;
    for (i, axis) in s.windows.axes.iter().enumerate() {
        let values = axis_share(axis, borders[i], counted[i])?;
        let mut sizes = vec![1; s.rank];
        sizes[s.first + i] = values.len();
        let one = floats(b, &sizes, values);
        factor = Some(match factor {
            None => one,
            Some(f) => named(b, "mul", &[f, one])?,
        });
    }
    factor.ok_or_else(|| Diag::error("E0303", "a pooling without axes"))
}

fn axis_share(a: &Axis, border: (i64, i64), counted: (i64, i64)) -> Result<Vec<f32>, Diag> {
    const MOST: i64 = 1 << 20;
    let length = a.size.unwrap_or(0);
    let windows = (length + border.0 + border.1 - a.reach()).div_euclid(a.stride) + 1;
    let counted = if planted("legalize-tflite-pool") { border } else { counted };
    let inside = |p: i64| p >= -counted.0 && p < length + counted.1;
    let share = |o: i64| {
        let start = o * a.stride - border.0;
        let n = (0..a.kernel).filter(|i| inside(start + i * a.dilation)).count();
        (n > 0).then(|| a.kernel as f32 / n as f32)
    };
    let none = || Diag::error("E0303", "a window lies in the border as a whole");
    if windows.saturating_mul(a.kernel) > MOST {
        return Err(Diag::error("E0303", "the axis is long"));
    }
    (0..windows).map(share).collect::<Option<_>>().ok_or_else(none)
}

/// Ones of the size of the data and the border that counts, with one sample and one channel.
fn open_ones(b: &mut Builder<'_>, s: &Sliding, counted: &[(i64, i64)]) -> Result<ValueId, Diag> {
    let own = shape(b, s.x)?;
    let one = b.ints(&[1]);
    let mut sizes = vec![one; s.rank];
    for (i, c) in counted.iter().enumerate() {
        let at = b.ints(&[(s.first + i) as i64]);
        let size = named(b, "gather", &[own, at])?;
        let more = b.ints(&[c.0 + c.1]);
        sizes[s.first + i] = named(b, "add", &[size, more])?;
    }
    let sizes = concat(b, 0, &sizes)?;
    let unit = b.scalar_like(1.0, s.x)?;
    named(b, "expand", &[unit, sizes])
}

/// The largest or the mean of elements of each window, one axis after the other.
fn by_slices(b: &mut Builder<'_>, s: &Sliding) -> Result<ValueId, Diag> {
    const MOST: i64 = 256;
    let largest = s.op.name() == "max_pool";
    let mut y = s.x;
    for (i, a) in s.windows.axes.iter().enumerate() {
        if a.kernel > MOST {
            return Err(Diag::error("E0303", "the window is large"));
        }
        let mut all = vec![];
        for k in 0..a.kernel {
            // Up to the last start of a window, as far behind its end as this element lies before it.
            let behind = (a.kernel - 1 - k) * a.dilation;
            let to = if behind == 0 { i64::MAX } else { -behind };
            all.push(strided(b, y, s.first + i, (k * a.dilation, to, a.stride))?);
        }
        let mut rest = all.into_iter();
        y = first(rest.next().into_iter().collect())?;
        for other in rest {
            y = named(b, if largest { "max" } else { "add" }, &[y, other])?;
        }
    }
    if largest {
        return Ok(y);
    }
    let n: i64 = s.windows.axes.iter().map(|a| a.kernel).fold(1, i64::saturating_mul);
    let n = b.scalar_like(n as f64, s.x)?;
    named(b, "div", &[y, n])
}

/// Windows over three axes as windows over the last two, then over the first.
fn in_two_steps(b: &mut Builder<'_>, s: &Sliding) -> Result<ValueId, Diag> {
    let last = layout(&s.op) == Layout::ChannelsLast;
    let part = |from: usize, to: usize| -> Result<hoist_ir::ops::Op, Diag> {
        let axes = &s.windows.axes[from..to];
        let mut kernel: Vec<i64> = axes.iter().map(|a| a.kernel).collect();
        let mut strides: Vec<i64> = axes.iter().map(|a| a.stride).collect();
        kernel.resize(2, 1);
        strides.resize(2, 1);
        let op = with_attr(&s.bare()?, "kernel_shape", &Attr::Ints(kernel))?;
        let op = with_attr(&op, "dilations", &Attr::Ints(vec![]))?;
        with_attr(&op, "strides", &Attr::Ints(strides))
    };
    // [N, C, D, H, W] as [N, C * D, H, W], or [N, D, H, W, C] as [N * D, H, W, C].
    let own = shape(b, s.x)?;
    let flat = if last { [&[-1][..], &[2, 3, 4]] } else { [&[0, -1][..], &[3, 4]] };
    let sizes = picked(b, own, flat)?;
    let x = named(b, "reshape", &[s.x, sizes])?;
    let y = first(b.add(part(1, 3)?, &[Some(x)])?)?;
    let mid = shape(b, y)?;
    // [N, C, D, H' * W'] or [N, D, H' * W', C].
    let (front, at) = if last { (vec![0, 1], vec![3]) } else { (vec![0, 1, 2], vec![]) };
    let mut parts = vec![gathered(b, own, &front)?, b.ints(&[-1])];
    if !at.is_empty() {
        parts.push(gathered(b, mid, &at)?);
    }
    let sizes = concat(b, 0, &parts)?;
    let x = named(b, "reshape", &[y, sizes])?;
    let z = first(b.add(part(0, 1)?, &[Some(x)])?)?;
    // [N, C, D', H', W'] or [N, D', H', W', C].
    let depth = shape(b, z)?;
    let order: [(ValueId, &[i64]); 2] =
        if last { [(depth, &[0, 1]), (mid, &[1, 2, 3])] } else { [(depth, &[0, 1, 2]), (mid, &[2, 3])] };
    let parts = order.iter().map(|(v, at)| gathered(b, *v, at)).collect::<Result<Vec<_>, _>>()?;
    let sizes = concat(b, 0, &parts)?;
    named(b, "reshape", &[z, sizes])
}

fn gathered(b: &mut Builder<'_>, v: ValueId, at: &[i64]) -> Result<ValueId, Diag> {
    let at = b.ints(at);
    named(b, "gather", &[v, at])
}

/// Sizes of `own` at the places that `parts` list; -1 is the rest, 0 in front of it the first one.
fn picked(b: &mut Builder<'_>, own: ValueId, parts: [&[i64]; 2]) -> Result<ValueId, Diag> {
    let front = b.ints(parts[0]);
    let behind = gathered(b, own, parts[1])?;
    concat(b, 0, &[front, behind])
}

/// `|x|^p`.
fn power(b: &mut Builder<'_>, x: ValueId, p: f64) -> Result<ValueId, Diag> {
    if p == 2.0 {
        return named(b, "mul", &[x, x]);
    }
    let x = named(b, "abs", &[x])?;
    if p == 1.0 {
        return Ok(x);
    }
    let p = b.scalar_like(p, x)?;
    named(b, "pow", &[x, p])
}

/// `x^(1/p)`.
fn root(b: &mut Builder<'_>, x: ValueId, p: f64) -> Result<ValueId, Diag> {
    if p == 1.0 {
        return Ok(x);
    }
    if p == 2.0 {
        return named(b, "sqrt", &[x]);
    }
    let p = b.scalar_like(1.0 / p, x)?;
    named(b, "pow", &[x, p])
}

fn order(op: &hoist_ir::ops::Op) -> f64 {
    if let Some(Attr::Int(p)) = op.def().attr("p") { p as f64 } else { 2.0 }
}

fn norm(g: &mut Graph, n: NodeId, s: &Sliding) -> Outcome {
    let borders = s.windows.borders();
    if borders.is_none() && !is_same(s) {
        return Outcome::miss("the border depends on a size that is not known");
    }
    let axes = &s.windows.axes;
    Outcome::of(g.rewrite(n, &[], |b| {
        let p = order(&s.op);
        let x = match borders {
            Some(borders) => pad(b, s.x, &s.entries(&borders), 0.0)?,
            None => pad_same(b, s, s.x, 0.0)?,
        };
        let x = power(b, x, p)?;
        let mean = AveragePool {
            kernel_shape: axes.iter().map(|a| a.kernel).collect(),
            strides: axes.iter().map(|a| a.stride).collect(),
            dilations: axes.iter().map(|a| a.dilation).collect(),
            layout: layout(&s.op),
            ..AveragePool::default()
        };
        let mean = call(b, mean, &[x])?;
        let elements: i64 = axes.iter().map(|a| a.kernel).fold(1, i64::saturating_mul);
        let elements = b.scalar_like(elements as f64, x)?;
        let sum = named(b, "mul", &[mean, elements])?;
        Ok(vec![root(b, sum, p)?])
    }))
}

fn global_norm(g: &mut Graph, n: NodeId) -> Outcome {
    let op = g.node(n).op().clone();
    let Some(x) = g.node(n).input(0) else { return Outcome::Skip };
    let Ok(rank) = super::nodes::rank(g, x) else { return Outcome::miss("the rank is not known") };
    let first = layout(&op).first_spatial_axis();
    let axes: Vec<i64> = (first..first + rank.saturating_sub(2)).map(|a| a as i64).collect();
    Outcome::of(g.rewrite(n, &[], |b| {
        let p = order(&op);
        let x = power(b, x, p)?;
        let axes = b.ints(&axes);
        let sum = named(b, "reduce_sum", &[x, axes])?;
        Ok(vec![root(b, sum, p)?])
    }))
}
