//! Bytes of the values that are alive, where shared storage counts once.
use hoist_ir::eval::Value;
use hoist_ir::tensor::{Storage, Tensor};
use std::collections::HashMap;

/// Address and size of an owned storage.
pub(super) type Block = (usize, usize);

/// Storages alive, each with the number of values that hold it.
#[derive(Default)]
pub(super) struct Live {
    held: HashMap<usize, (usize, usize)>,
    now: usize,
    peak: usize,
}

impl Live {
    /// Bytes alive now.
    pub(super) fn now(&self) -> usize {
        self.now
    }
    /// Most bytes alive at one time.
    pub(super) fn peak(&self) -> usize {
        self.peak
    }
    /// `bytes` more were alive for a while.
    pub(super) fn reach(&mut self, bytes: usize) {
        self.peak = self.peak.max(self.now.saturating_add(bytes));
    }
    /// A further value holds these blocks.
    pub(super) fn hold(&mut self, blocks: &[Block]) {
        for (address, bytes) in blocks {
            let (count, known) = self.held.entry(*address).or_insert((0, *bytes));
            if *count == 0 {
                self.now += bytes;
            } else if known != bytes {
                // A sequence may grow in place.
                self.now = self.now.saturating_sub(*known).saturating_add(*bytes);
                *known = *bytes;
            }
            *count += 1;
        }
        self.peak = self.peak.max(self.now);
    }
    /// A value that held these blocks is gone.
    pub(super) fn release(&mut self, blocks: &[Block]) {
        for (address, _) in blocks {
            let Some((count, bytes)) = self.held.get_mut(address) else { continue };
            *count -= 1;
            if *count == 0 {
                self.now -= *bytes;
                self.held.remove(address);
            }
        }
    }
}

/// Storages that `value` holds. Bytes of a file and splats take no memory of their own.
pub(super) fn blocks(value: &Value) -> Vec<Block> {
    let mut out = vec![];
    collect(value, &mut out);
    out
}

fn collect(value: &Value, out: &mut Vec<Block>) {
    match value {
        Value::Tensor(t) => out.extend(block(t)),
        // Elements alive by themselves too count twice.
        Value::Sequence(values) => out.extend(Some(values.storage()).filter(|(_, bytes)| *bytes > 0)),
        Value::Optional(v) => v.iter().for_each(|v| collect(v, out)),
    }
}

/// The storage a tensor holds, if it is in memory.
pub(super) fn block(t: &Tensor) -> Option<Block> {
    let (address, bytes) = match t.storage() {
        Storage::Owned(data) => (data.as_bytes().as_ptr() as usize, data.as_bytes().len()),
        Storage::Bytes(bytes, None) => (bytes.as_ptr() as usize, bytes.len()),
        Storage::Strings(texts) => (texts.as_ptr() as usize, t.byte_len()),
        Storage::Bytes(_, Some(_)) | Storage::Splat(_) | Storage::Lazy(_) => return None,
    };
    (bytes > 0).then_some((address, bytes))
}
