//! A table with what must show, as Markdown for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How it was measured.
    pub(crate) protocol: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) bars: Vec<Bar>,
}

/// Something that must show, and whether it does.
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) met: bool,
}

impl Report {
    pub(crate) fn met(&self) -> bool {
        self.bars.iter().all(|bar| bar.met)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.protocol);
        for Bar { what, met } in &self.bars {
            let _ = writeln!(text, "- {}: {what}", if *met { "met" } else { "MISSED" });
        }
        let _ = writeln!(text, "\n| {} |", self.columns.join(" | "));
        let _ = writeln!(text, "|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(cell).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let row = |cells: &Vec<Value>| -> Value {
            let named = self.columns.iter().map(|column| (*column).to_owned()).zip(cells.iter().cloned());
            Value::Object(named.collect::<Map<_, _>>())
        };
        let bars: Vec<Value> =
            self.bars.iter().map(|bar| json!({"what": bar.what, "met": bar.met})).collect();
        json!({"table": self.name, "rows": self.rows.iter().map(row).collect::<Vec<_>>(), "bars": bars})
    }
}

/// Three digits of a number, four from 1,000 up.
pub(crate) fn significant(value: f64) -> Value {
    if !value.is_finite() {
        return Value::Null;
    }
    if value == 0.0 {
        return json!(0);
    }
    let size = value.abs().log10().floor() as i32;
    let digits = if size >= 3 { 3 } else { 2 };
    let unit = 10_f64.powi(size - digits);
    let rounded = (value / unit).round();
    if size >= digits {
        json!((rounded * unit).round() as i64)
    } else {
        json!(rounded / 10_f64.powi(digits - size))
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(cell).collect::<Vec<_>>().join(" / "),
        other => other.to_string(),
    }
}
