//! Typed indices into append-only tables: a [`NodeId`](crate::graph::NodeId) can never index the value table.
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

/// Index of a `T` in an [`Arena<T>`].
pub struct Id<T>(u32, PhantomData<fn() -> T>);

impl<T> Id<T> {
    /// The id of position `index`. Ids are 32 bits wide; a table of more entries saturates, which [`Arena::push`] rules out.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX), PhantomData)
    }
    /// Position in the table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Append-only table. Erasure is a tombstone owned by the element type.
#[derive(Clone, Debug)]
pub struct Arena<T> {
    items: Vec<T>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Arena<T> {
    /// Appends `item`.
    pub fn push(&mut self, item: T) -> Id<T> {
        let id = Id::new(self.items.len());
        assert!(id.0 < u32::MAX, "a graph holds fewer than 2^32 - 1 values");
        self.items.push(item);
        id
    }
    /// Number of entries, tombstones included.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether nothing was ever added.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
    /// All entries with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.items.iter().enumerate().map(|(i, t)| (Id::new(i), t))
    }
}
impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;
    fn index(&self, id: Id<T>) -> &T {
        &self.items[id.index()]
    }
}
impl<T> IndexMut<Id<T>> for Arena<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        &mut self.items[id.index()]
    }
}

/// A side table indexed by id, with a default for entries never set.
#[derive(Clone, Debug)]
pub struct SideTable<T, V> {
    items: Vec<V>,
    default: V,
    _id: PhantomData<fn() -> T>,
}

impl<T, V: Clone> SideTable<T, V> {
    /// A table in which every id maps to `default`.
    pub fn new(default: V) -> Self {
        Self { items: Vec::new(), default, _id: PhantomData }
    }
    /// The entry of `id`.
    pub fn get(&self, id: Id<T>) -> &V {
        self.items.get(id.index()).unwrap_or(&self.default)
    }
    /// Sets the entry of `id`, growing the table as needed.
    pub fn set(&mut self, id: Id<T>, value: V) {
        if self.items.len() <= id.index() {
            self.items.resize(id.index() + 1, self.default.clone());
        }
        self.items[id.index()] = value;
    }
    /// Mutable entry of `id`, growing the table as needed.
    pub fn get_mut(&mut self, id: Id<T>) -> &mut V {
        if self.items.len() <= id.index() {
            self.items.resize(id.index() + 1, self.default.clone());
        }
        &mut self.items[id.index()]
    }
}
