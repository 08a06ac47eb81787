//! Whether a shift can be chance: by the places of the recent values among those before, which is exact whatever
//! the law of the values.

use super::MedianShiftParams;

/// What the parameter `arl` may be when it is not 0.
pub(super) const ARL_LEAST: f64 = 2.0;
pub(super) const ARL_MOST: f64 = 1e15;
/// So many of the reference, one in ten, may lie beyond all recent values, and these still be too far out.
const OUTLIERS: u16 = 10;
/// Most false alarms that follow on one, on average, before the reference is full again.
const ECHOES: f64 = 0.25;

/// The recent values that a run length asks for, and the chance that a shift of them may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) recent: u16,
    /// 0 without a bound.
    pub(super) arl: f64,
    level: f64,
    /// What is added to it until the reference is full again after an alarm.
    echo: f64,
}

impl Test {
    /// The test for a run length, which is held within what the windows can show; 0 for none.
    pub(super) fn new(params: &MedianShiftParams, arl: f64) -> Self {
        if arl == 0.0 {
            return Self { recent: params.recent, arl, level: 1.0, echo: 0.0 };
        }
        let arl = arl.clamp(ARL_LEAST, arl_most(params));
        let recent = recent(params, arl);
        let echo = ECHOES / f64::from(params.reference) / ways(params, recent);
        Self { recent, arl, level: level(params, recent, arl), echo }
    }

    /// Whether `beyond` of `reference` values, which lie at or beyond the recent one in this place, are too few for
    /// chance. Places count from the side of the reference, from 0.
    pub(super) fn rejects_place(
        &self,
        place: usize,
        reference: usize,
        beyond: usize,
        after_alarm: bool,
    ) -> bool {
        chance(usize::from(self.recent), place, reference, beyond) <= self.level(after_alarm)
    }

    fn level(&self, after_alarm: bool) -> f64 {
        if after_alarm { self.level + self.echo } else { self.level }
    }
}

/// The largest run length that the recent values that fit can show.
pub(super) fn arl_most(params: &MedianShiftParams) -> f64 {
    let recent = params.recent_most();
    let least = chance(usize::from(recent), 0, usize::from(params.reference), 0);
    (level(params, recent, 1.0) / least).min(ARL_MOST)
}

/// How many recent values can show a run length, outliers in the reference allowed for.
fn recent(params: &MedianShiftParams, arl: f64) -> u16 {
    let (reference, most) = (params.reference, params.recent_most());
    let enough = |recent: &u16| {
        let far = chance(usize::from(*recent), 0, reference.into(), (reference / OUTLIERS).into());
        far <= level(params, *recent, arl)
    };
    (params.recent..most).find(enough).unwrap_or(most)
}

/// The chance that each test may have at each value: see the page of [`super::MedianShift`] for where it comes from.
fn level(params: &MedianShiftParams, recent: u16, arl: f64) -> f64 {
    (1.0 - ECHOES) * (1.0 - ECHOES) / (2.0 * arl * ways(params, recent))
}

/// Among how many tests a chance is shared: two directions, and the places that are looked at.
fn ways(params: &MedianShiftParams, recent: u16) -> f64 {
    2.0 * (params.spared(recent) + 1) as f64
}

/// The chance that of `reference` values at most `beyond` lie beyond the recent one in `place`, of `recent` in
/// order, when every order of all values is as likely: the negative hypergeometric law.
///
/// With `i` beyond, the values beyond it are in any order, and so are those before it:
/// `C(recent - place - 1 + i, i) C(place + reference - i, place)` of the `C(recent + reference, recent)` orders.
fn chance(recent: usize, place: usize, reference: usize, beyond: usize) -> f64 {
    if beyond >= reference {
        return 1.0;
    }
    let n = reference as f64;
    let mut term: f64 = (place + 1..=recent).map(|t| t as f64 / (n + t as f64)).product();
    let mut sum = term;
    let after = recent.saturating_sub(place) as f64;
    for i in 0..beyond {
        let (i, left) = (i as f64, n - i as f64);
        term *= (i + after) / (i + 1.0) * (left / (left + place as f64));
        sum += term;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all orders of `m` recent and `n` reference values, the share in which at most `beyond` of the reference
    /// lie above the recent value in `place`, by going through them.
    fn enumerated(m: u32, place: u32, n: u32, beyond: u32) -> f64 {
        let (mut all, mut within) = (0, 0);
        for order in (0..1_u32 << (m + n)).filter(|order| order.count_ones() == m) {
            all += 1;
            let mut recents = 0;
            // From the lowest value up; a one is a recent value.
            let at = (0..m + n).find(|bit| {
                recents += order >> bit & 1;
                recents == place + 1
            });
            let above = at.map_or(0, |at| (at + 1..m + n).filter(|bit| order >> bit & 1 == 0).count());
            within += u32::from(above <= beyond as usize);
        }
        f64::from(within) / f64::from(all)
    }

    #[test]
    fn the_law_is_that_of_going_through_all_orders() {
        for (m, n) in [(1, 4), (2, 5), (5, 8), (4, 10), (8, 8), (3, 1)] {
            for place in 0..m {
                for beyond in 0..=n {
                    let law = chance(m as usize, place as usize, n as usize, beyond as usize);
                    let counted = enumerated(m, place, n, beyond);
                    assert!((law - counted).abs() < 1e-12, "{m} {n} {place} {beyond}: {law} {counted}");
                }
            }
        }
    }

    /// `nhypergeom(reference + recent, reference, recent - place).cdf(beyond)` of scipy 1.17.1.
    #[test]
    fn the_law_is_that_of_scipy() {
        for (recent, place, reference, beyond, expected) in SCIPY {
            let law = chance(recent, place, reference, beyond);
            assert!((law / expected - 1.0).abs() < 1e-9, "{recent} {place} {reference} {beyond}: {law}");
        }
    }

    const SCIPY: [(usize, usize, usize, usize, f64); 10] = [
        (8, 0, 60, 0, 1.352_812_065_169e-10),
        (8, 0, 60, 6, 4.062_494_631_704e-7),
        (8, 1, 60, 2, 2.885_548_135_006e-7),
        (8, 2, 60, 0, 2.558_167_615_235e-7),
        (8, 2, 60, 9, 9.800_284_668_671e-4),
        (8, 7, 60, 30, 9.947_770_604_732e-1),
        (5, 0, 20, 1, 1.129_305_477_132e-4),
        (12, 3, 60, 4, 1.545_105_560_388e-6),
        (40, 8, 200, 25, 4.344_291_694_381e-17),
        (1, 0, 4, 2, 0.6),
    ];

    #[test]
    fn a_larger_run_length_asks_for_more_recent_values_and_never_for_fewer() {
        let params = MedianShiftParams::default();
        let recents: Vec<u16> = (1..=15).map(|tens| Test::new(&params, 10_f64.powi(tens)).recent).collect();
        assert!(recents.is_sorted() && recents[4] == 8 && recents[14] > 12, "{recents:?}");
        let few = MedianShiftParams { recent: 1, reference: 4, share: 1.0, ..params };
        let test = Test::new(&few, 1e15);
        assert_eq!((test.recent, test.arl), (236, few.arl_most()));
        let [all, one_beyond, fewer] =
            [(4, 0), (4, 1), (3, 0)].map(|(n, k)| test.rejects_place(0, n, k, false));
        assert!(all && !one_beyond && !fewer, "all four must lie on one side of all that are recent");
    }
}
