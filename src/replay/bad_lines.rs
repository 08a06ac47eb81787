//! What could not be used, lines and whole files, counted in full and kept in part.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::replay::figures::counted;

/// One line that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u64,
    /// Why: names the field, its value and what is allowed.
    pub reason: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.reason),
            line => write!(f, "{}:{line}: {}", self.file, self.reason),
        }
    }
}

/// All of them: every one counted, the first [`BadLines::SHOWN_MAX`] kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadLines {
    /// How many lines there are.
    pub total: u64,
    /// How many files could not be used at all; they are not among the lines.
    pub files: u64,
    /// The first ones of both.
    pub first: Vec<BadLine>,
    /// How many there are of each class.
    pub classes: BTreeMap<String, u64>,
}

impl BadLines {
    /// How many are kept with their text.
    pub const SHOWN_MAX: usize = 20;

    /// Counts one, and keeps it if it is among the first; then it is given back. Line 0 stands for a file.
    pub(crate) fn add(
        &mut self,
        class: String,
        file: &str,
        line: u64,
        reason: impl FnOnce() -> String,
    ) -> Option<&BadLine> {
        *(if line == 0 { &mut self.files } else { &mut self.total }) += 1;
        *self.classes.entry(class).or_default() += 1;
        if self.first.len() >= Self::SHOWN_MAX {
            return None;
        }
        self.first.push(BadLine { file: file.to_owned(), line, reason: reason() });
        self.first.last()
    }

    /// How many lines are not among the first.
    pub fn unshown(&self) -> u64 {
        self.total - self.first.iter().filter(|bad| bad.line > 0).count() as u64
    }

    /// Says how many of both there are: `3 lines and 1 file`; `None` when there are none.
    pub(crate) fn counted(&self) -> Option<String> {
        let told = [(self.total, "line"), (self.files, "file")].into_iter().filter(|(n, _)| *n > 0);
        let told: Vec<String> = told.map(|(n, noun)| counted(n, noun)).collect();
        (!told.is_empty()).then(|| told.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_twenty_are_kept() {
        let mut bad = BadLines::default();
        for line in 1..=50 {
            let class = if line % 2 == 0 { "even" } else { "odd" };
            let kept = bad.add(class.to_owned(), "f", line, || format!("reason {line}")).is_some();
            assert_eq!(kept, line <= 20);
        }
        assert_eq!((bad.total, bad.unshown(), bad.classes["odd"]), (50, 30, 25));
        assert_eq!(bad.first[1].to_string(), "f:2: reason 2");
    }

    #[test]
    fn a_file_is_not_a_line() {
        let mut bad = BadLines::default();
        assert_eq!(bad.counted(), None);
        bad.add("file is empty".to_owned(), "f", 0, || "file is empty".to_owned());
        assert_eq!((bad.total, bad.files, bad.unshown()), (0, 1, 0));
        assert_eq!(bad.counted().unwrap(), "1 file");
        for line in 1..=30 {
            bad.add("odd".to_owned(), "f", line, || "odd".to_owned());
        }
        assert_eq!((bad.total, bad.first.len(), bad.unshown()), (30, 20, 11));
        assert_eq!(bad.counted().unwrap(), "30 lines and 1 file");
    }
}
