//! Blocks compressed by Snappy.
use super::wire::Cursor;

/// No command makes more bytes of each of its own.
const MOST_GROWTH: u64 = 32;

/// The bytes that `packed` stands for.
///
/// # Errors
/// What is wrong with it.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut from = Cursor::new(packed);
    let length = from.varint().ok_or("it does not say how long it is")?;
    if length > (packed.len() as u64).saturating_mul(MOST_GROWTH) {
        return Err("it says that it is longer than it can be");
    }
    let length = length as usize;
    let mut out = Vec::with_capacity(length);
    while let Some(tag) = from.byte() {
        let high = usize::from(tag >> 2);
        let copy = match tag & 3 {
            0 => {
                let count = match high {
                    60..=63 => from.little(high - 59).ok_or("it ends inside a length")? as usize,
                    short => short,
                };
                let piece = count.checked_add(1).and_then(|n| from.take(n));
                out.extend_from_slice(piece.ok_or("it ends inside plain bytes")?);
                None
            }
            1 => from.byte().map(|low| (4 + (high & 7), high >> 3 << 8 | usize::from(low))),
            2 => from.little(2).map(|back| (1 + high, back as usize)),
            _ => from.little(4).map(|back| (1 + high, back as usize)),
        };
        match copy {
            Some((count, back)) => repeat(&mut out, count, back)?,
            None if tag & 3 != 0 => return Err("it ends inside a copy"),
            None => {}
        }
        if out.len() > length {
            return Err("it is longer than it says");
        }
    }
    if out.len() == length { Ok(out) } else { Err("it is shorter than it says") }
}

/// Appends `count` bytes that begin `back` bytes before the end; they may reach into themselves.
fn repeat(out: &mut Vec<u8>, count: usize, back: usize) -> Result<(), &'static str> {
    let start = out.len().checked_sub(back).filter(|_| back > 0).ok_or("a copy leads before its start")?;
    for i in start..start + count {
        let byte = out[i];
        out.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_of_all_widths() {
        assert_eq!(unpack(&[3, 2 << 2, b'a', b'b', b'c']), Ok(b"abc".to_vec()));
        // Two bytes, then six that repeat them.
        assert_eq!(unpack(&[8, 1 << 2, b'x', b'y', (2 << 2) | 1, 2]), Ok(b"xyxyxyxy".to_vec()));
        assert_eq!(unpack(&[6, 1 << 2, b'x', b'y', (3 << 2) | 2, 2, 0]), Ok(b"xyxyxy".to_vec()));
        assert_eq!(unpack(&[4, 0, b'z', (2 << 2) | 3, 1, 0, 0, 0]), Ok(b"zzzz".to_vec()));
        let mut long = vec![70, 60 << 2, 69];
        long.extend([7; 70]);
        assert_eq!(unpack(&long), Ok(vec![7; 70]));
    }

    #[test]
    fn damage_is_refused() {
        for bytes in [
            &[][..],
            &[0x80, 0x80, 0x80, 0x80, 8, 0],
            &[3, 2 << 2, b'a'],
            &[3, 0, b'a'],
            &[1, 1 << 2, b'a', b'b'],
            &[5, 0, b'a', 1, 2],
            &[5, 0, b'a', 1, 0],
            &[5, 0, b'a', 2, 1],
            &[5, 63 << 2, 255, 255, 255, 255],
        ] {
            assert!(unpack(bytes).is_err(), "{bytes:?}");
        }
    }
}
