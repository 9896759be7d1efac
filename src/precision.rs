//! `--dtype`: which floats a model computes in.
use crate::gate::{self, Checking};
use crate::render::{count, name};
use clap::ValueEnum;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value as Datum;
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_passes::Floats;
use hoist_passes::quantize::convert_floats::narrow_interface;
use serde_json::{Value, json};
use std::fmt;

/// 16-bit floats, as the command line says them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Narrow {
    /// IEEE binary16
    #[value(alias = "f16", alias = "float16", alias = "half")]
    Fp16,
    /// bfloat16
    #[value(alias = "bfloat16")]
    Bf16,
}

/// Which floats to compute in.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Precision {
    /// Compute in these floats where they are precise enough, and store weights in them
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<Narrow>,
    /// Whether inputs and outputs stay f32 with --dtype; `--keep-io-types=false` gives them its type too
    #[arg(
        long,
        value_name = "BOOL",
        requires = "dtype",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    keep_io_types: bool,
    /// Operators that stay f32 with --dtype, such as Resize,Softmax
    #[arg(long, value_name = "OP,..", value_delimiter = ',', requires = "dtype")]
    fp32_ops: Vec<String>,
    /// Nodes that stay f32 with --dtype, by name
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', requires = "dtype")]
    fp32_nodes: Vec<String>,
}

/// What became of the floats of a model.
#[derive(Clone, Debug)]
pub struct Told {
    dtype: DType,
    /// Nodes with a result in 16 bits, in `f32`, and casts between both.
    nodes: (usize, usize, usize),
    /// Why no ranges were recorded.
    unseen: Option<String>,
}

impl Precision {
    /// Everything in these floats that is precise enough, but for the interface.
    pub fn of(narrow: Narrow) -> Self {
        Self { dtype: Some(narrow), keep_io_types: true, ..Self::default() }
    }
    /// The element type that is asked for.
    pub fn dtype(&self) -> Option<DType> {
        Some(match self.dtype? {
            Narrow::Fp16 => DType::F16,
            Narrow::Bf16 => DType::BF16,
        })
    }
    /// Gives the interface of `model` the type, where that is asked for.
    ///
    /// # Errors
    /// When the graph is broken.
    pub fn open(&self, model: &mut Model) -> Result<(), Diags> {
        let Some(to) = self.dtype().filter(|_| !self.keep_io_types) else { return Ok(()) };
        let changed = narrow_interface(&mut model.graph, to)?;
        for sample in &mut model.samples {
            for i in &changed {
                let Some(Datum::Tensor(t)) = sample.inputs.get(*i) else { continue };
                let narrow = t.cast(to, false).map_err(|e| Diag::error("E0306", e.to_string()))?;
                sample.inputs[*i] = Datum::Tensor(narrow);
            }
        }
        Ok(())
    }
    /// What to ask of the pass, after running `model` as the gate will.
    ///
    /// # Errors
    /// `E0101` for operators and nodes that the model does not have.
    pub fn floats(
        &self,
        source: &Model,
        model: &Model,
        checking: &Checking,
    ) -> Result<Option<(Floats, Told)>, Diags> {
        let Some(to) = self.dtype() else { return Ok(None) };
        self.check_names(source, model)?;
        let observed = gate::observe(source, model, checking);
        let unseen = observed.as_ref().err().cloned();
        let floats = Floats {
            ranges: observed.unwrap_or_default(),
            f32_ops: self.fp32_ops.clone(),
            f32_nodes: self.fp32_nodes.clone(),
            ..Floats::new(to)
        };
        Ok(Some((floats, Told { dtype: to, nodes: (0, 0, 0), unseen })))
    }
    /// Every name must be that of something, or it was misspelt.
    fn check_names(&self, source: &Model, model: &Model) -> Result<(), Diags> {
        let mut diags = Diags::default();
        for node in &self.fp32_nodes {
            let has = |g: &Graph| g.order().any(|n| g.node_label(n) == *node);
            if !has(&source.graph) && !has(&model.graph) {
                let d = Diag::error("E0606", format!("there is no node `{}`", name(node)));
                diags
                    .push(d.hint("a .hir output shows the names: hoist convert IN -o OUT.hir --no-optimize"));
            }
        }
        for op in &self.fp32_ops {
            let known = hoist_ir::ops::Op::by_name(op).is_some() || hoist_formats::onnx::bind::is_bound(op);
            if !known {
                let d = Diag::error("E0606", format!("there is no operator `{}`", name(op)));
                diags.push(d.hint("`hoist ops` lists the operators"));
            }
        }
        diags.into_result()
    }
}

impl Told {
    /// With the numbers of nodes of `after`.
    #[must_use]
    pub fn counted(self, after: &Graph) -> Self {
        let of = |v: &hoist_ir::graph::ValueId| after.ty(*v).as_tensor().map(|t| t.dtype);
        let (mut narrow, mut wide, mut casts) = (0, 0, 0);
        for n in after.order() {
            let node = after.node(n);
            let result = node.outputs().first().and_then(of);
            let operand = node.input(0).and_then(|v| of(&v));
            let between = [Some(self.dtype), Some(DType::F32)];
            if node.op().name() == "cast" && between.contains(&result) && between.contains(&operand) {
                casts += 1;
            } else if result == Some(self.dtype) {
                narrow += 1;
            } else if result == Some(DType::F32) {
                wide += 1;
            }
        }
        Self { nodes: (narrow, wide, casts), ..self }
    }
    /// For `--format json`.
    pub fn members(&self, part: Option<f64>) -> Value {
        json!({
            "dtype": self.dtype.name(),
            "nodes": self.nodes.0,
            "nodes_f32": self.nodes.1,
            "casts": self.nodes.2,
            "relative_error": part,
            "ranges": self.unseen.is_none(),
            "reason": self.unseen,
        })
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (narrow, wide, casts) = self.nodes;
        let number = |n: usize| count(n as u64);
        writeln!(
            f,
            "{} in {} nodes, f32 in {}, {} casts; --why convert-floats says why",
            self.dtype,
            number(narrow),
            number(wide),
            number(casts)
        )?;
        match &self.unseen {
            Some(reason) => {
                writeln!(f, "magnitudes are not known, only constants and operators were looked at: {reason}")
            }
            None => Ok(()),
        }
    }
}
