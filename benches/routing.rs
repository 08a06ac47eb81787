//! What a routed event costs: through the supervisor into model actors, against one actix message per
//! event, and against a bare loop over the same checks; and, by itself, with a store, on the same thread: the journal, piece
//! by piece of one batch each, and the snapshots, once over a store that takes everything and keeps nothing (*journaled*),
//! once over the store in memory (*durable*).
//!
//! Everything runs on one thread and in turns, so that the ratios hold on a busy machine. The median of the rounds is printed,
//! from when on states are saved in them; of the two with a store also the ratio of the means, since states are not saved in
//! equal numbers in each. `--quick` makes fewer rounds, `--models 1000` leaves the other out, `--no-naive` leaves that way out.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message};
use visu_tility::monitoring::{
    AlertCondition, Check, DriftDetector, DurabilityPolicy, MetricKind, ModelId, MonitorPlan, Monitoring,
    MonitoringHandle, PerformanceDegrader, Routed, RunningCheck, SeriesHandle, Timestamp, Version,
};
use visu_tility::store::{
    Commit, Committed, JournalPiece, MemoryStore, OutboxQuery, Posted, Snapshot, Store, StoreError,
    StoreLimits, StoreReader, StoreSummary, StoredAction, StoredLetter, StoredModel,
};

type Failure = Box<dyn std::error::Error>;

/// Events of a batch, and between two turns of the naive way.
const BATCH: usize = 1_024;

/// One event as the bare loop and the naive way take it: its model's name interned.
#[derive(Clone, Copy)]
struct Raw {
    model: u32,
    at: i64,
    value: f64,
}

/// Uniform models, accuracies around 0.93 that never fire (`SplitMix64`).
fn stream(models: usize, events: usize) -> Vec<Raw> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..events)
        .map(|i| {
            let random = next();
            let value = 0.9 + (random >> 40) as f64 / (1_u64 << 24) as f64 * 0.06;
            Raw { model: (random % models as u64) as u32, at: 1_700_000_000_000_000 + i as i64, value }
        })
        .collect()
}

fn check() -> Result<Check, Failure> {
    Ok(Check::Performance(PerformanceDegrader::new(0.85)?))
}

fn running() -> Result<RunningCheck, Failure> {
    check()?.run(&MetricKind::Accuracy).ok_or_else(|| "a check of the model as a whole".into())
}

/// A model's state in the bare loop and in the naive actor.
struct Bare {
    check: RunningCheck,
    firing: bool,
}

impl Bare {
    fn new() -> Result<Self, Failure> {
        Ok(Self { check: running()?, firing: false })
    }

    fn observe(&mut self, value: f64, at: Timestamp) -> bool {
        let fires = self.check.observe(value, at) == AlertCondition::Fire;
        let turned = fires && !self.firing;
        self.firing = fires;
        turned
    }
}

/// The loop that nothing can beat.
fn bare(models: &mut [Bare], events: &[Raw]) -> u64 {
    let mut fired = 0;
    for event in events {
        if let Some(model) = models.get_mut(event.model as usize) {
            fired += u64::from(model.observe(event.value, Timestamp::from_micros(event.at)));
        }
    }
    fired
}

/// An actor per model, a message per event.
struct Naive {
    state: Bare,
    handled: Rc<Cell<usize>>,
}

impl Actor for Naive {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Event {
    at: i64,
    value: f64,
}

impl Handler<Event> for Naive {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Context<Self>) {
        black_box(event.at);
        black_box(self.state.observe(event.value, Timestamp::from_micros(event.at)));
        self.handled.set(self.handled.get() + 1);
    }
}

async fn naive(actors: &[Addr<Naive>], handled: &Cell<usize>, events: &[Raw]) {
    for batch in events.chunks(BATCH) {
        let until = handled.get() + batch.len();
        for event in batch {
            if let Some(actor) = actors.get(event.model as usize) {
                actor.do_send(Event { at: event.at, value: event.value });
            }
        }
        while handled.get() < until {
            tokio::task::yield_now().await;
        }
    }
}

/// Publishes events whose names were interned where they were made; a batch is made of each 1,024.
async fn routed(handle: &MonitoringHandle, events: &[Routed], later: i64) -> Result<(), Failure> {
    for batch in events.chunks(BATCH) {
        let moved = |event: &Routed| event.moved_to(Timestamp::from_micros(event.at().micros() + later));
        let routed: Vec<Routed> = batch.iter().map(moved).collect();
        let receipt = handle.publish_routed(routed).await;
        assert_eq!(receipt.accepted, batch.len() as u64, "every event is taken");
    }
    handle.flush().await?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Moves a stream on in time, so that every round's events are new.
fn later(events: &mut [Raw]) {
    let span = events.len() as i64;
    for event in events {
        event.at += span;
    }
}

/// Events whose names are interned where they are made, and what keeps their models at their places.
fn prepare(
    handle: &MonitoringHandle,
    models: usize,
    events: &[Raw],
) -> Result<(Vec<Routed>, Vec<SeriesHandle>), Failure> {
    let version = Version::new("1")?;
    let mut series = Vec::with_capacity(models);
    for model in 0..models {
        series.push(handle.model(format!("model-{model}"))?.series(&version, &MetricKind::Accuracy));
    }
    let reading = |event: &Raw| {
        let series = series.get(event.model as usize).ok_or("a model without a handle")?;
        Ok(series.reading(Timestamp::from_micros(event.at), event.value)?)
    };
    let template = events.iter().map(reading).collect::<Result<_, Failure>>()?;
    Ok((template, series))
}

/// A store that checks commits and keeps nothing of them: what is left is what the journal and the snapshots cost before
/// they are anywhere.
#[derive(Default)]
struct Sink {
    next_offset: u64,
    posted: u64,
}

impl Store for Sink {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        self.next_offset = commit.check(self.next_offset)?;
        let posted = commit.outbox.iter().map(|_| {
            self.posted += 1;
            Posted::New(self.posted)
        });
        Ok(Committed { posted: posted.collect(), next_offset: self.next_offset })
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        Ok(Box::new(Nothing))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Reads of a store that keeps nothing.
struct Nothing;

impl StoreReader for Nothing {
    fn summary(&mut self) -> Result<StoreSummary, StoreError> {
        Ok(StoreSummary::default())
    }
    fn snapshot(&mut self, _: &ModelId) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }
    fn model(&mut self, _: &ModelId) -> Result<Option<StoredModel>, StoreError> {
        Ok(None)
    }
    fn models(&mut self, _: Option<&ModelId>, _: usize) -> Result<Vec<StoredModel>, StoreError> {
        Ok(Vec::new())
    }
    fn due(
        &mut self,
        _: Timestamp,
        _: Option<(Timestamp, &ModelId)>,
        _: usize,
    ) -> Result<Vec<StoredModel>, StoreError> {
        Ok(Vec::new())
    }
    fn journal(&mut self, _: u64, _: usize) -> Result<Vec<JournalPiece>, StoreError> {
        Ok(Vec::new())
    }
    fn outbox(&mut self, _: &OutboxQuery) -> Result<Vec<StoredAction>, StoreError> {
        Ok(Vec::new())
    }
    fn dead_letters(&mut self, _: u64, _: usize) -> Result<Vec<StoredLetter>, StoreError> {
        Ok(Vec::new())
    }
    fn plan(&mut self, _: u64) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    fn plans(&mut self) -> Result<Vec<u64>, StoreError> {
        Ok(Vec::new())
    }
    fn value(&mut self, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }
    fn backup(&mut self, _: &std::path::Path) -> Result<(), StoreError> {
        Err(StoreError::Unsupported("there is nothing to copy"))
    }
}

/// A monitoring with a store without a disk: what the journal and the snapshots cost.
struct Kept {
    handle: MonitoringHandle,
    template: Vec<Routed>,
    _series: Vec<SeriesHandle>,
}

impl Kept {
    fn start(
        store: Box<dyn Store>,
        plan: MonitorPlan,
        models: usize,
        events: &[Raw],
    ) -> Result<Self, Failure> {
        let gathers_what_is_there =
            DurabilityPolicy { gather_max: Duration::ZERO, ..DurabilityPolicy::default() };
        let builder = Monitoring::builder().plan(plan).arbiters(0);
        let handle = builder.store(store).durability(gathers_what_is_there).start()?;
        let (template, series) = prepare(&handle, models, events)?;
        Ok(Self { handle, template, _series: series })
    }

    /// How long a round took.
    async fn round(&self, round: usize) -> Result<Duration, Failure> {
        let start = Instant::now();
        routed(&self.handle, &self.template, (round * self.template.len()) as i64).await?;
        Ok(start.elapsed())
    }
}

/// Where the kept ones are steady: each state is saved once in so many events, from half of that on.
const STEADY: usize = 8_000_000;

/// Nanoseconds an event took in each round, and in all.
#[derive(Default)]
struct Column {
    rounds: Vec<f64>,
}

impl Column {
    fn add(&mut self, took: Duration, events: usize) {
        self.rounds.push(took.as_nanos() as f64 / events as f64);
    }

    fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    fn mean(&self) -> f64 {
        self.rounds.iter().sum::<f64>() / self.rounds.len() as f64
    }
}

async fn measure(models: usize, events: usize, rounds: usize, with_naive: bool) -> Result<(), Failure> {
    let mut events = stream(models, events);
    let mut states = (0..models).map(|_| Bare::new()).collect::<Result<Vec<_>, _>>()?;
    let handled = Rc::new(Cell::new(0));
    let mut actors = Vec::with_capacity(models);
    for _ in 0..if with_naive { models } else { 0 } {
        actors.push(Naive { state: Bare::new()?, handled: Rc::clone(&handled) }.start());
    }
    let plan = MonitorPlan::empty()
        .with_observer(Box::new(PerformanceDegrader::new(0.85)?))?
        .with_observer(Box::new(DriftDetector::default()))?;
    let handle = Monitoring::builder().plan(plan.clone()).arbiters(0).start()?;
    let (template, _series) = prepare(&handle, models, &events)?;
    let journaled = Kept::start(Box::new(Sink::default()), plan.clone(), models, &events)?;
    let memory = Box::new(MemoryStore::new(StoreLimits::default()));
    let durable = Kept::start(memory, plan, models, &events)?;
    let [mut bares, mut routeds, mut journaleds, mut durables, mut naives]: [Column; 5] = Default::default();
    // The first round wakes the models up, those up to half of the steady state save nothing.
    let first = 1 + STEADY / 2 / events.len();
    for round in 0..first + rounds {
        let start = Instant::now();
        black_box(bare(&mut states, &events));
        let bare = start.elapsed();
        let start = Instant::now();
        routed(&handle, &template, (round * events.len()) as i64).await?;
        let took = [bare, start.elapsed(), journaled.round(round).await?, durable.round(round).await?];
        // The slow way gets a share of the events.
        let some = if with_naive { events.get(..events.len() / 4).unwrap_or(&events) } else { &[] };
        let start = Instant::now();
        naive(&actors, &handled, some).await;
        let slow = start.elapsed();
        let share = some.len().max(1);
        later(&mut events);
        if round >= first {
            for (column, took) in
                [&mut bares, &mut routeds, &mut journaleds, &mut durables].into_iter().zip(took)
            {
                column.add(took, events.len());
            }
            naives.add(slow, share);
        }
    }
    let status = handle.status().await?;
    assert_eq!(status.events, (events.len() * (first + rounds)) as u64);
    let (bare, naive, routed) = (bares.median(), naives.median(), routeds.median());
    let status = durable.handle.status().await?.store.ok_or("a monitoring with a store")?;
    let saves = status.saves as f64 / (events.len() * rounds) as f64;
    println!(
        "{models:>8} models: bare {bare:>6.2} ns, routed {routed:>6.2} ns, naive {naive:>7.1} ns per event; routed is {:>5.1}x \
         naive, {:>4.2}x the bare loop's time",
        naive / routed,
        routed / bare,
    );
    for (name, column) in [("journaled", &journaleds), ("durable", &durables)] {
        let kept = column.median();
        println!(
            "{:>16} {name} {kept:>6.2} ns, {:>4.2}x routed (means {:>4.2}x)",
            "",
            kept / routed,
            column.mean() / routeds.mean()
        );
    }
    println!("{:>16} {saves:.4} states saved an event", "");
    Ok(())
}

fn main() -> Result<(), Failure> {
    let has = |word: &str| std::env::args().any(|arg| arg == word);
    let rounds = if has("--quick") { 3 } else { 15 };
    println!("one event: EMA and threshold, batches of {BATCH}, uniform over the models, median of {rounds}");
    let only = std::env::args().skip_while(|arg| arg != "--models").nth(1).and_then(|n| n.parse().ok());
    for models in [1_000, 100_000].into_iter().filter(|models| only.is_none_or(|only: usize| only == *models))
    {
        actix::System::new().block_on(measure(models, 1_000_000, rounds, !has("--no-naive")))?;
    }
    Ok(())
}
