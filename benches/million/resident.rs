//! Resident memory while few of many models are awake, and all of them were.

use std::time::Instant;

use visu_tility::monitoring::block_on;

use crate::{Failure, Setting, end, stock};

pub(crate) const MIB: f64 = 1_048_576.0;

/// Bytes of a line of `/proc/self/status` (Linux), which counts in KiB.
fn line(name: &str) -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    let number = line.split_whitespace().nth(1).ok_or("no number")?;
    Ok(number.parse::<u64>()? * 1_024)
}

/// What is resident now.
pub(crate) fn resident() -> Result<u64, Failure> {
    line("VmRSS:")
}

/// The most that was resident so far.
pub(crate) fn peak() -> Result<u64, Failure> {
    line("VmHWM:")
}

/// A window of active models moves over all of them; who is left behind is put to sleep by the bound on those awake.
pub(crate) fn window(setting: &Setting) -> Result<(), Failure> {
    let handle = setting.builder()?.awake_max(Some(setting.active())).start()?;
    let _ = block_on(handle.recovered());
    println!("window of {}: {:.0} MiB resident after the start", setting.active(), resident()? as f64 / MIB);
    let step = stock::stride(setting.models);
    let order: Vec<usize> = (0..setting.models).map(|number| number * step % setting.models).collect();
    let (begun, mut awake_max) = (Instant::now(), 0);
    for (number, models) in order.chunks((setting.models / 100).max(1)).enumerate() {
        stock::publish(&handle, models, 600..602, setting.default_plan)?;
        let status = block_on(handle.status())?;
        let awake: usize = status.shards.iter().map(|shard| shard.awake).sum();
        awake_max = awake_max.max(awake);
        if number % 10 == 9 {
            println!(
                "  {:>8} models: {awake} awake, {} known, {:.0} MiB resident, at most {:.0} MiB",
                (number + 1) * (setting.models / 100),
                status.models,
                resident()? as f64 / MIB,
                peak()? as f64 / MIB
            );
        }
    }
    block_on(handle.flush())?;
    let took = begun.elapsed();
    let status = block_on(handle.status())?;
    let shards = &status.shards;
    println!(
        "  all were awake once in {took:.1?} ({:.0} a second, {} woken), at most {awake_max} seen awake at a time, {} at \
         the end; {:.0} MiB resident, at most {:.0} MiB (bar 200)",
        setting.models as f64 / took.as_secs_f64(),
        shards.iter().map(|shard| shard.woken).sum::<u64>(),
        shards.iter().map(|shard| shard.awake).sum::<usize>(),
        resident()? as f64 / MIB,
        peak()? as f64 / MIB
    );
    if shards.iter().any(|shard| shard.quarantined > 0) {
        return Err("a state was not read back".into());
    }
    end(&handle)
}
