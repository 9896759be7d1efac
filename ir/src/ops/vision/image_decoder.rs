//! `image_decoder`
use super::{jpeg, pictures};
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use image::ImageFormat;

/// What the channels of a decoded picture are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PixelFormat {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel: luma.
    Grayscale,
}

impl Word for PixelFormat {
    const KIND: &'static str = "pixel_format";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Rgb, "RGB"), (Self::Bgr, "BGR"), (Self::Grayscale, "Grayscale")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Decodes a BMP, JPEG, PNG, PNM, TIFF or WebP file to `[height, width, channels]`, as stored: tags that say how to turn it are
    /// not followed, transparency is dropped. Of 16-bit samples the high byte counts (in PNM, the nearest of 256 steps). JPEG pixels
    /// are those of libjpeg-turbo's defaults. Of several pictures the first counts. Bytes that are no such picture, or a broken one,
    /// give `[0, 0, channels]`, as ONNX says; a sound file of a kind that is not supported (JPEG 2000, CMYK) or of more than 2^26
    /// pixels is an error.
    image_decoder ImageDecoder(encoded_stream: One<T1>) -> (image: One<T2>) {
        /// What the channels are.
        pixel_format: PixelFormat = PixelFormat::Rgb,
    } where T1: DTypeSet::of(&[DType::U8]);
}

/// Most pixels of a picture.
pub(super) const MAX_PIXELS: usize = 1 << 26;

/// A picture: 1 (luma) or 3 (red, green, blue) bytes per pixel, row by row.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) data: Vec<u8>,
}

/// Why there is no picture.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The bytes are not what their format says.
    Corrupt,
    /// They may well be, but we do not decode them.
    Refused(String),
}

impl Failure {
    pub(super) fn too_large(width: usize, height: usize) -> Self {
        Self::Refused(format!(
            "a picture of {width} x {height} pixels is more than the {MAX_PIXELS} that are decoded"
        ))
    }
}

/// Luma of a pixel (ITU-R 601-2) in 16-bit fixed point, rounded.
fn luma(rgb: [u8; 3]) -> u8 {
    let [r, g, b] = rgb.map(u32::from);
    ((19595 * r + 38470 * g + 7471 * b + (1 << 15)) >> 16) as u8
}

fn decode(bytes: &[u8]) -> Result<Picture, Failure> {
    let format = match bytes {
        [0xff, 0xd8, 0xff, ..] => return jpeg::decode(bytes),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            return Err(Failure::Refused("JPEG 2000 is not supported".to_owned()));
        }
        [0x89, b'P', b'N', b'G', ..] => ImageFormat::Png,
        [b'B', b'M', ..] => ImageFormat::Bmp,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => ImageFormat::Tiff,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'P', b'1'..=b'7', ..] => ImageFormat::Pnm,
        _ => return Err(Failure::Corrupt),
    };
    pictures::decode(bytes, format)
}

impl ImageDecoder {
    fn channels(&self) -> usize {
        if self.pixel_format == PixelFormat::Grayscale { 1 } else { 3 }
    }
    /// The picture's pixels in the wanted format.
    fn pixels(&self, picture: Picture) -> Vec<u8> {
        let Picture { channels, mut data, .. } = picture;
        match (self.pixel_format, channels) {
            (PixelFormat::Grayscale, 1) | (PixelFormat::Rgb, 3) => data,
            (PixelFormat::Grayscale, _) => data.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])).collect(),
            (_, 1) => data.iter().flat_map(|v| [*v; 3]).collect(),
            (_, _) => {
                data.chunks_exact_mut(3).for_each(|p| p.swap(0, 2));
                data
            }
        }
    }
}

impl Semantics for ImageDecoder {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if cx.shape(0)?.is_some_and(|s| s.len() != 1) {
            return Err(OpError::shape(format!("{} is no list of bytes", cx.tensor(0)?)));
        }
        let shape = vec![Dim::Unknown, Dim::Unknown, Dim::from(self.channels())];
        Ok(vec![TensorType::new(DType::U8, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let picture = match decode(&cx.tensor(0)?.bytes()?) {
            Ok(picture) => picture,
            Err(Failure::Corrupt) => Picture { width: 0, height: 0, channels: 3, data: vec![] },
            Err(Failure::Refused(why)) => {
                return Err(
                    OpError::eval(why).hint("decode the picture before, and feed the model its pixels")
                );
            }
        };
        let shape = [picture.height, picture.width, self.channels()];
        one(Tensor::from_vec(&shape, self.pixels(picture)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, infer, shapes};

    fn run(pixel_format: PixelFormat, bytes: &[u8]) -> Result<Tensor, OpError> {
        let x = Tensor::from_vec(&[bytes.len()], bytes.to_vec());
        Ok(eval(&ImageDecoder { pixel_format }, &[Some(&x)])?.remove(0))
    }

    #[test]
    fn channels_are_as_asked_for() {
        let file = b"P6 2 1 255\n\x0a\x14\x1e\xff\x00\x01";
        let of = |f| run(f, file).expect("decodes");
        assert_eq!(of(PixelFormat::Rgb), Tensor::from_vec(&[1, 2, 3], vec![10u8, 20, 30, 255, 0, 1]));
        assert_eq!(of(PixelFormat::Bgr), Tensor::from_vec(&[1, 2, 3], vec![30u8, 20, 10, 1, 0, 255]));
        // 10 * 0.299 + 20 * 0.587 + 30 * 0.114 = 18.15; 255 * 0.299 + 0.114 = 76.36.
        assert_eq!(of(PixelFormat::Grayscale), Tensor::from_vec(&[1, 2, 1], vec![18u8, 76]));
        let grey = run(PixelFormat::Bgr, b"P5 1 2 255\n\x07\x08").expect("decodes");
        assert_eq!(grey, Tensor::from_vec(&[2, 1, 3], vec![7u8, 7, 7, 8, 8, 8]));
    }

    #[test]
    fn what_is_broken_is_empty_and_what_is_not_supported_is_refused() {
        for bytes in
            [&b""[..], b"GIF89a", b"P6 2 1 255\n\x0a", b"BM", b"\x89PNG\r\n", b"RIFF\0\0\0\0WEBP", b"II*\0"]
        {
            let got = run(PixelFormat::Grayscale, bytes).expect("is empty");
            assert_eq!(got.shape(), [0, 0, 1], "{bytes:?}");
        }
        let error = |bytes: &[u8]| run(PixelFormat::Rgb, bytes).expect_err("is refused").to_string();
        assert!(error(b"\0\0\0\x0cjP  \r\n").contains("JPEG 2000"));
        assert!(error(b"\xff\x4f\xff\x51").contains("JPEG 2000"));
        assert!(error(b"P5 60000 60000 255\n\0").contains("60000 x 60000"));
    }

    #[test]
    fn types() {
        let gray = ImageDecoder { pixel_format: PixelFormat::Grayscale };
        let of = |op: &ImageDecoder, x| infer(op, &shapes(&[x])).map(|t| t[0].to_string());
        assert_eq!(of(&gray, "u8[N]").expect("fits"), "u8[?, ?, 1]");
        assert_eq!(of(&ImageDecoder::default(), "u8[*]").expect("fits"), "u8[?, ?, 3]");
        assert!(of(&gray, "u8[2, 2]").is_err());
        assert!(of(&gray, "i8[2]").is_err());
    }
}
