//! Mamba: a state in place of attention.
//!
//! Source: Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces" (2023).
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::ops::Axis;
use super::vit::Window;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;

/// Sizes of a layer.
struct Mixer {
    hidden: usize,
    inner: usize,
    state: usize,
    rank: usize,
    kernel: usize,
    act: Act,
    bias: bool,
    conv_bias: bool,
}

impl Mixer {
    fn run(&self, net: &mut Net<'_>, at: &str, x: V) -> R<V> {
        let Self { hidden, inner, state, rank, kernel, .. } = *self;
        let y = net.dense(&format!("{at}.in_proj"), x, (hidden, 2 * inner), self.bias)?;
        let parts = net.split(y, &[inner, inner])?;
        let (y, gate) = (parts[0], parts[1]);
        let y = net.transpose(y, &[0, 2, 1])?;
        let window = Window { groups: inner, ..Window::line(kernel, 1, kernel - 1) };
        let mut y = net.conv_nd(&format!("{at}.conv1d"), y, (inner, inner), &window, self.conv_bias)?;
        if kernel > 1 {
            // What looks ahead is cut.
            y = net.slice(y, 2, 0, 1 - kernel as i64)?;
        }
        let y = net.transpose(y, &[0, 2, 1])?;
        let y = net.act(self.act, y)?;
        let parts = net.dense(&format!("{at}.x_proj"), y, (inner, rank + 2 * state), false)?;
        let parts = net.split(parts, &[rank, state, state])?;
        let step = net.dense(&format!("{at}.dt_proj"), parts[0], (rank, inner), true)?;
        let step = net.of("softplus", &[step])?;
        net.at(at);
        let rates = net.param(&format!("{at}.A_log"), &[inner, state])?;
        let rates = net.of("exp", &[rates])?;
        let rates = net.of("neg", &[rates])?;
        // Each channel is a head with a state of its own.
        let long = net.unsqueeze(step, &[-1])?;
        let decay = net.of("mul", &[long, rates])?;
        let decay = net.reshape(decay, &[0, 0, (inner * state) as i64])?;
        let times = net.ints(&[1, 1, inner as i64]);
        let (key, query) = (net.of("tile", &[parts[1], times])?, net.of("tile", &[parts[2], times])?);
        let value = net.of("mul", &[step, y])?;
        let attrs = [
            ("kv_num_heads", Attr::Int(inner as i64)),
            ("q_num_heads", Attr::Int(inner as i64)),
            ("scale", Attr::Float(1.0)),
            ("update_rule", Attr::Word("gated")),
        ];
        let operands = [Some(query), Some(key), Some(value), None, Some(decay), None];
        let out = net.many("linear_attention", &operands, &attrs, 2)?[0];
        let skip = net.param(&format!("{at}.D"), &[inner])?;
        let skip = net.of("mul", &[y, skip])?;
        let y = net.of("add", &[out, skip])?;
        let gate = net.act(self.act, gate)?;
        let y = net.of("mul", &[y, gate])?;
        net.dense(&format!("{at}.out_proj"), y, (inner, hidden), self.bias)
    }
}

pub(super) fn mamba(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let hidden = c.size("hidden_size");
    let inner = c.opt_size("intermediate_size").unwrap_or_else(|| hidden * c.size_or("expand", 2));
    let mixer = Mixer {
        hidden,
        inner,
        state: c.size("state_size"),
        rank: if c.text_is("time_step_rank", "auto") {
            hidden.div_ceil(16)
        } else {
            c.size("time_step_rank")
        },
        kernel: c.size("conv_kernel"),
        act: c.act("hidden_act", "silu"),
        bias: c.flag("use_bias", false),
        conv_bias: c.flag("use_conv_bias", true),
    };
    let (layers, vocabulary) = (c.layers("num_hidden_layers"), c.size("vocab_size"));
    let eps = c.float_or("layer_norm_epsilon", 1e-5);
    let tied = c.flag("tie_word_embeddings", true);
    c.check()?;
    net.base = "backbone.";
    let axes = [Axis::Name("batch_size"), Axis::Name("sequence_length")];
    let ids = net.input_of("input_ids", Some(DType::I64), &axes);
    let mut x = net.embedding("backbone.embeddings", ids, (vocabulary, hidden))?;
    for i in 0..layers {
        let at = format!("backbone.layers.{i}");
        let y = net.rms_norm(&format!("{at}.norm"), x, hidden, eps, false)?;
        let y = mixer.run(net, &format!("{at}.mixer"), y)?;
        x = net.of("add", &[x, y])?;
    }
    let x = net.rms_norm("backbone.norm_f", x, hidden, eps, false)?;
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::CausalLm => {
            let table = if tied { "backbone.embeddings" } else { "lm_head" };
            let y = net.dense(table, x, (hidden, vocabulary), false)?;
            net.output("logits", y);
        }
        other => return Err(Diag::error("E0301", format!("{other:?} on top of Mamba is not built")).into()),
    }
    Ok(())
}
