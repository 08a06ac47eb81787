//! The addresses of the shards, each with how often it was taken over.

use actix::Addr;
use parking_lot::RwLock;

use crate::shard::ModelSupervisor;

/// One address for each shard, the present one. Held by handles and by who puts another one in its place.
#[derive(Default)]
pub(crate) struct Seats(RwLock<Vec<(u64, Addr<ModelSupervisor>)>>);

impl Seats {
    /// Takes the address of the next shard.
    pub(crate) fn add(&self, addr: Addr<ModelSupervisor>) {
        self.0.write().push((0, addr));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    pub(crate) fn get(&self, shard: usize) -> Option<Addr<ModelSupervisor>> {
        self.0.read().get(shard).map(|(_, addr)| addr.clone())
    }

    /// How often a shard was taken over.
    pub(crate) fn epoch(&self, shard: usize) -> u64 {
        self.0.read().get(shard).map_or(0, |(epoch, _)| *epoch)
    }

    pub(crate) fn connected(&self, shard: usize) -> bool {
        self.0.read().get(shard).is_some_and(|(_, addr)| addr.connected())
    }

    /// Has a shard's successor take its place.
    pub(crate) fn replace(&self, shard: usize, addr: Addr<ModelSupervisor>) {
        if let Some(seat) = self.0.write().get_mut(shard) {
            *seat = (seat.0 + 1, addr);
        }
    }
}
