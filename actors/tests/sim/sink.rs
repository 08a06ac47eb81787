//! Those whom actions are for: at once, late, never, with an error or a panic, as the action's name has it.

use std::sync::Arc;

use parking_lot::Mutex;
use visu_tility_actors::{AlertSink, BoxFuture, SinkFailure};
use visu_tility_core::ActionRecord;

use crate::chance::Chance;
use crate::record::{Record, name_of};
use crate::run::pass;

/// Takes alerts, and tells the record.
pub(crate) struct Sink {
    pub(crate) seed: u64,
    pub(crate) slow: bool,
    pub(crate) record: Arc<Mutex<Record>>,
}

/// A number from an action's name.
fn hash(name: &str) -> u64 {
    name.bytes().fold(7, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl AlertSink for Sink {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn deliver(&self, record: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        self.record.lock().deliver(&record.id);
        let mut chance = Chance::new(self.seed, hash(&name_of(&record.id)));
        let manner = chance.below(20);
        let wait = chance.millis(1, 800) * if self.slow { 10 } else { 1 };
        // Up to which manner it is late.
        let late = if self.slow { 16 } else { 9 };
        assert!(manner != 0, "the sink panics");
        Box::pin(async move {
            match manner {
                1 => std::future::pending().await,
                2 => Err(SinkFailure { sink: "sink".into(), reason: "it is down".into() }),
                3 => {
                    pass(wait).await;
                    panic!("the sink panics late");
                }
                _ if manner < late => {
                    pass(wait).await;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }
}

/// Retrains, or fails to.
#[cfg(feature = "automated_retraining")]
pub(crate) struct Executor {
    pub(crate) seed: u64,
}

#[cfg(feature = "automated_retraining")]
impl visu_tility_actors::RetrainExecutor for Executor {
    fn execute(
        &self,
        order: visu_tility_actors::RetrainOrder,
    ) -> BoxFuture<Result<visu_tility_actors::RetrainOutcome, visu_tility_actors::RetrainFailure>> {
        let mut chance = Chance::new(self.seed, hash(&format!("{order:?}")));
        let (wait, works) = (chance.millis(0, 500), chance.percent(70));
        Box::pin(async move {
            pass(wait).await;
            if works {
                return Ok(visu_tility_actors::RetrainOutcome { summary: "done".into() });
            }
            Err(visu_tility_actors::RetrainFailure { reason: "no data".into() })
        })
    }
}
