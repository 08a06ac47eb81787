//! Resident memory of an awake model, part by part, and of an overloaded shard.
//!
//! Read from the operating system (Linux only), as the growth over 20,000 models. Each scenario runs in a
//! process of its own, because memory that was freed is not given back.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use visu_tility::monitoring::{
    DriftDetector, EventError, MetricEvent, MetricKind, MetricObserver, ModelId, ModelMonitor, MonitorPlan,
    Monitoring, MonitoringHandle, ObserverAction, ObserverError, PerformanceDegrader, Timestamp, block_on,
};

type Failure = Box<dyn std::error::Error>;

const MODELS: usize = 20_000;

/// Bytes of resident memory of this process.
fn resident() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split_whitespace().nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4_096)
}

/// Growth per model while `make` runs; what it returns is kept until it is measured.
fn per_model<T>(make: impl FnOnce() -> Result<T, Failure>) -> Result<(u64, T), Failure> {
    let before = resident()?;
    let kept = make()?;
    Ok(((resident()? - before) / MODELS as u64, kept))
}

fn small() -> Result<MonitorPlan, Failure> {
    let plan = MonitorPlan::empty().with_observer(Box::new(DriftDetector::default()))?;
    Ok(plan.with_observer(Box::new(PerformanceDegrader::new(0.85)?))?)
}

fn event(model: usize, kind: &MetricKind, step: usize) -> Result<MetricEvent, EventError> {
    let noise = ((model * 31 + step * 17) % 100) as f64 / 100.0;
    let value = match kind {
        MetricKind::LatencyMs => 20.0 + 30.0 * noise,
        MetricKind::DriftScore => 0.2 * noise,
        _ => 0.9 + 0.05 * noise,
    };
    let ts = Timestamp::from_millis(1_738_540_800_000 + step as i64 * 1_000);
    MetricEvent::new(format!("model-{model}"), kind.clone(), value)?.at(ts)
}

/// Events of every kind for every model, `steps` times.
async fn feed(handle: &MonitoringHandle, kinds: &[MetricKind], steps: usize) -> Result<(), Failure> {
    for step in 0..steps {
        for first in (0..MODELS).step_by(512) {
            let models = first..(first + 512).min(MODELS);
            let batch = models.flat_map(|model| kinds.iter().map(move |kind| event(model, kind, step)));
            let receipt = handle.publish_batch(batch.collect::<Result<Vec<_>, _>>()?).await;
            assert!(receipt.rejected.is_empty(), "every event is taken");
        }
    }
    handle.flush().await?;
    Ok(())
}

/// The cost of a model's monitor alone.
fn monitor(name: &str, plan: MonitorPlan, kinds: &[MetricKind], steps: usize) -> Result<(), Failure> {
    let shared = Arc::new(plan);
    let (monitors, kept) = per_model(|| {
        let mut monitors = Vec::with_capacity(MODELS);
        for model in 0..MODELS {
            let mut monitor = ModelMonitor::new(ModelId::new(format!("model-{model}"))?, shared.clone());
            for step in 0..steps {
                for kind in kinds {
                    monitor.observe(&event(model, kind, step)?, step as u64);
                }
            }
            monitors.push(monitor);
        }
        Ok(monitors)
    })?;
    println!("{name}, monitor alone: {monitors} bytes a model ({} models)", kept.len());
    Ok(())
}

/// A model's whole cost: directory, cell, actor, monitor.
fn whole(name: &str, plan: MonitorPlan, kinds: &[MetricKind], steps: usize, bar: u64) -> Result<(), Failure> {
    let handle = Monitoring::builder().plan(plan).credits(8_192).start()?;
    let (bytes, ()) = per_model(|| block_on(feed(&handle, kinds, steps)))?;
    let awake = block_on(handle.status())?;
    println!("{name}, whole: {bytes} bytes a model (bar {bar}); {} events", awake.events);
    Ok(())
}

/// Takes as long per event as it is told to.
#[derive(Clone)]
struct Slow(Duration);

impl MetricObserver for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let until = Instant::now() + self.0;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(ObserverAction::NoOp)
    }
}

/// Four times more events than the shard can take, for four seconds, with a control request all the time.
fn overload() -> Result<(), Failure> {
    let cost = Duration::from_micros(4);
    let plan = MonitorPlan::empty().with_observer(Box::new(Slow(cost)))?;
    let handle = Monitoring::builder().plan(plan).start()?;
    let kind = MetricKind::Accuracy;
    block_on(async { handle.publish(event(0, &kind, 0)?).await.map_err(Failure::from) })?;
    block_on(handle.flush())?;
    let before = resident()?;
    let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(before)));
    let asker = {
        let (handle, stop, peak) = (handle.clone(), stop.clone(), peak.clone());
        std::thread::spawn(move || {
            let mut waits = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                let answered = block_on(handle.model_status("model-0")).is_ok();
                assert!(answered, "a control request is answered");
                waits.push(start.elapsed().as_secs_f64() * 1e3);
                peak.fetch_max(resident().unwrap_or(0), Ordering::Relaxed);
            }
            waits
        })
    };
    let (mut offered, mut taken, mut refused) = (0_u64, 1_u64, 0_u64);
    let start = Instant::now();
    let mut step = 1;
    while start.elapsed() < Duration::from_secs(4) {
        let batch = (0..256).map(|model| event(model, &kind, step)).collect::<Result<Vec<_>, _>>()?;
        step += 1;
        offered += batch.len() as u64;
        let receipt = handle.try_publish_batch(&batch);
        taken += receipt.accepted;
        refused += receipt.rejected.len() as u64;
        // A quarter of what one event costs.
        while start.elapsed() < cost / 4 * u32::try_from(offered)? {
            std::hint::spin_loop();
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut waits = asker.join().map_err(|_| "the asking thread panicked")?;
    waits.sort_by(f64::total_cmp);
    block_on(handle.flush())?;
    let handled = block_on(handle.status())?.events;
    assert_eq!(taken, handled, "what is taken is handled");
    let p99 = waits.get(waits.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    let growth = peak.load(Ordering::Relaxed).saturating_sub(before) as f64 / f64::from(1 << 20);
    println!(
        "overload: {offered} offered, {taken} taken and handled, {refused} refused with a reason; memory grew \
         {growth:.1} MiB (bar 16), {} control requests, p99 {p99:.2} ms (bar 50)",
        waits.len()
    );
    Ok(())
}

fn run(name: &str) -> Result<(), Failure> {
    let both = [MetricKind::Accuracy, MetricKind::DriftScore];
    let usual = [MetricKind::Accuracy, MetricKind::LatencyMs];
    match name {
        "small" => monitor("DriftDetector and PerformanceDegrader", small()?, &both, 4),
        "small-whole" => whole("DriftDetector and PerformanceDegrader", small()?, &both, 4, 2_048),
        "default" => monitor("default plan over Accuracy and LatencyMs", MonitorPlan::default(), &usual, 500),
        "default-whole" => {
            whole("default plan over Accuracy and LatencyMs", MonitorPlan::default(), &usual, 500, 8_192)
        }
        "names" => {
            let (bytes, kept) = per_model(|| {
                let handle = Monitoring::builder().plan(small()?).start()?;
                let series: Result<Vec<_>, Failure> = (0..MODELS)
                    .map(|model| Ok(handle.model(format!("model-{model}"))?.id().clone()))
                    .collect();
                Ok((handle, series?.into_iter().collect::<HashSet<_>>().len()))
            })?;
            println!("a name in the directory, model asleep: about {bytes} bytes ({} models)", kept.1);
            Ok(())
        }
        "overload" => overload(),
        other => Err(format!("no scenario {other}").into()),
    }
}

fn main() -> Result<(), Failure> {
    if let Ok(name) = std::env::var("VISU_TILITY_MEMORY_SCENARIO") {
        return run(&name);
    }
    for name in ["names", "small", "small-whole", "default", "default-whole", "overload"] {
        let status =
            Command::new(std::env::current_exe()?).env("VISU_TILITY_MEMORY_SCENARIO", name).status()?;
        if !status.success() {
            return Err(format!("scenario {name} failed").into());
        }
    }
    Ok(())
}
