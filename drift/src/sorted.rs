//! A small sorted window: medians and median deviations without sorting again.

use alloc::vec::Vec;

/// Puts `value` in its place.
#[inline]
pub(crate) fn insert(window: &mut Vec<f64>, value: f64) {
    let at = window.partition_point(|&other| other < value);
    window.insert(at, value);
}

/// Takes out one value equal to `leaving`, which must be there, and puts `value` in its place.
#[inline]
pub(crate) fn replace(window: &mut [f64], leaving: f64, value: f64) {
    let from = window.partition_point(|&other| other < leaving);
    let to = window.partition_point(|&other| other < value);
    if from >= window.len() {
        return;
    }
    let at = if to > from {
        window.copy_within(from + 1..to, from);
        to - 1
    } else {
        window.copy_within(to..from, to + 1);
        to
    };
    if let Some(slot) = window.get_mut(at) {
        *slot = value;
    }
}

/// Returns the middle value, or the mean of the two.
#[inline]
pub(crate) fn median(window: &[f64]) -> Option<f64> {
    let n = window.len();
    let upper = *window.get(n / 2)?;
    if n % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*window.get(n / 2 - 1)?, upper))
}

/// Returns the median of the distances from `center`, or 0 for an empty window.
///
/// The values nearest to `center` lie side by side; a binary search finds where the nearer half begins.
#[inline]
pub(crate) fn deviation(window: &[f64], center: f64) -> f64 {
    let half = window.len() / 2 + 1;
    let (mut low, mut high) = (0, window.len().saturating_sub(half));
    while low < high {
        let middle = usize::midpoint(low, high);
        let (Some(left), Some(right)) = (window.get(middle), window.get(middle + half)) else { break };
        if center - left > right - center {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let Some([left, inner @ .., right]) = window.get(low..low + half) else {
        // One value, or none.
        return window.first().map_or(0.0, |value| (value - center).abs());
    };
    let (below, above) = (center - left, right - center);
    let farthest = below.max(above);
    if window.len() % 2 == 1 {
        return farthest;
    }
    // Take the farthest out; the next is what stood beside it or at the other end.
    let next = if below >= above {
        above.max(center - inner.first().unwrap_or(right))
    } else {
        below.max(inner.last().unwrap_or(left) - center)
    };
    f64::midpoint(next, farthest)
}

#[cfg(test)]
mod tests {
    use super::{deviation, insert, median, replace};

    fn plain_median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        if n % 2 == 1 { values[n / 2] } else { f64::midpoint(values[n / 2 - 1], values[n / 2]) }
    }

    #[test]
    fn windows_agree_with_sorting_again() {
        let mut state = 1_u64;
        let mut next = |span: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % span
        };
        for round in 0..2_000 {
            let n = 1 + next(12) as usize;
            let mut plain: Vec<f64> = (0..n).map(|_| next(9) as f64).collect();
            let mut window = Vec::new();
            for &x in &plain {
                insert(&mut window, x);
            }
            for _ in 0..5 {
                let (at, x) = (next(n as u64) as usize, next(9) as f64);
                replace(&mut window, plain[at], x);
                plain[at] = x;
            }
            let center = if round % 3 == 0 { next(9) as f64 } else { plain_median(plain.clone()) };
            let apart = plain.iter().map(|x| (x - center).abs()).collect();
            assert_eq!(median(&window), Some(plain_median(plain.clone())));
            assert_eq!(deviation(&window, center), plain_median(apart), "{window:?} around {center}");
        }
    }
}
