//! What the detectors with a bound promise, against what is measured: `cargo xtask arl`.
//!
//! Three tables: average run lengths without a change (`run_length`), delays at one measured run length (`delay`),
//! and predicted against measured delays (`prediction`). `contender` says what each detector is told of each `law`,
//! `threads` spreads the rows, `report` prints a `table`. Everything is seeded; the number of threads changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a measurement may stop

mod contender;
mod delay;
mod law;
mod prediction;
mod report;
mod run_length;
#[path = "../measure/table.rs"]
mod table;
mod threads;

use std::process::ExitCode;

use report::Report;
use serde_json::Value;

const USAGE: &str =
    "arl [--only NAME]... [--runs N] [--arl X]... [--values N] [--threads N] [--json FILE] [--markdown FILE]";

/// A table: its name for `--only`, and how it is measured.
type Table = (&'static str, fn(&Asked) -> Report);

const TABLES: [Table; 3] =
    [("run-length", run_length::run), ("delay", delay::run), ("prediction", prediction::run)];

/// What the command line asks for.
pub(crate) struct Asked {
    only: Vec<String>,
    /// Most runs per row.
    pub(crate) runs: u64,
    /// About so many values are spent on a row of the first table.
    pub(crate) values: f64,
    /// Nominal run lengths of the first table.
    pub(crate) nominal: Vec<f64>,
    pub(crate) threads: usize,
    json: Option<String>,
    markdown: Option<String>,
}

impl Asked {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self {
            only: Vec::new(),
            runs: 1_000,
            values: 8e6,
            nominal: Vec::new(),
            threads: 2,
            json: None,
            markdown: None,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                // Cargo says this to every benchmark.
                "--bench" => {}
                "--only" => asked.only.push(value()?),
                "--runs" => asked.runs = number(&value()?, 2.0)? as u64,
                "--values" => asked.values = number(&value()?, 1_000.0)?,
                "--arl" => asked.nominal.push(number(&value()?, 100.0)?),
                "--threads" => asked.threads = number(&value()?, 1.0)? as usize,
                "--json" => asked.json = Some(value()?),
                "--markdown" => asked.markdown = Some(value()?),
                _ => return Err(format!("unknown option: {word}; {USAGE}")),
            }
        }
        if asked.nominal.is_empty() {
            asked.nominal = vec![1e3, 1e4, 1e5];
        }
        let mut known: Vec<&str> = TABLES.iter().map(|(name, _)| *name).collect();
        known.extend(contender::ALL.iter().map(|contender| contender.name));
        known.dedup();
        match asked.only.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("no detector or table {name}; there are: {}", known.join(", "))),
            None => Ok(asked),
        }
    }

    /// Whether rows of this detector are wanted.
    pub(crate) fn wants(&self, detector: &str) -> bool {
        let mut names =
            self.only.iter().filter(|name| TABLES.iter().all(|(table, _)| table != *name)).peekable();
        names.peek().is_none() || names.any(|name| name == detector)
    }

    fn wants_table(&self, table: &str) -> bool {
        let mut tables =
            self.only.iter().filter(|name| TABLES.iter().any(|(table, _)| table == *name)).peekable();
        tables.peek().is_none() || tables.any(|name| name == table)
    }
}

fn number(text: &str, least: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= least);
    number.ok_or_else(|| format!("{text} is not a number from {least} up; {USAGE}"))
}

fn main() -> ExitCode {
    let asked = match Asked::parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    };
    let (mut met, mut texts, mut results) = (true, Vec::new(), Vec::new());
    for (_, run) in TABLES.iter().filter(|(name, _)| asked.wants_table(name)) {
        let report = run(&asked);
        let text = report.markdown();
        println!("{text}");
        met &= report.met();
        texts.push(text);
        results.push(report.json());
    }
    let json = asked.json.map(|file| std::fs::write(file, format!("{:#}\n", Value::Array(results))));
    let markdown = asked.markdown.map(|file| std::fs::write(file, texts.join("\n")));
    for written in [json, markdown].into_iter().flatten() {
        if let Err(error) = written {
            eprintln!("results not written: {error}");
            return ExitCode::FAILURE;
        }
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
