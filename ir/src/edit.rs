//! The only way to change a graph. Every edit keeps the invariants: uses recorded both ways, order topological, every value
//! typed. Unsafe edits are refused with `E0403`.
use crate::diag::Diag;
use crate::graph::{Def, Graph, Node, NodeId, Notes, Origin, Output, Use, Value, ValueId};
use crate::infer::{Content, InferCx, Known, diag_at, infer_contents, infer_op};
pub use crate::new_node::NewNode;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::Type;
use std::sync::Arc;

/// Distance of ranks between neighbours when there is room.
const GAP: u64 = 1 << 24;

fn refused(message: impl Into<String>) -> Diag {
    Diag::error("E0403", message)
}

impl Graph {
    /// Appends an input.
    pub fn add_input(&mut self, name: &str, ty: Type) -> ValueId {
        let v = self.new_value(Some(name.into()), ty, Def::Input(self.inputs.len() as u32));
        self.inputs.push(v);
        v
    }
    /// Appends an input whose symbolic elements are known.
    pub(crate) fn add_known_input(&mut self, ty: Type, content: Option<Content>) -> ValueId {
        let v = self.add_input(&format!("x{}", self.inputs.len()), ty);
        self.values[v].content = content;
        v
    }
    /// Puts the inputs in another order: input `order[i]` becomes input `i`.
    ///
    /// # Errors
    /// When `order` is no permutation.
    pub fn permute_inputs(&mut self, order: &[usize]) -> Result<(), Diag> {
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.inputs.len()) {
            return Err(Diag::error(
                "E0901",
                "the inputs of a graph are put in an order that is no permutation",
            ));
        }
        self.inputs = order.iter().map(|i| self.inputs[*i]).collect();
        for (i, v) in self.inputs.clone().into_iter().enumerate() {
            self.values[v].def = Def::Input(i as u32);
        }
        Ok(())
    }
    /// Appends an output that shows `value`.
    pub fn add_output(&mut self, name: &str, value: ValueId) {
        self.values[value].uses.push(Use::Output(self.outputs.len() as u32));
        self.outputs.push(Output { name: name.into(), value, notes: None });
    }
    /// Makes output `i` show `value` instead; its name stays.
    ///
    /// # Errors
    /// When there is no such output, `value` is erased, or its type contradicts.
    pub fn set_output(&mut self, i: usize, value: ValueId) -> Result<(), Diag> {
        let Some(old) = self.outputs.get(i).map(|o| o.value) else {
            return Err(refused(format!("there is no output {i}")));
        };
        if self.values[value].def == Def::Erased || self.ty(old).meet(self.ty(value)).is_none() {
            return Err(refused(format!("output `{}` cannot show this value", self.outputs[i].name)));
        }
        self.redirect_output(i, value)
    }
    /// Makes output `i` show `value`, whatever its type: a change of the interface.
    ///
    /// # Errors
    /// When there is no such output, or `value` is erased.
    pub fn redirect_output(&mut self, i: usize, value: ValueId) -> Result<(), Diag> {
        let Some(old) =
            self.outputs.get(i).map(|o| o.value).filter(|_| self.values[value].def != Def::Erased)
        else {
            return Err(refused(format!("there is no output {i}, or nothing that it could show")));
        };
        if let Some(at) = self.values[old].uses.iter().position(|u| *u == Use::Output(i as u32)) {
            self.values[old].uses.swap_remove(at);
            self.fix_use_position(old, at);
        }
        self.outputs[i].value = value;
        self.values[value].uses.push(Use::Output(i as u32));
        Ok(())
    }
    /// Attaches documentation to output `i`.
    pub fn set_output_notes(&mut self, i: usize, notes: Notes) {
        if let Some(o) = self.outputs.get_mut(i) {
            o.notes = Some(Box::new(notes));
        }
    }
    /// Adds a constant.
    pub fn add_const(&mut self, tensor: Tensor) -> ValueId {
        let v = self.new_value(None, tensor.ty().into(), Def::Const);
        self.values[v].tensor = Some(Box::new(tensor));
        v
    }
    /// Replaces the data of constant `v`; its type follows.
    ///
    /// # Errors
    /// When `v` is no constant.
    pub fn set_const(&mut self, v: ValueId, tensor: Tensor) -> Result<(), Diag> {
        if self.values[v].def != Def::Const {
            return Err(refused("only a constant can be given data"));
        }
        self.values[v].ty = tensor.ty().into();
        self.values[v].tensor = Some(Box::new(tensor));
        Ok(())
    }
    /// Names a value.
    pub fn set_name(&mut self, v: ValueId, name: Option<Arc<str>>) {
        self.values[v].name = name;
    }
    /// Attaches documentation to a value.
    pub fn set_notes(&mut self, v: ValueId, notes: Notes) {
        self.values[v].notes = Some(Box::new(notes));
    }
    /// Names a node and attaches documentation.
    pub fn describe_node(&mut self, n: NodeId, name: Option<Arc<str>>, notes: Option<Box<Notes>>) {
        self.nodes[n].name = name;
        self.nodes[n].notes = notes;
    }
    /// Adds to where a node comes from.
    pub fn add_origin(&mut self, n: NodeId, origin: &Origin) {
        self.nodes[n].origin = self.nodes[n].origin.union(origin);
    }
    /// Gives a value a type that a file declares: kept where it is at least as precise as what is known.
    ///
    /// # Errors
    /// `E0402` when both contradict; the known type stays.
    pub fn declare_type(&mut self, v: ValueId, declared: &Type) -> Result<(), Diag> {
        match self.values[v].ty.meet(declared) {
            Some(ty) => {
                self.values[v].ty = ty;
                Ok(())
            }
            None => Err(Diag::error(
                "E0402",
                format!(
                    "`{}` is declared {declared} and computed as {}",
                    self.value_label(v),
                    self.values[v].ty
                ),
            )),
        }
    }
    /// Replaces the type of an input, as when fixing a dynamic dimension. Types behind it are stale until re-inferred with
    /// [`Graph::reinfer`].
    ///
    /// # Errors
    /// When `v` is no input.
    pub fn set_input_type(&mut self, v: ValueId, ty: Type) -> Result<(), Diag> {
        if !matches!(self.values[v].def, Def::Input(_)) {
            return Err(refused("only an input's type can be set"));
        }
        self.values[v].ty = ty;
        Ok(())
    }

    /// Appends a node; its results are typed by `infer`.
    ///
    /// # Errors
    /// When the operands do not fit the operator.
    pub fn append(&mut self, new: NewNode) -> Result<NodeId, Diag> {
        self.insert(new, None)
    }
    /// Inserts a node before `anchor`.
    ///
    /// # Errors
    /// When an operand is defined after `anchor`, or operands do not fit the operator.
    pub fn insert_before(&mut self, new: NewNode, anchor: NodeId) -> Result<NodeId, Diag> {
        self.insert(new, Some(anchor))
    }
    fn insert(&mut self, new: NewNode, anchor: Option<NodeId>) -> Result<NodeId, Diag> {
        for v in new.inputs.iter().flatten() {
            let late = |n: NodeId| anchor.is_some_and(|a| !self.comes_before(n, a));
            match self.values[*v].def {
                Def::Erased => return Err(refused("an erased value cannot be used")),
                Def::Node { node, .. } if late(node) => {
                    return Err(refused(format!(
                        "`{}` is not defined yet at the insertion point",
                        self.value_label(*v)
                    )));
                }
                _ => {}
            }
        }
        let (types, contents) = self.infer_node(&new).map_err(|e| {
            let label = new.name.as_deref().map(str::to_owned);
            diag_at(e, &new.op, label.as_deref()).origin(new.origin.clone())
        })?;
        let NewNode { op, inputs, bodies, captures, origin, name, .. } = new;
        let use_at = vec![0; inputs.len()];
        let node = Node {
            op,
            name,
            notes: None,
            origin,
            inputs: vec![None; inputs.len()],
            use_at,
            outputs: vec![],
            bodies,
            captures: captures as u32,
            prev: None,
            next: None,
            rank: 0,
            erased: false,
        };
        let n = self.nodes.push(node);
        self.link(n, anchor);
        for (slot, v) in inputs.into_iter().enumerate() {
            self.attach(n, slot, v);
        }
        for (slot, (ty, content)) in types.into_iter().zip(contents).enumerate() {
            let v = self.new_value(None, ty, Def::Node { node: n, slot: slot as u32 });
            self.values[v].content = content;
            self.nodes[n].outputs.push(v);
        }
        self.live += 1;
        Ok(n)
    }
    fn infer_node(
        &self,
        new: &NewNode,
    ) -> Result<(Vec<Type>, Vec<Option<crate::infer::Content>>), crate::op::OpError> {
        let known = self.known(&new.inputs);
        let cx = InferCx::new(new.op.schema(), &known, &new.bodies, new.captures, new.outputs);
        Ok((infer_op(&new.op, &cx)?, infer_contents(&new.op, &cx)))
    }
    pub(crate) fn known(&self, inputs: &[Option<ValueId>]) -> Vec<Option<Known<'_>>> {
        let one = |v: ValueId| {
            let value = &self.values[v];
            Known { ty: &value.ty, tensor: value.tensor.as_deref(), content: value.content.as_ref() }
        };
        inputs.iter().map(|i| i.map(one)).collect()
    }
    fn new_value(&mut self, name: Option<Arc<str>>, ty: Type, def: Def) -> ValueId {
        self.values.push(Value { name, notes: None, ty, content: None, def, uses: vec![], tensor: None })
    }

    /// Links `n` into the order before `anchor`, or last.
    fn link(&mut self, n: NodeId, anchor: Option<NodeId>) {
        let prev = anchor.map_or(self.last, |a| self.nodes[a].prev);
        let low = prev.map_or(0, |p| self.nodes[p].rank);
        self.nodes[n].prev = prev;
        self.nodes[n].next = anchor;
        match prev {
            Some(p) => self.nodes[p].next = Some(n),
            None => self.first = Some(n),
        }
        match anchor {
            Some(a) => self.nodes[a].prev = Some(n),
            None => self.last = Some(n),
        }
        let high = anchor.map_or(low + 2 * GAP, |a| self.nodes[a].rank);
        if high - low > 1 {
            self.nodes[n].rank = low + (high - low) / 2;
        } else {
            self.renumber();
        }
    }
    fn renumber(&mut self) {
        let (mut at, mut rank) = (self.first, 0);
        while let Some(n) = at {
            rank += GAP;
            self.nodes[n].rank = rank;
            at = self.nodes[n].next;
        }
    }
    fn unlink(&mut self, n: NodeId) {
        let (prev, next) = (self.nodes[n].prev, self.nodes[n].next);
        match prev {
            Some(p) => self.nodes[p].next = next,
            None => self.first = next,
        }
        match next {
            Some(x) => self.nodes[x].prev = prev,
            None => self.last = prev,
        }
    }

    fn attach(&mut self, n: NodeId, slot: usize, v: Option<ValueId>) {
        self.nodes[n].inputs[slot] = v;
        if let Some(v) = v {
            self.nodes[n].use_at[slot] = self.values[v].uses.len() as u32;
            self.values[v].uses.push(Use::Node { node: n, slot: slot as u32 });
        }
    }
    fn detach(&mut self, n: NodeId, slot: usize) {
        let Some(v) = self.nodes[n].inputs[slot].take() else { return };
        let at = self.nodes[n].use_at[slot] as usize;
        self.values[v].uses.swap_remove(at);
        self.fix_use_position(v, at);
    }
    /// Tells the user whose record moved to position `at` of `v`'s use list.
    fn fix_use_position(&mut self, v: ValueId, at: usize) {
        if let Some(Use::Node { node, slot }) = self.values[v].uses.get(at).copied() {
            self.nodes[node].use_at[slot as usize] = at as u32;
        }
    }

    /// Makes operand `slot` of `n` read `v` (or nothing). The node's result types are inferred again.
    ///
    /// # Errors
    /// When `v` is not defined before `n`, or does not fit; the graph is unchanged then.
    pub fn set_operand(&mut self, n: NodeId, slot: usize, v: Option<ValueId>) -> Result<(), Diag> {
        if slot >= self.nodes[n].inputs.len() {
            return Err(refused(format!("node `{}` has no operand {slot}", self.node_label(n))));
        }
        if let Some(v) = v {
            self.check_defined_before(v, n)?;
        }
        let old = self.nodes[n].inputs[slot];
        self.detach(n, slot);
        self.attach(n, slot, v);
        let result = self.reinfer_node(n);
        if result.is_err() {
            self.detach(n, slot);
            self.attach(n, slot, old);
        }
        result.map(|_| ())
    }
    fn check_defined_before(&self, v: ValueId, n: NodeId) -> Result<(), Diag> {
        match self.values[v].def {
            Def::Erased => Err(refused("an erased value cannot be used")),
            Def::Node { node, .. } if !self.comes_before(node, n) => {
                Err(refused(format!("`{}` is defined after `{}`", self.value_label(v), self.node_label(n))))
            }
            _ => Ok(()),
        }
    }
    /// Changes what a node computes; its result types are inferred again.
    ///
    /// # Errors
    /// When the operands do not fit the new operator; the graph is unchanged then.
    pub fn set_op(&mut self, n: NodeId, op: impl Into<Op>) -> Result<(), Diag> {
        let old = std::mem::replace(&mut self.nodes[n].op, op.into());
        let result = self.reinfer_node(n);
        if result.is_err() {
            self.nodes[n].op = old;
        }
        result.map(|_| ())
    }
    /// Edits body `i` of node `n`. The closure gets the body; the node's types are inferred again.
    ///
    /// # Errors
    /// Those of the closure and of `infer`. The body is restored when either fails.
    pub fn edit_body<R>(
        &mut self,
        n: NodeId,
        i: usize,
        edit: impl FnOnce(&mut Self) -> Result<R, Diag>,
    ) -> Result<R, Diag> {
        let Some(body) = self.nodes[n].bodies.get(i) else {
            return Err(refused(format!("node `{}` has no body {i}", self.node_label(n))));
        };
        let mut copy = body.clone();
        let result = edit(&mut copy)?;
        let old = std::mem::replace(&mut self.nodes[n].bodies[i], copy);
        match self.reinfer_node(n) {
            Ok(_) => Ok(result),
            Err(d) => {
                self.nodes[n].bodies[i] = old;
                Err(d)
            }
        }
    }

    /// Edits body `i` of node `n` in place, for rewrites that keep the body valid at every step. The closure tells whether it
    /// changed anything; only then are the node's types inferred again.
    ///
    /// # Errors
    /// Those of the closure and of `infer`. The body then keeps the edits made so far: the graph is to be given up.
    pub fn rewrite_body(
        &mut self,
        n: NodeId,
        i: usize,
        edit: impl FnOnce(&mut Self) -> Result<bool, Diag>,
    ) -> Result<bool, Diag> {
        let Some(slot) = self.nodes[n].bodies.get_mut(i) else {
            return Err(refused(format!("node `{}` has no body {i}", self.node_label(n))));
        };
        let changed = edit(slot)?;
        if changed {
            self.reinfer_node(n)?;
        }
        Ok(changed)
    }
    /// Removes the captured operand `k` of node `n`, counted from the first captured one, with the input it feeds in each body.
    ///
    /// # Errors
    /// When there is none, or a body uses the input; nothing is changed then.
    pub fn drop_capture(&mut self, n: NodeId, k: usize) -> Result<(), Diag> {
        let node = &self.nodes[n];
        let captures = node.captures();
        let unused = |b: &Self| {
            let at = (b.inputs.len() + k).checked_sub(captures);
            at.and_then(|at| b.inputs.get(at)).is_some_and(|v| b.values[*v].uses.is_empty())
        };
        if k >= captures || captures > node.inputs.len() || !node.bodies.iter().all(unused) {
            return Err(refused(format!(
                "operand {k} captured by `{}` is used or absent",
                self.node_label(n)
            )));
        }
        let slot = node.inputs.len() - captures + k;
        self.detach(n, slot);
        let node = &mut self.nodes[n];
        node.inputs.remove(slot);
        node.use_at.remove(slot);
        node.captures -= 1;
        for body in &mut node.bodies {
            body.remove_input(body.inputs.len() - captures + k);
        }
        for later in slot..self.nodes[n].inputs.len() {
            let Some(v) = self.nodes[n].inputs[later] else { continue };
            let at = self.nodes[n].use_at[later] as usize;
            self.values[v].uses[at] = Use::Node { node: n, slot: later as u32 };
        }
        Ok(())
    }
    /// Removes the unused input `i`.
    fn remove_input(&mut self, i: usize) {
        let v = self.inputs.remove(i);
        self.values[v].def = Def::Erased;
        for (at, v) in self.inputs.iter().enumerate().skip(i) {
            self.values[*v].def = Def::Input(at as u32);
        }
    }

    /// Redirects every use of `old`, graph outputs included, to `new`.
    ///
    /// # Errors
    /// When a user comes before `new` is defined, or the types contradict; nothing is changed then.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) -> Result<(), Diag> {
        if old == new {
            return Ok(());
        }
        let compatible = self.values[old].ty.meet(&self.values[new].ty);
        if compatible.is_none() {
            let (a, b) = (&self.values[old].ty, &self.values[new].ty);
            return Err(Diag::error(
                "E0402",
                format!("a value of type {a} cannot be replaced by one of type {b}"),
            ));
        }
        for u in &self.values[old].uses {
            if let Use::Node { node, .. } = u {
                self.check_defined_before(new, *node)?;
            }
        }
        if self.values[new].def == Def::Erased {
            return Err(refused("an erased value cannot be used"));
        }
        for u in std::mem::take(&mut self.values[old].uses) {
            let at = self.values[new].uses.len() as u32;
            match u {
                Use::Node { node, slot } => {
                    self.nodes[node].inputs[slot as usize] = Some(new);
                    self.nodes[node].use_at[slot as usize] = at;
                }
                Use::Output(i) => self.outputs[i as usize].value = new,
            }
            self.values[new].uses.push(u);
        }
        // What was known of the old value (a declared type, say) holds for the new one.
        if let (Some(ty), true) = (compatible, self.values[new].tensor.is_none()) {
            self.values[new].ty = ty;
        }
        if self.values[new].name.is_none() {
            self.values[new].name = self.values[old].name.take();
        }
        Ok(())
    }

    /// Removes a node.
    ///
    /// # Errors
    /// While a result is still used.
    pub fn erase(&mut self, n: NodeId) -> Result<(), Diag> {
        if self.nodes[n].erased {
            return Ok(());
        }
        if let Some(used) = self.nodes[n].outputs.iter().find(|o| !self.values[**o].uses.is_empty()) {
            return Err(refused(format!("`{}` is still used", self.value_label(*used))));
        }
        for slot in 0..self.nodes[n].inputs.len() {
            self.detach(n, slot);
        }
        for o in self.nodes[n].outputs.clone() {
            self.values[o].def = Def::Erased;
        }
        self.nodes[n].bodies.clear();
        self.unlink(n);
        self.nodes[n].erased = true;
        self.live -= 1;
        Ok(())
    }
    /// Removes `n` if nothing uses its results, then every producer that this leaves without users. Returns how many nodes went.
    pub fn erase_dead(&mut self, n: NodeId) -> usize {
        let (mut stack, mut gone) = (vec![n], 0);
        while let Some(n) = stack.pop() {
            let used = self.nodes[n].outputs.iter().any(|o| !self.values[*o].uses.is_empty());
            if used || self.nodes[n].erased {
                continue;
            }
            let inputs: Vec<ValueId> = self.nodes[n].inputs.iter().flatten().copied().collect();
            if self.erase(n).is_err() {
                continue;
            }
            gone += 1;
            for v in inputs {
                if let Def::Node { node, .. } = self.values[v].def {
                    stack.push(node);
                }
                self.drop_unused_const(v);
            }
        }
        gone
    }
    /// Forgets the data of a constant that nothing uses.
    pub fn drop_unused_const(&mut self, v: ValueId) {
        let value = &mut self.values[v];
        if value.def == Def::Const && value.uses.is_empty() {
            value.def = Def::Erased;
            value.tensor = None;
        }
    }

    /// Infers the types of one node's results again; `true` when any changed.
    ///
    /// # Errors
    /// When the operands do not fit; nothing is changed then.
    pub fn reinfer_node(&mut self, n: NodeId) -> Result<bool, Diag> {
        let node = &self.nodes[n];
        let known = self.known(&node.inputs);
        let cx = InferCx::new(node.op.schema(), &known, &node.bodies, node.captures(), node.outputs.len());
        let at = |e| diag_at(e, &node.op, Some(&self.node_label(n))).origin(node.origin.clone());
        let types = infer_op(&node.op, &cx).map_err(at)?;
        let contents = infer_contents(&node.op, &cx);
        let mut changed = false;
        for ((v, ty), content) in self.nodes[n].outputs.clone().into_iter().zip(types).zip(contents) {
            let value = &mut self.values[v];
            // A declared type that inference cannot see stays; a contradiction follows the computation.
            let ty = value.ty.meet(&ty).unwrap_or(ty);
            changed |= ty != value.ty || content != value.content;
            value.ty = ty;
            value.content = content;
        }
        Ok(changed)
    }
    /// Infers all types again, in order. Returns how many nodes' results changed.
    ///
    /// # Errors
    /// The first node whose operands no longer fit.
    pub fn reinfer(&mut self) -> Result<usize, Diag> {
        let mut changed = 0;
        for n in self.order_list() {
            changed += usize::from(self.reinfer_node(n)?);
        }
        Ok(changed)
    }
}
