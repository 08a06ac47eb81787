//! Makes the report out of what a run has counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use visu_tility_core::{Check, MetricKind, ModelId, MonitorPlan, Version};

use crate::ingest::{Series, SeriesTable};
use crate::replay::bad_lines::BadLines;
use crate::replay::collect::{Collector, SeriesCount};
use crate::replay::over_budget::allowed;
use crate::replay::records::Records;
use crate::replay::report::{KindReport, ModelReport, ObserverReport, Report};
use crate::replay::unseen::Unseen;

impl Report {
    pub(crate) fn assemble(
        table: &SeriesTable,
        mut collector: Collector,
        mut records: Records,
        bad: BadLines,
        plan: &MonitorPlan,
    ) -> Self {
        let mut models: Vec<Option<ModelReport>> = vec![None; collector.models.len()];
        let counts = std::mem::take(&mut collector.series);
        for (series, count) in table.all().iter().zip(counts) {
            if count.events == 0 {
                continue;
            }
            let Some(slot) = models.get_mut(series.model as usize) else { continue };
            let model = slot.get_or_insert_with(|| ModelReport {
                model_id: series.model_id.clone(),
                events: 0,
                versions: Vec::new(),
                kinds: Vec::new(),
                observers: Vec::new(),
                missing: 0,
                unseen: Unseen::default(),
                allowed: Vec::new(),
                length: 0,
            });
            if !model.versions.contains(&series.version) {
                model.versions.push(series.version.clone());
            }
            model.kinds.push(kind_report(series, count, plan));
        }
        for (model, count) in models.iter_mut().zip(&collector.models) {
            if let Some(model) = model {
                (model.events, model.missing, model.length) = (count.events, count.missing, count.depth);
                model.observers = observers(model, &mut records, plan);
                model.allowed = allowed(model, plan);
            }
        }
        let mut models: Vec<ModelReport> = models.into_iter().flatten().collect();
        models.sort_by(|a, b| a.model_id.cmp(&b.model_id));
        Self {
            events: collector.events(),
            rejected: bad.total,
            missing: collector.models.iter().map(|model| model.missing).sum(),
            unseen: Unseen::default(),
            bad_lines: bad.first.clone(),
            models,
            alarms: records.alarms,
            alerts: records.alerts,
            retrains: records.retrains,
            over_budget: Vec::new(),
            score: None,
            bad,
            unlisted: records.unlisted,
            files: Vec::new(),
            plan: plan.to_string(),
            policy: *plan.events(),
        }
    }

    /// Takes over what models say of events that rules did not see; `unseen` is by the table's numbers.
    pub(crate) fn note_unseen(&mut self, table: &SeriesTable, unseen: &[Unseen]) {
        let told = table.all().iter().filter_map(|series| {
            let told = unseen.get(series.model as usize).filter(|told| **told != Unseen::default())?;
            Some((&series.model_id, told))
        });
        let told: BTreeMap<&ModelId, &Unseen> = told.collect();
        for model in &mut self.models {
            if let Some(told) = told.get(&model.model_id) {
                model.unseen = (*told).clone();
                self.unseen.add(told);
            }
        }
    }
}

fn kind_report(series: &Series, count: SeriesCount, plan: &MonitorPlan) -> KindReport {
    let some = |value: f64| (count.values > 0).then_some(value);
    KindReport {
        kind: series.kind.clone(),
        version: series.version.clone(),
        events: count.events,
        first_ts: count.first,
        last_ts: count.latest,
        last: some(count.last),
        min: some(count.min),
        max: some(count.max),
        mean: some(count.mean()),
        thresholds: thresholds(plan, &series.model_id, &series.version, &series.kind),
        watched_by: watchers(plan, &series.model_id, &series.version, &series.kind),
        plot: count.plot.map(|plot| Box::new(plot.finished())),
    }
}

/// The observers that watch one series.
fn watchers(plan: &MonitorPlan, model: &ModelId, version: &Version, kind: &MetricKind) -> Vec<Arc<str>> {
    let rules = plan.rules_for(model, version, kind).into_iter();
    let own = plan.observers().iter().filter(|observer| observer.wants(kind));
    rules.map(|(_, rule)| rule.name.clone()).chain(own.map(|observer| observer.name().into())).collect()
}

/// The limits that rules hold the values of one series, or their moving average, against.
fn thresholds(
    plan: &MonitorPlan,
    model: &ModelId,
    version: &Version,
    kind: &MetricKind,
) -> Vec<(Arc<str>, f64)> {
    let rules = plan.rules_for(model, version, kind).into_iter();
    let limit = |check: &Check| match check {
        Check::Performance(check) => Some(check.min_accuracy()),
        Check::DriftScore(check) => Some(check.threshold()),
        _ => None,
    };
    rules.filter_map(|(_, rule)| Some((rule.name.clone(), limit(&rule.check)?))).collect()
}

/// The observers of a model by name: those that watch it, and those that said something.
fn observers(model: &ModelReport, records: &mut Records, plan: &MonitorPlan) -> Vec<ObserverReport> {
    let mut names: BTreeSet<Arc<str>> = model.kinds.iter().flat_map(|kind| kind.watched_by.clone()).collect();
    let whole = plan.rules_for_model(&model.model_id).into_iter();
    names.extend(whole.map(|(_, rule)| rule.name.clone()));
    let first = (model.model_id.clone(), Arc::from(""));
    let said = records.counts.range(first..).map(|(key, _)| key).take_while(|(id, _)| *id == model.model_id);
    names.extend(said.map(|(_, observer)| observer.clone()));
    names
        .into_iter()
        .map(|name| {
            let known = records.counts.remove(&(model.model_id.clone(), name.clone()));
            known.unwrap_or_else(|| ObserverReport::silent(name))
        })
        .collect()
}
