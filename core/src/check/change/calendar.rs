//! Novelty with a clock, as a detector that is given times.

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{CalendarNovelty, Detector, NoveltyParams, ParamError, Signal};

use super::TakesTime;
use crate::time::Timestamp;

/// Stands before the state, which begins as that of a novelty without a clock does.
const TAG: u8 = 0xca;

/// [`CalendarNovelty`] with the times of events. Larger than a detector may be, so in a box.
#[derive(Clone, Debug)]
pub(crate) struct Calendar(Box<CalendarNovelty>);

impl Calendar {
    pub fn new(params: NoveltyParams) -> Result<Self, ParamError> {
        CalendarNovelty::new(params).map(|novelty| Self(Box::new(novelty)))
    }
}

impl TakesTime for Calendar {
    fn update_at(&mut self, value: f64, at: Timestamp) -> Signal {
        self.0.update(value, at.micros().div_euclid(1_000_000))
    }
}

impl Detector for Calendar {
    /// Without times all values are of one hour.
    fn update(&mut self, value: f64) -> Signal {
        self.0.update(value, 0)
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn name(&self) -> &'static str {
        "calendar-novelty"
    }

    fn count(&self) -> u64 {
        self.0.count()
    }

    fn ignored(&self) -> u64 {
        self.0.ignored()
    }

    fn estimation(&self) -> Option<f64> {
        self.0.estimation()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.push(TAG);
        self.0.write_state(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        if bytes.u8()? != TAG {
            return Err(DecodeError::Parameters { what: "calendar-novelty" });
        }
        self.0.read_state(bytes)
    }
}

#[cfg(test)]
mod tests {
    use visu_tility_drift::AnyParams;

    use super::*;
    use crate::check::ChangeObserver;
    use crate::check::Check;
    use crate::kind::MetricKind;
    use crate::{AlertCondition, MetricObserver};

    fn novelty() -> ChangeObserver {
        ChangeObserver::new(NoveltyParams::default()).unwrap()
    }

    /// Every five minutes: busy from 8 to 18 h, but not on the twelfth day.
    fn reading(i: i64) -> (f64, Timestamp) {
        let busy = (8..18).contains(&(i % 288 / 12)) && i / 288 != 11;
        let value = (i % 7) as f64 + if busy { 80.0 } else { 20.0 };
        (value, Timestamp::from_micros(i * 300 * 1_000_000))
    }

    fn fired(observer: &ChangeObserver) -> Vec<i64> {
        let mut running = observer.builtin().unwrap().run(&MetricKind::feature("visits").unwrap()).unwrap();
        let fires = |i: &i64| {
            let (value, at) = reading(*i);
            running.observe(value, at) == AlertCondition::Fire
        };
        (0..14 * 288).filter(fires).collect()
    }

    #[test]
    fn a_quiet_day_is_strange_to_who_knows_the_time() {
        let with = fired(&novelty().with_calendar().unwrap());
        // As drift's own page has it, without times of events.
        assert_eq!(with, [218, 220, 11 * 288 + 108, 3307, 3338, 3369]);
        assert!(fired(&novelty()).iter().all(|at| at / 288 != 11), "every value of that day is a usual one");
    }

    #[test]
    fn only_novelty_has_a_calendar() {
        let text = ChangeObserver::new(AnyParams::by_name("adwin").unwrap()).unwrap().with_calendar();
        assert!(text.unwrap_err().to_string().contains("`calendar` is true"));
        assert_ne!(novelty().with_calendar().unwrap(), novelty());
    }

    #[test]
    fn states_with_and_without_a_calendar_are_not_mistaken_for_each_other() {
        let kind = MetricKind::feature("visits").unwrap();
        let start = |observer: &ChangeObserver| {
            observer
                .builtin()
                .as_ref()
                .and_then(|check: &Check| check.start(&crate::Version::unversioned(), &kind))
                .unwrap()
        };
        let plain = novelty();
        let calendar = plain.clone().with_calendar().unwrap();
        let written = |observer: &ChangeObserver| {
            let mut state = start(observer);
            (0..2_000).map(reading).for_each(|(value, at)| _ = state.observe(value, at));
            let mut bytes = Vec::new();
            state.write(&mut bytes);
            bytes
        };
        let (with, without) = (written(&calendar), written(&plain));
        assert!(with.len() <= 17 << 10, "{}", with.len());
        for (observer, bytes) in [(&plain, &with), (&calendar, &without)] {
            let refused = start(observer).read(&mut Reader::new(bytes)).unwrap_err();
            let afresh = matches!(refused, DecodeError::Parameters { .. } | DecodeError::Version { .. });
            assert!(afresh, "{refused:?} is no damage");
        }
        let mut copy = start(&calendar);
        copy.read(&mut Reader::new(&with)).unwrap();
        let mut again = Vec::new();
        copy.write(&mut again);
        assert_eq!(again, with);
    }
}
