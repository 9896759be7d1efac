#!/usr/bin/env python3
"""Exports well-known architectures with torch.export, converts each with Hoist, and compares ONNX Runtime's results with PyTorch's.

    architectures.py HOIST WORK [--only TEXT,..] [--shapes static,dynamic] [--forms training,core] [--json OUT] [--markdown OUT] [--reuse] [--tidy]

Weights are random (no model hub is needed): constant parameters and the running statistics of batch norms are disturbed, so that each
operator counts. A dynamic program is run on the sample it was exported with and on a second input of other sizes. `training` is what
torch.export.export gives, `core` what run_decompositions() makes of it. Each architecture runs in its own process.
Needs torch, torchvision, timm, transformers, onnx and onnxruntime.
"""
import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import time
import warnings

import numpy as np

RTOL, ATOL = 1e-3, 1e-4
ARCHS = {}


class Arch:
    """`build()` -> module; `sample(k)` -> (args, kwargs) of sizes number k; `dynamic` -> dynamic_shapes of torch.export."""

    def __init__(self, family, build, sample, dynamic):
        self.family, self.build, self.sample, self.dynamic = family, build, sample, dynamic


def arch(name, family, build, sample, dynamic):
    assert name not in ARCHS, name
    ARCHS[name] = Arch(family, build, sample, dynamic)


def dims(*axes):
    """Dynamic axes of one input."""
    from torch.export import Dim
    return {a: Dim.DYNAMIC for a in axes}


# What the models are fed.


def image(size=224, other=None, channels=3):
    import torch
    sizes = [(2, size), (3, other or size)]
    return lambda k: ((torch.randn(sizes[k][0], channels, sizes[k][1], sizes[k][1]),), {})


def ids(n, length, vocab=99):
    import torch
    return torch.randint(3, vocab, (n, length))


def text(*names, vocab=99, lengths=(7, 12)):
    """Token ids and a mask that hides the end of the last row."""
    import torch

    def sample(k):
        n, t = (2, 3)[k], lengths[k]
        kwargs = {}
        for name in names:
            if name.endswith("input_ids"):
                kwargs[name] = ids(n, t, vocab)
            elif name == "token_type_ids":
                kwargs[name] = torch.randint(0, 2, (n, t))
            elif name == "bbox":
                corner = torch.randint(0, 50, (n, t, 2))
                kwargs[name] = torch.cat([corner, corner + 9], -1)
            else:
                mask = torch.ones(n, t, dtype=torch.int64)
                mask[-1, t - 2:] = 0
                kwargs[name] = mask
        return (), kwargs
    return sample


def text_dims(*names):
    return {name: dims(0, 1) for name in names}


# torchvision

CLASSIFY = {"alexnet": 224, "vgg11_bn": 224, "squeezenet1_1": 224, "resnet18": 224, "resnet50": 224, "resnext50_32x4d": 224, "wide_resnet50_2": 224,
            "densenet121": 224, "googlenet": 224, "inception_v3": 299, "shufflenet_v2_x1_0": 224, "mobilenet_v2": 224, "mobilenet_v3_small": 224,
            "mobilenet_v3_large": 224, "mnasnet0_5": 224, "efficientnet_b0": 224, "efficientnet_v2_s": 224, "regnet_y_400mf": 224,
            "convnext_tiny": 224, "swin_t": 224, "swin_v2_t": 224, "vit_b_16": 224, "maxvit_t": 224}
FIXED_SIZE = {"swin_t", "swin_v2_t", "vit_b_16", "maxvit_t"}


def torchvision_archs():
    import torch
    import torchvision.models as tv
    for name, size in CLASSIFY.items():
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        fixed = name in FIXED_SIZE
        build = lambda name=name, extra=extra: getattr(tv, name)(weights=None, **extra)
        arch("tv_" + name, "classification", build, image(size, size if fixed else size + 32), (dims(0) if fixed else dims(0, 2, 3),))
    seg = tv.segmentation
    for name in ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]:
        build = lambda name=name: getattr(seg, name)(weights=None, weights_backbone=None)
        arch("tv_" + name, "segmentation", build, image(128, 160), (dims(0, 2, 3),))
    vid = tv.video
    for name, frames, size in [("r3d_18", 8, 64), ("mc3_18", 8, 64), ("r2plus1d_18", 8, 64), ("s3d", 16, 224), ("mvit_v2_s", 16, 224), ("swin3d_t", 8, 64)]:
        build = lambda name=name: getattr(vid, name)(weights=None)
        sample = lambda k, f=frames, s=size: ((torch.randn((2, 3)[k], 3, f, s, s),), {})
        arch("tv_" + name, "video", build, sample, (dims(0),))
    flow = lambda k: ((torch.randn((2, 3)[k], 3, 128, 128), torch.randn((2, 3)[k], 3, 128, 128)), {"num_flow_updates": 3})
    arch("tv_raft_small", "optical flow", lambda: tv.optical_flow.raft_small(weights=None), flow, {"image1": dims(0), "image2": dims(0), "num_flow_updates": None})
    det = tv.detection
    for name in ["ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn"]:
        build = lambda name=name: getattr(det, name)(weights=None, weights_backbone=None)
        arch("tv_" + name, "detection", build, lambda k: (([torch.rand(3, 320, 320)],), {}), None)


# timm: name -> image size

TIMM = {"tf_efficientnetv2_b0": 224, "tf_efficientnet_lite0": 224, "dm_nfnet_f0": 128, "eca_nfnet_l0": 128, "coatnet_nano_rw_224": 224, "coatnext_nano_rw_224": 224,
        "levit_128s": 224, "edgenext_small": 256, "mobilevit_s": 256, "mobilevitv2_050": 256, "mixer_s32_224": 224, "resmlp_12_224": 224, "gmlp_s16_224": 224,
        "poolformer_s12": 224, "poolformerv2_s12": 224, "cait_xxs24_224": 224, "beit_base_patch16_224": 224, "beitv2_base_patch16_224": 224, "deit3_small_patch16_224": 224,
        "eva02_tiny_patch14_224": 224, "hrnet_w18_small": 224, "ghostnet_100": 224, "ghostnetv2_100": 224, "repvgg_a0": 224, "tresnet_m": 224, "fastvit_t8": 256,
        "efficientformer_l1": 224, "efficientformerv2_s0": 224, "volo_d1_224": 224, "xcit_nano_12_p16_224": 224, "convit_tiny": 224, "crossvit_9_240": 240, "davit_tiny": 224,
        "gcvit_xxtiny": 224, "inception_next_tiny": 224, "maxxvit_rmlp_nano_rw_256": 256, "nextvit_small": 224, "pit_ti_224": 224, "twins_svt_small": 224,
        "twins_pcpvt_small": 224, "visformer_tiny": 224, "ese_vovnet19b_dw": 224, "dla34": 224, "dpn48b": 224, "res2net50_26w_4s": 224, "skresnet18": 224, "selecsls42b": 224,
        "hardcorenas_a": 224, "tinynet_e": 106, "mobilenetv4_conv_small": 224, "mobilenetv4_hybrid_medium": 224, "mambaout_femto": 224, "hiera_tiny_224": 224, "vitamin_small_224": 224,
        "sam2_hiera_tiny": 224, "samvit_base_patch16_224": 224, "convmixer_768_32": 128, "convnextv2_atto": 224, "crossvit_tiny_240": 240, "cs3darknet_m": 128,
        "darknet53": 128, "efficientvit_b0": 224, "efficientvit_m0": 224, "focalnet_tiny_srf": 224, "halonet26t": 256, "botnet26t_256": 256, "lambda_resnet26t": 256,
        "bat_resnext26ts": 256, "gcresnext26ts": 256, "seresnet33ts": 256, "legacy_senet154": 64, "inception_resnet_v2": 160, "inception_v4": 160, "xception41": 160, "nasnetalarge": 96,
        "pnasnet5large": 96, "pvt_v2_b0": 224, "repghostnet_050": 224, "repvit_m0_9": 224, "rexnet_100": 224, "rdnet_tiny": 128, "sequencer2d_s": 224, "starnet_s1": 224,
        "swiftformer_xs": 224, "swinv2_cr_tiny_224": 224, "swinv2_tiny_window8_256": 256, "tiny_vit_5m_224": 224, "tnt_s_legacy_patch16_224": 224, "vit_small_patch16_rope_224": 224,
        "vit_base_patch16_siglip_224": 224, "vit_relpos_small_patch16_224": 224, "vit_tiny_r_s16_p8_224": 224, "vit_srelpos_small_patch16_224": 224, "nest_tiny": 224,
        "mvitv2_tiny": 224, "hgnetv2_b0": 224, "lcnet_050": 224, "mixnet_s": 224, "fbnetc_100": 224, "spnasnet_100": 224, "csatv2": 512, "shvit_s1": 224, "hieradet_small": 256,
        "naflexvit_base_patch16_gap": 224, "regnetz_b16": 224, "resnest14d": 224, "resnetv2_50": 128, "resnetblur50": 128, "coat_lite_tiny": 224, "cspresnet50": 128, "haloregnetz_b": 224,
        "eva_giant_patch14_224": 0, "test_vit": 160}
TIMM_FIXED = ("coat", "levit", "mixer", "resmlp", "gmlp", "cait", "beit", "deit", "eva02", "volo", "convit", "cross", "gcvit", "maxx", "pit", "vis", "hiera", "vitamin", "sam", "halo", "bot",
              "lambda", "sequencer", "swin", "tiny_vit", "tnt", "vit_", "nest", "mvit", "test_vit", "efficientformer", "mobilevit", "xcit", "twins", "efficientvit_m", "naflex")


def timm_archs():
    import timm
    for name, size in TIMM.items():
        if not size:
            continue
        # torch cannot store the rounding that padding to the same size does to symbolic sizes.
        fixed = name.startswith((*TIMM_FIXED, "tf_", "dm_"))
        build = lambda name=name: timm.create_model(name, pretrained=False)
        family = "segmentation" if name.startswith("sam") else "classification"
        arch("timm_" + name, family, build, image(size, size if fixed else size + 32), (dims(0) if fixed else dims(0, 2, 3),))


# transformers: small configurations of the real architectures

SMALL = dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, max_position_embeddings=64)
LM = dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40, max_position_embeddings=64,
          pad_token_id=0, bos_token_id=1, eos_token_id=2, use_cache=False)
VISION = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, image_size=32, patch_size=8)
SEQ2SEQ = dict(vocab_size=99, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=40,
               decoder_ffn_dim=40, max_position_embeddings=64, use_cache=False, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2)

ENCODERS = {
    "bert": ("BertForSequenceClassification", "BertConfig", SMALL, 3), "roberta": ("RobertaForMaskedLM", "RobertaConfig", SMALL, 2),
    "xlm_roberta": ("XLMRobertaForTokenClassification", "XLMRobertaConfig", SMALL, 2), "camembert": ("CamembertModel", "CamembertConfig", SMALL, 2),
    "distilbert": ("DistilBertForQuestionAnswering", "DistilBertConfig", dict(vocab_size=99, dim=32, n_layers=2, n_heads=4, hidden_dim=40, max_position_embeddings=64), 2),
    "albert": ("AlbertModel", "AlbertConfig", dict(SMALL, embedding_size=16), 3), "electra": ("ElectraForPreTraining", "ElectraConfig", dict(SMALL, embedding_size=16), 3),
    "mpnet": ("MPNetModel", "MPNetConfig", SMALL, 2), "ernie": ("ErnieModel", "ErnieConfig", SMALL, 3), "convbert": ("ConvBertModel", "ConvBertConfig", dict(SMALL, embedding_size=32), 3),
    "deberta": ("DebertaModel", "DebertaConfig", dict(SMALL, relative_attention=True, pos_att_type=["c2p", "p2c"], max_relative_positions=32), 3),
    "deberta_v2": ("DebertaV2ForSequenceClassification", "DebertaV2Config", dict(SMALL, relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=16, share_att_key=True), 3),
    "mobilebert": ("MobileBertModel", "MobileBertConfig", dict(SMALL, hidden_size=64, embedding_size=32, intra_bottleneck_size=32, num_feedforward_networks=2), 3),
    "squeezebert": ("SqueezeBertModel", "SqueezeBertConfig", dict(SMALL, embedding_size=32), 3),
    "modernbert": ("ModernBertModel", "ModernBertConfig", dict(SMALL, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2), 2),
    "funnel": ("FunnelModel", "FunnelConfig", dict(vocab_size=99, block_sizes=[1, 1], d_model=32, n_head=4, d_head=8, d_inner=40, num_decoder_layers=1), 3),
    "xlnet": ("XLNetModel", "XLNetConfig", dict(vocab_size=99, d_model=32, n_layer=2, n_head=4, d_inner=40), 2),
    "xlm": ("XLMModel", "XLMConfig", dict(vocab_size=99, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=64), 2),
    "flaubert": ("FlaubertModel", "FlaubertConfig", dict(vocab_size=99, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=64), 2),
    "roformer": ("RoFormerModel", "RoFormerConfig", dict(SMALL, embedding_size=32), 3), "rembert": ("RemBertModel", "RemBertConfig", dict(SMALL, input_embedding_size=16), 3),
    "nystromformer": ("NystromformerModel", "NystromformerConfig", dict(SMALL, num_landmarks=4, segment_means_seq_len=16), 3),
    "fnet": ("FNetModel", "FNetConfig", SMALL, -1), "megatron_bert": ("MegatronBertModel", "MegatronBertConfig", SMALL, 3),
    "nomic_bert": ("NomicBertModel", "NomicBertConfig", SMALL, 2), "ibert": ("IBertModel", "IBertConfig", SMALL, 2), "splinter": ("SplinterModel", "SplinterConfig", SMALL, 3),
    "esm": ("EsmModel", "EsmConfig", dict(SMALL, pad_token_id=0, position_embedding_type="rotary"), 2), "longformer": ("LongformerModel", "LongformerConfig", dict(SMALL, attention_window=4), 2),
    "big_bird": ("BigBirdModel", "BigBirdConfig", dict(SMALL, attention_type="original_full"), 3), "layoutlm": ("LayoutLMModel", "LayoutLMConfig", SMALL, 4),
    "xmod": ("XmodModel", "XmodConfig", dict(SMALL, default_language="en_XX"), 2), "eurobert": ("EuroBertModel", "EuroBertConfig", LM, 2), "dpr": ("DPRQuestionEncoder", "DPRConfig", SMALL, 3),
    "luke": ("LukeModel", "LukeConfig", dict(SMALL, entity_vocab_size=10), 3), "mra": ("MraModel", "MraConfig", SMALL, 2), "canine": ("CanineModel", "CanineConfig", dict(SMALL, num_hash_buckets=50, num_hash_functions=4, local_transformer_stride=8, attend_from_chunk_width=8, attend_to_chunk_width=8, downsampling_rate=4), 3),
}

RECURRENT = {"mamba", "falcon_mamba", "rwkv", "recurrent_gemma", "jamba"}
FIXED_LENGTH = {"funnel", "canine", "nystromformer", "longformer"}

DECODERS = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, use_cache=False)),
    "gpt_neo": ("GPTNeoForCausalLM", "GPTNeoConfig", dict(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], max_position_embeddings=64, window_size=4, use_cache=False)),
    "gpt_neox": ("GPTNeoXForCausalLM", "GPTNeoXConfig", dict(SMALL, use_cache=False)), "gptj": ("GPTJForCausalLM", "GPTJConfig", dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4, use_cache=False)),
    "gpt_bigcode": ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, use_cache=False)),
    "codegen": ("CodeGenForCausalLM", "CodeGenConfig", dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4, use_cache=False)),
    "opt": ("OPTForCausalLM", "OPTConfig", dict(vocab_size=99, hidden_size=32, word_embed_proj_dim=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=40, max_position_embeddings=64, use_cache=False)),
    "bloom": ("BloomForCausalLM", "BloomConfig", dict(vocab_size=99, hidden_size=32, n_layer=2, n_head=4, use_cache=False)),
    "falcon": ("FalconForCausalLM", "FalconConfig", dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, use_cache=False)),
    "mpt": ("MptForCausalLM", "MptConfig", dict(vocab_size=99, d_model=32, n_layers=2, n_heads=4, max_seq_len=64, use_cache=False)),
    "llama": ("LlamaForCausalLM", "LlamaConfig", LM), "mistral": ("MistralForCausalLM", "MistralConfig", dict(LM, sliding_window=4)),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", dict(LM, num_local_experts=4, num_experts_per_tok=2)),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LM), "qwen2_moe": ("Qwen2MoeForCausalLM", "Qwen2MoeConfig", dict(LM, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16)),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", dict(LM, head_dim=8)), "qwen3_moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", dict(LM, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)),
    "qwen3_next": ("Qwen3NextForCausalLM", "Qwen3NextConfig", dict(LM, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16, linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8)),
    "gemma": ("GemmaForCausalLM", "GemmaConfig", dict(LM, head_dim=8)), "gemma2": ("Gemma2ForCausalLM", "Gemma2Config", dict(LM, head_dim=8, sliding_window=4)),
    "gemma3": ("Gemma3ForCausalLM", "Gemma3TextConfig", dict(LM, head_dim=8, sliding_window=4, layer_types=["sliding_attention", "full_attention"])),
    "phi": ("PhiForCausalLM", "PhiConfig", LM), "phi3": ("Phi3ForCausalLM", "Phi3Config", LM), "phimoe": ("PhimoeForCausalLM", "PhimoeConfig", dict(LM, num_local_experts=4)),
    "stablelm": ("StableLmForCausalLM", "StableLmConfig", LM), "starcoder2": ("Starcoder2ForCausalLM", "Starcoder2Config", LM), "olmo": ("OlmoForCausalLM", "OlmoConfig", LM), "olmo2": ("Olmo2ForCausalLM", "Olmo2Config", LM),
    "olmoe": ("OlmoeForCausalLM", "OlmoeConfig", dict(LM, num_experts=4, num_experts_per_tok=2)), "cohere": ("CohereForCausalLM", "CohereConfig", LM), "granite": ("GraniteForCausalLM", "GraniteConfig", LM),
    "smollm3": ("SmolLM3ForCausalLM", "SmolLM3Config", LM), "glm": ("GlmForCausalLM", "GlmConfig", dict(LM, head_dim=8)), "exaone4": ("Exaone4ForCausalLM", "Exaone4Config", dict(LM, sliding_window=4)),
    "deepseek_v3": ("DeepseekV3ForCausalLM", "DeepseekV3Config", dict(LM, num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=2, topk_group=1, moe_intermediate_size=16, first_k_dense_replace=1, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8)),
    "gpt_oss": ("GptOssForCausalLM", "GptOssConfig", dict(LM, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4)), "nemotron": ("NemotronForCausalLM", "NemotronConfig", LM),
    "persimmon": ("PersimmonForCausalLM", "PersimmonConfig", LM), "biogpt": ("BioGptForCausalLM", "BioGptConfig", dict(SMALL, use_cache=False)), "xglm": ("XGLMForCausalLM", "XGLMConfig", dict(vocab_size=99, d_model=32, num_layers=2, attention_heads=4, ffn_dim=40, max_position_embeddings=64, use_cache=False)),
    "ctrl": ("CTRLLMHeadModel", "CTRLConfig", dict(vocab_size=99, n_embd=32, n_layer=2, n_head=4, dff=40, n_positions=64, use_cache=False)),
    "mamba": ("MambaForCausalLM", "MambaConfig", dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, state_size=8, use_cache=False)),
    "mamba2": ("Mamba2ForCausalLM", "Mamba2Config", dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=16, use_cache=False)),
    "falcon_mamba": ("FalconMambaForCausalLM", "FalconMambaConfig", dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, state_size=8, use_cache=False)),
    "rwkv": ("RwkvForCausalLM", "RwkvConfig", dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32, intermediate_size=40, context_length=64, use_cache=False)),
    "recurrent_gemma": ("RecurrentGemmaForCausalLM", "RecurrentGemmaConfig", dict(LM, num_hidden_layers=3, lru_width=32, attention_window_size=8)), "lfm2": ("Lfm2ForCausalLM", "Lfm2Config", dict(LM, layer_types=["conv", "full_attention"])),
    "jamba": ("JambaForCausalLM", "JambaConfig", dict(LM, num_hidden_layers=4, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1, num_experts=2, mamba_d_state=8, use_mamba_kernels=False)),
}

SEQ2SEQS = {
    "t5": ("T5ForConditionalGeneration", "T5Config", dict(vocab_size=99, d_model=32, d_kv=8, d_ff=40, num_layers=2, num_heads=4, use_cache=False)),
    "mt5": ("MT5ForConditionalGeneration", "MT5Config", dict(vocab_size=99, d_model=32, d_kv=8, d_ff=40, num_layers=2, num_heads=4, use_cache=False)),
    "longt5": ("LongT5ForConditionalGeneration", "LongT5Config", dict(vocab_size=99, d_model=32, d_kv=8, d_ff=40, num_layers=2, num_heads=4, local_radius=3, use_cache=False)),
    "switch": ("SwitchTransformersForConditionalGeneration", "SwitchTransformersConfig", dict(vocab_size=99, d_model=32, d_kv=8, d_ff=40, num_layers=2, num_sparse_encoder_layers=1, num_sparse_decoder_layers=1, num_heads=4, num_experts=4, use_cache=False)),
    "bart": ("BartForConditionalGeneration", "BartConfig", SEQ2SEQ), "mbart": ("MBartForConditionalGeneration", "MBartConfig", SEQ2SEQ), "marian": ("MarianMTModel", "MarianConfig", dict(SEQ2SEQ, pad_token_id=98)),
    "pegasus": ("PegasusForConditionalGeneration", "PegasusConfig", SEQ2SEQ), "m2m_100": ("M2M100ForConditionalGeneration", "M2M100Config", SEQ2SEQ), "blenderbot": ("BlenderbotForConditionalGeneration", "BlenderbotConfig", SEQ2SEQ),
    "led": ("LEDForConditionalGeneration", "LEDConfig", dict(SEQ2SEQ, attention_window=4, max_encoder_position_embeddings=64, max_decoder_position_embeddings=64)),
    "fsmt": ("FSMTForConditionalGeneration", "FSMTConfig", dict(langs=["en", "de"], src_vocab_size=99, tgt_vocab_size=99, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, max_position_embeddings=64, use_cache=False)),
    "prophetnet": ("ProphetNetForConditionalGeneration", "ProphetNetConfig", dict(vocab_size=99, hidden_size=32, num_encoder_layers=2, num_decoder_layers=2, num_encoder_attention_heads=4, num_decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, max_position_embeddings=64, use_cache=False)),
}

VISIONS = {
    "vit": ("ViTForImageClassification", "ViTConfig", VISION), "deit": ("DeiTForImageClassification", "DeiTConfig", VISION), "dinov2": ("Dinov2Model", "Dinov2Config", VISION),
    "dinov2_registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", VISION), "dinov3_vit": ("DINOv3ViTModel", "DINOv3ViTConfig", VISION), "beit": ("BeitForImageClassification", "BeitConfig", VISION),
    "data2vec_vision": ("Data2VecVisionModel", "Data2VecVisionConfig", VISION), "vit_msn": ("ViTMSNModel", "ViTMSNConfig", VISION), "ijepa": ("IJepaModel", "IJepaConfig", VISION),
    "swin": ("SwinForImageClassification", "SwinConfig", dict(image_size=32, patch_size=2, embed_dim=16, depths=[1, 2], num_heads=[2, 2], window_size=2)),
    "swinv2": ("Swinv2Model", "Swinv2Config", dict(image_size=32, patch_size=2, embed_dim=16, depths=[1, 2], num_heads=[2, 2], window_size=2)),
    "swin2sr": ("Swin2SRForImageSuperResolution", "Swin2SRConfig", dict(image_size=32, patch_size=1, embed_dim=16, depths=[2], num_heads=[2], window_size=4)),
    "convnext": ("ConvNextForImageClassification", "ConvNextConfig", dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], image_size=64)), "convnextv2": ("ConvNextV2Model", "ConvNextV2Config", dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], image_size=64)),
    "segformer": ("SegformerForSemanticSegmentation", "SegformerConfig", dict(image_size=64, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=16)),
    "mobilenet_v1": ("MobileNetV1ForImageClassification", "MobileNetV1Config", dict(image_size=64)), "mobilenet_v2": ("MobileNetV2ForSemanticSegmentation", "MobileNetV2Config", dict(image_size=64)), "mobilevit": ("MobileViTForSemanticSegmentation", "MobileViTConfig", dict(image_size=64)),
    "resnet": ("ResNetForImageClassification", "ResNetConfig", dict(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])), "regnet": ("RegNetModel", "RegNetConfig", dict(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], groups_width=8)),
    "bit": ("BitModel", "BitConfig", dict(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_groups=2)), "levit": ("LevitForImageClassification", "LevitConfig", dict(image_size=64, hidden_sizes=[32, 48, 64], num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8])),
    "poolformer": ("PoolFormerModel", "PoolFormerConfig", dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])), "pvt_v2": ("PvtV2Model", "PvtV2Config", dict(image_size=64, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4])),
    "pvt": ("PvtModel", "PvtConfig", dict(image_size=64, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4])), "cvt": ("CvtModel", "CvtConfig", dict(embed_dim=[8, 16, 32], num_heads=[1, 2, 4], depth=[1, 1, 1])),
    "focalnet": ("FocalNetModel", "FocalNetConfig", dict(image_size=32, patch_size=2, embed_dim=16, depths=[1, 1], hidden_sizes=[16, 32], focal_levels=[2, 2], focal_windows=[3, 3])), "hiera": ("HieraModel", "HieraConfig", dict(image_size=[64, 64], embed_dim=16, depths=[1, 1], num_heads=[1, 2], query_stride=[2, 2], masked_unit_size=[4, 4])),
    "efficientnet": ("EfficientNetModel", "EfficientNetConfig", dict(image_size=64)), "swiftformer": ("SwiftFormerModel", "SwiftFormerConfig", dict(image_size=64)), "yolos": ("YolosForObjectDetection", "YolosConfig", dict(VISION, image_size=[32, 32], num_detection_tokens=5)),
    "dpt": ("DPTForDepthEstimation", "DPTConfig", dict(VISION, image_size=32, num_hidden_layers=4, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16)),
    "glpn": ("GLPNForDepthEstimation", "GLPNConfig", dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=16)), "clip_vision": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", VISION), "siglip_vision": ("SiglipVisionModel", "SiglipVisionConfig", VISION),
    "vitdet": ("VitDetModel", "VitDetConfig", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=4, window_size=4, window_block_indices=[0])), "imagegpt": None, "dinat": None, "superpoint": ("SuperPointForKeypointDetection", "SuperPointConfig", {}),
    "textnet": ("TextNetModel", "TextNetConfig", dict(image_size=64)), "hgnet_v2": ("HGNetV2ForImageClassification", "HGNetV2Config", {}), "rt_detr_resnet": ("RTDetrResNetBackbone", "RTDetrResNetConfig", dict(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])),
    "upernet": ("UperNetForSemanticSegmentation", "UperNetConfig", None), "aimv2_vision": ("Aimv2VisionModel", "Aimv2VisionConfig", VISION), "trocr_encoder": None, "vitpose": None, "sam_vision": ("SamVisionModel", "SamVisionConfig", dict(VISION, image_size=32, output_channels=16, window_size=2, global_attn_indexes=[1], num_pos_feats=8, mlp_dim=40)),
}
SQUARE = {"convnext", "convnextv2", "segformer", "mobilenet_v1", "mobilenet_v2", "mobilevit", "resnet", "regnet", "bit", "levit", "poolformer", "pvt_v2", "pvt", "cvt", "hiera", "efficientnet", "swiftformer", "glpn",
          "superpoint", "textnet", "hgnet_v2", "rt_detr_resnet", "upernet"}
ANY_SIZE = {"convnext", "convnextv2", "segformer", "mobilenet_v1", "mobilenet_v2", "resnet", "regnet", "bit", "poolformer", "efficientnet", "hgnet_v2", "rt_detr_resnet", "textnet", "glpn"}

AUDIO_SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, conv_dim=[16, 16, 16], conv_stride=[5, 2, 2], conv_kernel=[10, 3, 3], num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, vocab_size=32)


def of(cls, config, kwargs):
    """A constructor of transformers' class `cls` with random weights."""
    def build():
        import transformers
        return getattr(transformers, cls)(getattr(transformers, config)(**kwargs))
    return build


def seq2seq_sample(k):
    import torch
    n, t, u = [(2, 7, 5), (3, 12, 9)][k]
    mask = torch.ones(n, t, dtype=torch.int64)
    mask[-1, t - 2:] = 0
    return (), {"input_ids": ids(n, t), "attention_mask": mask, "decoder_input_ids": ids(n, u)}


def transformers_archs():
    import torch
    for name, (cls, config, kwargs, n) in ENCODERS.items():
        names = ["input_ids", "attention_mask", "token_type_ids", "bbox"][:n]
        if n < 0:
            names = ["input_ids", "token_type_ids"]
        length = (16, 24) if name in ("longformer", "nystromformer", "mra", "canine", "funnel") else (7, 12)
        arch("hf_" + name, "text encoder", of(cls, config, kwargs), text(*names, lengths=length), None if name in FIXED_LENGTH else text_dims(*names))
    for name, (cls, config, kwargs) in DECODERS.items():
        names = ["input_ids", "attention_mask"]
        if name in ("mamba", "falcon_mamba", "rwkv"):
            names = ["input_ids"]
        # A recurrence in Python is unrolled: its length is fixed.
        axes = {n: dims(0) for n in names} if name in RECURRENT else text_dims(*names)
        arch("hf_" + name, "text decoder", of(cls, config, kwargs), text(*names, lengths=(7, 7) if name in RECURRENT else (7, 12)), axes)
    for name, (cls, config, kwargs) in SEQ2SEQS.items():
        arch("hf_" + name, "encoder-decoder", of(cls, config, kwargs), seq2seq_sample, text_dims("input_ids", "attention_mask", "decoder_input_ids"))
    for name, row in VISIONS.items():
        if row is None or row[2] is None:
            continue
        size = 64 if name in SQUARE else 32
        free = name in ANY_SIZE
        sample = lambda k, size=size, free=free: ((), {"pixel_values": torch.randn((2, 3)[k], 3, size + 32 * k * free, size + 32 * k * free)})
        arch("hf_" + name, "vision", of(*row), sample, {"pixel_values": dims(0, 2, 3) if free else dims(0)})
    decoder_cache_archs()
    audio_archs()
    mixed_archs()


def cached(model, layers):
    """A decoder with its key and value cache as inputs and outputs."""
    import torch
    from transformers import DynamicCache

    class Cached(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, keys: list[torch.Tensor], values: list[torch.Tensor]):
            cache = DynamicCache(list(zip(keys, values)))
            out = self.model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True)
            kept = out.past_key_values.layers
            return out.logits, [c.keys for c in kept], [c.values for c in kept]
    return Cached()


def decoder_cache_archs():
    import torch
    for name, heads in [("llama", 2), ("qwen2", 2), ("gpt2", 4), ("gemma", 2), ("opt", 4), ("phi3", 2)]:
        cls, config, kwargs = DECODERS[name]
        build = lambda cls=cls, config=config, kwargs=kwargs: cached(of(cls, config, dict(kwargs, use_cache=True))(), 2)

        def sample(k, heads=heads):
            n, t, past = [(2, 3, 5), (3, 4, 8)][k]
            return (), {"input_ids": ids(n, t), "attention_mask": torch.ones(n, t + past, dtype=torch.int64),
                        "keys": [torch.randn(n, heads, past, 8) for _ in range(2)], "values": [torch.randn(n, heads, past, 8) for _ in range(2)]}
        arch("hf_%s_cache" % name, "text decoder", build, sample,
             {"input_ids": dims(0, 1), "attention_mask": dims(0, 1), "keys": [dims(0, 2)] * 2, "values": [dims(0, 2)] * 2})


def audio_archs():
    import torch
    wave = lambda k: ((), {"input_values": torch.randn((2, 3)[k], (1000, 1400)[k])})
    wave_dims = {"input_values": dims(0, 1)}
    arch("hf_wav2vec2", "audio", of("Wav2Vec2ForCTC", "Wav2Vec2Config", AUDIO_SMALL), wave, wave_dims)
    arch("hf_hubert", "audio", of("HubertModel", "HubertConfig", AUDIO_SMALL), wave, wave_dims)
    arch("hf_wavlm", "audio", of("WavLMModel", "WavLMConfig", AUDIO_SMALL), wave, wave_dims)
    arch("hf_unispeech", "audio", of("UniSpeechModel", "UniSpeechConfig", AUDIO_SMALL), wave, wave_dims)
    arch("hf_data2vec_audio", "audio", of("Data2VecAudioModel", "Data2VecAudioConfig", AUDIO_SMALL), wave, wave_dims)
    arch("hf_sew", "audio", of("SEWModel", "SEWConfig", dict(AUDIO_SMALL, squeeze_factor=2)), wave, wave_dims)
    arch("hf_wav2vec2_conformer", "audio", of("Wav2Vec2ConformerModel", "Wav2Vec2ConformerConfig", dict(AUDIO_SMALL, position_embeddings_type="relative", max_source_positions=500)), wave, wave_dims)
    arch("hf_ast", "audio", of("ASTForAudioClassification", "ASTConfig", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, max_length=64, num_mel_bins=32, patch_size=8, frequency_stride=8, time_stride=8)),
         lambda k: ((), {"input_values": torch.randn((2, 3)[k], 64, 32)}), {"input_values": dims(0)})
    whisper = dict(vocab_size=99, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, num_mel_bins=16,
                   max_source_positions=30, max_target_positions=64, use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
    arch("hf_whisper", "audio", of("WhisperForConditionalGeneration", "WhisperConfig", whisper), lambda k: ((), {"input_features": torch.randn((2, 3)[k], 16, 60), "decoder_input_ids": ids((2, 3)[k], (5, 9)[k])}),
         {"input_features": dims(0), "decoder_input_ids": dims(0, 1)})
    arch("hf_whisper_encoder", "audio", lambda: of("WhisperModel", "WhisperConfig", whisper)().get_encoder(), lambda k: ((torch.randn((2, 3)[k], 16, 60),), {}), (dims(0),))
    s2t = dict(SEQ2SEQ, max_source_positions=64, max_target_positions=64, input_feat_per_channel=16, num_conv_layers=2, conv_kernel_sizes=[5, 5], conv_channels=32)
    s2t.pop("max_position_embeddings")
    arch("hf_speech_to_text", "audio", of("Speech2TextForConditionalGeneration", "Speech2TextConfig", s2t), lambda k: ((), {"input_features": torch.randn((2, 3)[k], (20, 28)[k], 16), "decoder_input_ids": ids((2, 3)[k], (5, 9)[k])}),
         {"input_features": dims(0, 1), "decoder_input_ids": dims(0, 1)})
    arch("hf_encodec_encoder", "audio", lambda: of("EncodecModel", "EncodecConfig", dict(hidden_size=16, num_filters=8, codebook_size=64, codebook_dim=16, upsampling_ratios=[4, 2]))().encoder, lambda k: ((torch.randn((2, 3)[k], 1, (800, 1200)[k]),), {}), (dims(0, 2),))
    arch("hf_encodec_decoder", "audio", lambda: of("EncodecModel", "EncodecConfig", dict(hidden_size=16, num_filters=8, codebook_size=64, codebook_dim=16, upsampling_ratios=[4, 2]))().decoder, lambda k: ((torch.randn((2, 3)[k], 16, (20, 30)[k]),), {}), (dims(0, 2),))
    arch("hf_dac", "audio", of("DacModel", "DacConfig", dict(encoder_hidden_size=8, decoder_hidden_size=32, downsampling_ratios=[2, 4], upsampling_ratios=[4, 2], n_codebooks=3, codebook_size=64, codebook_dim=4)), lambda k: ((torch.randn((2, 3)[k], 1, 512),), {}), (dims(0),))
    arch("hf_hifigan", "audio", of("SpeechT5HifiGan", "SpeechT5HifiGanConfig", dict(model_in_dim=16, upsample_initial_channel=32)), lambda k: ((torch.randn((2, 3)[k], (20, 30)[k], 16),), {}), (dims(0, 1),))
    arch("hf_univnet", "audio", of("UnivNetModel", "UnivNetConfig", dict(model_in_channels=8, model_hidden_channels=8, num_mel_bins=16, resblock_kernel_sizes=[3], resblock_stride_sizes=[8], resblock_dilation_sizes=[[1, 3]], kernel_predictor_hidden_channels=8)),
         lambda k: ((), {"input_features": torch.randn((2, 3)[k], (12, 20)[k], 16), "noise_sequence": torch.randn((2, 3)[k], (12, 20)[k], 8)}), {"input_features": dims(0, 1), "noise_sequence": dims(0, 1)})
    arch("hf_moonshine", "audio", of("MoonshineForConditionalGeneration", "MoonshineConfig", dict(vocab_size=99, hidden_size=32, intermediate_size=40, encoder_num_hidden_layers=2, decoder_num_hidden_layers=2, encoder_num_attention_heads=4, decoder_num_attention_heads=4, use_cache=False)),
         lambda k: ((), {"input_values": torch.randn((2, 3)[k], (4000, 5000)[k]), "decoder_input_ids": ids((2, 3)[k], (5, 9)[k])}), {"input_values": dims(0, 1), "decoder_input_ids": dims(0, 1)})
    arch("hf_seamless_conformer", "audio", of("Wav2Vec2BertModel", "Wav2Vec2BertConfig", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, feature_projection_input_dim=16, conv_depthwise_kernel_size=5)),
         lambda k: ((), {"input_features": torch.randn((2, 3)[k], (20, 30)[k], 16)}), {"input_features": dims(0, 1)})
    arch("hf_parakeet_encoder", "audio", of("ParakeetEncoder", "ParakeetEncoderConfig", dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, num_mel_bins=16, subsampling_conv_channels=8)),
         lambda k: ((), {"input_features": torch.randn((2, 3)[k], (64, 96)[k], 16)}), {"input_features": dims(0, 1)})
    arch("hf_musicgen_decoder", "audio", of("MusicgenForCausalLM", "MusicgenDecoderConfig", dict(vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=40, num_codebooks=4, max_position_embeddings=64, use_cache=False)),
         lambda k: ((), {"input_ids": ids((2, 3)[k] * 4, (7, 12)[k])}), None)
    arch("hf_vits_text_encoder", "audio", lambda: of("VitsModel", "VitsConfig", dict(vocab_size=38, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, ffn_dim=40, flow_size=16, spectrogram_bins=17))().text_encoder,
         lambda k: ((), {"input_ids": ids((2, 3)[k], (7, 12)[k], 37), "padding_mask": torch.ones((2, 3)[k], (7, 12)[k], 1)}), {"input_ids": dims(0, 1), "padding_mask": dims(0, 1)})


def mixed_archs():
    import torch
    video = lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 4, 3, 32, 32)})
    small = dict(VISION, num_frames=4)
    arch("hf_videomae", "video", of("VideoMAEForVideoClassification", "VideoMAEConfig", small), video, {"pixel_values": dims(0)})
    arch("hf_timesformer", "video", of("TimesformerModel", "TimesformerConfig", small), video, {"pixel_values": dims(0)})
    arch("hf_vivit", "video", of("VivitModel", "VivitConfig", dict(small, tubelet_size=[2, 8, 8], video_size=[4, 32, 32])), video, {"pixel_values": dims(0)})
    arch("hf_vjepa2", "video", of("VJEPA2Model", "VJEPA2Config", dict(crop_size=32, patch_size=8, frames_per_clip=4, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=2)),
         lambda k: ((), {"pixel_values_videos": torch.randn((2, 3)[k], 4, 3, 32, 32), "skip_predictor": True}), {"pixel_values_videos": dims(0), "skip_predictor": None})
    words = dict(SMALL, pad_token_id=1, bos_token_id=0, eos_token_id=2)

    def both(k, length=(7, 12), size=32):
        n = (2, 3)[k]
        return (), {"input_ids": ids(n + 1, length[k]), "pixel_values": torch.randn(n, 3, size, size), "attention_mask": torch.ones(n + 1, length[k], dtype=torch.int64)}
    both_dims = {"input_ids": dims(0, 1), "pixel_values": dims(0), "attention_mask": dims(0, 1)}

    def two(config, text, vision, **extra):
        def build():
            import transformers as T
            return getattr(T, config.replace("Config", "Model"))(getattr(T, config)(text_config=text, vision_config=vision, **extra))
        return build
    arch("hf_clip", "vision and text", two("CLIPConfig", words, VISION, projection_dim=16), both, both_dims)
    arch("hf_siglip", "vision and text", two("SiglipConfig", words, VISION), lambda k: both(k, (64, 64)), {"input_ids": dims(0), "pixel_values": dims(0), "attention_mask": dims(0)})
    arch("hf_chinese_clip", "vision and text", two("ChineseCLIPConfig", SMALL, VISION, projection_dim=16), both, both_dims)
    arch("hf_altclip", "vision and text", two("AltCLIPConfig", dict(SMALL, project_dim=16), VISION, projection_dim=16), both, both_dims)
    arch("hf_align", "vision and text", two("AlignConfig", SMALL, dict(image_size=64), projection_dim=16), lambda k: both(k, size=64), both_dims)
    arch("hf_clipseg", "vision and text", lambda: __import__("transformers").CLIPSegForImageSegmentation(__import__("transformers").CLIPSegConfig(text_config=words, vision_config=VISION, projection_dim=32, reduce_dim=16, extract_layers=[0, 1], decoder_num_attention_heads=2, decoder_intermediate_size=40)),
         lambda k: ((), {"input_ids": ids((2, 3)[k], (7, 12)[k]), "pixel_values": torch.randn((2, 3)[k], 3, 32, 32), "attention_mask": torch.ones((2, 3)[k], (7, 12)[k], dtype=torch.int64)}), both_dims)

    def owl(k):
        n = (2, 3)[k]
        return (), {"input_ids": ids(2 * n, 16), "pixel_values": torch.randn(n, 3, 32, 32), "attention_mask": torch.ones(2 * n, 16, dtype=torch.int64)}
    arch("hf_owlvit", "detection", lambda: __import__("transformers").OwlViTForObjectDetection(__import__("transformers").OwlViTConfig(text_config=dict(words, max_position_embeddings=16), vision_config=VISION, projection_dim=32)), owl, None)
    arch("hf_clap_audio", "audio", of("ClapAudioModelWithProjection", "ClapAudioConfig", dict(spec_size=64, num_mel_bins=16, patch_size=4, patch_stride=[4, 4], window_size=4, patch_embeds_hidden_size=16, depths=[1, 1], num_attention_heads=[2, 2], num_classes=4, hidden_size=32, projection_dim=16, enable_fusion=False)),
         lambda k: ((), {"input_features": torch.randn((2, 3)[k], 1, 256, 16)}), {"input_features": dims(0)})
    arch("hf_blip", "vision and text", lambda: __import__("transformers").BlipForConditionalGeneration(__import__("transformers").BlipConfig(text_config=dict(words, use_cache=False, encoder_hidden_size=32), vision_config=VISION, projection_dim=16)),
         lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 3, 32, 32), "input_ids": ids((2, 3)[k], (7, 12)[k]), "attention_mask": torch.ones((2, 3)[k], (7, 12)[k], dtype=torch.int64)}), {"pixel_values": dims(0), "input_ids": dims(0, 1), "attention_mask": dims(0, 1)})
    arch("hf_vilt", "vision and text", of("ViltModel", "ViltConfig", dict(SMALL, image_size=32, patch_size=8)), lambda k: ((), {"input_ids": ids((2, 3)[k], 7), "attention_mask": torch.ones((2, 3)[k], 7, dtype=torch.int64), "pixel_values": torch.randn((2, 3)[k], 3, 32, 32)}), None)

    def detr(cls, config, **extra):
        def build():
            import transformers as T
            backbone = T.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage4"])
            return getattr(T, cls)(getattr(T, config)(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                                                      decoder_attention_heads=4, encoder_ffn_dim=40, decoder_ffn_dim=40, num_queries=6, **extra))
        return build
    picture = lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 3, 64, 64), "pixel_mask": torch.ones((2, 3)[k], 64, 64, dtype=torch.int64)})
    picture_dims = {"pixel_values": dims(0), "pixel_mask": dims(0)}
    arch("hf_detr", "detection", detr("DetrForObjectDetection", "DetrConfig"), picture, picture_dims)
    arch("hf_detr_segmentation", "segmentation", detr("DetrForSegmentation", "DetrConfig"), picture, picture_dims)
    arch("hf_conditional_detr", "detection", detr("ConditionalDetrForObjectDetection", "ConditionalDetrConfig"), picture, picture_dims)
    arch("hf_table_transformer", "detection", detr("TableTransformerForObjectDetection", "TableTransformerConfig"), picture, picture_dims)

    def rt_detr(cls="RTDetrForObjectDetection", config="RTDetrConfig", **extra):
        def build():
            import transformers as T
            backbone = T.RTDetrResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"], out_indices=[2, 3, 4])
            return getattr(T, cls)(getattr(T, config)(backbone_config=backbone, encoder_hidden_dim=32, encoder_in_channels=[16, 24, 32], feat_strides=[8, 16, 32], encoder_layers=1, encoder_ffn_dim=40, encoder_attention_heads=2, d_model=32, num_queries=6,
                                                      decoder_in_channels=[32, 32, 32], decoder_ffn_dim=40, decoder_layers=2, decoder_attention_heads=4, num_denoising=0, anchor_image_size=None, **extra))
        return build
    plain = lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 3, 64, 64)})
    arch("hf_rt_detr", "detection", rt_detr(), plain, None)
    arch("hf_rt_detr_v2", "detection", rt_detr("RTDetrV2ForObjectDetection", "RTDetrV2Config"), plain, None)

    def deformable():
        import transformers as T
        backbone = T.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"])
        return T.DeformableDetrForObjectDetection(T.DeformableDetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4, decoder_attention_heads=4,
                                                  encoder_ffn_dim=40, decoder_ffn_dim=40, num_queries=6, num_feature_levels=3, disable_custom_kernels=True))
    arch("hf_deformable_detr", "detection", deformable, picture, picture_dims)

    def maskformer():
        import transformers as T
        backbone = T.SwinConfig(image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[2, 2, 2, 2], window_size=2, out_features=["stage1", "stage2", "stage3", "stage4"])
        decoder = T.DetrConfig(use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=T.ResNetConfig(), d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=40, num_queries=6)
        return T.MaskFormerForInstanceSegmentation(T.MaskFormerConfig(backbone_config=backbone, decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32))
    arch("hf_maskformer", "segmentation", maskformer, picture, picture_dims)

    def mask2former():
        import transformers as T
        backbone = T.SwinConfig(image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[2, 2, 2, 2], window_size=2, out_features=["stage1", "stage2", "stage3", "stage4"])
        return T.Mask2FormerForUniversalSegmentation(T.Mask2FormerConfig(backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=40, encoder_layers=1, decoder_layers=2, num_attention_heads=4, dim_feedforward=40, num_queries=6))
    arch("hf_mask2former", "segmentation", mask2former, picture, picture_dims)

    def depth_anything():
        import transformers as T
        backbone = T.Dinov2Config(hidden_size=32, num_hidden_layers=4, num_attention_heads=4, image_size=56, patch_size=14, out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False)
        return T.DepthAnythingForDepthEstimation(T.DepthAnythingConfig(backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 16, 24, 32], fusion_hidden_size=16, head_hidden_size=8, patch_size=14))
    arch("hf_depth_anything", "depth", depth_anything, lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 3, 56, 56)}), {"pixel_values": dims(0)})

    def upernet():
        import transformers as T
        backbone = T.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage1", "stage2", "stage3", "stage4"])
        return T.UperNetForSemanticSegmentation(T.UperNetConfig(backbone_config=backbone, hidden_size=16, auxiliary_in_channels=24, auxiliary_channels=8))
    arch("hf_upernet", "segmentation", upernet, lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 3, 64, 64)}), {"pixel_values": dims(0)})

    def trocr():
        import transformers as T
        encoder = T.ViTConfig(**VISION)
        decoder = T.TrOCRConfig(vocab_size=99, d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=40, max_position_embeddings=64, use_cache=False, is_decoder=True, add_cross_attention=True, cross_attention_hidden_size=32)
        m = T.VisionEncoderDecoderModel(T.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
        m.config.decoder_start_token_id, m.config.pad_token_id = 1, 0
        return m
    arch("hf_trocr", "vision and text", trocr, lambda k: ((), {"pixel_values": torch.randn((2, 3)[k], 3, 32, 32), "decoder_input_ids": ids((2, 3)[k], (5, 9)[k])}), {"pixel_values": dims(0), "decoder_input_ids": dims(0, 1)})
    arch("hf_patchtst", "time series", of("PatchTSTForPrediction", "PatchTSTConfig", dict(num_input_channels=3, context_length=32, patch_length=8, patch_stride=8, prediction_length=8, d_model=32, num_attention_heads=4, num_hidden_layers=2, ffn_dim=40, loss="mse")),
         lambda k: ((), {"past_values": torch.randn((2, 3)[k], 32, 3)}), {"past_values": dims(0)})
    arch("hf_patchtsmixer", "time series", of("PatchTSMixerForPrediction", "PatchTSMixerConfig", dict(num_input_channels=3, context_length=32, patch_length=8, patch_stride=8, prediction_length=8, d_model=32, num_layers=2, loss="mse")),
         lambda k: ((), {"past_values": torch.randn((2, 3)[k], 32, 3)}), {"past_values": dims(0)})
    arch("hf_perceiver", "text encoder", of("PerceiverModel", "PerceiverConfig", dict(num_latents=8, d_latents=32, d_model=24, num_blocks=1, num_self_attends_per_block=2, num_self_attention_heads=4, num_cross_attention_heads=4)),
         lambda k: ((torch.randn((2, 3)[k], (7, 12)[k], 24),), {}), (dims(0, 1),))
    arch("hf_decision_transformer", "reinforcement learning", of("DecisionTransformerModel", "DecisionTransformerConfig", dict(state_dim=5, act_dim=3, hidden_size=32, n_layer=2, n_head=4, max_ep_len=64)),
         lambda k: ((), {"states": torch.randn((2, 3)[k], 6, 5), "actions": torch.randn((2, 3)[k], 6, 3), "returns_to_go": torch.randn((2, 3)[k], 6, 1), "timesteps": torch.randint(0, 60, ((2, 3)[k], 6)), "attention_mask": torch.ones((2, 3)[k], 6, dtype=torch.int64)}),
         {"states": dims(0), "actions": dims(0), "returns_to_go": dims(0), "timesteps": dims(0), "attention_mask": dims(0)})


# Exporting, converting, comparing.


def disturb(model):
    """Noise on what construction leaves constant, and weights that keep the size of what goes through, so that no operator is nearly an identity or a zero."""
    import torch
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.is_floating_point() and p.numel() and (p.dim() <= 1 or bool((p == p.flatten()[0]).all())):
                p += 0.1 * torch.randn(p.shape, generator=g)
            elif p.is_floating_point() and p.dim() > 1:
                p *= max(1.0, float((p[0].numel() ** -0.5) / (p.std() + 1e-6)))
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b += 0.1 * torch.randn(b.shape, generator=g)
            elif name.endswith("running_var"):
                b *= 0.5 + torch.rand(b.shape, generator=g)


def tensors(tree):
    import torch
    from torch.utils._pytree import tree_leaves
    return [t for t in tree_leaves(tree) if isinstance(t, torch.Tensor)]


def flat_inputs(program, args, kwargs):
    """(name, array) of the inputs in the program's order."""
    from torch.export._tree_utils import reorder_kwargs
    kwargs = reorder_kwargs(kwargs, program.call_spec.in_spec)
    names = [n for n in program.graph_signature.user_inputs if isinstance(n, str) and n in {x.name for x in program.graph.nodes if x.op == "placeholder" and hasattr(x.meta.get("val"), "shape")}]
    return list(zip(names, [t.numpy() for t in tensors((args, kwargs))], strict=True))


def run_ort(path, feeds):
    import onnxruntime as ort
    ort.set_default_logger_severity(4)
    so = ort.SessionOptions()
    so.intra_op_num_threads = 1
    so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    s = ort.InferenceSession(path, so, providers=["CPUExecutionProvider"])
    return s.run(None, feeds), s


def difference(got, want):
    """(why not, largest absolute difference, largest magnitude)."""
    if len(got) != len(want):
        return "%d outputs, expected %d" % (len(got), len(want)), None, None
    worst, size, why = 0.0, 0.0, ""
    for i, (g, w) in enumerate(zip(got, want)):
        if tuple(g.shape) != tuple(w.shape):
            return "out%d: shape %s, expected %s" % (i, g.shape, w.shape), None, None
        if g.dtype != w.dtype:
            why = why or "out%d: %s, expected %s" % (i, g.dtype, w.dtype)
        a, b = np.asarray(g, np.float64), np.asarray(w, np.float64)
        if not a.size:
            continue
        with np.errstate(all="ignore"):
            d = np.abs(a - b)
        d = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, d)
        finite = b[np.isfinite(b)]
        top = float(np.abs(finite).max()) if finite.size else 0.0
        worst, size = max(worst, float(d.max())), max(size, top)
        if not (d <= ATOL * top + 1e-9 + RTOL * np.abs(b)).all():
            why = why or "out%d: max abs difference %.3g of %.3g" % (i, float(d.max()), top)
    return why, worst, size


def export(case, shapes):
    import torch
    torch.manual_seed(0)
    model = case.build().eval()
    disturb(model)
    samples = []
    for k in range(2 if shapes == "dynamic" else 1):
        torch.manual_seed(7 + k)
        samples.append(case.sample(k))
    args, kwargs = samples[0]
    want = []
    with torch.no_grad():
        for a, k in samples:
            want.append([t.clone() for t in tensors(model(*a, **k))])
    dynamic = case.dynamic if shapes == "dynamic" else None
    program = torch.export.export(model, args, kwargs, dynamic_shapes=dynamic)
    return model, program, samples, want


def measured(command, timeout):
    """-> (exit code, stderr, seconds)."""
    t = time.time()
    try:
        p = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return 124, "timeout", timeout
    return p.returncode, p.stderr.strip(), time.time() - t


def check_interface(session, feeds, dynamic_axes):
    """Names are those of the program, dynamic axes are symbolic."""
    ins = session.get_inputs()
    if [i.name for i in ins] != list(feeds):
        return "inputs are %s, expected %s" % ([i.name for i in ins], list(feeds))
    for i in ins:
        for axis in dynamic_axes.get(i.name, ()):
            if isinstance(i.shape[axis], int):
                return "axis %d of %s is frozen at %d" % (axis, i.name, i.shape[axis])
    return ""


def symbolic_axes(program):
    axes = {}
    for n in program.graph.nodes:
        if n.op == "placeholder" and n.name in program.graph_signature.user_inputs and hasattr(n.meta.get("val"), "shape"):
            axes[n.name] = [i for i, s in enumerate(n.meta["val"].shape) if not isinstance(s, int)]
    return axes


def one(name, a, emit):
    """One architecture, all its programs: rows of results to `emit`."""
    import torch
    torch.set_num_threads(1)
    case = ARCHS[name]
    for shapes in a.shapes.split(","):
        if shapes == "dynamic" and case.dynamic is None:
            if "static" in a.shapes:
                continue
            shapes = "static"
        forms = a.forms.split(",")
        folders = [os.path.join(a.work, "%s.%s.%s" % (name, shapes, form)) for form in forms]
        if not (a.reuse and all(os.path.exists(f + "/facts.json") for f in folders)):
            write_cases(case, shapes, dict(zip(forms, folders)))
        for form, folder in zip(forms, folders):
            row = dict(name=name, family=case.family, shapes=shapes, form=form, ok=False)
            try:
                row.update(convert_and_compare(a, folder))
            except Exception as e:
                row.update(why="runtime: " + brief(e), stage="run")
            emit(row)
            if a.tidy:
                shutil.rmtree(folder)


def write_cases(case, shapes, folders):
    """Exports once, in several forms: each a folder with model.pt2, io.npz of the sample, io1.npz of other sizes, and facts.json."""
    import torch
    program = error = None
    for form, folder in folders.items():
        os.makedirs(folder, exist_ok=True)
        facts = {}
        try:
            if error is None and program is None:
                model, program, samples, want = export(case, shapes)
            if error is None and form == "core":
                program = program.run_decompositions()
            if error is None:
                torch.export.save(program, folder + "/model.pt2")
                for k, ((args, kwargs), outs) in enumerate(zip(samples, want)):
                    feeds = flat_inputs(program, args, kwargs)
                    arrays = {"in%d" % i: v for i, (_, v) in enumerate(feeds)} | {"out%d" % i: v.numpy() for i, v in enumerate(outs)}
                    np.savez(folder + ("/io%s.npz" % (k or "")), **arrays)
                facts = {"inputs": [n for n, _ in feeds], "dynamic": symbolic_axes(program), "nodes": sum(n.op == "call_function" for n in program.graph.nodes)}
        except Exception as e:
            if program is None:
                error = brief(e)
            facts = {"error": brief(e)}
        if error is not None:
            facts = {"error": error}
        with open(folder + "/facts.json", "w") as f:
            json.dump(facts, f)


def convert_and_compare(a, folder):
    with open(folder + "/facts.json") as f:
        facts = json.load(f)
    if "error" in facts:
        return dict(stage="export", why=facts["error"])
    out = folder + "/model.onnx"
    code, err, seconds = measured([a.hoist, "convert", folder + "/model.pt2", "-o", out, *a.extra.split()], a.timeout)
    row = dict(nodes=facts["nodes"], convert_s=seconds)
    if code != 0:
        return dict(row, stage="convert", why=err[-1500:] or "exit %d" % code)
    import onnx
    row["onnx_nodes"] = len(onnx.load(out, load_external_data=False).graph.node)
    worst = size = 0.0
    for io in ("/io.npz", "/io1.npz"):
        if not os.path.exists(folder + io):
            continue
        z = np.load(folder + io)
        feeds = {n: z["in%d" % i] for i, n in enumerate(facts["inputs"])}
        got, session = run_ort(out, feeds)
        why, w, s = difference(got, [z["out%d" % i] for i in range(sum(k.startswith("out") for k in z.files))])
        if why:
            return dict(row, stage="compare", why=why)
        worst, size = max(worst, w), max(size, s)
        why = check_interface(session, feeds, facts["dynamic"])
        if why:
            return dict(row, stage="interface", why=why)
    os.remove(out)
    return dict(row, ok=True, stage="done", max_abs=worst, magnitude=size)


def brief(e):
    lines = [l for l in str(e).strip().splitlines() if l.strip()]
    return (type(e).__name__ + ": " + " | ".join(lines[:3]))[:600]


def register():
    for fill in (torchvision_archs, timm_archs, transformers_archs):
        fill()


def in_child(name, a):
    """Rows of one architecture, from a process that may crash or hang."""
    context = multiprocessing.get_context("fork")
    mine, its = context.Pipe(False)
    p = context.Process(target=one, args=(name, a, its.send))
    p.start()
    its.close()
    rows = []
    end = time.time() + 4 * a.timeout
    try:
        while mine.poll(max(0.0, end - time.time())):
            rows.append(mine.recv())
    except EOFError:
        pass
    if p.is_alive() and time.time() >= end:
        p.kill()
    p.join()
    if p.exitcode:
        rows.append(dict(name=name, family=ARCHS[name].family, ok=False, stage="crash", why="exit %d" % p.exitcode, shapes="", form=""))
    return rows


def line(row):
    if row["ok"]:
        what = "ok %.2f s, %d -> %d nodes, %.2g of %.2g" % (row["convert_s"], row["nodes"], row["onnx_nodes"], row["max_abs"], row["magnitude"])
    else:
        what = "FAILS at %s %s" % (row["stage"], row["why"][:400].replace("\n", " | "))
    return "%-34s %-8s %-8s %s" % (row["name"], row["shapes"], row["form"], what)


KINDS = [("static", "training"), ("static", "core"), ("dynamic", "training"), ("dynamic", "core")]


def markdown(rows):
    """A table with one line per architecture, and a list of what does not get there."""
    out = ["| Architecture | Task | Static | Static, core | Dynamic | Dynamic, core | Largest difference |", "|---|---|---|---|---|---|---|"]
    for name in dict.fromkeys(r["name"] for r in rows):
        good = {(r["shapes"], r["form"]): r for r in rows if r["name"] == name and r["ok"]}
        if not good:
            continue
        cell = lambda r: "%d, %d, %.2f s" % (r["nodes"], r["onnx_nodes"], r["convert_s"]) if r else ""
        worst = max(good.values(), key=lambda r: r["max_abs"] / max(r["magnitude"], 1e-30))
        cells = [name, worst["family"], *(cell(good.get(k)) for k in KINDS), "%.1e of %.1e" % (worst["max_abs"], worst["magnitude"])]
        out.append("| " + " | ".join(cells) + " |")
    failed = {}
    for r in rows:
        if not r["ok"]:
            why = r["why"].replace("|", "/").replace("`", "").replace("\n", " ")
            failed.setdefault((r["name"], r["stage"], why[:160]), []).append(("%s %s" % (r["shapes"], r["form"])).strip())
    out += ["", "| Program that does not get there | Stage | Reason |", "|---|---|---|"]
    for (name, stage, why), kinds in failed.items():
        out.append("| %s: %s | %s | %s |" % (name, ", ".join(kinds), stage, why))
    return "\n".join(out) + "\n"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hoist")
    p.add_argument("work")
    p.add_argument("--only", default="", help="names by commas; a final * stands for the rest of a name")
    p.add_argument("--shapes", default="static,dynamic")
    p.add_argument("--forms", default="training,core")
    p.add_argument("--json")
    p.add_argument("--markdown")
    p.add_argument("--reuse", action="store_true", help="take the programs that WORK holds already")
    p.add_argument("--tidy", action="store_true", help="remove each program after use")
    p.add_argument("--timeout", type=int, default=300)
    p.add_argument("--extra", default="", help="further arguments of hoist convert, by blanks")
    a = p.parse_args()
    warnings.simplefilter("ignore")
    os.makedirs(a.work, exist_ok=True)
    register()
    import onnxruntime  # noqa: F401  so that each child has it
    parts = [t for t in a.only.split(",") if t]
    names = [n for n in ARCHS if not parts or any(n == t or (t.endswith("*") and n.startswith(t[:-1])) for t in parts)]
    rows = []
    for name in names:
        for row in in_child(name, a):
            rows.append(row)
            print(line(row), flush=True)
        if a.json:
            with open(a.json, "w") as f:
                json.dump(rows, f, indent=0)
        if a.markdown:
            with open(a.markdown, "w") as f:
                f.write(markdown(rows))


if __name__ == "__main__":
    main()
