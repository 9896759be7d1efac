//! The same graph with its inputs known less or more exactly, and checks that what is inferred holds for what is computed.
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::edit::NewNode;
use hoist_ir::eval::Value;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::types::{TensorType, Type};
use std::collections::BTreeMap;

/// What is known of the inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// What the text says.
    Given,
    /// A symbol in place of each size, all different.
    SymbolPerAxis,
    /// A symbol in place of each size, equal ones for equal sizes.
    SymbolPerSize,
    /// The rank only.
    Unknown,
    /// Not even the rank.
    Unranked,
    /// The values.
    Constant,
}

/// Every variant.
pub const ALL: [How; 6] =
    [How::Given, How::SymbolPerAxis, How::SymbolPerSize, How::Unknown, How::Unranked, How::Constant];

/// Sizes of symbols.
pub type Sizes = BTreeMap<String, i64>;

/// `graph` with inputs as `how` says, and the values of those that are still inputs. Types are inferred anew.
pub fn variant(graph: &Graph, inputs: &[Value], how: How) -> Result<(Graph, Vec<Value>), String> {
    let (mut g, mut values) = (Graph::new(&graph.name), vec![]);
    let mut map: BTreeMap<usize, ValueId> = BTreeMap::new();
    for (i, (v, value)) in graph.inputs().iter().zip(inputs).enumerate() {
        let new = match value {
            Value::Tensor(t) if how == How::Constant => g.add_const(t.clone()),
            _ => {
                values.push(value.clone());
                let name = graph.value(*v).name.clone().unwrap_or_default();
                g.add_input(&name, loosen(graph.ty(*v), how, &mut format!("i{i}_")))
            }
        };
        map.insert(v.index(), new);
    }
    let lookup = |g: &mut Graph, map: &mut BTreeMap<usize, ValueId>, v: ValueId| {
        *map.entry(v.index()).or_insert_with(|| match graph.constant(v) {
            Some(t) => g.add_const(t.clone()),
            None => panic!("{} is used before it is defined", graph.value_label(v)),
        })
    };
    for n in graph.order() {
        let node = graph.node(n);
        let inputs = node.inputs().iter().map(|v| v.map(|v| lookup(&mut g, &mut map, v))).collect();
        let new = g.append(NewNode::like(node, inputs)).map_err(|d| d.to_string())?;
        map.extend(node.outputs().iter().map(|v| v.index()).zip(g.node(new).outputs().iter().copied()));
    }
    for o in graph.outputs() {
        let v = lookup(&mut g, &mut map, o.value);
        g.add_output(&o.name, v);
    }
    Ok((g, values))
}

/// The type with fixed sizes replaced as `how` says; `prefix` makes new symbols.
fn loosen(ty: &Type, how: How, prefix: &mut String) -> Type {
    let t = match ty {
        Type::Tensor(t) => t,
        Type::Sequence(t) => return Type::Sequence(Box::new(loosen(t, how, prefix))),
        Type::Optional(t) => return Type::Optional(Box::new(loosen(t, how, prefix))),
        Type::Map(..) | Type::Unknown => return ty.clone(),
    };
    let mut dim = |d: &Dim| match (how, d) {
        (How::SymbolPerSize, Dim::Known(n)) => Dim::symbol(&format!("size_{n}")),
        (How::SymbolPerAxis, Dim::Known(_)) => {
            prefix.push('x');
            Dim::symbol(prefix)
        }
        (How::Unknown, _) => Dim::Unknown,
        _ => d.clone(),
    };
    let shape = t.shape.as_ref().map(|s| s.iter().map(&mut dim).collect());
    TensorType::new(t.dtype, if how == How::Unranked { None } else { shape }).into()
}

/// Sizes of the symbols in the types of `graph`'s inputs.
pub fn sizes(graph: &Graph, inputs: &[Value]) -> Result<Sizes, String> {
    let mut out = Sizes::new();
    for (v, value) in graph.inputs().iter().zip(inputs) {
        collect_sizes(graph.ty(*v), value, &mut out)?;
    }
    Ok(out)
}

fn collect_sizes(ty: &Type, value: &Value, out: &mut Sizes) -> Result<(), String> {
    match (ty, value) {
        (Type::Tensor(TensorType { shape: Some(shape), .. }), Value::Tensor(t)) => {
            for (d, n) in shape.iter().zip(t.shape()) {
                let sym = d.to_sym();
                let Some(name) = sym.as_ref().and_then(SymInt::as_symbol) else { continue };
                let old = out.insert(name.to_owned(), *n as i64);
                if old.is_some_and(|o| o != *n as i64) {
                    return Err(format!("the inputs give `{name}` two sizes"));
                }
            }
            Ok(())
        }
        (Type::Sequence(ty), Value::Sequence(all)) => all.iter().try_for_each(|v| collect_sizes(ty, v, out)),
        (Type::Optional(ty), Value::Optional(v)) => v.iter().try_for_each(|v| collect_sizes(ty, v, out)),
        _ => Ok(()),
    }
}

fn number(e: &SymInt, sizes: &Sizes) -> Option<i64> {
    e.substitute(&|name| sizes.get(name).copied().map(SymInt::from))?.as_const()
}

/// Checks that `value` is an instance of `ty`, given the sizes of symbols; symbols without a size may be anything.
pub fn is_instance(value: &Value, ty: &Type, sizes: &Sizes) -> Result<(), String> {
    let wrong = || Err(format!("{} was computed where {ty} was inferred (symbols: {sizes:?})", value.ty()));
    match (value, ty) {
        (_, Type::Unknown) => Ok(()),
        (Value::Tensor(t), Type::Tensor(ty)) => {
            let fits = |(d, n): (&Dim, &usize)| {
                d.to_sym().and_then(|e| number(&e, sizes)).is_none_or(|k| k == *n as i64)
            };
            let shape = ty.shape.as_deref();
            let fits = shape.is_none_or(|s| s.len() == t.rank() && s.iter().zip(t.shape()).all(fits));
            if t.dtype() == ty.dtype && fits { Ok(()) } else { wrong() }
        }
        (Value::Sequence(all), Type::Sequence(ty)) => all.iter().try_for_each(|v| is_instance(v, ty, sizes)),
        (Value::Optional(v), Type::Optional(ty)) => v.iter().try_for_each(|v| is_instance(v, ty, sizes)),
        _ => wrong(),
    }
}

/// Checks that the symbolic elements known of `v` are those computed.
pub fn holds_content(graph: &Graph, v: ValueId, value: &Value, sizes: &Sizes) -> Result<(), String> {
    let (Some(content), Value::Tensor(t)) = (graph.value(v).content(), value) else { return Ok(()) };
    let computed = t.to_i64s().map_err(|e| e.to_string())?;
    let known: Vec<_> = content.iter().map(|e| e.as_ref().and_then(|e| number(e, sizes))).collect();
    let same =
        known.len() == computed.len() && known.iter().zip(&computed).all(|(k, c)| k.is_none_or(|k| k == *c));
    if same { Ok(()) } else { Err(format!("{computed:?} was computed where {content:?} was inferred")) }
}
