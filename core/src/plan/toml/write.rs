//! A plan, written with every setting.

use std::time::Duration;

use visu_tility_drift::combination::Rearm;
use visu_tility_drift::{Parameters, PreparationParams, Setting};

use super::super::{Glob, MonitorPlan, Rule};
use super::choice::{self, word};
use super::value::write_span;
use crate::check::{
    ChangeObserver, Check, CombinationObserver, Combine, DataQualityObserver, DistributionObserver,
    DriftDetector, EmbeddingMethod, EmbeddingObserver, LatencyObserver, PerformanceDegrader,
};

/// Writes a plan.
pub(super) fn plan(plan: &MonitorPlan) -> String {
    let mut out = Writer::default();
    let events = plan.events();
    out.head("[events]");
    out.text("order", word(choice::ORDER, &events.order));
    out.span("lateness_max", events.lateness_max);
    out.count("back_step_count", events.back_step_count);
    out.count("versions_max", events.versions_max);
    out.count("series_max", events.series_max);
    out.head("[budget]");
    out.number("false_alarms_per_30_days", plan.budget().false_alarms_per_30_days);
    for rule in plan.rules() {
        out.head("[[rule]]");
        out.rule(rule);
    }
    for observer in plan.observers() {
        out.head(&own_observer(observer.name()));
    }
    out.text
}

/// The comment that stands for an observer of the user's own. A name is printable ASCII, so it cannot end it.
pub(super) fn own_observer(name: &str) -> String {
    format!("# observer {name:?} is built in code and no part of this file")
}

/// Lines of TOML.
#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn head(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn line(&mut self, key: &str, value: &str) {
        for part in [key, " = ", value, "\n"] {
            self.text.push_str(part);
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(key, &string(value));
    }

    fn count(&mut self, key: &str, value: impl Into<u64>) {
        self.line(key, &value.into().to_string());
    }

    /// The shortest digits that read back to the same number.
    fn number(&mut self, key: &str, value: f64) {
        self.line(key, &format!("{value:?}"));
    }

    fn span(&mut self, key: &str, value: Duration) {
        self.text(key, &write_span(value));
    }

    fn globs(&mut self, key: &str, globs: &[Glob]) {
        if !globs.is_empty() {
            let list: Vec<String> = globs.iter().map(|glob| string(glob.as_str())).collect();
            self.line(key, &format!("[{}]", list.join(", ")));
        }
    }

    fn rule(&mut self, rule: &Rule) {
        self.text("name", &rule.name);
        self.text("type", rule.check.type_name());
        self.globs("models", &rule.scope.models);
        self.globs("versions", &rule.scope.versions);
        self.globs("kinds", &rule.scope.kinds);
        if rule.scope.fallback {
            self.line("fallback", "true");
        }
        match &rule.check {
            Check::DriftScore(check) => self.drift_score(check),
            Check::Performance(check) => self.performance(check),
            Check::Change(check) => self.change(check),
            Check::Combination(check) => self.combination(check),
            Check::Distribution(check) => self.distribution(check),
            Check::Embedding(check) => self.embedding(check),
            Check::Latency(check) => self.latency(check),
            Check::DataQuality(check) => self.data_quality(check),
            Check::Staleness(check) => {
                if let Some(limit) = check.limit() {
                    self.span("after", limit);
                }
            }
        }
        self.text("severity", rule.severity.as_str());
        self.span("for", rule.persistence.for_time);
        self.count("for_count", rule.persistence.for_count);
        self.span("keep_firing", rule.persistence.keep_firing);
        self.count("keep_count", rule.persistence.keep_count);
        self.text("response", rule.response.as_str());
        self.line("priority", &rule.priority.to_string());
    }

    fn drift_score(&mut self, check: &DriftDetector) {
        self.number("threshold", check.threshold());
        self.number("recover", check.recover());
    }

    fn performance(&mut self, check: &PerformanceDegrader) {
        self.number("min_accuracy", check.min_accuracy());
        self.number("smoothing", check.smoothing());
        self.number("recover", check.recover());
        if let Some(count_min) = check.count_min() {
            self.count("count_min", count_min);
        }
    }

    fn change(&mut self, check: &ChangeObserver) {
        self.text("detector", check.detector().name());
        for parameter in check.detector().parameters() {
            if parameter.name == "arl" && check.is_budgeted() {
                continue;
            }
            self.parameter(parameter.name, check.detector().get(parameter.name));
        }
        if check.has_calendar() {
            self.line("calendar", "true");
        }
        self.preparation(check.preparation());
        self.text("alert_on", word(choice::ALERT_ON, &check.alerts_on()));
    }

    fn combination(&mut self, check: &CombinationObserver) {
        self.text("combine", check.combine().name());
        let merge = matches!(check.combine(), Combine::EvidenceMerge(_));
        match check.combine() {
            Combine::Vote(params) => self.parameters(params, &[]),
            Combine::EvidenceMerge(params) if !check.is_budgeted() => self.parameters(params, &[]),
            Combine::EvidenceMerge(_) | Combine::Gate => {}
        }
        let gate = check.gate_params();
        let unsaid: &[&str] = match gate.rearm {
            Rearm::AtOnce => &["cool_down", "fallen_share"],
            Rearm::CoolDown => &["fallen_share"],
            Rearm::Fallen => &["cool_down"],
        };
        self.parameters(gate, unsaid);
        self.text.push_str("members = [\n");
        for (params, weight) in check.members() {
            let mut member = Self::default();
            member.text("detector", params.name());
            let unsaid = check.is_budgeted() || merge;
            for parameter in params.parameters().iter().filter(|known| !(unsaid && known.name == "arl")) {
                member.parameter(parameter.name, params.get(parameter.name));
            }
            if merge {
                member.number("weight", *weight);
            }
            let table: Vec<&str> = member.text.lines().collect();
            for part in ["    { ", &table.join(", "), " },\n"] {
                self.text.push_str(part);
            }
        }
        self.text.push_str("]\n");
        self.preparation(check.preparation());
        self.text("alert_on", word(choice::ALERT_ON, &check.alerts_on()));
    }

    fn preparation(&mut self, prepare: &PreparationParams) {
        self.stage("gap", prepare.gap.as_ref());
        self.stage("range", prepare.range.as_ref());
        self.stage("seasonal", prepare.seasonal.as_ref());
        self.stage("exceedance", prepare.exceedance.as_ref());
        self.stage("batch", prepare.batch.as_ref());
        match prepare.standardize {
            Some(params) => {
                self.count("standardize", params.learn);
                self.number("clip", params.clip);
            }
            None => self.line("standardize", "false"),
        }
    }

    fn parameter(&mut self, key: &str, setting: Option<Setting<'_>>) {
        match setting {
            Some(Setting::Number(number)) => self.number(key, number),
            Some(Setting::Count(count)) => self.count(key, count),
            Some(Setting::Word(word)) => self.text(key, word),
            Some(Setting::Flag(flag)) => self.line(key, if flag { "true" } else { "false" }),
            _ => {}
        }
    }

    /// A stage of the preparation with all its parameters, when it is switched on.
    fn stage<P: Parameters>(&mut self, name: &str, params: Option<&P>) {
        let Some(params) = params else { return };
        self.line(name, "true");
        for parameter in P::ALL {
            self.parameter(&format!("{name}_{}", parameter.name), params.get(parameter.name));
        }
    }

    fn distribution(&mut self, check: &DistributionObserver) {
        let unsaid: &[&str] = match (check.reference(), check.is_budgeted()) {
            (None, false) => &[],
            (None, true) => &["arl"],
            (Some(_), false) => &["reference", "bins"],
            (Some(_), true) => &["reference", "bins", "arl"],
        };
        self.parameters(check.params(), unsaid);
        if let Some(reference) = check.reference() {
            let edges: Vec<String> = reference.edges().iter().map(|edge| format!("{edge:?}")).collect();
            let counts: Vec<String> = reference.counts().iter().map(u64::to_string).collect();
            self.line("edges", &format!("[{}]", edges.join(", ")));
            self.line("counts", &format!("[{}]", counts.join(", ")));
        }
        if let Some(version) = check.reference_version() {
            self.text("reference_version", version.as_str());
        }
    }

    fn embedding(&mut self, check: &EmbeddingObserver) {
        self.text("method", check.method().name());
        // The dimension is learnt.
        let unsaid: &[&str] = if check.is_budgeted() { &["dimension", "arl"] } else { &["dimension"] };
        match check.method() {
            EmbeddingMethod::Mmd(params) => self.parameters(params, unsaid),
            EmbeddingMethod::Centroid(params) => self.parameters(params, unsaid),
        }
    }

    /// All parameters but those that need not be said.
    fn parameters<P: Parameters>(&mut self, params: &P, unsaid: &[&str]) {
        for parameter in P::ALL.iter().filter(|parameter| !unsaid.contains(&parameter.name)) {
            self.parameter(parameter.name, params.get(parameter.name));
        }
    }

    fn latency(&mut self, check: &LatencyObserver) {
        let (slo_ms, share_min) = check.objective();
        let (window, count_min) = check.window();
        self.number("slo_ms", slo_ms);
        self.number("share_min", share_min);
        self.count("window", window);
        self.count("count_min", count_min);
    }

    fn data_quality(&mut self, check: &DataQualityObserver) {
        let (min, max) = check.range();
        let (window, count_min) = check.window();
        self.number("min", min);
        self.number("max", max);
        self.number("share_max", check.share_max());
        self.count("window", window);
        self.count("count_min", count_min);
    }
}

/// A text as TOML has it.
fn string(text: &str) -> String {
    ::toml::Value::from(text).to_string()
}
