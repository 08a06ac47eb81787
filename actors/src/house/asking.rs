//! How shards are asked, whoever is in charge of one by the time it answers.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::sync::oneshot;

use crate::control::{Control, ControlError};
use crate::house::House;
use crate::shard::{Poke, Settle};

impl House {
    /// Leaves a request in a shard's control lane and waits for the answer.
    ///
    /// Of a shard that is taken over meanwhile the successor answers, unless the request was begun before.
    pub(crate) async fn ask<T>(
        &self,
        shard: usize,
        request: impl FnOnce(oneshot::Sender<T>) -> Control,
    ) -> Result<T, ControlError> {
        let mut shifts = self.board.shifts();
        let (reply, mut answer) = oneshot::channel();
        let epoch = self.leave(shard, request(reply)).await?;
        loop {
            if let Some(answered) = first(&mut answer, pin!(shifts.changed())).await {
                return answered.map_err(|_| ControlError::Closed);
            }
            if let Some(stuck) = self.watchdog.given_up(shard) {
                return Err(ControlError::Stuck(Box::new(stuck)));
            }
            if self.board.dock(shard).is_some_and(|dock| dock.epoch != epoch) {
                // Behind all that was left in the lane.
                let (reply, mut behind) = oneshot::channel();
                self.leave(shard, Control::Behind(reply)).await?;
                let answered = first(&mut answer, pin!(&mut behind)).await;
                let answered = answered.and_then(Result::ok).or_else(|| answer.try_recv().ok());
                return answered.ok_or(ControlError::Interrupted);
            }
        }
    }

    /// Leaves a request; answers how often the shard was taken over before.
    async fn leave(&self, shard: usize, control: Control) -> Result<u64, ControlError> {
        let mut control = Some(control);
        loop {
            let mut shifts = self.board.shifts();
            if let Some(stuck) = self.watchdog.given_up(shard) {
                return Err(ControlError::Stuck(Box::new(stuck)));
            }
            let addr = self.shards.get(shard).filter(actix::Addr::connected).ok_or(ControlError::Closed)?;
            let dock = self.board.dock(shard).ok_or(ControlError::Closed)?;
            match dock.request(&mut control) {
                Ok(()) => {
                    addr.do_send(Poke);
                    return Ok(dock.epoch);
                }
                // Its successor is about to come.
                Err(ControlError::Closed) if dock.is_fenced() => drop(shifts.changed().await),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until every shard has handled what was queued before.
    ///
    /// With a store: and until its decisions are recorded, delivered and settled.
    pub(crate) async fn settle(&self) -> Result<(), ControlError> {
        let _ = self.recovered().await;
        self.flush_ledger().await;
        let settle = |shard| {
            let (settled, wait) = oneshot::channel();
            if let Some(addr) = self.shards.get(shard) {
                addr.do_send(Settle(settled));
            }
            wait
        };
        let shifts = self.board.shifts();
        let waits: Vec<_> =
            (0..self.shards.len()).map(|shard| (shard, self.shards.epoch(shard), settle(shard))).collect();
        for (shard, mut epoch, mut wait) in waits {
            let mut shifts = shifts.clone();
            loop {
                if let Some(stuck) = self.watchdog.given_up(shard) {
                    return Err(ControlError::Stuck(Box::new(stuck)));
                }
                let settled = first(&mut wait, pin!(shifts.changed())).await;
                // Who was asked may be gone: its successor is asked instead.
                let present = self.shards.epoch(shard);
                match settled {
                    Some(Ok(())) => break,
                    _ if present != epoch => (epoch, wait) = (present, settle(shard)),
                    Some(Err(_)) => return Err(ControlError::Closed),
                    None => {}
                }
            }
        }
        self.outlet.settle().await;
        self.flush_ledger().await;
        match self.durable.as_ref().and_then(|durable| durable.figures.lost()) {
            Some(reason) => Err(ControlError::Store(reason.to_owned())),
            None => Ok(()),
        }
    }
}

/// Waits for an answer, or for what comes instead: then `None`.
async fn first<T, U>(
    answer: &mut oneshot::Receiver<T>,
    mut instead: Pin<&mut impl Future<Output = U>>,
) -> Option<Result<T, oneshot::error::RecvError>> {
    poll_fn(|cx| match Pin::new(&mut *answer).poll(cx) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending => instead.as_mut().poll(cx).map(|_| None),
    })
    .await
}
