//! Operators on lists, tuples and dictionaries.
use super::Eval;
use super::expr::position;
use crate::pytorch::lift::cx::{R, Size, V};
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::value::{Cell, Ref, Value, known_equal};

/// Most elements of a list.
const MAX_LIST: usize = 1 << 20;

type Named = Vec<(Box<str>, Value)>;

impl Eval<'_> {
    /// Operators on lists, dictionaries and texts; nothing for other operands.
    pub(super) fn list_op(&mut self, name: &str, args: &[Value], named: &Named, at: Pos) -> R<Option<Value>> {
        if let Some((Value::List(r) | Value::Dict(r), more)) = args.split_first() {
            self.check_nesting(more, Some(*r), at)?;
        }
        match args.first() {
            Some(Value::List(_)) if self.heap.stacked(&args[0]).is_some() => {
                return self.stacked_op(name, args, named, at);
            }
            Some(Value::List(r)) if self.heap.elements(&args[0]).is_some() => {
                if let Some(v) = self.on_list(name, *r, args, at)? {
                    return Ok(Some(v));
                }
            }
            Some(Value::Dict(r)) => return self.on_dict(name, *r, args, at),
            _ => {}
        }
        if let Some(v) = self.text_op(name, args, at)? {
            return Ok(Some(v));
        }
        if name == "dict" {
            return Ok(Some(self.new_dict(args)));
        }
        let Some(items) = args.first().and_then(|v| self.heap.elements(v)).map(<[Value]>::to_vec) else {
            return Ok(None);
        };
        self.on_elements(name, items, args, at)
    }
    /// Operators that change a list.
    fn on_list(&mut self, name: &str, r: Ref, args: &[Value], at: Pos) -> R<Option<Value>> {
        let len = self.heap.elements(&args[0]).map_or(0, <[Value]>::len);
        let index = match args.get(1) {
            Some(Value::Int(Size::Known(i))) => Some(*i),
            _ => None,
        };
        if len > MAX_LIST {
            return self.refuse(at, format!("a list of more than {MAX_LIST} elements"));
        }
        let more = match (name, args.get(1)) {
            ("extend" | "add_", Some(v)) => self.heap.elements(v).map(<[Value]>::to_vec),
            _ => None,
        };
        let by_position = |i: Option<i64>| i.and_then(|i| position(i, len));
        let Some(list) = self.heap.list_mut(r) else { return Ok(None) };
        match (name, args) {
            ("append", [_, v]) => list.push(v.clone()),
            ("extend" | "add_", [_, _]) => match more {
                Some(more) => list.extend(more),
                None => return self.refuse(at, "a list extended by something that is no list"),
            },
            ("insert", [_, _, v]) => {
                let Some(i) = index else { return self.refuse(at, "a computed position in a list") };
                let i = if i < 0 { i.saturating_add(len as i64).max(0) } else { i.min(len as i64) };
                list.insert(i as usize, v.clone());
            }
            ("pop", _) => {
                let i = if args.len() < 2 { Some(-1) } else { index };
                return match by_position(i) {
                    Some(i) => Ok(Some(list.remove(i))),
                    None => self.raise(at, "IndexError: pop index out of range".into()),
                };
            }
            ("_set_item", [_, _, v]) => match by_position(index) {
                Some(i) => list[i] = v.clone(),
                None => return self.refuse(at, "a position outside a list, or a computed one, is set"),
            },
            ("Delete", [_, _]) => match by_position(index) {
                Some(i) => {
                    list.remove(i);
                }
                None => return self.refuse(at, "a position outside a list, or a computed one, is deleted"),
            },
            ("clear", [_]) => list.clear(),
            ("reverse", [_]) => list.reverse(),
            ("sort", _) => {
                let items = list.clone();
                let descending = matches!(args.get(1), Some(Value::Bool(true)));
                match sorted(items, descending) {
                    Some(items) => {
                        if let Some(list) = self.heap.list_mut(r) {
                            *list = items;
                        }
                    }
                    None => return self.refuse(at, "computed values are sorted"),
                }
            }
            ("remove", [_, v]) => {
                let items = list.clone();
                match items.iter().position(|x| known_equal(&self.heap, x, v) == Some(true)) {
                    Some(i) => {
                        if let Some(list) = self.heap.list_mut(r) {
                            list.remove(i);
                        }
                    }
                    None => return self.raise(at, "ValueError: list.remove(x): x not in list".into()),
                }
                return Ok(Some(Value::None));
            }
            _ => return Ok(None),
        }
        Ok(Some(args[0].clone()))
    }
    /// Operators that read a list or tuple.
    fn on_elements(&mut self, name: &str, items: Vec<Value>, args: &[Value], at: Pos) -> R<Option<Value>> {
        let second = args.get(1);
        Ok(Some(match (name, second) {
            ("len", _) => Value::int(items.len() as i64),
            ("list" | "copy", None) => self.heap.list(items),
            ("__getitem__" | "TupleIndex", Some(i)) => return self.item(&args[0], i, at).map(Some),
            ("slice", _) => {
                let part = self.sliced(&items, &args[1..], at)?;
                if matches!(args[0], Value::Tuple(..)) { Value::tuple(part) } else { self.heap.list(part) }
            }
            ("add", Some(more)) => match self.heap.elements(more).map(<[Value]>::to_vec) {
                Some(more) => self.heap.list(items.into_iter().chain(more).collect()),
                None => return Ok(None),
            },
            ("mul" | "mul_", Some(Value::Int(Size::Known(n)))) => {
                let n = (*n).max(0) as usize;
                if items.len().saturating_mul(n) > MAX_LIST {
                    return self.refuse(at, format!("a list of more than {MAX_LIST} elements"));
                }
                let many = (0..n).flat_map(|_| items.iter().cloned()).collect();
                self.heap.list(many)
            }
            ("__contains__", Some(v)) => return self.contains(&items, v, at).map(Some),
            ("index", Some(v @ (Value::Int(_) | Value::Str(_) | Value::Float(_) | Value::Bool(_)))) => {
                match items.iter().position(|x| known_equal(&self.heap, x, v) == Some(true)) {
                    Some(i) => Value::int(i as i64),
                    None => return self.raise(at, "ValueError: value is not in list".into()),
                }
            }
            ("count", Some(v)) => {
                let equal = items.iter().filter(|x| known_equal(&self.heap, x, v) == Some(true)).count();
                Value::int(equal as i64)
            }
            ("sorted", _) => match sorted(items, matches!(second, Some(Value::Bool(true)))) {
                Some(items) => self.heap.list(items),
                None => return self.refuse(at, "computed values are sorted"),
            },
            ("min" | "max" | "sum", None)
                if items.iter().all(|v| !matches!(v, Value::Tensor(_) | Value::Weight(_))) =>
            {
                return self.folded_list(name, items, at).map(Some);
            }
            ("all" | "any", None)
                if items.iter().all(|v| matches!(v, Value::Bool(_) | Value::Int(_) | Value::BoolV(_))) =>
            {
                let op = if name == "all" { "aten::__and__" } else { "aten::__or__" };
                let mut acc = Value::Bool(name == "all");
                for v in items {
                    let v = self.make_bool(&v, at)?;
                    acc = self.operator(op, vec![acc, v], vec![], at)?;
                }
                acc
            }
            _ => return Ok(None),
        }))
    }
    /// The least, greatest, or sum of the elements.
    fn folded_list(&mut self, name: &str, items: Vec<Value>, at: Pos) -> R<Value> {
        let op = match name {
            "sum" => "aten::add".to_owned(),
            _ => format!("prim::{name}"),
        };
        let mut items = items.into_iter();
        let Some(mut acc) = items.next() else {
            return if name == "sum" {
                Ok(Value::int(0))
            } else {
                self.raise(at, "ValueError: empty sequence".into())
            };
        };
        for v in items {
            acc = self.operator(&op, vec![acc, v], vec![], at)?;
        }
        Ok(acc)
    }
    fn contains(&mut self, items: &[Value], v: &Value, at: Pos) -> R<Value> {
        let found: Vec<Option<bool>> = items.iter().map(|x| known_equal(&self.heap, x, v)).collect();
        if found.contains(&Some(true)) {
            return Ok(Value::Bool(true));
        }
        let mut any = Value::Bool(false);
        for (x, known) in items.iter().zip(found) {
            if known.is_none() {
                let one = self.operator("aten::eq", vec![x.clone(), v.clone()], vec![], at)?;
                any = self.operator("aten::__or__", vec![any, one], vec![], at)?;
            }
        }
        Ok(any)
    }
    /// Elements `start:end:step` of `items`; each may be none or missing.
    pub(super) fn sliced(&mut self, items: &[Value], parts: &[Value], at: Pos) -> R<Vec<Value>> {
        let mut known = [None; 3];
        for (slot, v) in known.iter_mut().zip(parts) {
            *slot = match self.folded(v.clone()) {
                Value::None => None,
                Value::Int(Size::Known(v)) => Some(v),
                _ => return self.refuse(at, "a computed position in a list"),
            };
        }
        let [start, end, step] = known;
        let (len, step) = (items.len() as i64, step.unwrap_or(1));
        if step == 0 {
            return self.raise(at, "ValueError: slice step cannot be zero".into());
        }
        let clip =
            |v: i64, low: i64, high: i64| (if v < 0 { v.saturating_add(len) } else { v }).clamp(low, high);
        let (mut i, stop) = if step > 0 {
            (start.map_or(0, |v| clip(v, 0, len)), end.map_or(len, |v| clip(v, 0, len)))
        } else {
            (start.map_or(len - 1, |v| clip(v, -1, len - 1)), end.map_or(-1, |v| clip(v, -1, len - 1)))
        };
        let mut out = vec![];
        while (step > 0 && i < stop) || (step < 0 && i > stop) {
            if let Some(v) = usize::try_from(i).ok().and_then(|i| items.get(i)) {
                out.push(v.clone());
            }
            i = i.saturating_add(step);
        }
        Ok(out)
    }
    fn new_dict(&mut self, args: &[Value]) -> Value {
        let mut items = vec![];
        if let Some(Value::Dict(r)) = args.first() {
            items = self.heap.dict(*r).cloned().unwrap_or_default();
        } else if let Some(pairs) = args.first().and_then(|v| self.heap.elements(v)) {
            for pair in pairs {
                if let Some([key, value]) = self.heap.elements(pair) {
                    items.push((key.clone(), value.clone()));
                }
            }
        }
        Value::Dict(self.heap.add(Cell::Dict(items)))
    }
    fn on_dict(&mut self, name: &str, r: Ref, args: &[Value], at: Pos) -> R<Option<Value>> {
        let items = self.heap.dict(r).cloned().unwrap_or_default();
        let found = args.get(1).and_then(|key| self.heap.find(r, key));
        Ok(Some(match (name, args) {
            ("len", _) => Value::int(items.len() as i64),
            ("keys", _) => {
                let keys = items.into_iter().map(|(k, _)| k).collect();
                self.heap.list(keys)
            }
            ("values", _) => {
                let values = items.into_iter().map(|(_, v)| v).collect();
                self.heap.list(values)
            }
            ("items", _) => {
                let pairs = items.into_iter().map(|(k, v)| Value::tuple(vec![k, v])).collect();
                self.heap.list(pairs)
            }
            ("__contains__", [_, _]) => Value::Bool(found.is_some()),
            ("__getitem__", [_, key]) => return self.item(&args[0], key, at).map(Some),
            ("get" | "pop" | "setdefault", [_, _, ..]) => {
                let value = found.and_then(|i| items.get(i)).map(|(_, v)| v.clone());
                let missing = args.get(2).cloned().unwrap_or(Value::None);
                if let (Some(list), Some(i), "pop") = (self.heap.dict_mut(r), found, name) {
                    list.remove(i);
                }
                if let (Some(list), None, "setdefault") = (self.heap.dict_mut(r), found, name) {
                    list.push((args[1].clone(), missing.clone()));
                }
                value.unwrap_or(missing)
            }
            ("_set_item", [_, key, value]) => {
                if let Some(list) = self.heap.dict_mut(r) {
                    match found {
                        Some(i) => list[i].1 = value.clone(),
                        None => list.push((key.clone(), value.clone())),
                    }
                }
                Value::None
            }
            ("Delete", [_, _]) => {
                if let (Some(list), Some(i)) = (self.heap.dict_mut(r), found) {
                    list.remove(i);
                }
                Value::None
            }
            ("update", [_, Value::Dict(other)]) => {
                for (key, value) in self.heap.dict(*other).cloned().unwrap_or_default() {
                    self.on_dict("_set_item", r, &[args[0].clone(), key, value], at)?;
                }
                Value::None
            }
            ("clear", _) => {
                if let Some(list) = self.heap.dict_mut(r) {
                    list.clear();
                }
                Value::None
            }
            ("copy" | "dict", _) => Value::Dict(self.heap.add(Cell::Dict(items))),
            _ => return Ok(None),
        }))
    }

    /// Operators on a list whose elements a loop has stacked.
    fn stacked_op(&mut self, name: &str, args: &[Value], named: &Named, at: Pos) -> R<Option<Value>> {
        let Some(v) = args.first().and_then(|l| self.heap.stacked(l)) else { return Ok(None) };
        let tensor = self.of_ir(v, super::merge::Sort::Tensor);
        let given = named.iter().find(|(n, _)| &**n == "dim").map(|(_, v)| v).or(args.get(1));
        let dim = match given {
            None => 0,
            Some(Value::Int(Size::Known(d))) => *d,
            Some(_) => return self.refuse(at, "a computed axis"),
        };
        match name {
            "len" => self.operator("aten::size", vec![tensor, Value::int(0)], vec![], at).map(Some),
            "__getitem__" => match args.get(1) {
                Some(i) => self.stacked_item(&args[0], i, at).map(Some),
                None => Ok(None),
            },
            "stack" => {
                let rank = self.cx.rank(v)? as i64;
                let to = if dim < 0 { dim + rank } else { dim };
                self.operator("aten::movedim", vec![tensor, Value::int(0), Value::int(to)], vec![], at)
                    .map(Some)
            }
            "cat" | "concat" => {
                // Iterations become the outer part of the axis.
                let rank = self.cx.rank(v)? as i64 - 1;
                let to = if dim < 0 { dim + rank } else { dim };
                let moved =
                    self.operator("aten::movedim", vec![tensor, Value::int(0), Value::int(to)], vec![], at)?;
                let range = vec![moved, Value::int(to), Value::int(to + 1)];
                self.operator("aten::flatten", range, vec![], at).map(Some)
            }
            _ => self.refuse(at, format!("`{name}` of a list that a loop of computed length fills")),
        }
    }
    /// An element of a list whose elements a loop has stacked.
    pub(super) fn stacked_item(&mut self, list: &Value, index: &Value, at: Pos) -> R<Value> {
        let Some(v) = self.heap.stacked(list) else { return self.refuse(at, "an element of no list") };
        let tensor = self.of_ir(v, super::merge::Sort::Tensor);
        self.operator("aten::select", vec![tensor, Value::int(0), index.clone()], vec![], at)
    }
    /// A list whose elements a loop has stacked, as a list of tensors: not known how many.
    pub(super) fn unstacked<T>(&mut self, _: V) -> R<T> {
        self.refuse(0, "a list that a loop of computed length fills, as an argument")
    }
    /// The element at a computed position: possible where all are numbers or alike tensors.
    pub(super) fn computed_item(&mut self, list: &Value, index: &Size, at: Pos) -> R<Value> {
        let items = self.heap.elements(list).unwrap_or_default().to_vec();
        if items.is_empty() {
            return self.raise(at, "IndexError: list index out of range".into());
        }
        let index = Value::Int(index.clone());
        if items.iter().all(|v| matches!(v, Value::Int(_))) {
            let sizes: Vec<Size> = items
                .iter()
                .filter_map(|v| if let Value::Int(s) = v { Some(s.clone()) } else { None })
                .collect();
            let all = self.cx.shape_value(&sizes)?;
            let all = self.of_ir(all, super::merge::Sort::Tensor);
            let one = self.operator("aten::select", vec![all, Value::int(0), index], vec![], at)?;
            return self.make_int(&one, at);
        }
        if items.iter().all(|v| matches!(v, Value::Tensor(_) | Value::Weight(_))) {
            let list = self.heap.list(items);
            let all = self.operator("aten::stack", vec![list], vec![], at)?;
            return self.operator("aten::select", vec![all, Value::int(0), index], vec![], at);
        }
        self.refuse(at, "an element at a computed position of a list")
    }
}

/// Known numbers or texts in order.
fn sorted(mut items: Vec<Value>, descending: bool) -> Option<Vec<Value>> {
    let number = |v: &Value| match v {
        Value::Int(Size::Known(v)) => Some(*v as f64),
        Value::Float(v) => Some(*v),
        _ => None,
    };
    if items.iter().all(|v| number(v).is_some()) {
        items.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
    } else if items.iter().all(|v| matches!(v, Value::Str(_))) {
        items.sort_by(|a, b| match (a, b) {
            (Value::Str(a), Value::Str(b)) => a.cmp(b),
            _ => std::cmp::Ordering::Equal,
        });
    } else {
        return None;
    }
    if descending {
        items.reverse();
    }
    Some(items)
}
