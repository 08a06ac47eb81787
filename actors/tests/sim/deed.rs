//! What publishers and operators do, each as a task of its own: begun in order, ended when the answer comes.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use visu_tility_actors::{Clock, ControlError, MonitoringHandle};
use visu_tility_core::{IngestError, MetricEvent, MetricKind};

use crate::record::Record;
use crate::run::{WorldClock, pass};
use crate::script::{Setting, Step, Turn, Way};

/// How long somebody waits for a flush or a retirement.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a deed is done with.
pub(crate) struct World {
    pub(crate) handle: MonitoringHandle,
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) clock: Arc<WorldClock>,
    pub(crate) plan: Rc<Cell<usize>>,
    /// Closed once the journal has been repeated. Who waits for that itself is woken in an order that no seed gives.
    pub(crate) gate: Rc<Semaphore>,
}

/// Begins a step.
pub(crate) fn begin(world: &World, setting: &Setting, step: Step) -> impl Future<Output = ()> + 'static {
    let (handle, record) = (world.handle.clone(), Arc::clone(&world.record));
    let plan = Rc::clone(&world.plan);
    let plans = setting.plans.clone();
    let mut events = Vec::new();
    if let Step::Publish(_, readings) = &step {
        let now = world.clock.now();
        events.extend(readings.iter().map(|reading| reading.event(setting, now)));
    }
    let name = |model: usize| setting.models[model].clone();
    let model = match &step {
        Step::Publish(_, readings) => name(readings[0].model),
        Step::Turn(_, model) | Step::Look(Some(model)) => name(*model),
        _ => String::new(),
    };
    let credits = setting.credits;
    let gate = Rc::clone(&world.gate);
    let early = setting.wild.asks_early;
    async move {
        let waits = match &step {
            Step::Publish(way, _) => *way == Way::Address,
            Step::Look(Some(_)) => !early,
            _ => true,
        };
        if waits {
            let _ = gate.acquire().await;
        }
        match step {
            Step::Publish(way, _) => {
                for event in &events {
                    record.lock().try_event(event);
                }
                publish(&handle, &record, way, &model, events, credits).await;
            }
            Step::Turn(turn, _) => {
                let done = match turn {
                    Turn::Pause => handle.pause(&model).await,
                    Turn::Resume => handle.resume(&model).await,
                    Turn::Reset => handle.reset(&model).await,
                    Turn::Retire => {
                        // It is answered once the store knows of it, which one that is read-only never does.
                        let done = tokio::time::timeout(PATIENCE, handle.retire(&model)).await;
                        done.unwrap_or(Err(ControlError::Closed))
                    }
                    Turn::Passivate => handle.passivate(&model).await,
                };
                record.lock().note(|| format!("  {turn:?} of {model}: {done:?}"));
                if done.is_ok() && turn != Turn::Passivate {
                    *record.lock().acked_turns.entry((model, turn)).or_default() += 1;
                }
            }
            Step::Reload(to) => {
                let done = handle.reload((*plans[to]).clone()).await;
                record.lock().note(|| format!("  reload of plan {to}: {:?}", done.as_ref().map(drop)));
                if done.is_ok() {
                    plan.set(to);
                }
            }
            // While the store takes nothing there is nothing to wait for.
            Step::Flush => drop(tokio::time::timeout(PATIENCE, handle.flush()).await),
            Step::Look(Some(_)) if early => look_early(&handle, &model).await,
            Step::Look(Some(_)) => drop(handle.model_status(&model).await),
            Step::Look(None) => drop(handle.model_statuses().await),
            Step::Pass(_) | Step::Join | Step::Jump(_) | Step::Stop(_) => {}
        }
    }
}

/// Asks for a model by a handle of its own, which waits for nobody.
async fn look_early(handle: &MonitoringHandle, model: &str) {
    if let Ok(model) = handle.model(model) {
        let _ = model.status().await;
        let _ = model.addr().await;
    }
}

async fn publish(
    handle: &MonitoringHandle,
    record: &Mutex<Record>,
    way: Way,
    model: &str,
    events: Vec<MetricEvent>,
    credits: usize,
) {
    let Some(first) = events.first().cloned() else { return };
    let told = |event: &MetricEvent, answer: Result<u64, String>| match answer {
        Ok(offset) => record.lock().ack(event, Some(offset)),
        Err(error) => record.lock().note(|| format!("  refused: {error}")),
    };
    match way {
        Way::Publish => {
            let taken = handle.publish(first.clone()).await;
            told(&first, taken.map(|taken| taken.first_offset).map_err(|error| error.to_string()));
        }
        Way::Batch => {
            let receipt = handle.publish_batch(events.clone()).await;
            // A batch that is cut has gaps.
            let whole = events.len() <= credits && events.iter().all(|event| event.vector().is_none());
            let mut offset = receipt.first_offset;
            for (index, event) in events.iter().enumerate() {
                if receipt.rejected.iter().any(|rejected| rejected.index == index) {
                    continue;
                }
                record.lock().ack(event, whole.then_some(offset));
                offset += 1;
            }
        }
        // These are not told when they are durable.
        Way::TryPublish => drop(handle.try_publish(&first)),
        Way::TryBatch => drop(handle.try_publish_batch(&events)),
        Way::Address => {
            let answer = match handle.model_addr(model).await {
                Ok(addr) => addr.send(first.clone()).await,
                Err(_) => handle.supervisor().send(first.clone()).await,
            };
            let answer = answer.map_err(|error| error.to_string());
            let answer = answer.and_then(|taken| taken.map_err(|error| error.to_string()));
            told(&first, answer.map(|taken| taken.first_offset));
        }
        Way::Handle => {
            let Ok(handle) = handle.model(model) else { return };
            let taken = handle.publish_event(&first).await;
            told(&first, taken.map(|taken| taken.first_offset).map_err(|error| error.to_string()));
        }
    }
}

/// Publishes one more event to each model, so that none sleeps.
pub(crate) async fn wake_all(
    handle: &MonitoringHandle,
    setting: &Setting,
    record: &Mutex<Record>,
    clock: &WorldClock,
) -> Result<(), String> {
    for (number, model) in setting.models.iter().enumerate() {
        let value = 0.9 + (number + 1) as f64 * 1e-3;
        let event = MetricEvent::new(model, MetricKind::Accuracy, value).unwrap().at(clock.now()).unwrap();
        let mut tries = 0;
        // A journal that is full has room again once states are saved.
        let accepted = loop {
            record.lock().try_event(&event);
            match handle.publish(event.clone()).await {
                Ok(accepted) => break accepted,
                Err(IngestError::Store { retry: true, .. }) if tries < 600 => tries += 1,
                Err(error) => return Err(format!("the last event of {model} is not taken: {error}")),
            }
            pass(Duration::from_secs(1)).await;
        };
        record.lock().ack(&event, Some(accepted.first_offset));
    }
    Ok(())
}
