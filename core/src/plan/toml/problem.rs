//! What is wrong with a plan: every problem, with its line.

use std::fmt;

use thiserror::Error;

/// A plan was refused; it holds every problem that was found, in the order of the lines.
///
/// Displayed, there is one problem per line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", Listed(self))]
pub struct PlanError {
    problems: Vec<PlanProblem>,
    omitted: usize,
}

impl PlanError {
    /// The most problems that are listed; more are counted.
    pub const PROBLEMS_MAX: usize = 100;

    /// The problems in the order of their lines, at least one.
    pub fn problems(&self) -> &[PlanProblem] {
        &self.problems
    }

    /// How many more there are than are listed.
    pub const fn omitted(&self) -> usize {
        self.omitted
    }
}

/// One thing that is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanProblem {
    /// The line, counted from 1.
    pub line: usize,
    /// The key, such as `rule[2].min_accuracy` with rules counted from 0; empty for the text as a whole.
    pub path: String,
    /// The rule or table that it is in, what is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Writes an error as its list.
struct Listed<'a>(&'a PlanError);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.problems.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        if self.0.omitted > 0 {
            write!(f, "\nand {} more", self.0.omitted)?;
        }
        Ok(())
    }
}

/// Collects problems by their place in the text.
pub(super) struct Problems {
    /// Where each line after the first begins.
    lines: Vec<usize>,
    found: Vec<(usize, PlanProblem)>,
    omitted: usize,
}

impl Problems {
    /// Starts an empty list for a text.
    pub fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { lines: ends.map(|(at, _)| at + 1).collect(), found: Vec::new(), omitted: 0 }
    }

    /// The line of a place in the text, counted from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.lines.partition_point(|start| *start <= at)
    }

    /// Adds a problem at a place in the text, in bytes.
    pub fn add(&mut self, at: usize, path: String, message: String) {
        if self.found.len() >= PlanError::PROBLEMS_MAX {
            self.omitted += 1;
            return;
        }
        self.found.push((at, PlanProblem { line: self.line(at), path, message }));
    }

    /// Is true when nothing was found.
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error that tells them.
    pub fn into_error(mut self) -> PlanError {
        self.found.sort_by_key(|(at, _)| *at);
        let problems = self.found.into_iter().map(|(_, problem)| problem).collect();
        PlanError { problems, omitted: self.omitted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_lines() {
        let problems = Problems::new("a\nbc\n\nd");
        let lines: Vec<usize> = [0, 1, 2, 4, 5, 6, 99].map(|at| problems.line(at)).into();
        assert_eq!(lines, [1, 1, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let mut problems = Problems::new("");
        for _ in 0..PlanError::PROBLEMS_MAX + 3 {
            problems.add(0, String::new(), "x".to_owned());
        }
        let error = problems.into_error();
        assert_eq!((error.problems().len(), error.omitted()), (PlanError::PROBLEMS_MAX, 3));
        assert!(error.to_string().ends_with("line 1: x\nand 3 more"));
    }
}
