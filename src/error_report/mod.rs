//! Error of a quantized model as it is shown, and what of it is too much.
pub mod border;
pub mod runs;

use crate::render::{count, name, table};
use hoist_ir::diag::{Diag, Diags};
use hoist_runtime::error::{ErrorReport, OutputError};
use serde_json::{Value, json};

/// Least signal-to-noise ratio of a float output that is taken for the same result, in dB: the power of the error is a tenth of that of the signal.
pub const MIN_SNR: f64 = 10.0;
/// Least share of equal elements of an output that is not of floats, in percent, where its ratio is below the least one too.
const MIN_EQUAL: f64 = 90.0;

/// What an output must keep.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// Least signal-to-noise ratio in dB.
    pub snr: f64,
    /// Least agreement in percent, of outputs that have one.
    pub agreement: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { snr: MIN_SNR, agreement: None }
    }
}

impl Limits {
    /// What is wrong with an output, without its name.
    pub fn complaint(&self, o: &OutputError) -> Option<String> {
        if let (n @ 1.., Some(why)) = &o.incomparable {
            return Some(format!("{why} (runs with other sizes or types: {n})"));
        }
        if o.sums.odd > 0 {
            return Some(format!(
                "has elements that are NaN or infinite in one model only: {}",
                count(o.sums.odd)
            ));
        }
        let (snr, agree) = (o.sums.snr_db(), o.agree.percent());
        let noisy = snr < self.snr;
        if let (Some(least), Some(agree)) = (self.agreement, agree)
            && agree < least
        {
            return Some(format!("agrees in {agree:.2} %, less than {least} %"));
        }
        let loss = || format!("has a signal-to-noise ratio of {}, less than {} dB", decibels(snr), self.snr);
        match agree {
            _ if o.float => noisy.then(loss),
            Some(agree) if agree < MIN_EQUAL && noisy && self.agreement.is_none() => {
                Some(format!("is equal in {agree:.2} % of the elements, less than {MIN_EQUAL} %"))
            }
            _ => None,
        }
    }
    /// One error for each output that keeps too little.
    pub fn complaints(&self, report: &ErrorReport) -> Diags {
        let mut diags = Diags::default();
        for o in &report.outputs {
            if let Some(why) = self.complaint(o) {
                let d = Diag::error("E0601", format!("output `{}` {why}", name(&o.name)));
                diags.push(d.hint("--min-snr DB and --min-agreement PERCENT set what is enough"));
            }
        }
        if let Some(o) = report.outputs.iter().find(|o| o.foreign > 0) {
            let m = format!("labels that are no class of output `{}`: {}", name(&o.name), count(o.foreign));
            diags.push(Diag::error("E0603", m).hint("classes count from 0"));
        }
        diags
    }
}

/// Reads a finite number.
///
/// # Errors
/// When the text is none.
pub fn number(text: &str) -> Result<f64, String> {
    text.trim().parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| format!("`{text}` is no number"))
}

/// Reads a number from 0 to 100, with or without `%`.
///
/// # Errors
/// When the text is none.
pub fn percent(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let share = number(text.strip_suffix('%').unwrap_or(text))?;
    if (0.0..=100.0).contains(&share) { Ok(share) } else { Err(format!("`{text}` is not from 0 to 100")) }
}

/// A ratio for people.
pub fn decibels(snr: f64) -> String {
    match snr {
        f64::INFINITY => "exact".to_owned(),
        f64::NEG_INFINITY => "no signal".to_owned(),
        _ => format!("{snr:.2} dB"),
    }
}

/// A table, one line per output, of which each must keep one thing and should keep another.
pub fn text(report: &ErrorReport, must: &Limits, should: &Limits) -> String {
    let labelled = report.outputs.iter().any(|o| o.accuracy().is_some());
    let agree = report.outputs.iter().any(|o| o.agree.all > 0);
    let header = ["output", "SNR", "cosine", "max abs", "mean abs", "largest", "elements"];
    let mut head: Vec<String> = header.map(str::to_owned).to_vec();
    head.extend(agree.then(|| "agree".to_owned()));
    head.extend(if labelled { vec!["accuracy".to_owned(), "was".to_owned()] } else { vec![] });
    let right: Vec<usize> = (1..head.len()).collect();
    head.push(String::new());
    let mut rows = vec![head];
    for o in &report.outputs {
        let s = &o.sums;
        let mut row = vec![
            name(&o.name),
            decibels(s.snr_db()),
            format!("{:.6}", s.cosine()),
            format!("{:.3e}", s.max_abs),
            format!("{:.3e}", s.mean_abs()),
            format!("{:.3e}", s.largest),
            s.count.max(o.agree.all).to_string(),
        ];
        let percent = |p: Option<f64>| p.map_or_else(|| "-".to_owned(), |p| format!("{p:.2} %"));
        row.extend(agree.then(|| percent(o.agree.percent())));
        let (was, is) = o.accuracy().unzip();
        row.extend(if labelled { vec![percent(is), percent(was)] } else { vec![] });
        let fits = |l: &Limits| l.complaint(o).is_none();
        row.push(match (fits(must), fits(should)) {
            (true, true) => "ok".to_owned(),
            (true, false) => "far".to_owned(),
            (false, _) => "TOO FAR".to_owned(),
        });
        rows.push(row);
    }
    table(&rows, &right)
}

/// For `--format json`: one member per output. Ratios that are not finite are null.
pub fn members(report: &ErrorReport, limits: &Limits) -> Value {
    report.outputs.iter().map(|o| member(o, limits)).collect()
}

fn member(o: &OutputError, limits: &Limits) -> Value {
    let s = &o.sums;
    let snr = Some(s.snr_db()).filter(|v| v.is_finite());
    let accuracy = o.accuracy().map(|(a, b)| json!({"a": a, "b": b, "drop": a - b}));
    json!({
        "name": o.name,
        "ok": limits.complaint(o).is_none(),
        "elements": s.count.max(o.agree.all),
        "snr_db": snr,
        "exact": s.max_abs == 0.0 && o.is_sound(),
        "cosine": s.cosine(),
        "max_abs": s.max_abs,
        "mean_abs": s.mean_abs(),
        "largest": s.largest,
        "not_finite": s.odd,
        "agreement": o.agree.percent(),
        "accuracy": accuracy,
        "incomparable": o.incomparable.1,
    })
}

#[cfg(test)]
mod tests;
