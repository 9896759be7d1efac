//! `legalize-tflite-transposed`
//!
//! ```text
//! %y = conv_transpose(%x, %w, %b) {pads=[1, 1, 0, 0], strides=[2, 2]}
//!   ->  %f = conv_transpose(%x, %w, %b) {strides=[2, 2]}
//!       %y = slice(%f, [1, 1], [end, end], axes)
//!
//! %y = conv_transpose(%x, %w, %b) {group=g, dilations=d, strides=s}
//!   ->  %a = (zeros between the elements of %x, and around them)
//!       %y = conv(%a, %v, %b) {group=g, dilations=d}       # %v: %w reversed along each window axis, in and out swapped
//! ```
//! - A border that is neither cut off as `SAME` does nor none, or elements that are appended: the full result is cut, or appended to before the bias is added.
//! - Groups or dilations: the convolution that it is, over data spread apart by the strides.
//! - `SAME_*` and `output_shape` on axes of unknown size keep their form, except where the border does not depend on the size.
use super::nodes::{call, layout, list, named, pad, reshape, shape, size, span, strided, transpose};
use crate::fault::planted;
use crate::legalize::{where_lacking, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::{DILATION, GROUPS, PADDING};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::words::Layout;

/// The pass.
pub struct LegalizeTfliteTransposed;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-transposed",
    doc: "Gives transposed convolutions as full ones that are cut, or as convolutions over data spread apart.",
};

impl Pass for LegalizeTfliteTransposed {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["conv_transpose"], |g, n, _, reason| {
            if [PADDING, GROUPS, DILATION].contains(&reason.as_str()) {
                legalize(g, n, reason == PADDING)
            } else {
                Outcome::Skip
            }
        }))
    }
}

/// A transposed convolution, its border resolved.
struct Task {
    op: Op,
    x: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
    layout: Layout,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    kernel: Vec<i64>,
    /// Elements cut off at the beginning and at the end of the full result; negative ones are appended.
    cuts: Vec<(i64, i64)>,
}

impl Task {
    fn of(g: &Graph, n: NodeId) -> Option<Self> {
        let node = g.node(n);
        let (op, x, w) = (node.op().clone(), node.input(0)?, node.input(1)?);
        let axes = g.ty(x).as_tensor()?.rank()?.checked_sub(2)?;
        let or_ones = |v: Vec<i64>| if v.len() == axes { v } else { vec![1; axes] };
        let (strides, dilations) = (or_ones(list(&op, "strides")), or_ones(list(&op, "dilations")));
        let kernel: Vec<i64> = (0..axes).map(|i| size(g, w, i + 2)).collect::<Option<_>>()?;
        let layout = layout(&op);
        let first = layout.first_spatial_axis();
        let (wanted, pads, more) =
            (list(&op, "output_shape"), list(&op, "pads"), list(&op, "output_padding"));
        let same = op.def().attr("auto_pad");
        let upper = same == Some(Attr::Word("SAME_UPPER"));
        let lower = same == Some(Attr::Word("SAME_LOWER"));
        let at = |v: &[i64], i: usize| v.get(i).copied().unwrap_or(0);
        let mut cuts = vec![];
        for i in 0..axes {
            let reach = (kernel[i] - 1) * dilations[i] + 1;
            // What the full result has more than what is wanted.
            let surplus = if let Some(out) = wanted.get(i) {
                Some((size(g, x, first + i)? - 1) * strides[i] + reach + at(&more, i) - out)
            } else if upper || lower {
                Some(reach - strides[i] + at(&more, i))
            } else {
                None
            };
            cuts.push(match surplus {
                Some(total) => {
                    let small = total.max(0) / 2;
                    let large = total.max(0) - small;
                    let (begin, end) = if upper { (small, large) } else { (large, small) };
                    (begin, end - at(&more, i) + total.min(0))
                }
                None if same == Some(Attr::Word("VALID")) => (0, -at(&more, i)),
                None => (at(&pads, i), at(&pads, i + axes) - at(&more, i)),
            });
        }
        Some(Self { op, x, w, bias: node.input(2), layout, strides, dilations, kernel, cuts })
    }
    fn first(&self) -> usize {
        self.layout.first_spatial_axis()
    }
    /// The full result, cut and appended to.
    fn cut(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let appends = self.cuts.iter().any(|c| c.1 < 0);
        let mut op = self.op.clone();
        for name in ["pads", "output_padding", "output_shape"] {
            op = with_attr(&op, name, &Attr::Ints(vec![]))?;
        }
        op = with_attr(&op, "auto_pad", &Attr::Word("NOTSET"))?;
        let own_bias = self.bias.filter(|_| !appends);
        let mut y = super::nodes::first(b.add(op, &[Some(self.x), Some(self.w), own_bias])?)?;
        for (i, (begin, end)) in self.cuts.iter().enumerate() {
            if *begin > 0 || *end > 0 {
                let to = if *end > 0 { -*end } else { i64::MAX };
                y = span(b, y, self.first() + i, *begin, to)?;
            }
        }
        let added: Vec<_> =
            self.cuts.iter().enumerate().map(|(i, c)| (self.first() + i, 0, (-c.1).max(0))).collect();
        y = pad(b, y, &added, 0.0)?;
        match self.bias.filter(|_| appends) {
            None => Ok(y),
            Some(bias) => {
                let bias = self.along_channels(b, bias)?;
                named(b, "add", &[y, bias])
            }
        }
    }
    fn along_channels(&self, b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
        if self.layout == Layout::ChannelsLast {
            return Ok(v);
        }
        let axes = b.ints(&(1..=self.kernel.len() as i64).collect::<Vec<_>>());
        named(b, "unsqueeze", &[v, axes])
    }
    /// The convolution over data spread apart.
    fn spread(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let mut x = self.x;
        for (i, stride) in self.strides.iter().enumerate() {
            x = apart(b, x, self.first() + i, *stride)?;
        }
        let mut borders = vec![];
        for (i, (begin, end)) in self.cuts.iter().enumerate() {
            let reach = (self.kernel[i] - 1) * self.dilations[i];
            borders.push((self.first() + i, reach - begin, reach - end));
        }
        for (axis, begin, end) in &borders {
            if *begin < 0 || *end < 0 {
                let to = if *end < 0 { *end } else { i64::MAX };
                x = span(b, x, *axis, (-*begin).max(0), to)?;
            }
        }
        let borders: Vec<_> = borders.into_iter().map(|(a, p, q)| (a, p.max(0), q.max(0))).collect();
        let x = pad(b, x, &borders, 0.0)?;
        let group = if let Some(Attr::Int(g)) = self.op.def().attr("group") { g } else { 1 };
        let w = self.reversed(b, group)?;
        let conv = Conv { dilations: self.dilations.clone(), group, layout: self.layout, ..Conv::default() };
        b.conv(conv, x, w, self.bias)
    }
    /// Weights `[in, out / group, window...]` as `[out, in / group, window...]`, the window reversed.
    fn reversed(&self, b: &mut Builder<'_>, group: i64) -> Result<ValueId, Diag> {
        let mut w = self.w;
        let axes = self.kernel.len();
        for i in 0..axes {
            if self.kernel[i] > 1 && !planted("legalize-tflite-transposed") {
                w = strided(b, w, i + 2, (-1, i64::MIN, -1))?;
            }
        }
        let (Some(ins), Some(outs)) = (size(b.graph(), w, 0), size(b.graph(), w, 1)) else {
            return Err(Diag::error("E0303", "the numbers of channels are not known"));
        };
        let per = ins.checked_div(group).unwrap_or(0);
        let grouped = reshape(b, w, &[&[group, per, outs], self.kernel.as_slice()].concat())?;
        let perm: Vec<usize> = [0, 2, 1].into_iter().chain(3..axes + 3).collect();
        let swapped = transpose(b, grouped, &perm)?;
        reshape(b, swapped, &[&[group * outs, per], self.kernel.as_slice()].concat())
    }
}

/// `x` with `step - 1` zeros between two elements along `axis`.
fn apart(b: &mut Builder<'_>, x: ValueId, axis: usize, step: i64) -> Result<ValueId, Diag> {
    if step == 1 {
        return Ok(x);
    }
    let rank = super::nodes::rank(b.graph(), x)?;
    let own = shape(b, x)?;
    // [axes before and this one, 1, axes behind]: a border of three axes is within what the kernel takes.
    let (split, whole) = if axis + 1 < rank {
        let behind = strided(b, own, 0, (axis as i64 + 1, i64::MAX, 1))?;
        let product = call(
            b,
            hoist_ir::ops::reduce::reductions::ReduceProd { keepdims: true, ..Default::default() },
            &[behind],
        )?;
        let front = b.ints(&[-1, 1]);
        (super::nodes::concat(b, 0, &[front, product])?, own)
    } else {
        (b.ints(&[-1, 1, 1]), own)
    };
    let flat = named(b, "reshape", &[x, split])?;
    let wide = pad(b, flat, &[(1, 0, step - 1)], 0.0)?;
    let factors: Vec<i64> = (0..rank).map(|a| if a == axis { step } else { 1 }).collect();
    let factors = b.ints(&factors);
    let sizes = named(b, "mul", &[whole, factors])?;
    let y = named(b, "reshape", &[wide, sizes])?;
    span(b, y, axis, 0, 1 - step)
}

fn legalize(g: &mut Graph, n: NodeId, border: bool) -> Outcome {
    let Some(task) = Task::of(g, n) else {
        return Outcome::miss("sizes of the data or the weights are not known");
    };
    Outcome::of(g.rewrite(n, &[], |b| Ok(vec![if border { task.cut(b)? } else { task.spread(b)? }])))
}
