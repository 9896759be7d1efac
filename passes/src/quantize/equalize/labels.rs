//! Which elements of values have the same factor: labels, and classes of labels.
use std::sync::Arc;

/// One label per position of some axes of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labels {
    /// One size per axis of the value: that of the value, or 1 where the label is the same along the axis.
    pub shape: Vec<usize>,
    /// Labels, the last axis first.
    pub ids: Arc<[u32]>,
}

/// Labels of one value at most.
pub const MOST_LABELS: usize = 1 << 18;

impl Labels {
    /// Whether labels vary along no axis but `axis`.
    pub fn only_along(&self, axis: usize) -> bool {
        self.shape.iter().enumerate().all(|(a, size)| a == axis || *size == 1)
    }
    /// The only axis along which labels vary, if there is at most one; the last one where they vary along none.
    pub fn axis(&self) -> Option<usize> {
        let mut varying = (0..self.shape.len()).filter(|a| self.shape[*a] > 1);
        let first = varying.next().or(self.shape.len().checked_sub(1))?;
        varying.next().is_none().then_some(first)
    }
    /// The label of each of `count` positions, where there is one for all of them or one for each.
    pub fn spread(&self, count: usize) -> Vec<u32> {
        match self.ids.as_ref() {
            [one] => vec![*one; count],
            ids => ids.to_vec(),
        }
    }
    /// Axes of size 1 put in front, up to `rank`.
    pub fn of_rank(&self, rank: usize) -> Option<Self> {
        let lead = rank.checked_sub(self.shape.len())?;
        Some(Self { shape: [vec![1; lead], self.shape.clone()].concat(), ids: self.ids.clone() })
    }
    /// Broadcast to `shape`, which has the same rank.
    pub fn broadcast(&self, shape: &[usize]) -> Option<Self> {
        let fits = |(a, b): (&usize, &usize)| a == b || *a == 1;
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n <= MOST_LABELS)?;
        if shape.len() != self.shape.len() || !self.shape.iter().zip(shape).all(fits) {
            return None;
        }
        let ids = (0..count).map(|at| self.ids[source(at, shape, &self.shape)]).collect();
        Some(Self { shape: shape.to_vec(), ids })
    }
    /// Axis `i` of the result is axis `perm[i]`.
    pub fn permuted(&self, perm: &[usize]) -> Option<Self> {
        let shape: Vec<usize> = perm.iter().map(|p| self.shape.get(*p).copied()).collect::<Option<_>>()?;
        let mut strides = vec![1; self.shape.len()];
        for a in (1..strides.len()).rev() {
            strides[a - 1] = strides[a] * self.shape[a];
        }
        let at = |k: usize| {
            let (mut rest, mut from) = (k, 0);
            for (size, p) in shape.iter().zip(perm).rev() {
                from += rest % size * strides[*p];
                rest /= size;
            }
            from
        };
        Some(Self { ids: (0..self.ids.len()).map(|k| self.ids[at(k)]).collect(), shape })
    }
    /// Positions `picks` of `axis`, one after another.
    pub fn picked(&self, axis: usize, picks: &[usize]) -> Option<Self> {
        let inner: usize = self.shape[axis + 1..].iter().copied().fold(1, usize::saturating_mul);
        let size = self.shape[axis];
        let outer: usize = self.shape[..axis].iter().copied().fold(1, usize::saturating_mul);
        if picks.iter().any(|p| *p >= size) {
            return None;
        }
        let row = |o: usize, p: usize| (o * size + p) * inner;
        let ids = (0..outer)
            .flat_map(|o| picks.iter().flat_map(move |p| row(o, *p)..row(o, *p) + inner))
            .map(|at| self.ids[at]);
        let mut shape = self.shape.clone();
        shape[axis] = picks.len();
        Some(Self { ids: ids.collect(), shape })
    }
    /// Axes along which no label differs have size 1.
    pub fn squashed(&self) -> Self {
        let mut found = self.clone();
        for axis in 0..self.shape.len() {
            let first = found.picked(axis, &[0]);
            let again = first.as_ref().and_then(|f| f.broadcast(&found.shape));
            if let (Some(first), Some(again)) = (first, again)
                && again == found
            {
                found = first;
            }
        }
        found
    }
}

/// Where element `at` of `shape` comes from in `from`, which is stretched to it.
fn source(at: usize, shape: &[usize], from: &[usize]) -> usize {
    let (mut rest, mut found, mut stride) = (at, 0, 1);
    for (size, have) in shape.iter().zip(from).rev() {
        found += if *have == 1 { 0 } else { rest % size * stride };
        rest /= size;
        stride *= have;
    }
    found
}

/// Why a class cannot have a factor: what, and which node.
pub type Pin = (&'static str, Option<hoist_ir::graph::NodeId>);

/// Classes of labels that have one factor. Label 0 has the factor 1.
pub struct Classes {
    parent: Vec<u32>,
    pins: Vec<Option<Pin>>,
}

/// The label of what cannot have a factor.
pub const ONE: u32 = 0;
/// Labels in all.
const MOST: usize = 1 << 24;

impl Classes {
    /// Only [`ONE`].
    pub fn new() -> Self {
        Self { parent: vec![ONE], pins: vec![Some(("part of it is no result of weights", None))] }
    }
    /// `count` new labels, each in a class of its own; `None` when there would be too many.
    pub fn fresh(&mut self, count: usize) -> Option<Arc<[u32]>> {
        let first = self.parent.len();
        let end = first.checked_add(count).filter(|e| *e <= MOST && count <= MOST_LABELS)?;
        let (first, end) = (u32::try_from(first).ok()?, u32::try_from(end).ok()?);
        self.parent.extend(first..end);
        self.pins.resize(self.parent.len(), None);
        Some((first..end).collect())
    }
    /// Number of labels.
    pub fn len(&self) -> usize {
        self.parent.len()
    }
    /// The first label of the class of `id`.
    pub fn root(&self, mut id: u32) -> u32 {
        while self.parent[id as usize] != id {
            id = self.parent[id as usize];
        }
        id
    }
    /// Why the class of `id` cannot have a factor.
    pub fn pin(&self, id: u32) -> Option<Pin> {
        self.pins[self.root(id) as usize]
    }
    /// The class of `id` cannot have a factor.
    pub fn hold(&mut self, id: u32, pin: Pin) {
        let root = self.root(id) as usize;
        self.pins[root].get_or_insert(pin);
    }
    /// Both have the same factor.
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        if low != high {
            self.parent[high as usize] = low;
            let pin = self.pins[high as usize];
            if self.pins[low as usize].is_none() {
                self.pins[low as usize] = pin;
            }
            self.shorten(a);
            self.shorten(b);
        }
    }
    /// Makes the way to the first label short.
    fn shorten(&mut self, mut id: u32) {
        let root = self.root(id);
        while self.parent[id as usize] != root {
            id = std::mem::replace(&mut self.parent[id as usize], root);
        }
    }
    /// Makes every way to the first label short.
    pub fn settle(&mut self) {
        for id in 0..self.parent.len() as u32 {
            // Parents come first and are settled.
            self.parent[id as usize] = self.parent[self.parent[id as usize] as usize];
        }
    }
}
