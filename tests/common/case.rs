//! Evaluation cases: a graph in text form with inputs and what is expected, all in comments of the same file.
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::text::{directives, graph_text, parse_graph, parse_named_value, parse_type};
use hoist_ir::types::Type;
use std::path::Path;

/// What an output must be.
pub enum Expected {
    /// This value, within the tolerance.
    Value(Value),
    /// Any value of this type, as for random numbers.
    Any(Type),
}

/// One `; RUN: eval` with what belongs to it.
pub struct Case {
    /// `file.hir:line` of the `RUN` line.
    pub place: String,
    /// The graph.
    pub graph: Graph,
    /// One value per graph input.
    pub inputs: Vec<Value>,
    /// One expectation per graph output.
    pub expected: Vec<Expected>,
    /// Relative and absolute tolerance of floats.
    pub tolerance: (f64, f64),
}

/// All cases of the `.hir` files in `folder`, in order of their names; a file that is wrong gives its errors instead.
pub fn load(folder: &Path) -> Vec<Result<Case, String>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|e| e.expect("readable entry").path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "hir"));
    files.sort();
    files.iter().flat_map(|p| load_file(p)).collect()
}

fn load_file(path: &Path) -> Vec<Result<Case, String>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let runs: Vec<_> = directives(&text).into_iter().filter(|d| d.key == "RUN").map(|d| d.line).collect();
    if runs.is_empty() {
        return vec![Err(format!("{name}: there is no `; RUN: eval` line"))];
    }
    let lines: Vec<&str> = text.lines().collect();
    let part = |(i, first): (usize, &usize)| {
        let last = runs.get(i + 1).map_or(lines.len(), |next| next - 1);
        // Empty lines in front keep line numbers in messages right.
        let text = "\n".repeat(first - 1) + &lines[first - 1..last].join("\n");
        read(&text, format!("{name}:{first}")).map_err(|e| format!("{name}:{first}: {e}"))
    };
    runs.iter().enumerate().map(part).collect()
}

fn read(text: &str, place: String) -> Result<Case, String> {
    let graph = parse_graph(text).map_err(|d| d.to_string())?;
    let printed = graph_text(&graph);
    let again =
        parse_graph(&printed).map_err(|d| format!("its printed form does not parse: {d}\n{printed}"))?;
    if graph_text(&again) != printed {
        return Err(format!("its printed form reads back as another graph:\n{printed}"));
    }
    let (mut inputs, mut outputs, mut tolerance) = (vec![], vec![], (1e-5, 1e-6));
    for d in directives(text) {
        let at = |e: String| format!("line {}: {e}", d.line);
        match d.key {
            "RUN" if d.rest == "eval" => {}
            "RUN" => return Err(at(format!("`RUN: {}` is not known here", d.rest))),
            "INPUT" => inputs.push(parse_named_value(d.rest).map_err(|e| at(e.to_string()))?),
            "EXPECT" => outputs.push(expectation(d.rest).map_err(at)?),
            "TOL" => {
                tolerance = tolerances(d.rest).ok_or_else(|| at("two numbers are expected".to_owned()))?;
            }
            other => return Err(at(format!("`{other}` is not known here"))),
        }
    }
    let names = graph.interface();
    let inputs = in_order(inputs, names.inputs.iter().map(|i| &*i.0), "INPUT")?;
    let expected = in_order(outputs, names.outputs.iter().map(|o| &*o.0), "EXPECT")?;
    if expected.is_empty() {
        return Err("the graph has no output to compare".to_owned());
    }
    Ok(Case { place, graph, inputs, expected, tolerance })
}

/// `name: value`, or `name: type _` for any value of the type.
fn expectation(text: &str) -> Result<(String, Expected), String> {
    if let Some((name, ty)) = text.strip_suffix('_').and_then(|t| t.split_once(':')) {
        let ty = parse_type(ty).map_err(|e| e.to_string())?;
        return Ok((name.trim().trim_matches('"').to_owned(), Expected::Any(ty)));
    }
    parse_named_value(text).map(|(n, v)| (n, Expected::Value(v))).map_err(|e| e.to_string())
}

fn tolerances(text: &str) -> Option<(f64, f64)> {
    let (relative, absolute) = text.split_once(' ')?;
    Some((relative.parse().ok()?, absolute.trim().parse().ok()?))
}

/// The items in the order of `names`: exactly one of each.
fn in_order<'n, T>(
    mut items: Vec<(String, T)>,
    names: impl Iterator<Item = &'n str>,
    key: &str,
) -> Result<Vec<T>, String> {
    let mut out = vec![];
    for name in names {
        let at = items.iter().position(|(n, _)| n == name);
        out.push(items.remove(at.ok_or_else(|| format!("there is no `; {key} {name}: ..`"))?).1);
    }
    match items.first() {
        Some((name, _)) => Err(format!("`; {key} {name}` is twice or names nothing of the graph")),
        None => Ok(out),
    }
}
