//! Inputs, outputs and sample inputs of a program.
use super::run::{Program, stated};
use super::tree::leaf_names;
use super::weights;
use crate::pytorch::archive::Pt2Archive;
use crate::pytorch::lift::alias::{Owner, TensorId};
use crate::pytorch::lift::cx::{R, Size, V, Val, malformed, unsupported};
use crate::pytorch::lift::pairs;
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::lift::state::State;
use crate::pytorch::sample::Sample;
use crate::pytorch::schema::{Argument, ExportedProgram, InputSpec, OutputSpec, SymIntArg};
use crate::pytorch::tensor::View;
use crate::source::Source;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::model::{Model, Sample as Inputs};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;
use std::collections::{BTreeSet, HashMap};

/// Parameters that share a storage are one tensor.
type Shared = HashMap<String, Vec<(Option<View>, TensorId)>>;

impl<'p> Program<'p> {
    /// Defines the graph's inputs: constants for weights, inputs for arguments of the model.
    pub fn inputs(&mut self, source: &Source, archive: &'p Pt2Archive) {
        let module = &archive.program().graph_module;
        let mut shared = Shared::new();
        for spec in &module.signature.input_specs {
            if let Err(d) = self.input(source, archive, spec, &mut shared) {
                self.cx.diags.push(d);
            }
        }
    }
    fn input(
        &mut self,
        source: &Source,
        archive: &Pt2Archive,
        spec: &'p InputSpec,
        shared: &mut Shared,
    ) -> R<()> {
        match spec {
            InputSpec::Parameter { arg, parameter_name: name }
            | InputSpec::Buffer { arg, buffer_name: name, .. }
            | InputSpec::TensorConstant { arg, tensor_constant_name: name } => {
                let id = self.weight(source, archive, name, shared)?;
                self.define(&arg.name, Val::Tensor(id));
            }
            InputSpec::UserInput { arg } => self.user_input(arg)?,
            InputSpec::Token { arg } => self.define(&arg.name, Val::Opaque),
            InputSpec::CustomObj { arg, .. } => self.define(&arg.name, Val::Opaque),
            InputSpec::ConstantInput { .. } => {}
        }
        Ok(())
    }
    fn weight(
        &mut self,
        source: &Source,
        archive: &Pt2Archive,
        name: &str,
        shared: &mut Shared,
    ) -> R<TensorId> {
        let missing = || malformed(format!("weight `{name}` is missing"));
        let payload = archive.payload(name).ok_or_else(missing)?;
        if let Some(tensor) = archive.replacement(name) {
            return self.cx.stored(&name.into(), tensor.clone());
        }
        let known = shared.entry(payload.entry.clone()).or_default();
        if let Some((_, id)) = known.iter().find(|(view, _)| *view == payload.view) {
            return Ok(*id);
        }
        let tensor = weights::read(source, archive, payload)?;
        let id = self.cx.stored(&name.into(), tensor)?;
        // Other views of the same bytes are other tensors here, so writes to any of them are refused.
        if !known.is_empty() {
            for (_, other) in known.iter() {
                self.cx.mark_doubtful(*other);
            }
            self.cx.mark_doubtful(id);
        }
        known.push((payload.view.clone(), id));
        Ok(id)
    }
    fn user_input(&mut self, arg: &'p Argument) -> R<()> {
        match arg {
            Argument::Tensor(t) => {
                let meta = self.types.tensor_values.get(&t.name);
                let meta =
                    meta.ok_or_else(|| malformed(format!("input `{}` has no declared type", t.name)))?;
                let ty = self.declared_type(meta)?;
                if ty.dtype.is_complex() {
                    return Err(pairs::complex_interface("input", &t.name));
                }
                let v = self.cx.graph.add_input(&t.name, ty.into());
                let id = self.cx.new_tensor(v, Owner::Input(t.name.as_str().into()));
                self.cx.tensors[id].meta = Some(stated(meta));
                self.define(&t.name, Val::Tensor(id));
            }
            Argument::SymInt(SymIntArg::Name(name)) => {
                let v = self.cx.graph.add_input(name, TensorType::fixed(DType::I64, &[]).into());
                let v = self.cx.unsqueeze(v, &[0])?;
                self.define(name, Val::Int(Size::Value(v)));
            }
            arg if arg.names().is_empty() => {}
            _ => {
                return Err(unsupported("an input that is neither a tensor nor a number is not supported"));
            }
        }
        Ok(())
    }

    /// Defines the program's outputs, and writes what it gives back to buffers and arguments.
    pub fn outputs(&mut self, program: &'p ExportedProgram) {
        let specs = &program.graph_module.signature.output_specs;
        let given = specs.iter().filter(|s| matches!(s, OutputSpec::UserOutput { .. })).count();
        let names = program.root_call().and_then(|call| leaf_names(&call.out_spec, "output"));
        let mut names = names.filter(|n| n.len() == given).unwrap_or_default().into_iter();
        let mut taken: BTreeSet<String> = self.input_names();
        for spec in specs {
            let OutputSpec::UserOutput { arg } = spec else { continue };
            let name = names.next();
            if let Err(d) = self.output(arg, name.as_deref(), &mut taken) {
                self.cx.diags.push(d);
            }
        }
        // Results are read before writes that the program leaves to its caller.
        for spec in specs {
            if let Err(d) = self.mutation(program, spec) {
                self.cx.diags.push(d);
            }
        }
    }
    fn input_names(&self) -> BTreeSet<String> {
        let graph = &self.cx.graph;
        graph.inputs().iter().map(|v| graph.value_label(*v)).collect()
    }
    fn output(&mut self, arg: &'p Argument, name: Option<&str>, taken: &mut BTreeSet<String>) -> R<()> {
        for (own, v) in self.output_values(arg)? {
            let label = self.cx.graph.value_label(v);
            let name = name.unwrap_or(own);
            // An argument that is given back unchanged keeps its name.
            let same = self.cx.graph.inputs().contains(&v) && label == name;
            let mut unique = name.to_owned();
            let mut n = 0;
            while !(taken.insert(unique.clone()) || same && n == 0) {
                n += 1;
                unique = format!("{name}_{n}");
            }
            self.cx.graph.add_output(&unique, v);
        }
        Ok(())
    }
    /// Writes a result back to what the program changes by it.
    fn mutation(&mut self, program: &'p ExportedProgram, spec: &'p OutputSpec) -> R<()> {
        let (arg, target) = match spec {
            OutputSpec::UserOutput { .. } | OutputSpec::Token { .. } => return Ok(()),
            OutputSpec::BufferMutation { arg, buffer_name } => (arg, buffer_name),
            OutputSpec::ParameterMutation { arg, parameter_name } => (arg, parameter_name),
            OutputSpec::UserInputMutation { arg, user_input_name } => (arg, user_input_name),
            OutputSpec::LossOutput { .. }
            | OutputSpec::GradientToParameter { .. }
            | OutputSpec::GradientToUserInput { .. } => {
                return Err(unsupported("a training graph is not supported; export the model for inference"));
            }
        };
        let named = |spec: &'p InputSpec| match spec {
            InputSpec::Parameter { arg, parameter_name: name }
            | InputSpec::Buffer { arg, buffer_name: name, .. } => (name == target).then_some(&arg.name),
            _ => None,
        };
        let specs = &program.graph_module.signature.input_specs;
        let place = specs.iter().find_map(named).unwrap_or(target);
        match (self.lookup(place)?.clone(), self.lookup(&arg.name)?.clone()) {
            (Val::Tensor(to), Val::Tensor(from)) if to != from => {
                let v = self.cx.read_tensor(from)?;
                self.cx.assign(to, v)
            }
            (Val::Tensor(_), Val::Tensor(_)) => Ok(()),
            _ => Err(malformed(format!("`{target}` is changed and no tensor"))),
        }
    }
    fn output_values(&mut self, arg: &'p Argument) -> R<Vec<(&'p str, V)>> {
        let known = match arg {
            Argument::Int(v) | Argument::SymInt(SymIntArg::Int(v)) => Some(Tensor::scalar(*v)),
            Argument::Float(v) => Some(Tensor::scalar(*v as f32)),
            Argument::Bool(v) => Some(Tensor::from_bools(&[], vec![*v])),
            _ => None,
        };
        if let Some(t) = known {
            let v = self.cx.constant(t);
            return Ok(vec![("output", v)]);
        }
        let mut out = vec![];
        for name in arg.names() {
            let v = match self.lookup(name)?.clone() {
                Val::Tensor(id) => self.cx.read_tensor(id)?,
                Val::Int(s) => self.cx.size_scalar(&s)?,
                Val::BoolValue(v) | Val::FloatValue(v) => v,
                _ => {
                    return Err(unsupported(format!("output `{name}` is no tensor or number")));
                }
            };
            if self.cx.is_complex(v) {
                return Err(pairs::complex_interface("output", name));
            }
            out.push((name, v));
        }
        Ok(out)
    }
}

/// Adds the archive's sample inputs and the initial values of state, if they fit the graph's inputs; a warning says why not.
pub fn add_samples(model: &mut Model, archive: &Pt2Archive, state: &State) {
    match samples(archive) {
        Ok(None) => {}
        Ok(Some(mut inputs)) => {
            inputs.extend(state.initial().map(|t| Value::from(t.clone())));
            if fits(model, &inputs) {
                return model.samples.push(Inputs { inputs });
            }
            model.warnings.push(Diag::warning(
                "E0602",
                "the sample inputs of the archive do not fit the model's inputs and are not used",
            ));
        }
        Err(reason) => model.warnings.push(Diag::warning("E0602", reason)),
    }
}

fn fits(model: &Model, inputs: &[Value]) -> bool {
    let wanted = model.graph.inputs();
    wanted.len() == inputs.len()
        && wanted.iter().zip(inputs).all(|(v, x)| model.graph.ty(*v).meet(&x.ty()).is_some())
}

/// One value per graph input: the leaves of (args, kwargs) stand in the order of the specs of arguments.
fn samples(archive: &Pt2Archive) -> Result<Option<Vec<Value>>, String> {
    let Some(sample) = archive.sample_inputs().map_err(|e| e.to_string())? else { return Ok(None) };
    let mut leaves = vec![];
    sample.args.iter().chain(sample.kwargs.iter().map(|(_, s)| s)).for_each(|s| flatten(s, &mut leaves));
    let specs = &archive.program().graph_module.signature.input_specs;
    let specs: Vec<&InputSpec> = specs
        .iter()
        .filter(|s| matches!(s, InputSpec::UserInput { .. } | InputSpec::ConstantInput { .. }))
        .collect();
    if specs.len() != leaves.len() {
        return Err(format!("the archive has {} sample values for {} inputs", leaves.len(), specs.len()));
    }
    let mut out = vec![];
    for (spec, leaf) in specs.into_iter().zip(leaves) {
        let InputSpec::UserInput { arg } = spec else { continue };
        match (arg, leaf) {
            (Argument::Tensor(_), Sample::Tensor(t)) => {
                let dtype = ir_dtype(t.dtype).ok_or_else(|| format!("a sample input is {}", t.dtype))?;
                let sizes: Option<Vec<usize>> = t.shape.iter().map(|n| usize::try_from(*n).ok()).collect();
                let sizes = sizes.ok_or("a sample input is too large")?;
                let tensor =
                    Tensor::from_bytes(dtype, &sizes, t.data.clone(), None).map_err(|e| e.to_string())?;
                out.push(tensor.into());
            }
            (Argument::SymInt(SymIntArg::Name(_)), Sample::Int(v)) => out.push(Tensor::scalar(*v).into()),
            (arg, _) if arg.names().is_empty() => {}
            _ => return Err("a sample input is of another kind than the input".to_owned()),
        }
    }
    Ok(Some(out))
}

fn flatten<'a>(sample: &'a Sample, out: &mut Vec<&'a Sample>) {
    match sample {
        Sample::List(items) | Sample::Tuple(items) => items.iter().for_each(|s| flatten(s, out)),
        Sample::Dict(items) => items.iter().for_each(|(_, s)| flatten(s, out)),
        leaf => out.push(leaf),
    }
}
