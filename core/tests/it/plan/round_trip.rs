//! The way back: what is written reads back to an equal plan.

use std::time::Duration;

use proptest::prelude::*;
use visu_tility_core::{
    AlertOn, ChangeDetector, ChangeObserver, Check, DataQualityObserver, DriftDetector, EventOrder,
    EventPolicy, Glob, LatencyObserver, MonitorPlan, PerformanceDegrader, Persistence, Reaction, Rule, Scope,
    Severity, StalenessObserver,
};
use visu_tility_drift::{
    AdwinParams, Compat, Family, MedianShiftParams, MixtureParams, Mode, PageHinkleyParams, Recursion,
    StandardizerParams,
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

fn compat() -> impl Strategy<Value = Compat> {
    prop_oneof![Just(Compat::Paper), Just(Compat::River), Just(Compat::Moa)]
}

fn window() -> impl Strategy<Value = (u32, u32)> {
    (10_u32..=1_000_000).prop_flat_map(|window| (Just(window), 1..=window))
}

fn detector() -> impl Strategy<Value = ChangeDetector> {
    let adwin = (1e-9..=1.0, 1_u32.., 1_u8..=16, 1_u32.., any::<u32>(), compat()).prop_map(
        |(delta, clock, max_buckets, min_window_length, grace_period, compat)| {
            ChangeDetector::Adwin(AdwinParams {
                delta,
                clock,
                max_buckets,
                min_window_length,
                grace_period,
                compat,
            })
        },
    );
    let mode = prop_oneof![Just(Mode::Up), Just(Mode::Down), Just(Mode::Both)];
    let hinkley = (any::<u64>(), 0.0..1e100, positive(), 1e-9..=1.0, mode, compat()).prop_map(
        |(min_instances, delta, threshold, alpha, mode, compat)| {
            let params = PageHinkleyParams { min_instances, delta, threshold, alpha, mode, compat };
            ChangeDetector::PageHinkley(params)
        },
    );
    let median = (1_u16..=120, 4_u16..=120, positive(), 0.5..=1.0, 0.0..1e100, 0.0..1e6).prop_map(
        |(recent, reference, threshold, share, floor_absolute, floor_relative)| {
            ChangeDetector::MedianShift(MedianShiftParams {
                recent,
                reference,
                threshold,
                share,
                floor_absolute,
                floor_relative,
            })
        },
    );
    let e_sr = (0.2..0.8, 0.01..0.1, 2.0..1e15, 2_u8..=149, any::<[bool; 4]>()).prop_map(
        |(m_pre, delta_lower, arl, max_components, [bounded, up, cusum, rearm])| {
            ChangeDetector::ESr(MixtureParams {
                family: if bounded { Family::Bounded } else { Family::Bernoulli },
                mode: if up { Mode::Up } else { Mode::Both },
                m_pre,
                delta_lower,
                delta_upper: delta_lower + 0.05,
                arl,
                max_components,
                recursion: if cusum { Recursion::Cusum } else { Recursion::ShiryaevRoberts },
                rearm,
            })
        },
    );
    prop_oneof![adwin, hinkley, median, e_sr]
}

fn change() -> impl Strategy<Value = Check> {
    let scale = proptest::option::of((2_u64.., 1e-9..=1e6));
    (detector(), scale, any::<bool>()).prop_map(|(detector, scale, any)| {
        let mut change = ChangeObserver::new(detector).unwrap();
        if let Some((learn, clip)) = scale {
            change = change.standardized(StandardizerParams { learn, clip }).unwrap();
        }
        Check::Change(change.alert_on(if any { AlertOn::Any } else { AlertOn::Bad }))
    })
}

fn check() -> impl Strategy<Value = Check> {
    let drift = (positive(), unit()).prop_map(|(threshold, share)| {
        Check::DriftScore(DriftDetector::new(threshold).unwrap().recover_at(threshold * share).unwrap())
    });
    let performance = (unit(), 1e-9..=1.0, unit()).prop_map(|(min, smoothing, recover)| {
        let degrader = PerformanceDegrader::new(min).unwrap().with_smoothing(smoothing).unwrap();
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
    prop_oneof![1 => drift, 1 => performance, 3 => change(), 1 => latency, 1 => quality, 1 => stale]
}

fn globs(pattern: &'static str) -> impl Strategy<Value = Vec<Glob>> {
    proptest::collection::vec(pattern.prop_map(Glob::new), 0..3)
}

fn rule() -> impl Strategy<Value = Rule> {
    let scope = (
        globs("[a-z*?/@#~]{1,9}"),
        globs("[!-~]{1,9}"),
        globs("Accuracy|F1|Feature:[!-~]{1,8}|\\*|Cust\\*|Latency\\*|Custom:\\?\\*"),
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
        |(name, check, (models, versions, kinds), waits, severity, response, priority)| {
            let (for_time, for_count, keep_firing, keep_count) = waits;
            let mut scope = Scope { models, versions, kinds };
            if matches!(check, Check::Staleness(_)) {
                scope = Scope { models: scope.models, ..Scope::default() };
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
