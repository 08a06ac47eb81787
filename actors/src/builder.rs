//! How a monitoring is set up and started.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle, System};
use parking_lot::Mutex;
use thiserror::Error;
use visu_tility_core::store::{Store, StoreError};
use visu_tility_core::{MetricObserver, MonitorPlan, ObserverError};

use crate::admission::AdmissionPolicy;
use crate::alert::{AlertSink, DispatchDesk, LogSink};
use crate::board::Board;
use crate::census::Census;
use crate::clock::{Clock, SystemClock};
use crate::dock::Dock;
use crate::durability::DurabilityPolicy;
use crate::edge::EdgeSettings;
use crate::handle::MonitoringHandle;
use crate::hook::install_panic_hook;
use crate::house::{Ending, House, Shown};
use crate::ledger::durably::Durably;
use crate::nursery::Nursery;
use crate::outlet::Outlet;
use crate::restart::RestartPolicy;
#[cfg(feature = "automated_retraining")]
use crate::retrain::{RetrainDesk, RetrainExecutor, RetrainPolicy};
use crate::routed::Address;
use crate::shard_state::ShardSettings;
use crate::snapshot::{MemorySnapshots, SnapshotKeeper};
use crate::steady::Steady;
use crate::supervise::{LifecycleSink, Supervision, SupervisionEvent, supervise_in};
use crate::watchdog::{Watchdog, WatchdogPolicy};

/// A monitoring could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of its range.
    #[error("start monitoring: {0}")]
    Config(#[from] ObserverError),
    /// With no arbiter of its own it needs that of the present thread, and there is none.
    #[error("start monitoring: `arbiters` is 0, which needs an actix System on this thread")]
    NoSystem,
    /// A thread could not be started.
    #[error("start monitoring: no thread for an arbiter")]
    Thread(#[from] std::io::Error),
    /// The store cannot be read or written.
    #[error("start monitoring")]
    Store(#[from] StoreError),
}

/// The way in: [`Monitoring::builder`].
#[derive(Clone, Copy, Debug)]
pub struct Monitoring;

impl Monitoring {
    /// Begins to set up a monitoring. Every setting has a default.
    pub fn builder() -> MonitoringBuilder {
        MonitoringBuilder::default()
    }
}

/// The settings of a monitoring.
#[must_use]
pub struct MonitoringBuilder {
    plan: MonitorPlan,
    local_shards: usize,
    observers: Vec<Box<dyn MetricObserver>>,
    arbiters: usize,
    credits: usize,
    edge: EdgeSettings,
    first_offset: u64,
    settings: ShardSettings,
    dead_letters_max: usize,
    alerts_max: usize,
    delivery_timeout: Duration,
    panic_hook: bool,
    clock: Arc<dyn Clock>,
    keeper: Arc<dyn SnapshotKeeper>,
    store: Option<Box<dyn Store>>,
    durability: DurabilityPolicy,
    watchdog: WatchdogPolicy,
    watch_by_hand: bool,
    sinks: Vec<Arc<dyn AlertSink>>,
    supervision_sink: Arc<dyn LifecycleSink>,
    #[cfg(feature = "automated_retraining")]
    retrain_policy: RetrainPolicy,
    #[cfg(feature = "automated_retraining")]
    executor: Option<Arc<dyn RetrainExecutor>>,
}

impl Default for MonitoringBuilder {
    fn default() -> Self {
        Self {
            plan: MonitorPlan::default(),
            observers: Vec::new(),
            arbiters: 1,
            local_shards: 1,
            credits: 65_536,
            edge: EdgeSettings::default(),
            first_offset: 0,
            settings: ShardSettings {
                policy: RestartPolicy::default(),
                held_max: 1_024,
                idle_after: None,
                awake_max: None,
                tick_every: Duration::from_secs(1),
            },
            dead_letters_max: 1_024,
            alerts_max: 65_536,
            delivery_timeout: Duration::from_secs(10),
            panic_hook: true,
            clock: Arc::new(SystemClock),
            keeper: Arc::new(MemorySnapshots::default()),
            store: None,
            durability: DurabilityPolicy::default(),
            watchdog: WatchdogPolicy::default(),
            watch_by_hand: false,
            sinks: Vec::new(),
            supervision_sink: Arc::new(LogLifecycle),
            #[cfg(feature = "automated_retraining")]
            retrain_policy: RetrainPolicy::default(),
            #[cfg(feature = "automated_retraining")]
            executor: None,
        }
    }
}

impl MonitoringBuilder {
    /// The largest first offset: 2^62, so that offsets, which only rise, never begin again at 0.
    pub const FIRST_OFFSET_MAX: u64 = 1 << 62;

    /// What is watched how. Default [`MonitorPlan::default`].
    pub fn plan(self, plan: MonitorPlan) -> Self {
        Self { plan, ..self }
    }

    /// Adds an observer to the plan; [`MonitoringBuilder::start`] says if it cannot be.
    pub fn observer(mut self, observer: Box<dyn MetricObserver>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Threads of its own, at most 256; 0 means the present thread's arbiter. Default 1.
    ///
    /// Threads of its own belong to an actix `System` of their own, which nothing stops but the monitoring's own
    /// end: not the end of your `System`, and not a web server that stops that at Ctrl-C. In observers, sinks and
    /// subscriber functions `System::current()` is the monitoring's. With 0 the monitoring lives and dies with
    /// your `System`; what that takes with it is counted in [`DrainReport::events_cut`](crate::DrainReport).
    pub fn arbiters(self, arbiters: usize) -> Self {
        Self { arbiters, ..self }
    }

    /// With `arbiters(0)`: how many shards the present arbiter has, from 1 to 256; what is outside is brought inside. More
    /// than one makes nothing faster: it shows in a test what happens between shards, on one thread. Default 1.
    pub fn local_shards(self, local_shards: usize) -> Self {
        Self { local_shards: local_shards.clamp(1, Address::SHARDS_MAX), ..self }
    }

    /// Events that may be queued or being handled per arbiter, from 1 to 2^28; what is outside is brought
    /// inside. Default 65,536.
    pub fn credits(self, credits: usize) -> Self {
        Self { credits: credits.clamp(1, 1 << 28), ..self }
    }

    /// Models that may be known, in memory and asleep in the store. Default 1,000,000.
    pub fn models_max(mut self, models_max: u64) -> Self {
        self.edge.models_max = models_max;
        self
    }

    /// Which unknown models are taken. Default [`AdmissionPolicy::Open`].
    pub fn admission(mut self, admission: AdmissionPolicy) -> Self {
        self.edge.admission = admission;
        self
    }

    /// Where the hash of [`AdmissionPolicy::Quota`] begins. Default: somewhere else in every process, so that nobody can
    /// choose names that collide. What is decided is not repeated after a restart and needs no fixed one.
    pub fn admission_seed(mut self, seed: u64) -> Self {
        self.edge.admission_seed = Some(seed);
        self
    }

    /// How far an event's time may be ahead of the clock. Default 1 minute. What is further ahead is refused and moves no
    /// model's time. More than the plan's `lateness_max` (5 minutes) lets one event from a clock that is ahead make
    /// honest ones too late.
    pub fn ahead_max(mut self, ahead_max: Duration) -> Self {
        self.edge.ahead_max = ahead_max;
        self
    }

    /// How far an event's time may be behind the clock. Default `None`: as far as 1970, for what was recorded.
    pub fn behind_max(mut self, behind_max: Option<Duration>) -> Self {
        self.edge.behind_max = behind_max;
        self
    }

    /// Runs timers off the events' own times: for replays. What falls due is done in order of time while
    /// events are handled, so that the same events give the same decisions however fast they come. Events
    /// without a time take the newest one seen. Default off.
    pub fn event_time(mut self, event_time: bool) -> Self {
        self.edge.event_time = event_time;
        self
    }

    /// The offset of the first event, at most [`MonitoringBuilder::FIRST_OFFSET_MAX`]; [`MonitoringBuilder::start`]
    /// refuses a larger one. Default 0.
    pub fn first_offset(self, first_offset: u64) -> Self {
        Self { first_offset, ..self }
    }

    /// When models and actors that panicked are started again.
    pub fn restart_policy(mut self, policy: RestartPolicy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// Events held for one model that waits for its restart. Default 1,024.
    pub fn held_max(mut self, held_max: usize) -> Self {
        self.settings.held_max = held_max;
        self
    }

    /// Idleness after which a model is put to sleep, at least a second. Default never.
    pub fn idle_after(mut self, idle_after: Option<Duration>) -> Self {
        self.settings.idle_after = idle_after;
        self
    }

    /// Models that are to be awake at a time, shared out among the arbiters. While there are more, those that have been
    /// idle for longest are put to sleep; no event waits for that, so that there may be more for as long as it takes,
    /// and those that wait for a restart, are paused or in quarantine count but stay. Default no bound.
    pub fn awake_max(mut self, awake_max: Option<usize>) -> Self {
        self.settings.awake_max = awake_max;
        self
    }

    /// How often models that wait for a time are looked at. Default 1 s.
    pub fn tick_every(mut self, tick_every: Duration) -> Self {
        self.settings.tick_every = tick_every.max(Duration::from_millis(1));
        self
    }

    /// Dead letters kept; older ones are only counted. Default 1,024.
    pub fn dead_letters_max(self, dead_letters_max: usize) -> Self {
        Self { dead_letters_max, ..self }
    }

    /// Alerts that may wait for a sink; more are refused and counted. Default 65,536.
    pub fn alerts_max(self, alerts_max: usize) -> Self {
        Self { alerts_max, ..self }
    }

    /// How long one delivery of an alert to a sink may take, at least 1 ms; then it has failed. Default 10 s.
    pub fn delivery_timeout(self, delivery_timeout: Duration) -> Self {
        Self { delivery_timeout: delivery_timeout.max(Duration::from_millis(1)), ..self }
    }

    /// Whether the process's panic hook is wrapped, so that panics under supervision are logged a few per
    /// second instead of printed one by one. Default on.
    pub fn panic_hook(self, panic_hook: bool) -> Self {
        Self { panic_hook, ..self }
    }

    /// Where the time comes from. Default [`SystemClock`].
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Where sleeping models' states are kept. Default [`MemorySnapshots`].
    pub fn snapshots(self, keeper: Arc<dyn SnapshotKeeper>) -> Self {
        Self { keeper, ..self }
    }

    /// Has everything that is acknowledged outlive the process. Publishing is answered when the event is durable; states,
    /// alerts and retrain requests are kept; what the store's journal holds is repeated first. It takes the place of
    /// [`MonitoringBuilder::snapshots`] and [`MonitoringBuilder::first_offset`], and cannot be used with
    /// [`MonitoringBuilder::event_time`]. Default none: all is in memory and gone with the process.
    pub fn store(self, store: Box<dyn Store>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// How much is gathered for a commit and how often states are saved; of use with a store only.
    pub fn durability(self, durability: DurabilityPolicy) -> Self {
        Self { durability, ..self }
    }

    /// When an observer counts as stuck, and how many arbiters may be replaced.
    pub fn watchdog(self, watchdog: WatchdogPolicy) -> Self {
        Self { watchdog, ..self }
    }

    /// Has the watchdog look only when it is told to ([`MonitoringHandle::look_for_stuck`]): for tests.
    #[doc(hidden)]
    pub fn watch_by_hand(self) -> Self {
        Self { watch_by_hand: true, ..self }
    }

    /// Adds a sink for alerts. With none they go to the log.
    pub fn alert_sink(mut self, sink: Arc<dyn AlertSink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Who is told of panics of the monitoring's own actors. Default: the log.
    pub fn supervision_sink(self, supervision_sink: Arc<dyn LifecycleSink>) -> Self {
        Self { supervision_sink, ..self }
    }

    /// Who carries out retrains. Without one requests wait, in a store for as long as no process has one: up to its limit
    /// on outbox entries that wait, from where on commits are refused that ask for more.
    #[cfg(feature = "automated_retraining")]
    pub fn retrain_executor(self, executor: Arc<dyn RetrainExecutor>) -> Self {
        Self { executor: Some(executor), ..self }
    }

    /// How retrain requests are queued.
    #[cfg(feature = "automated_retraining")]
    pub fn retrain_policy(self, retrain_policy: RetrainPolicy) -> Self {
        Self { retrain_policy, ..self }
    }

    /// Starts the actors.
    ///
    /// # Errors
    ///
    /// Fails when an observer cannot be added to the plan, when a setting is out of its range, when `arbiters` is 0 and this thread has no
    /// actix `System`, or when no thread can be started.
    pub fn start(self) -> Result<MonitoringHandle, StartError> {
        let plan = whole(self.plan, self.observers, self.first_offset)?;
        self.edge.check(&plan)?;
        let event_time = self.edge.event_time;
        let open = |store| Durably::open(store, self.durability, &plan, event_time, &*self.clock);
        let mut durable = self.store.map(open).transpose()?;
        if self.panic_hook {
            install_panic_hook();
        }
        self.watchdog.check()?;
        let Ground { arbiters, helpers, system } =
            Ground::lay(self.arbiters.min(Address::SHARDS_MAX), self.local_shards)?;
        let census = Census::default();
        let supervision = Supervision {
            policy: self.settings.policy,
            sink: Some(self.supervision_sink),
            census: census.clone(),
        };
        let docks: Vec<_> = arbiters.iter().map(|_| Arc::new(Dock::new(self.credits))).collect();
        let begin = |durable: &Durably| (durable.journal.end, Some(Arc::clone(&durable.inbox)));
        let (first_offset, inbox) = durable.as_ref().map_or((self.first_offset, None), begin);
        let behind = durable.as_ref().map_or(Duration::ZERO, |durable| durable.behind);
        let clock = Arc::new(Steady::new(self.clock, behind));
        let timing = self.edge.timing();
        let directory = self.edge.directory(&plan, arbiters.len(), durable.as_mut())?;
        let board = Board::new(directory, docks, Arc::clone(&clock), timing, first_offset, inbox);
        let board = Arc::new(board);
        let sinks = if self.sinks.is_empty() { vec![Arc::new(LogSink) as _] } else { self.sinks };
        let alerts = DispatchDesk::open(sinks, self.alerts_max, self.delivery_timeout, |build| {
            supervise_in(&helpers, "alert-dispatcher", supervision.clone(), |_| build())
        });
        #[cfg(feature = "automated_retraining")]
        let retrains = {
            let (policy, executor) = (self.retrain_policy, self.executor);
            RetrainDesk::open(policy, executor, census.clone(), Arc::clone(&board), |build| {
                supervise_in(&helpers, "retrain-scheduler", supervision.clone(), |_| build())
            })
        };
        let outlet = Arc::new(Outlet::new(
            self.dead_letters_max,
            alerts,
            #[cfg(feature = "automated_retraining")]
            retrains,
            clock,
        ));
        let awake_max = self.settings.awake_max.map(|max| max.div_ceil(arbiters.len()).max(1));
        let settings = ShardSettings { awake_max, ..self.settings };
        let nursery = Nursery::new(settings, Arc::clone(&outlet), self.keeper, supervision, helpers.clone());
        for (index, (arbiter, dock)) in arbiters.iter().zip(board.docks()).enumerate() {
            let plan = durable.as_ref().map_or_else(|| Arc::clone(&plan), |durable| durable.before.present());
            let saving = durable.as_mut().map(|durable| durable.for_shard(&dock)).transpose()?;
            nursery.seats.add(nursery.begin(arbiter, index, &board, &dock, plan, saving));
        }
        let shards = Arc::clone(&nursery.seats);
        board.introduce((0..shards.len()).filter_map(|shard| Some(shards.get(shard)?.downgrade())).collect());
        let on_arbiter = system.is_none().then_some(&helpers);
        let replaceable = system.is_some().then_some(nursery);
        let durable = durable
            .map(|durable| durable.start(&board, &outlet, census.enter(), on_arbiter, replaceable))
            .transpose()?;
        let watchdog = Arc::new(Watchdog::new(self.watchdog, &board, system.as_ref()));
        let leash = if self.watch_by_hand { None } else { watchdog.run()? };
        let plan = Mutex::new(Shown::new(plan));
        let ending = Ending::of(system.as_ref());
        let arbiter = helpers;
        let house =
            House { board, outlet, shards, plan, census, watchdog, arbiter, system, ending, durable, leash };
        Ok(MonitoringHandle { house: Arc::new(house) })
    }
}

/// Checks the first offset, and adds the observers to the plan.
fn whole(
    mut plan: MonitorPlan,
    observers: Vec<Box<dyn MetricObserver>>,
    first_offset: u64,
) -> Result<Arc<MonitorPlan>, ObserverError> {
    let max = MonitoringBuilder::FIRST_OFFSET_MAX;
    if first_offset > max {
        let said = format!("`first_offset` is {first_offset}, must be at most {max}");
        return Err(ObserverError::Config(said));
    }
    for observer in observers {
        plan = plan.with_observer(observer)?;
    }
    Ok(Arc::new(plan))
}

/// The threads that shards run on.
struct Ground {
    arbiters: Vec<ArbiterHandle>,
    /// Where alerts and the like are: no observer holds that up, unless there are no threads of its own.
    helpers: ArbiterHandle,
    system: Option<System>,
}

impl Ground {
    /// Finds or starts as many arbiters as are asked for.
    ///
    /// Those that it starts are of a `System` of their own, also where there is one: a web server stops the one
    /// that it runs in at the first signal, and every arbiter of that with all that is queued there, before
    /// anybody comes to call `shutdown`.
    fn lay(wanted: usize, local_shards: usize) -> Result<Self, StartError> {
        if wanted == 0 {
            let arbiter = Arbiter::try_current().ok_or(StartError::NoSystem)?;
            let arbiters = vec![arbiter.clone(); local_shards];
            return Ok(Self { arbiters, helpers: arbiter, system: None });
        }
        let (ready, started) = mpsc::channel();
        std::thread::Builder::new().name("monitoring".into()).spawn(move || {
            let runner = System::new();
            let started = runner.block_on(async move { start_arbiters(wanted) });
            let failed = started.is_err();
            let _ = ready.send(started.map(|arbiters| (arbiters, System::current())));
            if !failed && let Err(error) = runner.run() {
                tracing::error!(%error, "monitoring thread ended");
            }
        })?;
        let no_answer = |_| std::io::Error::other("the thread ended before it was ready");
        let (arbiters, system) = started.recv().map_err(no_answer)??;
        let helpers = system.arbiter().clone();
        Ok(Self { arbiters, helpers, system: Some(system) })
    }
}

fn start_arbiters(wanted: usize) -> Result<Vec<ArbiterHandle>, std::io::Error> {
    (0..wanted).map(|_| Arbiter::try_new().map(|arbiter| arbiter.handle())).collect()
}

/// Logs what happens to the monitoring's own actors: each is a fault that somebody must look at.
struct LogLifecycle;

impl LifecycleSink for LogLifecycle {
    fn supervision(&self, event: &SupervisionEvent) {
        match event {
            SupervisionEvent::Restarted { actor, cause, backoff_us } => {
                tracing::error!(%actor, reason = cause.reason, backoff_us, "actor panicked and is restarted");
            }
            SupervisionEvent::Quarantined { actor, cause } => {
                tracing::error!(%actor, reason = cause.reason, "actor panicked too often");
            }
            SupervisionEvent::StoppedByPanic { actor, reason } => {
                tracing::error!(%actor, reason, "actor panicked while it was stopped");
            }
        }
    }
}
