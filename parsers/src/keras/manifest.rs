//! Which of the weights that TensorFlow.js lists by name is which weight of a layer.
//!
//! A name begins with that of its layer, or with those of the models around it; what follows differs between versions (`lstm/kernel`, `lstm/lstm_cell/kernel`),
//! but the order is that in which Keras lists the layer's weights, those that are trained first.
use super::config::Net;
use super::weights::{Slot, collect};
use crate::tensorflow::bad;
use hoist_ir::diag::{Diag, Diags};
use std::collections::HashMap;

/// A layer with weights, not one that is a model of layers.
struct Leaf {
    /// Names of the models around it and its own.
    path: Vec<String>,
    slots: Vec<Slot>,
    /// Names of its weights.
    names: Vec<String>,
}

/// Names of weights by what lifting calls them; errors of layers that are not used stay unseen.
///
/// # Errors
/// For each name that belongs to no layer, or to several.
pub(super) fn paths<'n>(
    names: impl Iterator<Item = &'n str>,
    net: &Net,
) -> Result<HashMap<String, Result<String, Diag>>, Diags> {
    let (mut leaves, mut diags) = (vec![], Diags::default());
    gather(net, &[], true, &mut leaves);
    let mut ends: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, leaf) in leaves.iter().enumerate() {
        for from in 0..leaf.path.len() {
            ends.entry(leaf.path[from..].join("/")).or_default().push(i);
        }
    }
    for name in names {
        match owner(name, &ends) {
            Some([one]) => leaves[*one].names.push(name.to_owned()),
            Some(_) => diags.push(bad(format!("weight `{name}` may belong to several layers of this name"))),
            None => diags.push(bad(format!("weight `{name}` belongs to no layer"))),
        }
    }
    diags.into_result()?;
    Ok(leaves.into_iter().filter(|l| !l.slots.is_empty()).flat_map(matched).collect())
}

fn gather(net: &Net, path: &[String], trainable: bool, out: &mut Vec<Leaf>) {
    for layer in &net.layers {
        let path = [path, &[layer.name.to_string()]].concat();
        if let Some(inner) = &layer.net {
            gather(inner, &path, trainable && layer.trainable, out);
            continue;
        }
        let mut slots = vec![];
        collect(layer, &format!("{}/", path.join("/")), &[], trainable, &mut slots);
        slots.sort_by_key(|s| !s.trainable);
        out.push(Leaf { path, slots, names: vec![] });
    }
}

/// The layers that a weight may belong to: the longest beginning of its name that is the end of layers' paths; where there is none, without its first part.
fn owner<'e>(name: &str, ends: &'e HashMap<String, Vec<usize>>) -> Option<&'e [usize]> {
    let mut rest = name;
    loop {
        let mut start = rest;
        while let Some((shorter, _)) = start.rsplit_once('/') {
            if let Some(found) = ends.get(shorter) {
                return Some(found);
            }
            start = shorter;
        }
        rest = rest.split_once('/')?.1;
    }
}

/// The last part of a name.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// The weights of a layer: by their order, which names must not contradict; else by their names, when these are distinct.
fn matched(leaf: Leaf) -> Vec<(String, Result<String, Diag>)> {
    let Leaf { path, slots, names } = leaf;
    let fail = |slots: Vec<Slot>, d: &Diag| slots.into_iter().map(|s| (s.key, Err(d.clone()))).collect();
    if slots.len() != names.len() {
        let m = format!("the layer has {} weights, the manifest {} for it", slots.len(), names.len());
        return fail(slots, &bad(m));
    }
    let fits = |(s, n): (&Slot, &String)| {
        let own = last(&s.key);
        own == last(n) || names.iter().all(|n| last(n) != own)
    };
    if slots.iter().zip(&names).all(fits) {
        return slots.into_iter().zip(names).map(|(s, n)| (s.key, Ok(n))).collect();
    }
    let named = |s: &Slot| {
        let mut found = names.iter().filter(|n| last(n) == last(&s.key));
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    let found: Vec<Option<String>> = slots.iter().map(named).collect();
    let distinct = {
        let mut all: Vec<&String> = found.iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        all.len() == slots.len()
    };
    if distinct {
        return slots.into_iter().zip(found).filter_map(|(s, n)| Some((s.key, Ok(n?)))).collect();
    }
    let listed: Vec<&str> = names.iter().map(|n| last(n)).collect();
    let wanted: Vec<&str> = slots.iter().map(|s| last(&s.key)).collect();
    let m = format!(
        "the manifest lists {} for layer `{}`, whose weights are {}",
        listed.join(", "),
        path.join("/"),
        wanted.join(", ")
    );
    let d = bad(m);
    fail(slots, &d)
}
