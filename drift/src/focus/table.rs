//! Thresholds by simulation: printed by `examples/focus_table.rs`, never edited.

use crate::FocusFamily;

/// Average run lengths `10^2`, `10^2.25`, up to `10^4.5`.
pub(super) const KNOTS: usize = 11;

/// The thresholds of a family, with the level known or not, and one or two sides.
pub(super) const fn thresholds(family: FocusFamily, known: bool, two_sided: bool) -> [f64; KNOTS] {
    match (family, known, two_sided) {
        (FocusFamily::Gaussian, false, false) => {
            [3.625, 4.25, 4.875, 5.625, 6.25, 6.875, 7.5, 8.25, 8.875, 9.375, 10.0]
        }
        (FocusFamily::Gaussian, false, true) => {
            [4.375, 5.0, 5.75, 6.375, 7.0, 7.625, 8.25, 8.875, 9.5, 10.125, 10.75]
        }
        (FocusFamily::Gaussian, true, false) => {
            [3.625, 4.25, 4.875, 5.5, 6.25, 6.875, 7.5, 8.125, 8.75, 9.375, 10.0]
        }
        (FocusFamily::Gaussian, true, true) => {
            [4.375, 5.0, 5.625, 6.25, 7.0, 7.625, 8.25, 8.875, 9.5, 10.125, 10.75]
        }
        (FocusFamily::Bernoulli, false, false) => {
            [4.125, 4.625, 5.375, 6.0, 6.625, 7.125, 7.875, 8.375, 9.125, 9.75, 10.625]
        }
        (FocusFamily::Bernoulli, false, true) => {
            [4.625, 5.25, 5.875, 6.5, 7.0, 7.625, 8.375, 8.875, 9.5, 10.125, 11.0]
        }
        (FocusFamily::Bernoulli, true, false) => {
            [4.625, 4.875, 5.75, 6.25, 7.125, 7.625, 8.125, 8.5, 9.25, 9.75, 10.75]
        }
        (FocusFamily::Bernoulli, true, true) => {
            [4.875, 5.375, 5.75, 6.5, 7.25, 7.625, 8.5, 9.125, 9.75, 10.125, 11.0]
        }
        (FocusFamily::Poisson, false, false) => {
            [4.125, 4.625, 5.625, 6.5, 7.0, 7.875, 8.125, 8.625, 9.125, 10.0, 10.625]
        }
        (FocusFamily::Poisson, false, true) => {
            [4.625, 5.25, 6.0, 6.875, 7.25, 8.0, 8.5, 9.125, 9.875, 10.5, 11.125]
        }
        (FocusFamily::Poisson, true, false) => {
            [4.125, 5.0, 5.5, 6.5, 7.125, 8.0, 8.125, 8.625, 9.125, 10.125, 10.375]
        }
        (FocusFamily::Poisson, true, true) => {
            [4.625, 5.125, 6.125, 7.125, 7.25, 8.125, 8.625, 9.125, 9.875, 10.5, 11.125]
        }
    }
}
