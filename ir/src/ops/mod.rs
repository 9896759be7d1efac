//! The closed set of operators. A new one costs its file, one line in its family's `mod.rs` and one line here.
use crate::op::{OpDef, Schema};

pub mod attention;
pub mod contrib;
pub mod control;
pub mod custom;
pub mod elementwise;
pub mod index;
pub mod linear;
pub mod ml;
pub mod movement;
pub mod norm;
pub mod quant;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod sequence;
pub mod shape;
pub mod signal;
pub mod spatial;
pub mod text;
pub mod training;
pub mod vision;
pub mod words;

pub use custom::Custom;

/// Declares [`Op`] from the paths of its operators; behind the semicolon, those that are boxed.
macro_rules! op_list {
    ($($($module:ident)::+ . $Op:ident,)* ; $($($boxed:ident)::+ . $Big:ident,)*) => {
        /// An operator with its attributes.
        #[derive(Clone, PartialEq, Debug)]
        pub enum Op {
            /// An operator Hoist does not know; passed through untouched.
            Custom(Box<Custom>),
            $(#[doc = concat!("See [`", stringify!($Op), "`](", stringify!($($module)::+), "::", stringify!($Op), ").")] $Op($($module)::+::$Op),)*
            $(#[doc = concat!("See [`", stringify!($Big), "`](", stringify!($($boxed)::+), "::", stringify!($Big), ").")] $Big(Box<$($boxed)::+::$Big>),)*
        }
        $(impl From<$($module)::+::$Op> for Op { fn from(op: $($module)::+::$Op) -> Self { Self::$Op(op) } })*
        $(impl From<$($boxed)::+::$Big> for Op { fn from(op: $($boxed)::+::$Big) -> Self { Self::$Big(Box::new(op)) } })*
        impl From<Custom> for Op { fn from(op: Custom) -> Self { Self::Custom(Box::new(op)) } }
        impl Op {
            /// Declarations of all operators but `custom`.
            pub const ALL: &'static [&'static Schema] = &[$(&$($module)::+::$Op::SCHEMA,)* $(&$($boxed)::+::$Big::SCHEMA,)*];
            /// The operator of that name with default attributes.
            pub fn by_name(name: &str) -> Option<Self> {
                $(if name == $($module)::+::$Op::SCHEMA.name { return Some(Self::$Op(Default::default())); })*
                $(if name == $($boxed)::+::$Big::SCHEMA.name { return Some(Self::$Big(Box::default())); })*
                None
            }
            /// Its contract.
            pub fn def(&self) -> &dyn OpDef {
                match self { Self::Custom(op) => op.as_ref(), $(Self::$Op(op) => op,)* $(Self::$Big(op) => op.as_ref(),)* }
            }
            /// Its contract, for setting attributes.
            pub fn def_mut(&mut self) -> &mut dyn OpDef {
                match self { Self::Custom(op) => op.as_mut(), $(Self::$Op(op) => op,)* $(Self::$Big(op) => op.as_mut(),)* }
            }
        }
    };
}

op_list! {
    attention::attend.Attention,
    attention::causal_conv_with_state.CausalConvWithState,
    attention::linear_attention.LinearAttention,
    attention::rotary_embedding.RotaryEmbedding,
    attention::swi_glu.SwiGlu,
    contrib::attention.ContribAttention,
    contrib::biased.BiasAdd,
    contrib::biased.BiasGelu,
    contrib::biased.BiasSoftmax,
    contrib::biased.BiasSplitGelu,
    contrib::biased.FastGelu,
    contrib::biased.ScaledSiLu,
    contrib::c_dist.CDist,
    contrib::crop_and_resize.CropAndResize,
    contrib::embed_layer_normalization.EmbedLayerNormalization,
    contrib::group_norm.GroupNorm,
    contrib::group_norm.SkipGroupNorm,
    contrib::group_query_attention.GroupQueryAttention,
    contrib::inverse.Inverse,
    contrib::multi_head_attention.MultiHeadAttention,
    contrib::murmur_hash3.MurmurHash3,
    contrib::n_gram_repeat_block.NGramRepeatBlock,
    contrib::products.FusedGemm,
    contrib::products.FusedMatMul,
    contrib::products.FusedMatMulActivation,
    contrib::products.GemmFastGelu,
    contrib::q_attention.QAttention,
    contrib::rotary_embedding.ContribRotaryEmbedding,
    contrib::skip_norm.SkipLayerNormalization,
    contrib::skip_norm.SkipSimplifiedLayerNormalization,
    control::if_.If,
    control::loop_.Loop,
    control::scan.Scan,
    control::sequence_map.SequenceMap,
    elementwise::activation.Celu,
    elementwise::activation.Elu,
    elementwise::activation.Gelu,
    elementwise::activation.HardSigmoid,
    elementwise::activation.HardSwish,
    elementwise::activation.LeakyRelu,
    elementwise::activation.Mish,
    elementwise::activation.Relu,
    elementwise::activation.Selu,
    elementwise::activation.Shrink,
    elementwise::activation.Sigmoid,
    elementwise::activation.Softplus,
    elementwise::activation.Softsign,
    elementwise::activation.Swish,
    elementwise::activation.ThresholdedRelu,
    elementwise::arithmetic.Add,
    elementwise::arithmetic.Div,
    elementwise::arithmetic.Mod,
    elementwise::arithmetic.Mul,
    elementwise::arithmetic.Sub,
    elementwise::cast.Cast,
    elementwise::cast.CastLike,
    elementwise::clip.Clip,
    elementwise::compare.Equal,
    elementwise::compare.Greater,
    elementwise::compare.GreaterOrEqual,
    elementwise::compare.Less,
    elementwise::compare.LessOrEqual,
    elementwise::dropout.Dropout,
    elementwise::identity.Identity,
    elementwise::logic.And,
    elementwise::logic.BitShift,
    elementwise::logic.BitwiseAnd,
    elementwise::logic.BitwiseOr,
    elementwise::logic.BitwiseXor,
    elementwise::logic.Or,
    elementwise::logic.Xor,
    elementwise::p_relu.PRelu,
    elementwise::pow.Pow,
    elementwise::predicate.IsInf,
    elementwise::predicate.IsNan,
    elementwise::select.Where,
    elementwise::unary.Abs,
    elementwise::unary.Acos,
    elementwise::unary.Acosh,
    elementwise::unary.Asin,
    elementwise::unary.Asinh,
    elementwise::unary.Atan,
    elementwise::unary.Atanh,
    elementwise::unary.BitwiseNot,
    elementwise::unary.Ceil,
    elementwise::unary.Cos,
    elementwise::unary.Cosh,
    elementwise::unary.Erf,
    elementwise::unary.Exp,
    elementwise::unary.Floor,
    elementwise::unary.Log,
    elementwise::unary.Neg,
    elementwise::unary.Not,
    elementwise::unary.Reciprocal,
    elementwise::unary.Round,
    elementwise::unary.Sign,
    elementwise::unary.Sin,
    elementwise::unary.Sinh,
    elementwise::unary.Sqrt,
    elementwise::unary.Tan,
    elementwise::unary.Tanh,
    elementwise::variadic.Max,
    elementwise::variadic.Mean,
    elementwise::variadic.Min,
    elementwise::variadic.Sum,
    index::compress.Compress,
    index::gather.Gather,
    index::gather_elements.GatherElements,
    index::gather_nd.GatherNd,
    index::scatter_elements.ScatterElements,
    index::scatter_nd.ScatterNd,
    index::tensor_scatter.TensorScatter,
    index::unique.Unique,
    linear::det.Det,
    linear::einsum.Einsum,
    linear::gemm.Gemm,
    linear::mat_mul.MatMul,
    linear::mat_mul_integer.MatMulInteger,
    ml::encode.ArrayFeatureExtractor,
    ml::encode.FeatureVectorizer,
    ml::encode.OneHotEncoder,
    ml::linear.LinearClassifier,
    ml::linear.LinearRegressor,
    ml::scale.Binarizer,
    ml::scale.Imputer,
    ml::scale.Normalizer,
    ml::scale.Scaler,
    movement::bit_cast.BitCast,
    movement::concat.Concat,
    movement::expand.Expand,
    movement::flatten.Flatten,
    movement::pad.Pad,
    movement::reshape.Reshape,
    movement::reverse_sequence.ReverseSequence,
    movement::slice.Slice,
    movement::split.Split,
    movement::squeeze.Squeeze,
    movement::tile.Tile,
    movement::transpose.Transpose,
    movement::trilu.Trilu,
    movement::unsqueeze.Unsqueeze,
    norm::batch_normalization.BatchNormalization,
    norm::group.GroupNormalization,
    norm::group.InstanceNormalization,
    norm::layer_normalization.LayerNormalization,
    norm::lp_normalization.LpNormalization,
    norm::lrn.Lrn,
    norm::mean_variance_normalization.MeanVarianceNormalization,
    norm::rms_normalization.RmsNormalization,
    quant::dequantize_linear.DequantizeLinear,
    quant::dynamic_quantize_linear.DynamicQuantizeLinear,
    quant::gather_block_quantized.GatherBlockQuantized,
    quant::integer_products.DynamicQuantizeMatMul,
    quant::integer_products.MatMulInteger16,
    quant::integer_products.MatMulIntegerToFloat,
    quant::mat_mul_bnb4.MatMulBnb4,
    quant::mat_mul_n_bits.MatMulNBits,
    quant::q_embed_layer_normalization.QEmbedLayerNormalization,
    quant::q_gemm.QGemm,
    quant::q_linear_activation.QLinearLeakyRelu,
    quant::q_linear_activation.QLinearSigmoid,
    quant::q_linear_arithmetic.QLinearAdd,
    quant::q_linear_arithmetic.QLinearMul,
    quant::q_linear_concat.QLinearConcat,
    quant::q_linear_conv.QLinearConv,
    quant::q_linear_mat_mul.QLinearMatMul,
    quant::q_linear_pool.QLinearAveragePool,
    quant::q_linear_pool.QLinearGlobalAveragePool,
    quant::q_linear_softmax.QLinearSoftmax,
    quant::q_linear_where.QLinearWhere,
    quant::quantize_linear.QuantizeLinear,
    random::bernoulli.Bernoulli,
    random::fill.RandomNormal,
    random::fill.RandomNormalLike,
    random::fill.RandomUniform,
    random::fill.RandomUniformLike,
    random::multinomial.Multinomial,
    recurrent::dynamic_quantize_lstm.DynamicQuantizeLstm,
    recurrent::gru.Gru,
    recurrent::lstm.Lstm,
    recurrent::rnn.Rnn,
    reduce::arg.ArgMax,
    reduce::arg.ArgMin,
    reduce::cumulative.CumProd,
    reduce::cumulative.CumSum,
    reduce::reductions.ReduceL1,
    reduce::reductions.ReduceL2,
    reduce::reductions.ReduceLogSum,
    reduce::reductions.ReduceLogSumExp,
    reduce::reductions.ReduceMax,
    reduce::reductions.ReduceMean,
    reduce::reductions.ReduceMin,
    reduce::reductions.ReduceProd,
    reduce::reductions.ReduceSum,
    reduce::reductions.ReduceSumSquare,
    reduce::softmax.Hardmax,
    reduce::softmax.LogSoftmax,
    reduce::softmax.Softmax,
    reduce::top_k.TopK,
    sequence::access.SequenceAt,
    sequence::access.SequenceErase,
    sequence::access.SequenceInsert,
    sequence::access.SequenceLength,
    sequence::concat_from_sequence.ConcatFromSequence,
    sequence::construct.SequenceConstruct,
    sequence::construct.SequenceEmpty,
    sequence::optional.Optional,
    sequence::optional.OptionalGetElement,
    sequence::optional.OptionalHasElement,
    sequence::split_to_sequence.SplitToSequence,
    shape::eye_like.EyeLike,
    shape::non_zero.NonZero,
    shape::one_hot.OneHot,
    shape::range.Range,
    shape::shape.Shape,
    shape::size.Size,
    signal::dft.Dft,
    signal::mel_weight_matrix.MelWeightMatrix,
    signal::stft.Stft,
    signal::window.BlackmanWindow,
    signal::window.HammingWindow,
    signal::window.HannWindow,
    spatial::average_pool.AveragePool,
    spatial::conv.Conv,
    spatial::conv_integer.ConvInteger,
    spatial::depth_space.DepthToSpace,
    spatial::depth_space.SpaceToDepth,
    spatial::global_pool.GlobalAveragePool,
    spatial::global_pool.GlobalLpPool,
    spatial::global_pool.GlobalMaxPool,
    spatial::grid_sample.GridSample,
    spatial::lp_pool.LpPool,
    spatial::max_pool.MaxPool,
    spatial::resize.Resize,
    text::regex_full_match.RegexFullMatch,
    text::string_concat.StringConcat,
    text::string_normalizer.StringNormalizer,
    text::string_split.StringSplit,
    training::cross_entropy.NegativeLogLikelihoodLoss,
    training::cross_entropy.SoftmaxCrossEntropyLoss,
    training::optimizers.Adagrad,
    training::optimizers.Adam,
    training::optimizers.Momentum,
    vision::affine_grid.AffineGrid,
    vision::center_crop_pad.CenterCropPad,
    vision::col2_im.Col2Im,
    vision::deform_conv.DeformConv,
    vision::image_decoder.ImageDecoder,
    vision::max_roi_pool.MaxRoiPool,
    vision::max_unpool.MaxUnpool,
    vision::non_max_suppression.NonMaxSuppression,
    vision::roi_align.RoiAlign,
    ; // With many attributes: boxed, so that a node of another operator stays small.
    contrib::fused_conv.FusedConv,
    ml::label_encoder.LabelEncoder,
    ml::tree_ensemble.TreeEnsemble,
    ml::tree_lists.TreeEnsembleClassifier,
    ml::tree_lists.TreeEnsembleRegressor,
    shape::constant_of_shape.ConstantOfShape,
    spatial::conv_transpose.ConvTranspose,
    text::tf_idf_vectorizer.TfIdfVectorizer,
}

impl Op {
    /// Its declaration.
    pub fn schema(&self) -> &'static Schema {
        self.def().schema()
    }
    /// Name in the text form.
    pub fn name(&self) -> &'static str {
        self.schema().name
    }
    /// Attributes that differ from their defaults, in declaration order.
    pub fn set_attrs(&self) -> Vec<(&'static str, crate::attr::Attr)> {
        let default = Self::by_name(self.name());
        let mut out = vec![];
        for spec in self.schema().attrs {
            let Some(value) = self.def().attr(spec.name) else { continue };
            let standard = default.as_ref().and_then(|d| d.def().attr(spec.name));
            if !standard.is_some_and(|s| s.same(&value)) {
                out.push((spec.name, value));
            }
        }
        out
    }
}

impl Op {
    /// The operator of that name with these attributes.
    ///
    /// # Errors
    /// When there is no such operator, or it has no such attribute of that kind.
    pub fn named(name: &str, attrs: &[(&str, crate::attr::Attr)]) -> Result<Self, crate::diag::Diag> {
        let missing = || crate::diag::Diag::error("E0901", format!("the IR has no operator `{name}`"));
        let mut op = Self::by_name(name).ok_or_else(missing)?;
        for (key, value) in attrs {
            op.def_mut().set_attr(key, value).map_err(|e| crate::diag::Diag::error(e.code, e.message))?;
        }
        Ok(op)
    }
}
