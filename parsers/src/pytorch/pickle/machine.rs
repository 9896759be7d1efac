//! The stack machine of the pickle protocols 0 to 5.

use std::collections::{HashMap, HashSet};

use super::names::classify;
use super::reader::{Reader, bad};
use super::{Dict, GlobalName, MAX_DEPTH, MAX_OBJECTS, ObjId, Object, Opaque, Pickle, PickleError};

/// Newest pickle protocol.
const NEWEST_PROTOCOL: u8 = 5;

/// Objects that every pickle shares, at fixed places of the arena.
const NONE: ObjId = ObjId(0);
pub(super) const FALSE: ObjId = ObjId(1);
pub(super) const TRUE: ObjId = ObjId(2);
const EMPTY_TUPLE: ObjId = ObjId(3);

/// State of one run.
pub(super) struct Machine<'a> {
    pub(super) reader: Reader<'a>,
    /// Offset of the instruction being carried out.
    pub(super) at: usize,
    objects: Vec<Object>,
    stack: Vec<ObjId>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u64, ObjId>,
    foreign: Vec<String>,
    seen: HashSet<String>,
    /// Elements that calls may still copy; keeps copies linear in the length of the stream.
    copies: usize,
}

/// Runs the stream up to its end mark.
pub(super) fn run(stream: &[u8]) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        reader: Reader::new(stream),
        at: 0,
        objects: vec![Object::None, Object::Bool(false), Object::Bool(true), Object::Tuple(Vec::new())],
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        foreign: Vec::new(),
        seen: HashSet::new(),
        copies: stream.len().saturating_mul(4).saturating_add(1024),
    };
    loop {
        machine.at = machine.reader.pos();
        let op = machine.reader.byte()?;
        if op == b'.' {
            break;
        }
        machine.step(op)?;
    }
    let root = machine.pop()?;
    let Machine { objects, foreign, reader, .. } = machine;
    Ok(Pickle { objects, root, foreign, consumed: reader.pos() })
}

impl Machine<'_> {
    pub(super) fn bad(&self, what: impl Into<String>) -> PickleError {
        bad(self.at, what)
    }

    /// Offset of the instruction being carried out.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn get(&self, id: ObjId) -> &Object {
        self.objects.get(id.0 as usize).unwrap_or(&Object::None)
    }

    pub(super) fn add(&mut self, object: Object) -> Result<ObjId, PickleError> {
        if self.objects.len() >= MAX_OBJECTS {
            return Err(PickleError::Shape(format!("it makes more than {MAX_OBJECTS} objects")));
        }
        self.objects.push(object);
        Ok(ObjId((self.objects.len() - 1) as u32))
    }

    /// Accounts for `count` copied elements.
    pub(super) fn charge(&mut self, count: usize) -> Result<(), PickleError> {
        match self.copies.checked_sub(count) {
            Some(left) => self.copies = left,
            None => return Err(PickleError::Shape("it copies far more than its own length".to_owned())),
        }
        Ok(())
    }

    pub(super) fn push(&mut self, object: Object) -> Result<(), PickleError> {
        let id = self.add(object)?;
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<ObjId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.bad("an instruction finds the stack empty"));
        }
        self.stack.pop().ok_or_else(|| self.bad("an instruction finds the stack empty"))
    }

    fn top(&self) -> Result<ObjId, PickleError> {
        self.stack.last().copied().ok_or_else(|| self.bad("an instruction finds the stack empty"))
    }

    /// Everything above the newest mark, which is closed.
    fn pop_mark(&mut self) -> Result<Vec<ObjId>, PickleError> {
        let height = self.marks.pop().ok_or_else(|| self.bad("an instruction finds no mark"))?;
        Ok(self.stack.split_off(height))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<ObjId>, PickleError> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn step(&mut self, op: u8) -> Result<(), PickleError> {
        match op {
            0x80 | 0x95 => self.header(op),
            b'(' => self.mark(),
            b'0' => self.pop_or_unmark(),
            b'1' => self.pop_mark().map(drop),
            b'2' => self.top().map(|id| self.stack.push(id)),
            b'N' => self.shared(NONE),
            0x89 => self.shared(FALSE),
            0x88 => self.shared(TRUE),
            b')' => self.shared(EMPTY_TUPLE),
            b'J' | b'K' | b'M' | b'I' | b'L' | 0x8a | 0x8b => self.integer(op),
            b'G' | b'F' => self.float(op),
            b'X' | 0x8c | 0x8d | b'V' | b'U' | b'T' | b'S' => self.text(op),
            b'B' | b'C' | 0x8e | 0x96 => self.bytes(op),
            b']' | b'l' | b'a' | b'e' => self.list(op),
            b't' | 0x85..=0x87 => self.tuple(op),
            b'}' | b'd' | b's' | b'u' => self.dict(op),
            0x8f..=0x91 => self.set(op),
            b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => self.memo(op),
            b'c' | 0x93 => self.global(op),
            b'R' | 0x81 | 0x92 | b'o' | b'i' => self.construct(op),
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                let storage = self.persistent(id)?;
                self.shared(storage)
            }
            _ => Err(self.bad(format!("instruction 0x{op:02x} is not used by PyTorch files"))),
        }
    }

    fn header(&mut self, op: u8) -> Result<(), PickleError> {
        if op == 0x95 {
            let len = self.reader.uint(8)?;
            return self.reader.expect(len);
        }
        match self.reader.byte()? {
            0..=NEWEST_PROTOCOL => Ok(()),
            other => Err(self.bad(format!("pickle protocol {other}; {NEWEST_PROTOCOL} is the newest"))),
        }
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        if self.marks.len() >= MAX_DEPTH {
            return Err(PickleError::Shape(format!("containers nest deeper than {MAX_DEPTH} levels")));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// POP removes the newest mark when nothing lies above it.
    fn pop_or_unmark(&mut self) -> Result<(), PickleError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    #[expect(clippy::unnecessary_wraps, reason = "one result type for all instructions")]
    pub(super) fn shared(&mut self, id: ObjId) -> Result<(), PickleError> {
        self.stack.push(id);
        Ok(())
    }

    fn list(&mut self, op: u8) -> Result<(), PickleError> {
        let items = match op {
            b']' => return self.push(Object::List(Vec::new())),
            b'l' => {
                let items = self.pop_mark()?;
                return self.push(Object::List(items));
            }
            b'a' => vec![self.pop()?],
            _ => self.pop_mark()?,
        };
        match self.top_mut()? {
            Object::List(list) => list.extend(items),
            _ => return Err(self.bad("items are appended to something that is no list")),
        }
        Ok(())
    }

    fn tuple(&mut self, op: u8) -> Result<(), PickleError> {
        let items = match op {
            b't' => self.pop_mark()?,
            _ => self.pop_many(usize::from(op - 0x84))?,
        };
        self.push(Object::Tuple(items))
    }

    fn dict(&mut self, op: u8) -> Result<(), PickleError> {
        let items = match op {
            b'}' => return self.push(Object::Dict(Box::default())),
            b's' => self.pop_many(2)?,
            _ => self.pop_mark()?,
        };
        if items.len() % 2 != 0 {
            return Err(self.bad("a dict has a key without a value"));
        }
        let pairs: Vec<_> = items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        for &(key, _) in &pairs {
            if matches!(self.get(key), Object::List(_) | Object::Dict(_) | Object::Set(_)) {
                return Err(self.bad(format!("a dict key is {}, which no dict holds", self.get(key).kind())));
            }
        }
        if op == b'd' {
            return self.push(Object::Dict(Box::new(Dict { items: pairs, attributes: None })));
        }
        match self.top_mut()? {
            Object::Dict(dict) => dict.items.extend(pairs),
            _ => return Err(self.bad("items are set on something that is no dict")),
        }
        Ok(())
    }

    fn set(&mut self, op: u8) -> Result<(), PickleError> {
        if op == 0x8f {
            return self.push(Object::Set(Vec::new()));
        }
        let items = self.pop_mark()?;
        if op == 0x91 {
            return self.push(Object::Set(items));
        }
        match self.top_mut()? {
            Object::Set(set) => set.extend(items),
            _ => return Err(self.bad("items are added to something that is no set")),
        }
        Ok(())
    }

    fn memo(&mut self, op: u8) -> Result<(), PickleError> {
        let key = match op {
            b'q' | b'h' => self.reader.uint(1)?,
            b'r' | b'j' => self.reader.uint(4)?,
            b'p' | b'g' => self.reader.line_number()?,
            _ => self.memo.len() as u64,
        };
        if matches!(op, b'h' | b'j' | b'g') {
            let id = self.memo.get(&key).copied();
            let id = id.ok_or_else(|| self.bad(format!("object {key} is used before it is made")))?;
            return self.shared(id);
        }
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn global(&mut self, op: u8) -> Result<(), PickleError> {
        let (module, name) = if op == b'c' {
            (self.reader.line_text()?.into(), self.reader.line_text()?.into())
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.get(module), self.get(name)) {
                (Object::Str(module), Object::Str(name)) => (module.clone(), name.clone()),
                _ => return Err(self.bad("a name is not made of two texts")),
            }
        };
        self.charge(usize::from(op != b'c') * (module.len() + name.len()))?;
        let object = self.named(GlobalName { module, name });
        self.push(object)
    }

    /// A dtype, or the name itself. Unlisted names are noted.
    fn named(&mut self, name: GlobalName) -> Object {
        match classify(&name) {
            Some(super::names::Known::Dtype(dtype)) => return Object::Dtype(dtype),
            Some(_) => {}
            None => {
                let full = name.to_string();
                if self.seen.insert(full.clone()) {
                    self.foreign.push(full);
                }
            }
        }
        Object::Global(Box::new(name))
    }

    /// `REDUCE`, `NEWOBJ`, `NEWOBJ_EX`, `OBJ` and `INST`: an object made by a callee from arguments.
    fn construct(&mut self, op: u8) -> Result<(), PickleError> {
        let kwargs = if op == 0x92 { Some(self.pop()?) } else { None };
        let (callee, args) = match op {
            b'i' => {
                let (module, name) = (self.reader.line_text()?.into(), self.reader.line_text()?.into());
                let named = self.named(GlobalName { module, name });
                let args = self.pop_mark()?;
                (self.add(named)?, self.add(Object::Tuple(args))?)
            }
            b'o' => {
                let mut items = self.pop_mark()?;
                if items.is_empty() {
                    return Err(self.bad("an object without a class"));
                }
                let class = items.remove(0);
                (class, self.add(Object::Tuple(items))?)
            }
            _ => {
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        let made = self.make(callee, args, kwargs)?;
        self.shared(made)
    }

    fn make(&mut self, callee: ObjId, args: ObjId, kwargs: Option<ObjId>) -> Result<ObjId, PickleError> {
        let Object::Global(callee) = self.get(callee) else {
            return Err(self.bad(format!("{} is called as a function", self.get(callee).kind())));
        };
        let callee = callee.clone();
        // TorchScript writes a member of an enumeration as a call whose argument stands in no tuple.
        let alone = callee.module.starts_with("__torch__") && !matches!(self.get(args), Object::Tuple(_));
        let args = if alone { self.add(Object::Tuple(vec![args]))? } else { args };
        let Object::Tuple(list) = self.get(args) else {
            return Err(self.bad(format!("a call with {} for arguments", self.get(args).kind())));
        };
        let list = list.clone();
        self.charge(list.len() + callee.module.len() + callee.name.len())?;
        let plain = kwargs.is_none_or(|id| matches!(self.get(id), Object::Dict(d) if d.items.is_empty()));
        if plain && let Some(made) = self.call(&callee, &list)? {
            return Ok(made);
        }
        self.add(Object::Opaque(Box::new(Opaque { callee: *callee, args, kwargs, state: None })))
    }

    /// BUILD: state set on the object below it.
    fn build(&mut self) -> Result<(), PickleError> {
        let state = self.pop()?;
        match self.top_mut()? {
            Object::Dict(dict) if dict.attributes.is_none() => dict.attributes = Some(state),
            Object::Opaque(opaque) if opaque.state.is_none() => opaque.state = Some(state),
            other => {
                let kind = other.kind();
                return Err(self.bad(format!("state is set on {kind}")));
            }
        }
        Ok(())
    }

    fn top_mut(&mut self) -> Result<&mut Object, PickleError> {
        let id = self.top()?;
        // The shared objects at the start of the arena are never containers that instructions change.
        let slot = id.0 as usize;
        let at = self.at;
        self.objects.get_mut(slot).ok_or_else(|| bad(at, "an instruction finds the stack empty"))
    }
}
