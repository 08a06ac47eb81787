//! A table with what must show, as Markdown for people and as JSON for programs.

use serde_json::{Value, json};

pub(crate) use crate::table::Bar;
use crate::table::{objects, write};

pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// How it was measured.
    pub(crate) protocol: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) bars: Vec<Bar>,
}

impl Report {
    pub(crate) fn met(&self) -> bool {
        self.bars.iter().all(|bar| bar.met)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.protocol);
        self.bars.iter().for_each(|bar| bar.write(&mut text));
        text.push('\n');
        write(&mut text, &self.columns, &self.rows);
        text
    }

    pub(crate) fn json(&self) -> Value {
        let bars: Vec<Value> = self.bars.iter().map(Bar::json).collect();
        json!({"table": self.name, "rows": objects(&self.columns, &self.rows), "bars": bars})
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
