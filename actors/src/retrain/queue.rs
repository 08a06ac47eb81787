//! The queue of retrain requests: pure, bounded, one open request per model.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use visu_tility_core::{ModelId, RetrainRequest, Timestamp, Version};

use crate::restart::{RestartPolicy, seed_of};

/// How retrain requests are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrainPolicy {
    /// Models that may wait, those for a time included. Default 1,024.
    pub waiting_max: usize,
    /// Retrains that run at a time, at least 1. Default 1.
    pub running_max: usize,
    /// Time, by the requests' own event time, after a model's request was accepted in which a further one
    /// is held back, unless one is still open. Default 1 hour.
    pub cooldown: Duration,
    /// Further tries after a retrain that failed or panicked. Default 2.
    pub retries_max: u32,
    /// Wait before the first further try; it doubles from one to the next, ± 20 %, drawn from the model's
    /// name so that many do not come back at once. Default 5 minutes.
    pub retry_after: Duration,
    /// Different reasons kept per request; more are counted only. Default 8.
    pub reasons_max: usize,
}

impl Default for RetrainPolicy {
    fn default() -> Self {
        Self {
            waiting_max: 1_024,
            running_max: 1,
            cooldown: Duration::from_hours(1),
            retries_max: 2,
            retry_after: Duration::from_mins(5),
            reasons_max: 8,
        }
    }
}

impl RetrainPolicy {
    /// The wait before the try that follows so many failed ones.
    fn retry_wait(&self, model: &ModelId, failed: u32) -> Duration {
        let steps = RestartPolicy {
            backoff_min: self.retry_after,
            backoff_max: self.retry_after.saturating_mul(1 << 16),
            ..RestartPolicy::default()
        };
        steps.backoff(failed.saturating_add(1), seed_of(model.as_str()))
    }
}

/// What the executor is handed: one model's open request, merged from all that asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetrainOrder {
    /// The model.
    pub model_id: ModelId,
    /// The version that the first request was about.
    pub version: Option<Version>,
    /// Why, without repetitions, oldest first.
    pub reasons: Vec<String>,
    /// The highest priority that was asked for; larger is sooner.
    pub priority: i32,
    /// Requests merged into this one.
    pub requests: u32,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// When the condition was first seen, of the first request.
    pub since: Timestamp,
    /// Event time of the first request.
    pub at: Timestamp,
}

/// What became of a request.
///
/// | answer | open before | afterwards |
/// |---|---|---|
/// | `Created` | none | waits, or runs |
/// | `Coalesced` | one waits, for its turn or for a time | merged into it |
/// | `RerunQueued` | one runs | runs once more after it |
/// | `Displaced` | none, and the queue was full | waits; a lower one was dropped |
/// | `Deferred` | none, but the last one was accepted less than a cooldown ago | waits for the end of the cooldown, then as if `Created` |
/// | `Refused` | none | nothing: the rule says why |
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Submission {
    /// A new request is open.
    Created,
    /// Merged into the model's open request.
    Coalesced,
    /// The model is being retrained; one more retrain follows.
    RerunQueued,
    /// A new request is open, and the lowest one had to give way.
    Displaced {
        /// Whose request was dropped.
        model: ModelId,
    },
    /// A new request is open, and is held back until its model's cooldown is over. An observer asks once per
    /// episode, so that a request that was thrown away would not come again.
    Deferred {
        /// Until when.
        until: Timestamp,
    },
    /// Not taken.
    Refused {
        /// The setting that forbids it: `waiting_max`.
        rule: &'static str,
        /// Until when; `None` when that is not known.
        until: Option<Timestamp>,
    },
}

/// What follows the end of a retrain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It worked.
    Done,
    /// It failed and is tried again.
    Retry,
    /// It failed as often as is allowed.
    GivenUp,
}

/// A place in the queue: higher priority first, then older first.
type Rank = (std::cmp::Reverse<i32>, u64);

/// A request that waits for a time.
struct Held {
    order: RetrainOrder,
    age: u64,
    not_before: Timestamp,
}

/// Requests that wait and run.
///
/// Its time is the largest event time that it was told of; between requests its owner moves it on.
pub(crate) struct RetrainQueue {
    policy: RetrainPolicy,
    now: Timestamp,
    waiting: BTreeMap<Rank, RetrainOrder>,
    ranks: BTreeMap<ModelId, Rank>,
    /// Those that wait for the end of a cooldown or for a further try.
    held: BTreeMap<ModelId, Held>,
    running: BTreeMap<ModelId, RetrainOrder>,
    /// Wishes that came while their model was being retrained.
    reruns: BTreeMap<ModelId, RetrainOrder>,
    /// Until when a model's further requests are held back; swept as it grows.
    cooling: BTreeMap<ModelId, Timestamp>,
    sequence: u64,
}

impl RetrainQueue {
    pub(crate) const fn new(policy: RetrainPolicy) -> Self {
        Self {
            policy,
            now: Timestamp::EPOCH,
            waiting: BTreeMap::new(),
            ranks: BTreeMap::new(),
            held: BTreeMap::new(),
            running: BTreeMap::new(),
            reruns: BTreeMap::new(),
            cooling: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Lets time pass: requests whose time has come wait for their turn from now on.
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let due = |held: &&Held| held.not_before <= self.now;
        let due: Vec<ModelId> =
            self.held.values().filter(due).map(|held| held.order.model_id.clone()).collect();
        for model in due {
            self.release(&model);
        }
    }

    /// Its time.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// When the first request that waits for a time may run.
    pub(crate) fn first_held(&self) -> Option<Timestamp> {
        self.held.values().map(|held| held.not_before).min()
    }

    /// Takes a request made at event time `at`.
    pub(crate) fn submit(
        &mut self,
        model: &ModelId,
        version: Option<Version>,
        request: &RetrainRequest,
        at: Timestamp,
    ) -> Submission {
        self.pass(at);
        let order = RetrainOrder {
            model_id: model.clone(),
            version,
            reasons: vec![request.reason.clone()],
            priority: request.priority,
            requests: 1,
            attempt: 1,
            since: request.since,
            at,
        };
        if let Some(rank) = self.ranks.remove(model) {
            if let Some(mut open) = self.waiting.remove(&rank) {
                merge(&mut open, order, self.policy.reasons_max);
                self.enter(rank.1, open);
            }
            return Submission::Coalesced;
        }
        if let Some(held) = self.held.get_mut(model) {
            merge(&mut held.order, order, self.policy.reasons_max);
            return Submission::Coalesced;
        }
        if self.running.contains_key(model) {
            if let Some(open) = self.reruns.get_mut(model) {
                merge(open, order, self.policy.reasons_max);
                return Submission::Coalesced;
            }
            self.reruns.insert(model.clone(), order);
            return Submission::RerunQueued;
        }
        let cool = self.cooling.get(model).copied().filter(|until| at < *until);
        let full = self.waiting.len() + self.held.len() >= self.policy.waiting_max;
        if let Some(until) = cool {
            if full {
                return Submission::Refused { rule: "waiting_max", until: Some(until) };
            }
            // A model whose events lag behind those of others has its whole cooldown, too.
            let not_before = until.max(self.now.plus(until.since(at)));
            self.hold(order, not_before);
            return Submission::Deferred { until };
        }
        let displaced = if full {
            let Some(lowest) = self.displace(order.priority) else {
                return Submission::Refused { rule: "waiting_max", until: None };
            };
            Some(lowest)
        } else {
            None
        };
        self.cool(model, at);
        self.sequence += 1;
        self.enter(self.sequence, order);
        displaced.map_or(Submission::Created, |model| Submission::Displaced { model })
    }

    /// Takes the next request to run, if one more may run.
    pub(crate) fn start(&mut self) -> Option<RetrainOrder> {
        if self.running.len() >= self.policy.running_max.max(1) {
            return None;
        }
        let (_, order) = self.waiting.pop_first()?;
        self.ranks.remove(&order.model_id);
        self.running.insert(order.model_id.clone(), order.clone());
        Some(order)
    }

    /// Takes note that a model's retrain is over. One that failed is tried again after a wait, a bounded
    /// number of times; else the one that was asked for meanwhile waits from now on.
    pub(crate) fn finish(&mut self, model: &ModelId, worked: bool) -> Outcome {
        let ran = self.running.remove(model);
        let rerun = self.reruns.remove(model);
        let failed = ran.filter(|_| !worked);
        let outcome = match &failed {
            None => Outcome::Done,
            Some(order) if order.attempt <= self.policy.retries_max => Outcome::Retry,
            Some(_) => Outcome::GivenUp,
        };
        if let Some(mut order) = failed.filter(|_| outcome == Outcome::Retry) {
            let wait = self.policy.retry_wait(model, order.attempt);
            order.attempt += 1;
            if let Some(rerun) = rerun {
                merge(&mut order, rerun, self.policy.reasons_max);
            }
            self.hold(order, self.now.plus(wait));
        } else if let Some(rerun) = rerun {
            self.cool(model, rerun.at);
            self.sequence += 1;
            self.enter(self.sequence, rerun);
        }
        outcome
    }

    /// Requests that wait, for their turn or for a time, and reruns.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + self.held.len() + self.reruns.len()
    }

    /// Requests that wait for their turn, in the order in which they will run.
    pub(crate) fn waiting_orders(&self) -> Vec<RetrainOrder> {
        self.waiting.values().cloned().collect()
    }

    /// Requests that wait for a time, with that time, in the order of the models' names.
    pub(crate) fn held_orders(&self) -> Vec<(Timestamp, RetrainOrder)> {
        self.held.values().map(|held| (held.not_before, held.order.clone())).collect()
    }

    /// Models that are being retrained.
    pub(crate) fn running(&self) -> Vec<ModelId> {
        self.running.keys().cloned().collect()
    }

    pub(crate) const fn policy(&self) -> &RetrainPolicy {
        &self.policy
    }

    fn enter(&mut self, age: u64, order: RetrainOrder) {
        let rank = (std::cmp::Reverse(order.priority), age);
        self.ranks.insert(order.model_id.clone(), rank);
        self.waiting.insert(rank, order);
    }

    fn hold(&mut self, order: RetrainOrder, not_before: Timestamp) {
        self.sequence += 1;
        self.held.insert(order.model_id.clone(), Held { order, age: self.sequence, not_before });
    }

    /// Ends a request's wait for its time.
    fn release(&mut self, model: &ModelId) {
        if let Some(Held { order, age, not_before }) = self.held.remove(model) {
            if order.attempt == 1 {
                self.cool(model, order.at.max(not_before));
            }
            self.enter(age, order);
        }
    }

    /// Drops the lowest request, if it is lower than `priority`, and says whose it was.
    fn displace(&mut self, priority: i32) -> Option<ModelId> {
        let rank_of = |held: &Held| (std::cmp::Reverse(held.order.priority), held.age);
        let held = self.held.values().map(|held| (rank_of(held), &held.order.model_id));
        let waiting = self.waiting.iter().map(|(rank, order)| (*rank, &order.model_id));
        let (rank, lowest) = waiting.chain(held).max_by_key(|(rank, _)| *rank)?;
        if rank.0.0 >= priority {
            return None;
        }
        let lowest = lowest.clone();
        self.waiting.remove(&rank);
        self.ranks.remove(&lowest);
        self.held.remove(&lowest);
        Some(lowest)
    }

    fn cool(&mut self, model: &ModelId, at: Timestamp) {
        if self.cooling.len() > 4 * self.policy.waiting_max.max(16) {
            self.cooling.retain(|_, until| at < *until);
            // All of them cool: the ones that are over first give way, so that the table stays bounded.
            if self.cooling.len() > 4 * self.policy.waiting_max.max(16)
                && let Some((first, _)) = self.cooling.iter().min_by_key(|(_, until)| **until)
            {
                let first = first.clone();
                self.cooling.remove(&first);
            }
        }
        self.cooling.insert(model.clone(), at.plus(self.policy.cooldown));
    }
}

/// Adds a further wish to an open request.
fn merge(open: &mut RetrainOrder, more: RetrainOrder, reasons_max: usize) {
    open.priority = open.priority.max(more.priority);
    open.requests = open.requests.saturating_add(more.requests);
    for reason in more.reasons {
        if open.reasons.len() < reasons_max && !open.reasons.contains(&reason) {
            open.reasons.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ModelId {
        ModelId::new(name).unwrap()
    }

    fn ask(queue: &mut RetrainQueue, name: &str, priority: i32, second: i64) -> Submission {
        let request =
            RetrainRequest { reason: format!("at {second}"), priority, ..RetrainRequest::default() };
        queue.submit(&id(name), None, &request, Timestamp::from_millis(second * 1_000))
    }

    fn queue(waiting_max: usize) -> RetrainQueue {
        RetrainQueue::new(RetrainPolicy { waiting_max, ..RetrainPolicy::default() })
    }

    #[test]
    fn higher_priority_first_then_older_first() {
        let mut queue = queue(10);
        for (name, priority) in [("a", 0), ("b", 5), ("c", 5), ("d", 9)] {
            assert_eq!(ask(&mut queue, name, priority, 0), Submission::Created);
        }
        let mut order = Vec::new();
        while let Some(next) = queue.start() {
            queue.finish(&next.model_id, true);
            order.push(next.model_id.to_string());
        }
        assert_eq!(order, ["d", "b", "c", "a"]);
    }

    #[test]
    fn one_open_request_per_model_with_bounded_reasons_and_the_highest_priority() {
        let mut queue = queue(10);
        assert_eq!(ask(&mut queue, "a", 0, 0), Submission::Created);
        assert_eq!(ask(&mut queue, "b", 1, 0), Submission::Created);
        for second in 0..20 {
            assert_eq!(ask(&mut queue, "a", second as i32, second), Submission::Coalesced);
        }
        let order = queue.start().unwrap();
        assert_eq!((order.model_id.as_str(), order.requests, order.priority), ("a", 21, 19));
        assert_eq!(order.reasons.len(), 8);
        assert_eq!(queue.waiting(), 1);
    }

    #[test]
    fn a_wish_while_running_is_one_rerun() {
        let mut queue = queue(10);
        ask(&mut queue, "a", 0, 0);
        queue.start().unwrap();
        assert_eq!(ask(&mut queue, "a", 0, 1), Submission::RerunQueued);
        assert_eq!(ask(&mut queue, "a", 3, 2), Submission::Coalesced);
        assert!(queue.start().is_none());
        queue.finish(&id("a"), true);
        assert_eq!(queue.start().map(|order| (order.requests, order.priority)), Some((2, 3)));
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    #[test]
    fn what_is_asked_for_in_the_cooldown_is_held_until_its_end_one_per_model() {
        let mut queue = queue(10);
        ask(&mut queue, "a", 0, 0);
        queue.start().unwrap();
        queue.finish(&id("a"), true);
        assert_eq!(ask(&mut queue, "a", 1, 1_000), Submission::Deferred { until: second(3_600) });
        assert_eq!(ask(&mut queue, "a", 9, 3_599), Submission::Coalesced);
        assert_eq!((queue.start(), queue.waiting(), queue.first_held()), (None, 1, Some(second(3_600))));
        queue.pass(second(3_600));
        assert_eq!(queue.start().map(|order| (order.requests, order.priority)), Some((2, 9)));
        queue.finish(&id("a"), true);
        assert_eq!(ask(&mut queue, "a", 0, 3_601), Submission::Deferred { until: second(7_200) });
        assert_eq!(ask(&mut queue, "a", 0, 7_200), Submission::Coalesced);
        assert!(queue.start().is_some());
    }

    #[test]
    fn a_model_that_lags_behind_others_has_its_whole_cooldown() {
        let mut queue = queue(10);
        ask(&mut queue, "a", 0, 0);
        queue.start().unwrap();
        queue.finish(&id("a"), true);
        queue.pass(second(100_000));
        assert_eq!(ask(&mut queue, "a", 0, 600), Submission::Deferred { until: second(3_600) });
        assert_eq!(queue.first_held(), Some(second(103_000)));
    }

    #[test]
    fn a_failed_run_is_tried_again_after_growing_waits_and_then_given_up() {
        let mut queue = queue(10);
        ask(&mut queue, "a", 0, 0);
        let mut waits = Vec::new();
        for (attempt, outcome) in [(1, Outcome::Retry), (2, Outcome::Retry), (3, Outcome::GivenUp)] {
            assert_eq!(queue.start().map(|order| order.attempt), Some(attempt));
            assert_eq!(queue.finish(&id("a"), false), outcome);
            assert_eq!(queue.start(), None);
            if let Some(due) = queue.first_held() {
                waits.push(due.since(queue.now()).as_secs());
                queue.pass(due);
            }
        }
        assert_eq!(waits.len(), 2);
        assert!((240..=360).contains(&waits[0]) && (480..=720).contains(&waits[1]), "{waits:?}");
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_rerun_of_a_failed_run_is_merged_into_its_next_try() {
        let mut queue = queue(10);
        ask(&mut queue, "a", 0, 0);
        queue.start().unwrap();
        assert_eq!(ask(&mut queue, "a", 5, 1), Submission::RerunQueued);
        assert_eq!(queue.finish(&id("a"), false), Outcome::Retry);
        queue.pass(second(3_600));
        let order = queue.start().unwrap();
        assert_eq!((order.requests, order.priority, order.attempt), (2, 5, 2));
        assert_eq!(queue.finish(&id("a"), true), Outcome::Done);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn what_waits_for_a_time_counts_against_the_bound_and_may_be_displaced() {
        let mut queue = queue(2);
        for name in ["a", "b", "c"] {
            ask(&mut queue, name, 0, 0);
            queue.start().unwrap();
            queue.finish(&id(name), true);
        }
        assert!(matches!(ask(&mut queue, "a", 0, 1), Submission::Deferred { .. }));
        assert!(matches!(ask(&mut queue, "b", 1, 1), Submission::Deferred { .. }));
        let until = Some(second(3_600));
        assert_eq!(ask(&mut queue, "c", 9, 1), Submission::Refused { rule: "waiting_max", until });
        assert_eq!(ask(&mut queue, "d", 1, 1), Submission::Displaced { model: id("a") });
        assert_eq!(ask(&mut queue, "e", 1, 1), Submission::Refused { rule: "waiting_max", until: None });
        assert_eq!(queue.waiting(), 2);
    }

    #[test]
    fn a_full_queue_gives_way_only_to_what_matters_more() {
        let mut queue = queue(2);
        ask(&mut queue, "a", 1, 0);
        ask(&mut queue, "b", 0, 0);
        assert_eq!(ask(&mut queue, "c", 0, 0), Submission::Refused { rule: "waiting_max", until: None });
        assert_eq!(ask(&mut queue, "c", 2, 0), Submission::Displaced { model: id("b") });
        assert_eq!(queue.waiting(), 2);
    }
}
