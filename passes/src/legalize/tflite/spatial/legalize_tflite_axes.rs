//! `legalize-tflite-axes`
//!
//! ```text
//! %y = conv(%x: [N, C, L], %w)   ->   %a = unsqueeze(%x, [2])    # [N, C, 1, L]
//!                                     %b = unsqueeze(%w, [2])
//!                                     %c = conv(%a, %b)
//!                                     %y = squeeze(%c, [2])
//! ```
//! - A convolution, pooling or `resize` over one axis, or `lrn` of data with one; a `resize` of an axis behind the first.
//! - A `max_pool` whose positions are used keeps its form.
use super::nodes::{call, layout, list, named, rank};
use crate::fault::planted;
use crate::legalize::{where_lacking, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::AXES;
use hoist_formats::tflite::bind::spatial::resize::axes_of;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;

/// The pass.
pub struct LegalizeTfliteAxes;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-axes",
    doc: "Gives operators on signals as operators on images of one row.",
};

const OPS: &[&str] = &["average_pool", "conv", "conv_transpose", "lrn", "max_pool", "resize"];

impl Pass for LegalizeTfliteAxes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(
            g,
            cx,
            OPS,
            |g, n, _, reason| if reason == AXES { add_axis(g, n) } else { Outcome::Skip },
        ))
    }
}

fn add_axis(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let Some(x) = node.input(0) else { return Outcome::Skip };
    if rank(g, x).ok() != Some(3) {
        return Outcome::miss("the data have not one spatial axis");
    }
    let (op, inputs) = (node.op().clone(), node.inputs().to_vec());
    let resizes = op.name() == "resize";
    let axis = if resizes {
        match axes_of(g, n).as_deref() {
            Some([a]) if a.axis > 0 => a.axis,
            _ => return Outcome::miss("more than one axis is resized, or the first one"),
        }
    } else {
        layout(&op).first_spatial_axis()
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let at = b.ints(&[axis as i64]);
        let mut wide = inputs.clone();
        wide[0] = Some(named(b, "unsqueeze", &[x, at])?);
        if let (Some(w), "conv" | "conv_transpose") = (inputs.get(1).copied().flatten(), op.name()) {
            let two = b.ints(&[2]);
            wide[1] = Some(named(b, "unsqueeze", &[w, two])?);
        }
        let y = if resizes { resized(b, &op, &wide, axis)? } else { windowed(b, &op, &wide)? };
        Ok(vec![call(b, Op::from(hoist_ir::ops::movement::squeeze::Squeeze {}), &[y, at])?])
    }))
}

type B<'a, 'g> = &'a mut hoist_ir::builder::Builder<'g>;
type Operands<'a> = &'a [Option<hoist_ir::graph::ValueId>];

/// The operator over an axis of size 1 more, in front of the spatial one.
fn windowed(b: B<'_, '_>, op: &Op, inputs: Operands<'_>) -> Result<hoist_ir::graph::ValueId, Diag> {
    let mut op = op.clone();
    for (name, added) in [
        ("kernel_shape", 1),
        ("strides", 1),
        ("dilations", 1),
        ("pads", 0),
        ("output_padding", 0),
        ("output_shape", 1),
    ] {
        op = match (name, list(&op, name).as_slice()) {
            (_, []) => continue,
            ("pads", [end, begin]) if planted("legalize-tflite-axes") => {
                with_attr(&op, name, &Attr::Ints(vec![added, *begin, added, *end]))?
            }
            ("pads", [begin, end]) => with_attr(&op, name, &Attr::Ints(vec![added, *begin, added, *end]))?,
            (_, [v]) => with_attr(&op, name, &Attr::Ints(vec![added, *v]))?,
            _ => return Err(Diag::error("E0304", format!("{name} is not about one axis"))),
        };
    }
    super::nodes::first(b.add(op, inputs)?)
}

/// The `resize` of `axis`, which stands one further now.
fn resized(
    b: B<'_, '_>,
    op: &Op,
    inputs: Operands<'_>,
    axis: usize,
) -> Result<hoist_ir::graph::ValueId, Diag> {
    let listed = list(op, "axes");
    let mut inputs = inputs.to_vec();
    if listed.len() != 1 {
        // What is listed for the other axes keeps them as they are.
        let entry = listed.iter().position(|a| a.rem_euclid(3) == axis as i64).unwrap_or(axis);
        for i in [2, 3] {
            if let Some(Some(v)) = inputs.get(i).copied() {
                let at = b.ints(&[entry as i64]);
                let empty = super::nodes::size(b.graph(), v, 0) == Some(0);
                inputs[i] = if empty { None } else { Some(named(b, "gather", &[v, at])?) };
            }
        }
    }
    let op = with_attr(op, "axes", &Attr::Ints(vec![axis as i64 + 1]))?;
    super::nodes::first(b.add(op, &inputs)?)
}
