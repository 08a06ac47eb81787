//! A store of many models, filled through the port: the same rows as from a running monitoring, without its time.

use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use visu_tility::monitoring::{
    DriftDetector, MetricEvent, MetricKind, ModelId, ModelMonitor, MonitorPlan, PerformanceDegrader,
    Timestamp, block_on,
};
use visu_tility::store::{Commit, ModelChange, Snapshot, SqliteStore, Store, StoreLimits, StoredPhase};

use crate::{Failure, Setting, end};

/// Models of one commit.
const TOGETHER: usize = 1_000;
/// Events of each kind that a model has seen.
const STEPS: usize = 4;
/// As many with the default plan: its windows are full then.
const DEFAULT_STEPS: usize = 500;
/// Different states.
const STATES: usize = 64;

pub(crate) fn name(model: usize) -> String {
    format!("fraud-eu-{model:07}")
}

pub(crate) fn plan(default: bool) -> Result<MonitorPlan, Failure> {
    if default {
        return Ok(MonitorPlan::default());
    }
    let plan = MonitorPlan::empty().with_observer(Box::new(DriftDetector::default()))?;
    Ok(plan.with_observer(Box::new(PerformanceDegrader::new(0.85)?))?)
}

/// When the first step is, in milliseconds since 1970: some minutes ago, so that later ones are about now.
pub(crate) fn begun() -> i64 {
    static BEGUN: OnceLock<i64> = OnceLock::new();
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or_default()
    };
    *BEGUN.get_or_init(|| now() - 700_000)
}

/// One of two kinds that both plans watch, a second a step.
pub(crate) fn event(model: usize, kind: usize, step: usize) -> Result<MetricEvent, Failure> {
    let noise = ((model * 31 + step * 17) % 100) as f64 / 100.0;
    let (kind, value) = match kind {
        0 => (MetricKind::Accuracy, 0.9 + 0.05 * noise),
        1 => (MetricKind::DriftScore, 0.2 * noise),
        _ => (MetricKind::LatencyMs, 20.0 + 30.0 * noise),
    };
    let ts = Timestamp::from_millis(begun() + step as i64 * 1_000);
    Ok(MetricEvent::new(name(model), kind, value)?.at(ts)?)
}

pub(crate) fn fill(setting: &Setting) -> Result<(), Failure> {
    let begun = Instant::now();
    // Has the plan kept, as a monitoring does.
    end(&setting.builder()?.start()?)?;
    let plan = Arc::new(plan(setting.default_plan)?);
    let (mut store, _) = SqliteStore::open(setting.store(), StoreLimits::default())?;
    let mut reader = store.reader()?;
    let next_offset = reader.summary()?.next_offset;
    let fingerprint = reader.plans()?.first().copied().ok_or("the plan was not kept")?;
    drop(reader);
    let states = states(&plan, setting.default_plan)?;
    let mut bytes = 0;
    // As they come to know their models: not in the order of the names.
    let step = stride(setting.models);
    let order: Vec<usize> = (0..setting.models).map(|number| number * step % setting.models).collect();
    for models in order.chunks(TOGETHER) {
        let mut commit = Commit::default();
        for &model in models {
            let (of, due) = states.get(model % STATES).ok_or("no state")?;
            let state = rename(of, &name(model % STATES), &name(model));
            let due = *due;
            bytes += state.len();
            commit.models.push(ModelChange::Keep(Snapshot {
                model: ModelId::new(name(model))?,
                next_offset,
                phase: StoredPhase::Running,
                due,
                plan: fingerprint,
                form: 1,
                state,
            }));
        }
        store.commit(&commit)?;
    }
    Box::new(store).close()?;
    println!(
        "filled in {:.1?}: {} models, {} bytes of state each, {:.0} MiB on the disk",
        begun.elapsed(),
        setting.models,
        bytes / setting.models.max(1),
        setting.store().metadata()?.len() as f64 / crate::resident::MIB
    );
    Ok(())
}

/// A step that meets every model once.
pub(crate) fn stride(models: usize) -> usize {
    let divides = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    (models * 3 / 8..models).find(|step| *step > 0 && divides(*step, models)).unwrap_or(1)
}

/// A state, and when it is due.
type State = (Vec<u8>, Option<Timestamp>);

/// States that many models share but for their names.
fn states(plan: &Arc<MonitorPlan>, default_plan: bool) -> Result<Vec<State>, Failure> {
    let (kinds, steps) = if default_plan { ([0, 2], DEFAULT_STEPS) } else { ([0, 1], STEPS) };
    let mut states = Vec::new();
    for model in 0..STATES {
        let mut monitor = ModelMonitor::new(ModelId::new(name(model))?, Arc::clone(plan));
        for step in 0..steps {
            for kind in kinds {
                monitor.observe(&event(model, kind, step)?, 0);
            }
        }
        states.push((monitor.snapshot(), monitor.next_deadline()));
    }
    Ok(states)
}

/// A state as if it were of a model whose name is as long.
fn rename(state: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut state = state.to_vec();
    let at = state.windows(from.len()).position(|bytes| bytes == from.as_bytes());
    let name = at.and_then(|at| state.get_mut(at..at + from.len()));
    if let Some(name) = name.filter(|_| from.len() == to.len()) {
        name.copy_from_slice(to.as_bytes());
    }
    state
}

/// Publishes events of models, both kinds, in pieces of a thousand.
pub(crate) fn publish(
    handle: &visu_tility::monitoring::MonitoringHandle,
    models: &[usize],
    steps: std::ops::Range<usize>,
    default_plan: bool,
) -> Result<(), Failure> {
    let other = if default_plan { 2 } else { 1 };
    for step in steps {
        for models in models.chunks(500) {
            let batch = models.iter().flat_map(|model| [event(*model, 0, step), event(*model, other, step)]);
            let receipt = block_on(handle.publish_batch(batch.collect::<Result<Vec<_>, _>>()?));
            if !receipt.rejected.is_empty() {
                return Err(format!("refused: {:?}", receipt.rejected.first()).into());
            }
        }
    }
    Ok(())
}
