//! Older forms of normalizations, poolings and `Dropout`, some of which are several nodes of the IR; and what `Momentum` must write out.
use super::bind::TRAINING;
use super::row::{Arg, Fix, Foreign, Row, add, row_of, set_attr};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// Rows of ONNX's operators for training.
pub const ROWS: &[Row] = &[
    row_of(TRAINING, "adagrad", "Adagrad"),
    row_of(TRAINING, "adam", "Adam"),
    row_of(TRAINING, "momentum", "Momentum").with(&[Fix::Finish(momentum_attributes)]),
];

fn diag(e: OpError) -> Diag {
    let mut d = Diag::error(e.code, e.message);
    d.hint = e.hint;
    d
}

fn op(name: &str, attrs: &[(&str, Attr)]) -> Result<Op, Diag> {
    let mut op = Op::by_name(name).ok_or_else(|| Diag::error("E0901", format!("unknown op `{name}`")))?;
    for (name, value) in attrs {
        set_attr(&mut op, name, value).map_err(diag)?;
    }
    Ok(op)
}

/// The one result of a node.
fn single(b: &mut Builder<'_>, op: Op, inputs: &[ValueId]) -> Result<ValueId, Diag> {
    let inputs: Vec<Option<ValueId>> = inputs.iter().copied().map(Some).collect();
    let results = b.add(op, &inputs)?;
    results.first().copied().ok_or_else(|| Diag::error("E0901", "an op without results"))
}

fn operand(node: &Foreign, slot: usize) -> Result<ValueId, Diag> {
    let missing = || Diag::error("E0303", format!("`{}` lacks operand {slot}", node.op_type));
    node.value(slot).ok_or_else(missing)
}

fn reshaped(b: &mut Builder<'_>, x: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
    let shape = b.constant(Tensor::from_ints(sizes));
    single(b, op("reshape", &[])?, &[x, shape])
}

fn reshaped_like(b: &mut Builder<'_>, x: ValueId, like: ValueId) -> Result<ValueId, Diag> {
    let shape = single(b, op("shape", &[])?, &[like])?;
    single(b, op("reshape", &[])?, &[x, shape])
}

/// Whether a `BatchNormalization` of opset 7 to 13 is more than inference over channels.
pub fn batch_norm_is_special(node: &Foreign) -> bool {
    let spatial = node.attrs.iter().find(|(n, _)| n == "spatial").map(|(_, v)| v);
    node.outputs > 1 || spatial.is_some_and(|v| *v != Attr::Int(1))
}

/// `BatchNormalization` before 14. Training is what `is_test` = 0 says before 7, and more than one result from then on. `saved_mean` and
/// `saved_var` are the batch's own: running statistics of a momentum of 0. `spatial` = 0 has statistics for each element of a sample:
/// the data is flattened, as the specification of opset 9 suggests.
///
/// # Errors
/// When attributes or operands do not fit.
pub fn old_batch_norm(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let training =
        if node.opset < 7 { node.take_int("is_test", 0).map_err(diag)? == 0 } else { node.outputs > 1 };
    let spatial = node.take_int("spatial", 1).map_err(diag)? != 0;
    if !training && node.outputs > 1 {
        return Err(Diag::error("E0303", "`BatchNormalization` in test mode has one result"));
    }
    let attrs = std::mem::take(&mut node.attrs);
    let mut attrs: Vec<(&str, Attr)> = attrs.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    attrs.push(("training_mode", Attr::Bool(training)));
    let given = (0..5).map(|i| operand(&node, i)).collect::<Result<Vec<_>, _>>()?;
    let mut inputs = given.clone();
    if !spatial {
        inputs[0] = single(b, op("flatten", &[("axis", Attr::Int(1))])?, &[given[0]])?;
        for v in &mut inputs[1..] {
            *v = reshaped(b, *v, &[-1])?;
        }
    }
    let inputs: Vec<Option<ValueId>> = inputs.into_iter().map(Some).collect();
    let wanted = if training { 3 } else { 1 };
    let mut results = b.add_n(op("batch_normalization", &attrs)?, &inputs, wanted)?;
    if node.outputs > 3 {
        attrs.retain(|(n, _)| *n != "momentum");
        attrs.push(("momentum", Attr::Float(0.0)));
        let saved = b.add_n(op("batch_normalization", &attrs)?, &inputs, 3)?;
        results.extend_from_slice(&saved[1..]);
    }
    results.truncate(node.outputs);
    if !spatial {
        for (i, v) in results.iter_mut().enumerate() {
            *v = reshaped_like(b, *v, if i == 0 { given[0] } else { given[3] })?;
        }
    }
    Ok(results)
}

/// In training mode, `BatchNormalization` has three results.
pub fn training_has_all_results(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    let node = graph.node(n);
    if node.op().def().attr("training_mode") == Some(Attr::Bool(true)) && node.outputs().len() < 3 {
        return Err("training mode without running statistics".to_owned());
    }
    Ok(())
}

/// `GroupNormalization` 18 has a scale and a bias for each group: they are repeated for each of its channels.
///
/// # Errors
/// When attributes or operands do not fit.
pub fn group_norm_by_group(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let groups = node.attrs.iter().find_map(|(n, v)| if n == "num_groups" { Some(v.clone()) } else { None });
    let Some(Attr::Int(groups)) = groups else {
        return Err(Diag::error("E0304", "`GroupNormalization` needs the integer `num_groups`"));
    };
    let (x, bad) = (operand(&node, 0)?, || Diag::error("E0304", format!("`num_groups` = {groups}")));
    let known = b.graph().ty(x).as_tensor().and_then(|t| t.shape.as_ref()?.get(1)?.known());
    let per_group = match known.and_then(|c| i64::try_from(c).ok()) {
        Some(c) if groups > 0 && c % groups == 0 => b.constant(Tensor::from_ints(&[c / groups])),
        Some(_) => return Err(bad()),
        None => {
            let axis = [("start", Attr::Int(1)), ("end", Attr::Int(2))];
            let channels = single(b, op("shape", &axis)?, &[x])?;
            let groups = b.constant(Tensor::from_ints(&[groups]));
            single(b, op("div", &[])?, &[channels, groups])?
        }
    };
    let all = b.constant(Tensor::from_ints(&[groups]));
    let sizes = single(b, op("concat", &[("axis", Attr::Int(0))])?, &[all, per_group])?;
    for slot in 1..3 {
        let own = operand(&node, slot)?;
        let column = reshaped(b, own, &[-1, 1])?;
        let spread = single(b, op("expand", &[])?, &[column, sizes])?;
        node.set_input(slot, Arg::Value(reshaped(b, spread, &[-1])?));
    }
    let attrs: Vec<(&str, Attr)> = node.attrs.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    let op = op("group_normalization", &attrs)?;
    add(b, op, node)
}

/// Whether a `Dropout` gives a mask with the element type of the data, as before opset 10.
pub fn dropout_has_old_mask(node: &Foreign) -> bool {
    node.opset < 10 && node.outputs > 1
}

/// `Dropout` before 10: `ratio` is an attribute, `is_test` (before 7) = 0 says training, and the mask has the element type of the data.
///
/// # Errors
/// When attributes or operands do not fit.
pub fn old_dropout(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let training = node.opset < 7 && node.take_int("is_test", 0).map_err(diag)? == 0;
    let x = operand(&node, 0)?;
    if let Some(ratio) = node.take("ratio") {
        let Attr::Float(ratio) = ratio else {
            return Err(Diag::error("E0304", format!("`ratio` must be a number, got {ratio}")));
        };
        node.set_input(1, Arg::Const(Tensor::scalar(ratio)));
    }
    if training {
        node.set_input(2, Arg::Const(Tensor::from_bools(&[], vec![true])));
    }
    let mut results = add(b, op("dropout", &[])?, node)?;
    if let Some(mask) = results.get_mut(1) {
        *mask = single(b, op("cast_like", &[])?, &[*mask, x])?;
    }
    Ok(results)
}

/// Before 12, `Dropout` has no training mode.
pub fn dropout_does_not_train(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let node = graph.node(n);
    if let Some(mode) = node.input(2)
        && graph.constant(mode).and_then(|t| t.to_bools().ok()).as_deref() != Some(&[false])
    {
        return Err("a training mode (since opset 12)".to_owned());
    }
    if opset < 10 && node.outputs().len() > 1 {
        return Err("a mask of truth values (since opset 10)".to_owned());
    }
    Ok(())
}

/// Before 12, `Dropout` has no operand for its mode.
pub fn drop_training_mode(node: &mut Foreign, _: &Graph, _: NodeId) {
    node.inputs.truncate(2);
}

/// `LpPool` and `GlobalLpPool` 1 have a number for the power.
///
/// # Errors
/// When it is not whole.
pub fn whole_power(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    for (name, value) in &mut node.attrs {
        if let (true, Attr::Float(p)) = (name == "p", &value) {
            if p.fract() != 0.0 || p.abs() > 1e6 {
                return Err(OpError::attr(format!("`p` = {p} is not whole")));
            }
            *value = Attr::Int(*p as i64);
        }
    }
    Ok(())
}

/// All attributes of `Momentum` are required.
pub fn momentum_attributes(node: &mut Foreign, graph: &Graph, n: NodeId) {
    let op = graph.node(n).op();
    for spec in op.schema().attrs {
        let value = match op.def().attr(spec.name) {
            Some(Attr::Word(w)) => Attr::Str(w.to_owned()),
            Some(value) => value,
            None => continue,
        };
        if !node.attrs.iter().any(|(name, _)| name == spec.name) {
            node.attrs.push((spec.name.to_owned(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::bind::read_row;
    use hoist_ir::dim::Dim;
    use hoist_ir::eval::{Limits, Value, eval_graph};
    use hoist_ir::graph::Origin;
    use hoist_ir::types::{TensorType, Type};

    fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::from_vec(shape, values.to_vec())
    }

    /// Reads a node of `opset` on these operands, with sizes known or not, and computes its results.
    fn run(
        op_type: &str,
        opset: i64,
        attrs: &[(&str, Attr)],
        inputs: &[Tensor],
        outputs: usize,
        sizes: bool,
    ) -> Result<Vec<Tensor>, Diag> {
        let mut g = Graph::new("main");
        let args: Vec<Arg> = inputs
            .iter()
            .enumerate()
            .map(|(i, t)| {
                let dims: Vec<Dim> =
                    t.shape().iter().map(|n| if sizes { Dim::from(*n) } else { Dim::Unknown }).collect();
                let ty = Type::from(TensorType::new(t.dtype(), dims));
                Arg::Value(g.add_input(&format!("x{i}"), ty))
            })
            .collect();
        let attrs = attrs.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
        let node = Foreign {
            domain: String::new(),
            op_type: op_type.to_owned(),
            opset,
            attrs,
            inputs: args,
            outputs,
        };
        let row = read_row("", op_type, opset).expect("there is a row");
        let results = row.lift(&mut Builder::at_end(&mut g, Origin::default()), node)?;
        assert_eq!(results.len(), outputs);
        for (i, v) in results.into_iter().enumerate() {
            g.add_output(&format!("y{i}"), v);
        }
        let inputs = inputs.iter().map(|t| Value::Tensor(t.clone())).collect();
        let values = eval_graph(&g, inputs, Limits::default()).expect("it can be computed");
        Ok(values.into_iter().map(|v| v.into_tensor().expect("tensors")).collect())
    }

    fn near(found: &Tensor, shape: &[usize], expected: &[f64]) {
        assert_eq!(found.shape(), shape);
        let values = found.to_f64s().expect("numbers");
        assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?} {expected:?}");
    }

    #[test]
    fn batch_norm_in_training_has_five_results() {
        let x = f32s(&[2, 2, 2], &[1., 3., 0., 2., 5., 7., 4., 2.]);
        let [s, b, m, v] = [[2., 1.], [0.5, 0.], [8., 4.], [4., 0.]].map(|v| f32s(&[2], &v));
        let attrs = [("epsilon", Attr::Float(0.0)), ("momentum", Attr::Float(0.75))];
        for (opset, sizes) in [(9, true), (7, false), (6, true), (1, true)] {
            let inputs = [x.clone(), s.clone(), b.clone(), m.clone(), v.clone()];
            let y = run("BatchNormalization", opset, &attrs, &inputs, 5, sizes).expect("fits");
            let (a, b) = (5f64.sqrt(), 2f64.sqrt());
            let want = [0.5 - 6. / a, 0.5 - 2. / a, -2. / b, 0., 0.5 + 2. / a, 0.5 + 6. / a, 2. / b, 0.];
            near(&y[0], &[2, 2, 2], &want);
            for (found, want) in y[1..].iter().zip([[7.0, 3.5], [4.25, 0.5], [4.0, 2.0], [5.0, 2.0]]) {
                near(found, &[2], &want);
            }
        }
    }

    #[test]
    fn batch_norm_for_each_element() {
        let x = f32s(&[2, 1, 2], &[1., 2., 3., 6.]);
        let [s, b, m, v] = [[1., 2.], [0., 10.], [1., 4.], [4., 1.]].map(|v| f32s(&[1, 2], &v));
        let inputs = [x, s, b, m, v];
        let attrs = [("epsilon", Attr::Float(0.0)), ("spatial", Attr::Int(0))];
        let test = [&attrs[..], &[("is_test", Attr::Int(1))]].concat();
        for (opset, attrs) in [(7, &attrs[..]), (6, &test)] {
            let y = run("BatchNormalization", opset, attrs, &inputs, 1, true).expect("fits");
            near(&y[0], &[2, 1, 2], &[0., 6., 1., 14.]);
        }
        let y = run("BatchNormalization", 7, &attrs, &inputs, 3, false).expect("fits");
        near(&y[0], &[2, 1, 2], &[-1., 8., 1., 12.]);
        near(&y[1], &[1, 2], &[0.9 + 0.2, 3.6 + 0.4]);
        assert!(run("BatchNormalization", 6, &test, &inputs, 2, true).is_err());
    }

    #[test]
    fn group_norm_repeats_the_scales_of_groups() {
        let inputs = [f32s(&[1, 4, 1], &[0., 2., 10., 14.]), f32s(&[2], &[1., 2.]), f32s(&[2], &[0., 10.])];
        let attrs = |n| [("epsilon", Attr::Float(0.0)), ("num_groups", Attr::Int(n))];
        for sizes in [true, false] {
            let y = run("GroupNormalization", 18, &attrs(2), &inputs, 1, sizes).expect("fits");
            near(&y[0], &[1, 4, 1], &[-1., 1., 8., 12.]);
        }
        for bad in [0, 3, -2, i64::MIN] {
            assert!(run("GroupNormalization", 18, &attrs(bad), &inputs, 1, true).is_err());
        }
    }

    #[test]
    fn old_dropouts() {
        let x = f32s(&[400], &[1.0; 400]);
        let ratio = || ("ratio", Attr::Float(0.75));
        for (opset, attrs) in [(9, vec![ratio()]), (6, vec![ratio(), ("is_test", Attr::Int(1))])] {
            let y = run("Dropout", opset, &attrs, std::slice::from_ref(&x), 2, true).expect("fits");
            assert_eq!(y, [x.clone(), x.clone()]);
        }
        let y = run("Dropout", 10, &[ratio()], std::slice::from_ref(&x), 2, true).expect("fits");
        assert_eq!(y[1].dtype(), hoist_ir::dtype::DType::Bool);
        let y = run("Dropout", 6, &[ratio()], &[x], 2, true).expect("fits");
        let (y, mask) = (y[0].to_f64s().expect("numbers"), y[1].to_f64s().expect("numbers"));
        let kept = mask.iter().filter(|m| **m == 1.0).count();
        assert!((60..140).contains(&kept) && y.iter().zip(&mask).all(|(y, m)| *y == 4.0 * m), "{kept}");
    }

    #[test]
    fn powers_are_whole() {
        let x = f32s(&[1, 1, 2], &[3., -4.]);
        let run = |p| run("GlobalLpPool", 1, &[("p", Attr::Float(p))], std::slice::from_ref(&x), 1, true);
        near(&run(2.0).expect("fits")[0], &[1, 1, 1], &[5.0]);
        assert!(run(1.5).is_err() && run(f32::NAN).is_err());
    }

    #[test]
    fn regions_before_16_are_not_shifted() {
        let at = Tensor::from_ints(&[0]);
        let inputs = [f32s(&[1, 1, 2, 2], &[0., 1., 2., 3.]), f32s(&[1, 4], &[0., 0., 1., 1.]), at];
        let of = |opset| run("RoiAlign", opset, &[], &inputs, 1, true).expect("fits").remove(0);
        near(&of(10), &[1, 1, 1, 1], &[1.5]);
        near(&of(16), &[1, 1, 1, 1], &[0.0]);
    }
}
