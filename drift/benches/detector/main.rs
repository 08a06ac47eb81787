//! Nanoseconds per value of each detector, the ratio to a loop of dependent multiply-adds, and the bars.
//!
//! Run with `cargo bench -p visu-tility-drift --bench detector`; words choose the rows whose name holds one of
//! them, `--quick` takes fewer rounds. Compare ratios between machines, not nanoseconds. Detectors are called
//! as a plan calls them, through `AnyDetector`. The whole table is timed three times, and the calmest time of
//! each row is shown: its median, and its fastest round. *Holds* is about the median; `least only` means that
//! the fastest round keeps the bar and the median does not, as on a busy machine.

#[allow(dead_code, reason = "each bench takes what it needs")]
#[path = "../measure/rounds.rs"]
mod rounds;
#[allow(dead_code, reason = "each bench takes what it needs")]
#[path = "../measure/stream.rs"]
mod stream;

mod parts;
mod table;

use std::error::Error;
use std::hint::black_box;

use rounds::Timing;
use stream::Stream;
use table::Row;
use visu_tility_drift::{AnyDetector, Detector};

const VALUES: usize = 200_000;
/// Passes over the whole table, so that a busy second spoils one of them only.
const PASSES: usize = 3;

/// What the command line asks for, the streams, and what was measured.
struct Bench {
    words: Vec<String>,
    rounds: usize,
    streams: Vec<(Stream, Vec<f64>)>,
    lines: Vec<Line>,
}

/// One line of the table.
struct Line {
    name: String,
    stream: Stream,
    timing: Timing,
    written: Option<usize>,
    memory: Option<usize>,
    bar: Option<f64>,
}

impl Bench {
    fn from_arguments() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let quick = words.iter().any(|word| word == "--quick");
        let words = words.into_iter().filter(|word| !word.starts_with('-')).collect();
        let streams = Stream::ALL.iter().map(|&stream| (stream, stream.take(7, VALUES))).collect();
        Self { words, rounds: if quick { 11 } else { 101 }, streams, lines: Vec::new() }
    }

    fn asks_for(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    fn stream(&self, which: Stream) -> &[f64] {
        self.streams.iter().find(|(stream, _)| *stream == which).map_or(&[], |(_, values)| values)
    }

    /// Times a step that is not a detector's.
    fn step(&mut self, name: &str, stream: Stream, step: impl FnMut(f64)) {
        if self.asks_for(name) {
            let timing = rounds::time(self.stream(stream), self.rounds, step);
            let (written, memory, bar) = (None, None, None);
            self.keep(Line { name: name.to_owned(), stream, timing, written, memory, bar });
        }
    }

    /// Times a detector.
    fn detector(
        &mut self,
        name: &str,
        stream: Stream,
        bar: Option<f64>,
        mut detector: impl Detector + InMemory,
    ) {
        let timing = rounds::time(self.stream(stream), self.rounds, |value| {
            black_box(detector.update(value));
        });
        let mut written = Vec::new();
        detector.write_state(&mut written);
        let (written, memory) = (Some(written.len()), detector.bytes_in_memory());
        self.keep(Line { name: name.to_owned(), stream, timing, written, memory, bar });
    }

    /// Keeps the calmest pass.
    fn keep(&mut self, line: Line) {
        match self.lines.iter_mut().find(|known| known.name == line.name && known.stream == line.stream) {
            Some(known) => known.timing = known.timing.calmer(line.timing),
            None => self.lines.push(line),
        }
    }

    /// Times a row of the table, or says why not.
    fn row(&mut self, row: &Row) {
        let name = row.label();
        if !self.asks_for(&name) {
            return;
        }
        if let Ok(Some(detector)) = row.build() {
            self.detector(&name, row.stream, row.bar, detector);
        }
    }

    /// Says why a row cannot be timed.
    fn missing(&self, row: &Row) {
        let name = row.label();
        match row.build() {
            Ok(None) if self.asks_for(&name) => println!("{name}: not a detector of this release"),
            Err(error) => println!("{name}: {error}"),
            Ok(_) => {}
        }
    }
}

/// Knows its bytes in memory, where its type tells.
trait InMemory {
    fn bytes_in_memory(&self) -> Option<usize> {
        None
    }
}

impl InMemory for AnyDetector {
    fn bytes_in_memory(&self) -> Option<usize> {
        match self {
            Self::Adwin(inner) => Some(inner.bytes()),
            Self::Bocpd(inner) => Some(inner.bytes()),
            Self::Kswin(inner) => Some(inner.bytes()),
            Self::MedianShift(inner) => Some(inner.bytes()),
            Self::MixtureESr(inner) => Some(inner.bytes()),
            _ => None,
        }
    }
}

impl Line {
    fn print(&self) {
        let Timing { median, least, .. } = self.timing;
        let number = |number: Option<usize>| number.map_or_else(String::new, |number| number.to_string());
        let holds = match self.bar {
            None => "",
            Some(bar) if median <= bar => "yes",
            Some(bar) if least <= bar => "least only",
            Some(_) => "no",
        };
        println!(
            "{:44} {:8} {median:9.1} {least:9.1} {:8.2} {:>8} {:>8} {:>6}  {holds}",
            self.name,
            self.stream.name(),
            self.timing.ratio(),
            number(self.written),
            number(self.memory),
            self.bar.map_or_else(String::new, |bar| bar.to_string()),
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut bench = Bench::from_arguments();
    let rows = table::rows();
    for row in &rows {
        bench.missing(row);
    }
    for _ in 0..PASSES {
        for row in &rows {
            bench.row(row);
        }
        parts::estimators(&mut bench)?;
        parts::preparation(&mut bench)?;
        parts::combination(&mut bench)?;
    }
    println!(
        "{:44} {:8} {:>9} {:>9} {:>8} {:>8} {:>8} {:>6}  holds",
        "", "stream", "ns", "least ns", "x loop", "written", "memory", "bar"
    );
    bench.lines.iter().for_each(Line::print);
    Ok(())
}
