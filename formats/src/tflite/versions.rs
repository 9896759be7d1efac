//! Versions of builtin operators, and of the runtimes that have them.
//!
//! A runtime refuses an operator whose version it does not know, so each operator is written with the lowest one that has its options and element types.
//! The numbers are those of TensorFlow's and LiteRT's `op_version.cc` and `runtime_version.cc`.
use super::program::{Instr, Program, TensorDef};
pub use super::runtimes::{later, min_runtime};
use super::schema::Builtin as B;
use hoist_ir::dtype::DType as D;

/// Element types of 8-bit floating-point numbers that TFLite has.
const F8: &[D] = &[D::F8E4M3FN, D::F8E5M2];

/// Versions that element types ask for: builtin operators, the operand that counts, and for each version the types that came with it.
type ByType = (&'static [B], usize, &'static [(u32, &'static [D])]);

/// Versions by element type of one operand.
const BY_TYPE: &[ByType] = &[
    (&[B::Abs], 0, &[(5, &[D::I32]), (2, &[D::I8, D::U8])]),
    (&[B::Add], 0, &[(6, &[D::F16]), (4, &[D::I64]), (2, &[D::I8])]),
    (&[B::ArgMax, B::ArgMin], 0, &[(3, &[D::Bool]), (2, &[D::I8])]),
    (&[B::BatchMatmul], 0, &[(3, &[D::I16]), (2, &[D::I8])]),
    (&[B::BatchToSpaceNd, B::SpaceToBatchNd], 0, &[(4, &[D::I16]), (2, &[D::I8])]),
    (&[B::BroadcastTo], 0, &[(4, F8), (3, &[D::I8, D::I16])]),
    (
        &[B::Concatenation],
        0,
        &[(7, F8), (6, &[D::F16]), (5, &[D::I4]), (4, &[D::U32]), (3, &[D::I16]), (2, &[D::I8])],
    ),
    (
        &[B::Dequantize],
        0,
        &[(9, F8), (8, &[D::U4]), (7, &[D::I2]), (6, &[D::I4]), (3, &[D::I16, D::F16]), (2, &[D::I8])],
    ),
    (&[B::DynamicUpdateSlice], 0, &[(6, &[D::BF16]), (5, &[D::I4]), (4, &[D::I16]), (3, &[D::F16])]),
    (&[B::DynamicUpdateSlice], 2, &[(2, &[D::I64])]),
    (&[B::EmbeddingLookup], 1, &[(5, &[D::I2]), (4, &[D::I4])]),
    (&[B::Equal], 0, &[(5, &[D::I16]), (3, &[D::String]), (2, &[D::I8])]),
    (&[B::NotEqual], 0, &[(4, &[D::I16]), (3, &[D::String]), (2, &[D::I8])]),
    (&[B::Less, B::GreaterEqual], 0, &[(3, &[D::I16]), (2, &[D::I8])]),
    (&[B::Fill], 1, &[(5, F8), (4, &[D::F16]), (3, &[D::I8, D::I16]), (2, &[D::Bool, D::String])]),
    (&[B::FloorDiv], 0, &[(3, &[D::I8, D::I16]), (2, &[D::F32])]),
    (&[B::FloorMod], 0, &[(2, &[D::I8, D::I16])]),
    (&[B::FullyConnected], 1, &[(14, &[D::I2])]),
    (&[B::Gather], 0, &[(8, F8), (7, &[D::I4]), (4, &[D::I16]), (3, &[D::Bool]), (2, &[D::I8])]),
    (&[B::Gather], 1, &[(6, &[D::I16])]),
    (&[B::GatherNd], 0, &[(6, F8), (5, &[D::Bool]), (3, &[D::I16]), (2, &[D::String])]),
    (&[B::GatherNd], 1, &[(4, &[D::I16])]),
    (&[B::Gelu], 0, &[(3, &[D::F16]), (2, &[D::I8, D::U8])]),
    (&[B::LeakyRelu], 0, &[(2, &[D::I16])]),
    (&[B::Maximum, B::Minimum], 0, &[(4, &[D::I16]), (2, &[D::I8])]),
    (
        &[B::Mul],
        0,
        &[(8, &[D::F16]), (7, &[D::U32]), (6, &[D::C64]), (5, &[D::I64]), (4, &[D::I16]), (2, &[D::I8])],
    ),
    (&[B::Pack], 0, &[(5, F8), (4, &[D::U32]), (3, &[D::I16]), (2, &[D::I8])]),
    (&[B::Pad, B::Padv2], 0, &[(6, F8), (5, &[D::Bool]), (3, &[D::I16]), (2, &[D::I8])]),
    (&[B::Range], 0, &[(2, &[D::I64])]),
    (&[B::Relu], 0, &[(3, &[D::I16]), (2, &[D::I8, D::U8])]),
    (&[B::ResizeBilinear, B::ResizeNearestNeighbor], 0, &[(4, &[D::I16]), (2, &[D::I8])]),
    (&[B::ReverseV2], 0, &[(4, F8), (3, &[D::I8]), (2, &[D::Bool])]),
    (&[B::Select], 1, &[(4, &[D::U32])]),
    (&[B::SelectV2], 1, &[(2, &[D::U32])]),
    (&[B::Sign], 0, &[(2, &[D::I32])]),
    (&[B::Sin, B::Cos], 0, &[(2, &[D::F16])]),
    (
        &[B::Slice],
        0,
        &[(8, &[D::F16]), (7, &[D::I4]), (6, &[D::U32]), (4, &[D::I16]), (3, &[D::String]), (2, &[D::I8])],
    ),
    (&[B::Softmax], 0, &[(4, &[D::F16]), (3, &[D::I16]), (2, &[D::I8])]),
    (&[B::SparseToDense], 2, &[(3, &[D::I8, D::U8]), (2, &[D::I64])]),
    (&[B::Split], 1, &[(5, F8), (4, &[D::I16]), (3, &[D::I32]), (2, &[D::I8])]),
    (&[B::SplitV], 0, &[(3, F8), (2, &[D::I8])]),
    (&[B::Squeeze], 0, &[(2, &[D::String])]),
    (&[B::StridedSlice], 0, &[(7, &[D::U32]), (5, &[D::String]), (3, &[D::Bool]), (2, &[D::I8])]),
    (&[B::Sub], 0, &[(4, &[D::I64]), (2, &[D::I8])]),
    (&[B::Svdf], 0, &[(3, &[D::I8])]),
    (&[B::Tile], 0, &[(3, &[D::I8]), (2, &[D::String])]),
    (&[B::TopkV2], 0, &[(3, &[D::I16]), (2, &[D::I8])]),
    (&[B::TopkV2], 1, &[(3, &[D::I16])]),
    (
        &[B::Transpose],
        0,
        &[(9, &[D::F16]), (8, &[D::BF16]), (7, &[D::I4]), (5, &[D::I16]), (3, &[D::Bool]), (2, &[D::I8])],
    ),
    (&[B::TransposeConv], 1, &[(2, &[D::I8])]),
    (
        &[B::Unpack],
        0,
        &[(6, F8), (5, &[D::F16, D::BF16]), (4, &[D::I16]), (3, &[D::Bool]), (2, &[D::I8, D::U8])],
    ),
    (&[B::AveragePool2d, B::MaxPool2d, B::Tanh, B::Logistic], 0, &[(3, &[D::I16]), (2, &[D::I8])]),
    (
        &[B::Mean, B::MirrorPad, B::ReduceMax, B::ReduceMin, B::Relu6, B::Rsqrt],
        0,
        &[(3, &[D::I16]), (2, &[D::I8])],
    ),
    (&[B::Exp, B::Log, B::ReduceProd, B::Sqrt], 0, &[(2, &[D::I8, D::I16])]),
    (&[B::SpaceToDepth, B::DepthToSpace, B::Sum, B::LogSoftmax, B::L2Normalization], 0, &[(2, &[D::I8])]),
    (&[B::Greater, B::LessEqual, B::SquaredDifference], 0, &[(2, &[D::I8])]),
];

/// Versions of [`B::Cast`] by element type, from or to.
const CAST: &[(u32, &[D])] = &[
    (9, F8),
    (8, &[D::I2, D::U4]),
    (7, &[D::BF16]),
    (6, &[D::I4]),
    (5, &[D::F64, D::F16]),
    (4, &[D::U16]),
    (3, &[D::I8]),
    (2, &[D::U32]),
];

/// The lowest version of the operator that has the options and element types of `instr`.
pub fn version(program: &Program, instr: &Instr) -> u32 {
    let it = Signature { program, instr };
    let by_type = BY_TYPE.iter().filter(|r| r.0.contains(&instr.builtin));
    let by_type = by_type.map(|(_, operand, versions)| asked(versions, it.operand(*operand)));
    by_type.max().unwrap_or(1).max(it.by_form())
}

/// The version that `tensor` asks for by its element type.
fn asked(versions: &[(u32, &[D])], tensor: Option<&TensorDef>) -> u32 {
    let dtype = tensor.map(|t| t.ty.dtype);
    versions.iter().find(|v| dtype.is_some_and(|d| v.1.contains(&d))).map_or(1, |v| v.0)
}

/// Highest version among those whose condition holds; 1 when none does.
fn highest(versions: &[(bool, u32)]) -> u32 {
    versions.iter().filter(|v| v.0).map(|v| v.1).max().unwrap_or(1)
}

/// Whether scales are given for each slice of a tensor.
fn per_slice(tensor: Option<&TensorDef>) -> bool {
    tensor.and_then(|t| t.quant.as_ref()).is_some_and(|q| q.scale.len() > 1)
}

/// An operator with the tensors it takes and gives.
struct Signature<'a> {
    program: &'a Program,
    instr: &'a Instr,
}

impl<'a> Signature<'a> {
    fn operand(&self, i: usize) -> Option<&'a TensorDef> {
        self.instr.inputs.get(i).copied().flatten().map(|t| self.program.def(t))
    }
    fn result(&self, i: usize) -> Option<&'a TensorDef> {
        self.instr.outputs.get(i).map(|t| self.program.def(*t))
    }
    fn is(&self, operand: usize, dtype: D) -> bool {
        self.operand(operand).is_some_and(|t| t.ty.dtype == dtype)
    }
    fn gives(&self, dtype: D) -> bool {
        self.result(0).is_some_and(|t| t.ty.dtype == dtype)
    }
    fn rank(&self, operand: usize) -> usize {
        self.operand(operand).and_then(|t| t.ty.shape.as_ref()).map_or(0, |s| s.len())
    }
    fn int(&self, option: &str) -> i64 {
        self.instr.options.as_ref().map_or(0, |o| o.int(option))
    }
    fn flag(&self, option: &str) -> bool {
        self.int(option) != 0
    }
    /// Whether weights in `operand` are 8-bit integers while the data are floating-point numbers.
    fn is_hybrid(&self, operand: usize) -> bool {
        self.is(operand, D::I8) && self.gives(D::F32)
    }
    /// Versions `plain` or `asymmetric` of operators whose weights in `operand` are 8-bit integers.
    fn hybrid(&self, operand: usize, plain: u32, asymmetric: u32) -> u32 {
        match (self.is_hybrid(operand), self.flag("asymmetric_quantize_inputs")) {
            (false, _) => 1,
            (true, false) => plain,
            (true, true) => asymmetric,
        }
    }
    /// Whether shapes of more than four dimensions differ or may differ.
    fn broadcasts_beyond_4(&self) -> bool {
        let shape = |i| self.operand(i).and_then(|t| t.ty.shape.as_ref());
        self.rank(0).max(self.rank(1)) > 4 && shape(0) != shape(1)
    }
    /// Whether data and result are 16-bit and the bias's type is given.
    fn has_bias_type(&self, data: usize, weights: usize) -> bool {
        self.is(data, D::I16) && self.is(weights, D::I8) && self.flag("quantized_bias_type")
    }
    /// The version that options, ranks, quantization or several element types together ask for.
    fn by_form(&self) -> u32 {
        match self.instr.builtin {
            B::Conv2d | B::DepthwiseConv2d | B::TransposeConv | B::FullyConnected => self.weighted(),
            B::Lstm
            | B::UnidirectionalSequenceLstm
            | B::BidirectionalSequenceLstm
            | B::Rnn
            | B::UnidirectionalSequenceRnn
            | B::BidirectionalSequenceRnn
            | B::Svdf => self.recurrent(),
            B::Add | B::Sub | B::Mul | B::Div | B::Maximum | B::Minimum => self.arithmetic(),
            B::Abs => match (self.is(0, D::I16), self.is_quantized(0)) {
                (false, _) => 1,
                (true, true) => 3,
                (true, false) => 4,
            },
            B::BatchMatmul => self.hybrid(1, 1, 4),
            B::BroadcastTo => 2,
            B::Cast => asked(CAST, self.operand(0)).max(asked(CAST, self.result(0))),
            B::Dequantize => highest(&[(self.is(0, D::I8) && per_slice(self.operand(0)), 5)]),
            B::EmbeddingLookup => highest(&[(per_slice(self.operand(1)), 4)]),
            B::FakeQuant => highest(&[(self.flag("narrow_range"), 2)]),
            B::Gather => highest(&[(self.flag("batch_dims"), 5)]),
            B::Pad | B::Padv2 => highest(&[(self.rank(0) > 4, 4)]),
            B::Quantize => highest(&[
                (self.is(0, D::U4) || self.gives(D::U4), 5),
                (self.is(0, D::I4) || self.gives(D::I4), 4),
                (per_slice(self.result(0)), 3),
                (self.gives(D::I16), 2),
            ]),
            B::ResizeBilinear => highest(&[(self.flag("half_pixel_centers"), 3)]),
            B::ResizeNearestNeighbor => {
                highest(&[(self.flag("half_pixel_centers") || self.flag("align_corners"), 3)])
            }
            B::Select => highest(&[((0..3).any(|i| self.rank(i) > 4), 3)]),
            B::Slice => highest(&[(self.rank(0) > 4, 5)]),
            B::SpaceToBatchNd | B::BatchToSpaceNd => highest(&[(self.rank(0) != 4, 3)]),
            B::StridedSlice => highest(&[
                (self.flag("offset"), 8),
                (self.flag("ellipsis_mask") || self.flag("new_axis_mask"), 6),
                (self.rank(0) > 4, 4),
            ]),
            B::TopkV2 => highest(&[(self.result(1).is_some_and(|t| t.ty.dtype == D::I16), 3)]),
            B::Transpose => highest(&[(self.rank(0) > 6, 8), (self.rank(0) > 5, 6), (self.rank(0) > 4, 4)]),
            B::Where => highest(&[(!self.is(0, D::Bool), 2)]),
            _ => 1,
        }
    }
    fn is_quantized(&self, operand: usize) -> bool {
        self.operand(operand).is_some_and(|t| t.quant.is_some())
    }
    fn arithmetic(&self) -> u32 {
        let wide = self.is(0, D::I16) && self.gives(D::I16);
        match self.instr.builtin {
            B::Add => highest(&[
                (self.is(0, D::I16) && !self.is_quantized(0), 5),
                (wide && !self.flag("pot_scale_int16"), 3),
            ]),
            B::Sub => highest(&[(wide && !self.flag("pot_scale_int16"), 5), (self.broadcasts_beyond_4(), 3)]),
            B::Mul => highest(&[
                (self.is(0, D::I16) && !self.is_quantized(0) && !self.is_quantized(1), 7),
                (self.rescales_up(), 3),
            ]),
            B::Div => highest(&[(self.broadcasts_beyond_4(), 2)]),
            _ => highest(&[(self.broadcasts_beyond_4(), 3)]),
        }
    }
    /// Whether the scales of a quantized product are at least that of the result.
    fn rescales_up(&self) -> bool {
        let scale = |t: Option<&TensorDef>| t.and_then(|t| t.quant.as_ref()?.scale.first().copied());
        let scales = (scale(self.operand(0)), scale(self.operand(1)), scale(self.result(0)));
        matches!(scales, (Some(a), Some(b), Some(c)) if a * b != 0.0 && c != 0.0 && a * b / c >= 1.0)
    }
    fn weighted(&self) -> u32 {
        let (bytes, nibbles) =
            (self.is(0, D::I8) && self.is(1, D::I8), self.is(0, D::I8) && self.is(1, D::I4));
        let (wide, sliced) = (self.is(0, D::I16), per_slice(self.operand(1)));
        match self.instr.builtin {
            B::Conv2d => highest(&[
                (self.has_bias_type(0, 1), 8),
                (nibbles, 7),
                (self.is_grouped(), 6),
                (self.is_hybrid(1) && sliced, 5),
                (wide, 4),
                (bytes, 3),
                (self.is_hybrid(1), 2),
            ]),
            B::DepthwiseConv2d => highest(&[
                (nibbles, 7),
                (self.is_hybrid(1) && sliced, 6),
                (wide, 5),
                (self.is_hybrid(1), 4),
                (bytes, 3),
                (self.int("dilation_w_factor") != 1 || self.int("dilation_h_factor") != 1, 2),
            ]),
            B::TransposeConv => highest(&[
                (self.has_bias_type(2, 1), 5),
                (self.flag("fused_activation_function"), 4),
                (self.operand(3).is_some(), 3),
            ]),
            _ => self.dense(bytes, nibbles, sliced),
        }
    }
    fn dense(&self, bytes: bool, nibbles: bool, sliced: bool) -> u32 {
        highest(&[
            (self.is(0, D::I16) && self.is(1, D::I4), 13),
            (self.is_hybrid(1) && sliced, 12),
            (self.has_bias_type(0, 1), 11),
            (nibbles, 10),
            (self.is(0, D::I16), 7),
            (self.instr.inputs.len() == 2, 6),
            (self.flag("keep_num_dims"), 5),
            (bytes, 4),
            (self.flag("weights_format"), 2),
        ])
        .max(self.hybrid(1, 3, 9))
    }
    /// Whether a filter sees fewer channels than the data have.
    fn is_grouped(&self) -> bool {
        let channels = |i| self.operand(i).and_then(|t| t.ty.shape.as_ref()?.last()?.known());
        matches!((channels(0), channels(1)), (Some(data), Some(filter)) if data != filter)
    }
    fn recurrent(&self) -> u32 {
        match self.instr.builtin {
            B::Lstm => highest(&[(self.flag("kernel_type"), 2)]).max(self.hybrid(2, 3, 4)),
            B::UnidirectionalSequenceLstm => {
                highest(&[(self.flag("diagonal_recurrent_tensors"), 4)]).max(self.hybrid(2, 2, 3))
            }
            B::Svdf => self.hybrid(1, 2, 4),
            _ => self.hybrid(1, 2, 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tflite::program::Quant;
    use crate::tflite::schema::BUILTINS;
    use crate::tflite::table::Value;
    use hoist_ir::types::TensorType;
    use std::sync::Arc;

    /// The version of `builtin` with operands and one result of these types and shapes.
    fn of(
        builtin: B,
        operands: &[(D, &[usize])],
        result: D,
        options: &[(&str, i64)],
        quant: Option<Quant>,
    ) -> u32 {
        let mut program = Program::default();
        let def = |d: D, s: &[usize]| TensorDef::new(TensorType::fixed(d, s));
        let inputs = operands.iter().map(|(d, s)| Some(program.add(def(*d, s)))).collect::<Vec<_>>();
        let outputs = vec![program.add(def(result, &[]))];
        if let (Some(_), Some(Some(weights))) = (&quant, inputs.get(1)) {
            program.def_mut(*weights).quant = quant;
        }
        let options = builtin.options().map(|o| options.iter().fold(o, |o, (n, v)| o.with(n, *v)));
        let instr =
            Instr { builtin, custom: None, options, inputs, outputs, bodies: vec![], label: Arc::from("") };
        version(&program, &instr)
    }
    fn plain(builtin: B, operands: &[(D, &[usize])]) -> u32 {
        of(builtin, operands, operands[0].0, &[], None)
    }

    #[test]
    fn every_builtin_has_a_version_without_operands() {
        for (builtin, name, _) in BUILTINS {
            let lowest = if *builtin == B::BroadcastTo { 2 } else { 1 };
            let found = of(*builtin, &[], D::F32, &[], None);
            // No rank is not rank 4; an absent element type is not a truth value; two operands are the form without bias.
            let other = matches!(*builtin, B::SpaceToBatchNd | B::BatchToSpaceNd | B::Where);
            assert!(found == lowest || other, "{name}: {found}");
        }
    }

    #[test]
    fn element_types_raise_the_version() {
        assert_eq!(plain(B::Add, &[(D::F32, &[2]), (D::F32, &[2])]), 1);
        assert_eq!(plain(B::Add, &[(D::I64, &[2]), (D::I64, &[2])]), 4);
        assert_eq!(plain(B::Sub, &[(D::I64, &[2]), (D::I64, &[2])]), 4);
        assert_eq!(plain(B::Concatenation, &[(D::I32, &[2]), (D::I32, &[2])]), 1);
        assert_eq!(plain(B::Transpose, &[(D::Bool, &[2, 2]), (D::I32, &[2])]), 3);
        assert_eq!(plain(B::Split, &[(D::I32, &[]), (D::I32, &[4])]), 3);
        assert_eq!(plain(B::FloorDiv, &[(D::F32, &[4]), (D::F32, &[4])]), 2);
        assert_eq!(plain(B::Where, &[(D::Bool, &[4])]), 1);
        assert_eq!(plain(B::Where, &[(D::I64, &[4])]), 2);
        assert_eq!(of(B::Cast, &[(D::F32, &[4])], D::F64, &[], None), 5);
        assert_eq!(of(B::Cast, &[(D::I8, &[4])], D::I32, &[], None), 3);
        assert_eq!(plain(B::DynamicUpdateSlice, &[(D::F32, &[4]), (D::F32, &[1]), (D::I64, &[1])]), 2);
    }

    #[test]
    fn ranks_raise_the_version() {
        let five: &[usize] = &[1, 2, 3, 4, 5];
        assert_eq!(plain(B::Transpose, &[(D::F32, &[1; 4])]), 1);
        assert_eq!(plain(B::Transpose, &[(D::F32, five)]), 4);
        assert_eq!(plain(B::Transpose, &[(D::F32, &[1; 6])]), 6);
        assert_eq!(plain(B::Transpose, &[(D::F32, &[1; 7])]), 8);
        assert_eq!(plain(B::Pad, &[(D::F32, five)]), 4);
        assert_eq!(plain(B::Slice, &[(D::F32, five)]), 5);
        assert_eq!(plain(B::StridedSlice, &[(D::F32, five)]), 4);
        assert_eq!(plain(B::Sub, &[(D::F32, five), (D::F32, five)]), 1);
        assert_eq!(plain(B::Sub, &[(D::F32, five), (D::F32, &[5])]), 3);
        assert_eq!(plain(B::Div, &[(D::F32, five), (D::F32, &[5])]), 2);
        assert_eq!(plain(B::Add, &[(D::F32, five), (D::F32, &[5])]), 1);
    }

    #[test]
    fn options_raise_the_version() {
        let x = (D::F32, &[1, 4, 4, 8][..]);
        assert_eq!(of(B::ResizeBilinear, &[x], D::F32, &[("half_pixel_centers", 1)], None), 3);
        assert_eq!(of(B::ResizeBilinear, &[x], D::F32, &[("align_corners", 1)], None), 1);
        assert_eq!(of(B::ResizeNearestNeighbor, &[x], D::F32, &[("align_corners", 1)], None), 3);
        assert_eq!(of(B::StridedSlice, &[x], D::F32, &[("new_axis_mask", 1)], None), 6);
        assert_eq!(of(B::Gather, &[x], D::F32, &[("batch_dims", 1)], None), 5);
        let weights = (D::F32, &[8, 8][..]);
        assert_eq!(of(B::FullyConnected, &[x, weights], D::F32, &[], None), 6);
        let bias = (D::F32, &[8][..]);
        assert_eq!(of(B::FullyConnected, &[x, weights, bias], D::F32, &[("keep_num_dims", 1)], None), 5);
        let dilated = [("dilation_h_factor", 2)];
        assert_eq!(of(B::DepthwiseConv2d, &[x, x, bias], D::F32, &dilated, None), 2);
        assert_eq!(of(B::DepthwiseConv2d, &[x, x, bias], D::F32, &[], None), 1);
    }

    #[test]
    fn convolutions_by_groups_and_quantization() {
        let (x, w, bias) = ((D::F32, &[1, 4, 4, 8][..]), (D::I8, &[6, 3, 3, 8][..]), (D::F32, &[6][..]));
        let slices = |n: usize| Quant { scale: vec![0.5; n], zero_point: vec![0; n], axis: 0 };
        assert_eq!(of(B::Conv2d, &[x, (D::F32, &[6, 3, 3, 8]), bias], D::F32, &[], None), 1);
        assert_eq!(of(B::Conv2d, &[x, (D::F32, &[6, 3, 3, 4]), bias], D::F32, &[], None), 6);
        assert_eq!(of(B::Conv2d, &[x, w, bias], D::F32, &[], Some(slices(1))), 2);
        assert_eq!(of(B::Conv2d, &[x, w, bias], D::F32, &[], Some(slices(6))), 5);
        assert_eq!(of(B::Conv2d, &[(D::I8, x.1), w, bias], D::I8, &[], None), 3);
    }

    #[test]
    fn absent_numbers_stand_for_their_defaults() {
        let options = B::Sub.options().map(|o| o.with("pot_scale_int16", Value::Int(0)));
        assert!(options.is_some_and(|o| o.int("pot_scale_int16") == 0));
        assert_eq!(of(B::Sub, &[(D::I16, &[2]), (D::I16, &[2])], D::I16, &[], None), 1);
        assert_eq!(of(B::Sub, &[(D::I16, &[2]), (D::I16, &[2])], D::I16, &[("pot_scale_int16", 0)], None), 5);
    }
}
