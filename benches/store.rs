//! The journal and the store in SQLite: encoding, appending against a bare file, snapshots, opening.
//!
//! Appending is compared within one run, round by round: through the store, and by a program that writes the same bytes
//! to a file and syncs it as often. `--quick` runs fewer rounds; `-- --models N` sets how many models have a snapshot.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use visu_tility::monitoring::{MetricKind, ModelId, Timestamp, Version};
use visu_tility::store::journal::{JournalEntry, JournalNames, JournalWriter, SeriesToken};
use visu_tility::store::{
    Commit, JournalPiece, ModelChange, Snapshot, SqliteStore, Store, StoreLimits, StoredPhase,
};

type Failure = Box<dyn std::error::Error>;

const BATCH: usize = 1_000;

struct Series(SeriesToken, ModelId, Version, MetricKind);

fn series(models: usize) -> Result<Vec<Series>, Failure> {
    let kinds =
        [MetricKind::Accuracy, MetricKind::LatencyMs, MetricKind::Correct, MetricKind::feature("ink")?];
    let mut all = Vec::new();
    for model in 0..models {
        let id = ModelId::new(format!("fraud-eu-{model:05}"))?;
        for (number, kind) in kinds.iter().enumerate() {
            all.push(Series(
                SeriesToken(model as u64, number as u64),
                id.clone(),
                Version::new("2025-11")?,
                kind.clone(),
            ));
        }
    }
    Ok(all)
}

/// A piece of `BATCH` events over the series, as they come from many services: no two in a row of one series.
fn piece(writer: &mut JournalWriter, series: &[Series], first_offset: u64) -> Result<JournalPiece, Failure> {
    for event in first_offset..first_offset + BATCH as u64 {
        let place = (event.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as usize % series.len();
        let Some(Series(token, id, version, kind)) = series.get(place) else { continue };
        let at = Timestamp::from_micros(1_764_000_000_000_000 + event as i64 * 53);
        let value = (event % 1_000) as f64 / 1_000.0;
        if writer.value(*token, at, value).is_err() {
            writer.name(*token, id, Some((version, kind)))?;
            writer.value(*token, at, value)?;
        }
    }
    Ok(writer.finish(first_offset).ok_or("nothing was written")?)
}

fn codec(rounds: u64) -> Result<(), Failure> {
    println!("journal, pieces of {BATCH} events");
    for models in [1, 25, 2_500] {
        let series = series(models)?;
        let (mut writer, mut names) = (JournalWriter::new(), JournalNames::new());
        let (mut encode, mut decode, mut bytes, mut sum) = (Duration::ZERO, Duration::ZERO, 0, 0.0);
        for round in 0..rounds {
            let start = Instant::now();
            let piece = piece(&mut writer, &series, round * BATCH as u64)?;
            encode += start.elapsed();
            bytes += piece.bytes.len();
            let start = Instant::now();
            for (_, entry) in names.read(&piece)?.entries() {
                if let JournalEntry::Event {
                    value: visu_tility::store::journal::EntryValue::Number(value),
                    ..
                } = entry
                {
                    sum += value;
                }
            }
            decode += start.elapsed();
        }
        let events = (rounds * BATCH as u64) as f64;
        println!(
            "  {models:>5} models: {:>5.1} bytes an event, written {:>6.1} M/s, read {:>6.1} M/s  (sum {sum:.0})",
            bytes as f64 / events,
            events / encode.as_secs_f64() / 1e6,
            events / decode.as_secs_f64() / 1e6,
        );
    }
    Ok(())
}

/// The pieces of one round, made before the clock runs.
fn pieces(series: &[Series], first: u64, commits: u64) -> Result<Vec<JournalPiece>, Failure> {
    let mut writer = JournalWriter::new();
    (first..first + commits).map(|commit| piece(&mut writer, series, commit * BATCH as u64)).collect()
}

fn append(folder: &Path, rounds: u64, commits: u64) -> Result<(), Failure> {
    let series = series(25)?;
    let (mut store, _) = SqliteStore::open(folder.join("append.db"), StoreLimits::default())?;
    let mut bare = OpenOptions::new().create(true).append(true).open(folder.join("append.bare"))?;
    println!("append, commits of {BATCH} events, {commits} commits a round");
    let (mut ratios, mut rates, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let pieces = pieces(&series, round * commits, commits)?;
        let bare_took = write_bare(&mut bare, &pieces)?;
        let start = Instant::now();
        for piece in pieces {
            let begun = Instant::now();
            // The journal is kept short, as a running system does.
            let truncate_below = piece.first_offset.checked_sub(200 * BATCH as u64);
            store.commit(&Commit { journal: vec![piece], truncate_below, ..Commit::default() })?;
            waits.push(begun.elapsed());
        }
        let took = start.elapsed();
        ratios.push(bare_took.as_secs_f64() / took.as_secs_f64());
        rates.push((commits * BATCH as u64) as f64 / took.as_secs_f64());
        println!(
            "  round {round}: store {:>9.0} events/s, bare file {:>9.0} events/s, ratio {:.2}",
            rates.last().copied().unwrap_or_default(),
            (commits * BATCH as u64) as f64 / bare_took.as_secs_f64(),
            ratios.last().copied().unwrap_or_default(),
        );
    }
    waits.sort_unstable();
    ratios.sort_by(f64::total_cmp);
    rates.sort_by(f64::total_cmp);
    let part =
        |share: f64| waits.get(((waits.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    println!(
        "  median {:.0} events/s, {:.2} of the bare file; a commit takes {:.2?}, p99 {:.2?}, at most {:.2?}",
        rates.get(rates.len() / 2).copied().unwrap_or_default(),
        ratios.get(ratios.len() / 2).copied().unwrap_or_default(),
        part(0.5),
        part(0.99),
        part(1.0),
    );
    Ok(())
}

fn write_bare(file: &mut File, pieces: &[JournalPiece]) -> Result<Duration, Failure> {
    let start = Instant::now();
    for piece in pieces {
        file.write_all(&piece.bytes)?;
        file.sync_all()?;
    }
    Ok(start.elapsed())
}

fn snapshots(folder: &Path, models: usize) -> Result<(), Failure> {
    let path = folder.join("models.db");
    let (mut store, _) = SqliteStore::open(&path, StoreLimits::default())?;
    let keep = |model: usize| -> Result<ModelChange, Failure> {
        let model_id = ModelId::new(format!("m-{:07}", model.wrapping_mul(7_919) % models))?;
        let state = vec![model as u8; 1_024];
        let due = Some(Timestamp::from_micros(model as i64));
        let phase = StoredPhase::Running;
        Ok(ModelChange::Keep(Snapshot {
            model: model_id,
            next_offset: 0,
            phase,
            due,
            plan: 1,
            form: 1,
            state,
        }))
    };
    println!("{models} models, a state of 1 KiB each, 1,000 a commit, in scattered order");
    for round in ["first", "again"] {
        let start = Instant::now();
        for first in (0..models).step_by(BATCH) {
            let models = (first..(first + BATCH).min(models)).map(keep).collect::<Result<Vec<_>, _>>()?;
            store.commit(&Commit { models, ..Commit::default() })?;
        }
        let took = start.elapsed().as_secs_f64();
        println!(
            "  {round}: {:>7.0} models/s, {:.0} MB/s",
            models as f64 / took,
            models as f64 / took * 1_024.0 / 1e6
        );
    }
    for (how, clean) in [("after a clean stop", true), ("after none", false)] {
        if clean {
            Box::new(store).close()?;
        } else {
            drop(store);
        }
        let start = Instant::now();
        store = SqliteStore::open(&path, StoreLimits::default())?.0;
        let opened = start.elapsed();
        let mut reader = store.reader()?;
        let found = reader.snapshot(&ModelId::new(format!("m-{:07}", models / 2))?)?.is_some();
        let first = start.elapsed();
        assert!(found, "a model that was kept is found");
        println!("  opened {how} in {opened:.1?}, the first state read after {first:.1?}");
    }
    let mut reader = store.reader()?;
    let start = Instant::now();
    for model in 0..10_000.min(models) {
        reader.snapshot(&ModelId::new(format!("m-{:07}", model * 31 % models))?)?;
    }
    println!("  a state read by name: {:.1?}", start.elapsed() / 10_000.min(models) as u32);
    let (start, mut listed, mut after) = (Instant::now(), 0, None);
    loop {
        let page = reader.models(after.as_ref(), 10_000)?;
        let Some(last) = page.last() else { break };
        (listed, after) = (listed + page.len(), Some(last.model.clone()));
    }
    println!("  {listed} listed without their states in {:.1?}", start.elapsed());
    let start = Instant::now();
    let due = reader.due(Timestamp::from_micros(1_000), None, 10_000)?.len();
    println!("  the {due} that are due in {:.1?}", start.elapsed());
    Ok(())
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    let quick = words.iter().any(|word| word == "--quick");
    let models =
        words.iter().position(|word| word == "--models").and_then(|at| words.get(at + 1)?.parse().ok());
    // Beside the program, not in a folder of the system that may be memory.
    let folder = std::env::current_exe()?.with_file_name(format!("store-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = codec(if quick { 200 } else { 3_000 })
        .and_then(|()| append(&folder, if quick { 3 } else { 9 }, if quick { 100 } else { 300 }))
        .and_then(|()| snapshots(&folder, models.unwrap_or(if quick { 10_000 } else { 100_000 })));
    std::fs::remove_dir_all(&folder)?;
    outcome
}
