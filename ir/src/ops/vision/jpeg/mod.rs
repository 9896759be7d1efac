//! Decoding of JPEG streams (ITU-T T.81): baseline, extended and progressive Huffman-coded frames of 8 bits, grey or of three
//! components. Results are the bits of libjpeg-turbo's defaults, which ONNX's `ImageDecoder` names; the decoders of the registry
//! round otherwise.
mod entropy;
mod pixels;

use super::image_decoder::{Failure, MAX_PIXELS, Picture};
use entropy::{Band, Bits, Codes, Huffman, ZIGZAG, read_block};
use pixels::Scale;

/// Most scans that are read: a stream that codes every bit of every coefficient by itself needs fewer.
const MAX_SCANS: usize = 100;

struct Component {
    id: u8,
    h: usize,
    v: usize,
    table: usize,
    /// Size in samples.
    width: usize,
    height: usize,
    /// Blocks in a row, with those that fill up the last unit.
    stride: usize,
    /// 64 per block, in rows of blocks.
    coefficients: Vec<i16>,
    /// Steps by position in a block, as they are when the component's first scan begins.
    quant: Option<[u16; 64]>,
    /// Lowest bit that is known of each coefficient in coded order.
    known: [Option<u32>; 64],
}

struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    max_h: usize,
    max_v: usize,
    components: Vec<Component>,
}

#[derive(Default)]
struct Tables {
    quant: [Option<[u16; 64]>; 4],
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    interval: usize,
    jfif: bool,
    adobe: Option<u8>,
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::Refused(format!("JPEG: {what} is not supported")))
}

fn byte(data: &[u8], at: usize) -> Result<u8, Failure> {
    data.get(at).copied().ok_or(Failure::Corrupt)
}

fn word(data: &[u8], at: usize) -> Result<usize, Failure> {
    Ok(usize::from(byte(data, at)?) << 8 | usize::from(byte(data, at + 1)?))
}

impl Tables {
    fn read_quant(&mut self, mut data: &[u8]) -> Result<(), Failure> {
        while let Some(head) = data.first() {
            let (wide, slot) = (usize::from(head >> 4), usize::from(head & 15));
            let size = 1 + 64 * (1 + wide);
            if wide > 1 || slot > 3 || data.len() < size {
                return Err(Failure::Corrupt);
            }
            let mut table = [0; 64];
            for (i, place) in ZIGZAG.iter().enumerate() {
                let step = if wide == 1 { word(data, 1 + 2 * i)? } else { usize::from(byte(data, 1 + i)?) };
                table[usize::from(*place)] = step as u16;
            }
            self.quant[slot] = Some(table);
            data = &data[size..];
        }
        Ok(())
    }
    fn read_huffman(&mut self, mut data: &[u8]) -> Result<(), Failure> {
        while let Some(head) = data.first() {
            let counts = data.get(1..17).ok_or(Failure::Corrupt)?;
            let total: usize = counts.iter().map(|c| usize::from(*c)).sum();
            let symbols = data.get(17..17 + total).filter(|s| s.len() <= 256).ok_or(Failure::Corrupt)?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            let slot = tables.get_mut(usize::from(head & 15)).filter(|_| head >> 4 < 2);
            *slot.ok_or(Failure::Corrupt)? = Some(Huffman::new(counts, symbols)?);
            data = &data[17 + total..];
        }
        Ok(())
    }
}

impl Frame {
    fn new(progressive: bool, data: &[u8]) -> Result<Self, Failure> {
        if byte(data, 0)? != 8 {
            return refuse("a sample of other than 8 bits");
        }
        let (height, width, count) = (word(data, 1)?, word(data, 3)?, usize::from(byte(data, 5)?));
        if height == 0 {
            return refuse("a height that follows the data");
        }
        if width == 0 {
            return Err(Failure::Corrupt);
        }
        if width * height > MAX_PIXELS {
            return Err(Failure::too_large(width, height));
        }
        if ![1, 3].contains(&count) {
            return refuse(&format!("a picture of {count} components (as of CMYK)"));
        }
        let mut parts = vec![];
        for i in 0..count {
            let at = 6 + 3 * i;
            let (id, sampling, table) =
                (byte(data, at)?, byte(data, at + 1)?, usize::from(byte(data, at + 2)?));
            let (h, v) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if ![1, 2, 3, 4].contains(&h) || ![1, 2, 3, 4].contains(&v) || table > 3 {
                return Err(Failure::Corrupt);
            }
            parts.push((id, h, v, table));
        }
        let max = |f: fn(&(u8, usize, usize, usize)) -> usize| parts.iter().map(f).max().unwrap_or(1);
        let (max_h, max_v) = (max(|p| p.1), max(|p| p.2));
        let mut components = vec![];
        for (id, h, v, table) in parts {
            if max_h % h != 0 || max_v % v != 0 {
                return refuse("sampling by a fraction");
            }
            let stride = width.div_ceil(8 * max_h) * h;
            let rows = height.div_ceil(8 * max_v) * v;
            components.push(Component {
                id,
                h,
                v,
                table,
                width: (width * h).div_ceil(max_h),
                height: (height * v).div_ceil(max_v),
                stride,
                coefficients: vec![0; stride * rows * 64],
                quant: None,
                known: [None; 64],
            });
        }
        Ok(Self { progressive, width, height, max_h, max_v, components })
    }
    /// Reads the scan whose header is `data` and whose coded data begins at `at` of `stream`; gives where that ends.
    fn read_scan(
        &mut self,
        tables: &Tables,
        data: &[u8],
        stream: &[u8],
        at: usize,
    ) -> Result<usize, Failure> {
        let count = usize::from(byte(data, 0)?);
        let mut parts: Vec<(usize, Codes<'_>)> = vec![];
        for i in 0..count {
            let (id, slots) = (byte(data, 1 + 2 * i)?, byte(data, 2 + 2 * i)?);
            let which = self.components.iter().position(|c| c.id == id).ok_or(Failure::Corrupt)?;
            if parts.iter().any(|p| p.0 == which) {
                return Err(Failure::Corrupt);
            }
            let dc = tables.dc.get(usize::from(slots >> 4)).and_then(Option::as_ref);
            let ac = tables.ac.get(usize::from(slots & 15)).and_then(Option::as_ref);
            parts.push((which, Codes { dc, ac }));
        }
        let band = self.band(data, count)?;
        for (which, _) in &parts {
            let c = &mut self.components[*which];
            c.quant = c.quant.or(tables.quant[c.table]);
            c.learn(band)?;
        }
        let mut bits = Bits::new(stream, at);
        self.read_units(&mut bits, &parts, band, tables.interval)?;
        Ok(bits.at)
    }
    fn band(&self, data: &[u8], count: usize) -> Result<Band, Failure> {
        let at = 1 + 2 * count;
        let (start, end, bits) =
            (usize::from(byte(data, at)?), usize::from(byte(data, at + 1)?), byte(data, at + 2)?);
        if !self.progressive {
            return Ok(Band { progressive: false, start: 0, end: 63, refine: false, low: 0 });
        }
        let (high, low) = (u32::from(bits >> 4), u32::from(bits & 15));
        let whole = if start == 0 { end == 0 } else { count == 1 && start <= end && end < 64 };
        if !whole || low > 13 || (high != 0 && high != low + 1) {
            return Err(Failure::Corrupt);
        }
        Ok(Band { progressive: true, start, end, refine: high != 0, low })
    }
    fn read_units(
        &mut self,
        bits: &mut Bits<'_>,
        parts: &[(usize, Codes<'_>)],
        band: Band,
        interval: usize,
    ) -> Result<(), Failure> {
        let mut last = [0i32; 3];
        let mut run = 0;
        let alone = parts.len() == 1;
        let (columns, rows) = match parts {
            [] => return Err(Failure::Corrupt),
            [(which, _)] => {
                let c = &self.components[*which];
                (c.width.div_ceil(8), c.height.div_ceil(8))
            }
            _ => (self.width.div_ceil(8 * self.max_h), self.height.div_ceil(8 * self.max_v)),
        };
        for unit in 0..columns * rows {
            if interval > 0 && unit > 0 && unit % interval == 0 {
                bits.restart()?;
                (last, run) = ([0; 3], 0);
            }
            for ((which, codes), last) in parts.iter().zip(&mut last) {
                let c = &mut self.components[*which];
                let (h, v) = if alone { (1, 1) } else { (c.h, c.v) };
                for i in 0..h * v {
                    let (x, y) = ((unit % columns) * h + i % h, (unit / columns) * v + i / h);
                    let from = (y * c.stride + x) * 64;
                    let block = c.coefficients.get_mut(from..from + 64).and_then(|b| b.first_chunk_mut());
                    read_block(bits, *codes, band, block.ok_or(Failure::Corrupt)?, last, &mut run)?;
                }
            }
        }
        Ok(())
    }
    /// Whether three components are red, green and blue, not luma and chroma.
    fn is_rgb(&self, tables: &Tables) -> bool {
        let ids = self.components.iter().map(|c| c.id);
        !tables.jfif && tables.adobe.map_or_else(|| ids.eq(*b"RGB"), |transform| transform == 0)
    }
    fn picture(mut self, tables: &Tables) -> Result<Picture, Failure> {
        let as_is = self.is_rgb(tables);
        let (width, height, channels) = (self.width, self.height, self.components.len());
        let mut planes = vec![];
        for c in &mut self.components {
            if c.known.iter().any(|k| *k != Some(0)) {
                return refuse("a stream without the last bits of some coefficients");
            }
            let scale = Scale { x: self.max_h / c.h, y: self.max_v / c.v };
            planes.push((pixels::plane(c)?, scale));
            c.coefficients = vec![];
        }
        let mut data = vec![0; width * height * channels];
        let mut rows = vec![vec![]; channels];
        for (y, line) in data.chunks_exact_mut(width * channels).enumerate() {
            for ((plane, scale), row) in planes.iter().zip(&mut rows) {
                plane.upsample(y, *scale, row);
            }
            match &rows[..] {
                [a, b, c] => {
                    for (i, pixel) in line.chunks_exact_mut(3).enumerate() {
                        let p = if as_is { [a[i], b[i], c[i]] } else { pixels::rgb(a[i], b[i], c[i]) };
                        pixel.copy_from_slice(&p);
                    }
                }
                rows => line.copy_from_slice(&rows[0][..width]),
            }
        }
        Ok(Picture { width, height, channels, data })
    }
}

impl Component {
    /// Notes which bits a scan gives; each may come once, the higher ones first.
    fn learn(&mut self, band: Band) -> Result<(), Failure> {
        for k in &mut self.known[band.start..=band.end] {
            let fits = if band.refine { *k == Some(band.low + 1) } else { k.is_none() };
            if !fits {
                return Err(Failure::Corrupt);
            }
            *k = Some(band.low);
        }
        Ok(())
    }
}

/// Decodes a stream that begins with `SOI`.
pub(super) fn decode(stream: &[u8]) -> Result<Picture, Failure> {
    let mut tables = Tables::default();
    let mut frame: Option<Frame> = None;
    let (mut at, mut scans) = (2, 0);
    while let Some(skipped) = stream.get(at..).and_then(|rest| rest.windows(2).position(is_marker)) {
        at += skipped + 2;
        let marker = stream[at - 1];
        if marker == 0xd9 {
            break;
        }
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let end = at + word(stream, at)?;
        let data = stream.get(at + 2..end).ok_or(Failure::Corrupt)?;
        at = end;
        match marker {
            0xdb => tables.read_quant(data)?,
            0xc4 => tables.read_huffman(data)?,
            0xdd => tables.interval = word(data, 0)?,
            0xe0 if data.starts_with(b"JFIF\0") => tables.jfif = true,
            0xee if data.starts_with(b"Adobe") => tables.adobe = data.get(11).copied(),
            0xc0..=0xc2 if frame.is_none() => frame = Some(Frame::new(marker == 0xc2, data)?),
            0xc0..=0xc2 => return Err(Failure::Corrupt),
            0xc9..=0xcb | 0xcd..=0xcf => return refuse("arithmetic coding"),
            0xc3 | 0xc5..=0xc7 => return refuse("a lossless or hierarchical frame"),
            0xda => {
                scans += 1;
                if scans > MAX_SCANS {
                    return refuse(&format!("a stream of more than {MAX_SCANS} scans"));
                }
                at = frame.as_mut().ok_or(Failure::Corrupt)?.read_scan(&tables, data, stream, at)?;
            }
            _ => {}
        }
    }
    frame.ok_or(Failure::Corrupt)?.picture(&tables)
}

fn is_marker(pair: &[u8]) -> bool {
    pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A progressive picture of 7 x 9 pixels with halved chroma.
    const TINY: &[u8] = b"\xff\xd8\xff\xe0\x00\x10\x4a\x46\x49\x46\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xdb\x00\x43\x00\
        \x14\x0e\x0f\x12\x0f\x0d\x14\x12\x10\x12\x17\x15\x14\x18\x1e\x32\x21\x1e\x1c\x1c\x1e\x3d\x2c\x2e\x24\
        \x32\x49\x40\x4c\x4b\x47\x40\x46\x45\x50\x5a\x73\x62\x50\x55\x6d\x56\x45\x46\x64\x88\x65\x6d\x77\x7b\
        \x81\x82\x81\x4e\x60\x8d\x97\x8c\x7d\x96\x73\x7e\x81\x7c\xff\xdb\x00\x43\x01\x15\x17\x17\x1e\x1a\x1e\
        \x3b\x21\x21\x3b\x7c\x53\x46\x53\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\
        \x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\
        \x7c\x7c\x7c\x7c\x7c\x7c\x7c\x7c\xff\xc2\x00\x11\x08\x00\x09\x00\x07\x03\x01\x22\x00\x02\x11\x01\x03\
        \x11\x01\xff\xc4\x00\x15\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\
        \xff\xc4\x00\x14\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\xda\x00\
        \x0c\x03\x01\x00\x02\x10\x03\x10\x00\x00\x01\xb9\x29\x3f\xff\xc4\x00\x16\x10\x01\x01\x01\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x11\xff\xda\x00\x08\x01\x01\x00\x01\x05\x02\x13\x0b\
        \xff\xc4\x00\x17\x11\x00\x03\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x11\x02\
        \xff\xda\x00\x08\x01\x03\x01\x01\x3f\x01\xda\x8e\x1f\xff\xc4\x00\x18\x11\x00\x02\x03\x00\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x11\xff\xda\x00\x08\x01\x02\x01\x01\x3f\x01\x85\
        \x4b\x0f\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\xff\
        \xda\x00\x08\x01\x01\x00\x06\x3f\x02\x3f\xff\xc4\x00\x15\x10\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x31\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x21\x64\xbf\xff\xda\x00\x0c\x03\
        \x01\x00\x02\x00\x03\x00\x00\x00\x10\xc7\xff\xc4\x00\x15\x11\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\
        \x00\x00\x00\x00\x00\x00\x00\x21\xff\xda\x00\x08\x01\x03\x01\x01\x3f\x10\x96\x7f\xff\xc4\x00\x14\x11\
        \x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xda\x00\x08\x01\x02\x01\x01\
        \x3f\x10\x3f\xff\xc4\x00\x15\x10\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
        \x10\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x71\x87\xff\xd9";

    fn refusal(bytes: &[u8]) -> String {
        match decode(bytes) {
            Err(Failure::Refused(why)) => why,
            other => format!("{other:?}"),
        }
    }

    /// [`TINY`] with a byte of its frame header, counted from the marker, replaced.
    fn framed(at: usize, byte: u8) -> Vec<u8> {
        let mut bytes = TINY.to_vec();
        let frame = bytes.windows(2).position(|w| w == [0xff, 0xc2]).expect("progressive");
        bytes[frame + at] = byte;
        bytes
    }

    #[test]
    fn sizes_are_read_and_repeated_samples_fill_odd_ones() {
        let p = decode(TINY).expect("sound");
        assert_eq!((p.width, p.height, p.channels, p.data.len()), (7, 9, 3, 189));
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        assert!(refusal(&framed(1, 0xca)).contains("arithmetic"));
        assert!(refusal(&framed(1, 0xc3)).contains("lossless"));
        assert!(refusal(&framed(4, 12)).contains("8 bits"));
        assert!(refusal(&framed(6, 0)).contains("height"));
        assert!(refusal(&framed(9, 4)).contains("4 components"));
        assert!(refusal(&framed(14, 0x33)).contains("fraction"));
    }

    #[test]
    fn streams_that_end_early_are_refused_or_broken() {
        for n in 0..TINY.len() - 2 {
            assert!(decode(&TINY[..n]).is_err(), "{n}");
        }
        assert!(decode(&TINY[..TINY.len() - 2]).is_ok(), "the end marker may be missing");
    }

    #[test]
    fn damaged_streams_never_panic() {
        for at in 0..TINY.len() {
            for bit in 0..8 {
                let mut bytes = TINY.to_vec();
                bytes[at] ^= 1 << bit;
                if let Ok(p) = decode(&bytes) {
                    assert_eq!(p.data.len(), p.width * p.height * p.channels);
                }
            }
        }
    }
}
