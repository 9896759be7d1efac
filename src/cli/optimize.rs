//! `hoist optimize`.
use super::rewrite::{Asked, Rewrite};
use super::{EXIT_CODES, Report, Session, misuse};
use crate::precision::Precision;
use crate::render::table;
use anyhow::Result;
use hoist_passes::pipeline::GROUPS;
use hoist_passes::profile::{FUSED, PROFILES};
use hoist_passes::registry;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Rewrite a model so that it computes the same in fewer steps
///
/// Does what `convert` does, and also puts operators together where the target has one for several.
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Model to read: .onnx, .pt2 or .hir
    #[arg(value_name = "IN", required_unless_present_any = ["list_passes", "list_targets"])]
    input: Option<PathBuf>,
    /// Output file
    #[arg(short, long, value_name = "OUT", required_unless_present_any = ["list_passes", "list_targets"])]
    output: Option<PathBuf>,
    #[command(flatten)]
    precision: Precision,
    /// List the passes and the groups of passes
    #[arg(long)]
    list_passes: bool,
    /// List the targets and the operators that passes may put in place of several others
    #[arg(long, conflicts_with = "list_passes")]
    list_targets: bool,
    /// List them as a page of Markdown
    #[arg(long, hide = true, requires = "list_passes")]
    markdown: bool,
    #[command(flatten)]
    rewrite: Rewrite,
}

const EXAMPLES: &str = "Examples:
  hoist optimize model.onnx -o small.onnx
  hoist optimize model.onnx -o fast.onnx --target onnxruntime --stats
  hoist optimize model.onnx -o fixed.onnx --input-shape x=1,3,224,224 --simplify-io
  hoist optimize model.onnx -o any.onnx --dynamic x:0=batch
  hoist optimize model.onnx -o head.onnx --inputs features --outputs scores,boxes
  hoist optimize model.onnx -o half.onnx --dtype fp16 --fp32-ops Resize
  hoist optimize model.onnx -o out.onnx --passes 'cleanup,fixpoint(fold,fuse)' --why fuse-conv-batch-norm
  hoist optimize --list-passes";

impl Opts {
    /// Runs the command.
    pub fn run(self, session: Session) -> Result<Report> {
        if self.list_passes {
            return Ok(list(self.markdown));
        }
        if self.list_targets {
            return Ok(targets());
        }
        let (Some(input), Some(output)) = (&self.input, &self.output) else {
            return Err(misuse("a model and an output are needed: hoist optimize IN -o OUT"));
        };
        let asked = Asked {
            files: (input, output),
            precision: &self.precision,
            quantizing: None,
            pipeline: self.rewrite.tuning.pipeline(2)?,
            stats: true,
        };
        self.rewrite.run(asked, session)
    }
}

/// The passes and groups.
fn list(markdown: bool) -> Report {
    let passes: Vec<Value> =
        registry().iter().map(|p| json!({"name": p.info().name, "doc": p.info().doc})).collect();
    let groups: Vec<Value> =
        GROUPS.iter().map(|g| json!({"name": g.name, "doc": g.doc, "passes": g.text})).collect();
    let text = if markdown { list_page() } else { list_text() };
    Report::new(text, json!({"passes": passes, "groups": groups}))
}

/// The targets.
fn targets() -> Report {
    let operators =
        |p: &hoist_passes::Profile| FUSED.iter().copied().filter(|o| p.allows(o)).collect::<Vec<_>>();
    let mut text = String::new();
    for p in PROFILES {
        let _ = writeln!(text, "{}: {}\n  {}", p.name, p.doc, operators(p).join(", "));
    }
    let all: Vec<Value> =
        PROFILES.iter().map(|p| json!({"name": p.name, "doc": p.doc, "operators": operators(p)})).collect();
    Report::new(text, json!({"targets": all}))
}

fn list_text() -> String {
    let passes = registry().iter().map(|p| vec![p.info().name.to_owned(), p.info().doc.to_owned()]);
    let mut rows: Vec<Vec<String>> = passes.collect();
    let groups = GROUPS.iter().map(|g| vec![g.name.to_owned(), format!("{} [{}]", g.doc, g.text)]);
    rows.extend(groups);
    table(&rows, &[])
}

fn list_page() -> String {
    let mut text = String::from(
        "# Passes\n\nPrinted by `hoist optimize --list-passes --markdown`.\n\n| pass | does |\n|---|---|\n",
    );
    for pass in registry() {
        let _ = writeln!(text, "| `{}` | {} |", pass.info().name, pass.info().doc);
    }
    text.push_str("\n# Groups\n\n| group | does | stands for |\n|---|---|---|\n");
    for group in GROUPS {
        let _ = writeln!(text, "| `{}` | {} | `{}` |", group.name, group.doc, group.text);
    }
    text
}
