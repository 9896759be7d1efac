//! Loops whose number of iterations is computed: the body of an operator that carries what changes.
//!
//! What changes, and of which types, is found by carrying out the body until nothing new turns up.
use super::branch::{Snapshot, inside};
use super::merge::{Item, Merged, Sort, same, same_cell};
use super::{Eval, Flow};
use crate::pytorch::lift::body::{Around, Body, Seen};
use crate::pytorch::lift::cx::{R, Size, V};
use crate::pytorch::torchscript::ast::{Expr, Pos, Stmt};
use crate::pytorch::torchscript::value::{Cell, Ref, Value};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use std::collections::BTreeMap;

/// Most times a body is carried out to find what it carries.
const MAX_ROUNDS: usize = 12;

/// What makes a loop go on.
enum Head<'a> {
    /// A condition.
    While(&'a Expr),
    /// The name of the number of the iteration.
    For(&'a str),
}

/// Where a value stands that the loop changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    Var(Box<str>),
    Cell(Ref),
}

/// What is known so far of what a loop carries.
#[derive(Default)]
struct Carried {
    roots: BTreeMap<Root, Merged>,
    sorts: Vec<Sort>,
    /// Values before the loop.
    init: Vec<V>,
    /// Types inside the loop.
    types: Vec<Type>,
    /// Lists that get one tensor per iteration.
    scans: Vec<Ref>,
    /// Storages that must be inputs.
    held: Vec<usize>,
}

/// A body that was carried out.
struct Round {
    body: Body,
    start: Snapshot,
    end: Snapshot,
}

impl Eval<'_> {
    /// A `while` whose condition is computed.
    pub(super) fn computed_while(&mut self, first: V, condition: &Expr, body: &[Stmt], at: Pos) -> R<Flow> {
        self.repeat(&Head::While(condition), None, Some(first), body, at)
    }
    /// A `for` over `range(count)`; `count` is an `i64` of shape `[1]`.
    pub(super) fn computed_for(&mut self, count: V, name: &str, body: &[Stmt], at: Pos) -> R<Flow> {
        let count = self.cx.size_scalar(&Size::Value(count))?;
        self.repeat(&Head::For(name), Some(count), None, body, at)
    }
    fn repeat(
        &mut self,
        head: &Head<'_>,
        trips: Option<V>,
        first: Option<V>,
        body: &[Stmt],
        at: Pos,
    ) -> R<Flow> {
        let before = self.snapshot();
        let mut carried = Carried::default();
        for _ in 0..MAX_ROUNDS {
            let round = self.round(head, &before, &carried, body, at)?;
            let Some((results, round)) = self.settle(&before, &mut carried, round, at)? else { continue };
            let constants = round.body.constants_written();
            if !constants.is_empty() {
                carried.held.extend(constants);
                continue;
            }
            let _ = results;
            let outs = self.cx.loop_node(trips, first, &carried.init, round.body)?;
            self.after_loop(carried, &outs);
            return Ok(Flow::Next);
        }
        self.refuse(at, "a loop whose values take ever new types")
    }
    /// Carries out the body once, with what is known to be carried as inputs.
    fn round(
        &mut self,
        head: &Head<'_>,
        before: &Snapshot,
        carried: &Carried,
        body: &[Stmt],
        at: Pos,
    ) -> R<Round> {
        let mut own = vec![
            ("iteration".to_owned(), TensorType::fixed(DType::I64, &[]).into()),
            ("condition".to_owned(), TensorType::fixed(DType::Bool, &[]).into()),
        ];
        own.extend(carried.types.iter().enumerate().map(|(i, ty)| (format!("carried_{i}"), ty.clone())));
        let mut seen: Seen = self.seen();
        seen.hold(&carried.held);
        let (around, inputs) = self.cx.begin_body("loop", &own, &seen);
        let result =
            self.in_body(|eval| eval.round_inside(head, before, carried, (&around, &inputs), body, at));
        let suspended = self.cx.suspend_body(around);
        self.frame.vars.clone_from(&before.vars);
        let end_heap = self.heap.clone();
        self.heap.restore(&before.heap);
        match result {
            Ok((start, mut end, results)) => {
                end.heap = end_heap;
                let around = self.cx.resume_body(suspended);
                let body = self.cx.end_body(around, results);
                Ok(Round { body, start, end })
            }
            Err(_) if self.raised.take().is_some() => {
                self.refuse(at, "a loop that always raises an exception")
            }
            Err(d) => Err(d),
        }
    }
    fn round_inside(
        &mut self,
        head: &Head<'_>,
        before: &Snapshot,
        carried: &Carried,
        (around, inputs): (&Around, &[V]),
        body: &[Stmt],
        at: Pos,
    ) -> R<(Snapshot, Snapshot, Vec<V>)> {
        for v in self.frame.vars.values_mut() {
            *v = inside(around, v);
        }
        self.heap.map(before.heap.len(), &mut |v| inside(around, v));
        let own = inputs.get(2..).unwrap_or_default();
        for (root, merged) in &carried.roots {
            let value = self.value_of(merged.clone(), own);
            match root {
                Root::Var(name) => {
                    self.frame.vars.insert(name.clone(), value);
                }
                Root::Cell(r) => self.replace_cell(*r, &value),
            }
        }
        if let (Head::For(name), Some(i)) = (head, inputs.first()) {
            let i = self.cx.unsqueeze(*i, &[0])?;
            self.frame.vars.insert((*name).into(), Value::Int(Size::Value(i)));
        }
        let start = self.snapshot();
        if let Flow::Return(_) = self.block(body)? {
            return self.refuse(at, "a return inside a loop of computed length");
        }
        let go_on = match head {
            Head::For(_) => Value::Bool(true),
            Head::While(condition) => {
                let value = self.expr(condition)?;
                match self.truth(&value, at)? {
                    super::stmt::Truth::Known(b) => Value::Bool(b),
                    super::stmt::Truth::Computed(v) => Value::BoolV(v),
                    super::stmt::Truth::Failed => {
                        return self.refuse(at, "a loop whose condition is not supported");
                    }
                }
            }
        };
        let mut results = vec![self.as_ir(&go_on, Sort::Bool, at)?];
        let end = self.snapshot();
        // Results are defined for what is carried already; the types of what else changes are found in the next round.
        for item in self.carried_items(before, carried, &end, at)? {
            results.push(match &item.otherwise {
                Value::Uninit => {
                    let ty = carried.types.get(results.len() - 1).cloned();
                    match ty.and_then(|ty| self.filler(&ty)) {
                        Some(v) => v,
                        None => return self.refuse(at, "a value that a loop leaves unset"),
                    }
                }
                value => self.as_ir(value, item.sort, at)?,
            });
        }
        for r in &carried.scans {
            let last = match end.heap.get(*r) {
                Some(Cell::List(items)) => items.last().cloned(),
                _ => None,
            };
            let Some(last) = last else { return self.refuse(at, "a list that a loop fills unevenly") };
            results.push(self.as_ir(&last, Sort::Tensor, at)?);
        }
        Ok((start, end, results))
    }
    /// The values after a round of what is carried, in order.
    fn carried_items(
        &mut self,
        before: &Snapshot,
        carried: &Carried,
        end: &Snapshot,
        at: Pos,
    ) -> R<Vec<Item>> {
        let mut items = vec![];
        for root in carried.roots.keys() {
            self.joined(before, end, root, &mut items, at)?;
        }
        // Values that became carried in another form are found by `settle`.
        items.truncate(carried.types.len());
        Ok(items)
    }
    fn joined(
        &mut self,
        before: &Snapshot,
        end: &Snapshot,
        root: &Root,
        items: &mut Vec<Item>,
        at: Pos,
    ) -> R<Merged> {
        let heaps = (&before.heap, &end.heap);
        match root {
            Root::Var(name) => {
                let unset = Value::Uninit;
                let (a, b) = (before.vars.get(name).unwrap_or(&unset), end.vars.get(name).unwrap_or(&unset));
                self.merge(&a.clone(), &b.clone(), heaps, items, at)
            }
            Root::Cell(r) => self.merge_cells(before.heap.get(*r), end.heap.get(*r), heaps, items, at),
        }
    }
    /// Compares what a round left with what was expected; the round itself when nothing new turned up.
    fn settle(
        &mut self,
        before: &Snapshot,
        carried: &mut Carried,
        round: Round,
        at: Pos,
    ) -> R<Option<(usize, Round)>> {
        let Round { body, start, end } = &round;
        let mut roots: Vec<Root> = carried.roots.keys().cloned().collect();
        let mut fresh = false;
        for (name, was) in &start.vars {
            let root = Root::Var(name.clone());
            let changed = end.vars.get(name).is_none_or(|now| !same(was, now));
            if changed && before.vars.contains_key(name) && !roots.contains(&root) {
                roots.push(root);
                fresh = true;
            }
        }
        for r in 0..before.heap.len() {
            if same_cell(start.heap.get(r), end.heap.get(r)) || carried.scans.contains(&r) {
                continue;
            }
            if is_scan(start.heap.get(r), end.heap.get(r)) {
                carried.scans.push(r);
                fresh = true;
            } else if !roots.contains(&Root::Cell(r)) {
                roots.push(Root::Cell(r));
                fresh = true;
            }
        }
        roots.sort();
        let mut items = vec![];
        let mut merged = BTreeMap::new();
        for root in &roots {
            let form = self.joined(before, end, root, &mut items, at)?;
            merged.insert(root.clone(), form);
        }
        let sorts: Vec<Sort> = items.iter().map(|i| i.sort).collect();
        let fits =
            !fresh && sorts == carried.sorts && body.results.len() == 1 + sorts.len() + carried.scans.len();
        if fits {
            let now: Vec<Type> =
                body.results.iter().skip(1).take(sorts.len()).map(|v| body.graph().ty(*v).clone()).collect();
            let wide: Vec<Type> = carried.types.iter().zip(&now).map(|(a, b)| a.join(b)).collect();
            if wide == carried.types {
                return Ok(Some((sorts.len(), round)));
            }
            if wide.iter().any(|ty| ty.as_tensor().is_none_or(|t| t.shape.is_none())) {
                return self.refuse(at, "a loop that changes the rank or element type of a tensor");
            }
            carried.types = wide;
            return Ok(None);
        }
        self.recarry(carried, merged, &items, &round, at)?;
        Ok(None)
    }
    /// Carries `items` from now on.
    fn recarry(
        &mut self,
        carried: &mut Carried,
        roots: BTreeMap<Root, Merged>,
        items: &[Item],
        round: &Round,
        at: Pos,
    ) -> R<()> {
        carried.roots = roots;
        carried.sorts = items.iter().map(|i| i.sort).collect();
        carried.init.clear();
        for item in items {
            let v = match &item.then {
                Value::Uninit => self.unset(item, round, at)?,
                value => self.as_ir(value, item.sort, at)?,
            };
            carried.init.push(v);
        }
        carried.types = carried.init.iter().map(|v| self.type_of(*v)).collect();
        Ok(())
    }
    /// A value before the loop for what only the loop sets.
    fn unset(&mut self, item: &Item, round: &Round, at: Pos) -> R<V> {
        let ty: Option<Type> = match (&item.otherwise, item.sort) {
            (_, Sort::Bool) => Some(TensorType::fixed(DType::Bool, &[]).into()),
            (_, Sort::Int) => Some(TensorType::fixed(DType::I64, &[1]).into()),
            (_, Sort::Float) => Some(TensorType::fixed(DType::F64, &[]).into()),
            (Value::Tensor(id), _) => {
                let v = self.cx.bases.get(self.cx.base_of(*id)).map(|b| b.value);
                v.filter(|_| self.cx.is_whole(*id)).and_then(|v| type_in(round.body.graph(), v))
            }
            _ => None,
        };
        match ty.and_then(|ty| self.filler(&ty)) {
            Some(v) => Ok(v),
            None => self.refuse(at, "a tensor that only a loop of computed length sets"),
        }
    }
    fn after_loop(&mut self, carried: Carried, outs: &[V]) {
        let (values, stacked) = outs.split_at(carried.sorts.len().min(outs.len()));
        for (root, merged) in carried.roots {
            let value = self.value_of(merged, values);
            match root {
                Root::Var(name) => {
                    self.frame.vars.insert(name, value);
                }
                Root::Cell(r) => self.replace_cell(r, &value),
            }
        }
        for (r, v) in carried.scans.into_iter().zip(stacked) {
            if let Some(cell) = self.heap.get_mut(r) {
                *cell = Cell::Stacked(Value::Stacked(*v));
            }
        }
    }
    /// A constant truth value.
    pub(super) fn truth_value(&mut self, b: bool) -> V {
        self.cx.constant(Tensor::from_bools(&[], vec![b]))
    }
}

fn type_in(graph: &hoist_ir::graph::Graph, v: V) -> Option<Type> {
    graph.values().find(|(id, _)| *id == v).map(|(_, value)| value.ty().clone())
}

/// Whether a round adds one tensor to an empty list.
fn is_scan(start: Option<&Cell>, end: Option<&Cell>) -> bool {
    match (start, end) {
        (Some(Cell::List(a)), Some(Cell::List(b))) => {
            a.is_empty() && matches!(b.as_slice(), [Value::Tensor(_) | Value::Weight(_)])
        }
        _ => false,
    }
}
