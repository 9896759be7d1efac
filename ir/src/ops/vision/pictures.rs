//! Pictures in the formats that the `image` crate decodes.
use super::image_decoder::{Failure, MAX_PIXELS, Picture};
use image::codecs::pnm::{PnmDecoder, PnmSubtype};
use image::{ColorType, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Most bytes of a decoded picture, and of what decoding it allocates besides.
const MAX_BYTES: u64 = 1 << 28;

fn failure(format: ImageFormat, error: &ImageError) -> Failure {
    match error {
        ImageError::Unsupported(_) | ImageError::Limits(_) => {
            Failure::Refused(format!("{format:?}: {error}"))
        }
        _ => Failure::Corrupt,
    }
}

/// Decodes the first picture of a file of that format.
pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<Picture, Failure> {
    let scale = match format {
        ImageFormat::Pnm => pnm_steps(bytes)?,
        ImageFormat::Tiff => check_tiff(bytes)?,
        ImageFormat::Bmp => check_bmp(bytes)?,
        _ => None,
    };
    let fail = |e: ImageError| failure(format, &e);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    if width.checked_mul(height).is_none_or(|n| n > MAX_PIXELS) || decoder.total_bytes() > MAX_BYTES {
        return Err(Failure::too_large(width, height));
    }
    if width == 0 || height == 0 {
        return Err(Failure::Corrupt);
    }
    let color = decoder.color_type();
    let mut data = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut data).map_err(fail)?;
    let (all, channels, wide) = match color {
        ColorType::L8 => (1, 1, false),
        ColorType::La8 => (2, 1, false),
        ColorType::Rgb8 => (3, 3, false),
        ColorType::Rgba8 => (4, 3, false),
        ColorType::L16 => (1, 1, true),
        ColorType::La16 => (2, 1, true),
        ColorType::Rgb16 => (3, 3, true),
        ColorType::Rgba16 => (4, 3, true),
        other => {
            return Err(Failure::Refused(format!("{format:?}: samples of type {other:?} are not supported")));
        }
    };
    if wide {
        let sample = |s: &[u8]| u16::from_ne_bytes([s[0], s[1]]);
        let narrow = |v| scale.map_or((v >> 8) as u8, |max| to_byte(v, 65535, max));
        data = data.chunks_exact(2).map(|s| narrow(sample(s))).collect();
    } else if let Some(max) = scale {
        for v in &mut data {
            *v = to_byte(u16::from(*v), 255, max);
        }
    }
    if all != channels {
        data = data.chunks_exact(all).flat_map(|p| &p[..channels]).copied().collect();
    }
    Ok(Picture { width, height, channels, data })
}

/// The nearest of 256 steps, ties to even, to a sample that was stored as `0..=max` and that the decoder stretched to `0..=full`
/// with other ties.
fn to_byte(stretched: u16, full: u32, max: u32) -> u8 {
    let stored = (2 * u64::from(stretched) * u64::from(max) + u64::from(full)) / (2 * u64::from(full));
    let (twice, step) = (2 * 255 * stored, 2 * u64::from(max));
    let (whole, rest) = (twice / step, twice % step);
    let up = 2 * rest > step || (2 * rest == step && whole % 2 == 1);
    (whole + u64::from(up)).min(255) as u8
}

/// The largest sample of a PNM file if that is not the largest byte. Bitmaps have none.
fn pnm_steps(bytes: &[u8]) -> Result<Option<u32>, Failure> {
    let decoder = PnmDecoder::new(Cursor::new(bytes)).map_err(|e| failure(ImageFormat::Pnm, &e))?;
    let (_, header) = decoder.into_inner();
    let max = header.maximal_sample();
    match header.subtype() {
        PnmSubtype::Bitmap(_) => Ok(None),
        _ if max == 255 => Ok(None),
        // What the decoder makes of the others has lost the stored values.
        PnmSubtype::Graymap(_) | PnmSubtype::Pixmap(_) if (1..=32767).contains(&max) || max == 65535 => {
            Ok(Some(max))
        }
        _ => Err(Failure::Refused(format!("Pnm: samples up to {max} are not supported"))),
    }
}

/// Refuses BMP pictures of samples that are no bytes: decoders stretch them differently.
fn check_bmp(bytes: &[u8]) -> Result<Option<u32>, Failure> {
    let word =
        |at: usize| bytes.get(at..at + 4).and_then(<[u8]>::first_chunk).map(|b| u32::from_le_bytes(*b));
    let (Some(size), Some(depth)) = (word(14), word(28)) else { return Ok(None) };
    let fields = matches!(word(30), Some(3 | 6));
    let whole = |at| {
        word(at)
            .is_some_and(|m| m.count_ones() == 8 && m.trailing_zeros() % 8 == 0 && m.leading_zeros() % 8 == 0)
    };
    if size >= 40 && (depth & 0xffff == 16 || (fields && ![54, 58, 62].into_iter().all(whole))) {
        return Err(Failure::Refused("Bmp: samples of other than 8 bits are not supported".to_owned()));
    }
    Ok(None)
}

/// Refuses TIFF pictures that the decoder would decode otherwise than the reference does: JPEG inside, CMYK, turned pictures,
/// colours multiplied with their opacity.
fn check_tiff(bytes: &[u8]) -> Result<Option<u32>, Failure> {
    let little = bytes.first() == Some(&b'I');
    let short = |at: usize| {
        let s = bytes.get(at..at.checked_add(2)?)?.first_chunk().copied()?;
        Some(usize::from(if little { u16::from_le_bytes(s) } else { u16::from_be_bytes(s) }))
    };
    let refuse = |what: &str| Err(Failure::Refused(format!("Tiff: {what} is not supported")));
    if short(2) == Some(43) {
        return refuse("BigTIFF");
    }
    let parts = if little { (short(6), short(4)) } else { (short(4), short(6)) };
    let (Some(high), Some(low)) = parts else { return Err(Failure::Corrupt) };
    let directory = high << 16 | low;
    let count = short(directory).ok_or(Failure::Corrupt)?;
    for at in (0..count).map(|i| directory + 2 + 12 * i) {
        let (Some(tag), Some(value)) = (short(at), short(at + 8)) else { return Err(Failure::Corrupt) };
        match (tag, value) {
            (259, 6 | 7) => return refuse("JPEG compression"),
            (262, 5) => return refuse("CMYK"),
            (262, 6) => return refuse("luma and chroma"),
            (274, 2..=8) => return refuse("a turned picture"),
            (338, 1) => return refuse("colour multiplied with opacity"),
            _ => {}
        }
    }
    Ok(None)
}
