//! Orders in which the axes of a value are stored.
use std::fmt;

/// Most axes of a value that is stored in another order than its own.
pub const MOST_AXES: usize = 12;

/// The order in which the axes of a value are stored: position `i` holds axis `self.at(i)` of the value, as `transpose` with these
/// axes as `perm` makes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order {
    rank: u8,
    axes: [u8; MOST_AXES],
}

impl Order {
    /// The value as it is. Also stands for values whose rank is not known (`rank` 0).
    pub fn identity(rank: usize) -> Self {
        let mut axes = [0; MOST_AXES];
        let rank = if rank > MOST_AXES { 0 } else { rank };
        for (i, a) in axes.iter_mut().enumerate().take(rank) {
            *a = i as u8;
        }
        Self { rank: rank as u8, axes }
    }
    /// The order that lists these axes; `None` when they are no permutation or too many.
    pub fn new(axes: &[usize]) -> Option<Self> {
        let mut out = Self::identity(axes.len());
        let mut seen = [false; MOST_AXES];
        if axes.len() > MOST_AXES {
            return None;
        }
        for (i, a) in axes.iter().enumerate() {
            if *a >= axes.len() || std::mem::replace(seen.get_mut(*a)?, true) {
                return None;
            }
            *out.axes.get_mut(i)? = *a as u8;
        }
        Some(out)
    }
    /// The order that `perm` of a `transpose` of that many axes makes; empty reverses them.
    pub fn of_perm(perm: &[i64], rank: usize) -> Option<Self> {
        if perm.is_empty() {
            return Self::new(&(0..rank).rev().collect::<Vec<_>>());
        }
        let axes: Vec<usize> = perm.iter().map(|p| usize::try_from(*p).ok()).collect::<Option<_>>()?;
        Self::new(&axes).filter(|o| o.rank() == rank)
    }
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }
    /// Axis at each position.
    pub fn axes(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + '_ {
        self.axes[..self.rank()].iter().map(|a| *a as usize)
    }
    /// Axis at position `i`.
    pub fn at(&self, i: usize) -> usize {
        self.axes.get(i).map_or(i, |a| *a as usize)
    }
    /// Position of axis `axis`.
    pub fn position(&self, axis: usize) -> usize {
        self.axes().position(|a| a == axis).unwrap_or(axis)
    }
    /// Whether nothing moves.
    pub fn is_identity(&self) -> bool {
        self.axes().enumerate().all(|(i, a)| i == a)
    }
    /// The `perm` of a `transpose`.
    pub fn perm(&self) -> Vec<i64> {
        self.axes().map(|a| a as i64).collect()
    }
    /// The order that undoes this one.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let mut out = *self;
        for (i, a) in self.axes().enumerate() {
            out.axes[a] = i as u8;
        }
        out
    }
    /// Position `i` holds `self.at(inner.at(i))`: where `inner` orders the result of a `transpose` by `self`, this is the order in
    /// terms of its operand.
    #[must_use]
    pub fn then(&self, inner: &Self) -> Self {
        let mut out = *self;
        for i in 0..self.rank() {
            out.axes[i] = self.at(inner.at(i)) as u8;
        }
        out
    }
    /// The permutation that brings data from this order to `other`.
    #[must_use]
    pub fn to(&self, other: &Self) -> Self {
        self.inverse().then(other)
    }
    fn from_axes(axes: impl Iterator<Item = usize>) -> Self {
        let mut out = Self::identity(0);
        for a in axes.take(MOST_AXES) {
            out.axes[out.rank()] = a as u8;
            out.rank += 1;
        }
        out
    }
    /// The order of the last `count` axes alone.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        let lead = self.rank().saturating_sub(count);
        Self::from_axes(self.axes().filter(|a| *a >= lead).map(|a| a - lead))
    }
    /// This order of the last axes of a value of `rank` axes, the others before them.
    #[must_use]
    pub fn widened(&self, rank: usize) -> Self {
        let lead = rank.saturating_sub(self.rank());
        Self::from_axes((0..lead).chain(self.axes().map(|a| a + lead)))
    }
    /// The order without these axes.
    #[must_use]
    pub fn without(&self, axes: &[usize]) -> Self {
        let below = |a: usize| axes.iter().filter(|x| **x < a).count();
        Self::from_axes(self.axes().filter(|a| !axes.contains(a)).map(|a| a - below(a)))
    }
    /// The order with these axes, ascending, put in: each behind the axis before it.
    #[must_use]
    pub fn with(&self, axes: &[usize]) -> Self {
        let mut out: Vec<usize> = self.axes().collect();
        for axis in axes {
            for a in out.iter_mut().filter(|a| **a >= *axis) {
                *a += 1;
            }
            let at = axis.checked_sub(1).and_then(|before| out.iter().position(|a| *a == before));
            out.insert(at.map_or(0, |at| at + 1), *axis);
        }
        Self::from_axes(out.into_iter())
    }
    /// The order that stands for all that differ only in where the axes marked in `ones`, those of size 1, are.
    #[must_use]
    pub fn settled(&self, ones: &[bool]) -> Self {
        let small: Vec<usize> = (0..self.rank()).filter(|a| ones.get(*a) == Some(&true)).collect();
        if small.is_empty() { *self } else { self.without(&small).with(&small) }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.perm())
    }
}
impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(axes: &[usize]) -> Order {
        Order::new(axes).expect("a permutation")
    }

    #[test]
    fn permutations_compose() {
        let (t, q) = (order(&[0, 2, 3, 1]), order(&[1, 0, 2, 3]));
        assert_eq!(t.then(&t.inverse()), Order::identity(4));
        assert_eq!(t.then(&q), order(&[2, 0, 3, 1]));
        // From channels last to the reverse order: position 0 holds axis 3, which is at position 2.
        assert_eq!(t.to(&order(&[3, 2, 1, 0])), order(&[2, 1, 3, 0]));
        assert!(Order::new(&[0, 0]).is_none() && Order::new(&[0, 2]).is_none());
        assert_eq!(Order::of_perm(&[], 3), Some(order(&[2, 1, 0])));
        assert_eq!(Order::of_perm(&[0, 1], 3), None);
    }

    #[test]
    fn axes_come_and_go() {
        let last = order(&[0, 2, 3, 1]);
        assert_eq!(last.without(&[2, 3]), Order::identity(2));
        assert_eq!(last.without(&[0]), order(&[1, 2, 0]));
        assert_eq!(order(&[1, 2, 0]).with(&[0]), last);
        assert_eq!(order(&[1, 0]).with(&[2]), order(&[1, 2, 0]));
        assert_eq!(last.last(3), order(&[1, 2, 0]));
        assert_eq!(order(&[1, 2, 0]).widened(4), last);
    }

    #[test]
    fn axes_of_one_element_do_not_tell_orders_apart() {
        let ones = [false, false, true, true];
        assert_eq!(order(&[0, 2, 3, 1]).settled(&ones), Order::identity(4));
        assert_ne!(order(&[0, 2, 3, 1]).settled(&[false, false, false, true]), Order::identity(4));
    }
}
