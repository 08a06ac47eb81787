//! What a data set answers, as Markdown for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

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

/// Something that must show, and whether it does.
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) met: bool,
}

impl Report {
    /// Writes it for people.
    pub(crate) fn markdown(&self, name: &str) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.protocol);
        let _ = writeln!(text, "| {} |", self.columns.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(cell).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text.push('\n');
        for Bar { what, met } in &self.bars {
            let _ = writeln!(text, "- {}: {what}", if *met { "met" } else { "MISSED" });
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        let _ = writeln!(text, "\n(`cargo xtask quality --only {name}`)\n");
        text
    }

    /// Writes it for programs: each row is an object by column.
    pub(crate) fn json(&self, name: &str) -> Value {
        let row = |cells: &Vec<Value>| -> Value {
            let named = self.columns.iter().map(|column| (*column).to_owned()).zip(cells.iter().cloned());
            Value::Object(named.collect::<Map<_, _>>())
        };
        let bars: Vec<Value> =
            self.bars.iter().map(|bar| json!({"what": bar.what, "met": bar.met})).collect();
        json!({
            "set": name,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "bars": bars,
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

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(" / "),
        other => other.to_string(),
    }
}
