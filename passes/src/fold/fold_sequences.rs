//! `fold-sequences`
//!
//! ```text
//! %n = const i64[] [2]                              %n = const i64[2] [2, 1]
//! %s = split_to_sequence(%x: f32[3, 4], %n)    ->   %a, %b = split(%x, %n)
//! %y = sequence_at(%s, -1)                          %y = %b
//!
//! %s = sequence_construct(%a, %b)              ->   %y = concat(%a, %b)
//! %y = concat_from_sequence(%s)
//!
//! %o = optional(%x)                            ->   %y = %x
//! %y = optional_get_element(%o)
//! ```
//! - The elements of the sequence are known: it is made by `sequence_construct`, `sequence_empty`, `split_to_sequence` whose pieces have
//!   known sizes, and by insertions and removals at constant positions.
//! - A position is constant and inside the sequence; a sequence that is joined has an element. What fails when it runs stays.
//! - A split becomes a `split` only where one of its pieces is needed.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::sequence::construct::SequenceConstruct;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use std::collections::HashMap;
use std::rc::Rc;

/// The pass.
pub struct FoldSequences;

const INFO: PassInfo = PassInfo {
    name: "fold-sequences",
    doc: "Replaces operators on sequences and optional values whose content is known by operators on tensors.",
};

/// Most elements of a sequence that is followed.
const MAX_LEN: usize = 1024;
/// Most elements of all sequences together that are remembered.
const MAX_TOTAL: usize = 1 << 20;

impl Pass for FoldSequences {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut known = Known::default();
        Ok(sweep(g, cx, |g, n| known.visit(g, n)))
    }
}

/// An element of a sequence.
#[derive(Clone, Copy)]
enum Item {
    /// A value of the graph.
    Value(ValueId),
    /// A piece, by its number, of a `split_to_sequence`, by its number.
    Piece(usize, usize),
}

/// A `split_to_sequence` whose pieces have known sizes.
struct Cut {
    node: NodeId,
    sizes: Vec<i64>,
    /// The pieces, once they are values.
    pieces: Option<Vec<ValueId>>,
}

/// What is known of the sequences so far. Looked up by value only.
#[derive(Default)]
struct Known {
    sequences: HashMap<ValueId, Rc<[Item]>>,
    cuts: Vec<Cut>,
    total: usize,
}

const UNKNOWN: &str = "the elements of the sequence are not known";
const POSITION: &str = "the position is not a constant inside the sequence";

impl Known {
    fn visit(&mut self, g: &mut Graph, n: NodeId) -> Outcome {
        match g.node(n).op().name() {
            "sequence_construct" | "sequence_empty" => {
                let items = g.node(n).inputs().iter().map(|v| v.map(Item::Value)).collect();
                self.learn(g, n, items)
            }
            "split_to_sequence" => {
                let items = self.cut(g, n);
                self.learn(g, n, items)
            }
            "sequence_insert" | "sequence_erase" => {
                if self.items(g, n).is_none() {
                    return Outcome::miss(UNKNOWN);
                }
                let Some(items) = self.edited(g, n) else { return Outcome::miss(POSITION) };
                self.learn(g, n, Some(items))
            }
            "sequence_length" => match self.items(g, n) {
                None => Outcome::miss(UNKNOWN),
                Some(items) => Outcome::of(g.rewrite(n, &[], |b| Ok(vec![b.scalar(items.len() as i64)]))),
            },
            "sequence_at" => self.at(g, n),
            "concat_from_sequence" => self.concat(g, n),
            "optional_get_element" => get_element(g, n),
            "optional_has_element" => has_element(g, n),
            _ => Outcome::Skip,
        }
    }
    /// Remembers the elements of the result of `n`.
    fn learn(&mut self, g: &Graph, n: NodeId, items: Option<Vec<Item>>) -> Outcome {
        let Some(items) = items else {
            return Outcome::miss("the number and sizes of the elements are not known");
        };
        let total = self.total.saturating_add(items.len());
        if items.len() > MAX_LEN || total > MAX_TOTAL {
            return Outcome::miss("the sequence has too many elements to follow");
        }
        let Some(&result) = g.node(n).outputs().first() else { return Outcome::Skip };
        self.total = total;
        self.sequences.insert(result, items.into());
        Outcome::Skip
    }
    /// The elements of the first operand of `n`.
    fn items(&self, g: &Graph, n: NodeId) -> Option<Rc<[Item]>> {
        self.sequences.get(&g.node(n).input(0)?).cloned()
    }
    /// The pieces of a `split_to_sequence`.
    fn cut(&mut self, g: &Graph, n: NodeId) -> Option<Vec<Item>> {
        let sizes = sizes(g, n)?;
        let cut = self.cuts.len();
        let items = (0..sizes.len()).map(|i| Item::Piece(cut, i)).collect();
        self.cuts.push(Cut { node: n, sizes, pieces: None });
        Some(items)
    }
    /// The elements after the insertion or removal that `n` is.
    fn edited(&self, g: &Graph, n: NodeId) -> Option<Vec<Item>> {
        let mut items = self.items(g, n)?.to_vec();
        if g.node(n).op().name() == "sequence_insert" {
            let at = match g.node(n).input(2) {
                Some(v) => position(g, v, items.len(), 1)?,
                None => items.len(),
            };
            items.insert(at, Item::Value(g.node(n).input(1)?));
        } else {
            let at = match g.node(n).input(1) {
                Some(v) => position(g, v, items.len(), 0)?,
                None => items.len().checked_sub(1)?,
            };
            items.remove(at);
        }
        Some(items)
    }
    fn at(&mut self, g: &mut Graph, n: NodeId) -> Outcome {
        let Some(items) = self.items(g, n) else { return Outcome::miss(UNKNOWN) };
        let at = g.node(n).input(1).and_then(|v| position(g, v, items.len(), 0));
        let Some(item) = at.and_then(|at| items.get(at)) else { return Outcome::miss(POSITION) };
        match self.value(g, *item) {
            Ok(v) => Outcome::of(g.rewrite(n, &[], |_| Ok(vec![v]))),
            Err(d) => Outcome::Miss(d.message.into()),
        }
    }
    fn concat(&mut self, g: &mut Graph, n: NodeId) -> Outcome {
        let Some(items) = self.items(g, n) else { return Outcome::miss(UNKNOWN) };
        if items.is_empty() {
            return Outcome::miss("a sequence without elements joins to nothing");
        }
        let op = g.node(n).op().def();
        let (Some(Attr::Int(axis)), Some(Attr::Bool(new))) = (op.attr("axis"), op.attr("new_axis")) else {
            return Outcome::Skip;
        };
        let values: Result<Vec<ValueId>, Diag> = items.iter().map(|i| self.value(g, *i)).collect();
        let values = match values {
            Ok(values) => values,
            Err(d) => return Outcome::Miss(d.message.into()),
        };
        Outcome::of(g.rewrite(n, &[], |b| {
            let mut values = values;
            if new {
                let axes = b.ints(&[axis]);
                for v in &mut values {
                    *v = b.unsqueeze(Unsqueeze {}, *v, axes)?;
                }
            }
            Ok(vec![b.concat(Concat { axis }, &values)?])
        }))
    }
    /// The value that an element is. The first piece of a split that is asked for makes all of them values.
    fn value(&mut self, g: &mut Graph, item: Item) -> Result<ValueId, Diag> {
        let (cut, piece) = match item {
            Item::Value(v) => return Ok(v),
            Item::Piece(cut, piece) => (cut, piece),
        };
        let gone = || Diag::error("E0401", "the split is gone");
        let cut = self.cuts.get_mut(cut).ok_or_else(gone)?;
        if cut.pieces.is_none() {
            let old = g.node(cut.node).outputs().first().copied();
            let (pieces, sequence) = split(g, cut)?;
            cut.pieces = Some(pieces);
            if let Some(items) = old.and_then(|old| self.sequences.get(&old)).cloned() {
                self.sequences.insert(sequence, items);
            }
        }
        cut.pieces.as_ref().and_then(|p| p.get(piece)).copied().ok_or_else(gone)
    }
}

/// Replaces a `split_to_sequence` by `split` and `sequence_construct`; the pieces and the sequence.
fn split(g: &mut Graph, cut: &Cut) -> Result<(Vec<ValueId>, ValueId), Diag> {
    let node = g.node(cut.node);
    let missing = || Diag::error("E0303", "an operand is missing");
    let x = node.input(0).ok_or_else(missing)?;
    let def = node.op().def();
    let (Some(Attr::Int(axis)), Some(Attr::Bool(keeps))) = (def.attr("axis"), def.attr("keepdims")) else {
        return Err(missing());
    };
    let squeezed = node.input(1).is_none() && !keeps;
    let mut made = None;
    g.rewrite(cut.node, &[], |b| {
        let sizes = b.ints(&cut.sizes);
        let parts = cut.sizes.len();
        let mut pieces = b.add_n(Split { axis, num_outputs: None }, &[Some(x), Some(sizes)], parts)?;
        if squeezed {
            let axes = b.ints(&[axis]);
            for p in &mut pieces {
                *p = b.squeeze(Squeeze {}, *p, Some(axes))?;
            }
        }
        let sequence = b.sequence_construct(SequenceConstruct {}, &pieces)?;
        made = Some((pieces, sequence));
        Ok(vec![sequence])
    })?;
    made.ok_or_else(missing)
}

/// Sizes of the pieces of a `split_to_sequence`, when all are known and not too many.
fn sizes(g: &Graph, n: NodeId) -> Option<Vec<i64>> {
    let node = g.node(n);
    let given = match node.input(1) {
        Some(v) => Some(g.constant(v)?),
        None => None,
    };
    if let Some(list) = given.filter(|t| t.rank() > 0) {
        let sizes = if list.len() <= MAX_LEN { list.to_i64s().ok()? } else { return None };
        return sizes.iter().all(|s| *s >= 0).then_some(sizes);
    }
    let shape = g.ty(node.input(0)?).as_tensor()?.shape.as_ref()?;
    let Some(Attr::Int(axis)) = node.op().def().attr("axis") else { return None };
    let size = i64::try_from(shape[resolve_axis(axis, shape.len()).ok()?].known()?).ok()?;
    let each = match given {
        Some(t) => t.as_int().filter(|n| *n > 0)?,
        None => 1,
    };
    let count = usize::try_from(size / each + i64::from(size % each > 0)).ok().filter(|c| *c <= MAX_LEN)?;
    let last = count.checked_sub(1).map_or(0, |before| size - each * before as i64);
    Some((1..=count).map(|i| if i < count { each } else { last }).collect())
}

/// The constant position `v` in a sequence of `len` elements, behind which `end` more positions are.
fn position(g: &Graph, v: ValueId, len: usize, end: usize) -> Option<usize> {
    let at = g.constant(v).and_then(Tensor::as_int)?;
    let from_start = if at < 0 { at.checked_add(i64::try_from(len).ok()?)? } else { at };
    usize::try_from(from_start).ok().filter(|p| *p < len.saturating_add(end))
}

/// The `optional` that makes the first operand of `n`.
fn maker(g: &Graph, n: NodeId) -> Option<NodeId> {
    let made = g.producer(g.node(n).input(0)?)?;
    (g.node(made).op().name() == "optional").then_some(made)
}

/// Whether the first operand of `n` is surely no optional value.
fn plain(g: &Graph, n: NodeId) -> bool {
    g.node(n).input(0).is_some_and(|v| matches!(g.ty(v), Type::Tensor(_) | Type::Sequence(_)))
}

fn get_element(g: &mut Graph, n: NodeId) -> Outcome {
    let held = if plain(g, n) { g.node(n).input(0) } else { maker(g, n).and_then(|m| g.node(m).input(0)) };
    let Some(held) = held else { return Outcome::miss("what the optional value holds is not known") };
    Outcome::of(g.rewrite(n, &[], |_| Ok(vec![held])))
}

fn has_element(g: &mut Graph, n: NodeId) -> Outcome {
    let has = if g.node(n).input(0).is_none() {
        Some(planted("fold-sequences"))
    } else if plain(g, n) {
        Some(true)
    } else {
        maker(g, n).map(|m| g.node(m).input(0).is_some())
    };
    let Some(has) = has else {
        return Outcome::miss("whether the optional value holds something is not known");
    };
    Outcome::of(g.rewrite(n, &[], |b| Ok(vec![b.constant(Tensor::from_bools(&[], vec![has]))])))
}
