//! Which plans are still needed: the store's models are gone through, a few at a time, for the plans that their states were
//! written under and for who has followed which change; what nobody needs is dropped.
//!
//! A model that sleeps follows, when it wakes, each plan that came into force since it was saved, as if it had been awake.
//! So a change of plan is remembered until no model is older. Where many are remembered, those who have not followed the
//! first of them are woken, saved, and put to sleep again.
//!
//! | a plan is kept | because |
//! |---|---|
//! | while it is in force | models begin with it |
//! | while the journal or a model's state is from before it came into force, or before it gave way | they follow it |
//! | while a model's state was written under it | that state is read with it |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use visu_tility_core::ModelId;
use visu_tility_core::store::{StoreError, StoredModel};

use crate::admission::Standing;
use crate::journaled::{Journaled, Occurrence};
use crate::ledger::Ledger;
use crate::ledger::patience::Patience;
use crate::plans::CHANGES_KEPT;

/// Models that are looked at together, and the pause before the next ones.
const PAGE: usize = 256;
const PAUSE: Duration = Duration::from_millis(10);
/// How many times as long as it took it is rested afterwards.
const REST: i64 = 20;

/// Looks for plans that are needed no more.
#[derive(Default)]
pub(super) struct Survey {
    /// When it goes on or begins again, by the stopwatch; 0 before it is set.
    at: i64,
    begun: i64,
    walk: Option<Walk>,
    /// Plans that only states were written under, as the last one has found; `None` before that.
    others: Option<usize>,
    patience: Patience,
}

/// One time through all models.
struct Walk {
    after: Option<ModelId>,
    /// The first offset from which on changes of plan are needed.
    low: u64,
    oldest: Option<ModelId>,
    /// Plans that states were written under.
    used: BTreeSet<u64>,
    /// Who is older than this is woken; 0 for nobody.
    renew_below: u64,
    /// Held by all that is on its way to be woken.
    renewing: Arc<()>,
}

/// What a survey came to.
pub(super) struct Needed {
    pub(super) low: u64,
    pub(super) used: BTreeSet<u64>,
    /// Plans that the store has.
    pub(super) kept: Vec<u64>,
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 2)
}

impl Ledger {
    /// Goes on with a survey, or begins one when there may be something to drop.
    pub(super) fn look_for_plans(&mut self, now: i64) {
        if now < self.survey.at || self.ending || self.failing.is_some() || self.board.is_closed() {
            return;
        }
        // In that time all that is awake is saved.
        let every = micros(self.policy.save_every).saturating_mul(2);
        let walk = self.survey.walk.take();
        let nothing = self.plans.changes() <= 1 && self.survey.others == Some(0);
        let walked = if let Some(walk) = walk {
            self.walk_on(walk)
        } else {
            let later = self.survey.at == 0 || nothing;
            self.survey.begun = now;
            if later { Ok(None) } else { self.begin_walk().map(Some) }
        };
        let pause = match walked {
            Ok(Some(walk)) => {
                self.survey.walk = Some(walk);
                self.survey.patience.worked();
                micros(PAUSE)
            }
            Ok(None) => every.max((now - self.survey.begun).min(every).saturating_mul(REST)),
            Err(error) => {
                if let Some(times) = self.survey.patience.failed_again(now) {
                    tracing::error!(%error, times, "it cannot be read which plans are needed");
                }
                every
            }
        };
        self.survey.at = now.saturating_add(pause);
    }

    fn begin_walk(&mut self) -> Result<Walk, StoreError> {
        // What is cut later is cut above this.
        let low = self.reader.summary()?.first_offset;
        let many = self.plans.changes() > CHANGES_KEPT;
        let renew_below = if many { self.plans.begin_of_last(CHANGES_KEPT / 2) } else { 0 };
        let (oldest, used, renewing) = (None, BTreeSet::new(), Arc::default());
        Ok(Walk { after: None, low, oldest, used, renew_below, renewing })
    }

    /// Looks at some models more; `None` when those were the last.
    fn walk_on(&mut self, mut walk: Walk) -> Result<Option<Walk>, StoreError> {
        if Arc::strong_count(&walk.renewing) > 1 {
            return Ok(Some(walk));
        }
        let page = self.reader.models(walk.after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return self.end_walk(walk) };
        walk.after = Some(last.model.clone());
        for row in page {
            walk.used.insert(row.plan);
            if row.next_offset < walk.renew_below {
                self.renew(&row, &walk);
            }
            if row.next_offset < walk.low {
                walk.low = row.next_offset;
                walk.oldest = Some(row.model);
            }
        }
        Ok(Some(walk))
    }

    /// Has a model follow the plans that came since it was saved, unless it is awake and has.
    fn renew(&self, row: &StoredModel, walk: &Walk) {
        let directory = &self.board.directory;
        let awake = directory.with(row.model.as_str(), |entry| entry.awake.load(Ordering::Acquire));
        if awake != Some(true)
            && let Ok(entry) = directory.insert_again(&row.model, Standing::Stored)
        {
            let what = Occurrence::Renew(Arc::clone(&entry), Arc::clone(&walk.renewing));
            self.board.tell(entry.address.shard(), Journaled { offset: 0, what });
        }
    }

    fn end_walk(&mut self, walk: Walk) -> Result<Option<Walk>, StoreError> {
        let kept = self.reader.plans()?;
        self.figures.oldest(walk.oldest);
        self.survey.others = Some(self.plans.needed(Needed { low: walk.low, used: walk.used, kept }));
        Ok(None)
    }

    /// What was dropped is in the store: the shards forget it too.
    pub(super) fn note_plans(&mut self) {
        if let Some(low) = self.plans.keep() {
            for shard in 0..self.board.shards() {
                self.board.tell(shard, Journaled { offset: 0, what: Occurrence::PlansFrom(low) });
            }
        }
        self.figures.plan_changes(self.plans.changes());
    }
}
