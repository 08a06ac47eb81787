//! How well the detectors find labelled changes in real data: `cargo xtask quality`.
//!
//! One module per data set answers with a [`Report`]: a table, and bars that are met or missed. What is scored
//! is fixed in the code; nothing is tuned here. `data` finds and reads the files, `contender` names the detectors
//! by their plan's names, `matching` pairs alarms with changes, `pcg` draws numpy's permutations, `report` prints a `table`.
//!
//! To add a data set: a module with `pub(crate) fn run(data: &Data) -> Outcome` and a line in [`SETS`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a measurement may stop

mod contender;
mod data;
mod label_free;
mod latency;
mod matching;
mod nab;
mod pcg;
mod report;
mod rtt;
mod streams;
#[path = "../measure/table.rs"]
mod table;

use std::process::ExitCode;

use data::{Data, Trouble};
use report::Report;
use serde_json::{Value, json};

/// What a data set answers.
type Outcome = Result<Report, Trouble>;

/// A data set: its name for `--only`, and how it is scored.
struct Set {
    name: &'static str,
    run: fn(&Data) -> Outcome,
}

const SETS: [Set; 5] = [
    Set { name: "rtt", run: rtt::run },
    Set { name: "latency", run: latency::run },
    Set { name: "streams", run: streams::run },
    Set { name: "label-free", run: label_free::run },
    Set { name: "nab", run: nab::run },
];

const USAGE: &str = "quality [--only NAME]... [--json FILE]";

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    only: Vec<String>,
    json: Option<String>,
}

impl Asked {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut asked, mut words) = (Self::default(), words);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value; {USAGE}"));
            match word.as_str() {
                // Cargo says this to every benchmark.
                "--bench" => {}
                "--only" => asked.only.push(value()?),
                "--json" => asked.json = Some(value()?),
                _ => return Err(format!("unknown option: {word}; {USAGE}")),
            }
        }
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        match asked.only.iter().find(|name| !names.contains(&name.as_str())) {
            Some(name) => Err(format!("no data set {name}; there are: {}", names.join(", "))),
            None => Ok(asked),
        }
    }

    fn wants(&self, set: &Set) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == set.name)
    }
}

fn main() -> ExitCode {
    let asked = match Asked::parse(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    };
    let data = Data::find();
    let mut results = Vec::new();
    for set in SETS.iter().filter(|set| asked.wants(set)) {
        match (set.run)(&data) {
            Ok(report) => {
                println!("{}", report.markdown(set.name));
                results.push(report.json(set.name));
            }
            Err(Trouble::Absent(path)) => {
                println!("skipped {}: data not found at {}\n", set.name, path.display());
                results.push(json!({"set": set.name, "skipped": path.display().to_string()}));
            }
            Err(Trouble::Unreadable(path, what)) => {
                eprintln!("{}: {}: {what}", set.name, path.display());
                return ExitCode::FAILURE;
            }
        }
    }
    match asked.json.map(|file| std::fs::write(&file, format!("{:#}\n", Value::Array(results)))) {
        Some(Err(error)) => {
            eprintln!("results not written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
