//! IF, WHILE and calls as nodes.
use crate::tflite::lift::{Cx, Lifted};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin, ValueId};
use hoist_ir::ops::control::if_::If;
use hoist_ir::ops::control::loop_::Loop;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::splice::Splicer;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;

/// Rounds of looking at what a body makes of the types that it gets.
const MAX_ROUNDS: usize = 4;

fn operands(cx: &Cx<'_, '_>, from: usize) -> Result<Vec<ValueId>, Diag> {
    (from..cx.inputs.len()).map(|i| cx.arg(i)).collect()
}

fn types(cx: &Cx<'_, '_>, values: &[ValueId]) -> Vec<Type> {
    values.iter().map(|v| cx.b.graph().ty(*v).clone()).collect()
}

/// IF: a condition, and what both branches take.
pub(super) fn branch(cx: &mut Cx<'_, '_>) -> Lifted {
    let (cond, values) = (cx.arg(0)?, operands(cx, 1)?);
    let types = types(cx, &values);
    let bodies = vec![cx.body("then_subgraph_index", &types)?, cx.body("else_subgraph_index", &types)?];
    let inputs: Vec<Option<ValueId>> =
        std::iter::once(cond).chain(values.iter().copied()).map(Some).collect();
    cx.b.add_node(NewNode {
        outputs: cx.results.len(),
        bodies,
        captures: values.len(),
        ..NewNode::new(If {}, &inputs)
    })
}

/// CALL and composite operators: the nodes of the subgraph itself.
pub(super) fn call(cx: &mut Cx<'_, '_>, field: &str) -> Lifted {
    let values = operands(cx, 0)?;
    let types = types(cx, &values);
    let body = cx.body(field, &types)?;
    Splicer::new(&body).splice(cx.b, &values)
}

/// WHILE: what the condition and the body take and the body gives. What the body gives back as it is does not change.
pub(super) fn repeat(cx: &mut Cx<'_, '_>) -> Lifted {
    let values = operands(cx, 0)?;
    let (body, types) = settled(cx, types(cx, &values))?;
    let condition = cx.body("cond_subgraph_index", &types)?;
    if condition.outputs().len() != 1 {
        return Err(cx.bad("a condition is one value"));
    }
    let fixed: Vec<bool> = body.outputs().iter().zip(body.inputs()).map(|(o, v)| o.value == *v).collect();
    let of = |fix: bool| -> Vec<usize> { (0..values.len()).filter(|k| fixed[*k] == fix).collect() };
    let (carried, kept) = (of(false), of(true));
    let first = Splicer::new(&condition).splice(cx.b, &values)?[0];
    let first = scalar(cx.b, first)?;
    let whole = body_of(&body, &condition, &types, &carried, &kept)?;
    let mut inputs = vec![None, Some(first)];
    inputs.extend(carried.iter().chain(&kept).map(|k| Some(values[*k])));
    let results = cx.b.add_node(NewNode {
        outputs: carried.len(),
        bodies: vec![whole],
        captures: kept.len(),
        ..NewNode::new(Loop {}, &inputs)
    })?;
    let mut out = values;
    for (k, v) in carried.iter().zip(results) {
        out[*k] = v;
    }
    Ok(out)
}

/// The body, with inputs of types that it gives again.
fn settled(cx: &mut Cx<'_, '_>, mut types: Vec<Type>) -> Result<(Graph, Vec<Type>), Diag> {
    for round in 0..=MAX_ROUNDS {
        let body = cx.body("body_subgraph_index", &types)?;
        if body.outputs().len() != types.len() {
            return Err(cx.bad("a body gives what it takes"));
        }
        let mut same = true;
        for (ty, o) in types.iter_mut().zip(body.outputs()) {
            let joined = ty.join(body.ty(o.value));
            if joined == *ty {
                continue;
            }
            same = false;
            *ty = match joined {
                Type::Tensor(t) if round + 1 == MAX_ROUNDS => {
                    Type::Tensor(hoist_ir::types::TensorType::unranked(t.dtype))
                }
                Type::Tensor(_) => joined,
                _ => return Err(cx.bad("a body changes an element type")),
            };
        }
        if same {
            return Ok((body, types));
        }
    }
    Err(cx.unsupported("a body whose types do not settle"))
}

/// A 0-d condition.
fn scalar(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    if b.graph().ty(v).as_tensor().and_then(hoist_ir::types::TensorType::rank) == Some(0) {
        return Ok(v);
    }
    let to = b.ints(&[]);
    b.reshape(Reshape::default(), v, to)
}

fn body_of(
    body: &Graph,
    condition: &Graph,
    types: &[Type],
    carried: &[usize],
    kept: &[usize],
) -> Result<Graph, Diag> {
    let mut g = Graph::new(&body.name);
    g.add_input("i", Type::from(Tensor::scalar(0i64).ty()));
    g.add_input("go", Type::from(Tensor::from_bools(&[], vec![true]).ty()));
    let mut args = vec![None; types.len()];
    for k in carried.iter().chain(kept) {
        let name = body.value_label(body.inputs()[*k]);
        args[*k] = Some(g.add_input(&name, types[*k].clone()));
    }
    let args: Vec<ValueId> = args.into_iter().flatten().collect();
    let mut b = Builder::at_end(&mut g, Origin::default());
    let next = Splicer::new(body).splice(&mut b, &args)?;
    let go = Splicer::new(condition).splice(&mut b, &next)?[0];
    let go = scalar(&mut b, go)?;
    g.add_output("go", go);
    for k in carried {
        g.add_output(&format!("next{k}"), next[*k]);
    }
    Ok(g)
}
