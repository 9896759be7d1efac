//! Sizes that the program fixes: an input whose last size meets a weight of 64 columns, or a check that raises otherwise.
use super::Eval;
use crate::pytorch::lift::cx::{Size, V};
use crate::pytorch::torchscript::value::Value;

impl Eval<'_> {
    /// Notes that axis `axis` of `v` has size `size`, when it is a size of an input that is not known.
    fn learn(&mut self, v: V, axis: i64, size: i64) {
        // What only one branch does says nothing about the other.
        if self.bodies > 0 {
            return;
        }
        let Ok(dims) = self.cx.dims(v) else { return };
        let at = if axis < 0 { axis + dims.len() as i64 } else { axis };
        let dim = usize::try_from(at).ok().and_then(|i| dims.get(i));
        let symbol = dim.and_then(hoist_ir::dim::Dim::to_sym);
        if let Some(name) = symbol.as_ref().and_then(|s| s.as_symbol()) {
            self.found.sizes.entry(name.to_owned()).or_insert(size);
        }
    }
    /// What a call of `name` says about the sizes of its first operand.
    pub(super) fn learn_from(&mut self, name: &str, args: &[Value]) {
        let rule: (i64, usize, i64) = match name {
            "linear" => (-1, 1, -1),
            "matmul" | "mm" => (-1, 1, -2),
            "conv1d" | "conv2d" | "conv3d" | "_convolution" | "_convolution_mode" => (1, 1, 1),
            "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" => (1, 1, 0),
            "batch_norm" => (1, 3, 0),
            "lstm" | "gru" | "rnn_tanh" | "rnn_relu" => return self.learn_from_rnn(args),
            "addmm" => return self.learn_pair(args.get(1), -1, args.get(2), 0, 1),
            "layer_norm" => return self.learn_from_norm(args),
            _ => return,
        };
        let groups = match name {
            "_convolution" => args.get(8),
            "conv1d" | "conv2d" | "conv3d" => args.get(6),
            _ => None,
        };
        // Transposed convolutions have their groups among the outputs.
        let transposed = name == "_convolution" && matches!(args.get(6), Some(Value::Bool(true)));
        let (axis, weight, of) = if transposed { (1, 1, 0) } else { rule };
        let times = match groups {
            Some(Value::Int(Size::Known(g))) if !transposed => *g,
            _ => 1,
        };
        self.learn_pair(args.first(), axis, args.get(weight), of, times);
    }
    fn learn_pair(&mut self, data: Option<&Value>, axis: i64, weight: Option<&Value>, of: i64, times: i64) {
        let (Some(data), Some(weight)) = (data, weight) else { return };
        let (Some(x), Some(w)) = (self.ir_of(data), self.ir_of(weight)) else { return };
        let Ok(rank) = self.cx.rank(w) else { return };
        // A vector on the right side of a product has one axis only.
        let of = if rank == 1 {
            0
        } else if of < 0 {
            of + rank as i64
        } else {
            of
        };
        let size = usize::try_from(of).ok().filter(|o| *o < rank).and_then(|o| self.cx.known(w, o));
        let size = size.and_then(|n| n.checked_mul(times));
        // Without a batch axis the channels come first.
        let unbatched = axis == 1 && self.cx.rank(x).is_ok_and(|r| r + 1 == rank && rank > 2);
        if let Some(size) = size {
            self.learn(x, if unbatched { 0 } else { axis }, size);
        }
    }
    fn learn_from_rnn(&mut self, args: &[Value]) {
        let first = args.get(2).and_then(|v| self.heap.elements(v)).and_then(|l| l.first().cloned());
        let data = args.first().cloned();
        self.learn_pair(data.as_ref(), -1, first.as_ref(), 1, 1);
    }
    fn learn_from_norm(&mut self, args: &[Value]) {
        let sizes = args.get(1).and_then(|v| self.heap.elements(v)).unwrap_or_default().to_vec();
        let Some(x) = args.first().and_then(|v| self.ir_of(&v.clone())) else { return };
        for (i, size) in sizes.iter().rev().enumerate() {
            if let Value::Int(Size::Known(n)) = size {
                self.learn(x, -(i as i64) - 1, *n);
            }
        }
    }
    fn ir_of(&mut self, v: &Value) -> Option<V> {
        let id = self.tensor_of(v, 0).ok()?;
        self.cx.read_tensor(id).ok()
    }
    /// What follows from `condition` being `truth`, as otherwise the program raises an exception.
    pub(super) fn learn_truth(&mut self, condition: V, truth: bool) {
        if self.bodies > 0 {
            return;
        }
        let Some(n) = self.cx.graph.producer(condition) else { return };
        let node = self.cx.graph.node(n);
        let (name, inputs) = (node.op().name(), node.inputs().to_vec());
        match (name, inputs.as_slice()) {
            ("not", [Some(v)]) => self.learn_truth(*v, !truth),
            ("equal", [Some(a), Some(b)]) if truth => {
                let number = |eval: &mut Self, v: V| eval.constant_of(v).and_then(|t| t.as_int());
                let (x, y) = (number(self, *a), number(self, *b));
                let (symbolic, known) = match (x, y) {
                    (None, Some(n)) => (*a, n),
                    (Some(n), None) => (*b, n),
                    _ => return,
                };
                let content = self.cx.graph.value(symbolic).content().cloned();
                if let Some([Some(one)]) = content.as_deref()
                    && let Some(name) = one.as_symbol()
                {
                    self.found.sizes.entry(name.to_owned()).or_insert(known);
                }
            }
            _ => {}
        }
    }
}
