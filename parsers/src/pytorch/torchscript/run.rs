//! One conversion: evaluation is begun again whenever it turns out what else the model's state is, or of which type.
use super::Options;
use super::eval::{Eval, Found, Frame, Slot};
use super::interface::{Given, Guess};
use super::load::Loader;
use super::program::Program;
use super::value::{Heap, Value};
use super::weights::Weights;
use crate::pytorch::lift::cx::Cx;
use crate::pytorch::program::drop_unused;
use crate::source::Source;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::model::{Model, Sample};
use hoist_ir::types::Type;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Most times evaluation is begun again for state.
const MAX_ROUNDS: usize = 12;

/// State of the model: what is an input and an output.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Attributes, with the types of those whose type differs from that of the initial value.
    pub slots: BTreeMap<Slot, Option<Type>>,
    /// Weights written in place.
    pub weights: BTreeMap<usize, Option<Type>>,
    /// Sizes of inputs that the program fixes, by symbol.
    pub sizes: BTreeMap<String, i64>,
}

impl State {
    fn add(&mut self, found: &Found) -> bool {
        let before = self.slots.len() + self.weights.len() + self.sizes.len();
        for (name, size) in &found.sizes {
            self.sizes.entry(name.clone()).or_insert(*size);
        }
        for slot in &found.slots {
            self.slots.entry(slot.clone()).or_default();
        }
        for weight in &found.weights {
            self.weights.entry(*weight).or_default();
        }
        before != self.slots.len() + self.weights.len() + self.sizes.len()
    }
}

/// Why no evaluation succeeded, and how far it got.
struct Failure {
    diags: Vec<Diag>,
    steps: usize,
}

/// What one evaluation gave.
pub(super) struct Attempt {
    pub model: Model,
    pub diags: Vec<Diag>,
    pub found: Found,
    /// Types that state has at the end, where they differ from those at the start.
    pub retyped: State,
    /// Statements carried out.
    pub steps: usize,
}

/// Reads the program.
pub(super) fn read(source: &Source, options: &Options) -> Result<Model, Diags> {
    let program = Program::open(source.bytes().clone())?;
    let given = Given::read(&program, options)?;
    let mut works: Vec<(Guess, Model)> = vec![];
    let mut best: Option<Failure> = None;
    for stage in given.stages() {
        for guess in stage {
            match settled(source, &program, options, &given, &guess) {
                Ok(model) => works.push((guess, model)),
                // The attempt that got furthest tells most.
                Err(f) if best.as_ref().is_none_or(|b| !guess.is_open() && f.steps >= b.steps) => {
                    best = Some(f);
                }
                Err(_) => {}
            }
        }
        if !works.is_empty() {
            break;
        }
    }
    match given.choose(works) {
        Some(model) => Ok(model),
        None => Err(Diags(given.explain(best.map(|f| f.diags).unwrap_or_default()))),
    }
}

/// Evaluates until the model's state is known.
fn settled(
    source: &Source,
    program: &Program,
    options: &Options,
    given: &Given,
    guess: &Guess,
) -> Result<Model, Failure> {
    let failed = |diags, steps| Failure { diags, steps };
    let mut state = State::default();
    for _ in 0..MAX_ROUNDS {
        let attempt =
            attempt(source, program, options, given, guess, &state).map_err(|d| failed(vec![d], 0))?;
        let Attempt { model, diags, mut found, retyped, steps } = attempt;
        if options.freeze_state {
            found = Found { sizes: found.sizes, ..Found::default() };
        }
        if state.add(&found) {
            continue;
        }
        if !diags.is_empty() {
            return Err(failed(diags, steps));
        }
        if !retyped.slots.is_empty() || !retyped.weights.is_empty() {
            state.slots.extend(retyped.slots);
            state.weights.extend(retyped.weights);
            continue;
        }
        return Ok(model);
    }
    let d = Diag::error("E0302", "the state that the model keeps between calls takes ever new types");
    Err(failed(vec![d], usize::MAX))
}

fn attempt(
    source: &Source,
    program: &Program,
    options: &Options,
    given: &Given,
    guess: &Guess,
    state: &State,
) -> Result<Attempt, Diag> {
    let mut heap = Heap::default();
    let mut weights = Weights::new(source, program);
    let pickle = program.pickle("data.pkl")?;
    let root = {
        let mut loader = Loader {
            program,
            pickle: &pickle,
            folder: "data",
            heap: &mut heap,
            weights: &mut weights,
            known: HashMap::new(),
        };
        loader.value(pickle.root(), "")?
    };
    let Value::Object(model) = root else {
        return Err(Diag::error("E0202", "data.pkl holds no module")
            .hint("a state dict has no program: see `hoist inspect`"));
    };
    let constants = program.pickle("constants.pkl")?;
    let constants = {
        let mut loader = Loader {
            program,
            pickle: &constants,
            folder: "constants",
            heap: &mut heap,
            weights: &mut weights,
            known: HashMap::new(),
        };
        let mut all = vec![];
        for (i, id) in
            super::program::items(&constants, constants.root()).unwrap_or_default().iter().enumerate()
        {
            all.push(loader.value(*id, &format!("c{i}"))?);
        }
        all
    };
    let class = heap.instance(model).map(|i| i.class.clone()).unwrap_or_default();
    let missing = || Diag::error("E0202", format!("class `{class}` of the model is not in the archive"));
    let (found, unit) = program.class(&class)?.ok_or_else(missing)?;
    let no_forward = || Diag::error("E0202", format!("class `{class}` has no method `forward`"));
    let forward = found.method("forward").cloned().ok_or_else(no_forward)?;
    let archived = heap.len();
    let frame = Frame { vars: BTreeMap::new(), unit: unit.clone(), module: Rc::from("") };
    let mut eval = Eval {
        cx: Cx::new(program.name()),
        program,
        heap,
        weights,
        constants,
        frame,
        calls: 0,
        steps: 0,
        raised: None,
        last_raised: None,
        assumed: std::collections::BTreeSet::new(),
        found: Found::default(),
        joining: 0,
        bodies: 0,
        archived,
        defaulted: vec![],
        freeze: false,
        initial: BTreeMap::new(),
        state_weights: BTreeMap::new(),
    };
    let mut samples = vec![];
    let args = given.inputs(&mut eval, &forward, &guess.with(&state.sizes), &mut samples)?;
    eval.states_in(state, options)?;
    let mut all = vec![Value::Object(model)];
    all.extend(args);
    let result = eval.run_forward(&forward, unit, all);
    Ok(finish(eval, result, state, samples, options))
}

fn finish(
    mut eval: Eval<'_>,
    result: Result<Value, Diag>,
    state: &State,
    samples: Vec<hoist_ir::eval::Value>,
    options: &Options,
) -> Attempt {
    let mut retyped = State::default();
    let clean = !eval.cx.diags.has_errors();
    match result {
        Ok(value) if clean => {
            if let Err(d) = eval.outputs(&value).and_then(|()| eval.states_out(state, &mut retyped, options))
            {
                eval.cx.diags.push(d);
            }
        }
        Err(d) if clean || eval.raised.is_none() => eval.cx.diags.push(d),
        Ok(_) | Err(_) => {}
    }
    let (found, steps) = (eval.found.clone(), eval.steps);
    let warnings = eval.remarks(state);
    let props = eval.property(state).into_iter().collect();
    let Cx { mut graph, diags: more, .. } = eval.cx;
    let diags = more.into_result().err().map(|d| d.0).unwrap_or_default();
    let mut model = Model::default();
    if diags.is_empty() {
        drop_unused(&mut graph);
        let fits = |(v, x): (&hoist_ir::graph::ValueId, &hoist_ir::eval::Value)| {
            graph.ty(*v).meet(&x.ty()).is_some()
        };
        let usable = graph.inputs().len() == samples.len() && graph.inputs().iter().zip(&samples).all(fits);
        model = Model {
            graph,
            source: "torchscript".into(),
            producer: "pytorch".into(),
            props,
            warnings,
            ..Model::default()
        };
        if usable && !samples.is_empty() {
            model.samples.push(Sample { inputs: samples });
        }
    }
    Attempt { model, diags, found, retyped, steps }
}

/// The element type that inputs without a stated one are tried with.
pub(super) const TRIED: [DType; 2] = [DType::F32, DType::I64];
