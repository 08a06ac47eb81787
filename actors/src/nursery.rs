//! Where shards are begun: when a monitoring starts, and when one is taken over.

use std::rc::Rc;
use std::sync::Arc;

use actix::{Addr, ArbiterHandle};
use parking_lot::Mutex;
use visu_tility_core::MonitorPlan;

use crate::board::Board;
use crate::census::Census;
use crate::dock::Dock;
use crate::outlet::Outlet;
use crate::saving::SavingParts;
use crate::seats::Seats;
use crate::shard::ModelSupervisor;
use crate::shard_state::{Shard, ShardParts, ShardSettings};
use crate::snapshot::SnapshotKeeper;
use crate::supervise::{Supervision, supervise_in};

/// What all shards of a monitoring are begun with.
#[derive(Clone)]
pub(crate) struct Nursery {
    pub(crate) settings: ShardSettings,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) keeper: Arc<dyn SnapshotKeeper>,
    pub(crate) supervision: Supervision,
    helpers: ArbiterHandle,
    pub(crate) seats: Arc<Seats>,
    /// The actors of each shard, so that those of one that is taken over are not waited for.
    wards: Arc<Mutex<Vec<Census>>>,
}

impl Nursery {
    pub(crate) fn new(
        settings: ShardSettings,
        outlet: Arc<Outlet>,
        keeper: Arc<dyn SnapshotKeeper>,
        supervision: Supervision,
        helpers: ArbiterHandle,
    ) -> Self {
        let seats = Arc::new(Seats::default());
        Self { settings, outlet, keeper, supervision, helpers, seats, wards: Arc::default() }
    }

    /// Begins a shard.
    pub(crate) fn begin(
        &self,
        arbiter: &ArbiterHandle,
        index: usize,
        board: &Arc<Board>,
        dock: &Arc<Dock>,
        plan: Arc<MonitorPlan>,
        saving: Option<SavingParts>,
    ) -> Addr<ModelSupervisor> {
        let census = self.supervision.census.part();
        let supervision = Supervision { census: census.clone(), ..self.supervision.clone() };
        let mut wards = self.wards.lock();
        match wards.get_mut(index) {
            Some(ward) => std::mem::replace(ward, census).disown(),
            None => wards.push(census),
        }
        drop(wards);
        let parts = ShardParts {
            index,
            settings: self.settings.clone(),
            board: Arc::clone(board),
            dock: Arc::clone(dock),
            outlet: Arc::clone(&self.outlet),
            keeper: Arc::clone(&self.keeper),
            plan,
            supervision,
            helpers: (self.helpers.clone(), self.supervision.census.clone()),
            saving,
        };
        let (name, supervision) = (format!("model-supervisor-{index}"), parts.supervision.clone());
        supervise_in(arbiter, &name, supervision, move |_| ModelSupervisor::new(Rc::new(Shard::new(parts))))
    }
}
