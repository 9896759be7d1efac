//! Pipelines: what to run in which order, as text that reads back.
//!
//! ```text
//! pipeline = step ("," step)*
//! step     = PASS | GROUP | "fixpoint" "(" pipeline ")"
//! ```
use crate::pass::Pass;
use hoist_ir::diag::Diag;
use std::fmt;

/// A named sequence of steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Name in pipelines.
    pub name: &'static str,
    /// One sentence for lists.
    pub doc: &'static str,
    /// What it stands for.
    pub text: &'static str,
}

/// Every named group.
pub const GROUPS: &[Group] = &[
    Group { name: "default", doc: "What `hoist convert` runs when nothing else is asked for.", text: "O1" },
    Group { name: "O0", doc: "Nothing.", text: "" },
    Group {
        name: "O1",
        doc: "What is exact up to the rounding of weights, with the operators that the source has.",
        text: "cleanup,fixpoint(fold,cleanup,fuse-weights),cleanup",
    },
    Group {
        name: "O2",
        doc: "What `hoist optimize` runs: also operators that stand for several others, where the target has them.",
        text: "cleanup,fixpoint(fold,simplify,movement,cleanup,fuse,fuse-weights),fixpoint(fuse-target,cleanup),finish,\
               fixpoint(fuse-target,cleanup)",
    },
    Group {
        name: "O3",
        doc: "Also what rounds differently to be faster; the command line also lets constants grow more.",
        text: "O2,replace-division,cleanup",
    },
    Group {
        name: "simplify",
        doc: "Replaces arithmetic by less of it.",
        text: "remove-identity,remove-zero-bias,remove-expand,simplify-arithmetic,simplify-bounds,\
               merge-reduce-reshape",
    },
    Group {
        name: "movement",
        doc: "Moves, cuts and joins data in fewer steps.",
        text: "simplify-lists,merge-shapes,merge-slices,fuse-space-to-depth,merge-concats,merge-movements",
    },
    Group {
        name: "finish",
        doc: "What would hide patterns from other passes.",
        text: "cancel-transposes,fixpoint(cleanup,movement),split-slices,merge-concats,merge-terms,fold-scale,fuse-sums",
    },
    Group {
        name: "fuse",
        doc: "Recognizes operators by their formulas.",
        text: "fuse-dequantize,fuse-activations,fuse-means,fuse-norms,fuse-attention,fold-scale",
    },
    Group {
        name: "fuse-norms",
        doc: "Recognizes normalizations.",
        text: "fuse-layer-norm,fuse-group-norm,fuse-rms-norm,replace-reciprocal,fuse-norm-affine,fuse-norm-casts",
    },
    Group {
        name: "fuse-attention",
        doc: "Recognizes attention and rotary embeddings.",
        text: "fuse-rotary-embedding,fuse-scales,fuse-attention-formula,fuse-attention-groups,fuse-attention-heads",
    },
    Group {
        name: "fuse-target",
        doc: "Puts operators together in ways that one runtime has.",
        text: "fuse-target-norms,fuse-target-attention,fuse-quantized,fuse-target-linear,fuse-target-activations",
    },
    Group {
        name: "fuse-target-norms",
        doc: "Normalizations with what is added before them.",
        text: "fuse-skip-norm",
    },
    Group {
        name: "fuse-target-activations",
        doc: "Activations with what is before them.",
        text: "fuse-bias-activations",
    },
    Group {
        name: "fuse-target-attention",
        doc: "Attention with what is before and after it.",
        text: "fuse-projected-attention,merge-projections",
    },
    Group {
        name: "fuse-target-linear",
        doc: "Convolutions and matrix products with activations, sums, transposes and factors.",
        text: "fuse-product-transpose,fuse-product-scale,fuse-conv-activation,fuse-gemm-activation",
    },
    Group {
        name: "fuse-quantized",
        doc: "Quantization without steps that cancel, and operators on quantized tensors.",
        text: "remove-requantize,remove-saturated-bounds,fuse-integer-product",
    },
    Group {
        name: "cleanup",
        doc: "Removes what computes nothing and merges what is computed twice.",
        text: "remove-identity,merge-casts,merge-transposes,merge-reshapes,simplify-reshape,merge-duplicates,\
               remove-dead-code",
    },
    Group {
        name: "fold",
        doc: "Computes now what does not depend on the inputs.",
        text: "infer-shapes,simplify-casts,fold-constants,fold-branches,merge-branches,trim-control-flow,recurrence,unroll-loops,\
               fold-sequences",
    },
    Group {
        name: "recurrence",
        doc: "Recognizes recurrent layers in loops.",
        text: "fuse-recurrence,fuse-reversed-sequence,merge-directions",
    },
    Group {
        name: "fuse-weights",
        doc: "Puts constants that follow convolutions and matrix products into their weights.",
        text: "fuse-pad,fuse-matmul-add,fuse-conv-batch-norm,fuse-conv-affine,fuse-transposed-gemm",
    },
    Group {
        name: "legalize-opset",
        doc: "Replaces what the ONNX operator set to write lacks by what it has.",
        text: "fixpoint(legalize-layout,legalize-types,legalize-reduce,legalize-softmax,legalize-split,legalize-pad,legalize-reshape,\
               legalize-resize,legalize-expand)",
    },
    Group {
        name: "legalize-tflite",
        doc: "Brings the model into the form that LiteRT's builtin operators can hold.",
        text: "fold-sequences,fuse-activations,legalize-tflite-ops,cleanup,merge-movements,merge-reshapes,legalize-layout,legalize-tflite-ops,cleanup",
    },
    Group {
        name: "legalize-tflite-ops",
        doc: "Replaces operators that LiteRT lacks by what it has, whatever the layout of their data.",
        text: "fixpoint(legalize-quantized,legalize-tflite-spatial,legalize-tflite-elementwise,legalize-tflite-control,\
               legalize-expand)",
    },
    Group {
        name: "legalize-tflite-spatial",
        doc: "Convolutions, pools, resizing, normalization.",
        text: "legalize-tflite-floats,legalize-tflite-integer-conv,legalize-tflite-axes,legalize-tflite-groups,\
               legalize-tflite-padding,legalize-tflite-fold-columns,legalize-tflite-transposed,legalize-tflite-positions,\
               legalize-tflite-pool,legalize-tflite-resize,legalize-tflite-resize-open,legalize-tflite-blocks,\
               legalize-tflite-norm,legalize-tflite-sample,legalize-tflite-regions",
    },
    Group {
        name: "legalize-tflite-elementwise",
        doc: "Elementwise operators, reductions, types of elements.",
        text: "legalize-tflite-types,legalize-tflite-reductions,legalize-reduce,legalize-tflite-search,\
               legalize-tflite-integers,legalize-tflite-activations,legalize-tflite-functions,legalize-tflite-dropout,legalize-tflite-quantize,\
               legalize-tflite-windows",
    },
    Group {
        name: "legalize-tflite-control",
        doc: "Control flow, matrix products, attention, recurrent operators.",
        text: "infer-loop-types,legalize-tflite-scan,legalize-tflite-captures,legalize-tflite-dft,legalize-tflite-gemm,legalize-tflite-mat-mul,\
               legalize-tflite-mat-mul-integer",
    },
];

/// Deepest nesting of `fixpoint` groups, those inside named groups included.
const MAX_DEPTH: usize = 8;

/// One step of a pipeline.
#[derive(Clone)]
pub enum Step {
    /// A single pass.
    Pass(&'static dyn Pass),
    /// A named group and what it stands for.
    Group(&'static Group, Pipeline),
    /// Repeated until a round changes nothing.
    Fixpoint(Pipeline),
}

/// What to run, in order. Reads from text with [`Pipeline::parse`] and prints back the same.
#[derive(Clone, Default)]
pub struct Pipeline {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Pipeline {
    /// Reads a pipeline. The empty text is the empty pipeline.
    ///
    /// # Errors
    /// `E0501` for an unknown name, with names that are near it, and for text that is no pipeline.
    pub fn parse(text: &str) -> Result<Self, Diag> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut p = Parser { rest: text, whole: text };
        let out = p.pipeline(0)?;
        if p.rest.is_empty() { Ok(out) } else { Err(p.error("a comma or the end is expected")) }
    }
    /// What runs when nothing else is asked for.
    pub fn standard() -> Self {
        Self::parse("default").unwrap_or_default()
    }
    /// Names of the passes in it, groups expanded, each `fixpoint` once.
    pub fn pass_names(&self) -> Vec<&'static str> {
        let mut out = vec![];
        for step in &self.steps {
            match step {
                Step::Pass(p) => out.push(p.info().name),
                Step::Group(_, inner) | Step::Fixpoint(inner) => out.extend(inner.pass_names()),
            }
        }
        out
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match step {
                Step::Pass(p) => f.write_str(p.info().name)?,
                Step::Group(g, _) => f.write_str(g.name)?,
                Step::Fixpoint(inner) => write!(f, "fixpoint({inner})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({self})")
    }
}

struct Parser<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl Parser<'_> {
    fn error(&self, what: &str) -> Diag {
        let at = self.whole.len() - self.rest.len();
        Diag::error("E0501", format!("{what} at byte {at} of the pipeline `{}`", self.whole)).hint(
            "write it like `cleanup,fixpoint(fold,fuse)`; `hoist optimize --list-passes` lists the names",
        )
    }
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        let after = self.rest.strip_prefix(c);
        self.rest = after.unwrap_or(self.rest).trim_start();
        after.is_some()
    }
    fn word(&mut self) -> &str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest.trim_start();
        word
    }
    fn pipeline(&mut self, depth: usize) -> Result<Pipeline, Diag> {
        if depth > MAX_DEPTH {
            return Err(self.error("too deep nesting"));
        }
        let mut steps = vec![self.step(depth)?];
        while self.eat(',') {
            steps.push(self.step(depth)?);
        }
        Ok(Pipeline { steps })
    }
    fn step(&mut self, depth: usize) -> Result<Step, Diag> {
        let name = self.word().to_owned();
        if name.is_empty() {
            return Err(self.error("the name of a pass is expected"));
        }
        if name == "fixpoint" {
            if !self.eat('(') {
                return Err(self.error("`(` is expected"));
            }
            let inner = self.pipeline(depth + 1)?;
            return if self.eat(')') {
                Ok(Step::Fixpoint(inner))
            } else {
                Err(self.error("`)` is expected"))
            };
        }
        if let Some(pass) = crate::by_name(&name) {
            return Ok(Step::Pass(pass));
        }
        let group = GROUPS.iter().find(|g| g.name == name).ok_or_else(|| unknown(&name))?;
        if group.text.is_empty() {
            return Ok(Step::Group(group, Pipeline::default()));
        }
        let mut inner = Parser { rest: group.text, whole: group.text };
        Ok(Step::Group(group, inner.pipeline(depth + 1)?))
    }
}

/// The error for a name that is neither a pass nor a group.
pub fn unknown(name: &str) -> Diag {
    let names = crate::registry().iter().map(|p| p.info().name).chain(GROUPS.iter().map(|g| g.name));
    let d = Diag::error("E0501", format!("there is no pass or group `{name}`"));
    let near = near(name, names);
    match near.as_slice() {
        [] => d.hint("`hoist optimize --list-passes` lists them"),
        _ => d.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

/// Up to three of `names` that `name` may be meant for, in quotes, nearest first.
pub fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = names.map(|n| (distance(name, n), n)).collect();
    near.sort_unstable();
    near.iter().filter(|(d, n)| *d <= n.len() / 3 + 1).take(3).map(|(_, n)| format!("`{n}`")).collect()
}

/// Levenshtein distance: fewest insertions, deletions and replacements of characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    // A name longer than any pass is near none of them.
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_back() {
        for text in ["default", "cleanup,fixpoint(fold,fixpoint(fuse),cleanup),fold-constants", ""] {
            assert_eq!(Pipeline::parse(text).expect("valid").to_string(), text);
        }
        let spaced = Pipeline::parse(" cleanup , fixpoint ( fold ) ").expect("valid");
        assert_eq!(spaced.to_string(), "cleanup,fixpoint(fold)");
    }

    #[test]
    fn groups_expand_to_registered_passes() {
        for g in GROUPS {
            let names = Pipeline::parse(g.name).expect("valid").pass_names();
            assert_eq!(names.is_empty(), g.name == "O0", "{}", g.name);
            assert!(crate::by_name(g.name).is_none(), "{} names a pass and a group", g.name);
        }
        assert!(Pipeline::standard().pass_names().contains(&"fold-constants"));
    }

    #[test]
    fn unknown_names_list_near_ones() {
        let d = Pipeline::parse("fold-constant").expect_err("unknown");
        assert_eq!((d.code, d.hint.as_deref()), ("E0501", Some("did you mean `fold-constants`?")));
        let d = Pipeline::parse("cleanup,zzzzzzzzzzzz").expect_err("unknown");
        assert!(d.hint.expect("hint").contains("--list-passes"));
        let deep = format!("{}fold{}", "fixpoint(".repeat(40), ")".repeat(40));
        for bad in ["cleanup,", "fixpoint", "fixpoint(fold", "fold)", ",", "fixpoint()", deep.as_str()] {
            assert_eq!(Pipeline::parse(bad).expect_err(bad).code, "E0501");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
