//! Diagnostics: what is wrong, where, and what to do next.
use crate::graph::Origin;
use std::fmt;

mod codes;
pub use codes::{CODES, CodeInfo, explain};

/// How serious a diagnostic is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Additional information.
    Note,
    /// The result is right, and something deserves attention.
    Warning,
    /// The model is rejected.
    Error,
}

/// One diagnostic.
#[derive(Clone, PartialEq, Debug)]
pub struct Diag {
    /// Stable code such as `E0301`, listed in [`CODES`].
    pub code: &'static str,
    /// How serious it is.
    pub severity: Severity,
    /// What is wrong, one sentence.
    pub message: String,
    /// Operator it concerns, in the source's own name where known.
    pub op: Option<String>,
    /// Node it concerns.
    pub node: Option<String>,
    /// Where the node comes from.
    pub origin: Option<Origin>,
    /// Further facts, one sentence each.
    pub notes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Diag {
    /// An error of that code.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code,
            severity: Severity::Error,
            message,
            op: None,
            node: None,
            origin: None,
            notes: vec![],
            hint: None,
        }
    }
    /// A warning of that code.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }
    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
    /// Adds a further fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
    /// Names the operator.
    #[must_use]
    pub fn op(mut self, op: impl Into<String>) -> Self {
        self.op = Some(op.into());
        self
    }
    /// Names the node.
    #[must_use]
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.node = Some(node.into());
        self
    }
    /// Says where it comes from.
    #[must_use]
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl fmt::Display for Diag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{kind}[{}]: {}", self.code, self.message)?;
        if self.op.is_some() || self.node.is_some() {
            f.write_str("\n  at")?;
            if let Some(op) = &self.op {
                write!(f, " op `{op}`")?;
            }
            if let Some(node) = &self.node {
                write!(f, " node `{node}`")?;
            }
        }
        if let Some(origin) = self.origin.as_ref().filter(|o| !o.is_empty()) {
            write!(f, "\n  from {origin}")?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  help: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diag {}

/// One or more diagnostics, collected instead of stopping at the first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Diags(pub Vec<Diag>);

impl Diags {
    /// Adds one.
    pub fn push(&mut self, diag: Diag) {
        self.0.push(diag);
    }
    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }
    /// `Err` with everything collected when any is an error.
    pub fn into_result(self) -> Result<(), Self> {
        if self.has_errors() { Err(self) } else { Ok(()) }
    }
}
impl From<Diag> for Diags {
    fn from(d: Diag) -> Self {
        Self(vec![d])
    }
}
impl fmt::Display for Diags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            let newline = if i > 0 { "\n" } else { "" };
            write!(f, "{newline}{d}")?;
        }
        Ok(())
    }
}
impl std::error::Error for Diags {}
