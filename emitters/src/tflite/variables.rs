//! Variables of a model that was read from TFLite: inputs and outputs become variables again.
use hoist_formats::state::FIRST;
use hoist_formats::tflite::dtype::RESOURCE;
use hoist_formats::tflite::program::{Instr, Program, T, TensorDef};
use hoist_formats::tflite::schema::Builtin;
use hoist_formats::tflite::table::Record;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;
use std::sync::Arc;

/// Ending of the outputs that hold the next content of a variable.
const NEXT: &str = ".next";

/// Makes variables of the inputs whose first content `model` keeps, set by a subgraph that is called once.
///
/// # Errors
/// When such content does not fit its input.
pub(super) fn restore(model: &Model, main: &mut Program) -> Result<(), Diag> {
    let mut begin = Program { name: "initialize".to_owned(), ..Program::default() };
    let (mut first, mut last) = (vec![], vec![]);
    for (kind, bytes) in &model.opaque {
        let Some(name) = kind.strip_prefix(FIRST) else { continue };
        let next = format!("{name}{NEXT}");
        let input = main.inputs.iter().position(|(n, _)| **n == *name);
        let output = main.outputs.iter().position(|(n, _)| **n == *next);
        let (Some(input), Some(output)) = (input, output) else { continue };
        let (t, next) = (main.inputs.remove(input).1, main.outputs.remove(output).1);
        let def = main.def(t).clone();
        let data =
            def.ty.sizes().and_then(|s| Tensor::from_bytes(def.ty.dtype, &s, bytes.clone(), None).ok());
        let data =
            data.ok_or_else(|| Diag::error("E0901", format!("state `{name}` does not fit its input")))?;
        let handle = handle(main, &mut first, name);
        first.push(instr(Builtin::ReadVariable, None, &[handle], vec![t], name));
        last.push(instr(Builtin::AssignVariable, None, &[handle, next], vec![], name));
        let mut setting = vec![];
        let handle = self::handle(&mut begin, &mut setting, name);
        let content = begin.add(TensorDef { quant: def.quant, ..TensorDef::constant(data) });
        setting.push(instr(Builtin::AssignVariable, None, &[handle, content], vec![], name));
        begin.instrs.extend(setting);
    }
    if last.is_empty() {
        return Ok(());
    }
    let mut call = instr(Builtin::CallOnce, Builtin::CallOnce.options(), &[], vec![], "initialize");
    call.bodies.push(("init_subgraph_index", begin));
    main.instrs.splice(0..0, std::iter::once(call).chain(first));
    main.instrs.extend(last);
    Ok(())
}

/// The handle of variable `name`, made by an operator that is added to `instrs`.
fn handle(program: &mut Program, instrs: &mut Vec<Instr>, name: &str) -> T {
    let ty = TensorType::fixed(DType::I32, &[]);
    let t = program.add(TensorDef { handle: Some(RESOURCE), ..TensorDef::new(ty) });
    let options = Builtin::VarHandle.options().map(|o| o.with("container", "").with("shared_name", name));
    instrs.push(instr(Builtin::VarHandle, options, &[], vec![t], name));
    t
}

fn instr(builtin: Builtin, options: Option<Record>, inputs: &[T], outputs: Vec<T>, label: &str) -> Instr {
    Instr {
        builtin,
        custom: None,
        options: options.or_else(|| builtin.options()),
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs,
        bodies: vec![],
        label: Arc::from(label),
    }
}
