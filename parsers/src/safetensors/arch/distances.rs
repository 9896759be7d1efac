//! Learned biases of the scores by the distance of query and key.
use super::blocks::{Net, R, V};
use hoist_ir::dtype::DType;

/// How distances fall into buckets.
pub(super) struct Buckets {
    pub count: usize,
    /// From which distance on all are one.
    pub most: usize,
    /// Whether keys behind the query have buckets of their own.
    pub both: bool,
}

impl Net<'_> {
    /// Learned biases of the scores by the distance of query and key, `[1, heads, queries, keys]`: half of the buckets are exact, the others grow by powers. `places`
    /// are the positions of queries and keys, `[1, sequence]`. (Raffel and others, "Exploring the limits of transfer learning", 2020.)
    pub fn distances(&mut self, name: &str, places: (V, V), buckets: &Buckets, heads: usize) -> R<V> {
        self.at(name);
        let queries = self.unsqueeze(places.0, &[-1])?;
        let keys = self.unsqueeze(places.1, &[1])?;
        let far = self.of("sub", &[keys, queries])?;
        let (mut count, mut first) = (buckets.count, None);
        let near = if buckets.both {
            count /= 2;
            let zero = self.int(0);
            let behind = self.of("greater", &[far, zero])?;
            let behind = self.cast(behind, DType::I64)?;
            let more = self.int(count as i64);
            first = Some(self.of("mul", &[behind, more])?);
            self.of("abs", &[far])?
        } else {
            let back = self.of("neg", &[far])?;
            let zero = self.int(0);
            self.of("max", &[back, zero])?
        };
        let exact = count / 2;
        // Powers in 32 bits, as there.
        let wide = self.cast(near, DType::F32)?;
        let half = self.floats(&[], vec![exact as f32]);
        let one = self.floats(&[], vec![1.0]);
        let ratio = self.of("div", &[wide, half])?;
        let ratio = self.of("max", &[ratio, one])?;
        let log = self.of("log", &[ratio])?;
        let by = self.floats(&[], vec![libm::log(buckets.most as f64 / exact as f64) as f32]);
        let log = self.of("div", &[log, by])?;
        let steps = self.floats(&[], vec![(count - exact) as f32]);
        let log = self.of("mul", &[log, steps])?;
        let log = self.cast(log, DType::I64)?;
        let base = self.int(exact as i64);
        let log = self.of("add", &[log, base])?;
        let last = self.int(count as i64 - 1);
        let log = self.of("min", &[log, last])?;
        let small = self.of("less", &[near, base])?;
        let mut bucket = self.of("where", &[small, near, log])?;
        if let Some(first) = first {
            bucket = self.of("add", &[bucket, first])?;
        }
        let y = self.embedding(name, bucket, (buckets.count, heads))?;
        self.transpose(y, &[0, 3, 1, 2])
    }
}
