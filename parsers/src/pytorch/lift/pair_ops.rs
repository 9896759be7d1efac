//! What the IR's operators mean on complex operands, in terms of their parts.
use super::cx::{Cx, R, V, malformed, unsupported};
use super::pairs::Parts;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;

/// Attributes of a node.
type Attrs<'a> = &'a [(&'a str, Attr)];

/// How an operator acts on complex numbers.
enum Rule {
    /// Moves elements: what it does to the stored pairs follows from the logical axes.
    Moved,
    /// Linear over the reals in the operands at these positions, all others real: applied to each part.
    Linear(&'static [usize]),
    /// A sum or a difference.
    Sum,
    /// A product of as many operands as there are; a third operand of those with a bias is added.
    Product,
}

fn rule(name: &str) -> Option<Rule> {
    Some(match name {
        "identity" | "reshape" | "expand" | "transpose" | "unsqueeze" | "squeeze" | "slice" | "gather"
        | "concat" | "where" | "split" => Rule::Moved,
        "pad" | "scatter_elements" | "scatter_nd" => Rule::Linear(&[0, 2]),
        "gather_elements" | "gather_nd" | "tile" | "trilu" | "compress" | "reduce_sum" | "reduce_mean"
        | "cum_sum" | "neg" => Rule::Linear(&[0]),
        "add" | "sub" => Rule::Sum,
        "mul" | "mat_mul" | "einsum" | "conv" | "conv_transpose" => Rule::Product,
        _ => return None,
    })
}

impl Cx {
    /// A node with complex operands.
    ///
    /// # Errors
    /// When the operator is not defined on them here: a complex tensor never passes for a real one.
    pub(super) fn complex_node(
        &mut self,
        name: &str,
        inputs: &[Option<V>],
        attrs: Attrs<'_>,
        outputs: usize,
    ) -> R<Vec<V>> {
        let refuse = || unsupported(format!("`{name}` of complex numbers is not supported"));
        if name == "split" {
            return self.split_pairs(inputs, attrs, outputs);
        }
        if outputs != 1 {
            return Err(refuse());
        }
        let y = match (name, rule(name)) {
            (_, Some(Rule::Moved)) => self.moved(name, inputs, attrs)?,
            (_, Some(Rule::Linear(at))) => self.linear(name, inputs, attrs, at)?,
            (_, Some(Rule::Sum)) => self.sum_of(name, inputs)?,
            (_, Some(Rule::Product)) => self.product_of(name, inputs, attrs)?,
            ("gemm", _) => self.gemm(inputs, attrs)?,
            ("div", _) => {
                let (a, b) = two(inputs)?;
                self.quotient(a, b)?
            }
            ("reciprocal", _) => {
                let b = need(inputs, 0)?;
                let one = self.num(b, 1.0)?;
                self.quotient(one, b)?
            }
            ("equal", _) => self.equal_pairs(inputs)?,
            ("is_nan" | "is_inf", _) if attrs.is_empty() => self.any_part(name, need(inputs, 0)?)?,
            ("shape", _) => self.shape_of_pairs(need(inputs, 0)?, attrs)?,
            _ => return Err(refuse()),
        };
        Ok(vec![y])
    }

    /// An operator that moves elements, on the stored pairs.
    fn moved(&mut self, name: &str, inputs: &[Option<V>], attrs: Attrs<'_>) -> R<V> {
        let x = need(inputs, 0)?;
        let y = match name {
            "where" => return self.where_pairs(inputs),
            "concat" => {
                let xs: Vec<V> = inputs.iter().copied().flatten().collect();
                if !xs.iter().all(|x| self.is_complex(*x)) {
                    return Err(mixed(name));
                }
                let axis = self.axis(attrs, 0, x)?;
                self.raw(name, &xs, &[("axis", Attr::Int(axis))])?
            }
            "gather" => {
                let axis = self.axis(attrs, 0, x)?;
                self.raw(name, &[x, need(inputs, 1)?], &[("axis", Attr::Int(axis))])?
            }
            "transpose" => {
                let rank = self.rank(x)?;
                let mut perm = match attrs.iter().find(|a| a.0 == "perm") {
                    Some((_, Attr::Ints(p))) => p.clone(),
                    _ => (0..rank as i64).rev().collect(),
                };
                perm.push(rank as i64);
                self.raw(name, &[x], &[("perm", Attr::Ints(perm))])?
            }
            "reshape" | "expand" => {
                let two = self.int_list(&[2]);
                let sizes = need(inputs, 1)?;
                let sizes = match self.graph.const_ints(Some(sizes)) {
                    Some(mut s) => {
                        s.push(2);
                        self.int_list(&s)
                    }
                    None => self.raw("concat", &[sizes, two], &[("axis", Attr::Int(0))])?,
                };
                self.raw(name, &[x, sizes], attrs)?
            }
            "unsqueeze" | "squeeze" => self.squeezed(name, inputs, attrs)?,
            "slice" => {
                let mut all: Vec<V> = inputs.iter().copied().flatten().collect();
                if let Some(axes) = inputs.get(3).copied().flatten() {
                    all[3] = self.axes_value(axes, self.rank(x)?)?;
                }
                self.raw(name, &all, attrs)?
            }
            _ => self.raw(name, &[x], attrs)?,
        };
        Ok(self.mark(y, Parts::Joined))
    }
    fn squeezed(&mut self, name: &str, inputs: &[Option<V>], attrs: Attrs<'_>) -> R<V> {
        let x = need(inputs, 0)?;
        let rank = self.rank(x)?;
        let axes = if let Some(axes) = inputs.get(1).copied().flatten() {
            let count = self.known_len(axes).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
            self.axes_value(axes, if name == "unsqueeze" { rank + count } else { rank })?
        } else {
            let ones: Vec<i64> = (0..rank as i64).filter(|i| self.known(x, *i as usize) == Some(1)).collect();
            self.int_list(&ones)
        };
        self.raw(name, &[x, axes], attrs)
    }
    fn where_pairs(&mut self, inputs: &[Option<V>]) -> R<V> {
        let (c, a, b) = (need(inputs, 0)?, need(inputs, 1)?, need(inputs, 2)?);
        if !(self.is_complex(a) && self.is_complex(b)) || self.is_complex(c) {
            return Err(mixed("where"));
        }
        let axis = self.rank(c)? as i64;
        let c = self.unsqueeze(c, &[axis])?;
        let y = self.raw("where", &[c, a, b], &[])?;
        Ok(self.mark(y, Parts::Joined))
    }
    fn split_pairs(&mut self, inputs: &[Option<V>], attrs: Attrs<'_>, outputs: usize) -> R<Vec<V>> {
        let axis = self.axis(attrs, 0, need(inputs, 0)?)?;
        let mut attrs = attrs.to_vec();
        attrs.retain(|a| a.0 != "axis");
        attrs.push(("axis", Attr::Int(axis)));
        let out = self.add_node("split", inputs, &attrs, outputs)?;
        Ok(out.into_iter().map(|v| self.mark(v, Parts::Joined)).collect())
    }
    /// Attribute `axis`, from the front.
    fn axis(&self, attrs: Attrs<'_>, default: i64, x: V) -> R<i64> {
        let axis = attrs.iter().find_map(|a| match a {
            ("axis", Attr::Int(v)) => Some(*v),
            _ => None,
        });
        Ok(super::emit::wrap(axis.unwrap_or(default), self.rank(x)?)? as i64)
    }
    /// A list of axes of a tensor of this rank, from the front.
    fn axes_value(&mut self, axes: V, rank: usize) -> R<V> {
        let list = self.graph.const_ints(Some(axes)).ok_or_else(|| unsupported("axes that are computed"))?;
        let list: Vec<i64> =
            list.into_iter().map(|a| Ok(super::emit::wrap(a, rank)? as i64)).collect::<R<_>>()?;
        Ok(self.int_list(&list))
    }

    /// An operator that is linear in the operands at `data`, on each part.
    fn linear(&mut self, name: &str, inputs: &[Option<V>], attrs: Attrs<'_>, data: &[usize]) -> R<V> {
        let there = |i: &&usize| inputs.get(**i).copied().flatten().is_some();
        for (i, v) in inputs.iter().enumerate() {
            let complex = v.is_some_and(|v| self.is_complex(v));
            if complex != data.contains(&i) && v.is_some() {
                return Err(mixed(name));
            }
        }
        if let Some((_, Attr::Str(r))) = attrs.iter().find(|a| a.0 == "reduction")
            && !matches!(&**r, "none" | "add")
        {
            return Err(unsupported(format!("`{name}` with `{r}` of complex numbers is not supported")));
        }
        let data: Vec<usize> = data.iter().filter(there).copied().collect();
        let part = |cx: &mut Self, first: bool| -> R<V> {
            let mut own = inputs.to_vec();
            for i in &data {
                let v = need(inputs, *i)?;
                own[*i] = Some(if first { cx.re(v)? } else { cx.im(v)? });
            }
            cx.node1(name, &own, attrs)
        };
        let re = part(self, true)?;
        let mut imaginary = false;
        for i in &data {
            imaginary |= self.some_im(need(inputs, *i)?)?.is_some();
        }
        if !imaginary {
            return self.complex_of_real(re);
        }
        let im = part(self, false)?;
        self.complex(re, im)
    }
    /// A sum or difference.
    fn sum_of(&mut self, name: &str, inputs: &[Option<V>]) -> R<V> {
        let (a, b) = two(inputs)?;
        let (ar, br) = (self.re(a)?, self.re(b)?);
        let re = self.b(name, ar, br)?;
        let im = match (self.some_im(a)?, self.some_im(b)?) {
            (None, None) => return self.complex_of_real(re),
            (Some(a), Some(b)) => self.b(name, a, b)?,
            (Some(a), None) => self.expand_like(a, re)?,
            (None, Some(b)) => {
                let b = if name == "sub" { self.u("neg", b)? } else { b };
                self.expand_like(b, re)?
            }
        };
        self.complex(re, im)
    }
    /// A product: real when all operands are.
    fn product_of(&mut self, name: &str, inputs: &[Option<V>], attrs: Attrs<'_>) -> R<V> {
        let bias =
            matches!(name, "conv" | "conv_transpose").then(|| inputs.get(2).copied().flatten()).flatten();
        let factors: Vec<V> = match bias {
            Some(_) => inputs.iter().take(2).copied().flatten().collect(),
            None => inputs.iter().copied().flatten().collect(),
        };
        if factors.len() > 6 {
            return Err(unsupported(format!("`{name}` of more than six complex operands")));
        }
        let (re, im) = self.multilinear(name, &factors, attrs)?;
        let y = match im {
            None => self.complex_of_real(re)?,
            Some(im) => self.complex(re, im)?,
        };
        let Some(bias) = bias else { return Ok(y) };
        let spatial = self.rank(y)?.saturating_sub(2) as i64;
        let bias = self.unsqueeze(bias, &(1..=spatial).collect::<Vec<_>>())?;
        self.b("add", y, bias)
    }
    /// Both parts of an operator that is linear in each operand.
    fn multilinear(&mut self, name: &str, xs: &[V], attrs: Attrs<'_>) -> R<(V, Option<V>)> {
        let Some(at) = xs.iter().position(|x| self.is_complex(*x)) else {
            return Ok((self.with(name, xs, attrs)?, None));
        };
        let mut own = xs.to_vec();
        own[at] = self.re(xs[at])?;
        let (a, b) = self.multilinear(name, &own, attrs)?;
        let Some(im) = self.some_im(xs[at])? else { return Ok((a, b)) };
        own[at] = im;
        let (c, d) = self.multilinear(name, &own, attrs)?;
        // (a + b i) + i (c + d i)
        let re = match d {
            Some(d) => self.b("sub", a, d)?,
            None => a,
        };
        let im = match b {
            Some(b) => self.b("add", b, c)?,
            None => c,
        };
        Ok((re, Some(im)))
    }
    fn gemm(&mut self, inputs: &[Option<V>], attrs: Attrs<'_>) -> R<V> {
        let (mut a, mut b) = two(inputs)?;
        for (key, value) in attrs {
            match (*key, value) {
                ("trans_a", Attr::Bool(true)) => a = self.permute(a, &[1, 0])?,
                ("trans_b", Attr::Bool(true)) => b = self.permute(b, &[1, 0])?,
                ("trans_a" | "trans_b", _) => {}
                _ => return Err(unsupported("a scaled product of complex matrices")),
            }
        }
        let y = self.b("mat_mul", a, b)?;
        match inputs.get(2).copied().flatten() {
            Some(c) => self.b("add", y, c),
            None => Ok(y),
        }
    }
    /// `a / b`, both parts of `b` scaled by the larger one so that their squares neither overflow nor vanish.
    fn quotient(&mut self, a: V, b: V) -> R<V> {
        let (ar, br) = (self.re(a)?, self.re(b)?);
        let a_im = self.some_im(a)?;
        let Some(bi) = self.some_im(b)? else {
            let re = self.b("div", ar, br)?;
            return match a_im {
                None => self.complex_of_real(re),
                Some(ai) => {
                    let im = self.b("div", ai, br)?;
                    self.complex(re, im)
                }
            };
        };
        let (size_r, size_i) = (self.u("abs", br)?, self.u("abs", bi)?);
        let scale = self.b("max", size_r, size_i)?;
        let (br, bi) = (self.b("div", br, scale)?, self.b("div", bi, scale)?);
        let (rr, ii) = (self.b("mul", br, br)?, self.b("mul", bi, bi)?);
        let square = self.b("add", rr, ii)?;
        let below = self.b("mul", square, scale)?;
        let over = |cx: &mut Self, p: V, q: Option<V>, op: &str| -> R<V> {
            let above = match q {
                Some(q) => cx.b(op, p, q)?,
                None => p,
            };
            cx.b("div", above, below)
        };
        // (ar br + ai bi) / |b|^2 and (ai br - ar bi) / |b|^2
        let (p, cross) = (self.b("mul", ar, br)?, self.b("mul", ar, bi)?);
        let (q, r) = match a_im {
            None => (None, self.u("neg", cross)?),
            Some(ai) => {
                let r = self.b("mul", ai, br)?;
                (Some(self.b("mul", ai, bi)?), self.b("sub", r, cross)?)
            }
        };
        let (re, im) = (over(self, p, q, "add")?, over(self, r, None, "add")?);
        self.complex(re, im)
    }
    fn equal_pairs(&mut self, inputs: &[Option<V>]) -> R<V> {
        let (a, b) = two(inputs)?;
        let (ar, br) = (self.re(a)?, self.re(b)?);
        let re = self.b("equal", ar, br)?;
        let (ai, bi) = match (self.some_im(a)?, self.some_im(b)?) {
            (None, None) => return Ok(re),
            _ => (self.im(a)?, self.im(b)?),
        };
        let im = self.b("equal", ai, bi)?;
        self.b("and", re, im)
    }
    fn any_part(&mut self, name: &str, x: V) -> R<V> {
        let (re, im) = (self.re(x)?, self.im(x)?);
        let (re, im) = (self.u(name, re)?, self.u(name, im)?);
        self.b("or", re, im)
    }
    fn shape_of_pairs(&mut self, x: V, attrs: Attrs<'_>) -> R<V> {
        let rank = self.rank(x)? as i64;
        let bound = |key: &str, default: i64| {
            let given = attrs.iter().find_map(|a| match a.1 {
                Attr::Int(v) if a.0 == key => Some(v),
                _ => None,
            });
            let v = given.unwrap_or(default);
            (if v < 0 { v + rank } else { v }).clamp(0, rank)
        };
        let (start, end) = (bound("start", 0), bound("end", rank));
        self.raw("shape", &[x], &[("start", Attr::Int(start)), ("end", Attr::Int(end))])
    }
}

fn need(inputs: &[Option<V>], i: usize) -> R<V> {
    inputs.get(i).copied().flatten().ok_or_else(|| malformed(format!("operand {i} is missing")))
}
fn two(inputs: &[Option<V>]) -> R<(V, V)> {
    Ok((need(inputs, 0)?, need(inputs, 1)?))
}
fn mixed(name: &str) -> Diag {
    unsupported(format!("`{name}` of complex and real numbers together is not supported"))
}
