//! Streams of sixty days with pauses of all sorts: how often they page, and how soon when they end.

use super::*;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A Monday, 00:00.
const MONDAY: u64 = 20_000 * DAY + 4 * DAY;
const DAYS: u64 = 60;
const LEARNING: u64 = 14 * DAY;

/// Times of events over 60 days, in microseconds since the first Monday.
struct Stream(Vec<u64>);

/// `SplitMix64`, so that the streams are the same everywhere.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time from 0 to less than `span`.
    fn within(&mut self, span: u64) -> u64 {
        (self.uniform() * span as f64) as u64
    }

    /// A waiting time of a Poisson process.
    fn wait(&mut self, mean: u64) -> u64 {
        (-(1.0 - self.uniform()).ln() * mean as f64) as u64 + 1
    }
}

impl Stream {
    fn poisson(mean: u64, seed: u64) -> Self {
        let (mut chance, mut at, mut times) = (Chance(seed), 0, Vec::new());
        while at < DAYS * DAY {
            times.push(at);
            at += chance.wait(mean);
        }
        Self(times)
    }

    fn every(period: u64, jitter: u64, burst: u64, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let starts = (0..DAYS * DAY / period).map(|i| i * period + chance.within(jitter.max(1)));
        Self(starts.flat_map(|start| (0..burst).map(move |i| start + i * SECOND)).collect())
    }

    /// From 9 to 17 h on the first five days of a week, a Poisson process of one a minute; from `first` on.
    fn office(first: u64, seed: u64) -> Self {
        let mut all = Self::poisson(MINUTE, seed).0;
        all.retain(|at| *at >= first && at / DAY % 7 < 5 && (9..17).contains(&(at % DAY / HOUR)));
        Self(all)
    }

    /// Pages before and after the learning time, and the delay after the last event.
    fn pages(&self) -> (usize, usize, Duration) {
        let mut silence = Silence::new(&StalenessObserver::learnt());
        let (mut learning, mut after) = (0, 0);
        let first = self.0[0];
        for at in &self.0 {
            let time = Timestamp::from_micros((MONDAY + at) as i64);
            if silence.deadline().is_some_and(|due| time >= due) {
                *(if at - first < LEARNING { &mut learning } else { &mut after }) += 1;
            }
            silence.observe(time);
        }
        (learning, after, silence.limit())
    }
}

/// Feeds gaps and returns the limit after them, in seconds.
fn limit_after(silence: &mut Silence, gaps: impl IntoIterator<Item = u64>) -> u64 {
    for gap in gaps {
        let last = silence.last.unwrap_or(Timestamp::from_micros(MONDAY as i64));
        silence.observe(last.plus(Duration::from_micros(gap)));
    }
    silence.limit().as_secs()
}

fn begun() -> Silence {
    let mut silence = Silence::new(&StalenessObserver::learnt());
    silence.observe(Timestamp::from_micros(MONDAY as i64));
    silence
}

#[test]
fn what_never_pauses_pages_after_ten_minutes() {
    // (in the first two weeks, after them, the limit in the end)
    assert_eq!(Stream::every(SECOND, 0, 1, 0).pages(), (0, 0, Duration::from_mins(10)));
    for seed in 0..5 {
        let (learning, after, delay) = Stream::poisson(MINUTE, seed).pages();
        // The longest of the 20,160 gaps of two weeks is about ln 20,160 = 9.9 minutes.
        assert_eq!((learning, after), (0, 0), "seed {seed}");
        assert!((15..=30).contains(&(delay.as_secs() / 60)), "seed {seed}: {delay:?}");
    }
}

#[test]
fn a_pause_that_comes_again_is_no_silence() {
    let hours = |delay: Duration| delay.as_secs_f64() / 3_600.0;
    for seed in 0..3 {
        // Sixty events in a minute, 59 minutes without.
        let (learning, after, delay) = Stream::every(HOUR, 0, 60, seed).pages();
        assert_eq!((learning, after, delay), (0, 0, Duration::from_secs(2 * (3_600 - 59))));
        let (learning, after, delay) = Stream::every(DAY, 0, 1, seed).pages();
        assert_eq!((learning, after, delay), (0, 0, Duration::from_hours(48)));
        // A thousand events in the night, from two hours early to as much late.
        let (learning, after, delay) = Stream::every(DAY, 2 * HOUR, 1_000, seed).pages();
        assert_eq!((learning, after), (0, 0), "nightly, seed {seed}");
        assert!(hours(delay) > 48.0 && hours(delay) < 52.0, "{delay:?}");
        for weekday in 0..5 {
            let (learning, after, delay) = Stream::office(weekday * DAY + 12 * HOUR, seed).pages();
            // Who begins on a Friday has seen no night when the first week-end comes.
            let once = usize::from(weekday == 4);
            assert_eq!((learning, after), (once, 0), "day {weekday}, seed {seed}");
            assert!((hours(delay) - 128.0).abs() < 1.0, "{delay:?}");
        }
    }
}

#[test]
fn a_few_events_a_day_at_random_times_page_rarely() {
    let after = |mean| (0..100).map(|seed| Stream::poisson(mean, 500 + seed).pages().1).sum::<usize>();
    // A hundred times 60 days. Of n waiting times the second longest is exceeded twofold with the chance
    // 6 / (n + 1) / (n + 2) each: some 0.02 times in 46 days at one an hour, some 0.5 at one a day.
    assert!(after(HOUR) <= 8, "{}", after(HOUR));
    assert!((15..=90).contains(&after(DAY)), "{}", after(DAY));
}

#[test]
fn the_limit_follows_what_has_been_seen_so_far() {
    let mut silence = begun();
    let hours = |n: u64| n * 3_600;
    assert_eq!(limit_after(&mut silence, [HOUR; 23]), hours(36));
    assert_eq!(limit_after(&mut silence, [HOUR]), hours(5), "five times the longest, after a day");
    assert_eq!(limit_after(&mut silence, [3 * HOUR]), hours(15));
    assert_eq!(limit_after(&mut silence, [HOUR; 141]), hours(6), "twice the longest, after a week");
    assert_eq!(limit_after(&mut silence, [HOUR; 168]), hours(2), "twice the second longest, after two");
    let before = silence.limit();
    silence.observe(Timestamp::from_micros(MONDAY as i64));
    assert_eq!(silence.limit(), before, "what runs behind is no sign of life");
}

#[test]
fn one_outage_does_not_set_the_limit_and_two_do_until_they_are_forgotten() {
    let mut silence = begun();
    let day = || std::iter::repeat_n(MINUTE, 24 * 60);
    assert_eq!(limit_after(&mut silence, (0..20).flat_map(|_| day())), 600);
    assert_eq!(limit_after(&mut silence, [5 * HOUR]), 600);
    assert_eq!(limit_after(&mut silence, day()), 600);
    assert_eq!(limit_after(&mut silence, [3 * HOUR]), 6 * 3_600);
    assert_eq!(limit_after(&mut silence, (0..28).flat_map(|_| day())), 600);
}

#[test]
fn what_comes_less_often_than_the_memory_is_long_is_learnt_too() {
    let monthly = 30 * DAY;
    assert_eq!(limit_after(&mut begun(), [monthly]), 60 * 86_400);
    assert_eq!(limit_after(&mut begun(), [monthly; 5]), 60 * 86_400);
    assert_eq!(limit_after(&mut begun(), [300 * DAY; 2]), 400 * 86_400, "at most 400 days");
}

#[test]
fn an_event_at_the_limit_itself_is_in_time() {
    let mut silence = Silence::new(&StalenessObserver::after(Duration::from_mins(10)).unwrap());
    assert_eq!(silence.deadline(), None);
    silence.observe(Timestamp::EPOCH);
    let limit = Timestamp::EPOCH.plus(Duration::from_mins(10));
    assert_eq!(silence.deadline(), Some(limit.plus(Duration::from_micros(1))));
}

#[test]
fn a_fixed_limit_is_checked_and_stays() {
    for wrong in [Duration::ZERO, Duration::from_hours(24 * 400 + 1)] {
        assert!(StalenessObserver::after(wrong).unwrap_err().to_string().contains("`after`"));
    }
    let mut silence = Silence::new(&StalenessObserver::after(Duration::from_secs(5)).unwrap());
    silence.observe(Timestamp::EPOCH);
    assert_eq!(limit_after(&mut silence, [30 * DAY; 4]), 5);
}

#[test]
fn the_state_is_written_and_read_back() {
    let mut silence = begun();
    limit_after(&mut silence, [2 * HOUR, 15 * DAY, HOUR, MINUTE]);
    let mut bytes = Vec::new();
    silence.write(&mut bytes);
    assert_eq!(bytes.len(), 48);
    let mut copy = Silence::new(&StalenessObserver::learnt());
    copy.read(&mut Reader::new(&bytes)).unwrap();
    assert_eq!((copy.deadline(), copy.start), (silence.deadline(), silence.start));
    assert_eq!((copy.current, copy.previous), (silence.current, silence.previous));
    for length in 0..bytes.len() {
        assert!(copy.read(&mut Reader::new(&bytes[..length])).is_err());
    }
    // The second longest gap of the window before is made longer than the longest.
    bytes[47] = 1;
    assert_eq!(copy.read(&mut Reader::new(&bytes)), Err(DecodeError::Range { field: "gap" }));
    assert_eq!(copy.deadline(), silence.deadline());
}

/// The story: a state that was written under a fixed limit had learnt nothing, and a plan without one paged at once.
#[test]
fn what_was_seen_under_a_fixed_limit_is_known_when_the_limit_is_learnt() {
    let fixed = StalenessObserver::after(std::time::Duration::from_hours(120)).unwrap();
    let (mut seen, mut learnt) = (Silence::new(&fixed), Silence::new(&StalenessObserver::learnt()));
    for hour in 0..20 * 24_i64 {
        let at = Timestamp::from_micros(1_700_000_000_000_000 + hour * HOUR as i64);
        seen.observe(at);
        learnt.observe(at);
    }
    assert_eq!((seen.start, seen.current, seen.previous), (learnt.start, learnt.current, learnt.previous));
}
