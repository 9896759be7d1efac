//! Architectures by name: programs for files that hold only weights.
//!
//! A family is one file with a function `fn(&mut Net) -> R<()>` that declares inputs, weights and outputs, and one line per name in
//! [`ARCHITECTURES`]. Weights are declared with the names and sizes that the original implementation gives them; when the program is
//! complete all of them are taken from the file at once, and everything that does not fit is listed.

mod attention;
pub mod below;
mod bert;
mod blocks;
mod classic;
mod clip;
mod config;
mod decoder;
mod densenet;
mod distances;
pub mod folder;
mod gemma;
mod gpt;
mod layers;
mod llama;
mod mamba;
mod mobilenet;
mod modern;
mod ops;
mod phi;
mod plain;
mod pyramid;
mod resnet;
mod rotary;
mod seq2seq;
mod speech;
mod squeezenet;
mod vit;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;

use crate::weights::Weights;
use blocks::{Net, R};

/// Builds the program of one architecture.
type Build = fn(&mut Net) -> R<()>;

/// Names, as torchvision has them, and how each is built.
const ARCHITECTURES: &[(&str, Build)] = &[
    ("alexnet", plain::alexnet),
    ("densenet121", |net| densenet::build(net, 32, 64, [6, 12, 24, 16])),
    ("densenet161", |net| densenet::build(net, 48, 96, [6, 12, 36, 24])),
    ("densenet169", |net| densenet::build(net, 32, 64, [6, 12, 32, 32])),
    ("densenet201", |net| densenet::build(net, 32, 64, [6, 12, 48, 32])),
    ("mobilenet_v2", mobilenet::v2),
    ("resnet18", |net| resnet::basic(net, [2, 2, 2, 2])),
    ("resnet34", |net| resnet::basic(net, [3, 4, 6, 3])),
    ("resnet50", |net| resnet::bottleneck(net, [3, 4, 6, 3], 1, 64)),
    ("resnet101", |net| resnet::bottleneck(net, [3, 4, 23, 3], 1, 64)),
    ("resnet152", |net| resnet::bottleneck(net, [3, 8, 36, 3], 1, 64)),
    ("resnext50_32x4d", |net| resnet::bottleneck(net, [3, 4, 6, 3], 32, 4)),
    ("resnext101_32x8d", |net| resnet::bottleneck(net, [3, 4, 23, 3], 32, 8)),
    ("resnext101_64x4d", |net| resnet::bottleneck(net, [3, 4, 23, 3], 64, 4)),
    ("squeezenet1_0", squeezenet::v1_0),
    ("squeezenet1_1", squeezenet::v1_1),
    ("vgg11", |net| plain::vgg(net, [1, 1, 2, 2, 2], false)),
    ("vgg11_bn", |net| plain::vgg(net, [1, 1, 2, 2, 2], true)),
    ("vgg13", |net| plain::vgg(net, [2, 2, 2, 2, 2], false)),
    ("vgg13_bn", |net| plain::vgg(net, [2, 2, 2, 2, 2], true)),
    ("vgg16", |net| plain::vgg(net, [2, 2, 3, 3, 3], false)),
    ("vgg16_bn", |net| plain::vgg(net, [2, 2, 3, 3, 3], true)),
    ("vgg19", |net| plain::vgg(net, [2, 2, 4, 4, 4], false)),
    ("vgg19_bn", |net| plain::vgg(net, [2, 2, 4, 4, 4], true)),
    ("wide_resnet50_2", |net| resnet::bottleneck(net, [3, 4, 6, 3], 1, 128)),
    ("wide_resnet101_2", |net| resnet::bottleneck(net, [3, 4, 23, 3], 1, 128)),
];

/// The architectures that are known, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut names: Vec<&str> = ARCHITECTURES.iter().map(|row| row.0).collect();
    names.sort_unstable();
    names.into_iter()
}

/// The model of architecture `name` with these weights.
///
/// # Errors
/// `E0206` for an unknown name, and for each tensor that is missing, left over, or of other sizes or another type.
pub fn build(name: &str, weights: &Weights) -> Result<Model, Diags> {
    let Some((name, make)) = ARCHITECTURES.iter().find(|row| row.0 == name) else {
        let m = format!("--arch {name}: there is no such file and no architecture of that name");
        let known: Vec<&str> = names().collect();
        return Err(Diag::error("E0206", m).hint(format!("there are: {}", known.join(", "))).into());
    };
    let mut net = Net::new(name, weights)?;
    make(&mut net)?;
    net.finish()
}

#[cfg(test)]
mod tests;
