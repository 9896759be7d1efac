//! Kernels that PyTorch fuses whole layers into, spelled out in operators.
use super::Eval;
use crate::pytorch::lift::cx::R;
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::value::Value;

/// A mask of attention: `true` is left out. Its kind: 0 of (target, source), 1 of (batch, source), 2 of all axes.
struct Mask {
    mask: Value,
    kind: Value,
}

impl Eval<'_> {
    /// A fused kernel; nothing for other operators.
    pub(super) fn fused_op(&mut self, name: &str, args: &[Value], at: Pos) -> R<Option<Value>> {
        match (name, args) {
            ("_native_multi_head_attention", [q, k, v, width, heads, wi, bi, wo, bo, rest @ ..]) => {
                let mask = Mask {
                    mask: rest.first().cloned().unwrap_or(Value::None),
                    kind: rest.get(3).cloned().unwrap_or(Value::None),
                };
                let weights = !matches!(rest.get(1), Some(Value::Bool(false)));
                let averaged = !matches!(rest.get(2), Some(Value::Bool(false)));
                let projections = [wi.clone(), bi.clone(), wo.clone(), bo.clone()];
                self.attention([q, k, v], (width, heads), &projections, &mask, (weights, averaged), at)
                    .map(Some)
            }
            ("_transformer_encoder_layer_fwd", [_, ..]) if args.len() >= 18 => {
                self.encoder_layer(args, at).map(Some)
            }
            _ => Ok(None),
        }
    }
    fn op(&mut self, name: &str, args: &[&Value], at: Pos) -> R<Value> {
        self.operator(&format!("aten::{name}"), args.iter().map(|v| (*v).clone()).collect(), vec![], at)
    }
    /// Heads of a projection: (batch, heads, steps, width of a head).
    fn heads(&mut self, x: &Value, (weight, bias): (&Value, &Value), heads: &Value, at: Pos) -> R<Value> {
        let y = self.op("linear", &[x, weight, bias], at)?;
        let (batch, steps) =
            (self.op("size", &[x, &Value::int(0)], at)?, self.op("size", &[x, &Value::int(1)], at)?);
        let sizes = self.heap.list(vec![batch, steps, heads.clone(), Value::int(-1)]);
        let y = self.op("reshape", &[&y, &sizes], at)?;
        self.op("transpose", &[&y, &Value::int(1), &Value::int(2)], at)
    }
    fn attention(
        &mut self,
        data: [&Value; 3],
        (width, heads): (&Value, &Value),
        [wi, bi, wo, bo]: &[Value; 4],
        mask: &Mask,
        (weights, averaged): (bool, bool),
        at: Pos,
    ) -> R<Value> {
        let three = Value::int(3);
        let (wi, bi) = (self.op("chunk", &[wi, &three], at)?, self.op("chunk", &[bi, &three], at)?);
        let mut parts = vec![];
        for (i, x) in data.into_iter().enumerate() {
            let i = Value::int(i as i64);
            let (w, b) = (self.item(&wi, &i, at)?, self.item(&bi, &i, at)?);
            parts.push(self.heads(x, (&w, &b), heads, at)?);
        }
        let [q, k, v] = parts.as_slice() else { return self.refuse(at, "attention without its three parts") };
        let turned = self.op("transpose", &[k, &Value::int(-1), &Value::int(-2)], at)?;
        let scores = self.op("matmul", &[q, &turned], at)?;
        let share = self.op("div", &[width, heads], at)?;
        let scale = self.op("sqrt", &[&share], at)?;
        let scores = self.op("div", &[&scores, &scale], at)?;
        let scores = self.masked(scores, mask, at)?;
        let probabilities = self.op("softmax", &[&scores, &Value::int(-1), &Value::None], at)?;
        let mixed = self.op("matmul", &[&probabilities, v], at)?;
        let mixed = self.op("transpose", &[&mixed, &Value::int(1), &Value::int(2)], at)?;
        let mixed = self.op("flatten", &[&mixed, &Value::int(2)], at)?;
        let out = self.op("linear", &[&mixed, wo, bo], at)?;
        let seen = match (weights, averaged) {
            (false, _) => Value::None,
            (true, false) => probabilities,
            (true, true) => {
                let dims = self.heap.list(vec![Value::int(1)]);
                self.op("mean", &[&probabilities, &dims], at)?
            }
        };
        Ok(Value::tuple(vec![out, seen]))
    }
    fn masked(&mut self, scores: Value, Mask { mask, kind }: &Mask, at: Pos) -> R<Value> {
        if matches!(mask, Value::None) {
            return Ok(scores);
        }
        let rank = self.op("dim", &[mask], at)?;
        let padding = matches!(kind, Value::Int(k) if *k == 1.into());
        let wide = match (&rank, padding) {
            (Value::Int(r), true) if *r == 2.into() => {
                let once = self.op("unsqueeze", &[mask, &Value::int(1)], at)?;
                self.op("unsqueeze", &[&once, &Value::int(1)], at)?
            }
            _ => mask.clone(),
        };
        self.op("masked_fill", &[&scores, &wide, &Value::Float(f64::NEG_INFINITY)], at)
    }
    /// `_transformer_encoder_layer_fwd(src, width, heads, wi, bi, wo, bo, gelu, norm_first, eps, n1, b1, n2, b2, w1, c1, w2, c2, mask, kind)`.
    fn encoder_layer(&mut self, args: &[Value], at: Pos) -> R<Value> {
        let get = |i: usize| args.get(i).cloned().unwrap_or(Value::None);
        let norm = |eval: &mut Self, x: &Value, i: usize| {
            let sizes = eval.heap.list(vec![get(1)]);
            eval.op("layer_norm", &[x, &sizes, &get(i), &get(i + 1), &get(9)], at)
        };
        let attend = |eval: &mut Self, x: &Value| {
            let mask = Mask { mask: get(18), kind: get(19) };
            let projections = [get(3), get(4), get(5), get(6)];
            let pair =
                eval.attention([x, x, x], (&get(1), &get(2)), &projections, &mask, (false, false), at)?;
            eval.item(&pair, &Value::int(0), at)
        };
        let feed = |eval: &mut Self, x: &Value| {
            let h = eval.op("linear", &[x, &get(14), &get(15)], at)?;
            let act = if matches!(get(7), Value::Bool(true)) { "gelu" } else { "relu" };
            let h = eval.op(act, &[&h], at)?;
            eval.op("linear", &[&h, &get(16), &get(17)], at)
        };
        let mut x = get(0);
        if matches!(get(8), Value::Bool(true)) {
            let y = norm(self, &x, 10)?;
            let y = attend(self, &y)?;
            x = self.op("add", &[&x, &y], at)?;
            let y = norm(self, &x, 12)?;
            let y = feed(self, &y)?;
            return self.op("add", &[&x, &y], at);
        }
        let y = attend(self, &x)?;
        let y = self.op("add", &[&x, &y], at)?;
        x = norm(self, &y, 10)?;
        let y = feed(self, &x)?;
        let y = self.op("add", &[&x, &y], at)?;
        norm(self, &y, 12)
    }
}
