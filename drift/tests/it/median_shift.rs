//! The bound on the false alarms of `MedianShift`, and what it still sees under it.

use visu_tility_drift::simulate::{Random, Source, Stream};
use visu_tility_drift::{Detector, Direction, MedianShift, MedianShiftParams};

/// Values of one law that do not depend on each other, or can change places.
type Draw = fn(&mut Stream, &mut Urn) -> f64;

/// Balls of two colours: one is drawn, and put back with another of its colour. The draws depend on each other, and
/// every order of them is as likely.
struct Urn {
    high: f64,
    all: f64,
}

const LAWS: [(&str, Draw); 8] = [
    ("hits of 1 ms and misses of 10 ms", |u, _| if uniform(u) < 0.5 { 1.0 } else { 10.0 }),
    ("the same with noise", |u, _| if uniform(u) < 0.5 { 1.0 } else { 10.0 } + uniform(u)),
    ("bits", |u, _| f64::from(u8::from(uniform(u) < 0.1))),
    ("three levels", |u, _| (3.0 * uniform(u)).floor()),
    ("whole milliseconds", |u, _| (-3.0 * uniform(u).ln()).ceil()),
    ("Pareto tail of shape 1.5", |u, _| uniform(u).powf(-1.0 / 1.5)),
    ("uniform", |u, _| uniform(u)),
    ("an urn", |u, urn| {
        let high = uniform(u) < urn.high / urn.all;
        (urn.high, urn.all) = (urn.high + f64::from(u8::from(high)), urn.all + 1.0);
        f64::from(u8::from(high)) + 0.1 * uniform(u)
    }),
];

fn uniform(stream: &mut Stream) -> f64 {
    stream.draw().max(1e-12)
}

/// Counts the alarms among so many values, in streams of 20,000.
fn alarms(params: MedianShiftParams, law: Draw, values: u64) -> u64 {
    let mut count = 0;
    for run in 0..values / 20_000 {
        let mut detector = MedianShift::new(params).unwrap();
        let mut stream = Source::Uniform { low: 0.0, high: 1.0 }.stream(Random::fork(17, run)).unwrap();
        let mut urn = Urn { high: 1.0, all: 2.0 };
        for _ in 0..20_000 {
            count += u64::from(detector.update(law(&mut stream, &mut urn)).drift_detected());
        }
    }
    count
}

#[test]
fn false_alarms_keep_to_the_bound_whatever_the_law() {
    let values = 60_000;
    for (recent, reference, share) in [(8, 60, 0.75), (5, 20, 0.5)] {
        // Any distance at all is enough, so that the places alone must hold the bound.
        let params =
            MedianShiftParams { recent, reference, share, threshold: 1e-6, arl: 100.0, ..Default::default() };
        let found = LAWS.map(|(name, law)| (name, alarms(params, law, values)));
        // Alarms come in clusters of 4/3 at most, on average: three standard errors of a Poisson count of these.
        let allowed = values as f64 / 100.0;
        let most = allowed + 3.0 * (allowed * 4.0 / 3.0).sqrt();
        assert!(found.iter().all(|(_, count)| (*count as f64) < most), "{recent}/{reference}: {found:?}");
        // Windows overlap, so alarms are about an eighth of what the bound allows; none would be blindness.
        assert!(found.iter().any(|(_, count)| *count as f64 > allowed / 20.0), "{found:?}");
    }
}

#[test]
fn without_a_bound_two_levels_alarm_hundreds_of_times_a_month() {
    let (name, law) = LAWS[0];
    let of = |arl| alarms(MedianShiftParams { arl, ..Default::default() }, law, 40_000);
    let (unbound, bound) = (of(0.0), of(10_000.0));
    assert!(unbound > 500 && bound <= 4, "{name}: {unbound} and {bound}");
}

/// 150 values of level 20 with noise, then of 26; every 25th is a spike.
fn spiky(i: u64) -> f64 {
    let level = if i < 150 { 20.0 } else { 26.0 };
    if i % 25 == 3 { 400.0 } else { level + (i * 7 % 5) as f64 * 0.2 + (i % 11) as f64 * 0.01 }
}

#[test]
fn a_shift_among_spikes_is_seen_at_any_run_length() {
    let mut last = 0;
    for arl in [10.0, 1e4, 1e6, 1e9, 1e12, 1e15] {
        let mut detector = MedianShift::new(MedianShiftParams { arl, ..Default::default() }).unwrap();
        let found = (0..300).find(|i| detector.update(spiky(*i)).drift_detected()).unwrap_or(u64::MAX);
        assert!(found >= last && found < 190, "{arl}: {found} after {last}");
        last = found;
    }
}

#[test]
fn what_goes_up_is_seen_to_come_down() {
    let mut detector = MedianShift::new(MedianShiftParams { arl: 1e6, ..Default::default() }).unwrap();
    let value = |i: u64| if (200..230).contains(&i) { spiky(i) } else { spiky(i % 150) };
    let alarms: Vec<_> = (0..300)
        .map(|i| (i, detector.update(value(i))))
        .filter(|(_, signal)| signal.drift_detected())
        .map(|(i, signal)| (i, signal.direction))
        .collect();
    assert!(matches!(alarms[..], [(200..215, Direction::Up), (230..250, Direction::Down)]), "{alarms:?}");
}

#[test]
fn a_run_length_that_is_moved_to_and_fro_leaves_no_trace() {
    let params = MedianShiftParams { arl: 1e6, ..Default::default() };
    let (mut still, mut moved) = (MedianShift::new(params).unwrap(), MedianShift::new(params).unwrap());
    let noise = |i: u64| 100.0 + (i * 37 % 101) as f64 + if i > 900 { 300.0 } else { 0.0 };
    for i in 0..1_000 {
        if i % 50 == 7 && i < 700 {
            assert!(moved.set_arl([1e3, 1e12, 1e9, 1e6][i as usize / 50 % 4]));
        }
        if i == 700 {
            moved.set_arl(1e6);
            assert_eq!(moved.recent(), still.recent());
        }
        let (a, b) = (still.update(noise(i)), moved.update(noise(i)));
        // By then all that was dropped has come again.
        assert!(i < 800 || a == b, "{i}: {a:?} {b:?}");
    }
}

#[test]
fn a_shift_that_a_shorter_run_length_would_tell_is_known_before_it_is_told() {
    let mut detector = MedianShift::new(MedianShiftParams { arl: 1e15, ..Default::default() }).unwrap();
    let mut told = false;
    for i in 0..300 {
        let mut shorter = detector.clone();
        assert!(shorter.set_arl(100.0));
        // Asked before the value that tells, as the windows then are.
        let (reached, drift) = (detector.reaches(100.0), detector.update(spiky(i)).drift_detected());
        if reached {
            told = true;
            // One value more of the same does not take the shift away.
            assert!((150..200).contains(&i) && shorter.update(spiky(i)).drift_detected(), "{i}");
        }
        if drift {
            break;
        }
    }
    assert!(told && !detector.reaches(1e15));
    let mut unbound = MedianShift::new(MedianShiftParams { arl: 0.0, ..Default::default() }).unwrap();
    assert!(
        (0..300).all(|i| {
            unbound.update(spiky(i));
            !unbound.reaches(2.0)
        }),
        "it has no run length"
    );
}

#[test]
fn a_run_length_beyond_what_the_windows_can_show_is_refused() {
    let few = MedianShiftParams { reference: 4, ..Default::default() };
    let most = few.arl_most();
    assert!((1e5..1e6).contains(&most) && MedianShiftParams::default().arl_most() == 1e15);
    let beyond = MedianShiftParams { arl: 2.0 * most, ..few };
    let refused = MedianShift::new(beyond).unwrap_err();
    let said = format!("0, or from 2 to {}, the most that these windows can show", most as u64);
    assert_eq!((refused.param, &*refused.allowed), ("arl", &*said));
    assert!(MedianShift::new(MedianShiftParams { arl: (most as u64) as f64, ..few }).is_ok());
    let mut held = MedianShift::new(few).unwrap();
    assert!(held.set_arl(1e9) && held.arl() == Some(most));
    for arl in [-1.0, 1.0, f64::NAN, 1e16] {
        assert_eq!(MedianShift::new(MedianShiftParams { arl, ..few }).unwrap_err().param, "arl");
    }
    let mut off = MedianShift::new(MedianShiftParams { arl: 0.0, ..few }).unwrap();
    assert!(!off.set_arl(1e4) && off.arl().is_none());
}
