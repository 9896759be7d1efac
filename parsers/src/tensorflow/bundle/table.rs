//! Sorted tables of keys and values: the index of a checkpoint.
//!
//! A footer leads to the index block, whose values lead to the data blocks. Each block is followed by its compression and checksum, and spells keys by what they
//! share with the one before.
use super::snappy;
use super::wire::{Cursor, masked};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;

const FOOTER: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Compression and checksum behind a block.
const TRAILER: usize = 5;
/// Most bytes of all keys and values; prefixes that repeat could stand for far more than the file has.
const MOST_BYTES: usize = 1 << 30;

/// Whether the last bytes are those of a table.
pub(super) fn looks_like_table(bytes: &[u8]) -> bool {
    bytes.len() >= FOOTER && bytes.ends_with(&MAGIC.to_le_bytes())
}

/// All keys with their values.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(bytes: &Bytes) -> Result<BTreeMap<Vec<u8>, Bytes>, String> {
    if !looks_like_table(bytes) {
        return Err(
            "it does not end as the index of a checkpoint does; it is cut off or something else".into()
        );
    }
    let mut footer = Cursor::new(&bytes[bytes.len() - FOOTER..]);
    let (_, index) = handle(&mut footer).zip(handle(&mut footer)).ok_or("its footer is damaged")?;
    let mut out = BTreeMap::new();
    let mut held = 0usize;
    for (_, value) in entries(&block(bytes, index)?, &mut held)? {
        let at = handle(&mut Cursor::new(&value)).ok_or("the place of a block is damaged")?;
        for (key, value) in entries(&block(bytes, at)?, &mut held)? {
            if out.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(format!("key {:?} is not behind the one before", String::from_utf8_lossy(&key)));
            }
            out.insert(key, value);
        }
    }
    Ok(out)
}

/// Offset and length of a block.
fn handle(from: &mut Cursor<'_>) -> Option<(usize, usize)> {
    Some((from.size()?, from.size()?))
}

fn block(file: &Bytes, (start, length): (usize, usize)) -> Result<Bytes, String> {
    let limit = file.len() - FOOTER;
    let end = start.checked_add(length).filter(|e| e.checked_add(TRAILER).is_some_and(|e| e <= limit));
    let end = end.ok_or_else(|| format!("a block of {length} bytes at {start} leaves the file"))?;
    let stored = u32::from_le_bytes([file[end + 1], file[end + 2], file[end + 3], file[end + 4]]);
    if masked(crc32c::crc32c(&file[start..=end])) != stored {
        return Err(format!("the checksum of the block at {start} is wrong; fetch or save the file again"));
    }
    match file[end] {
        0 => Ok(file.slice(start..end)),
        1 => {
            let plain = snappy::unpack(&file[start..end]);
            Ok(plain.map_err(|what| format!("the compressed block at {start}: {what}"))?.into())
        }
        other => Err(format!("the block at {start} is compressed in a way that is not known: {other}")),
    }
}

/// Keys and values of a block. `held` counts their bytes.
fn entries(block: &Bytes, held: &mut usize) -> Result<Vec<(Vec<u8>, Bytes)>, Cow<'static, str>> {
    let short = "a block is too short";
    let (rest, count) = block.split_last_chunk::<4>().ok_or(short)?;
    let restarts = usize::try_from(u32::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(4));
    let end = restarts.and_then(|n| rest.len().checked_sub(n)).ok_or(short)?;
    let mut from = Cursor::new(&rest[..end]);
    let mut out = vec![];
    let mut last: Vec<u8> = vec![];
    while !from.is_empty() {
        let broken = "an entry leaves its block";
        let sizes = (from.size(), from.size(), from.size());
        let (Some(shared), Some(own), Some(length)) = sizes else { return Err(broken.into()) };
        let own = from.take(own).ok_or(broken)?;
        let mut key = last.get(..shared).ok_or("a key begins as a longer one")?.to_vec();
        key.extend_from_slice(own);
        let value = from.take(length).ok_or(broken)?;
        *held = held.saturating_add(key.len() + value.len());
        if *held > MOST_BYTES {
            return Err(format!("its keys take more than {MOST_BYTES} bytes").into());
        }
        last.clone_from(&key);
        out.push((key, block.slice_ref(value)));
    }
    Ok(out)
}
