//! A table of what was measured, and what must show in it, as Markdown for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Something that must show, and whether it does.
pub struct Bar {
    pub what: String,
    pub met: bool,
}

impl Bar {
    /// Writes it as a line of a list.
    pub fn write(&self, text: &mut String) {
        let _ = writeln!(text, "- {}: {}", if self.met { "met" } else { "MISSED" }, self.what);
    }

    pub fn json(&self) -> Value {
        json!({"what": self.what, "met": self.met})
    }
}

/// Writes rows under their columns.
pub fn write(text: &mut String, columns: &[&str], rows: &[Vec<Value>]) {
    let _ = writeln!(text, "| {} |", columns.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(columns.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
}

/// Each row as an object by column.
pub fn objects(columns: &[&str], rows: &[Vec<Value>]) -> Vec<Value> {
    let row = |cells: &Vec<Value>| -> Value {
        let named = columns.iter().map(|column| (*column).to_owned()).zip(cells.iter().cloned());
        Value::Object(named.collect::<Map<_, _>>())
    };
    rows.iter().map(row).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(" / "),
        other => other.to_string(),
    }
}
