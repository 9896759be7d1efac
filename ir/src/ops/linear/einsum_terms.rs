//! Equations of `einsum`: from text to labelled axes.
use crate::op::OpError;

/// Label of an axis: a letter, or the position (counted from the back) of an axis that an ellipsis stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Label {
    /// Axis of an ellipsis; 0 is its last one.
    Ellipsis(usize),
    /// Letter.
    Letter(char),
}

/// One term as written: letters, and where the ellipsis is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Term {
    before: Vec<char>,
    ellipsis: bool,
    after: Vec<char>,
}

impl Term {
    fn parse(text: &str) -> Result<Self, OpError> {
        let bad = || OpError::attr(format!("`{text}` is no term of an einsum equation"));
        let mut term = Self::default();
        let mut rest = text.trim();
        while let Some(c) = rest.chars().next() {
            if let Some(tail) = rest.strip_prefix("...") {
                if std::mem::replace(&mut term.ellipsis, true) {
                    return Err(bad());
                }
                rest = tail;
                continue;
            }
            if c.is_ascii_alphabetic() {
                if term.ellipsis { term.after.push(c) } else { term.before.push(c) }
            } else if c != ' ' {
                return Err(bad());
            }
            rest = &rest[c.len_utf8()..];
        }
        Ok(term)
    }
    fn letters(&self) -> impl Iterator<Item = char> {
        self.before.iter().chain(&self.after).copied()
    }
    fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }
    /// Labels of the axes, with an ellipsis of `width` axes.
    fn labels(&self, width: usize) -> Vec<Label> {
        let middle = (0..if self.ellipsis { width } else { 0 }).rev().map(Label::Ellipsis);
        let letters = |l: &[char]| l.iter().map(|c| Label::Letter(*c)).collect::<Vec<_>>();
        letters(&self.before).into_iter().chain(middle).chain(letters(&self.after)).collect()
    }
}

/// A parsed equation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Equation {
    inputs: Vec<Term>,
    output: Option<Term>,
}

/// Labels of every operand's and of the result's axes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Labels {
    /// Per operand.
    pub inputs: Vec<Vec<Label>>,
    /// Of the result.
    pub output: Vec<Label>,
}

impl Equation {
    /// Parses `ij,jk->ik`.
    ///
    /// # Errors
    /// When it is malformed, or the result repeats a letter or has one that no operand has.
    pub fn parse(text: &str) -> Result<Self, OpError> {
        let (left, right) = text.split_once("->").map_or((text, None), |(l, r)| (l, Some(r)));
        let inputs = left.split(',').map(Term::parse).collect::<Result<Vec<_>, _>>()?;
        let output = right.map(Term::parse).transpose()?;
        if let Some(out) = &output {
            let letters: Vec<char> = out.letters().collect();
            for (i, c) in letters.iter().enumerate() {
                if letters[..i].contains(c) || !inputs.iter().any(|t| t.letters().any(|l| l == *c)) {
                    let m = format!("the result of `{text}` repeats `{c}`, or no operand has it");
                    return Err(OpError::attr(m));
                }
            }
        }
        Ok(Self { inputs, output })
    }
    /// Labels for operands of these ranks. Ellipses of different width align at their ends.
    ///
    /// # Errors
    /// When the number of operands or a rank does not fit.
    pub fn labels(&self, ranks: &[usize]) -> Result<Labels, OpError> {
        if ranks.len() != self.inputs.len() {
            let m = format!("the equation has {} terms for {} operands", self.inputs.len(), ranks.len());
            return Err(OpError::operand(m));
        }
        let mut widest = 0;
        let mut inputs = vec![];
        for (term, rank) in self.inputs.iter().zip(ranks) {
            let width = rank.checked_sub(term.len()).filter(|w| term.ellipsis || *w == 0);
            let Some(width) = width else {
                let m = format!("a term with {} letters for an operand of rank {rank}", term.len());
                return Err(OpError::shape(m));
            };
            widest = widest.max(width);
            inputs.push(term.labels(width));
        }
        let output = self.output.as_ref().map_or_else(|| self.implicit(widest), |t| t.labels(widest));
        Ok(Labels { inputs, output })
    }
    /// Result without `->`: the ellipsis, then the letters that occur once, sorted.
    fn implicit(&self, widest: usize) -> Vec<Label> {
        let all: Vec<char> = self.inputs.iter().flat_map(Term::letters).collect();
        let mut once: Vec<char> =
            all.iter().copied().filter(|c| all.iter().filter(|d| *d == c).count() == 1).collect();
        once.sort_unstable();
        (0..widest).rev().map(Label::Ellipsis).chain(once.into_iter().map(Label::Letter)).collect()
    }
    /// Rank of the result when the ellipsis cannot contribute to it.
    pub fn plain_rank(&self) -> Option<usize> {
        match &self.output {
            Some(t) if !t.ellipsis => Some(t.len()),
            None if self.inputs.iter().all(|t| !t.ellipsis) => Some(self.implicit(0).len()),
            _ => None,
        }
    }
    /// Number of operands.
    pub fn operands(&self) -> usize {
        self.inputs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implicit_results_are_sorted() {
        use Label::{Ellipsis as E, Letter as L};
        let e = Equation::parse("b...a, a Z").expect("valid");
        let l = e.labels(&[4, 2]).expect("fits");
        assert_eq!(l.inputs[0], [L('b'), E(1), E(0), L('a')]);
        assert_eq!(l.output, [E(1), E(0), L('Z'), L('b')]);
    }

    #[test]
    fn malformed_equations_are_refused() {
        for bad in ["i->ii", "i->j", "i..j", "......", "i1", "i->j->k", "i-"] {
            assert!(Equation::parse(bad).is_err(), "{bad}");
        }
        let e = Equation::parse("ij,jk").expect("valid");
        assert!(e.labels(&[2]).is_err() && e.labels(&[2, 3]).is_err() && e.labels(&[2, 1]).is_err());
    }
}
