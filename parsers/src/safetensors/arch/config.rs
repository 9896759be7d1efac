//! `config.json`: what the sizes and the variants of a model are.
use super::blocks::R;
use hoist_ir::diag::{Diag, Diags};
use serde_json::Value as Json;
use std::cell::RefCell;
use std::rc::Rc;

/// Largest size and count that a configuration may state: far above all models, far below what overflows.
const MOST: u64 = 1 << 24;
/// Most stages of a network whose stages have sizes of their own.
const MOST_STAGES: usize = 32;
/// Largest number that is no size: factors and bases stay far below.
const MOST_NUMBER: f64 = 1e12;
/// Most layers of a stack.
const MOST_LAYERS: u64 = 1 << 10;

/// An object of a configuration. What is wrong with it is collected, so that all of it is said at once.
#[derive(Clone)]
pub(super) struct Config {
    json: Json,
    /// Where the object is, such as `text_config.`.
    place: String,
    problems: Rc<RefCell<Diags>>,
}

impl Config {
    pub fn new(json: Json) -> Self {
        Self { json, place: String::new(), problems: Rc::default() }
    }
    /// The object under `key`, which shares the list of problems.
    pub fn sub(&self, key: &str) -> Self {
        let json = match self.get(key) {
            Some(json @ Json::Object(_)) => json.clone(),
            found => {
                self.wrong(key, found, "an object");
                Json::Null
            }
        };
        Self { json, place: format!("{}{key}.", self.place), problems: Rc::clone(&self.problems) }
    }
    /// Whether the configuration states `key`.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
    /// The value of `key`; null is none.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.json.get(key).filter(|j| !j.is_null())
    }
    /// Adds a problem.
    pub fn problem(&self, d: Diag) {
        self.problems.borrow_mut().push(d);
    }
    fn wrong(&self, key: &str, found: Option<&Json>, what: &str) {
        let place = format!("{}{key}", self.place);
        let m = match found {
            None => format!("config.json: `{place}` is missing: {what} is needed"),
            Some(json) => format!("config.json: `{place}` is {json}, not {what}"),
        };
        self.problem(Diag::error("E0206", m));
    }
    /// Nothing, when nothing was wrong so far.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn check(&self) -> Result<(), Diags> {
        std::mem::take(&mut *self.problems.borrow_mut()).into_result()
    }
    fn number_of(&self, key: &str, most: u64) -> Option<usize> {
        let found = self.get(key)?;
        let n = found.as_u64().filter(|n| *n <= most).and_then(|n| usize::try_from(n).ok());
        if n.is_none() {
            self.wrong(key, Some(found), &format!("an integer from 0 to {most}"));
        }
        Some(n.unwrap_or(1))
    }
    /// A size of at least 1; where there is none, that is a problem.
    pub fn size(&self, key: &str) -> usize {
        self.opt_size(key).unwrap_or_else(|| {
            self.wrong(key, None, "a size");
            1
        })
    }
    /// A size of at least 1, when there is one.
    pub fn opt_size(&self, key: &str) -> Option<usize> {
        let n = self.number_of(key, MOST)?;
        if n == 0 {
            self.wrong(key, self.get(key), "a size of at least 1");
        }
        Some(n.max(1))
    }
    /// A size, or that of the nearest older name.
    pub fn size_or(&self, key: &str, default: usize) -> usize {
        self.opt_size(key).unwrap_or(default)
    }
    /// A count, which may be 0.
    pub fn count_or(&self, key: &str, default: usize) -> usize {
        self.number_of(key, MOST).unwrap_or(default)
    }
    /// Number of layers of a stack.
    pub fn layers(&self, key: &str) -> usize {
        self.number_of(key, MOST_LAYERS).unwrap_or_else(|| {
            self.wrong(key, None, "a number of layers");
            0
        })
    }
    /// Sizes of at least 1, one for each stage; a problem when there are none.
    pub fn sizes(&self, key: &str) -> Vec<usize> {
        let all = self.opt_sizes(key).unwrap_or_else(|| {
            self.wrong(key, None, "a list of sizes");
            vec![]
        });
        if all.len() > MOST_STAGES || all.contains(&0) {
            self.wrong(key, self.get(key), &format!("a list of at most {MOST_STAGES} sizes from 1 on"));
            return vec![1];
        }
        all
    }
    /// Sizes, when they are stated.
    pub fn opt_sizes(&self, key: &str) -> Option<Vec<usize>> {
        let found = self.get(key)?;
        let size = |j: &Json| j.as_u64().filter(|n| *n <= MOST).and_then(|n| usize::try_from(n).ok());
        let all: Option<Vec<usize>> = found
            .as_array()
            .filter(|l| l.len() as u64 <= MOST_LAYERS)
            .and_then(|l| l.iter().map(size).collect());
        if all.is_none() {
            self.wrong(key, Some(found), "a list of sizes");
        }
        Some(all.unwrap_or_default())
    }
    /// One size, or a list of two equal to it: extents of pictures and patches, height and width.
    pub fn pair(&self, key: &str) -> (usize, usize) {
        if !self.get(key).is_some_and(Json::is_array) {
            let n = self.size(key);
            return (n, n);
        }
        if let [h, w] = self.sizes(key)[..] {
            return (h, w);
        }
        self.wrong(key, self.get(key), "two sizes");
        (1, 1)
    }
    /// A number; a problem when there is none.
    pub fn float(&self, key: &str) -> f64 {
        self.opt_float(key).unwrap_or_else(|| {
            self.wrong(key, None, "a number");
            1.0
        })
    }
    /// A number, when there is one.
    pub fn opt_float(&self, key: &str) -> Option<f64> {
        let found = self.get(key)?;
        let n = found.as_f64().filter(|n| n.abs() <= MOST_NUMBER);
        if n.is_none() {
            self.wrong(key, Some(found), "a number");
        }
        n
    }
    /// A number, or `default`.
    pub fn float_or(&self, key: &str, default: f64) -> f64 {
        self.opt_float(key).unwrap_or(default)
    }
    /// A truth value, or `default`.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        let Some(found) = self.get(key) else { return default };
        found.as_bool().unwrap_or_else(|| {
            self.wrong(key, Some(found), "true or false");
            default
        })
    }
    /// A text, when there is one.
    pub fn text(&self, key: &str) -> Option<&str> {
        let found = self.get(key)?;
        if found.as_str().is_none() {
            self.wrong(key, Some(found), "a text");
        }
        found.as_str()
    }
    /// Whether `key` is this text.
    pub fn text_is(&self, key: &str, text: &str) -> bool {
        self.get(key).and_then(Json::as_str) == Some(text)
    }
    /// Texts of a list; none when there is no list.
    pub fn texts(&self, key: &str) -> Vec<&str> {
        let Some(found) = self.get(key) else { return vec![] };
        let list = found.as_array().and_then(|l| l.iter().map(Json::as_str).collect::<Option<Vec<_>>>());
        list.unwrap_or_else(|| {
            self.wrong(key, Some(found), "a list of texts");
            vec![]
        })
    }
    /// The activation called as `key` says.
    pub fn act(&self, key: &str, default: &str) -> Act {
        let name = self.text(key).unwrap_or(default);
        Act::by_name(name).unwrap_or_else(|| {
            let known: Vec<&str> = ACTS.iter().map(|(n, _)| *n).collect();
            let m = format!(
                "config.json: `{}{key}` is `{name}`, which is no activation that is known",
                self.place
            );
            self.problem(Diag::error("E0206", m).hint(format!("there are: {}", known.join(", "))));
            Act::Identity
        })
    }
    /// A value that must be one of `known`, since the model is another one otherwise.
    pub fn expect(&self, key: &str, known: &[&str], default: &str) -> String {
        let name = self.text(key).unwrap_or(default);
        if !known.contains(&name) {
            let m = format!("config.json: `{}{key}` is `{name}`, which is not read", self.place);
            self.problem(Diag::error("E0301", m).hint(format!("there are: {}", known.join(", "))));
        }
        name.to_owned()
    }
    /// Refuses a model whose `key` is true: it computes something that is not built.
    pub fn refuse(&self, key: &str) {
        if self.flag(key, false) {
            let m = format!("config.json: `{}{key}` is true, which is not read", self.place);
            self.problem(Diag::error("E0301", m));
        }
    }
    /// Features of each of `heads`, which must share `hidden` evenly.
    pub fn head_size(&self, hidden: usize, heads: usize) -> usize {
        if !hidden.is_multiple_of(heads) {
            let m = format!("config.json: {hidden} features do not divide into {heads} heads");
            self.problem(Diag::error("E0206", m));
        }
        (hidden / heads).max(1)
    }
}

/// Activations, as transformers calls them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Identity,
    Relu,
    Relu6,
    /// `relu(x)^2`.
    ReluSquared,
    /// With the error function.
    Gelu,
    /// With tanh.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    Silu,
    Tanh,
    Sigmoid,
    Mish,
    LeakyRelu,
    HardSwish,
}

const ACTS: &[(&str, Act)] = &[
    ("relu", Act::Relu),
    ("relu6", Act::Relu6),
    ("relu2", Act::ReluSquared),
    ("gelu", Act::Gelu),
    ("gelu_python", Act::Gelu),
    ("gelu_new", Act::GeluTanh),
    ("gelu_fast", Act::GeluTanh),
    ("gelu_pytorch_tanh", Act::GeluTanh),
    ("gelu_python_tanh", Act::GeluTanh),
    ("quick_gelu", Act::QuickGelu),
    ("silu", Act::Silu),
    ("swish", Act::Silu),
    ("tanh", Act::Tanh),
    ("sigmoid", Act::Sigmoid),
    ("mish", Act::Mish),
    ("linear", Act::Identity),
    ("leaky_relu", Act::LeakyRelu),
    ("hardswish", Act::HardSwish),
];

impl Act {
    pub fn by_name(name: &str) -> Option<Self> {
        ACTS.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
    }
}

/// The object in the text of a `config.json`.
///
/// # Errors
/// When it is none.
pub(super) fn parse(text: &[u8]) -> R<Json> {
    let bad = |m: String| Diag::error("E0201", m);
    if text.len() > 16 << 20 {
        return Err(bad(format!("config.json has {} bytes", text.len())));
    }
    let json: Json = serde_json::from_slice(text).map_err(|e| bad(format!("config.json is no JSON: {e}")))?;
    if json.is_object() { Ok(json) } else { Err(bad("config.json is no object".to_owned())) }
}
