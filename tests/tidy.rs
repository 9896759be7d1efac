//! The rules of the house that a compiler does not check: crate arrows, names, sizes, and what must not be written.
//!
//! Each rule is a function from the tree of files (or cargo's metadata) to the list of its violations, and is itself tried on a planted one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The workspace crates each crate may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("hoist-ir", &[]),
    ("hoist-formats", &["hoist-ir"]),
    ("hoist-passes", &["hoist-formats", "hoist-ir"]),
    ("hoist-parsers", &["hoist-formats", "hoist-ir"]),
    ("hoist-emitters", &["hoist-formats", "hoist-ir"]),
    ("hoist-runtime", &["hoist-emitters", "hoist-ir"]),
    (
        "hoist",
        &["hoist-emitters", "hoist-formats", "hoist-ir", "hoist-parsers", "hoist-passes", "hoist-runtime"],
    ),
    ("xtask", &[]),
];
/// Folders of passes below `passes/src`.
const FAMILIES: &[&str] =
    &["cleanup", "fold", "fuse", "layout", "legalize", "quantize", "prune", "shape", "movement", "simplify"];
/// First words of pass names.
const VERBS: &[&str] = &[
    "assign",
    "cancel",
    "canonicalize",
    "convert",
    "decompose",
    "dequantize",
    "eliminate",
    "expand",
    "fold",
    "fuse",
    "infer",
    "inline",
    "insert",
    "legalize",
    "lower",
    "merge",
    "move",
    "prune",
    "push",
    "quantize",
    "remove",
    "replace",
    "simplify",
    "sink",
    "split",
    "trim",
    "unroll",
];
/// Longest source file, and the tables that may be longer.
const MAX_LINES: usize = 600;
const LONG_TABLES: &[&str] = &[
    "formats/src/onnx/signatures.rs",
    "formats/src/tflite/schema.rs",
    "parsers/src/pytorch/lift/aten/special/tables.rs",
];
/// Modules that may hold unchecked code.
const UNCHECKED: &[&str] = &["parsers/src/source.rs"];
/// The one file that may name the folder beside a checkout.
const KNOWS_SHARED: &str = "xtask/src/shared.rs";

/// Every file of the project: path from the root with `/`, and its bytes.
struct Tree(Vec<(String, Vec<u8>)>);

impl Tree {
    fn load() -> Self {
        let mut files = Vec::new();
        walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
        files.sort();
        Self(files)
    }

    fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect())
    }

    /// Files that are text.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)))
    }

    /// Rust files written by hand.
    fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| has_extension(path, "rs") && !path.ends_with("/generated.rs"))
    }

    fn text(&self, path: &str) -> &str {
        self.texts().find(|(other, _)| *other == path).map_or("", |(_, text)| text)
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|have| have == extension)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let entry = entry.expect("readable entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("file type");
        if kind.is_dir()
            && !matches!(name.as_str(), "target" | ".git" | ".venv" | "node_modules" | "__pycache__")
        {
            walk(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file() && path != ".git" {
            files.push((path, fs::read(entry.path()).expect("readable file")));
        }
    }
}

fn arrows(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("{name}: a crate that the list of arrows does not know"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        for dependency in dependencies.iter().filter(|dependency| dependency["path"].is_string()) {
            let to = dependency["name"].as_str().expect("name");
            if !allowed.contains(&to) {
                wrong.push(format!("{name} -> {to}: not an arrow of the design"));
            }
        }
    }
    wrong
}

fn pass_names(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, _) in tree.texts() {
        let Some((family, file)) = path.strip_prefix("passes/src/").and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        let Some(pass) = file.strip_suffix(".rs").filter(|pass| FAMILIES.contains(&family) && *pass != "mod")
        else {
            continue;
        };
        if pass.contains('/') {
            continue;
        }
        if !VERBS.contains(&pass.split('_').next().unwrap_or(pass)) {
            wrong.push(format!("{path}: a pass is named verb first ({})", VERBS.join(", ")));
        }
        let folder = format!("testdata/hir/{}/", pass.replace('_', "-"));
        if !tree.0.iter().any(|(test, _)| test.starts_with(&folder) && has_extension(test, "hir")) {
            wrong.push(format!("{path}: no .hir test in {folder}"));
        }
    }
    wrong
}

fn lengths(tree: &Tree) -> Vec<String> {
    let bound = |path: &str| match path {
        "src/main.rs" => 40,
        table if LONG_TABLES.contains(&table) => usize::MAX,
        _ => MAX_LINES,
    };
    let long = tree.sources().filter(|(path, text)| text.lines().count() > bound(path));
    long.map(|(path, text)| {
        format!("{path}: {} lines, at most {}; split it by job", text.lines().count(), bound(path))
    })
    .collect()
}

fn dependencies(tree: &Tree) -> Vec<String> {
    let table =
        tree.text("Cargo.toml").lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let entries = table.take_while(|line| !line.starts_with('[')).filter(|line| !line.contains("path ="));
    let used: BTreeSet<&str> =
        entries.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name).collect();
    let rows = tree
        .text("docs/dependencies.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let explained: BTreeSet<&str> = rows.collect();
    let missing =
        used.difference(&explained).map(|name| format!("{name}: not explained in docs/dependencies.md"));
    missing
        .chain(explained.difference(&used).map(|name| format!("docs/dependencies.md: {name} is not used")))
        .collect()
}

fn macros(tree: &Tree) -> Vec<String> {
    let word = concat!("macro_", "rules!");
    let holders: Vec<&str> =
        tree.sources().flat_map(|(path, text)| vec![path; text.matches(word).count()]).collect();
    if holders.len() > 2 {
        vec![format!("more than two {word} in the workspace: {}", holders.join(", "))]
    } else {
        vec![]
    }
}

fn unchecked_code(tree: &Tree) -> Vec<String> {
    let word = concat!("un", "safe");
    let free = |path: &str| UNCHECKED.iter().any(|end| path.ends_with(end));
    let holds = |text: &str| {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or(line));
        // Every second piece between quotes is text.
        code.flat_map(|line| line.split('"').step_by(2))
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
            .any(|token| token == word)
    };
    let wrong = tree.sources().filter(|(path, text)| holds(text) && !free(path));
    wrong.map(|(path, _)| format!("{path}: {word} code outside the listed modules")).collect()
}

/// Text that must not be in any file, in pieces so that this file does not hold it.
fn forbidden() -> Vec<String> {
    let hosts = [
        ["crates", ".io/"],
        ["pypi", ".org"],
        ["registry", ".npmjs"],
        ["deb", ".debian"],
        ["arti", "factory"],
    ];
    let folders = [["/wo", "rk/"], ["/far", "m/"], ["/ro", "ot/"], ["/scra", "tch/"], ["../sh", "ared"]];
    hosts.iter().chain(&folders).map(|pieces| pieces.concat()).collect()
}

fn forbidden_text(tree: &Tree) -> Vec<String> {
    let words = forbidden();
    let mut wrong = Vec::new();
    for (path, text) in tree.texts() {
        let found = words.iter().filter(|word| text.contains(word.as_str()));
        let named = found.filter(|word| path != KNOWS_SHARED || !word.starts_with(".."));
        wrong.extend(named.map(|word| format!("{path}: holds `{word}`")));
    }
    wrong
}

fn allow_attributes(tree: &Tree) -> Vec<String> {
    let words = [concat!("#[", "allow"), concat!("#![", "allow")];
    let wrong = tree.sources().filter(|(_, text)| words.iter().any(|word| text.contains(word)));
    wrong
        .map(|(path, _)| format!("{path}: write #[expect(lint, reason = \"..\")] instead of allow"))
        .collect()
}

fn decision_names(tree: &Tree) -> Vec<String> {
    let mut numbers = BTreeSet::new();
    let mut wrong = Vec::new();
    for page in tree.texts().filter_map(|(path, _)| path.strip_prefix("docs/decisions/")) {
        let title =
            page.strip_suffix(".md").and_then(|stem| stem.split_once('-')).filter(|(number, title)| {
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                number.len() == 3
                    && number.chars().all(|c| c.is_ascii_digit())
                    && !title.is_empty()
                    && title.chars().all(plain)
            });
        match title {
            None => wrong.push(format!("docs/decisions/{page}: the name is NNN-title.md")),
            Some((number, _)) if !numbers.insert(number) => {
                wrong.push(format!("docs/decisions/{page}: {number} is taken"));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// Every rule over files.
const RULES: &[fn(&Tree) -> Vec<String>] = &[
    pass_names,
    lengths,
    dependencies,
    macros,
    unchecked_code,
    forbidden_text,
    allow_attributes,
    decision_names,
];

#[test]
fn the_files_keep_the_rules() {
    let tree = Tree::load();
    assert!(!tree.text("tests/tidy.rs").is_empty(), "the tree is not the project's");
    let wrong: Vec<String> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_crates_depend_along_the_arrows() {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("metadata is JSON");
    assert_eq!(metadata["packages"].as_array().map(Vec::len), Some(ARROWS.len()));
    let wrong = arrows(&metadata);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_wrong_arrow_is_found() {
    let package = |name: &str, to: &str| json!({"packages": [{"name": name, "dependencies": [{"name": to, "path": "/x"}]}]});
    assert_eq!(arrows(&package("hoist-passes", "hoist-ir")), [""; 0]);
    assert_eq!(arrows(&package("hoist-passes", "hoist-parsers")).len(), 1);
    assert_eq!(arrows(&package("hoist-extra", "hoist-ir")).len(), 1);
}

/// Each planted violation is found by its rule, and by no other.
#[test]
fn planted_violations_are_found() {
    let long = "\n".repeat(MAX_LINES + 1);
    let unchecked = format!("{} {{ }}", concat!("un", "safe"));
    let three_macros = concat!("macro_", "rules! a {}\n").repeat(3);
    let allowed = concat!("#[", "allow(dead_code)]");
    let hir = ("testdata/hir/fold-x/a.hir", "");
    let planted: &[(usize, &[(&str, &str)])] = &[
        (0, &[("passes/src/fold/fold_x.rs", "")]),
        (0, &[("passes/src/fold/x_folding.rs", ""), ("testdata/hir/x-folding/a.hir", "")]),
        (1, &[("ir/src/long.rs", &long)]),
        (1, &[("src/main.rs", &long[..41])]),
        (
            2,
            &[
                ("Cargo.toml", "[workspace.dependencies]\nhalf = \"2\"\n"),
                ("docs/dependencies.md", "`bytes`"),
            ],
        ),
        (3, &[("ir/src/a.rs", &three_macros)]),
        (4, &[("ir/src/a.rs", &unchecked)]),
        (6, &[("ir/src/a.rs", allowed)]),
        (7, &[("docs/decisions/1-a.md", "")]),
        (7, &[("docs/decisions/001-a.md", ""), ("docs/decisions/001-b.md", "")]),
    ];
    for (rule, files) in planted {
        let found: Vec<usize> = RULES.iter().map(|rule| rule(&Tree::of(files)).len()).collect();
        let expected: Vec<usize> = (0..RULES.len()).map(|other| usize::from(other == *rule)).collect();
        assert_eq!(found, expected, "{files:?}");
    }
    for word in forbidden() {
        assert_eq!(forbidden_text(&Tree::of(&[("a.md", &format!("see {word}x"))])).len(), 1, "{word}");
    }
    let clean = Tree::of(&[
        ("passes/src/fold/fold_x.rs", "// comments may say unsafe"),
        hir,
        ("parsers/src/source.rs", &unchecked),
        ("formats/src/onnx/generated.rs", &long),
        ("Cargo.toml", "[workspace.dependencies]\nhoist-ir = { path = \"ir\" }\nhalf = \"2\"\n[a]\nx = 1\n"),
        ("docs/dependencies.md", "| `half` |"),
    ]);
    assert!(RULES.iter().all(|rule| rule(&clean).is_empty()));
}
