//! The queue of retrain requests: pure, bounded, one open request per model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use visu_tility_core::{ModelId, RetrainRequest, Timestamp, Version};

/// How retrain requests are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrainPolicy {
    /// Models that may wait. Default 1,024.
    pub waiting_max: usize,
    /// Retrains that run at a time, at least 1. Default 1.
    pub running_max: usize,
    /// Time, by the requests' own event time, after a model's request was accepted in which further ones
    /// are refused, unless one is still open. Default 1 hour.
    pub cooldown: Duration,
    /// Different reasons kept per request; more are counted only. Default 8.
    pub reasons_max: usize,
}

impl Default for RetrainPolicy {
    fn default() -> Self {
        Self { waiting_max: 1_024, running_max: 1, cooldown: Duration::from_hours(1), reasons_max: 8 }
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
/// | `Coalesced` | one waits | merged into it |
/// | `RerunQueued` | one runs | runs once more after it |
/// | `Displaced` | none, and the queue was full | waits; a lower one was dropped |
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
    /// Not taken.
    Refused {
        /// The setting that forbids it: `cooldown` or `waiting_max`.
        rule: &'static str,
        /// Until when; `None` when that is not known.
        until: Option<Timestamp>,
    },
}

/// A place in the queue: higher priority first, then older first.
type Rank = (std::cmp::Reverse<i32>, u64);

/// Requests that wait and run.
pub(crate) struct RetrainQueue {
    policy: RetrainPolicy,
    waiting: BTreeMap<Rank, RetrainOrder>,
    ranks: BTreeMap<ModelId, Rank>,
    running: BTreeSet<ModelId>,
    /// Wishes that came while their model was being retrained.
    reruns: BTreeMap<ModelId, RetrainOrder>,
    /// Until when a model's further requests are refused; swept as it grows.
    cooling: BTreeMap<ModelId, Timestamp>,
    sequence: u64,
}

impl RetrainQueue {
    pub(crate) const fn new(policy: RetrainPolicy) -> Self {
        Self {
            policy,
            waiting: BTreeMap::new(),
            ranks: BTreeMap::new(),
            running: BTreeSet::new(),
            reruns: BTreeMap::new(),
            cooling: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Takes a request made at event time `at`.
    pub(crate) fn submit(
        &mut self,
        model: &ModelId,
        version: Option<Version>,
        request: &RetrainRequest,
        at: Timestamp,
    ) -> Submission {
        let order = RetrainOrder {
            model_id: model.clone(),
            version,
            reasons: vec![request.reason.clone()],
            priority: request.priority,
            requests: 1,
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
        if self.running.contains(model) {
            if let Some(open) = self.reruns.get_mut(model) {
                merge(open, order, self.policy.reasons_max);
                return Submission::Coalesced;
            }
            self.reruns.insert(model.clone(), order);
            return Submission::RerunQueued;
        }
        if let Some(until) = self.cooling.get(model).copied().filter(|until| at < *until) {
            return Submission::Refused { rule: "cooldown", until: Some(until) };
        }
        let mut displaced = None;
        if self.waiting.len() >= self.policy.waiting_max {
            let last = self.waiting.last_key_value().map(|(rank, lowest)| (*rank, lowest.model_id.clone()));
            match last {
                Some((rank, lowest)) if rank.0.0 < order.priority => {
                    self.waiting.remove(&rank);
                    self.ranks.remove(&lowest);
                    displaced = Some(lowest);
                }
                _ => return Submission::Refused { rule: "waiting_max", until: None },
            }
        }
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
        self.running.insert(order.model_id.clone());
        Some(order)
    }

    /// Takes note that a model's retrain is over; the one that was asked for meanwhile waits from now on.
    pub(crate) fn finish(&mut self, model: &ModelId) {
        self.running.remove(model);
        if let Some(order) = self.reruns.remove(model) {
            self.cool(model, order.at);
            self.sequence += 1;
            self.enter(self.sequence, order);
        }
    }

    /// Requests that wait, and reruns.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + self.reruns.len()
    }

    /// Models that wait, in the order in which they will run.
    pub(crate) fn waiting_orders(&self) -> Vec<RetrainOrder> {
        self.waiting.values().cloned().collect()
    }

    /// Models that are being retrained.
    pub(crate) fn running(&self) -> Vec<ModelId> {
        self.running.iter().cloned().collect()
    }

    pub(crate) const fn policy(&self) -> &RetrainPolicy {
        &self.policy
    }

    fn enter(&mut self, age: u64, order: RetrainOrder) {
        let rank = (std::cmp::Reverse(order.priority), age);
        self.ranks.insert(order.model_id.clone(), rank);
        self.waiting.insert(rank, order);
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
            queue.finish(&next.model_id);
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
        queue.finish(&id("a"));
        assert_eq!(queue.start().map(|order| (order.requests, order.priority)), Some((2, 3)));
    }

    #[test]
    fn cooldown_refuses_and_says_until_when() {
        let mut queue = queue(10);
        ask(&mut queue, "a", 0, 0);
        queue.start().unwrap();
        queue.finish(&id("a"));
        let until = Some(Timestamp::from_millis(3_600_000));
        assert_eq!(ask(&mut queue, "a", 9, 3_599), Submission::Refused { rule: "cooldown", until });
        assert_eq!(ask(&mut queue, "a", 9, 3_600), Submission::Created);
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
