//! The models of one arbiter, and how events get to them: by direct call, in runs, under one guard.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::ArbiterHandle;
use visu_tility_core::{ActionRecord, Admission, IngestError, ModelMonitor, MonitorPlan, Reading};

use crate::board::Board;
use crate::cell::{ModelCell, ModelPhase};
use crate::census::Census;
use crate::clock::Stopwatch;
use crate::dead_letter::DeadReason;
use crate::dock::Dock;
use crate::hook::guard;
use crate::journaled::Repeating;
use crate::outlet::Outlet;
use crate::restart::RestartPolicy;
use crate::routed::{Address, Batch, Routed};
use crate::saving::{Saving, SavingParts};
use crate::shard::Poke;
use crate::slab::{CLEAN, Head, Slab, live};
use crate::snapshot::SnapshotKeeper;
use crate::supervise::Supervision;
use crate::tally::{Tally, bump};
use crate::timers::Timers;
use crate::vectors::is_ticket;

/// Decisions gathered before they are handed on.
const OUT_MAX: usize = 1_024;
/// Events whose cells are touched ahead, so that their cache misses overlap.
const AHEAD: usize = 16;
/// Models up to which all of their hot parts are near enough not to be touched ahead.
const NEAR: usize = 4_096;

/// What shards are told when they are started.
#[derive(Clone)]
pub(crate) struct ShardSettings {
    pub(crate) policy: RestartPolicy,
    pub(crate) held_max: usize,
    pub(crate) idle_after: Option<Duration>,
    /// Models of one shard that are to be awake at a time.
    pub(crate) awake_max: Option<usize>,
    pub(crate) tick_every: Duration,
}

/// One shard's models. Shared by its supervisor and the models' actors, all on one thread.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) settings: ShardSettings,
    pub(crate) board: Arc<Board>,
    pub(crate) dock: Arc<Dock>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) keeper: Arc<dyn SnapshotKeeper>,
    pub(crate) plan: RefCell<Arc<MonitorPlan>>,
    pub(crate) cells: RefCell<Vec<Option<Rc<ModelCell>>>>,
    pub(crate) slab: Rc<Slab>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) tally: Tally,
    pub(crate) watch: Stopwatch,
    /// The stopwatch in seconds, read once per batch.
    pub(crate) seconds: Cell<u32>,
    pub(crate) supervision: Rc<Supervision>,
    /// Where what serves subscribers runs, and who counts that.
    pub(crate) helpers: (ArbiterHandle, Census),
    /// Whether its models were stopped: what comes later is a dead letter and wakes nobody.
    pub(crate) over: Cell<bool>,
    /// With a store.
    pub(crate) saving: Option<Saving>,
    /// While the store's journal is repeated.
    pub(crate) repeating: RefCell<Option<Repeating>>,
    /// Whether its models are for good without some of what the store's journal holds, since that cannot be read.
    pub(crate) behind: Cell<bool>,
    /// The place at which the next sweep of names begins.
    pub(crate) swept: Cell<usize>,
    out: RefCell<Vec<ActionRecord>>,
}

/// The decisions' buffer while somebody works with it. It goes home with all that is in it, also when that
/// work unwinds.
struct Lent<'a> {
    out: Vec<ActionRecord>,
    home: &'a RefCell<Vec<ActionRecord>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut home = self.home.borrow_mut();
        // Empty, unless somebody borrowed it a second time meanwhile.
        self.out.append(&mut home);
        *home = std::mem::take(&mut self.out);
    }
}

/// Why a run of events was left.
enum Left {
    /// All are done.
    Done,
    /// The next one needs more than a call.
    Special,
    /// Before the next one something else is due.
    Due,
    /// The one before came too late.
    TooLate,
}

/// What a shard is built from.
pub(crate) struct ShardParts {
    pub(crate) index: usize,
    pub(crate) settings: ShardSettings,
    pub(crate) board: Arc<Board>,
    pub(crate) dock: Arc<Dock>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) keeper: Arc<dyn SnapshotKeeper>,
    pub(crate) plan: Arc<MonitorPlan>,
    pub(crate) supervision: Supervision,
    pub(crate) helpers: (ArbiterHandle, Census),
    /// With a store.
    pub(crate) saving: Option<SavingParts>,
}

impl Shard {
    /// Builds it on its own thread.
    pub(crate) fn new(parts: ShardParts) -> Self {
        let ShardParts { index, settings, board, dock, outlet, keeper, plan, supervision, helpers, saving } =
            parts;
        *dock.plan.lock() = Some(Arc::clone(&plan));
        Self {
            index,
            slab: Rc::new(Slab::new(Arc::clone(&dock))),
            dock,
            timers: RefCell::new(Timers::new(board.timing.event_time)),
            settings,
            board,
            outlet,
            keeper,
            plan: RefCell::new(plan),
            cells: RefCell::default(),
            tally: Tally::default(),
            watch: Stopwatch::start(),
            seconds: Cell::new(0),
            supervision: Rc::new(Supervision { sink: None, ..supervision }),
            helpers,
            over: Cell::new(false),
            behind: Cell::new(false),
            repeating: RefCell::new(saving.is_some().then(Repeating::default)),
            saving: saving.map(Saving::new),
            swept: Cell::new(0),
            out: RefCell::default(),
        }
    }

    fn lend(&self) -> Lent<'_> {
        Lent { out: self.out.take(), home: &self.out }
    }

    /// Handles a batch from `cursor` on. The cursor lives outside, so that neither a panic of an observer
    /// nor one of the shard itself loses more than the event it stands at.
    pub(crate) fn deliver(self: &Rc<Self>, batch: &Batch, cursor: &Cell<usize>) {
        let events = batch.load.as_slice();
        self.seconds.set((self.watch.micros() / 1_000_000) as u32);
        let mut lent = self.lend();
        let out = &mut lent.out;
        while cursor.get() < events.len() {
            let from = cursor.get();
            let left = guard(|| self.run(batch, cursor, out));
            if self.is_fenced() {
                out.clear();
                return;
            }
            let done = (cursor.get() - from) as u64;
            self.tally.events.set(self.tally.events.get() + done);
            self.dock.pulse.advance(done);
            if matches!(left, Ok(Left::TooLate)) {
                self.bury_late(batch, cursor.get() - 1);
                continue;
            }
            let Some(routed) = events.get(cursor.get()) else { break };
            let offset = batch.offset_of(cursor.get());
            match left {
                Ok(Left::Done | Left::TooLate) => {}
                Ok(Left::Due) => self.run_due(routed.at.micros(), out),
                Ok(Left::Special) => {
                    self.dock.pulse.advance(1);
                    let _ = self.deliver_one(routed, offset, out);
                    cursor.set(cursor.get() + 1);
                }
                Err(reason) => {
                    // What the run knew of the time went with it.
                    let seen = events.get(from..=cursor.get()).unwrap_or_default();
                    let newest = seen.iter().map(|routed| routed.at.micros()).max().unwrap_or(i64::MIN);
                    let mut timers = self.timers.borrow_mut();
                    timers.newest = timers.newest.max(newest);
                    drop(timers);
                    if let Some(cell) = self.cell_of(routed.address, routed.generation) {
                        self.mark(&cell, offset);
                        let _ = self.casualties(&cell, Some((routed, offset)), reason, out);
                    }
                    bump(&self.tally.events);
                    self.dock.pulse.advance(1);
                    cursor.set(cursor.get() + 1);
                }
            }
            if out.len() >= OUT_MAX {
                self.hand_on(out);
            }
        }
        if let Some(saving) = &self.saving {
            saving.saw(events);
        }
        self.hand_on(out);
    }

    /// The hot path: direct calls into running models until something else is to be done.
    fn run(&self, batch: &Batch, cursor: &Cell<usize>, out: &mut Vec<ActionRecord>) -> Left {
        self.dock.footprint.stand();
        let heads = self.slab.heads.borrow();
        let mut monitors = self.slab.monitors.borrow_mut();
        let mut timers = self.timers.borrow_mut();
        let (seconds, far) = (self.seconds.get(), monitors.len() > NEAR);
        // In a register: through memory each event would wait for the one before.
        let mut newest = timers.newest;
        let left = 'run: loop {
            let from = cursor.get();
            let rest = batch.load.as_slice().get(from..).unwrap_or_default();
            if rest.is_empty() {
                break Left::Done;
            }
            let chunk = if far { rest.get(..AHEAD).unwrap_or(rest) } else { rest };
            if far {
                touch(&heads, &monitors, chunk);
            }
            for (at_cursor, routed) in (from..).zip(chunk) {
                // Written before the model is called, so that it stands at the event that panicked.
                cursor.set(at_cursor);
                let place = routed.address.place();
                let (Some(head), Some(Some(monitor))) = (heads.get(place), monitors.get_mut(place)) else {
                    break 'run Left::Special;
                };
                if head.live.get() != live(routed.generation) {
                    break 'run Left::Special;
                }
                let at = routed.at.micros();
                if at > newest {
                    if at >= timers.next_due {
                        break 'run Left::Due;
                    }
                    newest = at;
                }
                self.dock.pulse.at(place as u32);
                if is_ticket(routed.value) {
                    break 'run Left::Special;
                }
                let offset = batch.offset_of(at_cursor);
                self.dock.pulse.at_entry(offset);
                let reading = Reading { at: routed.at, value: routed.value, offset };
                match monitor.observe_reading(routed.key, &reading, out) {
                    Admission::Taken => {}
                    Admission::UnknownSeries => break 'run Left::Special,
                    Admission::TooLate => {
                        bump(&self.tally.too_late);
                        cursor.set(at_cursor + 1);
                        break 'run Left::TooLate;
                    }
                    other => self.tally_admission(other),
                }
                let touched = head.touched.get();
                if touched != seconds {
                    head.touched.set(seconds);
                    if touched & CLEAN != 0 {
                        self.mark_place((place as u32, routed.generation), offset);
                    }
                }
                if let Some(due) = monitor.next_deadline()
                    && due.micros() < head.armed.get()
                {
                    timers.arm(head.armed.replace(due.micros()), due, (place as u32, routed.generation));
                }
            }
            cursor.set(from + chunk.len());
        };
        timers.newest = newest;
        left
    }

    fn tally_admission(&self, admission: Admission) {
        match admission {
            Admission::Late => bump(&self.tally.late),
            Admission::TooLate => bump(&self.tally.too_late),
            Admission::Repeated => bump(&self.tally.repeated),
            Admission::Taken | Admission::UnknownSeries => {}
        }
    }

    /// Puts an event of a batch that came too late into the dead letters.
    fn bury_late(&self, batch: &Batch, place: usize) {
        let Some(routed) = batch.load.as_slice().get(place) else { return };
        if let Some(cell) = self.cell_of(routed.address, routed.generation) {
            let offset = batch.offset_of(place);
            self.mark(&cell, offset);
            self.bury(&cell, Some((routed, offset)), None, DeadReason::TooLate);
        }
    }

    /// Handles one event whatever its model is in. The same in effect as a run of one.
    pub(crate) fn deliver_one(
        self: &Rc<Self>,
        routed: &Routed,
        offset: u64,
        out: &mut Vec<ActionRecord>,
    ) -> Result<(), IngestError> {
        if self.is_fenced() {
            self.board.vectors.take(routed.value);
            return Err(IngestError::Closed);
        }
        bump(&self.tally.events);
        self.dock.pulse.at_entry(offset);
        if self.over.get() {
            self.dock.came_too_late();
            self.bury_stray(routed, offset, DeadReason::ShutDown);
            return Err(IngestError::Closed);
        }
        self.pass_time(routed.at, out);
        let Some(cell) = self.cell_for(routed, out) else {
            self.bury_stray(routed, offset, DeadReason::Retired);
            return Err(IngestError::Retired);
        };
        if self.saving.is_some() && cell.phase() == ModelPhase::Waiting && !self.has_room(&cell, routed) {
            // What is in the journal is shown to its model, in order.
            self.end_wait_now(&cell, out);
        }
        match cell.phase() {
            ModelPhase::Running | ModelPhase::Asleep => self.observe(&cell, routed, offset, out),
            ModelPhase::Waiting => {
                self.mark(&cell, offset);
                self.hold(&cell, routed, offset)
            }
            ModelPhase::Paused => {
                cell.in_trouble(|trouble| trouble.unseen += 1);
                self.dock.came_while_paused(offset);
                self.board.vectors.take(routed.value);
                Err(IngestError::Paused)
            }
            ModelPhase::Quarantined => {
                if cell.is_aside() {
                    self.mark(&cell, offset);
                }
                self.bury(&cell, Some((routed, offset)), None, DeadReason::Quarantined);
                Err(IngestError::Quarantined)
            }
        }
    }

    /// Shows an event to a model's observers, admitting its version and kind if they are new.
    fn observe(
        self: &Rc<Self>,
        cell: &Rc<ModelCell>,
        routed: &Routed,
        offset: u64,
        out: &mut Vec<ActionRecord>,
    ) -> Result<(), IngestError> {
        if cell.phase() == ModelPhase::Asleep {
            self.rouse(cell, out);
        }
        self.mark(cell, offset);
        let vector = self.board.vectors.take(routed.value);
        let value = if vector.is_some() { f64::NAN } else { routed.value };
        let reading = Reading { at: routed.at, value, offset };
        let show = |monitor: &mut ModelMonitor, out: &mut Vec<ActionRecord>| match &vector {
            None => monitor.observe_reading(routed.key, &reading, out),
            Some(vector) => monitor.observe_vector(routed.key, &reading, vector, out),
        };
        let seen = guard(|| {
            cell.with_monitor(|monitor| {
                let monitor = monitor.ok_or(IngestError::Quarantined)?;
                let admission = match show(monitor, out) {
                    Admission::UnknownSeries => {
                        let names = cell.entry.names(routed.key);
                        let max = self.board.directory.series_max() as u64;
                        let many = || IngestError::Limit { limit: "2 x series_max".into(), max };
                        let (version, kind) = names.ok_or_else(many)?;
                        monitor.admit(&version, &kind, out)?;
                        show(monitor, out)
                    }
                    known => known,
                };
                self.tally_admission(admission);
                Ok::<Admission, IngestError>(admission)
            })
        });
        if self.saving.is_none() {
            cell.head(|head| head.touched.set(self.seconds.get()));
        }
        self.arm(cell);
        match seen {
            Ok(Ok(admission)) => {
                if admission == Admission::TooLate {
                    self.bury(cell, Some((routed, offset)), None, DeadReason::TooLate);
                }
                Ok(())
            }
            Ok(Err(error)) => {
                if matches!(error, IngestError::Limit { .. }) {
                    bump(&self.tally.refused_series);
                }
                let reason = DeadReason::Refused { reason: error.to_string() };
                self.bury(cell, Some((routed, offset)), None, reason);
                Err(error)
            }
            Err(reason) => self.casualties(cell, Some((routed, offset)), reason, out),
        }
    }

    /// Does what is done with decisions.
    pub(crate) fn hand_on(&self, out: &mut Vec<ActionRecord>) {
        if out.is_empty() {
            return;
        }
        if self.is_fenced() {
            return out.clear();
        }
        match &self.saving {
            // Told once it is durable.
            Some(saving) => saving.decided(out),
            None => self.outlet.deliver(out),
        }
    }

    /// Works with the decisions' buffer, and hands on what came of it.
    pub(crate) fn deciding<T>(&self, work: impl FnOnce(&mut Vec<ActionRecord>) -> T) -> T {
        self.seconds.set((self.watch.micros() / 1_000_000) as u32);
        let mut lent = self.lend();
        let done = work(&mut lent.out);
        self.hand_on(&mut lent.out);
        done
    }

    /// Has the supervisor set its timers, after something was handled without it.
    pub(crate) fn remind(&self) {
        if !self.board.timing.event_time
            && self.timers.borrow().first_wait().is_some()
            && let Some(supervisor) = self.board.peer(self.index)
        {
            supervisor.do_send(Poke);
        }
    }

    /// The cell of one tenant of a place; never that of another one who lives there now.
    pub(crate) fn cell_of(&self, address: Address, generation: u32) -> Option<Rc<ModelCell>> {
        self.cell(address.place()).filter(|cell| cell.generation == generation)
    }

    /// Who is awake at a place.
    pub(crate) fn cell(&self, place: usize) -> Option<Rc<ModelCell>> {
        self.cells.borrow().get(place)?.clone()
    }

    /// The model of an event, woken if need be; `None` when it was retired.
    fn cell_for(self: &Rc<Self>, routed: &Routed, out: &mut Vec<ActionRecord>) -> Option<Rc<ModelCell>> {
        if let Some(cell) = self.cell(routed.address.place()) {
            return (cell.generation == routed.generation).then_some(cell);
        }
        let entry = self.board.directory.at(routed.address)?;
        // With a store one whose end is in the journal, behind this event, keeps its place until the shard comes to that.
        let here = self.saving.is_some() || !entry.is_retired();
        (entry.generation == routed.generation && here).then(|| self.wake(&entry, out))
    }
}

/// Reads the memory of the next events' models, so that the waits for it overlap.
#[inline]
fn touch(heads: &[Head], monitors: &[Option<ModelMonitor>], chunk: &[Routed]) {
    let mut touched = 0;
    for routed in chunk {
        let place = routed.address.place();
        if let (Some(head), Some(Some(monitor))) = (heads.get(place), monitors.get(place)) {
            touched ^= monitor.touch() ^ u64::from(head.live.get());
        }
    }
    std::hint::black_box(touched);
}
