//! `string_normalizer`
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::collections::HashSet;

/// What happens to upper and lower case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CaseChange {
    /// Nothing.
    #[default]
    None,
    /// All becomes lower case.
    Lower,
    /// All becomes upper case.
    Upper,
}

impl Word for CaseChange {
    const KIND: &'static str = "case_change";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::None, "NONE"), (Self::Lower, "LOWER"), (Self::Upper, "UPPER")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Removes the strings of a `[C]` or `[1, C]` tensor that are stop words, then changes the case of the others. When none is left,
    /// the result is one empty string. Case is Unicode's, whatever the `locale`, but for `C` and `POSIX`, which know only the letters of
    /// ASCII; locales whose own rules differ (`az`, `lt`, `tr`) are refused where case matters.
    string_normalizer StringNormalizer(x: One<T>) -> (y: One<T>) {
        /// What happens to upper and lower case.
        case_change_action: CaseChange = CaseChange::None,
        /// Whether case counts when strings are compared with stop words.
        is_case_sensitive: bool = false,
        /// Language whose rules of case apply.
        locale: Option<String> = None,
        /// Strings to remove.
        stopwords: Vec<String> = vec![],
    } where T: DTypeSet::of(&[DType::String]);
}

impl StringNormalizer {
    fn check_locale(&self) -> Result<(), OpError> {
        let plain = self.case_change_action == CaseChange::None
            && (self.is_case_sensitive || self.stopwords.is_empty());
        let language = self.locale.as_deref().unwrap_or("").split(['_', '-', '.', '@']).next();
        let special = language.is_some_and(|l| ["az", "lt", "tr"].iter().any(|s| l.eq_ignore_ascii_case(s)));
        if plain || !special {
            return Ok(());
        }
        Err(OpError::attr(format!(
            "the rules of upper and lower case of locale `{}` are not Unicode's common ones",
            self.locale.as_deref().unwrap_or("")
        )))
    }
    /// The strings that stay, in the wanted case.
    fn changed(&self, text: &str, case: CaseChange) -> String {
        let ascii = matches!(self.locale.as_deref(), Some("C" | "POSIX"));
        match case {
            CaseChange::None => text.to_owned(),
            CaseChange::Lower if ascii => text.to_ascii_lowercase(),
            CaseChange::Upper if ascii => text.to_ascii_uppercase(),
            CaseChange::Lower => text.to_lowercase(),
            CaseChange::Upper => text.to_uppercase(),
        }
    }
    fn normalized(&self, texts: &[String]) -> Vec<String> {
        let folded = |t: &str| match (self.is_case_sensitive, self.case_change_action) {
            (true, _) => t.to_owned(),
            (false, CaseChange::Upper) => self.changed(t, CaseChange::Upper),
            (false, _) => self.changed(t, CaseChange::Lower),
        };
        let stop: HashSet<String> = self.stopwords.iter().map(|t| folded(t)).collect();
        let kept = texts.iter().filter(|t| stop.is_empty() || !stop.contains(&folded(t)));
        kept.map(|t| self.changed(t, self.case_change_action)).collect()
    }
}

fn bad_shape(found: &Type) -> OpError {
    OpError::shape(format!("`string_normalizer` takes [C] or [1, C], not {found}"))
}

impl Semantics for StringNormalizer {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.check_locale()?;
        let Some(shape) = cx.shape(0)? else { return Ok(vec![cx.ty(0)?.clone()]) };
        let length = |c: &Dim| match c.known() {
            Some(0) => Dim::Known(1),
            Some(_) if self.stopwords.is_empty() => c.clone(),
            _ => Dim::Unknown,
        };
        let out = match shape.as_slice() {
            [c] => vec![length(c)],
            [n, c] if !n.surely_differs(&Dim::Known(1)) => vec![Dim::Known(1), length(c)],
            _ => return Err(bad_shape(cx.ty(0)?)),
        };
        Ok(vec![TensorType::new(DType::String, out).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        self.check_locale()?;
        let x = cx.tensor(0)?;
        if !matches!(x.shape(), [_] | [1, _]) {
            return Err(bad_shape(&x.ty().into()));
        }
        let mut out = self.normalized(x.strings()?);
        if out.is_empty() {
            out.push(String::new());
        }
        let shape = if x.rank() == 1 { vec![out.len()] } else { vec![1, out.len()] };
        one(Tensor::from_strings(&shape, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(op: &StringNormalizer, texts: &[&str]) -> Vec<String> {
        op.normalized(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn stop_words_go_before_the_case_changes() {
        let mut op = StringNormalizer {
            case_change_action: CaseChange::Upper,
            stopwords: vec!["Monday".to_owned()],
            ..Default::default()
        };
        assert_eq!(run(&op, &["monday", "Tuesday", "straße"]), ["TUESDAY", "STRASSE"]);
        op.is_case_sensitive = true;
        assert_eq!(run(&op, &["monday", "Monday"]), ["MONDAY"]);
        op.locale = Some("C".to_owned());
        assert_eq!(run(&op, &["éa"]), ["éA"]);
    }

    #[test]
    fn locales_with_own_rules_are_refused_where_case_matters() {
        let op = |locale: &str, action| StringNormalizer {
            locale: Some(locale.to_owned()),
            case_change_action: action,
            ..Default::default()
        };
        assert!(op("tr_TR.UTF-8", CaseChange::Lower).check_locale().is_err());
        assert!(op("tr_TR", CaseChange::None).check_locale().is_ok());
        assert!(op("en_US", CaseChange::Lower).check_locale().is_ok());
    }
}
