//! Carries a script out: one process after the other, each ended by a crash, by its script, or in order.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use actix::System;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use visu_tility_actors::{Clock, Monitoring, MonitoringHandle, RestartPolicy};
use visu_tility_core::Timestamp;
use visu_tility_core::store::{MemoryDisk, Store};

use crate::chance::Chance;
use crate::deed::{self, World};
use crate::disk::{Faults, Watched, trouble};
use crate::oracle::Oracle;
use crate::plans::{spoil, was_spoilt};
use crate::record::Record;
use crate::script::{Script, Step, Stop};
use crate::sink::Sink;

/// Longer than anything may take, in the world's own time.
const FOR_EVER: Duration = Duration::from_hours(1);

/// How much a run did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) processes: u64,
    pub(crate) crashes: u64,
    pub(crate) failures: u64,
    pub(crate) commits: u64,
    pub(crate) entries: u64,
    pub(crate) actions: u64,
    pub(crate) letters: u64,
    pub(crate) deliveries: u64,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) figures: Figures,
    pub(crate) problems: Vec<String>,
    pub(crate) trace: Vec<String>,
}

/// The world's clock: it goes with the runtime's paused time, and is set by the script.
pub(crate) struct WorldClock {
    offset: AtomicI64,
    begun: Mutex<Option<Instant>>,
}

impl WorldClock {
    fn new() -> Self {
        Self { offset: AtomicI64::new(1_700_000_000_000_000), begun: Mutex::new(None) }
    }

    fn start(&self) {
        *self.begun.lock() = Some(Instant::now());
    }

    /// A process has ended; time does not go back for the next one.
    fn stop(&self) {
        let now = self.now();
        *self.begun.lock() = None;
        self.offset.store(now.micros(), Ordering::Relaxed);
    }

    pub(crate) fn jump(&self, micros: i64) {
        self.offset.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let since = self.begun.lock().map_or(0, |begun| begun.elapsed().as_micros() as i64);
        Timestamp::from_micros(self.offset.load(Ordering::Relaxed) + since)
    }
}

/// How a process ended.
enum End {
    Stopped(Stop),
    Crashed,
    /// The script is done and the store is closed.
    Done,
    Stuck,
}

struct Run<'a> {
    script: &'a Script,
    steps: usize,
    at: usize,
    disk: MemoryDisk,
    faults: Arc<Mutex<Faults>>,
    record: Arc<Mutex<Record>>,
    clock: Arc<WorldClock>,
    chance: Chance,
    back: Chance,
    /// The plan that a new process has.
    plan: Rc<std::cell::Cell<usize>>,
    figures: Figures,
}

/// Carries out the first so many steps of a script.
pub(crate) fn run(script: &Script, steps: usize, trace: bool) -> Outcome {
    let mut record = Record::default();
    record.trace = trace.then(Vec::new);
    let faults = Faults::new(script.seed, &script.setting);
    spoil(script.setting.wild.unwritten, script.seed);
    let mut run = Run {
        script,
        steps: steps.min(script.steps.len()),
        at: 0,
        disk: MemoryDisk::new(),
        faults: Arc::new(Mutex::new(faults)),
        record: Arc::new(Mutex::new(record)),
        clock: Arc::new(WorldClock::new()),
        chance: Chance::new(script.seed, 4),
        back: Chance::new(script.seed, 7),
        plan: Rc::default(),
        figures: Figures::default(),
    };
    run.all();
    run.outcome()
}

impl Run<'_> {
    /// One process after the other.
    fn all(&mut self) {
        self.disk.compact_at(self.script.setting.compact_bytes);
        loop {
            self.figures.processes += 1;
            self.faults.lock().begin_process();
            let end = self.process();
            self.record.lock().unread |= was_spoilt();
            let kept = match end {
                End::Stopped(Stop::PowerLoss(kept)) => Some(kept),
                End::Crashed => self.chance.percent(40).then(|| self.chance.place(300)),
                _ => None,
            };
            self.disk = kept.map_or_else(|| self.disk.after_kill(), |kept| self.disk.after_power_loss(kept));
            self.record.lock().note(|| format!("the process has ended, lost power: {kept:?}"));
            self.record.lock().look_at(&self.disk, &self.script.setting.models);
            if matches!(end, End::Done | End::Stuck) || !self.record.lock().problems.is_empty() {
                return;
            }
            // A while passes before the next one.
            let away = self.chance.of(&[0, 1_000, 3_000_000, 100_000_000]);
            self.clock.jump(away);
            if self.back.percent(self.script.setting.wide.back) {
                self.clock.jump(-(self.back.below(4_000_000_000) as i64));
            }
        }
    }

    /// What came of it, held against the uninterrupted run.
    fn outcome(self) -> Outcome {
        let mut record = self.record.lock();
        let record = &mut *record;
        let mut figures = self.figures;
        if record.problems.is_empty() {
            record.check_told();
            let mut oracle = Oracle::follow(&self.script.setting, record);
            oracle.compare(&self.disk);
            // What was due a tick ago, and a few seconds more.
            let slack = self.script.setting.tick_every + Duration::from_secs(4);
            oracle.check_time(&self.disk, self.clock.now().minus(slack));
            (figures.actions, figures.letters) = (oracle.actions() as u64, oracle.letters() as u64);
        }
        figures.entries = record.journal.len() as u64;
        figures.deliveries = record.delivered.values().sum();
        (figures.crashes, figures.failures, figures.commits) =
            (record.crashes, record.failures, record.commits);
        Outcome {
            figures,
            problems: std::mem::take(&mut record.problems),
            trace: record.trace.take().unwrap_or_default(),
        }
    }

    /// One process from its start to its end, whatever that is.
    fn process(&mut self) -> End {
        let runtime = || {
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
        };
        // All that is left of it goes with the runtime, as with a process.
        System::with_tokio_rt(runtime).block_on(async {
            let end = self.live().await;
            self.clock.stop();
            end
        })
    }

    async fn live(&mut self) -> End {
        self.clock.start();
        let crashed = Arc::new(Notify::new());
        trouble(&self.disk, &self.faults, &self.record, &crashed);
        let handle = match self.start() {
            Ok(handle) => handle,
            Err(error) => {
                self.record.lock().note(|| format!("did not start: {error}"));
                return End::Crashed;
            }
        };
        let crashed = async move { crashed.notified().await };
        let mut crashed = pin!(crashed);
        let mut work = pin!(self.work(handle));
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => crashed.as_mut().poll(cx).map(|()| End::Crashed),
        })
        .await
    }

    fn start(&mut self) -> Result<MonitoringHandle, Box<dyn std::error::Error>> {
        let setting = &self.script.setting;
        let begun = self.record.lock().commits > 0;
        if begun && self.chance.percent(setting.other_plan) {
            self.plan.set(self.chance.place(setting.plans.len()));
        }
        let plan = self.plan.get();
        self.record.lock().note(|| format!("a process starts with plan {plan} at {}", self.clock.now()));
        let (store, _) = self.disk.open(setting.limits)?;
        let (record, faults) = (Arc::clone(&self.record), Arc::clone(&self.faults));
        let store: Box<dyn Store> = Box::new(Watched { store, record, faults });
        let sink =
            Sink { seed: self.script.seed, slow: setting.wide.slow_sinks, record: Arc::clone(&self.record) };
        // Quarantine depends on when panics come, which no journal tells: never, or at the first one.
        let restarts_max = if setting.wide.quarantine { 0 } else { u32::MAX };
        let policy = RestartPolicy { restarts_max, ..RestartPolicy::default() };
        let builder = Monitoring::builder()
            .plan((*setting.plans[plan]).clone())
            .arbiters(0)
            .local_shards(setting.wide.shards)
            .panic_hook(false)
            .clock(Arc::clone(&self.clock) as _)
            .ahead_max(Duration::from_hours(1))
            .store(store)
            .durability(setting.durability)
            .restart_policy(policy)
            .idle_after(setting.idle_after)
            .awake_max(setting.awake_max)
            .tick_every(setting.tick_every)
            .held_max(setting.held_max)
            .alerts_max(setting.alerts_max)
            .credits(setting.credits)
            .delivery_timeout(setting.delivery_timeout)
            .alert_sink(Arc::new(sink));
        #[cfg(feature = "automated_retraining")]
        let builder = builder.retrain_executor(Arc::new(crate::sink::Executor { seed: self.script.seed }));
        // A request that waits for hours keeps its room in the outbox for as long.
        #[cfg(feature = "automated_retraining")]
        let builder = if setting.limits.outbox_waiting_max < 1_000 {
            builder.retrain_policy(visu_tility_actors::RetrainPolicy {
                cooldown: Duration::ZERO,
                retries_max: 0,
                ..visu_tility_actors::RetrainPolicy::default()
            })
        } else {
            builder
        };
        let handle = builder.start()?;
        self.record.lock().begin_process();
        Ok(handle)
    }

    /// Takes steps until the process is to end.
    async fn work(&mut self, handle: MonitoringHandle) -> End {
        let world = World {
            handle: handle.clone(),
            record: Arc::clone(&self.record),
            clock: Arc::clone(&self.clock),
            plan: Rc::clone(&self.plan),
            gate: Rc::new(Semaphore::new(0)),
        };
        let (gate, waiting) = (Rc::clone(&world.gate), handle.clone());
        actix_rt::spawn(async move {
            let _ = waiting.recovered().await;
            gate.close();
        });
        let mut begun: Vec<JoinHandle<()>> = Vec::new();
        while self.at < self.steps {
            let step = self.script.steps[self.at].clone();
            self.at += 1;
            self.record.lock().note(|| format!("{} {} {step:?}", self.at, self.clock.now()));
            match step {
                Step::Pass(span) => pass(span).await,
                Step::Jump(micros) => self.clock.jump(micros),
                Step::Join => {
                    if !self.join(&mut begun).await {
                        return End::Stuck;
                    }
                }
                Step::Stop(Stop::Drain) => {
                    // In order or not: the next process looks.
                    let _ = handle.shutdown(self.script.setting.wide.drain).await;
                    return End::Stopped(Stop::Drain);
                }
                Step::Stop(stop) => return End::Stopped(stop),
                other => begun.push(actix_rt::spawn(deed::begin(&world, &self.script.setting, other))),
            }
        }
        if !self.join(&mut begun).await {
            return End::Stuck;
        }
        self.faults.lock().armed = false;
        spoil(0, self.script.seed);
        drop(world);
        self.finish(&handle).await
    }

    /// Waits for all that was begun.
    async fn join(&self, begun: &mut Vec<JoinHandle<()>>) -> bool {
        for deed in begun.drain(..) {
            match tokio::time::timeout(FOR_EVER, deed).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.record.lock().problem(format!("a call panicked: {error}")),
                Err(_) => {
                    self.record.lock().problem("a call does not come back".to_owned());
                    return false;
                }
            }
        }
        true
    }

    /// The end of the script, with a disk that works: all is brought to rest, and the store closed.
    async fn finish(&mut self, handle: &MonitoringHandle) -> End {
        let report = handle.recovered().await;
        if report.failed.is_some() {
            self.record.lock().note(|| format!("not recovered: {report:?}"));
            return End::Crashed;
        }
        for _ in 0..60 {
            let Ok(status) = handle.status().await else { return End::Crashed };
            let store = status.store.unwrap();
            if store.failing.is_none() {
                break;
            }
            self.record.lock().note(|| format!("the store is failing: {:?}", store.failing));
            pass(Duration::from_secs(1)).await;
        }
        if handle.status().await.is_ok_and(|status| status.store.is_some_and(|store| store.failing.is_some()))
        {
            // Only a new process helps.
            return End::Crashed;
        }
        if was_spoilt() {
            self.record.lock().unread = true;
        }
        if self.record.lock().unread {
            // A model that could not be read has not seen its events: the next process shows them to it.
            return End::Crashed;
        }
        let rest = async {
            self.record.lock().note(|| format!("last events at {}", self.clock.now()));
            deed::wake_all(handle, &self.script.setting, &self.record, &self.clock).await?;
            handle.flush().await.map_err(|error| error.to_string())?;
            for _ in 0..3 {
                self.clock.jump(3_600_000_000);
                pass(self.script.setting.tick_every * 2 + Duration::from_secs(2)).await;
                handle.flush().await.map_err(|error| error.to_string())?;
            }
            let (known, named) = (handle.admission().models, handle.models().len() as u64);
            if known != named {
                return Err(format!("{known} models are counted, and there are {named}"));
            }
            let report = handle.shutdown(Duration::from_mins(5)).await;
            if report.complete { Ok(()) } else { Err(format!("no orderly end: {report:?}")) }
        };
        let problem = match tokio::time::timeout(FOR_EVER, rest).await {
            Ok(Ok(())) => return End::Done,
            Ok(Err(problem)) => problem,
            Err(_) => "the end does not come".to_owned(),
        };
        self.record.lock().problem(problem);
        End::Stuck
    }
}

/// Lets time pass.
pub(crate) async fn pass(span: Duration) {
    let _ = tokio::time::timeout(span, pending::<()>()).await;
}

impl Figures {
    /// Adds another run's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.processes += other.processes;
        self.crashes += other.crashes;
        self.failures += other.failures;
        self.commits += other.commits;
        self.entries += other.entries;
        self.actions += other.actions;
        self.letters += other.letters;
        self.deliveries += other.deliveries;
    }
}
