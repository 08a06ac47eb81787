//! What becomes of readings that are not newer than the newest of their version and kind.

use crate::plan::{EventOrder, EventPolicy};
use crate::time::Timestamp;

use super::Admission;
use super::body::Counts;
use super::series::Series;

/// Decides about a reading whose time is not after the newest one.
///
/// | order | same time | up to `lateness_max` older | older still |
/// |---|---|---|---|
/// | arrival | taken | taken, counted as late | too late |
/// | strict | repeat | repeat | too late |
///
/// With arrival order, after `back_step_count` too-late readings in a row whose times do not fall among
/// themselves, the publisher's clock is taken to have been set back: the last of them is taken, and times
/// count from it. With strict order they are not distinguished from readings that are sent again.
pub(super) fn admit(
    series: &mut Series,
    at: Timestamp,
    policy: &EventPolicy,
    counts: &mut Counts,
) -> Admission {
    if at >= series.newest.minus(policy.lateness_max) {
        series.back_run = 0;
        return match policy.order {
            EventOrder::Arrival if at == series.newest => Admission::Taken,
            EventOrder::Arrival => {
                counts.late += 1;
                Admission::Late
            }
            EventOrder::Strict => {
                counts.repeated += 1;
                Admission::Repeated
            }
        };
    }
    if policy.order == EventOrder::Strict {
        counts.too_late += 1;
        return Admission::TooLate;
    }
    let in_order = series.back_run > 0 && at >= series.info.back_at;
    series.back_run = if in_order { series.back_run + 1 } else { 1 };
    series.info.back_at = at;
    if series.back_run >= policy.back_step_count {
        series.back_run = 0;
        series.newest = at;
        counts.back_steps += 1;
        return Admission::Taken;
    }
    counts.too_late += 1;
    Admission::TooLate
}
