//! The way back: what is written reads back to an equal plan.

use std::time::Duration;

use proptest::prelude::*;
use visu_tility_core::{
    AlertOn, ChangeObserver, Check, CombinationObserver, DataQualityObserver, DistributionObserver,
    DriftDetector, EmbeddingMethod, EmbeddingObserver, EventOrder, EventPolicy, Glob, LatencyObserver,
    MonitorPlan, PerformanceDegrader, Persistence, Reaction, Rule, Scope, Severity, StalenessObserver,
    Version,
};
use visu_tility_drift::combination::{EvidenceMergeParams, GateParams, Rearm, VoteParams};
use visu_tility_drift::distance::BinnedDistance;
use visu_tility_drift::{
    AnyParams, CentroidMetric, CentroidShiftParams, DistributionShiftParams, MmdBound, OnlineMmdParams,
    Setting, Shape, StandardizerParams,
};

fn unit() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..=1.0, Just(0.0), Just(1.0)]
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![1e-9..1e9, Just(1.0), Just(0.1 + 0.2)]
}

fn span() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0_u64..10_000_000).prop_map(Duration::from_millis),
        (any::<u64>(), 0_u32..1_000_000_000).prop_map(|(s, ns)| Duration::new(s, ns)),
    ]
}

fn window() -> impl Strategy<Value = (u32, u32)> {
    (10_u32..=1_000_000).prop_flat_map(|window| (Just(window), 1..=window))
}

/// A detector with one or two of its parameters moved, where they may be moved that way.
fn detector() -> impl Strategy<Value = AnyParams> {
    let moves = proptest::collection::vec((any::<proptest::sample::Index>(), 0.5..2.0_f64), 0..3);
    (proptest::sample::select(AnyParams::NAMES), moves).prop_map(|(name, moves)| {
        let mut params = AnyParams::by_name(name).unwrap();
        for (at, factor) in moves {
            let before = params;
            let parameter = params.parameters()[at.index(params.parameters().len())];
            let value = match (params.get(parameter.name).unwrap(), parameter.shape) {
                (Setting::Number(number), _) => Setting::Number(number * factor),
                (Setting::Count(count), Shape::Count { max }) => {
                    Setting::Count(((count as f64 * factor) as u64).min(max))
                }
                (Setting::Flag(flag), _) => Setting::Flag(!flag),
                (_, Shape::Word(words)) => Setting::Word(words[(factor * 2.0) as usize % words.len()]),
                (other, _) => other,
            };
            params.set(parameter.name, value).unwrap();
            if params.check().is_err() {
                params = before;
            }
        }
        params
    })
}

fn change() -> impl Strategy<Value = Check> {
    let scale = proptest::option::of((2_u64.., 1e-9..=1e6));
    (detector(), scale, any::<bool>()).prop_map(|(detector, scale, any)| {
        let mut change = ChangeObserver::new(detector).unwrap();
        if any && let Ok(budgeted) = change.clone().budgeted() {
            change = budgeted;
        }
        if any && let Ok(calendar) = change.clone().with_calendar() {
            change = calendar;
        }
        if let Some((learn, clip)) = scale {
            change = change.standardized(StandardizerParams { learn, clip }).unwrap();
        }
        Check::Change(change.alert_on(if any { AlertOn::Any } else { AlertOn::Bad }))
    })
}

/// Any way to combine what it can combine, gated or not, with a budget or not.
fn combination() -> impl Strategy<Value = Check> {
    let members = proptest::collection::vec((detector(), 1e-3..1e3_f64), 8);
    let gate = (0..3_u8, 0.0..0.9_f64, 0..5_000_u64);
    (members, 2..=8_usize, 1..=8_u8, 1..5_000_u64, gate, any::<bool>()).prop_map(
        |(mut members, count, need, horizon, (rearm, share, cool_down), flag)| {
            members.truncate(count);
            let gate = match rearm {
                0 => GateParams { warn_share: share, ..GateParams::default() },
                1 => GateParams { rearm: Rearm::CoolDown, cool_down, ..GateParams::default() },
                _ => GateParams { rearm: Rearm::Fallen, fallen_share: share + 0.1, ..GateParams::default() },
            };
            let vote = VoteParams { need: need.min(count as u8), horizon, agree: flag };
            let merge = EvidenceMergeParams { arl: 100.0 + horizon as f64 };
            let plain = members.iter().map(|(params, _)| *params);
            let made = match need % 3 {
                0 => CombinationObserver::vote(vote, plain),
                1 => CombinationObserver::evidence_merge(merge, members.iter().copied()),
                _ => CombinationObserver::gate(gate, members[0].0),
            };
            // Most members have no e-value, and some vote for ever.
            let usual = ["e-sr", "conformal-sr"].map(|name| AnyParams::by_name(name).unwrap());
            let mut made = made.unwrap_or_else(|_| {
                let members = usual.into_iter().zip(members.iter().map(|(_, weight)| *weight));
                CombinationObserver::evidence_merge(merge, members).unwrap()
            });
            made = made.clone().gated(gate).unwrap_or(made);
            if flag && let Ok(budgeted) = made.clone().budgeted() {
                made = budgeted;
            }
            Check::Combination(made.alert_on(if flag { AlertOn::Any } else { AlertOn::Bad }))
        },
    )
}

fn distribution() -> impl Strategy<Value = Check> {
    let source = prop_oneof![
        Just(None),
        proptest::collection::vec(-1e9..1e9_f64, 50..90).prop_map(Some),
        proptest::collection::vec((0_u8..3).prop_map(f64::from), 50..90).prop_map(Some),
    ];
    let params = (50_u32..=1_000_000, 2_u32..=32, 10_u32..=1_000_000, 2.0..1e5_f64);
    (params, proptest::sample::select(&BinnedDistance::ALL[..]), source, any::<bool>(), any::<bool>())
        .prop_map(|((reference, bins, window, times), distance, source, budgeted, version)| {
            let arl = times * f64::from(window);
            let params = DistributionShiftParams { reference, bins, window, distance, arl };
            let mut check = DistributionObserver::new(params).unwrap();
            if let Some(values) = source {
                check = check.against(&DistributionObserver::reference_of(&values, bins).unwrap()).unwrap();
            } else if version {
                check = check.against_version(Version::new("v1").unwrap());
            }
            Check::Distribution(if budgeted { check.budgeted() } else { check })
        })
}

fn embedding() -> impl Strategy<Value = Check> {
    let mmd =
        (8_u32..=512, 0_u32..3, 1_u32..=1_000, any::<u64>()).prop_map(|(features, wide, clock, seed)| {
            let bandwidth = f64::from(wide) * 0.7;
            let bound = if wide == 1 { MmdBound::Proven } else { MmdBound::Estimated };
            EmbeddingMethod::Mmd(OnlineMmdParams {
                features,
                bandwidth,
                clock,
                seed,
                bound,
                ..Default::default()
            })
        });
    let centroid =
        (40_u32..=1_000_000, 10_u32..5_000, any::<bool>()).prop_map(|(reference, window, cosine)| {
            let metric = if cosine { CentroidMetric::Cosine } else { CentroidMetric::Euclidean };
            EmbeddingMethod::Centroid(CentroidShiftParams { reference, window, metric, ..Default::default() })
        });
    (prop_oneof![mmd, centroid], any::<bool>()).prop_map(|(method, budgeted)| {
        let check = EmbeddingObserver::new(method).unwrap();
        Check::Embedding(if budgeted { check.budgeted() } else { check })
    })
}

fn check() -> impl Strategy<Value = Check> {
    let drift = (positive(), unit()).prop_map(|(threshold, share)| {
        Check::DriftScore(DriftDetector::new(threshold).unwrap().recover_at(threshold * share).unwrap())
    });
    let seen = proptest::option::of(1_u32..=1_000_000);
    let performance = (unit(), 1e-9..=1.0, unit(), seen).prop_map(|(min, smoothing, recover, seen)| {
        let degrader = PerformanceDegrader::new(min).unwrap().with_smoothing(smoothing).unwrap();
        let degrader = seen.map_or(degrader.clone(), |seen| degrader.with_count_min(seen).unwrap());
        Check::Performance(degrader.recover_at(recover.max(min)).unwrap())
    });
    let slo = prop_oneof![positive(), Just(f64::INFINITY)];
    let latency = (slo, 1e-9..0.999_999, window()).prop_map(|(slo, share, (window, count))| {
        let latency = LatencyObserver::default().with_objective(slo, share).unwrap();
        Check::Latency(latency.with_window(window, count).unwrap())
    });
    let end = || prop_oneof![-1e12..1e12, Just(f64::INFINITY), Just(f64::NEG_INFINITY)];
    let quality = (end(), end(), 0.0..1.0, window()).prop_map(|(a, b, share, (window, count))| {
        let (a, b): (f64, f64) = (a, b);
        let quality = DataQualityObserver::default().with_range(a.min(b), a.max(b)).unwrap();
        Check::DataQuality(quality.with_share_max(share).unwrap().with_window(window, count).unwrap())
    });
    let stale = proptest::option::of(1_u64..400 * 86_400_000).prop_map(|limit| {
        Check::Staleness(match limit {
            Some(ms) => StalenessObserver::after(Duration::from_millis(ms + 999)).unwrap(),
            None => StalenessObserver::learnt(),
        })
    });
    prop_oneof![
        1 => drift,
        1 => performance,
        3 => change(),
        2 => combination(),
        2 => distribution(),
        2 => embedding(),
        1 => latency,
        1 => quality,
        1 => stale,
    ]
}

fn globs(pattern: &'static str) -> impl Strategy<Value = Vec<Glob>> {
    proptest::collection::vec(pattern.prop_map(Glob::new), 0..3)
}

fn rule() -> impl Strategy<Value = Rule> {
    let scope = (
        globs("[a-z*?/@#~]{1,9}"),
        globs("[!-~]{1,9}"),
        globs("Accuracy|F1|Feature:[!-~]{1,8}|\\*|Cust\\*|Latency\\*|Custom:\\?\\*"),
        any::<bool>(),
    );
    let persistence = (span(), 1_u32.., span(), 1_u32..);
    let severity = prop_oneof![Just(Severity::Info), Just(Severity::Warning), Just(Severity::Critical)];
    let response = prop_oneof![
        Just(Reaction::Record),
        Just(Reaction::Alert),
        Just(Reaction::Retrain),
        Just(Reaction::AlertAndRetrain)
    ];
    ("[!-~]{1,20}", check(), scope, persistence, severity, response, any::<i32>()).prop_map(
        |(name, check, (models, versions, kinds, fallback), waits, severity, response, priority)| {
            let (for_time, for_count, keep_firing, keep_count) = waits;
            let mut scope = Scope { models, versions, kinds, fallback };
            if matches!(check, Check::Staleness(_)) {
                scope = Scope { models: scope.models, fallback, ..Scope::default() };
            }
            if matches!(check, Check::Embedding(_)) {
                scope.kinds = vec![Glob::new("Embedding:t*")];
            }
            // A floor or a limit is not for kinds that are bad on its other side.
            if matches!(check, Check::Performance(_) | Check::DriftScore(_) | Check::Latency(_)) {
                scope.kinds.retain(|kinds| ["*", "Cust*"].contains(&kinds.as_str()));
            }
            if matches!(&check, Check::Distribution(check) if check.reference_version().is_some()) {
                scope.versions = vec![Glob::new("v?")];
            }
            Rule {
                scope,
                persistence: Persistence { for_time, for_count, keep_firing, keep_count },
                severity,
                response,
                priority,
                ..Rule::new(name, check).unwrap()
            }
        },
    )
}

fn events() -> impl Strategy<Value = EventPolicy> {
    (any::<bool>(), span(), 1_u32..=1_000, 1_u32..=64, 1_u32..=4_096).prop_map(
        |(strict, lateness_max, back_step_count, versions_max, series_max)| EventPolicy {
            order: if strict { EventOrder::Strict } else { EventOrder::Arrival },
            lateness_max,
            back_step_count,
            versions_max,
            series_max,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back_to_an_equal_plan(
        events in events(),
        rules in proptest::collection::vec(rule(), 1..6),
    ) {
        let mut plan = MonitorPlan::empty().with_events(events).unwrap();
        for (i, mut rule) in rules.into_iter().enumerate() {
            rule.name = format!("{}{i}", rule.name).into();
            plan = plan.with_rule(rule).unwrap();
        }
        let text = plan.to_toml();
        let read = MonitorPlan::from_toml(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(read.events(), plan.events());
        prop_assert_eq!(read.rules(), plan.rules());
        prop_assert_eq!(read.to_toml(), text);
    }
}
