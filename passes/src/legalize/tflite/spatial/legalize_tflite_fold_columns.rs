//! `legalize-tflite-fold-columns`
//!
//! ```text
//! %y = col2_im(%x, [h, w], [kh, kw])   ->   %c = reshape(%x)                         # [N * C, kh * kw, blocks...]
//!                                           %t = conv_transpose(%c, ones on the diagonal)
//!                                           %y = reshape(%t)                         # [N, C, h, w]
//! ```
//! - Sizes of images and blocks are constant, images have one, two or three axes, data are `f32`.
use super::math::Math;
use super::nodes::{dtype, list, size};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::spatial::conv_transpose::ConvTranspose;

/// The pass.
pub struct LegalizeTfliteFoldColumns;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-fold-columns",
    doc: "Gives adding columns back into images as a transposed convolution.",
};

impl Pass for LegalizeTfliteFoldColumns {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["col2_im"], |g, n, _, _| fold(g, n)))
    }
}

/// Most elements of a block: the weights hold their square.
const MOST: i64 = 1 << 10;

fn fold(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, Some(x)) = (node.op().clone(), node.input(0)) else { return Outcome::Skip };
    let (Some(image), Some(block)) = (g.const_ints(node.input(1)), g.const_ints(node.input(2))) else {
        return Outcome::miss("sizes of images or blocks are computed");
    };
    let elements = block.iter().copied().fold(1, i64::saturating_mul);
    if dtype(g, x) != Some(DType::F32)
        || !(1..=3).contains(&block.len())
        || image.len() != block.len()
        || !(1..=MOST).contains(&elements)
    {
        return Outcome::miss("the data are no f32, or blocks are large");
    }
    let Some(channels) = size(g, x, 1).map(|c| c / elements) else {
        return Outcome::miss("the number of channels is not known");
    };
    let axes = block.len();
    let or = |v: Vec<i64>, d: i64, n: usize| if v.len() == n { v } else { vec![d; n] };
    let strides = or(list(&op, "strides"), 1, axes);
    let dilations = or(list(&op, "dilations"), 1, axes);
    let pads = or(list(&op, "pads"), 0, 2 * axes);
    let pads =
        if planted("legalize-tflite-fold-columns") { [&pads[axes..], &pads[..axes]].concat() } else { pads };
    let (mut blocks, mut rest) = (vec![], vec![]);
    for i in 0..axes {
        let travel = image[i] + pads[i] + pads[i + axes] - (block[i] - 1) * dilations[i] - 1;
        blocks.push(travel.div_euclid(strides[i]) + 1);
        rest.push(travel.rem_euclid(strides[i]));
    }
    let unit = |i: usize| if i.is_multiple_of(elements as usize + 1) { 1.0 } else { 0.0 };
    let weights: Vec<f32> = (0..(elements * elements) as usize).map(unit).collect();
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let columns = m.reshape(x, &[&[-1, elements], blocks.as_slice()].concat())?;
        let shape: Vec<usize> =
            [elements, 1].iter().chain(&block).map(|d| usize::try_from(*d).unwrap_or(0)).collect();
        let w = super::nodes::floats(m.b, &shape, weights);
        let conv = ConvTranspose { strides, dilations, pads, output_padding: rest, ..Default::default() };
        let y = m.b.conv_transpose(conv, columns, w, None)?;
        Ok(vec![m.reshape(y, &[&[-1, channels], image.as_slice()].concat())?])
    }))
}
