//! An [`Analysis`] for people and programs: a table, JSON, and a picture.
//!
//! The picture is one SVG file that needs nothing else: a row per layer, worst first. A bar reaches to the signal-to-noise ratio of the model's outputs, a dot shows that of
//! the layer's own result, and a dashed line what remains when everything is quantized. Shorter bars are worse.
use super::analyze::{Analysis, LayerError, Measured};
use crate::error_report::decibels;
use crate::render::{clean, name, table};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most layers in a table and in a picture.
const MOST_ROWS: usize = 400;
/// Most characters of a name in the picture; the whole name is shown when the pointer is on it.
const NAME: usize = 40;
/// Sizes in the picture.
const WIDTH: usize = 960;
const LEFT: usize = 330;
const RIGHT: usize = 90;
const TOP: usize = 84;
const ROW: usize = 18;
const BOTTOM: usize = 46;
/// Colours of bars, of those of layers that were judged by what is gone without them, and of dots.
const ALONE: &str = "#4477aa";
const WITHOUT: &str = "#99bbdd";
const OWN: &str = "#cc3311";

/// What the outputs of a layer were measured with, in a word.
fn how(layer: &LayerError) -> &'static str {
    match layer.measured {
        Measured::Alone => "alone",
        Measured::Without => "all but it",
    }
}

/// Decibels without their unit.
fn bare(db: f64) -> String {
    decibels(db).trim_end_matches(" dB").to_owned()
}

/// Ratio of the outputs; a layer without which as much is lost makes no error.
fn output(layer: &LayerError) -> String {
    let none = layer.measured == Measured::Without && layer.output_db == f64::INFINITY;
    if none { "none".to_owned() } else { bare(layer.output_db) }
}

/// A number of decibels; words as they are.
fn with_unit(text: String) -> String {
    if text.ends_with(|c: char| c.is_ascii_digit()) { text + " dB" } else { text }
}

/// A table, worst first, of at most `most` layers.
pub fn text(analysis: &Analysis, most: usize) -> String {
    let mut rows = vec![["layer", "op", "own dB", "output dB", "quantized"].map(str::to_owned).to_vec()];
    for l in analysis.layers.iter().take(most.min(MOST_ROWS)) {
        let own = l.own_db.map_or_else(|| "-".to_owned(), bare);
        rows.push(vec![name(&l.name), name(&l.op), own, output(l), how(l).to_owned()]);
    }
    let mut out = table(&rows, &[2, 3]);
    let left = analysis.layers.len().saturating_sub(most.min(MOST_ROWS));
    if left > 0 {
        let _ = writeln!(out, "... and {left} more");
    }
    let _ = writeln!(out, "everything quantized: {}", decibels(analysis.all_db));
    out
}

/// For `--format json`. Ratios that are not finite are null.
pub fn members(analysis: &Analysis) -> Value {
    let finite = |db: f64| Some(db).filter(|v| v.is_finite());
    let layer = |l: &LayerError| {
        json!({
            "layer": l.name,
            "op": l.op,
            "own_snr_db": l.own_db.and_then(finite),
            "output_snr_db": finite(l.output_db),
            "quantized": how(l),
        })
    };
    json!({
        "runs": analysis.runs,
        "all_snr_db": finite(analysis.all_db),
        "layers": analysis.layers.iter().map(layer).collect::<Vec<_>>(),
    })
}

/// `text` for element content and attributes of XML.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Where ratios are in the picture.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// From 0, or the lowest ratio below it, to above the highest.
    fn of(analysis: &Analysis) -> Self {
        let shown =
            analysis.layers.iter().take(MOST_ROWS).flat_map(|l| [Some(l.output_db), l.own_db]).flatten();
        let all = || shown.clone().chain([analysis.all_db]).filter(|v| v.is_finite());
        let (least, most) = (all().fold(0.0, f64::min), all().fold(20.0, f64::max));
        let step = [5.0, 10.0, 20.0, 50.0, 100.0, 500.0]
            .into_iter()
            .find(|s| (most - least) / s <= 12.0)
            .unwrap_or(5000.0);
        Self { low: (least / step).floor() * step, high: (most / step).ceil() * step, step }
    }
    /// Horizontal place; ratios that are not finite are at the ends.
    fn at(&self, db: f64) -> f64 {
        let part = ((db - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        LEFT as f64 + part * (WIDTH - LEFT - RIGHT) as f64
    }
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, step) = (self.low, self.step);
        (0..=((self.high - self.low) / step).round() as u32).map(move |i| low + f64::from(i) * step)
    }
}

/// The picture as the text of an SVG file. Equal analyses give equal bytes.
pub fn svg(analysis: &Analysis, title: &str) -> String {
    let axis = Axis::of(analysis);
    let shown = analysis.layers.len().min(MOST_ROWS);
    let end = TOP + shown * ROW;
    let height = end + BOTTOM;
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let heading = escape(&clean(title, 90));
    let _ = writeln!(out, "<text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{heading}</text>");
    let _ = writeln!(
        out,
        "<text x=\"12\" y=\"40\">Signal-to-noise ratio when a layer is quantized, in dB: shorter is worse</text>"
    );
    legend(&mut out, analysis);
    for tick in axis.ticks() {
        let x = axis.at(tick);
        let _ =
            writeln!(out, "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{end}\" stroke=\"#dddddd\"/>");
        for y in [TOP - 6, end + 16] {
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{tick:.0}</text>");
        }
    }
    for (i, layer) in analysis.layers.iter().take(shown).enumerate() {
        row(&mut out, &axis, layer, TOP + i * ROW);
    }
    if analysis.all_db.is_finite() {
        let x = axis.at(analysis.all_db);
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{end}\" stroke=\"#222222\" stroke-dasharray=\"4 3\"/>"
        );
    }
    let left = analysis.layers.len() - shown;
    let more = if left > 0 { format!("{left} better layers are left out. ") } else { String::new() };
    let y = end + 36;
    let _ = writeln!(
        out,
        "<text x=\"12\" y=\"{y}\">{more}Everything quantized: {}</text>\n</svg>",
        decibels(analysis.all_db)
    );
    out
}

fn legend(out: &mut String, analysis: &Analysis) {
    let without = analysis.layers.iter().any(|l| l.measured == Measured::Without);
    let mut items = vec![(ALONE, "outputs, this layer quantized")];
    items.extend(without.then_some((WITHOUT, "outputs, by what is gone without this layer")));
    let mut x = 12;
    for (colour, what) in items {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"50\" width=\"12\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"59\">{what}</text>",
            x + 17
        );
        x += 34 + 6 * what.len();
    }
    let _ = writeln!(
        out,
        "<circle cx=\"{}\" cy=\"55\" r=\"4\" fill=\"{OWN}\"/><text x=\"{}\" y=\"59\">the layer's own result</text>",
        x + 6,
        x + 17
    );
    x += 162;
    let _ = writeln!(
        out,
        "<line x1=\"{x}\" y1=\"55\" x2=\"{}\" y2=\"55\" stroke=\"#222222\" stroke-dasharray=\"4 3\"/><text x=\"{}\" y=\"59\">everything quantized</text>",
        x + 18,
        x + 23
    );
}

fn row(out: &mut String, axis: &Axis, layer: &LayerError, top: usize) {
    let base = top + 13;
    let (whole, cut) = (escape(&clean(&layer.name, 4000)), escape(&clean(&layer.name, NAME)));
    let op = escape(&clean(&layer.op, 24));
    let own = layer.own_db.map(|db| format!(", own {}", decibels(db))).unwrap_or_default();
    let _ = writeln!(
        out,
        "<g><title>{whole} ({op}): {}{own}</title><text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{cut}</text>",
        with_unit(output(layer)),
        LEFT - 8
    );
    let (from, to) = (axis.at(0.0_f64.max(axis.low)), axis.at(layer.output_db));
    let (x, width) = (from.min(to), (to - from).abs().max(1.0));
    let colour = if layer.measured == Measured::Alone { ALONE } else { WITHOUT };
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>",
        top + 3,
        ROW - 6
    );
    let mut edge = from.max(to);
    if let Some(own) = layer.own_db {
        let at = axis.at(own);
        edge = edge.max(at + 4.0);
        let _ = writeln!(out, "<circle cx=\"{at:.1}\" cy=\"{}\" r=\"4\" fill=\"{OWN}\"/>", top + ROW / 2);
    }
    let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{base}\">{}</text></g>", edge + 5.0, output(layer));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, own: Option<f64>, output: f64, measured: Measured) -> LayerError {
        LayerError { name: name.to_owned(), op: "conv".to_owned(), own_db: own, output_db: output, measured }
    }
    fn analysis() -> Analysis {
        let layers = vec![
            layer("stem/conv<1> & \"more\"\u{1b}[31m", Some(21.5), 18.25, Measured::Alone),
            layer(&format!("{}end", "block/".repeat(30)), Some(33.0), 31.0, Measured::Without),
            layer("head", None, f64::INFINITY, Measured::Alone),
            layer("broken", Some(-4.0), -7.5, Measured::Alone),
            layer("without", None, f64::INFINITY, Measured::Without),
        ];
        Analysis { layers, all_db: 15.0, runs: 4 }
    }

    /// Checks nesting, quotes and characters of what this module writes: elements, attributes, texts.
    fn well_formed(text: &str) {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "a control character");
        let mut open: Vec<String> = vec![];
        let mut rest =
            text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").expect("a declaration");
        while let Some(start) = rest.find('<') {
            let content = &rest[..start];
            assert!(!content.contains('>'), "{content}");
            for part in content.split('&').skip(1) {
                assert!(
                    ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|e| part.starts_with(e)),
                    "{part}"
                );
            }
            let end = start + rest[start..].find('>').expect("an end");
            let tag = &rest[start + 1..end];
            assert!(!tag.contains('<') && tag.matches('"').count().is_multiple_of(2), "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap_or_default().to_owned());
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn pictures_are_well_formed_and_always_the_same() {
        let picture = svg(&analysis(), "a <model> & more");
        well_formed(&picture);
        assert_eq!(picture, svg(&analysis(), "a <model> & more"));
        assert!(
            picture.contains("a &lt;model&gt; &amp; more")
                && picture.contains("stem/conv&lt;1&gt; &amp; &quot;more&quot;")
        );
        assert!(picture.contains(">-7.50<") && picture.contains(">exact<") && picture.contains(">none<"));
        assert!(picture.contains("): 31.00 dB, own 33.00 dB</title>") && picture.contains("): none</title>"));
        well_formed(&svg(&Analysis { layers: vec![], all_db: f64::INFINITY, runs: 0 }, ""));
    }

    #[test]
    fn long_lists_are_cut() {
        let one = layer("conv", None, 30.0, Measured::Alone);
        let many = Analysis { layers: vec![one; 500], all_db: 20.0, runs: 1 };
        let picture = svg(&many, "m");
        assert!(picture.contains("100 better layers are left out") && picture.matches("<g>").count() == 400);
        assert!(text(&many, 3).contains("... and 497 more"));
    }

    #[test]
    fn bars_are_as_long_as_ratios() {
        let axis = Axis { low: 0.0, high: 50.0, step: 10.0 };
        assert_eq!(axis.at(0.0), LEFT as f64);
        assert_eq!(axis.at(25.0), LEFT as f64 + (WIDTH - LEFT - RIGHT) as f64 / 2.0);
        assert_eq!(axis.at(f64::INFINITY), (WIDTH - RIGHT) as f64);
        assert_eq!(axis.ticks().count(), 6);
        let wide = Axis::of(&analysis());
        assert_eq!((wide.low, wide.high, wide.step), (-10.0, 35.0, 5.0));
    }

    #[test]
    fn tables_and_members_list_the_worst_first() {
        let shown = text(&analysis(), usize::MAX);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("stem/conv<1>") && lines[1].contains("21.50"), "{shown}");
        assert!(
            lines[3].contains('-')
                && lines[3].contains("exact")
                && lines[5].contains("none")
                && lines[6].ends_with("15.00 dB"),
            "{shown}"
        );
        let members = members(&analysis());
        assert_eq!(members["layers"][1]["quantized"], "all but it");
        assert!(members["layers"][2]["output_snr_db"].is_null());
        assert_eq!(members["all_snr_db"], 15.0);
    }
}
