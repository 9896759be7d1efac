//! `AlexNet` and VGG: convolutions one after another, then three linear layers.
//!
//! Sources: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014); Simonyan and Zisserman, "Very deep
//! convolutional networks for large-scale image recognition" (2014). Names of weights as in torchvision.

use super::blocks::{Conv2d, Net, R, V};

/// `AlexNet`. At 224 x 224 the last feature maps have the 6 x 6 elements that the classifier wants.
pub(super) fn alexnet(net: &mut Net) -> R<()> {
    let mut x = net.input("x", &[3, 224, 224]);
    // Place among the features, channels, window, step, padding, whether a pool follows.
    let layers = [
        (0, (3, 64), 11, 4, 2, true),
        (3, (64, 192), 5, 1, 2, true),
        (6, (192, 384), 3, 1, 1, false),
        (8, (384, 256), 3, 1, 1, false),
        (10, (256, 256), 3, 1, 1, true),
    ];
    for (place, channels, kernel, stride, padding, pool) in layers {
        let conv = Conv2d { stride, padding, bias: true, ..Conv2d::new(channels, kernel) };
        x = net.conv(&format!("features.{place}"), x, conv)?;
        x = net.relu(x)?;
        if pool {
            x = net.max_pool(x, 3, 2, 0, false)?;
        }
    }
    classifier(net, x, 256 * 6 * 6, [1, 4, 6])
}

/// VGG with so many convolutions in its five stages, each followed by batch normalization when `norm` is set.
pub(super) fn vgg(net: &mut Net, stages: [usize; 5], norm: bool) -> R<()> {
    let mut x = net.input("x", &[3, 224, 224]);
    let (mut place, mut inner) = (0, 3);
    for (count, outer) in stages.into_iter().zip([64, 128, 256, 512, 512]) {
        for _ in 0..count {
            let conv = Conv2d { padding: 1, bias: true, ..Conv2d::new((inner, outer), 3) };
            x = net.conv(&format!("features.{place}"), x, conv)?;
            if norm {
                place += 1;
                x = net.norm(&format!("features.{place}"), x, outer)?;
            }
            x = net.relu(x)?;
            (place, inner) = (place + 2, outer);
        }
        x = net.max_pool(x, 2, 2, 0, false)?;
        place += 1;
    }
    classifier(net, x, 512 * 7 * 7, [0, 3, 6])
}

/// Three linear layers at these places of the classifier.
fn classifier(net: &mut Net, x: V, features: usize, places: [usize; 3]) -> R<()> {
    let last = format!("classifier.{}", places[2]);
    let classes = net.rows(&format!("{last}.bias"), 1000);
    let mut x = net.rows_of(x)?;
    for (place, inner) in [(places[0], features), (places[1], 4096)] {
        x = net.linear(&format!("classifier.{place}"), x, inner, 4096)?;
        x = net.relu(x)?;
    }
    let y = net.linear(&last, x, 4096, classes)?;
    net.output("output", y);
    Ok(())
}
