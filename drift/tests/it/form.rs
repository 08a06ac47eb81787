//! The serde form of parameters and signals.

use visu_tility_drift::combination::{EvidenceMergeParams, GateParams, Rearm, VoteParams};
use visu_tility_drift::{
    AdwinParams, AnyParams, BatcherParams, Budget, Compat, Detector, Direction, Level, PreparationParams,
    QuantileSketchParams, Season, SeasonalParams, Signal, StandardizerParams,
};

fn round_trip<T>(value: &T)
where
    T: PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

#[test]
fn parameters_and_signals_come_back_as_they_were() {
    round_trip(&AdwinParams { compat: Compat::River, ..AdwinParams::default() });
    for name in AnyParams::NAMES {
        let params = AnyParams::by_name(name).unwrap();
        round_trip(&params);
        for parameter in params.parameters() {
            let (mut copy, value) = (params, params.get(parameter.name).unwrap());
            assert_eq!((copy.set(parameter.name, value), copy), (Ok(()), params), "{name}");
        }
        assert_eq!((params.name(), params.build().unwrap().name()), (*name, *name));
    }
    round_trip(&QuantileSketchParams::default());
    round_trip(&StandardizerParams::default());
    let off = PreparationParams::default();
    round_trip(&off);
    assert_eq!(serde_json::to_string(&off).unwrap(), "{}");
    let batch: PreparationParams =
        serde_json::from_str(r#"{"batch": {}, "seasonal": {"season": "day"}}"#).unwrap();
    let seasonal = SeasonalParams { season: Season::Day, ..SeasonalParams::default() };
    assert_eq!((batch.batch, batch.seasonal), (Some(BatcherParams::default()), Some(seasonal)));
    round_trip(&batch);
    round_trip(&GateParams { rearm: Rearm::CoolDown, ..GateParams::default() });
    round_trip(&VoteParams::default());
    round_trip(&EvidenceMergeParams::default());
    round_trip(&Budget::new(2.0).unwrap());
    let signal = Signal {
        level: Level::Drift,
        direction: Direction::Up,
        statistic: 0.3,
        threshold: f64::MAX,
        since: 7,
    };
    round_trip(&signal);
    assert!(serde_json::to_string(&signal).unwrap().starts_with(r#"{"level":"drift","direction":"up""#));
}

#[test]
fn missing_fields_are_defaults_and_unknown_ones_are_refused() {
    let params: AdwinParams = serde_json::from_str(r#"{"clock": 1}"#).unwrap();
    assert_eq!(params, AdwinParams { clock: 1, ..AdwinParams::default() });
    assert!(serde_json::from_str::<AdwinParams>(r#"{"clok": 1}"#).is_err());
}
