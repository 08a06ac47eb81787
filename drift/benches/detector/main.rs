//! Nanoseconds per value of each detector, the ratio to a loop of dependent multiply-adds, and the bars.
//!
//! Run with `cargo bench -p visu-tility-drift --bench detector`; words choose the rows whose name holds one of
//! them, `--quick` takes fewer rounds. Compare ratios between machines, not nanoseconds. Detectors are called
//! as a plan calls them, through `AnyDetector`. *Holds* is about the median; `least only` means that the
//! fastest round keeps the bar and the median does not, as on a busy machine.

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

/// What the command line asks for, and the streams.
struct Bench {
    words: Vec<String>,
    rounds: usize,
    streams: Vec<(Stream, Vec<f64>)>,
}

impl Bench {
    fn from_arguments() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let quick = words.iter().any(|word| word == "--quick");
        let words = words.into_iter().filter(|word| !word.starts_with('-')).collect();
        let streams = Stream::ALL.iter().map(|&stream| (stream, stream.take(7, VALUES))).collect();
        Self { words, rounds: if quick { 31 } else { 301 }, streams }
    }

    fn asks_for(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }

    fn stream(&self, which: Stream) -> &[f64] {
        self.streams.iter().find(|(stream, _)| *stream == which).map_or(&[], |(_, values)| values)
    }

    /// Times a step that is not a detector's and prints its line.
    fn step(&self, name: &str, stream: Stream, step: impl FnMut(f64)) {
        if self.asks_for(name) {
            let timing = rounds::time(self.stream(stream), self.rounds, step);
            line(name, stream, &timing, ["", "", ""], "");
        }
    }

    /// Times a detector and prints its line.
    fn detector(&self, name: &str, stream: Stream, bar: Option<f64>, mut detector: impl Detector + InMemory) {
        let timing = rounds::time(self.stream(stream), self.rounds, |value| {
            black_box(detector.update(value));
        });
        let mut written = Vec::new();
        detector.write_state(&mut written);
        let memory = detector.bytes_in_memory().map_or_else(String::new, |bytes| bytes.to_string());
        let limit = bar.map_or_else(String::new, |bar| bar.to_string());
        let holds = match bar {
            None => "",
            Some(bar) if timing.median <= bar => "yes",
            Some(bar) if timing.least <= bar => "least only",
            Some(_) => "no",
        };
        line(name, stream, &timing, [&written.len().to_string(), &memory, &limit], holds);
    }

    /// Times a row of the table, or says why not.
    fn row(&self, row: &Row) {
        let name = row.label();
        if !self.asks_for(&name) {
            return;
        }
        match row.build() {
            Ok(Some(detector)) => self.detector(&name, row.stream, row.bar, detector),
            Ok(None) => println!("{name:32} is not a detector of this release"),
            Err(error) => println!("{name:32} {error}"),
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

fn line(name: &str, stream: Stream, timing: &Timing, [written, memory, bar]: [&str; 3], holds: &str) {
    let Timing { median, least, .. } = *timing;
    println!(
        "{name:32} {:8} {median:9.1} {least:9.1} {:8.2} {written:>8} {memory:>8} {bar:>6}  {holds}",
        stream.name(),
        timing.ratio(),
    );
}

fn main() -> Result<(), Box<dyn Error>> {
    let bench = Bench::from_arguments();
    println!(
        "{:32} {:8} {:>9} {:>9} {:>8} {:>8} {:>8} {:>6}  holds",
        "", "stream", "ns", "least ns", "x loop", "written", "memory", "bar"
    );
    for row in table::rows() {
        bench.row(&row);
    }
    parts::estimators(&bench)?;
    parts::preparation(&bench)?;
    parts::combination(&bench)?;
    Ok(())
}
