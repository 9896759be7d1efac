//! `DenseNet`.
//!
//! Source: Huang and others, "Densely connected convolutional networks" (2016), with bottlenecks of four times the growth. Names of weights
//! as in torchvision.

use super::blocks::{Conv2d, Net, R, V};

/// Width of a bottleneck in multiples of the growth.
const BOTTLENECK: usize = 4;

/// `DenseNet` that starts with `start` channels, of so many layers in its four blocks, each of which adds `growth` channels.
pub(super) fn build(net: &mut Net, growth: usize, start: usize, blocks: [usize; 4]) -> R<()> {
    let x = net.input("x", &[3, 224, 224]);
    let x = net.conv("features.conv0", x, Conv2d { stride: 2, padding: 3, ..Conv2d::new((3, start), 7) })?;
    let x = act(net, "features.norm0", x, start)?;
    let (mut x, mut channels) = (net.max_pool(x, 3, 2, 1, false)?, start);
    for (i, count) in (1..).zip(blocks) {
        for layer in 1..=count {
            let at = format!("features.denseblock{i}.denselayer{layer}");
            x = dense(net, &at, x, channels, growth)?;
            channels += growth;
        }
        if i < blocks.len() {
            let at = format!("features.transition{i}");
            let y = act(net, &format!("{at}.norm"), x, channels)?;
            let y = net.conv(&format!("{at}.conv"), y, Conv2d::new((channels, channels / 2), 1))?;
            (x, channels) = (net.halve(y)?, channels / 2);
        }
    }
    let x = act(net, "features.norm5", x, channels)?;
    let x = net.means(x)?;
    let classes = net.rows("classifier.bias", 1000);
    let y = net.linear("classifier", x, channels, classes)?;
    net.output("output", y);
    Ok(())
}

/// Batch normalization, relu.
fn act(net: &mut Net, at: &str, x: V, channels: usize) -> R<V> {
    let x = net.norm(at, x, channels)?;
    net.relu(x)
}

/// What a layer computes, behind what it got.
fn dense(net: &mut Net, at: &str, x: V, channels: usize, growth: usize) -> R<V> {
    let y = act(net, &format!("{at}.norm1"), x, channels)?;
    let y = net.conv(&format!("{at}.conv1"), y, Conv2d::new((channels, BOTTLENECK * growth), 1))?;
    let y = act(net, &format!("{at}.norm2"), y, BOTTLENECK * growth)?;
    let y = net.conv(
        &format!("{at}.conv2"),
        y,
        Conv2d { padding: 1, ..Conv2d::new((BOTTLENECK * growth, growth), 3) },
    )?;
    net.join(&[x, y])
}
