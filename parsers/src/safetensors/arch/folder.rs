//! Folders of published models: `config.json`, which says which program it is and its sizes, and weights beside it.
use super::below::{Part, Wants};
use super::blocks::{Net, R};
use super::config::{Config, parse};
use super::decoder::Decoder;
use super::{bert, classic, clip, gemma, gpt, llama, mamba, modern, phi, pyramid, seq2seq, speech, vit};
use crate::source::{Source, resolve_sidecar};
use crate::weights::{WeightOptions, Weights, in_folder, read as read_weights};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::model::Model;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// What the folder does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the model is for, when it is not what its class says.
    pub task: Option<String>,
    /// What is asked of the model.
    pub wants: Wants,
    /// Names of the inputs, out of those that the model may have; empty for the usual ones.
    pub inputs: Vec<String>,
    /// Whether linear layers take their weights as they are stored even where there are few.
    pub stored: bool,
    /// How the weights are read.
    pub weights: WeightOptions,
}

/// What is put on top of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Head {
    /// Nothing: its hidden states.
    None,
    CausalLm,
    MaskedLm,
    SequenceClassification,
    TokenClassification,
    QuestionAnswering,
    ConditionalGeneration,
    ImageClassification,
    SemanticSegmentation,
    Ctc,
}

/// Heads by the end of the class's name, and by the name of the task.
const HEADS: &[(&str, &str, Head)] = &[
    ("ForCausalLM", "text-generation", Head::CausalLm),
    ("LMHeadModel", "text-generation", Head::CausalLm),
    ("ForMaskedLM", "fill-mask", Head::MaskedLm),
    ("ForSequenceClassification", "text-classification", Head::SequenceClassification),
    ("ForTokenClassification", "token-classification", Head::TokenClassification),
    ("ForQuestionAnswering", "question-answering", Head::QuestionAnswering),
    ("ForConditionalGeneration", "text2text-generation", Head::ConditionalGeneration),
    ("MTModel", "text2text-generation", Head::ConditionalGeneration),
    ("ForImageClassification", "image-classification", Head::ImageClassification),
    ("ForSemanticSegmentation", "semantic-segmentation", Head::SemanticSegmentation),
    ("ForCTC", "automatic-speech-recognition", Head::Ctc),
    ("Model", "feature-extraction", Head::None),
];

/// How a family is built.
enum Build {
    Decoder(fn(&Config) -> Decoder),
    Other(fn(&Config, &mut Net<'_>, Head) -> Result<(), Diags>),
}

/// Families by `model_type`.
const FAMILIES: &[(&str, Build)] = &[
    ("albert", Build::Other(bert::albert)),
    ("bart", Build::Other(seq2seq::bart)),
    ("beit", Build::Other(vit::beit)),
    ("bert", Build::Other(bert::bert)),
    ("bloom", Build::Decoder(gpt::bloom)),
    ("camembert", Build::Other(bert::roberta)),
    ("clip", Build::Other(clip::clip)),
    ("convnext", Build::Other(pyramid::convnext)),
    ("deberta-v2", Build::Other(modern::deberta)),
    ("deit", Build::Other(vit::deit)),
    ("dinov2", Build::Other(vit::dinov2)),
    ("distilbert", Build::Other(bert::distilbert)),
    ("electra", Build::Other(bert::electra)),
    ("falcon", Build::Decoder(gpt::falcon)),
    ("gemma", Build::Decoder(gemma::gemma)),
    ("gemma2", Build::Decoder(gemma::gemma2)),
    ("gemma3_text", Build::Decoder(gemma::gemma3)),
    ("gpt2", Build::Decoder(gpt::gpt2)),
    ("gpt_neox", Build::Decoder(gpt::gpt_neox)),
    ("granite", Build::Decoder(llama::granite)),
    ("hubert", Build::Other(speech::hubert)),
    ("llama", Build::Decoder(llama::llama)),
    ("mamba", Build::Other(mamba::mamba)),
    ("marian", Build::Other(seq2seq::marian)),
    ("mistral", Build::Decoder(llama::mistral)),
    ("mixtral", Build::Decoder(llama::mixtral)),
    ("mpnet", Build::Other(bert::mpnet)),
    ("mobilenet_v2", Build::Other(classic::mobilenet_v2)),
    ("modernbert", Build::Other(modern::modernbert)),
    ("mt5", Build::Other(seq2seq::mt5)),
    ("olmo2", Build::Decoder(llama::olmo2)),
    ("opt", Build::Decoder(gpt::opt)),
    ("phi", Build::Decoder(phi::phi)),
    ("phi3", Build::Decoder(phi::phi3)),
    ("qwen2", Build::Decoder(llama::qwen2)),
    ("qwen3", Build::Decoder(llama::qwen3)),
    ("qwen3_moe", Build::Decoder(llama::qwen3_moe)),
    ("resnet", Build::Other(classic::resnet)),
    ("roberta", Build::Other(bert::roberta)),
    ("segformer", Build::Other(pyramid::segformer)),
    ("siglip", Build::Other(clip::siglip)),
    ("smollm3", Build::Decoder(llama::smollm3)),
    ("stablelm", Build::Decoder(llama::stablelm)),
    ("starcoder2", Build::Decoder(llama::starcoder2)),
    ("swin", Build::Other(pyramid::swin)),
    ("t5", Build::Other(seq2seq::t5)),
    ("vit", Build::Other(vit::vit)),
    ("wav2vec2", Build::Other(speech::wav2vec2)),
    ("whisper", Build::Other(seq2seq::whisper)),
    ("xlm-roberta", Build::Other(bert::roberta)),
];

/// The model types that are built, sorted.
pub fn model_types() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

/// Whether `text` is the configuration of a published model.
pub fn looks_like_config(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
        && parse(text).is_ok_and(|j| j.get("model_type").is_some_and(Json::is_string))
}

/// Weights of more bytes lie beside the model, and stay there as they are stored.
const LARGE: u64 = 1 << 30;

/// Ends of names of tensors that files keep and no program reads: what is computed from the configuration.
const COMPUTED: &[&str] = &[
    "position_ids",
    "rotary_emb.inv_freq",
    "attn.bias",
    "attn.masked_bias",
    "attention.bias",
    "attention.masked_bias",
    "num_batches_tracked",
    "embed_positions.weights",
    "relative_position_index",
    "mask_token",
    "masked_spec_embed",
    "logit_scale_init_value",
];

/// Beginnings of names of heads: a model that is used without one leaves them.
const HEAD_PARTS: &[&str] = &[
    "lm_head.",
    "embed_out.",
    "cls.",
    "classifier.",
    "qa_outputs.",
    "score.",
    "pooler.",
    "vocab_",
    "predictions.",
    "discriminator_predictions.",
    "generator_",
    "pre_classifier.",
    "sop_classifier.",
];

/// Reads the model whose configuration is `source`.
///
/// # Errors
/// Everything that is wrong with the configuration, then with the weights.
pub fn read(source: &Source, options: &Options) -> Result<Model, Diags> {
    let config = Config::new(parse(source.bytes())?);
    let kind = config.text("model_type").unwrap_or_default().to_owned();
    config.check()?;
    let Some((_, build)) = FAMILIES.iter().find(|(name, _)| *name == kind) else {
        return Err(unknown(&kind).into());
    };
    let head = head(&config, options);
    config.check()?;
    let head = head?;
    if let Some(how) = config.get("quantization_config").and_then(|q| q.get("quant_method")) {
        let m = format!("its weights are quantized by {how}, which is not read");
        return Err(Diag::error("E0301", m).hint("take the model with weights in fp16, bf16 or fp32").into());
    }
    let folder = source.path().parent().unwrap_or(Path::new(""));
    let weights = weights(folder, options)?;
    let (weights, dtype) = of_one_type(weights)?;
    let mut net = Net::of_type(&kind, &weights, dtype);
    net.stored = options.stored || weights.bytes() > LARGE;
    net.asked.clone_from(&options.inputs);
    net.wants = options.wants;
    match build {
        Build::Decoder(spec) => {
            let spec = spec(&config);
            config.check()?;
            decoder(&spec, &mut net, head)?;
        }
        Build::Other(make) => make(&config, &mut net, head)?,
    }
    config.check()?;
    if options.wants != net.built {
        let m = format!("models of type {kind} are made in one part, and without a past");
        return Err(Diag::error("E0603", m).hint("leave --part and --with-past out").into());
    }
    check_inputs(&net, options)?;
    let used: HashSet<String> = net.wanted.iter().map(|(w, ..)| w.name.clone()).collect();
    // A part leaves the weights of the other.
    let part = options.wants.part != Part::Whole;
    let mut model = net.finish_with(&needed(&weights, &used, part))?;
    model.warnings.extend(weights.warnings.iter().cloned());
    Ok(model)
}

/// Whether the model has the inputs that are asked for, and needs no others.
fn check_inputs(net: &Net<'_>, options: &Options) -> Result<(), Diag> {
    let has = net.input_names();
    let asked = &options.inputs;
    let fail = |m: String| Err(Diag::error("E0603", m).hint(format!("--inputs: it has {}", has.join(", "))));
    if asked.is_empty() {
        return Ok(());
    }
    if let Some(name) = asked.iter().find(|n| !has.contains(n)) {
        return fail(format!("the model has no input `{name}`"));
    }
    match has.iter().find(|n| !asked.contains(n)) {
        Some(name) => fail(format!("the model needs its input `{name}`")),
        None => Ok(()),
    }
}

fn unknown(kind: &str) -> Diag {
    let near = model_types().map(|n| (strsim::jaro_winkler(n, kind), n)).max_by(|a, b| a.0.total_cmp(&b.0));
    let d = Diag::error("E0301", format!("models of type `{kind}` are not built from their configuration"));
    let all: Vec<&str> = model_types().collect();
    let d = d.note(format!("there are: {}", all.join(", ")));
    match near {
        Some((likeness, name)) if likeness > 0.9 => d.hint(format!("the nearest is {name}")),
        _ => d.hint("export the model with torch.export.export and torch.export.save, and convert the .pt2"),
    }
}

/// What the model is for: `--task`, or the end of its class's name.
fn head(config: &Config, options: &Options) -> Result<Head, Diag> {
    if let Some(task) = &options.task {
        let found = HEADS.iter().find(|(_, t, _)| t == task).map(|(.., h)| *h);
        return found.ok_or_else(|| {
            let mut all: Vec<&str> = HEADS.iter().map(|(_, t, _)| *t).collect();
            all.dedup();
            Diag::error("E0603", format!("--task {task}: there is no such task"))
                .hint(format!("there are: {}", all.join(", ")))
        });
    }
    let class = config.texts("architectures").first().copied().unwrap_or("Model").to_owned();
    let found = HEADS.iter().find(|(end, ..)| class.ends_with(end)).map(|(.., h)| *h);
    found.ok_or_else(|| {
        Diag::error("E0301", format!("models of class `{class}` are not built"))
            .hint("--task feature-extraction takes the model without what the class puts on top")
    })
}

fn weights(folder: &Path, options: &Options) -> Result<Weights, Diags> {
    let Some(name) = in_folder(folder) else {
        let d = Diag::error("E0206", "there are no weights beside config.json");
        return Err(d.hint("fetch model.safetensors, or its index with all files that it names").into());
    };
    let path = resolve_sidecar(folder, name).map_err(|e| Diag::error("E0105", e.to_string()))?;
    let source = Source::open(path).map_err(|e| Diag::error("E0101", e.to_string()))?;
    read_weights(&source, &options.weights)
}

/// The weights in the type that most of them have; which one that is.
fn of_one_type(mut weights: Weights) -> Result<(Weights, DType), Diag> {
    let mut bytes: BTreeMap<DType, usize> = BTreeMap::new();
    for t in weights.tensors.values().filter(|t| t.dtype().is_float()) {
        *bytes.entry(t.dtype()).or_default() += t.byte_len();
    }
    let dtype = bytes.iter().max_by_key(|(_, n)| **n).map_or(DType::F32, |(d, _)| *d);
    let read = |d: DType| matches!(d, DType::F32 | DType::F64 | DType::F16 | DType::BF16);
    if let Some(narrow) = bytes.keys().find(|d| !read(**d)) {
        let m = format!("it has weights of type {narrow}, which are not read without their scales");
        return Err(Diag::error("E0301", m).hint("take the model with weights in fp16, bf16 or fp32"));
    }
    for (name, t) in &mut weights.tensors {
        if t.dtype().is_float() && t.dtype() != dtype {
            *t = t
                .lazy_cast(dtype, false)
                .map_err(|e| Diag::error("E0203", format!("tensor `{name}`: {e}")))?;
        }
    }
    Ok((weights, dtype))
}

/// The weights without those that no program reads.
fn needed(weights: &Weights, used: &HashSet<String>, part: bool) -> Weights {
    let spare = |name: &str| {
        let parts = std::iter::once(name).chain(name.match_indices('.').map(|(at, _)| &name[at + 1..]));
        COMPUTED.iter().any(|end| name.ends_with(end))
            || parts.take(2).any(|p| HEAD_PARTS.iter().any(|h| p.starts_with(h)))
    };
    let tensors = weights.tensors.iter().filter(|(name, _)| used.contains(*name) || !part && !spare(name));
    Weights {
        tensors: tensors.map(|(n, t)| (n.clone(), t.clone())).collect(),
        ..Weights { format: weights.format, ..Weights::default() }
    }
}

fn decoder(spec: &Decoder, net: &mut Net<'_>, head: Head) -> R<()> {
    let x = spec.states(net)?;
    match head {
        Head::None => net.output_first("last_hidden_state", x),
        Head::CausalLm => {
            let y = spec.logits(net, x)?;
            net.output_first("logits", y);
        }
        other => return Err(Diag::error("E0301", format!("{other:?} on top of a decoder is not built"))),
    }
    Ok(())
}
