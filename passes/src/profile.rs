//! What models are optimized for: which operators passes may put in place of several others.
use hoist_formats::onnx::bind::MICROSOFT;
use hoist_formats::onnx::lower;
use hoist_formats::tflite;
use hoist_ir::model::Model;

use crate::pass::Target;

/// A runtime, as far as optimization cares.
#[derive(Debug)]
pub struct Profile {
    /// Name on the command line.
    pub name: &'static str,
    /// One sentence for lists.
    pub doc: &'static str,
    /// Domains of a vendor whose operators it has, with the version to write.
    domains: &'static [(&'static str, i64)],
    /// Operators among [`FUSED`] that it computes at least as fast as what they stand for.
    fused: &'static [&'static str],
    /// Newest operator set of ONNX that fusing may ask for; a source that is newer stays as it is.
    newest: i64,
    /// Whether fusing may ask for a newer operator set than that of the source.
    raises: bool,
}

/// Operators that passes put in place of several others. Any other operator is available everywhere.
pub const FUSED: &[&str] = &[
    "attention",
    "bias_gelu",
    "bias_softmax",
    "contrib_attention",
    "dynamic_quantize_lstm",
    "dynamic_quantize_mat_mul",
    "embed_layer_normalization",
    "fast_gelu",
    "fused_conv",
    "fused_gemm",
    "fused_mat_mul",
    "gather_block_quantized",
    "gelu",
    "group_normalization",
    "group_query_attention",
    "hard_swish",
    "layer_normalization",
    "mat_mul_integer_to_float",
    "mat_mul_n_bits",
    "mish",
    "multi_head_attention",
    "q_attention",
    "q_gemm",
    "q_linear_add",
    "q_linear_concat",
    "q_linear_conv",
    "q_linear_global_average_pool",
    "q_linear_leaky_relu",
    "q_linear_mat_mul",
    "q_linear_mul",
    "q_linear_sigmoid",
    "rms_normalization",
    "rotary_embedding",
    "skip_layer_normalization",
    "skip_simplified_layer_normalization",
    "swi_glu",
    "swish",
];

/// The profiles.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "onnx",
        doc: "Operators of ONNX only, in the operator set of the source",
        domains: &[],
        fused: &[
            "attention",
            "gelu",
            "hard_swish",
            "layer_normalization",
            "mish",
            "rms_normalization",
            "rotary_embedding",
            "swish",
        ],
        newest: 24,
        raises: false,
    },
    Profile {
        name: "onnxruntime",
        doc: "Also the operators of com.microsoft that ONNX Runtime computes on the CPU",
        domains: &[(MICROSOFT, 1)],
        fused: &[
            "attention",
            "bias_gelu",
            "bias_softmax",
            "contrib_attention",
            "dynamic_quantize_lstm",
            "dynamic_quantize_mat_mul",
            "fast_gelu",
            "fused_conv",
            "fused_gemm",
            "fused_mat_mul",
            "gather_block_quantized",
            "gelu",
            "group_query_attention",
            "hard_swish",
            "layer_normalization",
            "mat_mul_integer_to_float",
            "mat_mul_n_bits",
            "mish",
            "multi_head_attention",
            "q_attention",
            "q_gemm",
            "q_linear_add",
            "q_linear_concat",
            "q_linear_conv",
            "q_linear_global_average_pool",
            "q_linear_leaky_relu",
            "q_linear_mat_mul",
            "q_linear_mul",
            "q_linear_sigmoid",
            "rms_normalization",
            "rotary_embedding",
            "skip_simplified_layer_normalization",
            "swish",
        ],
        newest: 23,
        raises: true,
    },
    Profile {
        name: "tensorrt",
        // The list of TensorRT 10.0's parser, which reads operator sets 9 to 20.
        doc: "Operators of ONNX that the parser of TensorRT takes whole",
        domains: &[],
        fused: &["gelu", "group_normalization", "hard_swish", "layer_normalization", "mish"],
        newest: 20,
        raises: true,
    },
    Profile {
        name: "tflite",
        doc: "Operators that LiteRT has",
        domains: &[],
        fused: &[
            "gelu",
            "hard_swish",
            "layer_normalization",
            "rms_normalization",
            "attention",
            "mish",
            "swish",
        ],
        newest: 24,
        raises: true,
    },
];

impl Profile {
    /// The profile of that name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|p| p.name == name)
    }
    /// The profile with the same kernels and without operators of a vendor, where that is another one.
    pub fn plain(&self) -> Option<&'static Self> {
        if self.domains.is_empty() { None } else { Self::by_name("onnx") }
    }
    /// Whether a pass may put operator `op` in place of several others.
    pub fn allows(&self, op: &str) -> bool {
        !FUSED.contains(&op) || self.fused.contains(&op)
    }
    /// Lets `model` be written with the domains of the profile.
    pub fn import(&self, model: &mut Model) {
        for (domain, version) in self.domains {
            if model.opset(domain).is_none() {
                model.opsets.push(((*domain).into(), *version));
            }
        }
    }
    /// What `model` will be written for, where operator set `asked` is or is not asked for.
    pub fn target(&self, model: &Model, asked: Option<i64>) -> Target {
        if self.name == "tflite" {
            return Target::Tflite(tflite::lower::Target::default());
        }
        let source = model.opset("");
        let kept = source.filter(|_| !self.raises).map(|s| s.max(lower::PREFERRED));
        let opset = asked.or(kept).unwrap_or_else(|| self.newest.max(source.unwrap_or(0)));
        Target::Onnx(lower::Target::new(model, opset))
    }
}
