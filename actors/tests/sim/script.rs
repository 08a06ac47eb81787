//! What happens in a simulation: a setting and a list of steps, drawn from a seed.

use std::sync::Arc;
use std::time::Duration;

use visu_tility_actors::DurabilityPolicy;
use visu_tility_core::store::StoreLimits;
use visu_tility_core::{MetricEvent, MetricKind, ModelId, MonitorPlan, Timestamp, Version};

use crate::chance::Chance;
use crate::plans::{self, POISON, POISON_FOR_ALL};

/// From this seed on there is more in a setting: [`Wide`]. Those below keep what they mean.
pub(crate) const WIDE_FROM: u64 = 1_000_000;

/// From this seed on there is more still: [`Wild`]. Those below keep what they mean.
pub(crate) const WILD_FROM: u64 = 20_000_000;
/// From this seed on the outbox may have little room, too.
pub(crate) const SMALL_OUTBOX_FROM: u64 = 60_000_000;

/// One simulation.
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

/// How the monitoring is set up.
pub(crate) struct Setting {
    pub(crate) models: Vec<String>,
    pub(crate) plans: Vec<Arc<MonitorPlan>>,
    pub(crate) durability: DurabilityPolicy,
    pub(crate) limits: StoreLimits,
    pub(crate) compact_bytes: usize,
    pub(crate) idle_after: Option<Duration>,
    pub(crate) awake_max: Option<usize>,
    pub(crate) tick_every: Duration,
    pub(crate) held_max: usize,
    pub(crate) alerts_max: usize,
    pub(crate) credits: usize,
    pub(crate) delivery_timeout: Duration,
    /// Commits and other operations of which something goes wrong, in a thousand.
    pub(crate) faults: u64,
    /// Processes that come back with another plan, in a hundred.
    pub(crate) other_plan: u64,
    pub(crate) wide: Wide,
    pub(crate) wild: Wild,
}

/// What only the last seeds have, each kind by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wild {
    /// Reads fail in every way: the store is locked, full, damaged.
    pub(crate) reads_in_all_ways: bool,
    /// Models are asked for by their handles before the journal is repeated.
    pub(crate) asks_early: bool,
    /// States that cannot be written, in a thousand that are.
    pub(crate) unwritten: u64,
    /// Commits with states that the store refuses because of one of them, in a thousand.
    pub(crate) refused: u64,
}

impl Wild {
    const NONE: Self = Self { reads_in_all_ways: false, asks_early: false, unwritten: 0, refused: 0 };
    /// Kinds that are played, in the order of the fields: reads that fail in every way, models that are asked for early,
    /// states that cannot be written, states that the store refuses.
    const PLAYED: [bool; 4] = [true, true, true, true];

    fn draw(seed: u64) -> Self {
        if seed < WILD_FROM {
            return Self::NONE;
        }
        let mut chance = Chance::new(seed, 8);
        let [reads, asks, unwritten, refused] = Self::PLAYED;
        let mut played = |played: bool| chance.percent(40) && played;
        Self {
            reads_in_all_ways: played(reads),
            asks_early: played(asks),
            unwritten: if played(unwritten) { 30 } else { 0 },
            refused: if played(refused) { 30 } else { 0 },
        }
    }
}

/// What only later seeds have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    pub(crate) shards: usize,
    /// The first panic of a model that is shown what is new puts it into quarantine.
    pub(crate) quarantine: bool,
    /// An observer panics now and then when it is told what time it is.
    pub(crate) ticker: bool,
    /// Reads that fail, in a thousand.
    pub(crate) reads: u64,
    /// The clock goes back between processes, in a hundred.
    pub(crate) back: u64,
    /// Sinks take longer than they may, more often than not.
    pub(crate) slow_sinks: bool,
    /// How long a shutdown may take.
    pub(crate) drain: Duration,
}

impl Wide {
    const NONE: Self = Self {
        shards: 1,
        quarantine: false,
        ticker: false,
        reads: 0,
        back: 0,
        slow_sinks: false,
        drain: Duration::from_secs(20),
    };

    fn draw(seed: u64) -> Self {
        if seed < WIDE_FROM {
            return Self::NONE;
        }
        let mut chance = Chance::new(seed, 5);
        Self {
            shards: chance.of(&[1, 2, 3, 8]),
            quarantine: chance.percent(30),
            ticker: chance.percent(50),
            reads: chance.of(&[0, 0, 0, 20, 200]),
            back: chance.of(&[0, 50]),
            slow_sinks: seed % 4 == 3,
            drain: match seed % 4 {
                1 if seed >= WILD_FROM => Duration::from_millis(chance.of(&[0, 1, 100, 2_000])),
                1 => Duration::from_secs(5),
                _ => Duration::from_secs(20),
            },
        }
    }
}

/// One thing that somebody does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Publish(Way, Vec<Reading>),
    Turn(Turn, usize),
    Reload(usize),
    Flush,
    /// Somebody looks at a model, or at all.
    Look(Option<usize>),
    Pass(Duration),
    /// All that was begun is waited for.
    Join,
    /// The clock is set.
    Jump(i64),
    Stop(Stop),
}

/// How events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Publish,
    Batch,
    TryPublish,
    TryBatch,
    Address,
    Handle,
}

/// What is done with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    Pause,
    Resume,
    Reset,
    Retire,
    Passivate,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Kill,
    /// So many bytes that were not synced are there.
    PowerLoss(usize),
    Drain,
}

/// An event before it has a time.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) model: usize,
    kind: u64,
    version: u64,
    value: f64,
    /// Off the clock, in microseconds; `None` when the event has no time of its own.
    off: Option<i64>,
}

impl Reading {
    pub(crate) fn event(&self, setting: &Setting, now: Timestamp) -> MetricEvent {
        let model = ModelId::new(&setting.models[self.model]).unwrap();
        let ts = self.off.map(|off| Timestamp::from_micros(now.micros() + off));
        let version = match self.version {
            0 => Version::unversioned(),
            other => Version::new(format!("v{other}")).unwrap(),
        };
        let kind = match self.kind {
            0 => MetricKind::Accuracy,
            1 => MetricKind::DriftScore,
            2 => MetricKind::feature("age").unwrap(),
            3 => {
                let kind = MetricKind::embedding("text").unwrap();
                let vector = vec![self.value as f32, 0.5, -1.0];
                return MetricEvent::from_vector(model, version, kind, ts, vector.into()).unwrap();
            }
            _ => {
                let missing = MetricEvent::missing(&model, MetricKind::Accuracy).unwrap();
                let missing = missing.with_version(version.as_str()).unwrap();
                return ts.map_or(missing.clone(), |ts| missing.at(ts).unwrap());
            }
        };
        MetricEvent::from_parts(model, version, kind, ts, Some(self.value)).unwrap()
    }
}

impl Script {
    pub(crate) fn draw(seed: u64) -> Self {
        // From numbers of its own, so that what the other seeds' numbers stand for is what it was before.
        let awake_max = Chance::new(seed, 5).of(&[None, None, None, Some(1), Some(2)]);
        let setting = Setting::draw(&mut Chance::new(seed, 1), Wide::draw(seed), Wild::draw(seed));
        let mut setting = Setting { awake_max, ..setting };
        if seed >= SMALL_OUTBOX_FROM {
            // Each of six models may have a request that its cooldown holds, for as long as its events' time stands still.
            setting.limits.outbox_waiting_max = Chance::new(seed, 8).of(&[1_000_000, 7, 8, 10]);
        }
        let mut chance = Chance::new(seed, 2);
        let length = chance.between(5, 60);
        let stops = chance.between(0, 8);
        let mut writer =
            Writer { chance, published: Vec::new(), number: 0, bad: vec![false; setting.models.len()] };
        let steps = (0..length).map(|_| writer.step(&setting, stops)).collect();
        Self { seed, setting, steps }
    }
}

impl Setting {
    fn draw(chance: &mut Chance, wide: Wide, wild: Wild) -> Self {
        let mut durability = DurabilityPolicy {
            gather_max: Duration::from_millis(chance.of(&[0, 0, 1, 5, 200])),
            gather_events: chance.of(&[1, 2, 7, 1_000]),
            save_events: chance.of(&[1, 3, 10, 100, 1_000_000]),
            save_every: Duration::from_secs(chance.of(&[1, 2, 10, 30])),
            saves_max: chance.of(&[1, 2, 1_024]),
            backoff_max: Duration::from_millis(chance.of(&[10, 100, 5_000])),
            keep_entries: 0,
        };
        let limits = StoreLimits {
            outbox_history_max: chance.of(&[0, 1, 5, 10_000]),
            journal_bytes_max: chance.of(&[4 << 30, 4 << 30, 4 << 30, 3_000]),
            ..StoreLimits::default()
        };
        // Not drawn, so that a seed keeps its meaning; a small journal has no room for what nobody needs.
        if durability.save_events == 10 && limits.journal_bytes_max > 3_000 {
            durability.keep_entries = 20;
        }
        Self {
            models: (0..chance.between(1, 6)).map(|model| format!("m{model}")).collect(),
            plans: plans::draw(chance, wide.ticker, wild.unwritten > 0),
            durability,
            limits,
            compact_bytes: chance.of(&[100, 2_000, 50_000]),
            idle_after: chance.of(&[None, Some(1), Some(2), Some(10)]).map(Duration::from_secs),
            awake_max: None,
            tick_every: Duration::from_millis(chance.of(&[200, 1_000, 1_000, 3_000])),
            held_max: chance.of(&[0, 1, 3, 1_024]),
            alerts_max: chance.of(&[1, 2, 8, 1_000]),
            credits: chance.of(&[1, 5, 64, 1_000]),
            delivery_timeout: chance.millis(20, 3_000),
            faults: chance.of(&[0, 5, 20, 60]),
            other_plan: chance.of(&[0, 0, 50]),
            wide,
            wild,
        }
    }
}

/// Draws one step after the other.
struct Writer {
    chance: Chance,
    published: Vec<Reading>,
    number: u64,
    /// Models that are in a bad way at present.
    bad: Vec<bool>,
}

impl Writer {
    fn step(&mut self, setting: &Setting, stops: u64) -> Step {
        let model = self.chance.place(setting.models.len());
        match self.chance.below(100) {
            0..46 => self.publish(setting, model),
            46..62 => Step::Pass(match self.chance.below(10) {
                0..5 => self.chance.millis(0, 50),
                5..9 => self.chance.millis(50, 4_000),
                _ => self.chance.millis(4_000, 70_000),
            }),
            62..70 => Step::Join,
            70..82 => {
                let turns = [Turn::Pause, Turn::Resume, Turn::Resume, Turn::Reset, Turn::Retire];
                let turn = if self.chance.percent(50) { Turn::Passivate } else { self.chance.of(&turns) };
                Step::Turn(turn, model)
            }
            82..86 => Step::Reload(self.chance.place(setting.plans.len())),
            86..88 => Step::Flush,
            88..90 => Step::Look(self.chance.percent(70).then_some(model)),
            90..92 => Step::Jump(match self.chance.below(4) {
                0 => -(self.chance.below(5_000_000) as i64),
                1 => self.chance.below(600_000_000) as i64,
                _ => self.chance.below(20_000_000) as i64,
            }),
            _ if self.chance.below(8) < stops => Step::Stop(match self.chance.below(10) {
                0..5 => Stop::Kill,
                5..8 => Stop::PowerLoss(self.chance.place(200)),
                _ => Stop::Drain,
            }),
            _ => Step::Pass(self.chance.millis(0, 3)),
        }
    }

    fn publish(&mut self, setting: &Setting, model: usize) -> Step {
        if self.chance.percent(15) {
            self.bad[model] = !self.bad[model];
        }
        let ways = [Way::Publish, Way::Publish, Way::TryPublish, Way::Address, Way::Handle];
        let many = self.chance.percent(45);
        let count = if many { self.chance.between(1, 25) } else { 1 };
        let way = match (many, self.chance.percent(70)) {
            (true, true) => Way::Batch,
            (true, false) => Way::TryBatch,
            (false, _) => self.chance.of(&ways),
        };
        let mixed = self.chance.percent(60);
        let readings = (0..count).map(|_| {
            let model = if mixed { self.chance.place(setting.models.len()) } else { model };
            self.reading(model)
        });
        Step::Publish(way, readings.collect())
    }

    fn reading(&mut self, model: usize) -> Reading {
        if !self.published.is_empty() && self.chance.percent(6) {
            let again = self.chance.place(self.published.len());
            return self.published[again].clone();
        }
        self.number += 1;
        let value = match self.chance.below(100) {
            0..6 => POISON,
            6..8 => POISON_FOR_ALL,
            8..14 => 0.1,
            _ if self.bad[model] => 0.3,
            _ => 0.9,
        };
        let off = match self.chance.below(20) {
            0 => None,
            1 => Some(-(self.chance.below(200_000_000) as i64)),
            2 => Some(self.chance.below(30_000_000) as i64),
            3 if self.chance.percent(20) => Some(7_200_000_000),
            _ => Some(-(self.chance.below(1_000_000) as i64)),
        };
        let kind = match self.chance.below(10) {
            0..5 => 0,
            5..7 => 1,
            7 => 2,
            8 => 3,
            _ => 4,
        };
        let version = self.chance.below(10).saturating_sub(6);
        // A part of the value that only it has names the event.
        let reading = Reading { model, kind, version, value: value + self.number as f64 * 1e-8, off };
        self.published.push(reading.clone());
        reading
    }
}
