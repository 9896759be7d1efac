//! The pickles of an archive as values: modules are objects with their attributes, tensors are weights.
use super::program::{Program, items};
use super::value::{Cell, Heap, Instance, Value, known_equal};
use super::weights::Weights;
use crate::pytorch::pickle::{ObjId, Object, Opaque, Pickle};
use hoist_ir::diag::Diag;
use std::collections::HashMap;
use std::rc::Rc;

/// Reads one pickle.
pub struct Loader<'a, 'p> {
    /// The archive.
    pub program: &'a Program,
    /// The pickle.
    pub pickle: &'a Pickle,
    /// Folder of its storages.
    pub folder: &'static str,
    /// Where objects go.
    pub heap: &'a mut Heap,
    /// Where tensors go.
    pub weights: &'a mut Weights<'p>,
    /// Objects read so far: shared ones stay shared.
    pub known: HashMap<ObjId, Value>,
}

fn damaged(message: impl Into<String>) -> Diag {
    Diag::error("E0202", message)
}

impl Loader<'_, '_> {
    /// The value of object `id`, which `path` leads to.
    ///
    /// # Errors
    /// When it is nothing that a program of `torch.jit.save` holds.
    pub fn value(&mut self, id: ObjId, path: &str) -> Result<Value, Diag> {
        if let Some(v) = self.known.get(&id) {
            return Ok(v.clone());
        }
        let value = self.read(id, path)?;
        self.known.insert(id, value.clone());
        Ok(value)
    }
    fn read(&mut self, id: ObjId, path: &str) -> Result<Value, Diag> {
        let pickle = self.pickle;
        Ok(match pickle.get(id) {
            Object::None => Value::None,
            Object::Bool(v) => Value::Bool(*v),
            Object::Int(v) => Value::int(*v),
            Object::Float(v) => Value::Float(*v),
            Object::Complex(re, im) => Value::Complex(*re, *im),
            Object::Str(v) => Value::text(v),
            Object::Device(v) => Value::Device((**v).into()),
            Object::Tensor(t) => Value::Weight(self.weights.add(path, self.folder, t)),
            Object::Tuple(_) => Value::tuple(self.all(id, path)?),
            Object::List(_) => {
                let items = self.all(id, path)?;
                self.heap.list(items)
            }
            Object::Dict(dict) => {
                let mut pairs = vec![];
                for (key, value) in &dict.items {
                    let key = self.value(*key, path)?;
                    let name = match &key {
                        Value::Str(s) => s.to_string(),
                        _ => pairs.len().to_string(),
                    };
                    pairs.push((key, self.value(*value, &join(path, &name))?));
                }
                Value::Dict(self.heap.add(Cell::Dict(pairs)))
            }
            Object::Opaque(opaque) => self.object(opaque, path)?,
            other => return Err(damaged(format!("attribute `{path}` is {}", other.kind()))),
        })
    }
    fn all(&mut self, id: ObjId, path: &str) -> Result<Vec<Value>, Diag> {
        let list = items(self.pickle, id).unwrap_or_default();
        list.iter().enumerate().map(|(i, id)| self.value(*id, &join(path, &i.to_string()))).collect()
    }
    /// An instance of a class of the archive.
    fn object(&mut self, opaque: &Opaque, path: &str) -> Result<Value, Diag> {
        let class = opaque.callee.to_string();
        let args = items(self.pickle, opaque.args).unwrap_or_default();
        if let ([only], None) = (args, opaque.state)
            && let Some((found, unit)) = self.program.class(&class)?
            && found.base.as_deref() == Some("Enum")
        {
            let value = self.value(*only, path)?;
            let member = found.fields.iter().find(|f| {
                let literal = f.value.as_ref().and_then(literal);
                literal.is_some_and(|l| known_equal(self.heap, &l, &value) == Some(true))
            });
            let name = member.map(|f| &*f.name).ok_or_else(|| {
                damaged(format!("attribute `{path}` is no member of `{class}` ({})", unit.entry))
            })?;
            return Ok(Value::Enum(class.as_str().into(), name.into(), Rc::new(value)));
        }
        let mut fields: Vec<(Rc<str>, Value)> = vec![];
        if let Some(state) = opaque.state
            && let Object::Dict(dict) = self.pickle.get(state)
        {
            for (key, value) in &dict.items {
                let Some(name) = self.pickle.text(*key) else { continue };
                fields.push((name.into(), self.value(*value, &join(path, name))?));
            }
        }
        let instance = Instance { class: class.as_str().into(), path: Some(path.into()), fields };
        Ok(Value::Object(self.heap.add(Cell::Object(instance))))
    }
}

/// The value of a literal.
fn literal(e: &super::ast::Expr) -> Option<Value> {
    use super::ast::Kind;
    Some(match &e.kind {
        Kind::Int(v) => Value::int(*v),
        Kind::Float(v) => Value::Float(*v),
        Kind::Str(v) => Value::text(v),
        _ => return None,
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
