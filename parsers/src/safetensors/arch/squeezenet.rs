//! `SqueezeNet`.
//!
//! Source: Iandola and others, "`SqueezeNet`: `AlexNet`-level accuracy with 50x fewer parameters" (2016). Names of weights as in torchvision.

use super::blocks::{Conv2d, Net, R, V};

/// What stands at a place of the features: a pool, or a fire module that squeezes to the first number and gives twice the second.
#[derive(Clone, Copy)]
enum Part {
    Pool,
    Fire(usize, usize),
}

use Part::{Fire, Pool};

/// Version 1.0.
pub(super) fn v1_0(net: &mut Net) -> R<()> {
    let parts = [
        Pool,
        Fire(16, 64),
        Fire(16, 64),
        Fire(32, 128),
        Pool,
        Fire(32, 128),
        Fire(48, 192),
        Fire(48, 192),
        Fire(64, 256),
        Pool,
        Fire(64, 256),
    ];
    build(net, (96, 7), &parts)
}

/// Version 1.1.
pub(super) fn v1_1(net: &mut Net) -> R<()> {
    let parts = [
        Pool,
        Fire(16, 64),
        Fire(16, 64),
        Pool,
        Fire(32, 128),
        Fire(32, 128),
        Pool,
        Fire(48, 192),
        Fire(48, 192),
        Fire(64, 256),
        Fire(64, 256),
    ];
    build(net, (64, 3), &parts)
}

fn build(net: &mut Net, (first, kernel): (usize, usize), parts: &[Part]) -> R<()> {
    let x = net.input("x", &[3, 224, 224]);
    let conv = Conv2d { stride: 2, bias: true, ..Conv2d::new((3, first), kernel) };
    let x = net.conv("features.0", x, conv)?;
    let (mut x, mut channels) = (net.relu(x)?, first);
    for (place, part) in (2..).zip(parts) {
        match *part {
            Pool => x = net.max_pool(x, 3, 2, 0, true)?,
            Fire(squeezed, expanded) => {
                x = fire(net, &format!("features.{place}"), x, channels, squeezed, expanded)?;
                channels = 2 * expanded;
            }
        }
    }
    let classes = net.rows("classifier.1.bias", 1000);
    let x = net.conv("classifier.1", x, Conv2d { bias: true, ..Conv2d::new((channels, classes), 1) })?;
    let x = net.relu(x)?;
    let y = net.means(x)?;
    net.output("output", y);
    Ok(())
}

fn fire(net: &mut Net, at: &str, x: V, inner: usize, squeezed: usize, expanded: usize) -> R<V> {
    let mut unit = |part: &str, x: V, conv: Conv2d| {
        let y = net.conv(&format!("{at}.{part}"), x, Conv2d { bias: true, ..conv })?;
        net.relu(y)
    };
    let x = unit("squeeze", x, Conv2d::new((inner, squeezed), 1))?;
    let one = unit("expand1x1", x, Conv2d::new((squeezed, expanded), 1))?;
    let three = unit("expand3x3", x, Conv2d { padding: 1, ..Conv2d::new((squeezed, expanded), 3) })?;
    net.join(&[one, three])
}
