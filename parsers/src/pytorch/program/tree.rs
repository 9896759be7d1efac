//! Names of the leaves of nested results, from the text that `torch.utils._pytree.treespec_dumps` writes.
use serde_json::Value as Json;

/// Longest name.
const MAX_NAME: usize = 200;

/// A name for each leaf of the tree: the keys and positions that lead to it, joined by `_`. Names that would begin with a position begin
/// with `root`. `None` when the text is no tree.
pub fn leaf_names(spec: &str, root: &str) -> Option<Vec<String>> {
    let json: Json = serde_json::from_str(spec).ok()?;
    let [version, tree] = json.as_array()?.as_slice() else { return None };
    if version.as_i64() != Some(1) {
        return None;
    }
    let mut names = vec![];
    walk(tree, "", root, &mut names)?;
    Some(names)
}

/// The depth is bounded by that of JSON texts.
fn walk(tree: &Json, path: &str, root: &str, names: &mut Vec<String>) -> Option<()> {
    let children = tree["children_spec"].as_array()?;
    if children.is_empty() {
        // An empty container has no leaves.
        if tree["type"].is_null() {
            names.push(if path.is_empty() { root.to_owned() } else { path.to_owned() });
        }
        return Some(());
    }
    let keys = keys(tree, children.len());
    for (i, child) in children.iter().enumerate() {
        let part = keys.as_ref().map_or_else(|| i.to_string(), |k| k[i].clone());
        let path = match path {
            "" if keys.is_none() => format!("{root}_{part}"),
            "" => part,
            path => format!("{path}_{part}"),
        };
        let path = path.chars().take(MAX_NAME).collect::<String>();
        walk(child, &path, root, names)?;
    }
    Some(())
}

/// The keys of a dictionary or the fields of a record: the first list of `count` texts or numbers in its context.
fn keys(tree: &Json, count: usize) -> Option<Vec<String>> {
    let context: Json = match &tree["context"] {
        Json::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    let list = context.as_array()?;
    let here = texts(list, count);
    here.or_else(|| list.iter().filter_map(Json::as_array).find_map(|inner| texts(inner, count)))
}
fn texts(list: &[Json], count: usize) -> Option<Vec<String>> {
    let text = |j: &Json| match j {
        Json::String(s) if !s.is_empty() && !s.chars().any(char::is_control) => Some(s.clone()),
        Json::Number(n) => Some(n.to_string()),
        _ => None,
    };
    let all: Option<Vec<String>> = list.iter().map(text).collect();
    all.filter(|a| a.len() == count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = r#"{"type": null, "context": null, "children_spec": []}"#;

    fn node(kind: &str, context: &str, children: &[&str]) -> String {
        let context = Json::String(context.to_owned());
        format!(r#"{{"type": "{kind}", "context": {context}, "children_spec": [{}]}}"#, children.join(","))
    }
    fn names(tree: &str) -> Option<String> {
        leaf_names(&format!("[1, {tree}]"), "output").map(|n| n.join(" "))
    }

    #[test]
    fn names_are_paths() {
        assert_eq!(names(LEAF).as_deref(), Some("output"));
        let pair = node("builtins.tuple", "null", &[LEAF, LEAF]);
        assert_eq!(names(&pair).as_deref(), Some("output_0 output_1"));
        let nested = node("builtins.dict", r#"["last", "hidden"]"#, &[LEAF, &pair]);
        assert_eq!(names(&nested).as_deref(), Some("last hidden_0 hidden_1"));
        let record = node("m.Record", r#"[["a", "b"], []]"#, &[LEAF, LEAF]);
        assert_eq!(names(&record).as_deref(), Some("a b"));
        let empty = node("builtins.tuple", "null", &[&node("builtins.dict", "[]", &[]), LEAF]);
        assert_eq!(names(&empty).as_deref(), Some("output_1"));
        assert_eq!(names("7"), None);
        assert_eq!(leaf_names("[2, 0]", "output"), None);
    }
}
