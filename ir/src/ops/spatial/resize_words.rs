//! Attribute words of `resize`.
use crate::attr::Word;

/// Interpolation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ResizeMode {
    /// One element.
    #[default]
    Nearest,
    /// The two elements around, weighted by distance.
    Linear,
    /// The four elements around, weighted by the cubic convolution kernel.
    Cubic,
}

impl Word for ResizeMode {
    const KIND: &'static str = "resize_mode";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Nearest, "nearest"), (Self::Linear, "linear"), (Self::Cubic, "cubic")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// How the place of a result's element in the operand is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coordinates {
    /// Elements are areas of size 1: `(x + 0.5) / scale - 0.5`.
    #[default]
    HalfPixel,
    /// `HalfPixel` around the centre, also where the size was rounded.
    HalfPixelSymmetric,
    /// `HalfPixel`, but 0 for results of size 1.
    PytorchHalfPixel,
    /// Elements are points, first and last ones coincide: `x * (in - 1) / (out - 1)`.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
    /// First and last points are those of a region of interest.
    TfCropAndResize,
}

impl Word for Coordinates {
    const KIND: &'static str = "coordinates";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::HalfPixel, "half_pixel"),
        (Self::HalfPixelSymmetric, "half_pixel_symmetric"),
        (Self::PytorchHalfPixel, "pytorch_half_pixel"),
        (Self::AlignCorners, "align_corners"),
        (Self::Asymmetric, "asymmetric"),
        (Self::TfCropAndResize, "tf_crop_and_resize"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// How `nearest` rounds a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NearestMode {
    /// To nearest, half down.
    #[default]
    RoundPreferFloor,
    /// To nearest, half up.
    RoundPreferCeil,
    /// Down.
    Floor,
    /// Up.
    Ceil,
}

impl Word for NearestMode {
    const KIND: &'static str = "nearest_mode";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::RoundPreferFloor, "round_prefer_floor"),
        (Self::RoundPreferCeil, "round_prefer_ceil"),
        (Self::Floor, "floor"),
        (Self::Ceil, "ceil"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// How `sizes` relate to the operand's aspect ratio.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AspectPolicy {
    /// They are the result's sizes.
    #[default]
    Stretch,
    /// The ratio is kept, no axis becomes larger.
    NotLarger,
    /// The ratio is kept, no axis becomes smaller.
    NotSmaller,
}

impl Word for AspectPolicy {
    const KIND: &'static str = "aspect_policy";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Stretch, "stretch"), (Self::NotLarger, "not_larger"), (Self::NotSmaller, "not_smaller")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_order<W: Word + PartialEq + std::fmt::Debug>() {
        for (w, text) in W::WORDS {
            assert_eq!((w.word(), W::from_word(text)), (*text, Some(*w)));
        }
    }

    #[test]
    fn words_stand_at_their_own_position() {
        in_order::<ResizeMode>();
        in_order::<Coordinates>();
        in_order::<NearestMode>();
        in_order::<AspectPolicy>();
    }
}
