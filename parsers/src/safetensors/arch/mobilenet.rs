//! `MobileNetV2`.
//!
//! Source: Sandler and others, "`MobileNetV2`: inverted residuals and linear bottlenecks" (2018), table 2. Names of weights as in torchvision.

use super::blocks::{Conv2d, Net, R, V};

/// `MobileNetV2` of width 1.
pub(super) fn v2(net: &mut Net) -> R<()> {
    let x = net.input("x", &[3, 224, 224]);
    let mut x = unit(net, "features.0", x, Conv2d { stride: 2, padding: 1, ..Conv2d::new((3, 32), 3) })?;
    let (mut inner, mut place) = (32, 1);
    // Expansion, channels, blocks, step of the first one.
    let stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    for (expansion, outer, count, first) in stages {
        for i in 0..count {
            let stride = if i == 0 { first } else { 1 };
            x = block(net, &format!("features.{place}.conv"), x, (inner, outer), expansion, stride)?;
            (inner, place) = (outer, place + 1);
        }
    }
    let x = unit(net, &format!("features.{place}"), x, Conv2d::new((inner, 1280), 1))?;
    let x = net.means(x)?;
    let classes = net.rows("classifier.1.bias", 1000);
    let y = net.linear("classifier.1", x, 1280, classes)?;
    net.output("output", y);
    Ok(())
}

/// Convolution, batch normalization, relu6.
fn unit(net: &mut Net, at: &str, x: V, conv: Conv2d) -> R<V> {
    let x = net.conv(&format!("{at}.0"), x, conv)?;
    let x = net.norm(&format!("{at}.1"), x, conv.channels.1)?;
    net.relu6(x)
}

/// An inverted residual: widen, convolve each channel by itself, narrow.
fn block(
    net: &mut Net,
    at: &str,
    x: V,
    (inner, outer): (usize, usize),
    expansion: usize,
    stride: usize,
) -> R<V> {
    let hidden = inner * expansion;
    let (mut y, mut place) = (x, 0);
    if expansion != 1 {
        y = unit(net, &format!("{at}.0"), y, Conv2d::new((inner, hidden), 1))?;
        place = 1;
    }
    let each = Conv2d { stride, padding: 1, groups: hidden, ..Conv2d::new((hidden, hidden), 3) };
    y = unit(net, &format!("{at}.{place}"), y, each)?;
    y = net.conv(&format!("{at}.{}", place + 1), y, Conv2d::new((hidden, outer), 1))?;
    y = net.norm(&format!("{at}.{}", place + 2), y, outer)?;
    if stride == 1 && inner == outer { net.add(x, y) } else { Ok(y) }
}
