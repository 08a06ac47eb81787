//! Puts a new plan in the place of the old one while a model is watched.

use std::sync::Arc;

use crate::action::ActionRecord;
use crate::alert::AlertCondition;
use crate::plan::{MonitorPlan, Rule};

use super::body::{Body, Switch};
use super::own::Own;
use super::series::{Instance, seed_of};

impl Body {
    /// Follows a new plan from now on.
    ///
    /// A rule whose name and check are the same keeps its state and its alert, also when its waits, its
    /// severity or its response changed. All others start afresh; alerts of rules that are gone or whose
    /// check changed are resolved. The user's observers keep their state when the new plan holds the very
    /// same prototype.
    pub fn reload(&mut self, plan: Arc<MonitorPlan>, out: &mut Vec<ActionRecord>) {
        let kept: Vec<Option<u16>> = self
            .plan
            .rules
            .iter()
            .map(|old| {
                let place =
                    plan.rules.iter().position(|new| new.name == old.name && new.check == old.check)?;
                Some(place as u16)
            })
            .collect();
        let place = |rule: u16| kept.get(usize::from(rule)).copied().flatten();
        self.resolve_dropped(&plan, &place, out);
        let model = self.model.clone();
        for series in &mut self.series {
            let mut old = series.take_instances();
            let mut instances = Vec::new();
            for (index, rule) in plan.rules_for(&model, &series.info.version, &series.info.kind) {
                let same = old.iter().position(|instance| place(instance.rule) == Some(index as u16));
                let instance = if let Some(found) = same {
                    Some(Instance { rule: index as u16, ..old.swap_remove(found) })
                } else {
                    let seed = seed_of(&model, series.key, rule);
                    Instance::start(index, rule, &series.info.version, &series.info.kind, seed)
                };
                instances.extend(instance);
            }
            series.put_instances(instances);
        }
        let mut old = std::mem::take(&mut self.switches);
        self.switches = Self::switches(&model, &plan);
        for switch in &mut self.switches {
            if let Some(found) = old.iter().position(|old| place(old.rule) == Some(switch.rule)) {
                *switch = Switch { rule: switch.rule, ..old.swap_remove(found) };
            }
        }
        self.reload_own(&plan, out);
        self.plan = plan;
        self.divide_budget();
        self.next_deadline = self.earliest();
    }

    /// Resolves the alerts of rules that the new plan does not have, or not for the same series.
    fn resolve_dropped(
        &mut self,
        plan: &MonitorPlan,
        place: &dyn Fn(u16) -> Option<u16>,
        out: &mut Vec<ActionRecord>,
    ) {
        let now = self.now();
        let find = |rules: &[(usize, &Rule)], rule: u16| {
            let place = usize::from(place(rule)?);
            rules.iter().any(|(index, _)| *index == place).then(|| plan.rules.get(place)).flatten()
        };
        for index in 0..self.series.len() {
            let Some(series) = self.series.get(index) else { break };
            let rules = plan.rules_for(&self.model, &series.info.version, &series.info.kind);
            let mut slot = 0;
            while let Some(rule) = self.instance(index, slot).map(|instance| instance.rule) {
                let new = find(&rules, rule);
                if new.is_none() || self.silences(rule, new) {
                    self.resolve_instance(index, slot, out);
                }
                slot += 1;
            }
        }
        let whole = plan.rules_for_model(&self.model);
        for index in 0..self.switches.len() {
            let Some(old) = self.switches.get(index).map(|switch| switch.rule) else { break };
            let new = find(&whole, old);
            if new.is_none() || self.silences(old, new) {
                self.step_switch(index, AlertCondition::Over, now, out);
            }
        }
    }

    /// Is true when alerts of the old rule would never be resolved, because the new one tells nobody.
    fn silences(&self, old: u16, new: Option<&Rule>) -> bool {
        let told = self.rule(old).is_some_and(|old| old.response.alerts());
        told && new.is_some_and(|new| !new.response.alerts())
    }

    /// Keeps the user's observers whose prototype is the same, starts the others.
    fn reload_own(&mut self, plan: &MonitorPlan, out: &mut Vec<ActionRecord>) {
        let same = self.plan.observers.len() == plan.observers.len()
            && self.plan.observers.iter().zip(&plan.observers).all(|(old, new)| Arc::ptr_eq(old, new));
        if same {
            return;
        }
        let kept = |place: usize| {
            let old = self.plan.observers.get(place);
            old.is_some_and(|old| plan.observers.iter().any(|new| Arc::ptr_eq(old, new)))
        };
        let kept: Vec<bool> = (0..self.plan.observers.len()).map(kept).collect();
        self.resolve_own_where(|place, _| !kept.get(place).copied().unwrap_or(false), out);
        let old_plan = self.plan.clone();
        let mut old = self.own.take();
        self.own = Own::start(plan);
        if let (Some(own), Some(old)) = (&mut self.own, &mut old) {
            for (slot, new) in plan.observers.iter().enumerate() {
                let found = old_plan.observers.iter().position(|prototype| Arc::ptr_eq(prototype, new));
                let pair =
                    found.and_then(|found| old.observers.get_mut(found)).zip(own.observers.get_mut(slot));
                if let Some((kept, fresh)) = pair {
                    std::mem::swap(kept, fresh);
                }
            }
            (own.next_tick, own.ticks) = (old.next_tick, old.ticks);
        }
        for series in &mut self.series {
            series.wanted = self.own.as_ref().map_or(0, |own| own.wanting(&series.info.kind));
        }
    }
}
