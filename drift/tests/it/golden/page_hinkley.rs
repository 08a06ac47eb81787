//! Page-Hinkley against river and MOA.

use super::{assert_all_drifts, params_of};

#[test]
fn page_hinkley_agrees_with_river() {
    let build = |case: &_| params_of("page-hinkley", "river", case, &[]).build().unwrap();
    assert!(assert_all_drifts("river.json", "PageHinkley", build) > 0);
}

#[test]
fn page_hinkley_agrees_with_moa() {
    let build = |case: &_| params_of("page-hinkley", "moa", case, &[]).build().unwrap();
    assert!(assert_all_drifts("moa.json", "PageHinkleyDM", build) > 0);
}
