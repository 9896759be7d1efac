//! The elements of a sequence.
use super::Value;
use crate::types::Type;
use std::ops::Deref;
use std::sync::Arc;

/// Values in order, shared by all copies until one is changed. Knows the type in which they agree and the bytes they take, so that a
/// loop that carries a long sequence does not count it anew each time.
#[derive(Clone, Debug)]
pub struct List {
    items: Arc<Vec<Value>>,
    pub(super) ty: Type,
    pub(super) bytes: usize,
}

/// `ty` as far as `v` agrees with it.
fn joined(ty: &Type, v: &Value) -> Option<Type> {
    (!v.fits(ty)).then(|| ty.join(&v.ty()))
}

impl List {
    /// Puts `v` in front of position `at`, or behind the last.
    pub fn insert(&mut self, at: usize, v: Value) {
        if self.items.is_empty() {
            self.ty = v.ty();
        } else if let Some(ty) = joined(&self.ty, &v) {
            self.ty = ty;
        }
        self.bytes = self.bytes.saturating_add(v.byte_len());
        let items = Arc::make_mut(&mut self.items);
        items.insert(at.min(items.len()), v);
    }
    /// Takes the element at `at` out, if there is one.
    pub fn remove(&mut self, at: usize) -> Option<Value> {
        if at >= self.items.len() {
            return None;
        }
        let items = Arc::make_mut(&mut self.items);
        let v = items.remove(at);
        if items.is_empty() || v.ty() != self.ty {
            // Those that are left may agree on more.
            *self = Self::from(std::mem::take(items));
        } else {
            self.bytes = self.bytes.saturating_sub(v.byte_len());
        }
        Some(v)
    }
    /// Address of the shared elements and their bytes, which identify what copies hold together.
    pub fn storage(&self) -> (usize, usize) {
        (Arc::as_ptr(&self.items) as usize, self.bytes)
    }
    /// Whether each is an instance of `ty`.
    pub(super) fn fit(&self, ty: &Type) -> bool {
        self.items.is_empty() || self.ty.join(ty) == *ty || self.items.iter().all(|v| v.fits(ty))
    }
}

impl Deref for List {
    type Target = [Value];
    fn deref(&self) -> &[Value] {
        &self.items
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = &'a Value;
    type IntoIter = std::slice::Iter<'a, Value>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        let mut ty = items.first().map_or(Type::Unknown, Value::ty);
        for v in items.iter().skip(1) {
            if let Some(less) = joined(&ty, v) {
                ty = less;
            }
        }
        let bytes = items.iter().map(Value::byte_len).fold(0, usize::saturating_add);
        Self { items: Arc::new(items), ty, bytes }
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        items.into_iter().collect::<Vec<_>>().into()
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn of(n: usize) -> Value {
        Tensor::from_vec(&[n], vec![0f32; n]).into()
    }
    fn same(list: &List) {
        let fresh = List::from(list.to_vec());
        assert_eq!((&list.ty, list.bytes), (&fresh.ty, fresh.bytes));
    }

    #[test]
    fn type_and_bytes_follow_the_elements() {
        let mut list: List = [of(2), of(2)].into_iter().collect();
        assert_eq!(list.ty.to_string(), "f32[2]");
        let copy = list.clone();
        list.insert(9, of(3));
        assert_eq!((list.ty.to_string().as_str(), list.len(), copy.len()), ("f32[?]", 3, 2));
        same(&list);
        assert_ne!(list.storage(), copy.storage());
        assert_eq!(list.remove(2), Some(of(3)));
        assert_eq!(list.remove(2), None);
        assert_eq!(list, copy);
        same(&list);
        list.remove(0);
        same(&list);
        list.remove(0);
        assert_eq!((list.ty.clone(), list.bytes), (Type::Unknown, 0));
        list.insert(0, of(1));
        same(&list);
        let fits = |text: &str| list.fit(&crate::text::parse_type(text).expect("a type"));
        assert!(fits("f32[1]") && fits("f32[?]") && fits("f32[*]") && fits("unknown") && fits("f32[N]"));
        assert!(!fits("f32[2]") && !fits("i64[1]") && !fits("f32[]") && !fits("seq<f32[1]>"));
    }
}
