//! CLIP and `SigLIP`: texts and pictures in one space.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::ops::Axis;
use super::vit::Patches;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;

/// A stack of layers.
struct Stack {
    at: &'static str,
    hidden: usize,
    layers: usize,
    heads: usize,
    inner: usize,
    act: Act,
    eps: f64,
}

impl Stack {
    fn of(c: &Config, at: &'static str, act: &str, eps: f64) -> Self {
        let hidden = c.size_or("hidden_size", 512);
        let heads = c.size_or("num_attention_heads", 8);
        c.head_size(hidden, heads);
        Self {
            at,
            hidden,
            layers: c.layers("num_hidden_layers"),
            heads,
            inner: c.size("intermediate_size"),
            act: c.act("hidden_act", act),
            eps: c.float_or("layer_norm_eps", eps),
        }
    }
    fn run(&self, net: &mut Net<'_>, mut x: V, mask: Option<V>) -> R<V> {
        for i in 0..self.layers {
            let at = format!("{}.encoder.layers.{i}", self.at);
            let y = net.layer_norm(&format!("{at}.layer_norm1"), x, self.hidden, self.eps)?;
            let parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"];
            let heads = Heads::new(self.heads, self.hidden / self.heads);
            let y = net.self_attention(&at, y, parts, &heads, true, mask)?;
            x = net.of("add", &[x, y])?;
            let y = net.layer_norm(&format!("{at}.layer_norm2"), x, self.hidden, self.eps)?;
            let names = (format!("{at}.mlp.fc1"), format!("{at}.mlp.fc2"));
            let y = net.mlp((&names.0, &names.1), y, (self.hidden, self.inner), self.act, true)?;
            x = net.of("add", &[x, y])?;
        }
        Ok(x)
    }
}

/// Embedded tokens.
fn words(net: &mut Net<'_>, c: &Config, s: &Stack, ids: V) -> R<V> {
    let at = format!("{}.embeddings", s.at);
    let x =
        net.embedding(&format!("{at}.token_embedding"), ids, (c.size_or("vocab_size", 49408), s.hidden))?;
    let places = net.places(ids)?;
    let y = net.embedding(
        &format!("{at}.position_embedding"),
        places,
        (c.size_or("max_position_embeddings", 77), s.hidden),
    )?;
    net.of("add", &[x, y])
}

/// `x` divided by its length.
fn unit(net: &mut Net<'_>, x: V) -> R<V> {
    let axes = net.ints(&[-1]);
    let length = net.op("reduce_l2", &[x, axes], &[("keepdims", Attr::Bool(true))])?;
    net.of("div", &[x, length])
}

/// Scores of texts and pictures: products times the exponential of a weight, and perhaps a bias.
fn scores(net: &mut Net<'_>, text: V, image: V, bias: bool, shape: &[usize]) -> R<()> {
    let (text, image) = (unit(net, text)?, unit(net, image)?);
    net.at("logit_scale");
    let turned = net.transpose(image, &[1, 0])?;
    let y = net.of("mat_mul", &[text, turned])?;
    let scale = net.param("logit_scale", shape)?;
    let scale = net.of("exp", &[scale])?;
    let mut y = net.of("mul", &[y, scale])?;
    if bias {
        let b = net.param("logit_bias", shape)?;
        y = net.of("add", &[y, b])?;
    }
    let per_image = net.transpose(y, &[1, 0])?;
    for (name, v) in [
        ("logits_per_image", per_image),
        ("logits_per_text", y),
        ("text_embeds", text),
        ("image_embeds", image),
    ] {
        net.output(name, v);
    }
    Ok(())
}

fn only_bare(head: Head) -> Result<(), Diag> {
    if head == Head::None {
        Ok(())
    } else {
        Err(Diag::error("E0301", format!("{head:?} on top of this model is not built")))
    }
}

pub(super) fn clip(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    only_bare(head)?;
    let (text, vision) = (c.sub("text_config"), c.sub("vision_config"));
    let s = Stack::of(&text, "text_model", "quick_gelu", 1e-5);
    let v = Stack::of(&vision, "vision_model", "quick_gelu", 1e-5);
    let p = Patches::of(&vision);
    let size = c.size("projection_dim");
    let end = text.count_or("eos_token_id", 49407);
    c.check()?;
    let axes = [Axis::Name("text_batch_size"), Axis::Name("sequence_length")];
    let ids = net.input_of("input_ids", Some(DType::I64), &axes);
    let image = p.embedded(net, "vision_model.embeddings.patch_embedding", false)?;
    let mask = net.input_of("attention_mask", Some(DType::I64), &axes);
    // Texts.
    let x = words(net, &text, &s, ids)?;
    let count = net.size_of(ids, 1)?;
    let places = net.range(None, count)?;
    let seen = net.causal_mask(places, places, None, Some(mask))?;
    let x = s.run(net, x, Some(seen))?;
    let x = net.layer_norm("text_model.final_layer_norm", x, s.hidden, s.eps)?;
    net.at("text_model.pooler");
    // Where the text ends: at the largest number, or, in newer files, at the first mark.
    let marks = if end == 2 {
        ids
    } else {
        let mark = net.int(end as i64);
        let same = net.of("equal", &[ids, mark])?;
        net.cast(same, DType::I64)?
    };
    let at = net.op("arg_max", &[marks], &[("axis", Attr::Int(1)), ("keepdims", Attr::Bool(true))])?;
    let x = net.op("gather_nd", &[x, at], &[("batch_dims", Attr::Int(1))])?;
    let text_embeds = net.dense("text_projection", x, (s.hidden, size), false)?;
    // Pictures.
    net.at("vision_model.embeddings");
    let token = net.param("vision_model.embeddings.class_embedding", &[v.hidden])?;
    let batch = net.size_of(image, 0)?;
    let rest = net.ints(&[1, v.hidden as i64]);
    let sizes = net.concat(&[batch, rest], 0)?;
    let token = net.of("expand", &[token, sizes])?;
    let x = net.concat(&[token, image], 1)?;
    let x = net.placed("vision_model.embeddings.position_embedding.weight", x, &[p.count() + 1, v.hidden])?;
    let x = net.layer_norm("vision_model.pre_layrnorm", x, v.hidden, v.eps)?;
    let x = v.run(net, x, None)?;
    let x = super::bert::first(net, x)?;
    let x = net.layer_norm("vision_model.post_layernorm", x, v.hidden, v.eps)?;
    let image_embeds = net.dense("visual_projection", x, (v.hidden, size), false)?;
    scores(net, text_embeds, image_embeds, false, &[])?;
    Ok(())
}

pub(super) fn siglip(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    only_bare(head)?;
    let (text, vision) = (c.sub("text_config"), c.sub("vision_config"));
    let s = Stack::of(&text, "text_model", "gelu_pytorch_tanh", 1e-6);
    let v = Stack::of(&vision, "vision_model", "gelu_pytorch_tanh", 1e-6);
    let p = Patches::of(&vision);
    let size = text.size_or("projection_size", s.hidden);
    c.check()?;
    let axes = [Axis::Name("text_batch_size"), Axis::Name("sequence_length")];
    let ids = net.input_of("input_ids", Some(DType::I64), &axes);
    let image = p.embedded(net, "vision_model.embeddings.patch_embedding", true)?;
    let mask = net.input_of("attention_mask", Some(DType::I64), &axes);
    let x = words(net, &text, &s, ids)?;
    let seen = net.encoder_mask(mask)?;
    let x = s.run(net, x, Some(seen))?;
    let x = net.layer_norm("text_model.final_layer_norm", x, s.hidden, s.eps)?;
    net.at("text_model.head");
    let last = net.int(-1);
    let x = net.op("gather", &[x, last], &[("axis", Attr::Int(1))])?;
    let text_embeds = net.dense("text_model.head", x, (s.hidden, size), true)?;
    let x = net.placed("vision_model.embeddings.position_embedding.weight", image, &[p.count(), v.hidden])?;
    let x = v.run(net, x, None)?;
    let x = net.layer_norm("vision_model.post_layernorm", x, v.hidden, v.eps)?;
    let image_embeds = pooled(net, &v, x)?;
    scores(net, text_embeds, image_embeds, true, &[1])?;
    Ok(())
}

/// Attention of a learned query on all patches, and a feed-forward part.
fn pooled(net: &mut Net<'_>, v: &Stack, x: V) -> R<V> {
    let at = "vision_model.head";
    net.at(at);
    let h = v.hidden;
    let probe = net.param(&format!("{at}.probe"), &[1, 1, h])?;
    let batch = net.size_of(x, 0)?;
    let rest = net.ints(&[1, h as i64]);
    let sizes = net.concat(&[batch, rest], 0)?;
    let probe = net.of("expand", &[probe, sizes])?;
    let w = net.weight_in(&format!("{at}.attention.in_proj_weight"), &[3 * h, h], Some(&[1, 0]))?;
    let b = net.param(&format!("{at}.attention.in_proj_bias"), &[3 * h])?;
    let heads = Heads::new(v.heads, h / v.heads);
    let mut part = |i: usize, from: V| {
        let (start, end) = ((i * h) as i64, ((i + 1) * h) as i64);
        let (w, b) = (net.slice(w, 1, start, end)?, net.slice(b, 0, start, end)?);
        let y = net.product(from, w, Some(b))?;
        net.apart(y, heads.count, heads.size)
    };
    let (q, k, values) = (part(0, probe)?, part(1, x)?, part(2, x)?);
    let y = net.attend((q, k, values), &heads, None)?;
    let x = net.dense(&format!("{at}.attention.out_proj"), y, (h, h), true)?;
    let y = net.layer_norm(&format!("{at}.layernorm"), x, h, v.eps)?;
    let names = (format!("{at}.mlp.fc1"), format!("{at}.mlp.fc2"));
    let y = net.mlp((&names.0, &names.1), y, (h, v.inner), v.act, true)?;
    let x = net.of("add", &[x, y])?;
    super::bert::first(net, x)
}
