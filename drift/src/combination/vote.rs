//! The vote: a change is declared when enough detectors saw one at about the same time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::parameters::parameters;
use crate::splitmix::SplitMix64;
use crate::state::{self, Fingerprint, Tally, ensure};
use crate::{AnyDetector, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;
/// Most members.
const MOST: usize = 64;

parameters! {
    /// Parameters of [`Vote`].
    pub struct VoteParams {
        /// Members that must have alarmed, from 1 to their number.
        pub need: u8 = 2,
        /// Values for which an alarm counts, the one it came on included, from 1.
        pub horizon: u64 = 200,
        /// Only alarms that point the same way count together; one that does not tell points both ways.
        pub agree: bool = true,
    }
}

impl VoteParams {
    /// Checks every field against its range, as far as it does not depend on the members.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        ParamError::check("need", f64::from(self.need), self.need >= 1, "at least 1")?;
        let ok = (1..=1 << 60).contains(&self.horizon);
        ParamError::check("horizon", self.horizon as f64, ok, "in 1..=2^60")
    }
}

/// The last alarm of a member that still counts.
#[derive(Clone, Copy, Debug, Default)]
struct Ballot {
    /// Values for which it still counts; 0 for none.
    left: u64,
    direction: Direction,
    since: u64,
}

/// Declares a change when `need` of its members have alarmed within `horizon` values.
///
/// Use it to make robust ones of quick detectors of different kinds: an alarm that only one of them sees
/// is often its own. On 174 annotated performance series votes raised F1 by 11 % over single detectors.
///
/// # Levels
///
/// | | level |
/// |---|---|
/// | `need` votes | drift |
/// | fewer, but at least one, or a member at warning | warning |
/// | none | normal |
///
/// `statistic` is the number of votes, `threshold` is `need`. `direction` is that of the votes counted
/// (without `agree`: of most of them), `since` the largest that any of them told. After a drift all votes
/// are forgotten; members go on as they do after alarms of their own.
///
/// # False alarms
///
/// Each alarm of the vote is one of a member's alarms, and each counts at most once: the vote has at
/// most the rate of all members together, divided by `need`. How much less depends on how alike the
/// members are, which no theorem tells: measure it ([`crate::calibration::measure_arl`]).
///
/// # Examples
///
/// ```
/// use visu_tility_drift::combination::{Vote, VoteParams};
/// use visu_tility_drift::{AnyParams, Detector, Direction};
///
/// let names = ["adwin", "page-hinkley", "median-shift"].into_iter();
/// let members = names.filter_map(|name| AnyParams::by_name(name)?.build().ok()).collect();
/// let mut vote = Vote::new(VoteParams::default(), members)?;
/// let (at, signal) = (0..2000)
///     .map(|i| (i, vote.update(if i < 1000 { 0.0 } else { 1.0 } + f64::from(i * 7 % 11) / 10.0)))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.direction, signal.statistic), (1051, Direction::Up, 2.0));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # References
///
/// Besbes et al., arXiv 2606.18377 (2026): votes over detectors on Mozilla's performance series.
#[derive(Clone, Debug)]
pub struct Vote {
    params: VoteParams,
    members: Vec<AnyDetector>,
    ballots: Vec<Ballot>,
    tally: Tally,
    statistic: f64,
}

impl Vote {
    /// Builds a vote over members, which keep what they have seen.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names, when there are more than 64
    /// members, or fewer than `need`.
    pub fn new(params: VoteParams, members: Vec<AnyDetector>) -> Result<Self, ParamError> {
        params.validate()?;
        let n = members.len();
        ParamError::check("members", n as f64, (1..=MOST).contains(&n), "1 to 64 of them")?;
        let need = params.need;
        ParamError::check("need", f64::from(need), usize::from(need) <= n, "at most the number of members")?;
        let ballots = alloc::vec![Ballot::default(); n];
        Ok(Self { params, members, ballots, tally: Tally::default(), statistic: 0.0 })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &VoteParams {
        &self.params
    }

    /// Returns the members.
    pub fn members(&self) -> &[AnyDetector] {
        &self.members
    }

    /// Counts the votes, and says which way they point.
    fn count_votes(&self) -> (u32, Direction) {
        let cast = self.ballots.iter().filter(|ballot| ballot.left > 0);
        let (mut up, mut down, mut unknown) = (0, 0, 0);
        for ballot in cast {
            match ballot.direction {
                Direction::Up => up += 1,
                Direction::Down => down += 1,
                Direction::Unknown => unknown += 1,
            }
        }
        let direction = match up.cmp(&down) {
            _ if up + down == 0 => Direction::Unknown,
            core::cmp::Ordering::Greater => Direction::Up,
            core::cmp::Ordering::Less => Direction::Down,
            core::cmp::Ordering::Equal => Direction::Unknown,
        };
        if self.params.agree { (up.max(down) + unknown, direction) } else { (up + down + unknown, direction) }
    }

    fn forget_votes(&mut self) {
        self.ballots.fill(Ballot::default());
    }

    fn fingerprint(&self) -> u64 {
        Fingerprint::new().u64(self.params.fingerprint()).u64(self.members.len() as u64).finish()
    }
}

impl Detector for Vote {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = f64::from(self.params.need);
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        let mut warned = false;
        for (member, ballot) in self.members.iter_mut().zip(&mut self.ballots) {
            let signal = member.update(value);
            ballot.left = ballot.left.saturating_sub(1);
            ballot.since = ballot.since.saturating_add(u64::from(ballot.since > 0));
            match signal.level {
                Level::Drift => {
                    let left = self.params.horizon;
                    *ballot = Ballot { left, direction: signal.direction, since: signal.since };
                }
                Level::Warning => warned = true,
                Level::Normal => {}
            }
        }
        let (votes, direction) = self.count_votes();
        let statistic = f64::from(votes);
        self.statistic = statistic;
        if votes >= u32::from(self.params.need) {
            let counted = |ballot: &&Ballot| {
                let apart = direction != Direction::Unknown
                    && ballot.direction != Direction::Unknown
                    && ballot.direction != direction;
                ballot.left > 0 && !(self.params.agree && apart)
            };
            let since = self.ballots.iter().filter(counted).map(|ballot| ballot.since).max().unwrap_or(0);
            self.forget_votes();
            self.statistic = 0.0;
            return Signal { level: Level::Drift, direction, statistic, threshold, since };
        }
        let level = if warned || votes > 0 { Level::Warning } else { Level::Normal };
        let direction = if votes > 0 { direction } else { Direction::Unknown };
        Signal { level, direction, statistic, threshold, since: 0 }
    }

    fn reset(&mut self) {
        self.members.iter_mut().for_each(AnyDetector::reset);
        self.forget_votes();
        self.tally = Tally::default();
        self.statistic = 0.0;
    }

    fn name(&self) -> &'static str {
        "vote"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn reseed(&mut self, seed: u64) {
        let mut seeds = SplitMix64::new(seed);
        self.members.iter_mut().for_each(|member| member.reseed(seeds.next()));
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        self.tally.write(out);
        put_f64(out, self.statistic);
        for ballot in &self.ballots {
            put_u64(out, ballot.left);
            out.push(ballot.direction as u8);
            put_u64(out, ballot.since);
        }
        write_members(&self.members, out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "vote", VERSION, self.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let statistic = bytes.finite("statistic")?;
        ensure((0.0..=f64::from(self.params.need)).contains(&statistic), "statistic")?;
        let mut ballots = alloc::vec![Ballot::default(); self.members.len()];
        for ballot in &mut ballots {
            ballot.left = bytes.u64()?;
            ensure(ballot.left <= self.params.horizon, "left")?;
            ballot.direction = match bytes.u8()? {
                0 => Direction::Unknown,
                1 => Direction::Up,
                2 => Direction::Down,
                _ => return Err(DecodeError::Range { field: "direction" }),
            };
            ballot.since = bytes.u64()?;
        }
        self.members = read_members(&self.members, bytes)?;
        (self.tally, self.statistic, self.ballots) = (tally, statistic, ballots);
        Ok(())
    }
}

/// Writes the state of each member behind its length.
pub(super) fn write_members(members: &[AnyDetector], out: &mut Vec<u8>) {
    for member in members {
        let at = out.len();
        put_u32(out, 0);
        member.write_state(out);
        let length = (out.len() - at - size_of::<u32>()) as u32;
        if let Some(slot) = out.get_mut(at..at + size_of::<u32>()) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Reads what [`write_members`] wrote for members built alike.
pub(super) fn read_members(
    members: &[AnyDetector],
    bytes: &mut Reader<'_>,
) -> Result<Vec<AnyDetector>, DecodeError> {
    let mut next = members.to_vec();
    for member in &mut next {
        let mut own = Reader::new(bytes.bytes()?);
        member.read_state(&mut own)?;
        own.finish()?;
    }
    Ok(next)
}

impl From<Vote> for AnyDetector {
    fn from(vote: Vote) -> Self {
        Self::Custom(Box::new(vote))
    }
}
