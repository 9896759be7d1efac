//! Attribute words that several operators share.
use crate::attr::Word;

/// Where the channel axis of a spatial operator's data is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layout {
    /// `[N, C, spatial...]`.
    #[default]
    ChannelsFirst,
    /// `[N, spatial..., C]`.
    ChannelsLast,
}

impl Word for Layout {
    const KIND: &'static str = "layout";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::ChannelsFirst, "channels_first"), (Self::ChannelsLast, "channels_last")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

impl Layout {
    /// Position of the channel axis in data of that rank (at least 2).
    pub fn channel_axis(self, rank: usize) -> usize {
        match self {
            Self::ChannelsFirst => 1,
            Self::ChannelsLast => rank.saturating_sub(1),
        }
    }
    /// Position of the first spatial axis.
    pub fn first_spatial_axis(self) -> usize {
        match self {
            Self::ChannelsFirst => 2,
            Self::ChannelsLast => 1,
        }
    }
    /// Permutation that brings data of that rank from this layout to channels first.
    pub fn to_channels_first(self, rank: usize) -> Vec<usize> {
        match self {
            Self::ChannelsFirst => (0..rank).collect(),
            Self::ChannelsLast if rank < 2 => (0..rank).collect(),
            Self::ChannelsLast => [0, rank - 1].into_iter().chain(1..rank - 1).collect(),
        }
    }
    /// Permutation that brings channels-first data of that rank to this layout.
    pub fn from_channels_first(self, rank: usize) -> Vec<usize> {
        match self {
            Self::ChannelsFirst => (0..rank).collect(),
            Self::ChannelsLast if rank < 2 => (0..rank).collect(),
            Self::ChannelsLast => std::iter::once(0).chain(2..rank).chain([1]).collect(),
        }
    }
}

/// How the border around spatial axes is chosen when `pads` does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AutoPad {
    /// `pads` says.
    #[default]
    NotSet,
    /// Output size is `ceil(input / stride)`; an odd border has the larger half at the end.
    SameUpper,
    /// Output size is `ceil(input / stride)`; an odd border has the larger half at the beginning.
    SameLower,
    /// No border.
    Valid,
}

impl Word for AutoPad {
    const KIND: &'static str = "auto_pad";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::NotSet, "NOTSET"),
        (Self::SameUpper, "SAME_UPPER"),
        (Self::SameLower, "SAME_LOWER"),
        (Self::Valid, "VALID"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_their_own_position() {
        for (i, (w, text)) in Layout::WORDS.iter().enumerate() {
            assert_eq!((*w as usize, w.word()), (i, *text));
        }
        for (i, (w, text)) in AutoPad::WORDS.iter().enumerate() {
            assert_eq!((*w as usize, w.word()), (i, *text));
        }
    }

    #[test]
    fn layouts_are_inverse() {
        let (to, from) =
            (Layout::ChannelsLast.to_channels_first(4), Layout::ChannelsLast.from_channels_first(4));
        assert_eq!(to, [0, 3, 1, 2]);
        assert!((0..4).all(|i| to[from[i]] == i));
    }
}
