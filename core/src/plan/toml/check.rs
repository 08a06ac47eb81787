//! The settings of a rule, made into its check by the constructors, which know the ranges.

use visu_tility_drift::{
    AdwinParams, Compat, MedianShiftParams, MixtureParams, PageHinkleyParams, StandardizerParams,
};

use super::choice;
use super::section::Settings;
use crate::check::{
    ChangeDetector, ChangeObserver, Check, DataQualityObserver, DriftDetector, LatencyObserver,
    PerformanceDegrader, StalenessObserver,
};
use crate::error::ObserverError;

/// Builds the check of a type whose name is one of [`choice::TYPE`]. What is required and missing has been
/// reported; anything stands in for it.
pub(super) fn build(type_name: &str, settings: &Settings) -> Result<Check, ObserverError> {
    match type_name {
        "drift-score" => drift_score(settings).map(Check::DriftScore),
        "performance" => performance(settings).map(Check::Performance),
        "change" => change(settings).map(Check::Change),
        "latency" => latency(settings).map(Check::Latency),
        "data-quality" => data_quality(settings).map(Check::DataQuality),
        "staleness" => match settings.span("after") {
            Some(limit) => StalenessObserver::after(limit),
            None => Ok(StalenessObserver::learnt()),
        }
        .map(Check::Staleness),
        other => Err(ObserverError::Config(format!("`type` is \"{other}\""))),
    }
}

fn drift_score(settings: &Settings) -> Result<DriftDetector, ObserverError> {
    let detector = match settings.number("threshold") {
        Some(threshold) => DriftDetector::new(threshold)?,
        None => DriftDetector::default(),
    };
    match settings.number("recover") {
        Some(recover) if !settings.is_bad("threshold") => detector.recover_at(recover),
        _ => Ok(detector),
    }
}

fn performance(settings: &Settings) -> Result<PerformanceDegrader, ObserverError> {
    let min_accuracy = settings.number("min_accuracy");
    let mut degrader = PerformanceDegrader::new(min_accuracy.unwrap_or(0.0))?;
    if let Some(smoothing) = settings.number("smoothing") {
        degrader = degrader.with_smoothing(smoothing)?;
    }
    match settings.number("recover") {
        Some(recover) if min_accuracy.is_some() => degrader.recover_at(recover),
        _ => Ok(degrader),
    }
}

fn change(settings: &Settings) -> Result<ChangeObserver, ObserverError> {
    let detector = match settings.word("detector") {
        Some("page-hinkley") => ChangeDetector::PageHinkley(page_hinkley(settings)),
        Some("median-shift") => ChangeDetector::MedianShift(median_shift(settings)),
        Some("e-sr") => ChangeDetector::ESr(e_sr(settings)),
        _ => ChangeDetector::Adwin(adwin(settings)),
    };
    let observer = ChangeObserver::new(detector)?
        .alert_on(settings.choice("alert_on", choice::ALERT_ON).unwrap_or_default());
    let mut scale = StandardizerParams::default();
    match (settings.count("standardize"), settings.flag("standardize")) {
        (Some(learn), _) => scale.learn = learn,
        (None, Some(true)) => {}
        // The rest is checked all the same.
        (None, None) if settings.is_bad("standardize") => {}
        (None, _) => {
            return match settings.number("clip") {
                Some(clip) => Err(ObserverError::Config(format!(
                    "`clip` is {clip}, which says nothing without `standardize`"
                ))),
                None => Ok(observer),
            };
        }
    }
    scale.clip = settings.number("clip").unwrap_or(scale.clip);
    // The parameter's own name is not the plan's.
    observer.standardized(scale).map_err(|error| match error {
        ObserverError::Config(text) => ObserverError::Config(text.replace("`learn`", "`standardize`")),
        other => other,
    })
}

/// As [`ChangeObserver::adwin`] where nothing else is said.
fn adwin(settings: &Settings) -> AdwinParams {
    let usual = AdwinParams { compat: Compat::River, ..AdwinParams::default() };
    AdwinParams {
        delta: settings.number("delta").unwrap_or(usual.delta),
        clock: settings.count("clock").unwrap_or(usual.clock),
        max_buckets: settings.count("max_buckets").unwrap_or(usual.max_buckets),
        min_window_length: settings.count("min_window_length").unwrap_or(usual.min_window_length),
        grace_period: settings.count("grace_period").unwrap_or(usual.grace_period),
        compat: settings.choice("compat", choice::COMPAT).unwrap_or(usual.compat),
    }
}

fn page_hinkley(settings: &Settings) -> PageHinkleyParams {
    let usual = PageHinkleyParams::default();
    PageHinkleyParams {
        min_instances: settings.count("min_instances").unwrap_or(usual.min_instances),
        delta: settings.number("delta").unwrap_or(usual.delta),
        threshold: settings.number("threshold").unwrap_or(usual.threshold),
        alpha: settings.number("alpha").unwrap_or(usual.alpha),
        mode: settings.choice("mode", choice::MODE).unwrap_or(usual.mode),
        compat: settings.choice("compat", choice::COMPAT).unwrap_or(usual.compat),
    }
}

fn median_shift(settings: &Settings) -> MedianShiftParams {
    let usual = MedianShiftParams::default();
    MedianShiftParams {
        recent: settings.count("recent").unwrap_or(usual.recent),
        reference: settings.count("reference").unwrap_or(usual.reference),
        threshold: settings.number("threshold").unwrap_or(usual.threshold),
        floor_absolute: settings.number("floor_absolute").unwrap_or(usual.floor_absolute),
        floor_relative: settings.number("floor_relative").unwrap_or(usual.floor_relative),
    }
}

fn e_sr(settings: &Settings) -> MixtureParams {
    let usual = MixtureParams::default();
    MixtureParams {
        family: settings.choice("family", choice::FAMILY).unwrap_or(usual.family),
        mode: settings.choice("mode", choice::MODE).unwrap_or(usual.mode),
        m_pre: settings.number("m_pre").unwrap_or(usual.m_pre),
        delta_lower: settings.number("delta_lower").unwrap_or(usual.delta_lower),
        delta_upper: settings.number("delta_upper").unwrap_or(usual.delta_upper),
        arl: settings.number("arl").unwrap_or(usual.arl),
        max_components: settings.count("max_components").unwrap_or(usual.max_components),
        recursion: settings.choice("recursion", choice::RECURSION).unwrap_or(usual.recursion),
        rearm: settings.flag("rearm").unwrap_or(usual.rearm),
        ..usual
    }
}

fn latency(settings: &Settings) -> Result<LatencyObserver, ObserverError> {
    let usual = LatencyObserver::default();
    let (slo_ms, share_min) = usual.objective();
    let (window, count_min) = window(settings, usual.window());
    usual
        .with_objective(
            settings.number("slo_ms").unwrap_or(slo_ms),
            settings.number("share_min").unwrap_or(share_min),
        )?
        .with_window(window, count_min)
}

fn data_quality(settings: &Settings) -> Result<DataQualityObserver, ObserverError> {
    let usual = DataQualityObserver::default();
    let (min, max) = usual.range();
    let share_max = settings.number("share_max").unwrap_or(usual.share_max());
    let (window, count_min) = window(settings, usual.window());
    usual
        .with_range(settings.number("min").unwrap_or(min), settings.number("max").unwrap_or(max))?
        .with_share_max(share_max)?
        .with_window(window, count_min)
}

/// The window and how many values must have been seen: by default no more than the window holds.
fn window(settings: &Settings, (window, count_min): (u32, u32)) -> (u32, u32) {
    let window = settings.count("window").unwrap_or(window);
    match settings.count("count_min") {
        Some(count_min) if !settings.is_bad("window") => (window, count_min),
        _ => (window, count_min.min(window)),
    }
}
