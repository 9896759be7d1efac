//! `ResNet`, wide `ResNet` and `ResNeXt`.
//!
//! Sources: He and others, "Deep residual learning for image recognition" (2015), with the step in the 3 x 3 convolution of a bottleneck;
//! Zagoruyko and Komodakis, "Wide residual networks" (2016); Xie and others, "Aggregated residual transformations" (2017). Names of weights
//! as in torchvision.

use super::blocks::{Conv2d, Net, R, V};

/// Blocks of two 3 x 3 convolutions, so many in each of four stages.
pub(super) fn basic(net: &mut Net, stages: [usize; 4]) -> R<()> {
    build(net, stages, 1, |net, at, x, inner, planes, stride| {
        let first = Conv2d { stride, padding: 1, ..Conv2d::new((inner, planes), 3) };
        let y = unit(net, at, 1, x, first)?;
        let y = net.relu(y)?;
        unit(net, at, 2, y, Conv2d { padding: 1, ..Conv2d::new((planes, planes), 3) })
    })
}

/// Blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions; the middle one has `groups` groups of `width` channels for each 64 of the stage.
pub(super) fn bottleneck(net: &mut Net, stages: [usize; 4], groups: usize, width: usize) -> R<()> {
    build(net, stages, 4, |net, at, x, inner, planes, stride| {
        let middle = planes * width / 64 * groups;
        let y = unit(net, at, 1, x, Conv2d::new((inner, middle), 1))?;
        let y = net.relu(y)?;
        let y =
            unit(net, at, 2, y, Conv2d { stride, padding: 1, groups, ..Conv2d::new((middle, middle), 3) })?;
        let y = net.relu(y)?;
        unit(net, at, 3, y, Conv2d::new((middle, 4 * planes), 1))
    })
}

/// A convolution and its batch normalization.
fn unit(net: &mut Net, at: &str, number: usize, x: V, conv: Conv2d) -> R<V> {
    let y = net.conv(&format!("{at}.conv{number}"), x, conv)?;
    net.norm(&format!("{at}.bn{number}"), y, conv.channels.1)
}

fn build(
    net: &mut Net,
    stages: [usize; 4],
    expansion: usize,
    block: impl Fn(&mut Net, &str, V, usize, usize, usize) -> R<V>,
) -> R<()> {
    let x = net.input("x", &[3, 224, 224]);
    let x = net.conv("conv1", x, Conv2d { stride: 2, padding: 3, ..Conv2d::new((3, 64), 7) })?;
    let x = net.norm("bn1", x, 64)?;
    let x = net.relu(x)?;
    let mut x = net.max_pool(x, 3, 2, 1, false)?;
    let mut inner = 64;
    for (stage, (count, planes)) in stages.into_iter().zip([64, 128, 256, 512]).enumerate() {
        for i in 0..count {
            let at = format!("layer{}.{i}", stage + 1);
            let (stride, outer) = (if stage > 0 && i == 0 { 2 } else { 1 }, planes * expansion);
            let y = block(net, &at, x, inner, planes, stride)?;
            if stride != 1 || inner != outer {
                x = net.conv(
                    &format!("{at}.downsample.0"),
                    x,
                    Conv2d { stride, ..Conv2d::new((inner, outer), 1) },
                )?;
                x = net.norm(&format!("{at}.downsample.1"), x, outer)?;
            }
            let sum = net.add(y, x)?;
            (x, inner) = (net.relu(sum)?, outer);
        }
    }
    let x = net.means(x)?;
    let classes = net.rows("fc.bias", 1000);
    let y = net.linear("fc", x, inner, classes)?;
    net.output("output", y);
    Ok(())
}
