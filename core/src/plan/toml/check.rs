//! The settings of a rule, made into its check by the constructors, which know the ranges.

use visu_tility_drift::{
    AnyParams, CentroidShiftParams, DistributionShiftParams, OnlineMmdParams, Parameters, PreparationParams,
    StandardizerParams,
};

use super::section::Settings;
use super::value::quoted;
use super::{choice, combination};
use crate::check::{
    ChangeObserver, Check, DataQualityObserver, DistributionObserver, DriftDetector, EmbeddingObserver,
    LatencyObserver, PerformanceDegrader, StalenessObserver, usual_arl,
};
use crate::error::ObserverError;
use crate::id::Version;

/// Reads a file that a plan names, or says why not; the text reads after "`reference_file` is NAME, ".
pub(super) type Files<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Builds the check of a type whose name is one of [`choice::TYPE`]. What is required and missing has been
/// reported; anything stands in for it.
pub(super) fn build(type_name: &str, settings: &Settings, files: Files<'_>) -> Result<Check, ObserverError> {
    match type_name {
        "drift-score" => drift_score(settings).map(Check::DriftScore),
        "performance" => performance(settings).map(Check::Performance),
        "change" => change(settings).map(Check::Change),
        "combination" => combination::build(settings).map(Check::Combination),
        "distribution" => distribution(settings, files).map(Check::Distribution),
        "embedding" => embedding(settings).map(Check::Embedding),
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
    if let Some(count_min) = settings.count("count_min") {
        degrader = degrader.with_count_min(count_min)?;
    }
    match settings.number("recover") {
        Some(recover) if min_accuracy.is_some() => degrader.recover_at(recover),
        _ => Ok(degrader),
    }
}

fn change(settings: &Settings) -> Result<ChangeObserver, ObserverError> {
    let mut observer = ChangeObserver::new(detector(settings)?)?
        .alert_on(settings.choice("alert_on", choice::ALERT_ON).unwrap_or_default());
    // Whoever does not say how often a detector may be wrong leaves it to the budget.
    if observer.has_run_length() && settings.parameter("arl").is_none() {
        observer = observer.budgeted()?;
    }
    if settings.flag("calendar") == Some(true) {
        observer = observer.with_calendar()?;
    }
    observer.prepared(preparation(settings)?)
}

/// What is done to the values before they reach the detector.
pub(super) fn preparation(settings: &Settings) -> Result<PreparationParams, ObserverError> {
    Ok(PreparationParams {
        gap: stage("gap", settings)?,
        range: stage("range", settings)?,
        seasonal: stage("seasonal", settings)?,
        exceedance: stage("exceedance", settings)?,
        batch: stage("batch", settings)?,
        standardize: standardize(settings)?,
    })
}

/// A stage of the preparation, when it is switched on; its keys begin with its name.
fn stage<P: Parameters>(name: &str, settings: &Settings) -> Result<Option<P>, ObserverError> {
    let on = settings.flag(name) == Some(true);
    let mut params = P::default();
    for parameter in P::ALL {
        let key = format!("{name}_{}", parameter.name);
        let Some(setting) = settings.parameter(&key) else { continue };
        if !on && !settings.is_bad(name) {
            return Err(ObserverError::Config(format!("`{key}` says nothing without `{name} = true`")));
        }
        params.set(parameter.name, setting).map_err(|error| renamed::<P>(name, &error))?;
    }
    params.check().map_err(|error| renamed::<P>(name, &error))?;
    Ok(on.then_some(params))
}

/// What is wrong with a stage, by the plan's keys: the parameters' own names are not those.
fn renamed<P: Parameters>(stage: &str, error: &impl ToString) -> ObserverError {
    let key = |text: String, name: &str| text.replace(&format!("`{name}`"), &format!("`{stage}_{name}`"));
    ObserverError::Config(P::ALL.iter().fold(error.to_string(), |text, known| key(text, known.name)))
}

/// The last stage, which has keys of its own.
fn standardize(settings: &Settings) -> Result<Option<StandardizerParams>, ObserverError> {
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
                None => Ok(None),
            };
        }
    }
    scale.clip = settings.number("clip").unwrap_or(scale.clip);
    scale
        .validate()
        .map_err(|error| ObserverError::Config(error.to_string().replace("`learn`", "`standardize`")))?;
    Ok(Some(scale))
}

/// The detector with what is said of its parameters.
pub(super) fn detector(settings: &Settings) -> Result<AnyParams, ObserverError> {
    // Its name has been checked, or reported as missing.
    let name = settings.word("detector").unwrap_or("adwin");
    let Some(mut params) = AnyParams::by_name(name) else {
        return Err(ObserverError::Config(format!("`detector` is \"{name}\"")));
    };
    for parameter in params.parameters() {
        if let Some(setting) = settings.parameter(parameter.name) {
            params.set(parameter.name, setting).map_err(|error| ObserverError::Config(error.to_string()))?;
        }
    }
    // The budget will set it, whatever the window.
    if let AnyParams::DistributionShift(shift) = &mut params
        && settings.parameter("arl").is_none()
    {
        shift.arl = usual_arl(shift.window);
    }
    Ok(params)
}

/// Parameters with what is said of them.
pub(super) fn said<P: Parameters>(settings: &Settings) -> Result<P, ObserverError> {
    let mut params = P::default();
    for parameter in P::ALL {
        if let Some(setting) = settings.parameter(parameter.name) {
            params.set(parameter.name, setting).map_err(|error| ObserverError::Config(error.to_string()))?;
        }
    }
    Ok(params)
}

fn distribution(settings: &Settings, files: Files<'_>) -> Result<DistributionObserver, ObserverError> {
    let mut params: DistributionShiftParams = said(settings)?;
    let budgeted = settings.parameter("arl").is_none();
    if budgeted {
        params.arl = usual_arl(params.window);
    }
    let mut observer = DistributionObserver::new(params)?;
    check_reference(settings)?;
    if let (Some(edges), Some(counts)) = (settings.numbers("edges"), settings.counts("counts")) {
        observer = observer.against(&DistributionObserver::reference_of_counts(edges, counts)?)?;
    }
    if let Some(name) = settings.text("reference_file") {
        let shown = quoted(name);
        let text = files(name)
            .map_err(|why| ObserverError::Config(format!("`reference_file` is {shown}, {why}")))?;
        let read = DistributionObserver::reference_of_text(&text, params.bins);
        observer = read.and_then(|reference| observer.against(&reference)).map_err(|error| {
            let why = match error {
                ObserverError::Config(text) => text,
                other => other.to_string(),
            };
            ObserverError::Config(format!("`reference_file` is {shown}, which holds no reference: {why}"))
        })?;
    }
    if let Some(name) = settings.text("reference_version") {
        let version = Version::new(name).map_err(|error| {
            ObserverError::Config(format!(
                "`reference_version` is {}, must be {}",
                quoted(name),
                error.allowed()
            ))
        })?;
        observer = observer.against_version(version);
    }
    Ok(if budgeted { observer.budgeted() } else { observer })
}

/// Refuses keys of a reference that say nothing beside others.
fn check_reference(settings: &Settings) -> Result<(), ObserverError> {
    let refuse = |text: String| Err(ObserverError::Config(text));
    let given = |name: &str| settings.is_bad(name) || settings.has(name);
    let ways = ["edges", "reference_file", "reference_version"];
    let mut ways = ways.into_iter().filter(|name| given(name));
    if let (Some(first), Some(second)) = (ways.next(), ways.next())
        && settings.has(second)
    {
        return refuse(format!("`{second}` says nothing beside `{first}`"));
    }
    for (name, other) in [("edges", "counts"), ("counts", "edges")] {
        if settings.has(name) && !given(other) {
            return refuse(format!("`{name}` says nothing without `{other}`"));
        }
    }
    for (name, other) in [("reference", "edges"), ("reference", "reference_file"), ("bins", "edges")] {
        if settings.has(name) && given(other) {
            return refuse(format!("`{name}` says nothing beside `{other}`"));
        }
    }
    Ok(())
}

fn embedding(settings: &Settings) -> Result<EmbeddingObserver, ObserverError> {
    let budgeted = settings.parameter("arl").is_none();
    let method = settings.word("method").unwrap_or("mmd");
    let observer = if method == "centroid" {
        foreign::<OnlineMmdParams, CentroidShiftParams>(settings, "mmd", method)?;
        let mut params: CentroidShiftParams = said(settings)?;
        if budgeted {
            params.arl = usual_arl(params.window);
        }
        EmbeddingObserver::centroid(params)?
    } else {
        if !settings.is_bad("method") {
            foreign::<CentroidShiftParams, OnlineMmdParams>(settings, "centroid", method)?;
        }
        EmbeddingObserver::mmd(said(settings)?)?
    };
    Ok(if budgeted { observer.budgeted() } else { observer })
}

/// Refuses what only another method has.
fn foreign<P: Parameters, Own: Parameters>(
    settings: &Settings,
    other: &str,
    method: &str,
) -> Result<(), ObserverError> {
    let own = |name: &str| Own::ALL.iter().any(|known| known.name == name);
    match P::ALL.iter().find(|known| settings.has(known.name) && !own(known.name)) {
        Some(known) => Err(ObserverError::Config(format!(
            "`{}` is a key of method \"{other}\", not of method \"{method}\"",
            known.name
        ))),
        None => Ok(()),
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
