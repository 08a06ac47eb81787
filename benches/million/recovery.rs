//! What a crash leaves, and how long it takes until that is repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use visu_tility::monitoring::{DurabilityPolicy, ModelMonitor, block_on};
use visu_tility::store::SqliteStore;
use visu_tility::store::journal::{EntryValue, JournalEntry, JournalReader};

use crate::resident::{MIB, peak};
use crate::{Failure, Setting, stock};

/// Has a tenth of the models dirty, with ten events each unless something else is asked for, and ends as a crash does.
pub(crate) fn dirty(setting: &Setting) -> Result<(), Failure> {
    let never = DurabilityPolicy {
        save_every: Duration::from_hours(24),
        save_events: u64::MAX,
        ..DurabilityPolicy::default()
    };
    let handle = setting.builder()?.durability(never).start()?;
    let step = stock::stride(setting.models);
    let order: Vec<usize> = (0..setting.dirty()).map(|number| number * step % setting.models).collect();
    // Of each of two kinds.
    let steps = (setting.entries / setting.dirty() / 2).max(1);
    stock::publish(&handle, &order, 700..700 + steps, setting.default_plan)?;
    let store = block_on(handle.status())?.store.ok_or("there is a store")?;
    println!(
        "dirty: {} models, {} entries, {:.0} MiB of journal; the process ends",
        setting.dirty(),
        store.next_offset - store.first_offset,
        store.journal_bytes as f64 / MIB
    );
    std::process::exit(0);
}

/// Repeats that: with all of them awake in the end, or with the bound on those awake.
pub(crate) fn recover(setting: &Setting, awake_max: Option<usize>) -> Result<(), Failure> {
    let opened = Instant::now();
    let builder = setting.builder()?;
    let opened = opened.elapsed();
    // Nothing is saved unless it is put to sleep, so that the next one finds the same.
    let never = DurabilityPolicy {
        save_every: Duration::from_hours(24),
        save_events: u64::MAX,
        ..DurabilityPolicy::default()
    };
    let begun = Instant::now();
    let handle = builder.durability(never).awake_max(awake_max).start()?;
    let started = begun.elapsed();
    let report = block_on(handle.recovered());
    let sent = begun.elapsed();
    block_on(handle.flush())?;
    let handled = begun.elapsed();
    let awake: usize = block_on(handle.status())?.shards.iter().map(|shard| shard.awake).sum();
    println!(
        "recovery, {awake} awake then: store open {opened:.2?}; from start() {started:.2?} to a handle, {sent:.2?} until all \
         was handed out, {handled:.2?} until all was handled (bar 5 s): {} entries, {} models; at most {:.0} MiB resident",
        report.entries,
        report.models,
        peak()? as f64 / MIB
    );
    std::process::exit(0);
}

/// The same work step by step on one thread: where the time goes.
pub(crate) fn parts(setting: &Setting) -> Result<(), Failure> {
    let mut reader = SqliteStore::open_reader(setting.store())?;
    let summary = reader.summary()?;
    let begun = Instant::now();
    let (mut pieces, mut from) = (Vec::new(), summary.first_offset);
    while from < summary.next_offset {
        let read = reader.journal(from, 4 << 20)?;
        from = read.last().ok_or("the journal ends early")?.end();
        pieces.extend(read);
    }
    let read = begun.elapsed();
    let begun = Instant::now();
    let mut decoded = Vec::new();
    for piece in &pieces {
        let piece = JournalReader::new(piece)?;
        decoded.push((piece.names().to_vec(), piece.entries().collect::<Vec<_>>()));
    }
    let decode = begun.elapsed();
    let plan = Arc::new(stock::plan(setting.default_plan)?);
    let mut monitors = std::collections::HashMap::new();
    let (mut fetch, mut wake, mut fold, mut entries) =
        (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0_u64);
    for (names, rows) in &decoded {
        for name in names {
            if monitors.contains_key(&name.model) {
                continue;
            }
            let begun = Instant::now();
            let snapshot = reader.snapshot(&name.model)?.ok_or("no snapshot")?;
            fetch += begun.elapsed();
            let begun = Instant::now();
            let monitor = ModelMonitor::restore(name.model.clone(), Arc::clone(&plan), &snapshot.state)?;
            wake += begun.elapsed();
            monitors.insert(name.model.clone(), monitor);
        }
        let begun = Instant::now();
        for (offset, entry) in rows {
            entries += 1;
            let JournalEntry::Event { name, at, value: EntryValue::Number(value) } = entry else { continue };
            let Some(name) = names.get(*name) else { continue };
            let (Some(monitor), Some((_, kind))) = (monitors.get_mut(&name.model), &name.series) else {
                continue;
            };
            let event = visu_tility::monitoring::MetricEvent::new(name.model.clone(), kind.clone(), *value)?;
            monitor.observe(&event.at(*at)?, *offset);
        }
        fold += begun.elapsed();
    }
    println!(
        "  of that, alone on one thread: journal read {read:.2?}, decoded {decode:.2?}; {} snapshots read {fetch:.2?}, \
         restored {wake:.2?}; {entries} entries folded {fold:.2?}",
        monitors.len()
    );
    Ok(())
}
