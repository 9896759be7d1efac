//! The formula of attention: `softmax(q k^T * scale + mask) v` per head.
use super::fuse_scales::scaled;
use super::shapes::{dims, dims_of, made_by};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Add;
use hoist_ir::ops::movement::transpose::Transpose;

/// Most steps from the softmax to the products.
const STEPS: usize = 8;

/// What the formula reads, heads apart.
pub(super) struct Formula {
    /// `[B, H, S, D]`.
    pub q: ValueId,
    /// `[B, H, T, D]`.
    pub k: Keys,
    /// `[B, H, T, D]`.
    pub v: ValueId,
    /// Factor of the products, above 0.
    pub scale: f64,
    /// Bound of the products; 0 is none.
    pub softcap: f32,
    /// What is added to the products, of their type: at most two values.
    pub masks: Vec<ValueId>,
    /// The nodes of the formula.
    pub nodes: Vec<NodeId>,
}

/// Where keys are read, and how they are transposed to `[B, H, T, D]`.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    /// What is transposed.
    pub source: ValueId,
    /// The permutation; the natural order when nothing moves.
    pub perm: [i64; 4],
}

impl Keys {
    /// Whether the source has heads apart already.
    pub fn is_apart(self) -> bool {
        self.perm.is_sorted()
    }
    /// The keys as `[B, H, T, D]`.
    ///
    /// # Errors
    /// When they cannot be transposed.
    pub fn apart(self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        if self.is_apart() {
            return Ok(self.source);
        }
        b.transpose(Transpose { perm: self.perm.to_vec() }, self.source)
    }
    /// The sizes of the keys as `[B, H, T, D]`.
    fn sizes(self, g: &Graph) -> Option<[&Dim; 4]> {
        let d = dims_of::<4>(g, self.source)?;
        let [a, b, c, e] = self.perm.map(|p| usize::try_from(p).ok().and_then(|p| d.get(p)));
        Some([a?, b?, c?, e?])
    }
}

type Miss = &'static str;

/// The scores below the softmax.
struct Scores {
    scale: f64,
    softcap: f32,
    masks: Vec<ValueId>,
    nodes: Vec<NodeId>,
}

/// The formula whose last product is `n`.
///
/// # Errors
/// The reason why it is none; `None` when `n` is not the product by a softmax.
pub(super) fn formula(g: &Graph, n: NodeId) -> Result<Formula, Option<Miss>> {
    let [Some(p), Some(v)] = *g.node(n).inputs() else { return Err(None) };
    let Some((softmax, Op::Softmax(s))) = made_by(g, p) else { return Err(None) };
    let scores = g.node(softmax).input(0).ok_or(None)?;
    let Some([_, heads, queries, keys]) = dims_of::<4>(g, scores) else {
        return Err(Some("the scores do not have four axes"));
    };
    if s.axis != -1 && s.axis != 3 {
        return Err(Some("the softmax is along another axis"));
    }
    if g.single_user(p).is_none() {
        return Err(Some("something else uses the probabilities"));
    }
    let mut found = Scores { scale: 1.0, softcap: 0.0, masks: vec![], nodes: vec![n, softmax] };
    let product = found.follow(g, scores, STEPS)?;
    let [Some(mut q), Some(kt)] = *g.node(product).inputs() else { return Err(None) };
    found.nodes.push(product);
    while let Some((m, (x, factor))) = g.producer(q).and_then(|m| Some((m, scaled(g, m)?))) {
        if g.single_user(q).is_none() {
            break;
        }
        found.scale *= factor;
        found.nodes.push(m);
        q = x;
    }
    let k = keys_of(g, kt, &mut found)?;
    if !(found.scale.is_finite() && found.scale as f32 > 0.0 && (found.scale as f32).is_normal()) {
        return Err(Some("the factor of the scores is not above 0"));
    }
    let (Some(k4), Some(q4), Some(v4)) = (k.sizes(g), dims_of::<4>(g, q), dims_of::<4>(g, v)) else {
        return Err(Some("queries, keys and values do not have four axes"));
    };
    let same = [(&q4[0], k4[0]), (&q4[0], &v4[0]), (&q4[1], k4[1]), (&q4[1], &v4[1]), (&q4[1], heads)]
        .into_iter()
        .chain([(&q4[2], queries), (k4[2], keys), (k4[2], &v4[2]), (&q4[3], k4[3])])
        .all(|(a, b)| a.surely_equals(b));
    if !same {
        return Err(Some("sizes of queries, keys and values may differ"));
    }
    Ok(Formula {
        q,
        k,
        v,
        scale: found.scale,
        softcap: found.softcap,
        masks: found.masks,
        nodes: found.nodes,
    })
}

/// The keys whose transpose is `kt`. Factors on the way are noted.
fn keys_of(g: &Graph, kt: ValueId, found: &mut Scores) -> Result<Keys, Option<Miss>> {
    let mut v = kt;
    let mut perm = None;
    for _ in 0..STEPS {
        let Some((n, op)) = made_by(g, v) else { break };
        if let (Op::Transpose(t), None, Some(x)) = (op, perm, g.node(n).input(0)) {
            // What is transposed to `[B, H, D, T]` is transposed to `[B, H, T, D]` by this.
            perm = <[i64; 4]>::try_from(&t.perm[..]).ok().map(|[a, b, c, d]| [a, b, d, c]);
            if perm.is_none() {
                break;
            }
            v = x;
        } else if let Some((x, factor)) = scaled(g, n).filter(|_| g.single_user(v).is_some()) {
            found.scale *= factor;
            v = x;
        } else {
            break;
        }
        found.nodes.push(n);
    }
    match perm {
        Some(perm) => Ok(Keys { source: v, perm }),
        None => Err(Some("the keys are not transposed")),
    }
}

impl Scores {
    /// Goes from `v` down to the product, and returns its node.
    fn follow(&mut self, g: &Graph, v: ValueId, steps: usize) -> Result<NodeId, Option<Miss>> {
        let no = Err(Some("the operand of the softmax is no scaled product with a mask"));
        let Some((n, op)) = made_by(g, v).filter(|_| steps > 0) else { return no };
        if g.single_user(v).is_none() {
            return Err(Some("something else uses the scores"));
        }
        match op {
            Op::MatMul(_) => return Ok(n),
            Op::Add(_) if self.scale == 1.0 && self.softcap == 0.0 && self.masks.len() < 2 => {
                let [Some(a), Some(b)] = *g.node(n).inputs() else { return no };
                for (scores, mask) in [(a, b), (b, a)] {
                    let mut tried = Self {
                        masks: [&self.masks[..], &[mask]].concat(),
                        nodes: [&self.nodes[..], &[n]].concat(),
                        ..*self
                    };
                    if let Ok(product) = tried.follow(g, scores, steps - 1) {
                        *self = tried;
                        return Ok(product);
                    }
                }
                return no;
            }
            _ => {}
        }
        let Some((x, factor)) = scaled(g, n) else { return no };
        self.nodes.push(n);
        if let (Op::Mul(_), Some((tanh, Op::Tanh(_)))) = (op, made_by(g, x)) {
            return self.capped(g, x, tanh, factor, steps);
        }
        self.scale *= factor;
        self.follow(g, x, steps - 1)
    }
    /// Goes on below `cap * tanh(x / cap)`, of which `t` is the hyperbolic tangent.
    fn capped(
        &mut self,
        g: &Graph,
        t: ValueId,
        tanh: NodeId,
        cap: f64,
        steps: usize,
    ) -> Result<NodeId, Option<Miss>> {
        let no = Err(Some("the operand of the softmax is no scaled product with a mask"));
        let inner = g.node(tanh).input(0).and_then(|v| Some((v, g.producer(v)?)));
        let Some((v, (divided, (x, inverse)))) = inner.and_then(|(v, m)| Some((v, (m, scaled(g, m)?))))
        else {
            return no;
        };
        let whole = self.scale == 1.0 && self.softcap == 0.0 && cap > 0.0;
        let inverts = (inverse * cap - 1.0).abs() < 1e-6;
        if !whole || !inverts || g.single_user(t).is_none() || g.single_user(v).is_none() {
            return no;
        }
        self.nodes.extend([tanh, divided]);
        self.softcap = cap as f32;
        self.follow(g, x, steps - 1)
    }
}

/// The masks as one, which surely has the sizes of the scores in its last two axes.
///
/// # Errors
/// When it cannot be shown to.
pub(super) fn one_mask(
    b: &mut Builder<'_>,
    masks: &[ValueId],
    scores: [&Dim; 2],
) -> Result<Option<ValueId>, Diag> {
    let mask = match *masks {
        [] => return Ok(None),
        [one] => one,
        [first, second, ..] => b.plus(Add {}, first, second)?,
    };
    let fits = dims(b.graph(), mask).is_some_and(|d| match d {
        [s, t] | [_, _, s, t] => s.surely_equals(scores[0]) && t.surely_equals(scores[1]),
        _ => false,
    });
    if fits { Ok(Some(mask)) } else { Err(Diag::error("E0403", "the mask is stretched to the scores")) }
}
