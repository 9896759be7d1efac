//! Inputs, outputs and sample inputs of a program.
use super::run::{Program, stated};
use super::weights;
use crate::pytorch::archive::Pt2Archive;
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::cx::{R, Size, V, Val, malformed, unsupported};
use crate::pytorch::lift::pairs;
use crate::pytorch::lift::promote::ir_dtype;
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

/// Parameters that share a storage are one constant.
type Shared = HashMap<String, Vec<(Option<View>, V)>>;

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
                let v = self.weight(source, archive, name, shared)?;
                // A lifted constant is copied before the program writes to it.
                let id = self.cx.new_tensor(v, Owner::Weight(name.as_str().into()));
                self.define(&arg.name, Val::Tensor(id));
            }
            InputSpec::UserInput { arg } => self.user_input(arg)?,
            InputSpec::Token { arg } => self.define(&arg.name, Val::Opaque),
            InputSpec::CustomObj { arg, .. } => self.define(&arg.name, Val::Opaque),
            InputSpec::ConstantInput { .. } => {}
        }
        Ok(())
    }
    fn weight(&mut self, source: &Source, archive: &Pt2Archive, name: &str, shared: &mut Shared) -> R<V> {
        let missing = || malformed(format!("weight `{name}` is missing"));
        let payload = archive.payload(name).ok_or_else(missing)?;
        let known = shared.entry(payload.entry.clone()).or_default();
        if let Some((_, v)) = known.iter().find(|(view, _)| *view == payload.view) {
            return Ok(*v);
        }
        let tensor = weights::read(source, archive, payload)?;
        let v = self.cx.any_constant(tensor)?;
        self.cx.graph.set_name(v, Some(name.into()));
        known.push((payload.view.clone(), v));
        Ok(v)
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

    /// Defines the graph's outputs.
    pub fn outputs(&mut self, program: &'p ExportedProgram) {
        let mut taken = BTreeSet::new();
        for spec in &program.graph_module.signature.output_specs {
            if let Err(d) = self.output(spec, &mut taken) {
                self.cx.diags.push(d);
            }
        }
    }
    fn output(&mut self, spec: &'p OutputSpec, taken: &mut BTreeSet<String>) -> R<()> {
        let state = |what: &str, name: &str| {
            Diag::error("E0302", format!("the model changes its own {what} `{name}`")).hint(
                "only models without state that changes are converted: call .eval() before torch.export",
            )
        };
        let arg = match spec {
            OutputSpec::UserOutput { arg } => arg,
            OutputSpec::BufferMutation { buffer_name, .. }
                if buffer_name.ends_with("num_batches_tracked") =>
            {
                return Ok(());
            }
            OutputSpec::BufferMutation { buffer_name, .. } => return Err(state("buffer", buffer_name)),
            OutputSpec::ParameterMutation { parameter_name, .. } => {
                return Err(state("parameter", parameter_name));
            }
            OutputSpec::UserInputMutation { user_input_name, .. } => {
                self.cx.warnings.push(Diag::warning("E0302", format!("the model changes its input `{user_input_name}` in place; the converted model leaves it as it is")));
                return Ok(());
            }
            OutputSpec::Token { .. } => return Ok(()),
            OutputSpec::LossOutput { .. }
            | OutputSpec::GradientToParameter { .. }
            | OutputSpec::GradientToUserInput { .. } => {
                return Err(unsupported("a training graph is not supported; export the model for inference"));
            }
        };
        for (name, v) in self.output_values(arg)? {
            let mut unique = name.to_owned();
            let mut n = 0;
            while !taken.insert(unique.clone()) {
                n += 1;
                unique = format!("{name}_{n}");
            }
            self.cx.graph.add_output(&unique, v);
        }
        Ok(())
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

/// Adds the archive's sample inputs, if they fit the graph's inputs; a warning says why not.
pub fn add_samples(model: &mut Model, archive: &Pt2Archive) {
    match samples(archive) {
        Ok(None) => {}
        Ok(Some(inputs)) if fits(model, &inputs) => model.samples.push(Inputs { inputs }),
        Ok(Some(_)) => model.warnings.push(Diag::warning(
            "E0602",
            "the sample inputs of the archive do not fit the model's inputs and are not used",
        )),
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
