//! How fast `replay` is: a file of events of 1,000 models through supervisor and actors, against a program
//! that only parses and checks the same file.
//!
//! Both take turns, so that the ratio holds on a busy machine; the median of the rounds is printed. The
//! file is made in the system's temporary folder: 10 million events and about 1 GB, `--quick` a tenth.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use visu_tility::ingest::{EventReader, NextLine, SeriesTable};
use visu_tility::monitoring::{MonitorPlan, Timestamp};
use visu_tility::replay::{BadLine, Input, Replay, ReplayWatcher};

type Failure = Box<dyn std::error::Error>;

const MODELS: u64 = 1_000;

/// Writes `events` lines: four kinds in turn, models in turn, a millisecond apart.
fn write_events(path: &Path, events: u64) -> Result<(), Failure> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut state = 7_u64;
    for i in 0..events {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let unit = (state >> 40) as f64 / (1_u64 << 24) as f64;
        let (kind, value) = match i / MODELS % 4 {
            0 => ("Correct", f64::from(u8::from(unit > 0.07))),
            1 => ("Confidence", 0.8 + 0.19 * unit),
            2 => ("LatencyMs", 3.0 + 2.0 * unit),
            _ => ("Feature:ink", 300.0 + 100.0 * unit),
        };
        let ts = Timestamp::from_millis(1_738_540_800_000 + i as i64);
        let model = i % MODELS;
        writeln!(
            out,
            r#"{{"model_id":"model-{model}","version":"1","ts":"{ts}","kind":"{kind}","value":{value:.6}}}"#
        )?;
    }
    out.flush()?;
    Ok(())
}

fn open(path: &Path) -> Result<EventReader, Failure> {
    Ok(EventReader::open(path, Arc::new(AtomicU64::new(0)))?)
}

/// Parses and checks every line, and does nothing with it.
fn parse_only(path: &Path) -> Result<u64, Failure> {
    let mut reader = open(path)?;
    let mut table = SeriesTable::new(1_000_000, false);
    let mut events = 0;
    loop {
        match reader.next_event() {
            NextLine::Event(line) => {
                let series = table.intern(&line)?;
                table.check(series, &line)?;
                events += 1;
            }
            NextLine::End => return Ok(events),
            NextLine::Blank => {}
            NextLine::Bad(error) => return Err(error.into()),
            NextLine::Broken(text) => return Err(text.into()),
        }
    }
}

struct Quiet;

impl ReplayWatcher for Quiet {
    fn bad_line(&mut self, _: &BadLine) {}
    fn progress(&mut self, _: u64) {}
}

fn replay(path: &Path) -> Result<u64, Failure> {
    let input = Input { name: path.display().to_string(), reader: open(path)? };
    Ok(Replay::new(MonitorPlan::default()).run(vec![input], &mut Quiet)?.events)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Removes the file when the bench ends, however it ends.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn main() -> Result<(), Failure> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let events: u64 = if quick { 1_000_000 } else { 10_000_000 };
    let file =
        Temporary(std::env::temp_dir().join(format!("visu-tility-bench-{}.ndjson", std::process::id())));
    write_events(&file.0, events)?;
    let (mut parses, mut replays) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(parse_only(&file.0)?, events);
        parses.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        assert_eq!(replay(&file.0)?, events);
        replays.push(start.elapsed().as_secs_f64());
    }
    let (parse, replay) = (median(parses), median(replays));
    let rate = |seconds: f64| events as f64 / seconds / 1e6;
    println!(
        "{events} events of {MODELS} models, default plan: parse only {parse:.2} s ({:.2} M/s), replay {replay:.2} s \
         ({:.2} M/s): {:.2}x the speed of parsing",
        rate(parse),
        rate(replay),
        parse / replay
    );
    Ok(())
}
