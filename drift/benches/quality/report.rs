//! What a data set answers, as Markdown for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

pub(crate) use crate::table::Bar;
use crate::table::{objects, write};

/// A table with what is to be said of it.
pub(crate) struct Report {
    pub(crate) title: &'static str,
    /// How it was measured, in a few sentences.
    pub(crate) protocol: &'static str,
    pub(crate) columns: Vec<&'static str>,
    /// Cells in the order of the columns: numbers, texts, lists, or nothing.
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) bars: Vec<Bar>,
    pub(crate) notes: Vec<String>,
    /// For programs only.
    pub(crate) detail: Value,
}

impl Report {
    /// Writes it for people.
    pub(crate) fn markdown(&self, name: &str) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.protocol);
        write(&mut text, &self.columns, &self.rows);
        text.push('\n');
        self.bars.iter().for_each(|bar| bar.write(&mut text));
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        let _ = writeln!(text, "\n(`cargo xtask quality --only {name}`)\n");
        text
    }

    /// Writes it for programs: each row is an object by column.
    pub(crate) fn json(&self, name: &str) -> Value {
        json!({
            "set": name,
            "rows": objects(&self.columns, &self.rows),
            "bars": self.bars.iter().map(Bar::json).collect::<Vec<_>>(),
            "notes": self.notes,
            "detail": self.detail,
        })
    }
}

/// Keeps so many decimals of a number.
pub(crate) fn rounded(value: f64, decimals: i32) -> Value {
    let unit = 10_f64.powi(decimals);
    json!((value * unit).round() / unit)
}
