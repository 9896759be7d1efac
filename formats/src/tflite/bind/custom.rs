//! Custom operators, and TensorFlow's for the Flex delegate.
use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::Instr;
use crate::tflite::schema::Builtin;
use hoist_ir::attr::Attr;
use hoist_ir::edit::NewNode;
use hoist_ir::ops::{Custom, Op};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use std::sync::Arc;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[("custom", custom)];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[(Builtin::Custom, lift_custom)];

/// Domain of custom operators of TFLite files.
const DOMAIN: &str = "tflite";
/// Attribute with the bytes of their options.
const OPTIONS: &str = "custom_options";
/// Prefix of the names of TensorFlow's operators for the Flex delegate.
const FLEX: &str = "Flex";

fn custom(cx: &mut Cx<'_>) -> R<()> {
    let Op::Custom(op) = cx.op() else { return Err("another operator".into()) };
    let read = op.domain == DOMAIN;
    let allowed = if op.name.starts_with(FLEX) { cx.target.flex } else { cx.target.custom };
    if !read && !allowed {
        return Err(format!(
            "the name `{}`, which is no builtin (--allow-custom writes it all the same)",
            op.full_name()
        ));
    }
    if op.attrs.iter().any(|(name, _)| name != OPTIONS) {
        return Err(format!("attributes of `{}`, for which there is no encoding", op.full_name()));
    }
    let options = match op.attrs.first() {
        Some((_, Attr::Tensor(t))) => t.bytes().map_err(|e| e.to_string())?.into_owned(),
        _ => vec![],
    };
    let inputs = (0..cx.len()).map(|i| cx.opt(i)).collect::<R<Vec<_>>>()?;
    let outputs = cx.outs()?;
    cx.add_instr(Instr {
        builtin: Builtin::Custom,
        custom: Some((op.name.clone(), options)),
        options: None,
        inputs,
        outputs,
        bodies: vec![],
        label: Arc::from(""),
    });
    Ok(())
}

fn lift_custom(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let (name, options) = cx.custom;
    if name.is_empty() {
        return Err(cx.bad("a custom operator without a name"));
    }
    let mut op = Custom { domain: DOMAIN.to_owned(), name: name.to_owned(), ..Custom::default() };
    if !options.is_empty() {
        op.attrs
            .push((OPTIONS.to_owned(), Attr::Tensor(Tensor::from_vec(&[options.len()], options.to_vec()))));
    }
    op.result_types = cx.results.iter().map(|r| Type::Tensor(r.ty.clone())).collect();
    let outputs = cx.results.len();
    cx.b.add_node(NewNode { outputs, ..NewNode::new(op, &cx.inputs) })
}
