//! Files beside a published model that its users need too: configuration, tokenizer, generation settings, and what onnxruntime-genai asks for.
use crate::format::config_beside;
use crate::quantization::Extra;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::Graph;
use hoist_parsers::source::Source;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// Names of files that are copied, when they are there.
const FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "config_sentence_transformers.json",
];
/// Largest of them, in bytes.
const MOST: usize = 256 << 20;
/// The file that onnxruntime-genai reads.
const GENAI: &str = "genai_config.json";
/// Types of models that onnxruntime-genai knows by name; others are `decoder`.
const GENAI_TYPES: &[&str] = &[
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "granite",
    "llama",
    "mistral",
    "phi",
    "phi3",
    "qwen2",
    "qwen3",
    "smollm3",
];

/// The files beside the model at `input`, ready to appear beside `output`. `graph` is the model that was written.
///
/// # Errors
/// `E0603` when there is no configuration beside the model; `E0101` and `E0102` for files that cannot be read or written.
pub fn stage(input: &Path, output: &Path, graph: &Graph) -> Result<Vec<Extra>, Diag> {
    let model = if input.is_dir() { input.join("config.json") } else { input.to_path_buf() };
    let Some(config) = config_beside(&model) else {
        let m = format!("{}: --with-files: there is no config.json of a published model", input.display());
        return Err(Diag::error("E0603", m).hint("leave --with-files out"));
    };
    let (from, to) = (folder(&config), folder(output));
    let mut out = vec![];
    let same =
        |a: &Path, b: &Path| a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if !same(&from, &to) {
        for name in FILES {
            let path = from.join(name);
            if !path.is_file() {
                continue;
            }
            let source = Source::open(&path).map_err(|e| Diag::error("E0101", e.to_string()))?;
            if source.bytes().len() > MOST {
                let m = format!("{}: {} bytes; {MOST} is the most", path.display(), source.bytes().len());
                return Err(Diag::error("E0205", m));
            }
            out.push(Extra::new(&to.join(name), source.bytes())?);
        }
    }
    let text = Source::open(&config).map_err(|e| Diag::error("E0101", e.to_string()))?;
    let json: Json = serde_json::from_slice(text.bytes()).unwrap_or_default();
    if let Some(genai) = genai(&json, graph, output) {
        let text = serde_json::to_string_pretty(&genai).unwrap_or_default() + "\n";
        out.push(Extra::new(&to.join(GENAI), text.as_bytes())?);
    }
    Ok(out)
}

/// The folder that a file is in.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// What onnxruntime-genai needs to know about a decoder with a past; none for other models.
fn genai(config: &Json, graph: &Graph, output: &Path) -> Option<Json> {
    let names: Vec<String> = graph.inputs().iter().map(|v| graph.value_label(*v)).collect();
    // Each has a key and a value.
    let layers = names.iter().filter(|n| n.starts_with("past_key_values.")).count() / 2;
    let first = names.iter().position(|n| n == "past_key_values.0.key")?;
    let dims = graph.ty(graph.inputs()[first]).as_tensor()?.shape.clone()?;
    let (groups, size) = (dims.get(1).and_then(Dim::known)?, dims.get(3).and_then(Dim::known)?);
    let any = |keys: &[&str]| keys.iter().find_map(|k| config.get(*k)).filter(|j| !j.is_null()).cloned();
    let kind = any(&["model_type"])?;
    let kind = kind.as_str().filter(|k| GENAI_TYPES.contains(k)).unwrap_or("decoder");
    let length = any(&["max_position_embeddings", "n_positions", "seq_length"]).unwrap_or(json!(2048));
    let end = any(&["eos_token_id"]);
    let one = |j: Option<Json>| j.map(|j| j.get(0).cloned().unwrap_or(j));
    let mut inputs = json!({
        "input_ids": "input_ids",
        "attention_mask": "attention_mask",
        "past_key_names": "past_key_values.%d.key",
        "past_value_names": "past_key_values.%d.value",
    });
    if names.iter().any(|n| n == "position_ids") {
        inputs["position_ids"] = json!("position_ids");
    }
    let mut out = json!({
        "model": {
            "type": kind,
            "vocab_size": any(&["vocab_size"]),
            "context_length": length,
            "bos_token_id": one(any(&["bos_token_id"])),
            "eos_token_id": end,
            "pad_token_id": one(any(&["pad_token_id"]).or(end.clone())),
            "decoder": {
                "filename": output.file_name().map(|n| n.to_string_lossy().into_owned()),
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "hidden_size": any(&["hidden_size", "n_embd", "d_model"]),
                "head_size": size,
                "num_attention_heads": any(&["num_attention_heads", "n_head"]),
                "num_key_value_heads": groups,
                "num_hidden_layers": layers,
                "inputs": inputs,
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        },
        "search": {
            "do_sample": false,
            "max_length": length,
            "min_length": 0,
            "num_beams": 1,
            "num_return_sequences": 1,
            "past_present_share_buffer": false,
            "repetition_penalty": 1.0,
            "temperature": 1.0,
            "top_k": 50,
            "top_p": 1.0,
        },
    });
    // It takes members that are left out, and no null.
    for path in ["/model", "/model/decoder"] {
        if let Some(map) = out.pointer_mut(path).and_then(Json::as_object_mut) {
            map.retain(|_, value| !value.is_null());
        }
    }
    Some(out)
}
