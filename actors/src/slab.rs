//! What every event of a shard touches, side by side in memory: two arrays instead of a heap of cells.
//!
//! At 100,000 models the cost of an event is that of its cache and page misses; actors, cells and their
//! allocations lie between 1 and 2 KiB apart, these arrays 64 and 16 bytes.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use visu_tility_core::ModelMonitor;

use crate::dock::Dock;

/// The hot part of all models of a shard, by place.
pub(crate) struct Slab {
    /// Where it is told whose code is run.
    pub(crate) dock: Arc<Dock>,
    /// `None` while nobody lives there or who does is asleep.
    pub(crate) monitors: RefCell<Vec<Option<ModelMonitor>>>,
    pub(crate) heads: RefCell<Vec<Head>>,
}

/// What is known of a model before its monitor is asked.
pub(crate) struct Head {
    /// The generation of a running model plus one; 0 for one that is not running.
    pub(crate) live: Cell<u32>,
    /// The shard's stopwatch at its last event, in seconds; with [`CLEAN`] while the model's snapshot holds that.
    pub(crate) touched: Cell<u32>,
    /// When the shard's timer for it is set; `i64::MAX` when there is none.
    pub(crate) armed: Cell<i64>,
}

/// Of [`Head::touched`]: nothing has come since the model was saved. Never set without a store.
pub(crate) const CLEAN: u32 = 1 << 31;

impl Head {
    /// The shard's stopwatch at its last event, in seconds.
    pub(crate) const fn touched(&self) -> u32 {
        self.touched.get() & !CLEAN
    }
}

impl Slab {
    pub(crate) fn new(dock: Arc<Dock>) -> Self {
        Self { dock, monitors: RefCell::default(), heads: RefCell::default() }
    }

    /// Makes room for a place. Grows by an eighth, so that little is kept for nobody.
    pub(crate) fn reach(&self, place: usize) {
        let mut monitors = self.monitors.borrow_mut();
        let mut heads = self.heads.borrow_mut();
        if place < monitors.len() {
            return;
        }
        let wanted = place + 1;
        if wanted > monitors.capacity() {
            let spare = wanted / 8 + 64;
            let more = wanted - monitors.len() + spare;
            monitors.reserve_exact(more);
            heads.reserve_exact(more);
        }
        monitors.resize_with(wanted, || None);
        heads.resize_with(wanted, || Head {
            live: Cell::new(0),
            touched: Cell::new(0),
            armed: Cell::new(i64::MAX),
        });
    }
}

/// What [`Head::live`] is while a model of this generation runs.
pub(crate) const fn live(generation: u32) -> u32 {
    generation.wrapping_add(1)
}
