//! What quantization adds to a [`Job`].
use super::told::Told;
use super::{Extra, Step};
use crate::error_report::runs::is_quantized;
use crate::format::OutputFormat;
use crate::io;
use crate::job::Job;
use crate::output::{Staging, Target};
use crate::progress::Progress;
use hoist_ir::diag::Diag;
use hoist_ir::model::Model;
use hoist_passes::{Options, Pipeline, Report};

impl Job<'_> {
    /// Computes on floats first what the source computes on integers, where it is to be quantized in another way, or not at all.
    pub(crate) fn dequantize(&self, model: &mut Model, options: &mut Options<'_>) -> anyhow::Result<Report> {
        if self.quantizing.is_none() || !is_quantized(&model.graph) {
            return Ok(Report::default());
        }
        self.rewrite(&Pipeline::parse("dequantize-model,cleanup")?, model, options)
    }

    /// Computes on integers, where that is asked for.
    pub(crate) fn quantize(
        &self,
        model: &mut Model,
        format: OutputFormat,
        options: &mut Options<'_>,
        (report, progress): (&mut Report, &Progress),
    ) -> anyhow::Result<Option<(Told, Vec<Extra>)>> {
        let Some(asked) = self.quantizing else { return Ok(None) };
        let verify_each = options.verify_each;
        let mut extras = vec![];
        let told = Step { asked, job: self, format, verify_each, report, progress, extras: &mut extras }
            .run(model)?;
        Ok(Some((told, extras)))
    }

    /// The float model, where it takes fewer bytes than the quantized one.
    pub(crate) fn smaller(
        &self,
        told: &mut Told,
        target: &Target,
        float: &Model,
        (staging, format): (&Staging, OutputFormat),
        report: &mut Report,
    ) -> anyhow::Result<Option<Staging>> {
        /// Larger models gain more than conversions cost.
        const SMALL: u64 = 4 << 20;
        let asked = self.quantizing.filter(|q| q.saves_bytes());
        if asked.is_none() || crate::stats::of(&float.graph).parameter_bytes > SMALL {
            return Ok(None);
        }
        let written = self.write(target, float, format)?;
        let (quantized, plain) = (staging.bytes(), written.bytes());
        if quantized <= plain {
            return Ok(None);
        }
        let m = format!("nothing is quantized: the file would take {quantized} bytes instead of {plain}");
        report.warnings.push(Diag::warning("E0607", m).hint("--full-integer quantizes it all the same"));
        told.nothing();
        Ok(Some(written))
    }

    /// Compares what was written with the float model, where quantization is asked for.
    pub(crate) fn judge(
        &self,
        told: &mut Told,
        source: &Model,
        staging: &Staging,
        format: OutputFormat,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let Some(asked) = self.quantizing.filter(|_| !self.checking.no_verify) else { return Ok(()) };
        let written = Self::read_back(staging, format)?;
        let warnings = told.judge(asked, source, &written, &staging.model(), self.checking.verify_seed);
        report.warnings.0.extend(warnings.map_err(|diags| io::about(self.input, diags))?.0);
        Ok(())
    }
}
