//! What publishers of awake models notice while many others are woken: by events, and because they are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use visu_tility::monitoring::{MonitoringHandle, block_on};
use visu_tility::store::{Commit, ModelChange, SqliteStore, Store, StoreLimits};

use crate::resident::{MIB, peak};
use crate::{Failure, Setting, end, part, stock};

/// Models that sleep and are named a second.
const RATE: usize = 10_000;
const LASTS: Duration = Duration::from_secs(5);

/// Publishes to a few awake models, one event after the other, and measures each: until it is acknowledged, and until
/// a status of its model is answered by its shard.
fn measure(handle: &MonitoringHandle, what: &str) -> Result<(), Failure> {
    let (mut publish, mut status) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let mut step = 1_000;
    while begun.elapsed() < LASTS {
        let model = step % 16;
        let asked = Instant::now();
        block_on(handle.publish(stock::event(model, 0, step)?))?;
        publish.push(asked.elapsed());
        let asked = Instant::now();
        block_on(handle.model_status(stock::name(model)))?;
        status.push(asked.elapsed());
        step += 1;
    }
    for (what, waits) in [(format!("{what}: publish"), &mut publish), ("status".to_owned(), &mut status)] {
        waits.sort_unstable();
        print!(
            "{what} {:.2} ms, p99 {:.2} ms, at most {:.1} ms ({}); ",
            part(waits, 0.5),
            part(waits, 0.99),
            part(waits, 1.0),
            waits.len()
        );
    }
    println!();
    Ok(())
}

pub(crate) fn wake(setting: &Setting) -> Result<(), Failure> {
    let handle = setting.builder()?.idle_after(Some(Duration::from_secs(1))).start()?;
    let _ = block_on(handle.recovered());
    measure(&handle, "nobody is woken")?;
    let (stop, woken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let waker = {
        let (handle, stop, woken, models) = (handle.clone(), stop.clone(), woken.clone(), setting.models);
        std::thread::spawn(move || -> Result<(), String> {
            let step = stock::stride(models);
            let begun = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let from = woken.load(Ordering::Relaxed);
                let batch = (from..from + 100).map(|number| stock::event(number * step % models, 0, 750));
                let batch = batch.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
                let receipt = block_on(handle.publish_batch(batch));
                if !receipt.rejected.is_empty() {
                    return Err(format!("{:?}", receipt.rejected.first()));
                }
                woken.store(from + 100, Ordering::Relaxed);
                let due = Duration::from_secs_f64((from + 100) as f64 / RATE as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            Ok(())
        })
    };
    let begun = Instant::now();
    measure(&handle, "while models are woken")?;
    stop.store(true, Ordering::Relaxed);
    waker.join().map_err(|_| "the waking thread panicked")??;
    let woken = woken.load(Ordering::Relaxed) as f64;
    println!(
        "  {:.0} woken a second, at most {:.0} MiB",
        woken / begun.elapsed().as_secs_f64(),
        peak()? as f64 / MIB
    );
    end(&handle)
}

/// All of a tenth of the models are due at the start, as after a long stop.
pub(crate) fn due(setting: &Setting) -> Result<(), Failure> {
    let (mut store, _) = SqliteStore::open(setting.store(), StoreLimits::default())?;
    let mut reader = store.reader()?;
    let models: Vec<usize> = (0..setting.dirty()).map(|number| number * 10 + 5).collect();
    for (number, models) in models.chunks(1_000).enumerate() {
        let mut commit = Commit::default();
        for model in models {
            let id = visu_tility::monitoring::ModelId::new(stock::name(*model))?;
            let snapshot = reader.snapshot(&id)?.ok_or("no snapshot")?;
            let due = visu_tility::monitoring::Timestamp::from_millis(stock::begun() + number as i64);
            commit
                .models
                .push(ModelChange::Keep(visu_tility::store::Snapshot { due: Some(due), ..snapshot }));
        }
        store.commit(&commit)?;
    }
    drop(reader);
    Box::new(store).close()?;
    let handle = setting.builder()?.start()?;
    let _ = block_on(handle.recovered());
    let begun = Instant::now();
    measure(&handle, &format!("while {} are due", models.len()))?;
    let woken = |handle: &MonitoringHandle| -> Result<u64, Failure> {
        Ok(block_on(handle.status())?.shards.iter().map(|shard| shard.woken).sum())
    };
    let mut last = woken(&handle)?;
    while last < models.len() as u64 && begun.elapsed() < Duration::from_mins(2) {
        std::thread::sleep(Duration::from_millis(50));
        last = woken(&handle)?;
    }
    let status = block_on(handle.status())?;
    println!(
        "  {last} woken within {:.1?}, {} awake then, at most {:.0} MiB",
        begun.elapsed(),
        status.shards.iter().map(|shard| shard.awake).sum::<usize>(),
        peak()? as f64 / MIB
    );
    end(&handle)
}
