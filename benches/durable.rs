//! What a publisher gets who waits until events are durable: batches of 1,000 through `publish_batch`, over the store in
//! SQLite, from several threads at once, against a bare program that writes as many bytes in the same batches to a file
//! and syncs each.
//!
//! The two take turns, so that the ratio holds on a busy machine; of the rates the median of the rounds is printed, of the
//! waits for an acknowledgement the 99th percentile over all of them. `--quick` makes fewer rounds, `--models N` and
//! `--publishers N` change the load.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use visu_tility::monitoring::{
    DriftDetector, MetricEvent, MetricKind, MonitorPlan, Monitoring, MonitoringHandle, PerformanceDegrader,
    Timestamp, block_on,
};
use visu_tility::store::{SqliteStore, StoreLimits};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Events of a batch.
const BATCH: usize = 1_000;
/// Bytes of a batch before it is known what the journal takes.
const FIRST_GUESS: usize = 20 * BATCH;

struct Load {
    models: usize,
    publishers: usize,
    /// Batches of a publisher and round.
    batches: usize,
}

impl Load {
    const fn events(&self) -> usize {
        self.publishers * self.batches * BATCH
    }

    /// What one publisher publishes in a round, made before the clock runs: models one after the other, in another order
    /// for each publisher, accuracies that never fire.
    fn of(&self, round: usize, publisher: usize) -> Result<Vec<Vec<MetricEvent>>, Failure> {
        let first = round * self.events();
        let event = |number: usize| -> Result<MetricEvent, Failure> {
            let model = number.wrapping_mul(7_919).wrapping_add(publisher * 31) % self.models;
            let at = Timestamp::from_micros(1_700_000_000_000_000 + (first + number) as i64);
            let value = 0.9 + (number % 97) as f64 / 2_000.0;
            Ok(MetricEvent::new(format!("model-{model}"), MetricKind::Accuracy, value)?.at(at)?)
        };
        let batch = |batch: usize| (batch * BATCH..(batch + 1) * BATCH).map(event).collect();
        (0..self.batches).map(batch).collect()
    }
}

/// Publishes a round from all publishers at once; answers how long that took, and each wait for an acknowledgement.
fn publish(
    handle: &MonitoringHandle,
    load: &Load,
    round: usize,
) -> Result<(Duration, Vec<Duration>), Failure> {
    let shares =
        (0..load.publishers).map(|publisher| load.of(round, publisher)).collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let waits = std::thread::scope(|scope| {
        let publishers: Vec<_> = shares
            .into_iter()
            .map(|batches| {
                scope.spawn(move || {
                    let mut waits = Vec::with_capacity(batches.len());
                    for batch in batches {
                        let begun = Instant::now();
                        let receipt = block_on(handle.publish_batch(batch));
                        assert_eq!(receipt.accepted, BATCH as u64, "every event is taken");
                        waits.push(begun.elapsed());
                    }
                    waits
                })
            })
            .collect();
        publishers.into_iter().flat_map(|publisher| publisher.join().unwrap_or_default()).collect()
    });
    Ok((start.elapsed(), waits))
}

/// Writes and syncs as many batches.
fn bare(file: &mut File, batches: usize, bytes: usize) -> Result<Duration, Failure> {
    let batch = vec![7; bytes];
    let start = Instant::now();
    for _ in 0..batches {
        file.write_all(&batch)?;
        file.sync_data()?;
    }
    Ok(start.elapsed())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn measure(folder: &Path, load: &Load, rounds: usize) -> Result<(), Failure> {
    let plan = MonitorPlan::empty()
        .with_observer(Box::new(PerformanceDegrader::new(0.85)?))?
        .with_observer(Box::new(DriftDetector::default()))?;
    let (store, _) = SqliteStore::open(folder.join("durable.db"), StoreLimits::default())?;
    let handle = Monitoring::builder().plan(plan).arbiters(1).store(Box::new(store)).start()?;
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("durable.bare"))?;
    let (mut rates, mut ratios, mut waits, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), FIRST_GUESS);
    for round in 0..=rounds {
        let bare_took = bare(&mut file, load.publishers * load.batches, bytes)?;
        let (took, round_waits) = publish(&handle, load, round)?;
        let status = block_on(handle.status())?.store.ok_or("a monitoring with a store")?;
        bytes = (status.journal_bytes * BATCH as u64 / status.entries.max(1)) as usize;
        // The first round wakes the models up and tells how long a batch is.
        if round > 0 {
            rates.push(load.events() as f64 / took.as_secs_f64());
            ratios.push(bare_took.as_secs_f64() / took.as_secs_f64());
            waits.extend(round_waits);
        }
    }
    waits.sort_unstable();
    let part =
        |share: f64| waits.get(((waits.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    let status = block_on(handle.status())?.store.ok_or("a monitoring with a store")?;
    println!(
        "{:>8} models, {} publishers: {:>8.0} events/s, {:.2} of the bare file; acknowledged after {:.1?}, p99 {:.1?}, at \
         most {:.1?}; {} bytes a batch, {} commits, {} states saved",
        load.models,
        load.publishers,
        median(rates),
        median(ratios),
        part(0.5),
        part(0.99),
        part(1.0),
        bytes,
        status.commits,
        status.saves,
    );
    let report = block_on(handle.shutdown(Duration::from_mins(1)));
    assert_eq!(report.events_cut, 0, "all that was acknowledged was handled");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse::<usize>().ok()
    };
    let quick = words.iter().any(|word| word == "--quick");
    let (rounds, batches) = if quick { (3, 50) } else { (15, 150) };
    let publishers = number("--publishers").unwrap_or(4).max(1);
    println!("durable ingest, batches of {BATCH} through SQLite, median of {rounds} rounds");
    // Beside the program, not in a folder of the system that may be memory.
    let folder = std::env::current_exe()?.with_file_name(format!("durable-bench-{}", std::process::id()));
    let given = number("--models");
    let mut outcome = Ok(());
    for models in [1_000, 100_000].into_iter().filter(|models| given.is_none_or(|given| given == *models)) {
        std::fs::create_dir_all(&folder)?;
        outcome = outcome.and_then(|()| measure(&folder, &Load { models, publishers, batches }, rounds));
        std::fs::remove_dir_all(&folder)?;
    }
    outcome
}
