//! Which array of a file is which weight of a layer.
//!
//! Whole models in HDF5 list the weights of each outer layer, those that are trained first. Archives have a group for each layer, named after its class and
//! numbered, with an attribute that holds the layer's name. TensorFlow.js lists weights by names, which are those of either (see `manifest`).
use super::arrays::Arrays;
use super::config::{Layer, Net};
use super::hdf5::Hdf5;
use super::layers;
use super::manifest;
use crate::tensorflow::bad;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::tensor::Tensor;
use indexmap::IndexMap;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

/// A weight that a layer itself has: name, whether it is trained.
pub(super) type Own = (&'static str, bool);

/// A weight of a layer or of what is inside of it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// What lifting asks for: names of layers and the weight, with `/` between.
    pub key: String,
    /// Number among the weights of its own layer.
    index: usize,
    /// Groups of an archive that lead to it.
    steps: Vec<Step>,
    pub trainable: bool,
}

/// A step from a layer to one inside of it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// An attribute of the object.
    Attribute(&'static str),
    /// A member of a list: the list's names in files, the member's class and name, and which of its class it is.
    Member { lists: &'static [&'static str], class: String, name: String, nth: usize },
}

/// Names that the list of a model's layers has in archives.
const LAYERS: &[&str] = &["layers", "_layer_checkpoint_dependencies"];
const CELLS: &[&str] = &["cells"];

/// A part of a layer that has weights.
pub(super) struct Part<'l> {
    /// What its weights are called behind the layer's.
    pub key: String,
    steps: Vec<Step>,
    pub content: Content<'l>,
}

/// What a part is.
pub(super) enum Content<'l> {
    Layer(&'l Layer),
    Weights(Vec<Own>),
}

impl<'l> Part<'l> {
    /// The part that is attribute `name` of the object.
    pub fn attribute(name: &'static str, content: Content<'l>) -> Self {
        Self { key: format!("{name}/"), steps: vec![Step::Attribute(name)], content }
    }
    /// Cell `nth` of its class in a stack, whose number in the stack is `i`.
    pub fn cell(i: usize, name: &str, class: &str, nth: usize, own: Vec<Own>) -> Self {
        let member = Step::Member { lists: CELLS, class: snake(class), name: name.to_owned(), nth };
        let steps = vec![Step::Attribute("cell"), member];
        Self { key: format!("cells/{i}/"), steps, content: Content::Weights(own) }
    }
}

/// Weights by key.
pub(super) struct Weights {
    arrays: Arrays,
    paths: HashMap<String, Result<String, Diag>>,
    /// Whether Keras before 3 wrote the file.
    old: bool,
    /// Whether kernels are stored as Theano applies them, from their last element to their first.
    pub mirrored: bool,
    calls: Cell<usize>,
}

impl Weights {
    /// Weights of the model in a file of Keras 1 and 2, and of what Keras 3 writes for them.
    ///
    /// # Errors
    /// When the file lists no weights.
    pub fn of_whole(file: Hdf5, net: &Net, old: bool) -> Result<Self, Diag> {
        let root = file.group("model_weights")?;
        let listed = file.texts(&root, "layer_names")?;
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = listed.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(bad(format!("the weights of layer `{twice}` are listed twice")));
        }
        let mut paths = HashMap::new();
        for layer in &net.layers {
            let mut slots = vec![];
            collect(layer, &format!("{}/", layer.name), &[], true, &mut slots);
            if slots.is_empty() {
                continue;
            }
            slots.sort_by_key(|s| !s.trainable);
            match whole_layer(&file, &layer.name, slots.len()) {
                Ok(found) => {
                    paths.extend(slots.into_iter().zip(found).map(|(s, path)| (s.key, Ok(path))));
                }
                Err(d) => paths.extend(slots.into_iter().map(|s| (s.key, Err(d.clone())))),
            }
        }
        Ok(Self::at(Arrays::File(file), paths, old))
    }
    fn at(arrays: Arrays, paths: HashMap<String, Result<String, Diag>>, old: bool) -> Self {
        Self { arrays, paths, old, mirrored: false, calls: Cell::new(0) }
    }
    /// Weights by the names that TensorFlow.js gives them.
    ///
    /// # Errors
    /// When a name belongs to no layer, or to several.
    pub fn of_names(named: IndexMap<String, Tensor>, net: &Net, old: bool) -> Result<Self, Diags> {
        let arrays = Arrays::Named(named);
        if arrays.is_archive() {
            return Ok(Self::of_archive(arrays, net, old));
        }
        let paths = manifest::paths(arrays.names(), net)?;
        Ok(Self::at(arrays, paths, old))
    }
    /// Weights of the model in an archive.
    pub fn of_archive(file: Arrays, net: &Net, old: bool) -> Self {
        let mut slots = vec![];
        members(net, "", &[], true, &mut slots);
        let mut names = HashMap::new();
        let place = |slot: &Slot, names: &mut HashMap<String, Members>| {
            let at = place(&file, slot, names)?;
            let path = format!("{at}vars/{}", slot.index);
            if file.has_array(&path) {
                Ok(path)
            } else {
                Err(bad(format!("weight `{}` is missing", slot.key)))
            }
        };
        let paths = slots.iter().map(|s| (s.key.clone(), place(s, &mut names))).collect();
        Self::at(file, paths, old)
    }
    /// The weight called `key`.
    ///
    /// # Errors
    /// When the file does not hold it.
    pub fn get(&self, key: &str) -> Result<Tensor, Diag> {
        match self.paths.get(key) {
            Some(Ok(path)) => self.arrays.array(path),
            Some(Err(d)) => Err(d.clone()),
            None => Err(bad(format!("there is no weight `{key}`"))),
        }
    }
    /// Whether Keras before 3 wrote the file.
    pub fn is_old(&self) -> bool {
        self.old
    }
    /// Counts a call of a layer.
    ///
    /// # Errors
    /// When there were `most` already.
    pub fn count(&self, most: usize) -> Result<(), Diag> {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() <= most {
            Ok(())
        } else {
            Err(bad(format!("models expand to more than {most} layers")))
        }
    }
}

/// Paths of the weights of one layer, which has `count` of them.
fn whole_layer(file: &Hdf5, name: &str, count: usize) -> Result<Vec<String>, Diag> {
    let path = format!("model_weights/{name}");
    let group = file.group(&path).map_err(|_| bad("the file holds no weights of this layer"))?;
    let listed = file.texts(&group, "weight_names")?;
    if listed.len() != count {
        return Err(bad(format!("the layer has {count} weights, the file {} for it", listed.len())));
    }
    Ok(listed.into_iter().map(|n| format!("{path}/{n}")).collect())
}

/// Adds the weights of the layers of a model.
fn members(net: &Net, prefix: &str, steps: &[Step], trainable: bool, out: &mut Vec<Slot>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for layer in &net.layers {
        let class = snake(&layer.class);
        let nth = counts.entry(class.clone()).or_default();
        let member = Step::Member { lists: LAYERS, class, name: layer.name.to_string(), nth: *nth };
        *nth += 1;
        let steps = [steps, &[member]].concat();
        collect(layer, &format!("{prefix}{}/", layer.name), &steps, trainable, out);
    }
}

/// Adds the weights of `layer` and of what is inside of it, in the order in which Keras makes them.
pub(super) fn collect(layer: &Layer, prefix: &str, steps: &[Step], trainable: bool, out: &mut Vec<Slot>) {
    let trainable = trainable && layer.trainable;
    if let Some(net) = &layer.net {
        members(net, prefix, steps, trainable, out);
        return;
    }
    // A wrapper's own weights come behind those of the layer in it.
    for part in layers::parts(layer) {
        let steps = [steps, &part.steps].concat();
        let prefix = format!("{prefix}{}", part.key);
        match part.content {
            Content::Layer(inner) => collect(inner, &prefix, &steps, trainable, out),
            Content::Weights(all) => own(all, &prefix, &steps, trainable, out),
        }
    }
    own(layers::weights(layer), prefix, steps, trainable, out);
}

fn own(all: Vec<Own>, prefix: &str, steps: &[Step], trainable: bool, out: &mut Vec<Slot>) {
    for (index, (name, trained)) in all.into_iter().enumerate() {
        out.push(Slot {
            key: format!("{prefix}{name}"),
            index,
            steps: steps.to_vec(),
            trainable: trainable && trained,
        });
    }
}

/// Groups of a list in an archive: by the names of the layers where the file tells them, and all.
#[derive(Default)]
struct Members {
    by_name: HashMap<String, Option<String>>,
    all: Vec<String>,
}

/// The group of the layer that has the weight, with `/` behind.
fn place(file: &Arrays, slot: &Slot, known: &mut HashMap<String, Members>) -> Result<String, Diag> {
    let mut at = String::new();
    for step in &slot.steps {
        match step {
            Step::Attribute(name) => {
                let hidden = format!("{at}_{name}");
                at = if !file.has_group(&format!("{at}{name}")) && file.has_group(&hidden) {
                    format!("{hidden}/")
                } else {
                    format!("{at}{name}/")
                };
            }
            Step::Member { lists, class, name, nth } => {
                let list = lists.iter().map(|l| format!("{at}{l}")).find(|l| file.has_group(l));
                let list = list.ok_or_else(|| bad(format!("weight `{}` is missing", slot.key)))?;
                if !known.contains_key(&list) {
                    known.insert(list.clone(), listed(file, &list)?);
                }
                let group = known.get(&list).and_then(|m| member(m, class, name, *nth));
                let group = group.ok_or_else(|| bad(format!("weight `{}` is missing", slot.key)))?;
                at = format!("{list}/{group}/");
            }
        }
    }
    Ok(at)
}

fn listed(file: &Arrays, list: &str) -> Result<Members, Diag> {
    let mut out = Members { all: file.groups(list)?, ..Members::default() };
    for group in &out.all {
        if let Some(name) = file.layer_name(&format!("{list}/{group}/vars"))? {
            // A name that is there twice says nothing.
            out.by_name.entry(name).and_modify(|g| *g = None).or_insert_with(|| Some(group.clone()));
        }
    }
    Ok(out)
}

fn member(found: &Members, class: &str, name: &str, nth: usize) -> Option<String> {
    if let Some(group) = found.by_name.get(name) {
        return group.clone();
    }
    let plain = if nth == 0 { class.to_owned() } else { format!("{class}_{nth}") };
    // Names that belong to other layers leave none for this one.
    (found.by_name.is_empty() && found.all.contains(&plain)).then_some(plain)
}

/// The name of a class as archives spell it.
pub(super) fn snake(class: &str) -> String {
    let word: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (i, c) in word.iter().enumerate() {
        let before = i.checked_sub(1).map(|p| word[p]);
        let next_small = word.get(i + 1).is_some_and(|n| n.is_ascii_lowercase());
        let behind_small = before.is_some_and(|b| b.is_ascii_lowercase());
        if c.is_ascii_uppercase() && before.is_some_and(|b| b != '_') && (next_small || behind_small) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake;

    #[test]
    fn classes_are_spelled_as_in_archives() {
        let all = [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("LSTM", "lstm"),
            ("PReLU", "p_re_lu"),
            ("MaxPooling2D", "max_pooling2d"),
            ("GRUCell", "gru_cell"),
            ("LeakyReLU", "leaky_re_lu"),
            ("SeparableConv1D", "separable_conv1d"),
            ("TFOpLambda", "tf_op_lambda"),
        ];
        for (class, word) in all {
            assert_eq!(snake(class), word);
        }
    }
}
