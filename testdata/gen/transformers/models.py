#!/usr/bin/env python3
"""Writes folders of testdata/transformers: tiny models with random weights, as they are published, and what transformers computes with them.

    models.py FOLDER [NAME...]

A folder gets `config.json`, `model.safetensors`, `io.npz` (in0.., out0..) and `meta.json`, which names inputs and outputs.

Made with: pip install transformers==5.23.0 torch==2.15.0 numpy
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
import transformers as t

CASES = {}
# Sizes that most configurations share.
TEXT = dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, max_position_embeddings=32, pad_token_id=1, bos_token_id=0, eos_token_id=2)
GROUPED = dict(TEXT, num_key_value_heads=2)


def disturb(model, seed=1):
    """Weights of normalizations and biases begin as ones and zeros, which would hide mistakes."""
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        with torch.no_grad():
            noise = torch.randn(p.shape, generator=g)
            p.copy_(1 + 0.2 * noise if p.dim() == 1 and "norm" in name.lower() and name.endswith("weight") else 0.3 * noise)
    for name, b in model.named_buffers():
        if b.dtype.is_floating_point and ("running_var" in name):
            b.uniform_(0.5, 2, generator=g)
        elif b.dtype.is_floating_point and ("running_mean" in name):
            b.normal_(0, 0.3, generator=g)


def arrays(folder, given, computed, **what):
    flat = {f"{kind}{i}": a.detach().numpy() for kind, all in (("in", given), ("out", computed)) for i, a in enumerate(all.values())}
    np.savez(folder / "io.npz", **flat)
    (folder / "meta.json").write_text(json.dumps(dict(inputs=list(given), outputs=list(computed), **what)) + "\n")


def save(folder, model, feed, outputs, meta=None, **run):
    torch.manual_seed(0)
    disturb(model)
    model.eval()
    # With the shape of a file that was saved and read again.
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = type(model).from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        given = model(**feed, **run)
    flat = {}
    for name in outputs:
        flat[name] = getattr(given, name)
    arrays(folder, feed, flat, **(meta or {}))


def ids(batch=2, length=9, padded=True, vocabulary=40):
    x = torch.randint(3, vocabulary, (batch, length), generator=torch.Generator().manual_seed(7))
    mask = torch.ones_like(x)
    if padded:
        # Padding behind the text.
        mask[1, -3:] = 0
        x[1, -3:] = 1
    return dict(input_ids=x, attention_mask=mask)


def case(name, config, kind, outputs, feed=None, meta=None, **more):
    def make(folder):
        c = getattr(t, config)(**more)
        model = getattr(t, kind)(c)
        save(folder, model, feed() if feed else ids(), outputs, meta)

    CASES[name] = make


def causal(name, config, kind, **more):
    base = GROUPED if more.pop("grouped", True) else TEXT
    case(name, config, kind, ["logits"], **{**base, **more})


def encoder(name, config, kind, outputs, **more):
    case(name, config, kind, outputs, **{**TEXT, **more})


S = 4
causal("llama3_rope", "LlamaConfig", "LlamaForCausalLM", rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16), attention_bias=True, mlp_bias=True)
causal("llama_yarn", "LlamaConfig", "LlamaForCausalLM", rope_parameters=dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=8), tie_word_embeddings=True)
causal("llama_linear", "LlamaConfig", "LlamaForCausalLM", rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=2.0), head_dim=8)
causal("mistral", "MistralConfig", "MistralForCausalLM", sliding_window=S)
causal("mixtral", "MixtralConfig", "MixtralForCausalLM", num_local_experts=4, num_experts_per_tok=2)
causal("qwen2", "Qwen2Config", "Qwen2ForCausalLM", use_sliding_window=True, sliding_window=S, max_window_layers=1)
causal("qwen3", "Qwen3Config", "Qwen3ForCausalLM", head_dim=8)
causal("qwen3_moe", "Qwen3MoeConfig", "Qwen3MoeForCausalLM", head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=12, norm_topk_prob=True, mlp_only_layers=[0], decoder_sparse_step=1)
causal("gemma", "GemmaConfig", "GemmaForCausalLM", head_dim=8)
causal("gemma2", "Gemma2Config", "Gemma2ForCausalLM", head_dim=8, sliding_window=S, query_pre_attn_scalar=16)
causal("gemma3", "Gemma3TextConfig", "Gemma3ForCausalLM", head_dim=8, sliding_window=S, num_hidden_layers=3, query_pre_attn_scalar=8, layer_types=["sliding_attention", "full_attention", "sliding_attention"])
causal("phi", "PhiConfig", "PhiForCausalLM", grouped=False)
causal("phi3", "Phi3Config", "Phi3ForCausalLM", sliding_window=S)
causal("phi3_longrope", "Phi3Config", "Phi3ForCausalLM", original_max_position_embeddings=16, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1], long_factor=[2.0, 4.0], original_max_position_embeddings=16))
causal("starcoder2", "Starcoder2Config", "Starcoder2ForCausalLM", sliding_window=S)
causal("stablelm", "StableLmConfig", "StableLmForCausalLM", use_qkv_bias=True, num_attention_heads=2, num_key_value_heads=1)
causal("stablelm_parallel", "StableLmConfig", "StableLmForCausalLM", use_parallel_residual=True, num_attention_heads=2)
causal("olmo2", "Olmo2Config", "Olmo2ForCausalLM")
causal("granite", "GraniteConfig", "GraniteForCausalLM", embedding_multiplier=3.0, attention_multiplier=0.4, residual_multiplier=0.7, logits_scaling=2.0)
causal("smollm3", "SmolLM3Config", "SmolLM3ForCausalLM", num_hidden_layers=4)
causal("gpt_neox", "GPTNeoXConfig", "GPTNeoXForCausalLM", grouped=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))
causal("gpt_neox_serial", "GPTNeoXConfig", "GPTNeoXForCausalLM", grouped=False, use_parallel_residual=False)
causal("falcon", "FalconConfig", "FalconForCausalLM", grouped=False, ffn_hidden_size=24)
causal("falcon_new", "FalconConfig", "FalconForCausalLM", grouped=False, new_decoder_architecture=True, num_kv_heads=2, bias=True)
causal("falcon_plain", "FalconConfig", "FalconForCausalLM", grouped=False, multi_query=False, parallel_attn=False, bias=True)
case("gpt2", "GPT2Config", "GPT2LMHeadModel", ["logits"], vocab_size=40, n_embd=16, n_layer=2, n_head=4, n_positions=32)
case("gpt2_base", "GPT2Config", "GPT2Model", ["last_hidden_state"], vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=32)
case("bloom", "BloomConfig", "BloomForCausalLM", ["logits"], vocab_size=40, hidden_size=24, n_layer=2, n_head=6, pad_token_id=1)
case("opt", "OPTConfig", "OPTForCausalLM", ["logits"], **{k: v for k, v in TEXT.items() if k != "intermediate_size"}, ffn_dim=24, word_embed_proj_dim=16)
case("opt_after", "OPTConfig", "OPTForCausalLM", ["logits"], **{k: v for k, v in TEXT.items() if k != "intermediate_size"}, ffn_dim=24, word_embed_proj_dim=8, do_layer_norm_before=False)
STATE = ["last_hidden_state", "pooler_output"]
encoder("bert", "BertConfig", "BertModel", STATE)
encoder("bert_masked", "BertConfig", "BertForMaskedLM", ["logits"], hidden_act="relu")
encoder("bert_tokens", "BertConfig", "BertForTokenClassification", ["logits"], num_labels=3)
encoder("bert_answers", "BertConfig", "BertForQuestionAnswering", ["start_logits", "end_logits"])
encoder("roberta", "RobertaConfig", "RobertaForSequenceClassification", ["logits"], num_labels=3, type_vocab_size=1)
encoder("roberta_masked", "RobertaConfig", "RobertaForMaskedLM", ["logits"])
encoder("xlm_roberta", "XLMRobertaConfig", "XLMRobertaModel", STATE)
encoder("camembert", "CamembertConfig", "CamembertForTokenClassification", ["logits"])
encoder("electra", "ElectraConfig", "ElectraForSequenceClassification", ["logits"], embedding_size=8)
encoder("electra_masked", "ElectraConfig", "ElectraForMaskedLM", ["logits"], embedding_size=8)
encoder("albert", "AlbertConfig", "AlbertForMaskedLM", ["logits"], embedding_size=8)
encoder("albert_classes", "AlbertConfig", "AlbertForSequenceClassification", ["logits"], embedding_size=8, num_hidden_groups=2)
encoder("mpnet", "MPNetConfig", "MPNetForMaskedLM", ["logits"])
DISTIL = dict(vocab_size=40, dim=16, hidden_dim=24, n_layers=2, n_heads=4, max_position_embeddings=32)
case("distilbert", "DistilBertConfig", "DistilBertForMaskedLM", ["logits"], **DISTIL)
case("distilbert_answers", "DistilBertConfig", "DistilBertForQuestionAnswering", ["start_logits", "end_logits"], **DISTIL)


def picture(size=(24, 16), batch=2):
    return lambda: dict(pixel_values=torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(5)))


VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, image_size=(24, 16), patch_size=8)
case("vit", "ViTConfig", "ViTForImageClassification", ["logits"], picture(), num_labels=3, **VIT)
case("vit_base", "ViTConfig", "ViTModel", STATE, picture(), **VIT)
case("deit", "DeiTConfig", "DeiTForImageClassification", ["logits"], picture(), **VIT)
case("dinov2", "Dinov2Config", "Dinov2ForImageClassification", ["logits"], picture((16, 16)), **dict(VIT, image_size=16), mlp_ratio=2)
case("dinov2_gated", "Dinov2Config", "Dinov2Model", STATE, picture((16, 16)), **dict(VIT, image_size=16), mlp_ratio=2, use_swiglu_ffn=True)
case("beit", "BeitConfig", "BeitForImageClassification", ["logits"], picture((16, 16)), **dict(VIT, image_size=16), use_relative_position_bias=True)
case("beit_shared", "BeitConfig", "BeitModel", STATE, picture((16, 16)), **dict(VIT, image_size=16), use_shared_relative_position_bias=True, use_absolute_position_embeddings=True)
case("swin", "SwinConfig", "SwinForImageClassification", ["logits"], picture((32, 32)), embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=4, image_size=32, patch_size=4)
case("swin_padded", "SwinConfig", "SwinModel", STATE, picture((28, 28)), embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=3, image_size=28, patch_size=4)
case("convnext", "ConvNextConfig", "ConvNextForImageClassification", ["logits"], picture((32, 40)), hidden_sizes=[4, 8], depths=[1, 2], num_stages=2, layer_scale_init_value=0.5)
SEG = dict(num_encoder_blocks=2, depths=[1, 2], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=8)
case("segformer", "SegformerConfig", "SegformerForSemanticSegmentation", ["logits"], picture((32, 48)), num_labels=3, **SEG)
case("segformer_classes", "SegformerConfig", "SegformerForImageClassification", ["logits"], picture((32, 48)), **SEG)
PAIR = dict(text_config=dict(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, max_position_embeddings=16, projection_dim=8, eos_token_id=2, pad_token_id=1, bos_token_id=0), vision_config=dict(VIT, image_size=16))


def both(batch=2):
    x = ids(batch)
    x["input_ids"][0, 5] = 2
    x["input_ids"][1, 3] = 2
    return dict(input_ids=x["input_ids"], pixel_values=picture((16, 16), 3)()["pixel_values"], attention_mask=x["attention_mask"])


PAIRED = ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"]
case("clip_old", "CLIPConfig", "CLIPModel", PAIRED, both, projection_dim=8, **PAIR)
case("clip", "CLIPConfig", "CLIPModel", PAIRED, lambda: {**both(), "input_ids": both()["input_ids"]}, projection_dim=8, text_config=dict(PAIR["text_config"], eos_token_id=3), vision_config=PAIR["vision_config"])
case("siglip", "SiglipConfig", "SiglipModel", PAIRED, lambda: {**both(), "attention_mask": torch.ones(2, 9, dtype=torch.int64)}, **PAIR)


def translated(batch=2):
    g = torch.Generator().manual_seed(3)
    return dict(input_ids=torch.randint(3, 40, (batch, 9), generator=g), decoder_input_ids=torch.randint(3, 40, (batch, 5), generator=g))


TRANSLATED = ["logits", "encoder_last_hidden_state"]
T5 = dict(vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=4, relative_attention_num_buckets=8, relative_attention_max_distance=12)
case("t5", "T5Config", "T5ForConditionalGeneration", TRANSLATED, translated, **T5)
case("t5_gated", "T5Config", "T5ForConditionalGeneration", TRANSLATED, translated, **T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
case("mt5", "MT5Config", "MT5ForConditionalGeneration", TRANSLATED, translated, **T5)
BART = dict(vocab_size=40, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=20, max_position_embeddings=32, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2)
case("bart", "BartConfig", "BartForConditionalGeneration", TRANSLATED, translated, **BART)
case("bart_base", "BartConfig", "BartModel", ["last_hidden_state", "encoder_last_hidden_state"], translated, **BART, scale_embedding=True)
case("marian", "MarianConfig", "MarianMTModel", TRANSLATED, translated, **BART, forced_eos_token_id=2)
WHISPER = {**BART, "max_source_positions": 10, "max_target_positions": 16, "num_mel_bins": 6}
del WHISPER["max_position_embeddings"]
case("whisper", "WhisperConfig", "WhisperForConditionalGeneration", TRANSLATED, lambda: dict(input_features=torch.randn(2, 6, 20, generator=torch.Generator().manual_seed(4)), decoder_input_ids=translated()["decoder_input_ids"]), **WHISPER)


def sound():
    return dict(input_values=torch.randn(2, 200, generator=torch.Generator().manual_seed(6)))


WAVE = dict(vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, conv_dim=[6, 8], conv_kernel=[5, 3], conv_stride=[4, 2], num_feat_extract_layers=2, num_conv_pos_embedding_groups=2)
case("wav2vec2", "Wav2Vec2Config", "Wav2Vec2ForCTC", ["logits"], sound, **WAVE, num_conv_pos_embeddings=6)
case("wav2vec2_stable", "Wav2Vec2Config", "Wav2Vec2Model", ["last_hidden_state"], sound, **WAVE, num_conv_pos_embeddings=5, do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
case("hubert", "HubertConfig", "HubertForCTC", ["logits"], sound, **WAVE, num_conv_pos_embeddings=6)
case("hubert_stable", "HubertConfig", "HubertModel", ["last_hidden_state"], sound, **WAVE, num_conv_pos_embeddings=6, do_stable_layer_norm=True, feat_extract_norm="layer", feat_proj_layer_norm=False)
case("mamba", "MambaConfig", "MambaForCausalLM", ["logits"], lambda: dict(input_ids=ids()["input_ids"]), vocab_size=40, hidden_size=16, num_hidden_layers=2, state_size=4, time_step_rank=3)
MODERN = dict(TEXT, num_hidden_layers=3, layer_types=["full_attention", "sliding_attention", "sliding_attention"], sliding_window=3, cls_token_id=0, sep_token_id=2)
case("modernbert", "ModernBertConfig", "ModernBertForMaskedLM", ["logits"], **MODERN)
case("modernbert_classes", "ModernBertConfig", "ModernBertForSequenceClassification", ["logits"], **MODERN, classifier_pooling="mean", attention_bias=True, norm_bias=True)
DEBERTA = dict(TEXT, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0)
encoder("deberta_v3", "DebertaV2Config", "DebertaV2ForSequenceClassification", ["logits"], **{**DEBERTA, "position_buckets": 4, "norm_rel_ebd": "layer_norm", "share_att_key": True})
encoder("deberta_v2", "DebertaV2Config", "DebertaV2ForTokenClassification", ["logits"], **{**DEBERTA, "max_relative_positions": 6, "type_vocab_size": 2})
encoder("deberta_masked", "DebertaV2Config", "DebertaV2ForMaskedLM", ["logits"], **{**DEBERTA, "pos_att_type": ["c2p"], "position_biased_input": True})
case("resnet_hf", "ResNetConfig", "ResNetForImageClassification", ["logits"], picture((40, 33)), embedding_size=8, hidden_sizes=[16, 32], depths=[1, 2])
case("resnet_basic", "ResNetConfig", "ResNetModel", STATE, picture((40, 33)), embedding_size=8, hidden_sizes=[8, 16], depths=[2, 1], layer_type="basic", downsample_in_first_stage=True)
case("mobilenet_v2_hf", "MobileNetV2Config", "MobileNetV2ForImageClassification", ["logits"], picture((33, 40)), depth_multiplier=0.1, depth_divisible_by=2, min_depth=2, finegrained_output=False, expand_ratio=2.0)
case("mobilenet_v2_strided", "MobileNetV2Config", "MobileNetV2Model", STATE, picture((32, 40)), depth_multiplier=0.1, depth_divisible_by=2, min_depth=2, finegrained_output=False, expand_ratio=2.0, tf_padding=False, output_stride=8, first_layer_is_expansion=False)


def main():
    root = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or CASES:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        CASES[name](folder)
        print(name, sum(f.stat().st_size for f in folder.iterdir()), flush=True)


main()
