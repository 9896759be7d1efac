//! Inputs of a program: their types come from the recorded inputs of a traced program, from options, or are tried.
use super::Options;
use super::ast::{Func, Ty};
use super::eval::Eval;
use super::program::{Program, items};
use super::run::TRIED;
use super::value::{Cell, Value};
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::cx::{Meta, Size};
use crate::pytorch::lift::pairs;
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::pickle::{ObjId, Object, Pickle, TensorRef};
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value as Sample;
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Ranks that inputs without stated sizes are tried with.
const RANKS: [usize; 5] = [1, 2, 3, 4, 5];

/// A type for the inputs whose type nothing states.
#[derive(Clone, Debug)]
pub(super) struct Guess {
    /// Their rank; none leaves it open.
    rank: Option<usize>,
    /// Their element type.
    dtype: DType,
    /// Sizes that are known, by symbol.
    sizes: BTreeMap<String, i64>,
}

impl Guess {
    /// With these sizes, by symbol.
    pub fn with(&self, sizes: &BTreeMap<String, i64>) -> Self {
        Self { sizes: sizes.clone(), ..self.clone() }
    }
    fn dim(&self, dim: Dim) -> Dim {
        let value = |name: &str| self.sizes.get(name).map(|n| SymInt::from(*n));
        match &dim {
            Dim::Expr(e) => Dim::from_sym(e.substitute(&value)),
            _ => dim,
        }
    }
    /// Whether it leaves the rank open.
    pub fn is_open(&self) -> bool {
        self.rank.is_none()
    }
}

/// What is known of the inputs.
pub(super) struct Given {
    options: Options,
    /// Inputs recorded while tracing.
    traced: Option<(Pickle, Vec<ObjId>)>,
    /// Inputs whose type nothing states.
    open: Vec<String>,
    /// All inputs that are tensors, for messages.
    names: Vec<String>,
}

impl Given {
    /// What the archive and the options say.
    pub fn read(program: &Program, options: &Options) -> Result<Self, Diag> {
        let traced = if program.has("traced_inputs.pkl") {
            let pickle = program.pickle("traced_inputs.pkl")?;
            recorded(&pickle).map(|list| (pickle, list))
        } else {
            None
        };
        let mut given = Self { options: options.clone(), traced, open: vec![], names: vec![] };
        given.find_open(program)?;
        given.check_names()?;
        Ok(given)
    }
    fn find_open(&mut self, program: &Program) -> Result<(), Diag> {
        let pickle = program.pickle("data.pkl")?;
        let Object::Opaque(root) = pickle.get(pickle.root()) else { return Ok(()) };
        let Some((class, _)) = program.class(&root.callee.to_string())? else { return Ok(()) };
        let Some(forward) = class.method("forward") else { return Ok(()) };
        for (i, param) in forward.params.iter().skip(1).enumerate() {
            let recorded = self.traced.as_ref().is_some_and(|(_, list)| list.len() > i);
            if let (Some(ty), None) = (&param.ty, &param.default) {
                self.list_open(&param.name, ty, recorded);
            } else {
                self.names.push(param.name.to_string());
            }
        }
        Ok(())
    }
    fn list_open(&mut self, name: &str, ty: &Ty, recorded: bool) {
        match &*ty.name {
            "Tensor" => {
                self.names.push(name.to_owned());
                if !recorded && !self.options.shapes.iter().any(|(n, _)| n == name) {
                    self.open.push(name.to_owned());
                }
            }
            "Tuple" => {
                for (i, t) in ty.args.iter().enumerate() {
                    self.list_open(&format!("{name}_{i}"), t, recorded);
                }
            }
            _ => self.names.push(name.to_owned()),
        }
    }
    fn check_names(&self) -> Result<(), Diag> {
        let asked =
            self.options.shapes.iter().map(|(n, _)| n).chain(self.options.dtypes.iter().map(|(n, _)| n));
        for name in asked {
            if self.traced.is_none() && !self.names.contains(name) {
                return Err(Diag::error("E0603", format!("no input is called `{name}`"))
                    .hint(format!("there are: {}", self.names.join(", "))));
            }
        }
        Ok(())
    }
    /// Whether all types are stated.
    pub fn is_certain(&self) -> bool {
        self.open.is_empty()
    }
    /// Types to try, in stages: later ones count when none of the former works.
    pub fn stages(&self) -> Vec<Vec<Guess>> {
        let [first, ..] = TRIED;
        let open = vec![Guess { rank: None, dtype: first, sizes: BTreeMap::new() }];
        if self.is_certain() {
            return vec![open];
        }
        let ranks = |dtype| {
            RANKS.iter().map(|r| Guess { rank: Some(*r), dtype, sizes: BTreeMap::new() }).collect::<Vec<_>>()
        };
        std::iter::once(open).chain(TRIED.into_iter().map(ranks)).collect()
    }
    /// The model to take of those that work.
    pub fn choose(&self, mut works: Vec<(Guess, Model)>) -> Option<Model> {
        let has =
            |rank: usize, works: &[(Guess, Model)]| works.iter().position(|(g, _)| g.rank == Some(rank));
        // What works whatever the rank is taken with (batch, features); else the highest rank has the batch dimension.
        let any = [2, 3, 4].iter().all(|r| has(*r, &works).is_some());
        let at = if any { has(2, &works) } else { works.len().checked_sub(1) }?;
        let ranks: Vec<String> = works.iter().filter_map(|(g, _)| Some(g.rank?.to_string())).collect();
        let (guess, mut model) = works.swap_remove(at);
        if let (Some(rank), false) = (guess.rank, self.is_certain()) {
            let names = self.open.join("`, `");
            let mut d = Diag::warning(
                "E0603",
                format!(
                    "the file does not say how many dimensions `{names}` has: {rank} (of {}) are assumed",
                    guess.dtype
                ),
            )
            .hint("state the sizes, as in --input-shape NAME=N,3,224,224");
            if ranks.len() > 1 {
                d = d.note(format!("the program accepts {} dimensions", ranks.join(", ")));
            }
            model.warnings.push(d);
        }
        Some(model)
    }
    /// The errors of the best attempt, with what the reader may do.
    pub fn explain(&self, mut diags: Vec<Diag>) -> Vec<Diag> {
        if !self.is_certain()
            && let Some(first) = diags.first_mut()
        {
            first
                .notes
                .push(format!("the file does not state the types of the inputs {}", self.open.join(", ")));
            first.hint.get_or_insert_with(|| {
                "state them, as in --input-shape NAME=N,3,224,224 --input-dtype NAME=i64".into()
            });
        }
        diags
    }

    /// Defines the graph's inputs for the parameters of `forward`; gives the arguments.
    pub fn inputs(
        &self,
        eval: &mut Eval<'_>,
        forward: &Rc<Func>,
        guess: &Guess,
        samples: &mut Vec<Sample>,
    ) -> Result<Vec<Value>, Diag> {
        let mut args = vec![];
        for (i, param) in forward.params.iter().skip(1).enumerate() {
            let recorded = self.traced.as_ref().and_then(|(_, list)| list.get(i).copied());
            let stated = self.options.shapes.iter().any(|(n, _)| **n == *param.name);
            if let (Some(default), None, false) = (&param.default, recorded, stated) {
                let unit = eval.frame.unit.clone();
                args.push(eval.default(default, &unit)?);
                eval.defaulted.push(param.name.to_string());
                continue;
            }
            let any = Ty { name: "Tensor".into(), args: vec![] };
            let ty = param.ty.as_ref().unwrap_or(&any);
            args.push(self.input(eval, &param.name, ty, recorded, guess, samples)?);
        }
        Ok(args)
    }
    fn input(
        &self,
        eval: &mut Eval<'_>,
        name: &str,
        ty: &Ty,
        recorded: Option<ObjId>,
        guess: &Guess,
        samples: &mut Vec<Sample>,
    ) -> Result<Value, Diag> {
        if let (Some(id), Some((pickle, _))) = (recorded, &self.traced) {
            return self.recorded_input(eval, name, (pickle, id), guess, samples);
        }
        let number =
            |eval: &mut Eval<'_>, dtype| eval.cx.graph.add_input(name, TensorType::fixed(dtype, &[]).into());
        match &*ty.name {
            "Tensor" => Ok(Self::tensor(eval, name, self.stated(name, guess), None)),
            "Optional" => match ty.args.first() {
                Some(inner) => self.input(eval, name, inner, None, guess, samples),
                None => Ok(Value::None),
            },
            "int" => {
                let v = number(eval, DType::I64);
                Ok(Value::Int(Size::Value(eval.cx.unsqueeze(v, &[0])?)))
            }
            "float" => Ok(Value::FloatV(number(eval, DType::F64))),
            "bool" => Ok(Value::BoolV(number(eval, DType::Bool))),
            "Tuple" => {
                let mut parts = vec![];
                for (i, t) in ty.args.iter().enumerate() {
                    parts.push(self.input(eval, &format!("{name}_{i}"), t, None, guess, samples)?);
                }
                Ok(Value::tuple(parts))
            }
            other => Err(Diag::error(
                "E0301",
                format!("input `{name}` is of type {other}, which is not supported"),
            )
            .hint("trace the model, or wrap it in a module whose inputs are tensors")),
        }
    }
    /// The type of input `name`.
    fn stated(&self, name: &str, guess: &Guess) -> TensorType {
        let dtype = self.options.dtypes.iter().find(|(n, _)| n == name).map_or(guess.dtype, |(_, d)| *d);
        if let Some((_, shape)) = self.options.shapes.iter().find(|(n, _)| n == name) {
            let shape: Vec<Dim> = shape.iter().map(|d| guess.dim(d.clone())).collect();
            return TensorType::new(dtype, shape);
        }
        match guess.rank {
            Some(rank) => {
                let dims: Vec<Dim> = (0..rank).map(|i| guess.dim(Dim::symbol(&symbol(name, i)))).collect();
                TensorType::new(dtype, dims)
            }
            None => TensorType::unranked(dtype),
        }
    }
    fn tensor(eval: &mut Eval<'_>, name: &str, ty: TensorType, meta: Option<Meta>) -> Value {
        let v = eval.cx.graph.add_input(name, ty.into());
        let id = eval.cx.new_tensor(v, Owner::Input(name.into()));
        if let Some(t) = eval.cx.tensors.get_mut(id) {
            t.meta = meta;
        }
        Value::Tensor(id)
    }
    /// An input like the one recorded while tracing.
    fn recorded_input(
        &self,
        eval: &mut Eval<'_>,
        name: &str,
        (pickle, id): (&Pickle, ObjId),
        guess: &Guess,
        samples: &mut Vec<Sample>,
    ) -> Result<Value, Diag> {
        match pickle.get(id) {
            Object::Tensor(t) => {
                let meta = meta_of(t);
                let mut ty = recorded_type(t, name)?;
                if ty.dtype.is_complex() {
                    return Err(pairs::complex_interface("input", name));
                }
                if let Some((_, shape)) = self.options.shapes.iter().find(|(n, _)| n == name) {
                    ty.shape = Some(shape.iter().map(|d| guess.dim(d.clone())).collect());
                } else if let Some(sample) = sample_of(eval.program, t) {
                    samples.push(sample.into());
                }
                Ok(Self::tensor(eval, name, ty, Some(meta)))
            }
            Object::Tuple(list) | Object::List(list) => {
                let mut parts = vec![];
                for (i, id) in list.iter().enumerate() {
                    parts.push(self.recorded_input(
                        eval,
                        &format!("{name}_{i}"),
                        (pickle, *id),
                        guess,
                        samples,
                    )?);
                }
                let tuple = matches!(pickle.get(id), Object::Tuple(_));
                Ok(if tuple { Value::tuple(parts) } else { eval.heap.list(parts) })
            }
            Object::Dict(dict) => {
                let mut parts = vec![];
                for (key, value) in &dict.items {
                    let Some(key) = pickle.text(*key) else {
                        return Err(Diag::error(
                            "E0301",
                            format!("input `{name}` is a dictionary without names"),
                        ));
                    };
                    let value = self.recorded_input(
                        eval,
                        &format!("{name}_{key}"),
                        (pickle, *value),
                        guess,
                        samples,
                    )?;
                    parts.push((Value::text(key), value));
                }
                Ok(Value::Dict(eval.heap.add(Cell::Dict(parts))))
            }
            Object::None => Ok(Value::None),
            Object::Int(v) => Ok(Value::int(*v)),
            Object::Float(v) => Ok(Value::Float(*v)),
            Object::Bool(v) => Ok(Value::Bool(*v)),
            Object::Str(v) => Ok(Value::text(v)),
            other => Err(Diag::error("E0301", format!("input `{name}` is {}", other.kind()))),
        }
    }
}

/// The recorded arguments of `forward`.
fn recorded(pickle: &Pickle) -> Option<Vec<ObjId>> {
    let Object::Dict(dict) = pickle.get(pickle.root()) else { return None };
    let (_, list) = dict.items.iter().find(|(key, _)| pickle.text(*key) == Some("forward"))?;
    items(pickle, *list).map(<[ObjId]>::to_vec)
}

/// Sizes and strides of a tensor of the archive.
pub(super) fn meta_of(t: &TensorRef) -> Meta {
    let numbers = |list: &[u64]| list.iter().map(|v| i64::try_from(*v).ok()).collect();
    Meta { dtype: ir_dtype(t.view.dtype), sizes: numbers(&t.view.sizes), strides: numbers(&t.view.strides) }
}

fn recorded_type(t: &TensorRef, name: &str) -> Result<TensorType, Diag> {
    let dtype = ir_dtype(t.view.dtype).ok_or_else(|| {
        Diag::error("E0301", format!("input `{name}` has elements of type {}", t.view.dtype))
    })?;
    let sizes: Option<Vec<usize>> = t.view.sizes.iter().map(|n| usize::try_from(*n).ok()).collect();
    let sizes = sizes.ok_or_else(|| Diag::error("E0202", format!("input `{name}` is too large")))?;
    Ok(TensorType::fixed(dtype, &sizes))
}

/// The recorded input itself.
fn sample_of(program: &Program, t: &TensorRef) -> Option<Tensor> {
    let storage = program.storage("traced_inputs", &t.storage).ok()?;
    let data = t.view.read(&storage).ok()?;
    let sizes: Vec<usize> = t.view.sizes.iter().map(|n| *n as usize).collect();
    Tensor::from_bytes(ir_dtype(t.view.dtype)?, &sizes, data, None).ok()
}

/// A name for size `axis` of input or state `name`.
pub(super) fn symbol(name: &str, axis: usize) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{}_dim{axis}", plain.trim_start_matches(|c: char| c.is_ascii_digit()))
}
