//! Convolutional networks as transformers keeps them: `ResNet` and `MobileNetV2`.
use super::bert::labels;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::vit::Window;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};

/// A batch normalization called `name`.
fn normed(net: &mut Net<'_>, name: &str, x: V, size: usize, eps: f64) -> R<V> {
    net.at(name);
    let mut inputs = vec![x];
    for part in ["weight", "bias", "running_mean", "running_var"] {
        inputs.push(net.param(&format!("{name}.{part}"), &[size])?);
    }
    net.op("batch_normalization", &inputs, &[("epsilon", Attr::Float(eps as f32))])
}

/// The outputs of a network whose last values are `x`.
fn finish(c: &Config, net: &mut Net<'_>, head: Head, x: V, classifier: &str) -> Result<(), Diags> {
    let (mean, flat) = (net.mean(x, &[-2, -1], true)?, net.mean(x, &[-2, -1], false)?);
    match head {
        Head::None => {
            net.output("last_hidden_state", x);
            net.output("pooler_output", if classifier == "classifier" { flat } else { mean });
        }
        Head::ImageClassification => {
            let y = net.dense(classifier, flat, (net.width(flat), labels(c)), true)?;
            net.output("logits", y);
        }
        other => {
            return Err(Diag::error(
                "E0301",
                format!("{other:?} on top of a model of pictures is not built"),
            )
            .into());
        }
    }
    Ok(())
}

/// A convolution without bias, its normalization, and perhaps an activation.
fn unit(net: &mut Net<'_>, at: &str, x: V, sizes: (usize, usize), w: &Window, act: Option<Act>) -> R<V> {
    let y = net.conv_nd(&format!("{at}.convolution"), x, sizes, w, false)?;
    let y = normed(net, &format!("{at}.normalization"), y, sizes.1, 1e-5)?;
    act.map_or(Ok(y), |act| net.act(act, y))
}

pub(super) fn resnet(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let (channels, stem) = (c.size_or("num_channels", 3), c.size("embedding_size"));
    let (sizes, depths) = (c.sizes("hidden_sizes"), c.sizes("depths"));
    let deep = c.expect("layer_type", &["basic", "bottleneck"], "bottleneck") == "bottleneck";
    let act = c.act("hidden_act", "relu");
    let (early, within) =
        (c.flag("downsample_in_first_stage", false), c.flag("downsample_in_bottleneck", false));
    if sizes.len() != depths.len() {
        c.problem(Diag::error(
            "E0206",
            "config.json: `hidden_sizes` and `depths` are not lists of one length",
        ));
    }
    c.check()?;
    net.base = "resnet.";
    let x = net.picture(channels);
    let x = unit(net, "resnet.embedder.embedder", x, (channels, stem), &Window::square(7, 2, 3), Some(act))?;
    let mut x = net.max_pool(x, 3, 2, 1, false)?;
    let mut inner = stem;
    for (s, (size, depth)) in sizes.into_iter().zip(depths).enumerate() {
        for i in 0..depth {
            let at = format!("resnet.encoder.stages.{s}.layers.{i}");
            let stride = if i == 0 && (s > 0 || early) { 2 } else { 1 };
            let mut step =
                |n: usize, x: V, sizes: (usize, usize), kernel: usize, stride: usize, act: Option<Act>| {
                    unit(
                        net,
                        &format!("{at}.layer.{n}"),
                        x,
                        sizes,
                        &Window::square(kernel, stride, kernel / 2),
                        act,
                    )
                };
            let y = if deep {
                let middle = size / 4;
                let (a, b) = if within { (stride, 1) } else { (1, stride) };
                let y = step(0, x, (inner, middle), 1, a, Some(act))?;
                let y = step(1, y, (middle, middle), 3, b, Some(act))?;
                step(2, y, (middle, size), 1, 1, None)?
            } else {
                let y = step(0, x, (inner, size), 3, stride, Some(act))?;
                step(1, y, (size, size), 3, 1, None)?
            };
            if inner != size || stride != 1 {
                x = unit(
                    net,
                    &format!("{at}.shortcut"),
                    x,
                    (inner, size),
                    &Window::square(1, stride, 0),
                    None,
                )?;
            }
            let sum = net.of("add", &[y, x])?;
            x = net.act(act, sum)?;
            inner = size;
        }
    }
    finish(c, net, head, x, "classifier.1")
}

/// Channels by the rule of `MobileNet`: multiples of `divisor`, not below nine tenths of what is wanted.
fn divisible(value: f64, divisor: usize, least: usize) -> usize {
    let rounded = ((value + divisor as f64 / 2.0) as usize / divisor * divisor).max(least);
    if (rounded as f64) < 0.9 * value { rounded + divisor } else { rounded }
}

/// What the convolutions of `MobileNetV2` have in common.
struct Mobile {
    act: Act,
    eps: f64,
    /// Whether pictures are padded as TensorFlow does.
    same: bool,
}

impl Mobile {
    /// A convolution: kernel, step, dilation; `groups` as many as channels where it is by channel.
    fn unit(
        &self,
        net: &mut Net<'_>,
        at: &str,
        x: V,
        sizes: (usize, usize),
        window: (usize, usize, usize),
        act: bool,
    ) -> R<V> {
        let (kernel, stride, dilation) = window;
        let groups = if kernel == 3 && sizes.0 == sizes.1 { sizes.0 } else { 1 };
        let name = format!("{at}.convolution");
        net.at(&name);
        let w = net.param(&format!("{name}.weight"), &[sizes.1, sizes.0 / groups, kernel, kernel])?;
        let pair = |n: usize| Attr::Ints(vec![n as i64; 2]);
        let mut attrs = vec![
            ("kernel_shape", pair(kernel)),
            ("strides", pair(stride)),
            ("dilations", pair(dilation)),
            ("group", Attr::Int(groups as i64)),
        ];
        attrs.push(if self.same {
            ("auto_pad", Attr::Word("SAME_UPPER"))
        } else {
            ("pads", Attr::Ints(vec![((kernel - 1) / 2 * dilation) as i64; 4]))
        });
        let y = net.op("conv", &[x, w], &attrs)?;
        let y = normed(net, &format!("{at}.normalization"), y, sizes.1, self.eps)?;
        if act { net.act(self.act, y) } else { Ok(y) }
    }
}

pub(super) fn mobilenet_v2(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let channels = c.size_or("num_channels", 3);
    let factor = c.float_or("depth_multiplier", 1.0);
    let (divisor, least) = (c.size_or("depth_divisible_by", 8), c.size_or("min_depth", 8));
    let ratio = c.float_or("expand_ratio", 6.0);
    let m = Mobile {
        act: c.act("hidden_act", "relu6"),
        eps: c.float_or("layer_norm_eps", 0.001),
        same: c.flag("tf_padding", true),
    };
    let (first, fine) = (c.flag("first_layer_is_expansion", true), c.flag("finegrained_output", true));
    let most = c.size_or("output_stride", 32);
    c.check()?;
    let of = |n: usize| divisible(libm::rint(n as f64 * factor), divisor, least);
    net.base = "mobilenet_v2.";
    let x = net.picture(channels);
    let (wide, mut inner) = (of(32), of(16));
    let at = "mobilenet_v2.conv_stem";
    let mut x = m.unit(net, &format!("{at}.first_conv"), x, (channels, wide), (3, 2, 1), true)?;
    if !first {
        x = m.unit(net, &format!("{at}.expand_1x1"), x, (wide, wide), (1, 1, 1), true)?;
    }
    x = m.unit(net, &format!("{at}.conv_3x3"), x, (wide, wide), (3, 1, 1), true)?;
    x = m.unit(net, &format!("{at}.reduce_1x1"), x, (wide, inner), (1, 1, 1), false)?;
    let sizes = [24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320];
    let strides = [2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1];
    let (mut total, mut dilation) = (2, 1);
    for (i, (size, wanted)) in sizes.into_iter().zip(strides).enumerate() {
        let (mut stride, mut own) = (wanted, 1);
        if total == most {
            (stride, own) = (1, dilation);
            dilation *= wanted;
        } else {
            total *= wanted;
        }
        let size = of(size);
        let middle = divisible(libm::rint(inner as f64 * ratio), divisor, least);
        let at = format!("mobilenet_v2.layer.{i}");
        let y = m.unit(net, &format!("{at}.expand_1x1"), x, (inner, middle), (1, 1, 1), true)?;
        let y = m.unit(net, &format!("{at}.conv_3x3"), y, (middle, middle), (3, stride, own), true)?;
        let y = m.unit(net, &format!("{at}.reduce_1x1"), y, (middle, size), (1, 1, 1), false)?;
        x = if stride == 1 && inner == size { net.of("add", &[x, y])? } else { y };
        inner = size;
    }
    let last = if fine && factor < 1.0 { 1280 } else { of(1280) };
    let x = m.unit(net, "mobilenet_v2.conv_1x1", x, (inner, last), (1, 1, 1), true)?;
    finish(c, net, head, x, "classifier")
}
