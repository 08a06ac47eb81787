//! From positions and values to places on the drawing.

/// Width of a drawing.
pub(super) const WIDTH: f64 = 1060.0;
/// Where the axis of positions begins.
pub(super) const LEFT: f64 = 126.0;
/// Where it ends.
pub(super) const RIGHT: f64 = WIDTH - 24.0;

/// A straight map from one range to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
}

impl Scale {
    /// Maps `from` to `to`; a range without width is mapped to the middle.
    pub(super) fn new(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to }
    }

    /// The place of a value, not outside the range.
    pub(super) fn at(self, value: f64) -> f64 {
        // Halves, as the difference of two numbers need not be one.
        let width = self.from.1 / 2.0 - self.from.0 / 2.0;
        let share =
            if width > 0.0 { ((value / 2.0 - self.from.0 / 2.0) / width).clamp(0.0, 1.0) } else { 0.5 };
        self.to.0 + share * (self.to.1 - self.to.0)
    }

    /// About `count` round values within the range, in order.
    pub(super) fn ticks(self, count: usize) -> Vec<f64> {
        let (low, high) = self.from;
        let count = count.max(1) as f64;
        let rough = high / count - low / count;
        if rough.is_nan() || rough <= 0.0 || !rough.is_finite() {
            return vec![low];
        }
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let first = (low / step).ceil();
        let last = (high / step + 1e-9).floor();
        (0..=(last - first).clamp(0.0, 20.0) as u32).map(|i| (first + f64::from(i)) * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_land_within_the_drawing() {
        let scale = Scale::new((0.0, 10.0), (100.0, 0.0));
        assert_eq!([scale.at(0.0), scale.at(5.0), scale.at(10.0), scale.at(99.0)], [100.0, 50.0, 0.0, 0.0]);
        assert_eq!(Scale::new((3.0, 3.0), (0.0, 10.0)).at(3.0), 5.0);
    }

    #[test]
    fn the_whole_range_of_numbers_can_be_drawn() {
        let scale = Scale::new((-f64::MAX, f64::MAX), (100.0, 0.0));
        assert_eq!([scale.at(-f64::MAX), scale.at(0.0), scale.at(f64::MAX)], [100.0, 50.0, 0.0]);
        let ticks = scale.ticks(4);
        assert!(ticks.len() > 2 && ticks.iter().all(|tick| tick.is_finite()), "{ticks:?}");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(Scale::new((0.0, 8000.0), (0.0, 1.0)).ticks(5), [0.0, 2000.0, 4000.0, 6000.0, 8000.0]);
        assert_eq!(Scale::new((0.31, 0.97), (0.0, 1.0)).ticks(3), [0.5]);
        assert_eq!(Scale::new((1.0, 1.0), (0.0, 1.0)).ticks(3), [1.0]);
        assert_eq!(Scale::new((f64::NAN, 1.0), (0.0, 1.0)).ticks(3).len(), 1);
    }
}
