//! Outputs of a program, and the state that it keeps between calls.
use super::merge::Sort;
use super::{Eval, Slot};
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::cx::{R, Size, V};
use crate::pytorch::lift::pairs::{self, complex_interface};
use crate::pytorch::torchscript::Options;
use crate::pytorch::torchscript::ast::Func;
use crate::pytorch::torchscript::interface::symbol;
use crate::pytorch::torchscript::program::Unit;
use crate::pytorch::torchscript::run::State;
use crate::pytorch::torchscript::value::Value;
use hoist_ir::diag::{Diag, Severity};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::types::{TensorType, Type};
use std::rc::Rc;

/// Most outputs.
const MAX_OUTPUTS: usize = 10_000;
/// Most exceptions that are listed as assumed not to be raised.
const MAX_LISTED: usize = 5;

impl Eval<'_> {
    /// Carries out `forward`.
    pub(in crate::pytorch::torchscript) fn run_forward(
        &mut self,
        forward: &Rc<Func>,
        unit: Rc<Unit>,
        args: Vec<Value>,
    ) -> R<Value> {
        let module = Rc::from("");
        self.call(forward, unit, module, args, &[], forward.pos)
    }
    /// Remarks for the user.
    pub(in crate::pytorch::torchscript) fn remarks(&mut self, state: &State) -> Vec<Diag> {
        let mut out = std::mem::take(&mut self.cx.warnings);
        if !self.assumed.is_empty() {
            let lines: Vec<&str> = self.assumed.iter().take(MAX_LISTED).map(String::as_str).collect();
            let more = self.assumed.len().saturating_sub(MAX_LISTED);
            let mut d = Diag::warning(
                "E0602",
                "the converted model does not check what the program checks at run time: its exceptions are assumed not to be raised",
            )
            .note(format!("raised at {}", lines.join(", ")));
            if more > 0 {
                d = d.note(format!("and at {more} more places"));
            }
            out.push(d);
        }
        if !self.defaulted.is_empty() {
            let m = format!(
                "the arguments {} are no inputs: they have their defaults",
                self.defaulted.join(", ")
            );
            out.push(Diag { severity: Severity::Note, ..Diag::error("E0603", m) });
        }
        let names = self.state_names(state);
        if !names.is_empty() {
            let m = format!(
                "the model keeps state between calls: input and output `.next` of {}",
                names.join(", ")
            );
            let note = Diag { severity: Severity::Note, ..Diag::error("E0302", m) };
            let note = note.hint(
                "feed each `.next` to its input in the next call; --state frozen begins each call with the saved values",
            );
            out.push(if self.initial.is_empty() { note } else { note.note(self.initial(state)) });
        }
        out
    }
    fn state_names(&self, state: &State) -> Vec<String> {
        let mut names: Vec<String> = state.slots.keys().map(|s| self.slot_name(s)).collect();
        names.extend(state.weights.keys().filter_map(|i| Some(self.weights.get(*i)?.name.to_string())));
        names
    }
    /// Key and value of the model property that describes the state; none without state.
    pub(in crate::pytorch::torchscript) fn property(&self, state: &State) -> Option<(String, String)> {
        let zero = |slot: Option<&Slot>, weight: Option<usize>| match (
            slot.and_then(|s| self.initial.get(s)),
            weight,
        ) {
            (Some(text), _) => matches!(text.as_str(), "0" | "0.0" | "False") || text.contains("[0]"),
            (None, Some(i)) => {
                self.weights.read(i).is_ok_and(|t| t.to_f64s().is_ok_and(|v| v.iter().all(|x| *x == 0.0)))
            }
            _ => false,
        };
        let keys = state.slots.keys().map(|s| zero(Some(s), None));
        let keys = keys.chain(state.weights.keys().map(|i| zero(None, Some(*i))));
        let one = |(name, zero): (&String, bool)| serde_json::json!({"input": name, "output": format!("{name}.next"), "initial": if zero { "zeros" } else { "saved" }});
        let names = self.state_names(state);
        let all: Vec<_> = names.iter().zip(keys).map(one).collect();
        (!all.is_empty())
            .then(|| (hoist_formats::state::PROPERTY.to_owned(), serde_json::Value::from(all).to_string()))
    }
    /// What state holds before the first call.
    fn initial(&self, state: &State) -> String {
        let mut parts = vec![];
        for (slot, ty) in &state.slots {
            let text = self.initial.get(slot).cloned().unwrap_or_default();
            let odd = if ty.is_some() {
                " (which its input cannot hold: zeros stand for it where the program allows)"
            } else {
                ""
            };
            parts.push(format!("{} = {text}{odd}", self.slot_name(slot)));
        }
        if parts.is_empty() {
            "before the first call they are as in the file".into()
        } else {
            format!("before the first call: {}", parts.join(", "))
        }
    }
    fn slot_name(&self, slot: &Slot) -> String {
        let path = self.heap.instance(slot.0).and_then(|i| i.path.clone()).unwrap_or_default();
        if path.is_empty() { slot.1.to_string() } else { format!("{path}.{}", slot.1) }
    }
    /// Defines the graph's outputs for what `forward` returns.
    pub(in crate::pytorch::torchscript) fn outputs(&mut self, value: &Value) -> R<()> {
        let mut leaves = vec![];
        self.leaves(value, "output", &mut leaves, 0)?;
        if leaves.is_empty() {
            return self.refuse(0, "the program returns no tensor");
        }
        let mut taken = std::collections::BTreeSet::new();
        for (name, v) in leaves {
            let mut unique = name.clone();
            let mut n = 0;
            while !taken.insert(unique.clone()) {
                n += 1;
                unique = format!("{name}_{n}");
            }
            if self.cx.is_complex(v) {
                return Err(complex_interface("output", &unique));
            }
            self.cx.graph.add_output(&unique, v);
        }
        Ok(())
    }
    fn leaves(&mut self, value: &Value, name: &str, out: &mut Vec<(String, V)>, depth: usize) -> R<()> {
        if depth > 32 || out.len() > MAX_OUTPUTS {
            return self.refuse(0, "outputs nest too deeply, or there are too many");
        }
        if self.heap.stacked(value).is_some() {
            return self.refuse(0, format!("output `{name}` is a list of computed length"));
        }
        let items = self.heap.elements(value).map(<[Value]>::to_vec);
        match value {
            Value::Tuple(Some(class), _) => {
                let fields: Vec<String> = class.fields.iter().map(|f| f.name.to_string()).collect();
                for (field, v) in fields.iter().zip(items.unwrap_or_default()) {
                    let name = if name == "output" { field.clone() } else { format!("{name}_{field}") };
                    self.leaves(&v, &name, out, depth + 1)?;
                }
            }
            Value::Tuple(..) | Value::List(_) => {
                let items = items.unwrap_or_default();
                let single = items.len() == 1;
                for (i, v) in items.iter().enumerate() {
                    let name = if single { name.to_owned() } else { format!("{name}_{i}") };
                    self.leaves(v, &name, out, depth + 1)?;
                }
            }
            Value::Dict(r) => {
                for (key, v) in self.heap.dict(*r).cloned().unwrap_or_default() {
                    let key = self.shown(&key);
                    let name = if name == "output" { key } else { format!("{name}_{key}") };
                    self.leaves(&v, &name, out, depth + 1)?;
                }
            }
            Value::Object(r) => {
                let fields = self.heap.instance(*r).map(|i| i.fields.clone()).unwrap_or_default();
                for (field, v) in fields {
                    self.leaves(&v, &format!("{name}_{field}"), out, depth + 1)?;
                }
            }
            Value::Int(s) => {
                let v = self.cx.size_scalar(s)?;
                out.push((name.to_owned(), v));
            }
            Value::Float(f) => {
                let v = self.cx.num_of(DType::F32, *f)?;
                out.push((name.to_owned(), v));
            }
            Value::FloatV(v) => out.push((name.to_owned(), *v)),
            Value::Bool(_) | Value::BoolV(_) => {
                let v = self.as_ir(value, Sort::Bool, 0)?;
                out.push((name.to_owned(), v));
            }
            Value::Tensor(_) | Value::Weight(_) => {
                let v = self.as_ir(value, Sort::Tensor, 0)?;
                if self.cx.is_complex(v) {
                    return Err(pairs::complex_interface("output", name));
                }
                out.push((name.to_owned(), v));
            }
            Value::None | Value::Str(_) | Value::Device(_) | Value::Enum(..) => {}
            other => return self.refuse(0, format!("output `{name}` is {}", other.kind())),
        }
        Ok(())
    }

    /// Makes state an input of the graph.
    pub(in crate::pytorch::torchscript) fn states_in(&mut self, state: &State, options: &Options) -> R<()> {
        self.freeze = options.freeze_state;
        for (slot, ty) in &state.slots {
            let name = self.slot_name(slot);
            let Some(initial) = self.heap.instance(slot.0).and_then(|i| i.field(&slot.1)).cloned() else {
                return self.refuse(0, format!("the state `{name}` has no initial value"));
            };
            let value = self.state_input(&name, &initial, ty.as_ref())?;
            let text = match &initial {
                Value::Weight(i) => self
                    .weights
                    .get(*i)
                    .map(|w| format!("sizes {:?}", w.tensor.view.sizes))
                    .unwrap_or_default(),
                other => self.shown(other),
            };
            self.initial.insert(slot.clone(), text);
            if let Some(instance) = self.heap.instance_mut(slot.0)
                && let Some((_, v)) = instance.fields.iter_mut().find(|(n, _)| *n == slot.1)
            {
                *v = value;
            }
        }
        for (i, ty) in &state.weights {
            let Some(name) = self.weights.get(*i).map(|w| w.name.to_string()) else { continue };
            let value = self.state_input(&name, &Value::Weight(*i), ty.as_ref())?;
            self.state_weights.insert(*i, value.clone());
            let replace = |v: &Value| match v {
                Value::Weight(w) if w == i => value.clone(),
                other => other.clone(),
            };
            let count = self.heap.len();
            self.heap.map(count, &mut |v| replace(v));
            self.constants.iter_mut().for_each(|v| *v = replace(v));
        }
        Ok(())
    }
    fn state_input(&mut self, name: &str, initial: &Value, ty: Option<&Type>) -> R<Value> {
        let scalar = |dtype| Type::from(TensorType::fixed(dtype, &[]));
        Ok(match initial {
            Value::Weight(i) => {
                let ty = match ty {
                    Some(ty) => ty.clone(),
                    None => self.weights.read(*i)?.ty().into(),
                };
                let v = self.cx.graph.add_input(name, ty);
                Value::Tensor(self.cx.new_tensor(v, Owner::Local))
            }
            Value::Int(_) => {
                let v = self.cx.graph.add_input(name, scalar(DType::I64));
                Value::Int(Size::Value(self.cx.unsqueeze(v, &[0])?))
            }
            Value::Float(_) => Value::FloatV(self.cx.graph.add_input(name, scalar(DType::F64))),
            Value::Bool(_) => Value::BoolV(self.cx.graph.add_input(name, scalar(DType::Bool))),
            other => {
                return Err(Diag::error("E0302", format!("the model keeps `{name}` between calls, which is {}", other.kind()))
                    .hint("only tensors and numbers can be kept as inputs and outputs; --freeze-state converts a single call"));
            }
        })
    }
    /// Makes state an output of the graph.
    pub(in crate::pytorch::torchscript) fn states_out(
        &mut self,
        state: &State,
        retyped: &mut State,
        options: &Options,
    ) -> R<()> {
        if options.freeze_state {
            return Ok(());
        }
        for slot in state.slots.keys() {
            let name = self.slot_name(slot);
            let Some(value) = self.heap.instance(slot.0).and_then(|i| i.field(&slot.1)).cloned() else {
                continue;
            };
            if let Some(ty) = self.state_output(&name, &value)? {
                retyped.slots.insert(slot.clone(), Some(ty));
            }
        }
        for i in state.weights.keys() {
            let name = self.weights.get(*i).map(|w| w.name.to_string()).unwrap_or_default();
            let Some(value) = self.state_weights.get(i).cloned() else { continue };
            if let Some(ty) = self.state_output(&name, &value)? {
                retyped.weights.insert(*i, Some(ty));
            }
        }
        Ok(())
    }
    /// Adds the output; gives the type that the input must have for what is fed back.
    fn state_output(&mut self, name: &str, value: &Value) -> R<Option<Type>> {
        let v = match value {
            Value::Tensor(_) | Value::Weight(_) => self.as_ir(value, Sort::Tensor, 0)?,
            Value::Int(s) => self.cx.size_scalar(s)?,
            Value::Float(f) => self.cx.num_of(DType::F64, *f)?,
            Value::FloatV(v) => self.cx.cast(*v, DType::F64)?,
            Value::Bool(_) | Value::BoolV(_) => self.as_ir(value, Sort::Bool, 0)?,
            other => return self.refuse(0, format!("the state `{name}` becomes {}", other.kind())),
        };
        if self.cx.is_complex(v) {
            return self.refuse(0, format!("the state `{name}` becomes complex"));
        }
        self.cx.graph.add_output(&format!("{name}.next"), v);
        let input = self
            .cx
            .graph
            .inputs()
            .iter()
            .copied()
            .find(|i| self.cx.graph.value(*i).name.as_deref() == Some(name));
        let Some(input) = input else { return Ok(None) };
        let (before, after) = (self.type_of(input), self.type_of(v));
        let (Some(b), Some(a)) = (before.as_tensor(), after.as_tensor()) else { return Ok(None) };
        if b.dtype != a.dtype {
            return self.refuse(
                0,
                format!("the state `{name}` changes its element type from {} to {}", b.dtype, a.dtype),
            );
        }
        let wanted = match (b.rank() == a.rank(), before.join(&after)) {
            (true, Type::Tensor(joined)) => joined,
            // Sizes before the first call are no guide when the rank is another.
            _ => a.clone(),
        };
        let named = |(i, d): (usize, &Dim)| {
            if *d == Dim::Unknown { Dim::symbol(&symbol(name, i)) } else { d.clone() }
        };
        let shape = wanted.shape.as_ref().map(|s| s.iter().enumerate().map(named).collect());
        let wanted: Type = TensorType { dtype: wanted.dtype, shape }.into();
        Ok((wanted != before).then_some(wanted))
    }
}
