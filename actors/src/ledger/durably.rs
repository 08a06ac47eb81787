//! How a monitoring with a store is set up: the store opened, a ledger made and started.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::ArbiterHandle;
use parking_lot::Mutex;
use tokio::sync::watch;
use visu_tility_core::store::{Store, StoreReader};
use visu_tility_core::{MonitorPlan, ObserverError};

use crate::board::Board;
use crate::builder::StartError;
use crate::census::Presence;
use crate::clock::Clock;
use crate::dock::Dock;
use crate::durability::DurabilityPolicy;
use crate::house::Durable;
use crate::ledger::clock::behind;
use crate::ledger::culprit::Culprits;
use crate::ledger::inbox::Inbox;
use crate::ledger::opening::{Opening, PlanLog, open, written};
use crate::ledger::status::Figures;
use crate::ledger::{Ledger, LedgerParts, driver};
use crate::nursery::Nursery;
use crate::outlet::Outlet;
use crate::plans::Plans;
use crate::saving::SavingParts;

/// A store that was opened, before there is anybody to use it.
pub(crate) struct Durably {
    store: Box<dyn Store>,
    reader: Box<dyn StoreReader>,
    policy: DurabilityPolicy,
    pub(crate) inbox: Arc<Inbox>,
    figures: Arc<Figures>,
    /// What the journal holds.
    pub(crate) journal: Range<u64>,
    plans: PlanLog,
    culprits: Culprits,
    /// The plans that were in force before the journal's first entry.
    pub(crate) before: Plans,
    own: (u64, Arc<MonitorPlan>),
    /// How far the clock is behind the time at which the store was last written.
    pub(crate) behind: Duration,
}

impl Durably {
    /// Opens the store.
    ///
    /// # Errors
    ///
    /// Fails when a setting is out of its range, or the store cannot be read or written.
    pub(crate) fn open(
        mut store: Box<dyn Store>,
        policy: DurabilityPolicy,
        plan: &Arc<MonitorPlan>,
        event_time: bool,
        clock: &dyn Clock,
    ) -> Result<Self, StartError> {
        policy.check()?;
        if event_time {
            let said = "`event_time` is on, which cannot be with a store: its ticks are the clock's";
            return Err(ObserverError::Config(said.to_owned()).into());
        }
        let behind = behind(&mut *store.reader()?, clock.now())?;
        let culprits = Culprits::read(&mut *store.reader()?)?;
        let Opening { reader, journal, plans, before } = open(&mut *store, plan, clock.now())?;
        let own = (written(plan).1, Arc::clone(plan));
        let (inbox, figures) = (Arc::new(Inbox::new()), Arc::new(Figures::default()));
        Ok(Self { store, reader, policy, inbox, figures, journal, plans, culprits, before, own, behind })
    }

    /// What one shard needs.
    pub(crate) fn for_shard(&mut self, dock: &Dock) -> Result<SavingParts, StartError> {
        dock.position.store(self.journal.start, Ordering::Release);
        Ok(SavingParts {
            inbox: Arc::clone(&self.inbox),
            figures: Arc::clone(&self.figures),
            policy: self.policy,
            reader: self.store.reader()?,
            plans: self.before.clone(),
            book: Arc::clone(&self.culprits.book),
            position: self.journal.start,
        })
    }

    /// What says who is known to the store, and how many models that are.
    pub(crate) fn for_gate(&mut self) -> Result<(Box<dyn StoreReader>, u64), StartError> {
        let models = self.reader.summary()?.models;
        Ok((self.store.reader()?, models))
    }

    /// Starts the ledger: among the actors of `arbiter`, or on a thread of its own.
    pub(crate) fn start(
        self,
        board: &Arc<Board>,
        outlet: &Arc<Outlet>,
        presence: Presence,
        arbiter: Option<&ArbiterHandle>,
        nursery: Option<Nursery>,
    ) -> Result<Durable, StartError> {
        let Self { store, mut reader, policy, inbox, figures, journal, plans, culprits, own, .. } = self;
        outlet.dead.begin(&mut *reader)?;
        let given = Arc::clone(&own.1);
        let shown = Mutex::new(store.reader()?);
        let (recovery, recovered) = watch::channel(None);
        figures.begin(journal.start, journal.end);
        let ledger = Ledger::new(LedgerParts {
            store,
            reader,
            board: Arc::clone(board),
            inbox,
            outlet: Arc::clone(outlet),
            policy,
            plans,
            culprits,
            nursery,
            journal,
            figures: Arc::clone(&figures),
            recovery,
            own,
        });
        match arbiter {
            Some(arbiter) => driver::on_arbiter(ledger, presence, arbiter),
            None => driver::on_thread(ledger, presence)?,
        }
        Ok(Durable { own: given, reader: shown, figures, recovery: recovered, ended: AtomicBool::new(false) })
    }
}
