//! The coded data of one scan: bits, Huffman codes and the coefficients of blocks (ITU-T T.81, annexes F and G).
use super::Failure;

/// Position in a block, row by row, of each coefficient in coded order.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Codes of up to 8 bits are found by their first bits.
const SHORT: u32 = 8;

/// A Huffman code.
#[derive(Clone)]
pub(super) struct Huffman {
    /// Length and symbol by the next [`SHORT`] bits; length 0 for longer codes.
    short: Vec<(u8, u8)>,
    /// By length: one more than the last code, aligned to 16 bits.
    end: [u32; 17],
    /// By length: what to add to a code to get its symbol's position.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// The code with `counts[i]` codes of `i + 1` bits for `symbols` in order.
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Result<Self, Failure> {
        let (mut code, mut at) = (0u32, 0usize);
        let (mut end, mut offset) = ([0; 17], [0; 17]);
        let mut short = vec![(0, 0); 1 << SHORT];
        for (len, n) in (1u32..=16).zip(counts) {
            offset[len as usize] = at as i32 - code as i32;
            for _ in 0..*n {
                let symbol = *symbols.get(at).ok_or(Failure::Corrupt)?;
                if code >= 1 << len {
                    return Err(Failure::Corrupt);
                }
                if len <= SHORT {
                    let first = (code << (SHORT - len)) as usize;
                    short[first..first + (1 << (SHORT - len))].fill((len as u8, symbol));
                }
                (code, at) = (code + 1, at + 1);
            }
            end[len as usize] = code << (16 - len);
            code <<= 1;
        }
        Ok(Self { short, end, offset, symbols: symbols.to_vec() })
    }
}

/// Reads the bits of a scan. Past a marker or the end there are zeros, which may be looked at but not used.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to read.
    pub(super) at: usize,
    held: u64,
    count: u32,
    /// How many of the held bits are not in the data.
    made_up: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, held: 0, count: 0, made_up: 0 }
    }
    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (Some(0xff) | None, _) => {
                    self.made_up += 8;
                    0
                }
                (Some(b), _) => {
                    self.at += 1;
                    *b
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }
    fn peek(&mut self, n: u32) -> u32 {
        if self.count < n {
            self.fill();
        }
        (self.held >> (self.count - n)) as u32 & ((1 << n) - 1)
    }
    fn skip(&mut self, n: u32) -> Result<(), Failure> {
        self.count -= n;
        if self.count < self.made_up { Err(Failure::Corrupt) } else { Ok(()) }
    }
    /// The next `n` bits, at most 16.
    pub(super) fn bits(&mut self, n: u32) -> Result<i32, Failure> {
        let v = self.peek(n);
        self.skip(n)?;
        Ok(v as i32)
    }
    fn symbol(&mut self, code: &Huffman) -> Result<u8, Failure> {
        let next = self.peek(16);
        let (len, symbol) = code.short[(next >> (16 - SHORT)) as usize];
        if len != 0 {
            self.skip(u32::from(len))?;
            return Ok(symbol);
        }
        let len = (SHORT + 1..=16).find(|l| next < code.end[*l as usize]).ok_or(Failure::Corrupt)?;
        self.skip(len)?;
        let at = (next >> (16 - len)) as i32 + code.offset[len as usize];
        usize::try_from(at).ok().and_then(|i| code.symbols.get(i)).copied().ok_or(Failure::Corrupt)
    }
    /// A signed value of `size` bits: those with a leading 0 are negative.
    fn signed(&mut self, size: u32) -> Result<i32, Failure> {
        if size == 0 {
            return Ok(0);
        }
        let v = self.bits(size)?;
        Ok(if v < 1 << (size - 1) { v - (1 << size) + 1 } else { v })
    }
    /// Ends an interval: drops what is left of the byte and reads the marker `RSTn`.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        // Whole bytes that were read ahead belong to no code: the interval has ended short of its data.
        if self.count - self.made_up >= 8 {
            return Err(Failure::Corrupt);
        }
        (self.held, self.count, self.made_up) = (0, 0, 0);
        while self.data.get(self.at) == Some(&0xff) && self.data.get(self.at + 1) == Some(&0xff) {
            self.at += 1;
        }
        match self.data.get(self.at..self.at + 2) {
            Some([0xff, 0xd0..=0xd7]) => {
                self.at += 2;
                Ok(())
            }
            _ => Err(Failure::Corrupt),
        }
    }
}

/// Which coefficients a scan codes and at which precision.
#[derive(Clone, Copy)]
pub(super) struct Band {
    /// Whether the frame is progressive; if not, blocks are coded whole.
    pub(super) progressive: bool,
    /// First coefficient in coded order.
    pub(super) start: usize,
    /// Last coefficient.
    pub(super) end: usize,
    /// Whether an earlier scan gave the higher bits.
    pub(super) refine: bool,
    /// Position of the lowest bit that this scan gives.
    pub(super) low: u32,
}

/// Codes that a component's blocks are read with, as far as the scan needs them.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a> {
    pub(super) dc: Option<&'a Huffman>,
    pub(super) ac: Option<&'a Huffman>,
}

impl<'a> Codes<'a> {
    fn dc(self) -> Result<&'a Huffman, Failure> {
        self.dc.ok_or(Failure::Corrupt)
    }
    fn ac(self) -> Result<&'a Huffman, Failure> {
        self.ac.ok_or(Failure::Corrupt)
    }
}

/// Reads one block's part of a scan into `block`. `last` is the component's last DC value, `run` the number of further blocks
/// that have no more coefficients in this band.
pub(super) fn read_block(
    bits: &mut Bits<'_>,
    codes: Codes<'_>,
    band: Band,
    block: &mut [i16; 64],
    last: &mut i32,
    run: &mut u32,
) -> Result<(), Failure> {
    if !band.progressive {
        read_dc(bits, codes, 0, block, last)?;
        return read_ac(bits, codes, Band { start: 1, end: 63, low: 0, ..band }, block, run);
    }
    match (band.start, band.refine) {
        (0, false) => read_dc(bits, codes, band.low, block, last),
        (0, true) => {
            block[0] |= (bits.bits(1)? << band.low) as i16;
            Ok(())
        }
        (_, false) => read_ac(bits, codes, band, block, run),
        (_, true) => refine_ac(bits, codes, band, block, run),
    }
}

fn read_dc(
    bits: &mut Bits<'_>,
    codes: Codes<'_>,
    low: u32,
    block: &mut [i16; 64],
    last: &mut i32,
) -> Result<(), Failure> {
    let size = u32::from(bits.symbol(codes.dc()?)?);
    if size > 15 {
        return Err(Failure::Corrupt);
    }
    *last = last.wrapping_add(bits.signed(size)?);
    block[0] = last.wrapping_shl(low) as i16;
    Ok(())
}

fn read_ac(
    bits: &mut Bits<'_>,
    codes: Codes<'_>,
    band: Band,
    block: &mut [i16; 64],
    run: &mut u32,
) -> Result<(), Failure> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let code = codes.ac()?;
    let mut k = band.start;
    while k <= band.end {
        let symbol = bits.symbol(code)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            if band.progressive {
                *run = (1 << zeros) - 1 + bits.bits(zeros)? as u32;
            } else if zeros != 0 {
                return Err(Failure::Corrupt);
            }
            return Ok(());
        }
        k += zeros as usize;
        if size > 0 {
            let place = ZIGZAG.get(k).filter(|_| k <= band.end).ok_or(Failure::Corrupt)?;
            block[usize::from(*place)] = (bits.signed(size)? << band.low) as i16;
        }
        k += 1;
    }
    Ok(())
}

/// Adds a bit to a coefficient that is not 0, away from 0.
fn refine(bits: &mut Bits<'_>, bit: i16, value: &mut i16) -> Result<(), Failure> {
    if bits.bits(1)? == 1 && *value & bit == 0 {
        *value = if *value > 0 { value.wrapping_add(bit) } else { value.wrapping_sub(bit) };
    }
    Ok(())
}

fn refine_ac(
    bits: &mut Bits<'_>,
    codes: Codes<'_>,
    band: Band,
    block: &mut [i16; 64],
    run: &mut u32,
) -> Result<(), Failure> {
    let bit = (1i32 << band.low) as i16;
    let mut k = band.start;
    if *run == 0 {
        let code = codes.ac()?;
        while k <= band.end {
            let symbol = bits.symbol(code)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
            let new = match size {
                0 if zeros < 15 => {
                    *run = (1 << zeros) + bits.bits(zeros)? as u32;
                    break;
                }
                0 => 0,
                1 if bits.bits(1)? == 1 => bit,
                1 => -bit,
                _ => return Err(Failure::Corrupt),
            };
            // The zeros that are counted are those of earlier scans; others between them get a bit each.
            loop {
                let Some(place) = ZIGZAG.get(k).filter(|_| k <= band.end) else {
                    if new == 0 {
                        break;
                    }
                    return Err(Failure::Corrupt);
                };
                let value = &mut block[usize::from(*place)];
                if *value != 0 {
                    refine(bits, bit, value)?;
                } else if zeros == 0 {
                    *value = new;
                    k += 1;
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
        }
    }
    if *run > 0 {
        for place in ZIGZAG.get(k..=band.end).unwrap_or_default() {
            let value = &mut block[usize::from(*place)];
            if *value != 0 {
                refine(bits, bit, value)?;
            }
        }
        *run -= 1;
    }
    Ok(())
}
