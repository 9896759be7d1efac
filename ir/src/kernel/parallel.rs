//! When to use several threads.

/// Multiply-adds below which work stays on the calling thread.
const SERIAL_WORK: usize = 1 << 18;

/// Whether a computation runs on the calling thread or is spread over the current rayon pool. The choice never
/// changes a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exec {
    /// On the calling thread.
    Serial,
    /// Over the current rayon pool.
    Parallel,
}

impl Exec {
    /// The mode worth its overhead for a number of multiply-adds (saturating product of `sizes`).
    pub(crate) fn for_work(sizes: &[usize]) -> Self {
        let work = sizes.iter().fold(1usize, |a, &b| a.saturating_mul(b));
        if work < SERIAL_WORK || rayon::current_num_threads() == 1 { Self::Serial } else { Self::Parallel }
    }

    /// Number of threads that take part.
    pub(crate) fn threads(self) -> usize {
        match self {
            Self::Serial => 1,
            Self::Parallel => rayon::current_num_threads(),
        }
    }

    /// Calls `task` for each element of `items` with a scratch buffer of the executing thread.
    pub(crate) fn for_each<I: Send, B: Default>(
        self,
        items: &mut [I],
        task: impl Fn(&mut B, &mut I) + Sync + Send,
    ) {
        use rayon::prelude::*;
        match self {
            Self::Serial => {
                let mut buffer = B::default();
                for item in items {
                    task(&mut buffer, item);
                }
            }
            Self::Parallel => items.par_iter_mut().for_each_init(B::default, task),
        }
    }

    /// Calls `task` for each chunk of `size` elements of `slice`, with the chunk's number.
    pub(crate) fn for_chunks<T: Send, B: Default>(
        self,
        slice: &mut [T],
        size: usize,
        task: impl Fn(&mut B, usize, &mut [T]) + Sync + Send,
    ) {
        use rayon::prelude::*;
        match self {
            Self::Serial => {
                let mut buffer = B::default();
                slice.chunks_mut(size).enumerate().for_each(|(i, chunk)| task(&mut buffer, i, chunk));
            }
            Self::Parallel => slice
                .par_chunks_mut(size)
                .enumerate()
                .for_each_init(B::default, |buffer, (i, chunk)| task(buffer, i, chunk)),
        }
    }
}
