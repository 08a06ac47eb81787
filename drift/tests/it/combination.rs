//! What detectors say together.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::calibration::{Trial, measure_arl};
use visu_tility_drift::codec::Reader;
use visu_tility_drift::combination::{
    EvidenceMerge, EvidenceMergeParams, Gate, GateParams, Rearm, Vote, VoteParams,
};
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{
    Adwin, AdwinParams, AnyDetector, AnyParams, BatcherParams, ConformalSr, ConformalSrParams, Detector,
    Direction, Focus, FocusParams, Level, MixtureESr, MixtureParams, Mode, PageHinkley, PageHinkleyParams,
    PreparationParams, Prepared, Signal,
};

fn bets(m_pre: f64, rearm: bool) -> MixtureESr {
    let params = MixtureParams { m_pre, delta_upper: 0.4, arl: 200.0, rearm, ..MixtureParams::default() };
    MixtureESr::new(params).unwrap()
}

fn page(threshold: f64) -> AnyDetector {
    PageHinkley::new(PageHinkleyParams { threshold, ..PageHinkleyParams::default() }).unwrap().into()
}

fn members() -> Vec<AnyDetector> {
    let adwin = Adwin::new(AdwinParams { clock: 1, ..AdwinParams::default() }).unwrap();
    vec![adwin.into(), page(3.0), bets(0.3, true).into()]
}

fn combined() -> Vec<AnyDetector> {
    let vote = |need, agree| Vote::new(VoteParams { need, horizon: 40, agree }, members()).unwrap();
    let merge = |arl| {
        let scores = ConformalSrParams { cuts: 10, ..ConformalSrParams::default() };
        let scores = ConformalSr::new(scores).unwrap().into();
        let members = vec![bets(0.1, false).into(), bets(0.3, true).into(), scores];
        EvidenceMerge::new(EvidenceMergeParams { arl }, members, &[1.0, 3.0, 2.0]).unwrap()
    };
    let gate = |rearm, detector: AnyDetector| {
        let params = GateParams { rearm, warn_share: 0.5, cool_down: 30, ..GateParams::default() };
        Gate::new(params, detector).unwrap()
    };
    let batch = BatcherParams { length: 3, ..BatcherParams::default() };
    let prepared = PreparationParams { batch: Some(batch), ..PreparationParams::default() };
    let mut all: Vec<AnyDetector> = vec![vote(1, true).into(), vote(2, true).into(), vote(3, false).into()];
    all.extend([merge(50.0).into(), merge(1e6).into()]);
    for rearm in [Rearm::AtOnce, Rearm::CoolDown, Rearm::Fallen] {
        all.push(gate(rearm, bets(0.3, false).into()).into());
        all.push(gate(rearm, page(3.0)).into());
    }
    // Nested: a gate on a vote of prepared detectors.
    let nested = vec![Prepared::new(prepared, members().remove(0)).unwrap().into(), page(3.0)];
    let nested = Vote::new(VoteParams { need: 1, ..VoteParams::default() }, nested).unwrap();
    all.push(gate(Rearm::CoolDown, nested.into()).into());
    all
}

fn state(detector: &AnyDetector) -> Vec<u8> {
    let mut bytes = Vec::new();
    detector.write_state(&mut bytes);
    bytes
}

fn streams() -> impl Strategy<Value = Vec<f64>> {
    let mixed = vec(
        prop_oneof![
            8 => -1.0..2.0,
            8 => prop_oneof![Just(0.0), Just(1.0)],
            1 => any::<u64>().prop_map(f64::from_bits),
        ],
        0..300,
    );
    let steps = (vec(0.0..0.3, 50..300), -1.0..1.0).prop_map(|(noise, step)| {
        let half = noise.len() / 2;
        noise.iter().enumerate().map(|(i, e)| e + if i < half { 0.0 } else { step }).collect()
    });
    prop_oneof![mixed, steps]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn members_are_restored_with_the_whole(stream in streams(), cut in 0_usize..300) {
        let cut = cut.min(stream.len());
        for fresh in combined() {
            let mut whole = fresh.clone();
            stream[..cut].iter().for_each(|&x| _ = whole.update(x));
            let bytes = state(&whole);
            let mut restored = fresh.clone();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(restored.read_state(&mut reader), Ok(()), "{}", whole.name());
            prop_assert_eq!(reader.finish(), Ok(()));
            for &x in &stream[cut..] {
                let (a, b) = (whole.update(x), restored.update(x));
                prop_assert_eq!(a, b, "{}", whole.name());
                prop_assert!(a.statistic.is_finite() && a.threshold.is_finite());
                prop_assert!(x.is_finite() || a.level == Level::Normal);
                prop_assert!(a.level != Level::Drift || a.statistic >= a.threshold);
            }
            prop_assert_eq!(state(&whole), state(&restored));
            let finite = stream.iter().filter(|x| x.is_finite()).count() as u64;
            prop_assert!(whole.ignored() == stream.len() as u64 - finite);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_work(
        stream in streams(),
        noise in vec(any::<u8>(), 0..40),
        at in 0_usize..3_000,
    ) {
        for fresh in combined() {
            let mut source = fresh.clone();
            for &x in &stream {
                source.update(x);
            }
            let mut bytes = state(&source);
            let at = at % bytes.len();
            for (byte, &other) in bytes[at..].iter_mut().zip(&noise[..noise.len().min(9)]) {
                *byte = other;
            }
            for bytes in [&bytes[..], &bytes[..at], &noise] {
                let mut target = fresh.clone();
                if target.read_state(&mut Reader::new(bytes)).is_err() {
                    prop_assert_eq!(state(&target), state(&fresh), "a failed read must change nothing");
                }
                for &x in &stream {
                    let signal = target.update(x);
                    prop_assert!(signal.statistic.is_finite() && signal.threshold.is_finite());
                }
            }
        }
    }

    /// Against a list of alarms kept in full.
    #[test]
    fn a_vote_counts_the_alarms_of_its_horizon(stream in streams(), need in 1_u8..=3, horizon in 1_u64..60) {
        let mut vote = Vote::new(VoteParams { need, horizon, agree: false }, members()).unwrap();
        let mut alone = members();
        let mut alarms: Vec<Option<usize>> = vec![None; 3];
        for (i, &x) in stream.iter().filter(|x| x.is_finite()).enumerate() {
            for (member, last) in alone.iter_mut().zip(&mut alarms) {
                if member.update(x).drift_detected() {
                    *last = Some(i);
                }
            }
            let votes = alarms.iter().flatten().filter(|&&last| ((i - last) as u64) < horizon).count();
            let signal = vote.update(x);
            prop_assert_eq!(signal.drift_detected(), votes >= usize::from(need));
            prop_assert_eq!(signal.statistic, votes as f64);
            if signal.drift_detected() {
                alarms.fill(None);
            }
        }
    }
}

#[test]
fn members_that_point_apart_do_not_agree() {
    let one = |mode| {
        AnyDetector::from(
            PageHinkley::new(PageHinkleyParams { threshold: 3.0, mode, ..PageHinkleyParams::default() })
                .unwrap(),
        )
    };
    // Up for 100 values, then down: each sees its own.
    let stream = || {
        (0..400).map(|i| match i / 100 {
            1 => 1.0,
            2 => -1.0,
            _ => 0.0,
        })
    };
    let count = |agree| {
        let params = VoteParams { need: 2, horizon: 300, agree };
        let mut vote = Vote::new(params, vec![one(Mode::Up), one(Mode::Down)]).unwrap();
        stream().filter(|&x| vote.update(x).drift_detected()).count()
    };
    assert_eq!((count(true), count(false)), (0, 1));
}

#[test]
fn a_merge_is_the_weighted_average_of_its_members() {
    let params = EvidenceMergeParams { arl: 1e15 };
    let members = vec![bets(0.1, false).into(), bets(0.3, false).into()];
    let mut merge = EvidenceMerge::new(params, members, &[1.0, 3.0]).unwrap();
    let (mut a, mut b) = (bets(0.1, false), bets(0.3, false));
    for x in (Source::Bernoulli { p: 0.2 }).stream(1).unwrap().take(200) {
        let (a, b) = (a.update(x).statistic, b.update(x).statistic);
        let expected = 0.25 * a + 0.75 * b;
        let signal = merge.update(x);
        assert!((signal.statistic - expected).abs() <= 1e-12 * expected, "{signal:?} {expected}");
        let log = merge.log_evidence().unwrap();
        assert!((log - expected.ln()).abs() < 1e-12);
    }
    assert_eq!(merge.weights(), [0.25, 0.75]);
    let adwin = Adwin::new(AdwinParams::default()).unwrap().into();
    assert_eq!(EvidenceMerge::new(params, vec![adwin], &[1.0]).unwrap_err().param, "members");
}

#[test]
fn a_merge_keeps_the_guarantee_and_gains_when_members_agree() {
    let arl = 300.0;
    let merge = |arl| {
        let members = vec![bets(0.1, false).into(), bets(0.15, false).into()];
        EvidenceMerge::new(EvidenceMergeParams { arl }, members, &[1.0, 1.0]).unwrap()
    };
    let trial = Trial { runs: 300, cap: 100_000, seed: 1 };
    let measured = measure_arl(&merge(arl), &Source::Bernoulli { p: 0.1 }, trial).unwrap();
    assert_eq!(measured.censored(), 0);
    let (mean, error) = (measured.mean().unwrap(), measured.standard_error().unwrap());
    assert!(mean + 2.0 * error >= arl, "{mean} {error}");

    // Three metrics that all go bad, each with a third of the budget, or merged.
    let alone = |arl| bets_with(0.1, arl);
    let members = || (0..3).map(|_| alone(1e15).into()).collect();
    let (mut merged_sum, mut divided_sum) = (0, 0);
    for run in 0..40 {
        let mut streams: Vec<_> =
            (0..3).map(|i| Source::Bernoulli { p: 0.25 }.stream(run * 3 + i).unwrap()).collect();
        let mut merged = EvidenceMerge::new(EvidenceMergeParams { arl: 1e4 }, members(), &[1.0; 3]).unwrap();
        let mut divided: Vec<_> = (0..3).map(|_| alone(3e4)).collect();
        let (mut first_merged, mut first_divided) = (None, None);
        for step in 1..5_000 {
            for (i, stream) in streams.iter_mut().enumerate() {
                let x = stream.draw();
                if merged.update_member(i, x).drift_detected() {
                    first_merged.get_or_insert(step);
                }
                if divided[i].update(x).drift_detected() {
                    first_divided.get_or_insert(step);
                }
            }
            if first_merged.is_some() && first_divided.is_some() {
                break;
            }
        }
        assert!(first_merged <= first_divided, "the merge is never later");
        merged_sum += first_merged.unwrap();
        divided_sum += first_divided.unwrap();
    }
    assert!(merged_sum < divided_sum, "{merged_sum} {divided_sum}");
}

fn bets_with(m_pre: f64, arl: f64) -> MixtureESr {
    let params = MixtureParams { m_pre, delta_upper: 0.4, arl, rearm: false, ..MixtureParams::default() };
    // The bets depend on the run length; they must be the same for a comparison.
    let bets = visu_tility_drift::Mixture::new(MixtureParams { arl: 1e4, ..params }).unwrap();
    let bets = visu_tility_drift::Mixture::with_components(params, bets.lambdas(), bets.weights()).unwrap();
    MixtureESr::with_mixture(std::sync::Arc::new(bets))
}

#[test]
fn members_of_a_merge_do_not_start_afresh_before_it_has_its_alarm() {
    let (params, stream) = (EvidenceMergeParams { arl: 500.0 }, || (0..300).map(|i| f64::from(i % 3 == 0)));
    let first = |rearm| {
        let members = vec![bets(0.1, rearm).into(), bets(0.5, rearm).into()];
        let mut merge = EvidenceMerge::new(params, members, &[1.0, 1.0]).unwrap();
        stream().map(|x| merge.update(x)).position(|signal| signal.drift_detected())
    };
    // At 200, their own `arl`, they would begin again and never reach 1,000 between them.
    assert!(first(true).is_some() && first(true) == first(false), "{:?} {:?}", first(true), first(false));
}

#[test]
fn a_merge_tells_the_direction_and_the_member_that_it_owes_its_alarm_to() {
    let down = MixtureParams { mode: Mode::Down, m_pre: 0.9, delta_upper: 0.8, ..MixtureParams::default() };
    let up = MixtureParams { m_pre: 0.92, delta_upper: 0.07, ..MixtureParams::default() };
    let scores = ConformalSr::new(ConformalSrParams::default()).unwrap().into();
    let members = vec![MixtureESr::new(up).unwrap().into(), scores, MixtureESr::new(down).unwrap().into()];
    let mut merge = EvidenceMerge::new(EvidenceMergeParams::default(), members, &[1.0; 3]).unwrap();
    let right = |i: u64| f64::from(i * 7 % 10 >= if i < 1_000 { 1 } else { 4 });
    assert_eq!(merge.strongest(), None);
    let found = (0..2_000).map(|i| (i, merge.update(right(i)))).find(|(_, signal)| signal.drift_detected());
    let (at, signal) = found.unwrap();
    assert!((1_010..1_100).contains(&at), "{at}");
    assert_eq!((signal.direction, merge.strongest()), (Direction::Down, Some(2)));
    assert!((at + 1 - signal.since).abs_diff(1_000) < 10, "{} of {at}", signal.since);
}

#[test]
fn a_merge_of_a_known_and_an_unknown_level_keeps_its_run_length() {
    let arl = 300.0;
    let scores = ConformalSr::new(ConformalSrParams { cuts: 20, ..ConformalSrParams::default() }).unwrap();
    let members = vec![bets(0.1, false).into(), scores.into()];
    let merge = EvidenceMerge::new(EvidenceMergeParams { arl }, members, &[1.0, 1.0]).unwrap();
    let trial = Trial { runs: 200, cap: 100_000, seed: 3 };
    let measured = measure_arl(&merge, &Source::Bernoulli { p: 0.1 }, trial).unwrap();
    let (mean, error) = (measured.mean().unwrap(), measured.standard_error().unwrap());
    assert!(mean + 2.0 * error >= arl, "{mean} {error}");
}

#[test]
fn a_merge_follows_a_run_length_and_keeps_it_over_a_restart() {
    let members = || vec![bets(0.1, true).into(), bets(0.3, true).into()];
    let fresh = || EvidenceMerge::new(EvidenceMergeParams::default(), members(), &[1.0, 3.0]).unwrap();
    let mut merge = fresh();
    (0..50).for_each(|_| _ = merge.update(1.0).drift_detected());
    merge.update(0.0);
    assert!(merge.set_arl(50.0) && merge.set_arl(f64::NAN), "no number changes nothing");
    assert_eq!(
        merge.members().iter().map(|member| member.arl().unwrap()).collect::<Vec<_>>(),
        [200.0, 50.0 / 0.75]
    );
    // Its evidence may be above the new threshold: that is no damage.
    let mut copy = fresh();
    let mut bytes = Vec::new();
    merge.write_state(&mut bytes);
    assert_eq!(copy.read_state(&mut Reader::new(&bytes)), Ok(()));
    assert_eq!((copy.arl(), copy.update(1.0)), (Some(50.0), merge.update(1.0)));
}

#[test]
fn a_vote_has_the_run_length_that_its_members_leave_it() {
    let scores =
        |arl| AnyDetector::from(ConformalSr::new(ConformalSrParams { arl, ..Default::default() }).unwrap());
    let of = |need, members: Vec<AnyDetector>| {
        Vote::new(VoteParams { need, ..VoteParams::default() }, members).unwrap()
    };
    // Two alarms of three members each time: 1 / (3/1000 / 2).
    let close = |vote: &Vote, arl: f64| (vote.arl().unwrap() - arl).abs() < 1e-9 * arl;
    assert!(close(&of(2, (0..3).map(|_| scores(1_000.0)).collect()), 2_000.0 / 3.0));
    assert!(close(&of(1, vec![scores(1_000.0), scores(3_000.0)]), 750.0));
    // One member without a bound may be one of the two votes, so one is of the other two...
    assert!(close(&of(2, vec![scores(1_000.0), page(3.0), scores(1_000.0)]), 500.0));
    // ...and nothing is known when it may be all of them.
    let mut unbound = of(1, vec![scores(1_000.0), page(3.0)]);
    assert!(unbound.arl().is_none() && !unbound.set_arl(500.0));
    assert_eq!(unbound.members()[0].arl(), Some(1_000.0), "a refusal changes nothing");
    for (need, members) in
        [(2, vec![scores(9.0), scores(9.0), scores(9.0)]), (2, vec![scores(9.0), page(3.0), scores(9.0)])]
    {
        let mut vote = of(need, members);
        assert!(vote.set_arl(600.0) && close(&vote, 600.0), "{:?}", vote.arl());
    }
}

#[test]
fn a_vote_of_independent_members_alarms_no_more_often_than_its_bound() {
    let members = || {
        (1..=3).map(|seed| {
            ConformalSr::new(ConformalSrParams { seed, cuts: 20, arl: 60.0, ..Default::default() })
                .unwrap()
                .into()
        })
    };
    let params = VoteParams { need: 2, horizon: 200, agree: false };
    let mut vote = Vote::new(params, members().collect()).unwrap();
    let mut alone: Vec<AnyDetector> = members().collect();
    let (mut votes, mut alarms) = (0, 0);
    for x in (Source::Bernoulli { p: 0.3 }).stream(5).unwrap().take(60_000) {
        alarms += alone
            .iter_mut()
            .filter_map(|member| Some(member.update(x)).filter(Signal::drift_detected))
            .count();
        votes += usize::from(vote.update(x).drift_detected());
    }
    assert!(votes > 100, "{votes}");
    assert!(votes <= alarms / 2, "pathwise: {votes} of {alarms}");
    assert!(60_000.0 / votes as f64 >= vote.arl().unwrap(), "{votes}");
}

#[test]
fn a_vote_that_is_set_to_a_run_length_keeps_it_beside_a_member_without_one() {
    let scores = |seed| {
        let params = ConformalSrParams { seed, cuts: 20, ..ConformalSrParams::default() };
        AnyDetector::from(ConformalSr::new(params).unwrap())
    };
    // Page-Hinkley at this threshold alarms all the time: half of every vote is its own.
    let members = vec![scores(1), page(0.5), scores(2)];
    let params = VoteParams { need: 2, horizon: 500, agree: false };
    let mut vote = Vote::new(params, members).unwrap();
    assert!(vote.set_arl(300.0));
    let values = 100_000;
    let stream = (Source::Bernoulli { p: 0.3 }).stream(9).unwrap().take(values);
    let drifts = stream.filter(|&x| vote.update(x).drift_detected()).count();
    assert!(drifts > 50, "{drifts}");
    assert!(values as f64 / drifts as f64 >= 300.0, "{drifts}");
}

/// The story: a fleet's budget was loosened while a vote of e-sr and focus was held back. e-sr forgot its evidence, focus
/// could not, and so at each value again: a change that was under way was not found.
#[test]
fn evidence_is_forgotten_by_all_members_or_by_none() {
    let focus = AnyDetector::from(Focus::new(FocusParams::default()).unwrap());
    let merge = |members: Vec<AnyDetector>| {
        EvidenceMerge::new(EvidenceMergeParams::default(), members, &[1.0, 1.0]).unwrap()
    };
    let vote = |members: Vec<AnyDetector>| Vote::new(VoteParams::default(), members).unwrap();
    let mut cases: Vec<(AnyDetector, bool)> = vec![
        (vote(vec![bets(0.1, true).into(), focus]).into(), false),
        (vote(vec![bets(0.1, true).into(), bets(0.2, true).into()]).into(), true),
        (merge(vec![bets(0.1, true).into(), bets(0.2, true).into()]).into(), true),
    ];
    for (detector, forgets) in &mut cases {
        (0..60_u32).for_each(|i| _ = detector.update(f64::from(i % 7 == 0)));
        let before = state(detector);
        assert_eq!(detector.can_forget(), *forgets);
        assert_eq!((detector.forget_evidence(), state(detector) != before), (*forgets, *forgets));
    }
}

#[test]
fn a_vote_says_who_voted() {
    let params = VoteParams { need: 2, horizon: 100, agree: true };
    let one = |threshold, mode| -> AnyDetector {
        PageHinkley::new(PageHinkleyParams { threshold, mode, ..PageHinkleyParams::default() })
            .unwrap()
            .into()
    };
    let mut vote =
        Vote::new(params, vec![one(3.0, Mode::Up), one(1e9, Mode::Up), one(5.0, Mode::Up)]).unwrap();
    let mut pending = Vec::new();
    let drift = (0..400).find(|&i| {
        let drift = vote.update(f64::from(u8::from(i >= 100))).drift_detected();
        pending.extend((vote.voting().any(|voting| voting)).then(|| vote.voting().collect::<Vec<_>>()));
        drift
    });
    assert!(drift.is_some());
    assert_eq!(pending[0], [true, false, false], "the quickest votes first");
    assert_eq!(vote.decided().collect::<Vec<_>>(), [true, false, true]);
    assert!(vote.voting().all(|voting| !voting), "votes are forgotten");
    let levels: Vec<Level> = vote.said().map(|said| said.level).collect();
    assert_eq!(levels, [Level::Normal, Level::Normal, Level::Drift]);
}

#[test]
fn a_gate_over_one_type_can_be_asked_through() {
    let vote = Vote::new(VoteParams::default(), members()).unwrap();
    let mut gate = Gate::over(GateParams::default(), vote).unwrap();
    gate.update(1.0);
    assert_eq!(gate.detector().said().len(), 3);
    assert_eq!(AnyDetector::from(gate).name(), "vote");
}

#[test]
fn a_gate_speaks_once_for_one_lasting_change() {
    let stream = || (0..3_000).map(|i: u64| f64::from(i * 7 % 10 < if i < 1_000 { 1 } else { 4 }));
    let drifts = |params, detector: AnyDetector| {
        let mut gate = Gate::new(params, detector).unwrap();
        let all: Vec<Level> = stream().map(|x| gate.update(x).level).collect();
        let drifts = all.iter().filter(|&&level| level == Level::Drift).count();
        let warnings = all.iter().filter(|&&level| level == Level::Warning).count() as u64;
        assert_eq!(warnings, gate.held());
        drifts
    };
    let at_once = GateParams::default();
    let cool_down = GateParams { rearm: Rearm::CoolDown, cool_down: 500, ..at_once };
    let fallen = GateParams { rearm: Rearm::Fallen, ..at_once };
    let (afresh, gathering) = (|| bets(0.1, true).into(), || bets(0.1, false).into());
    assert!(drifts(at_once, afresh()) > 50);
    assert_eq!(drifts(cool_down, afresh()), 4);
    assert_eq!(drifts(fallen, gathering()), 1);
    // What starts afresh has fallen with the next value.
    assert_eq!(drifts(fallen, afresh()), drifts(at_once, afresh()));
}

#[test]
fn combinations_are_detectors_like_any_other() {
    let vote = AnyDetector::from(Vote::new(VoteParams::default(), members()).unwrap());
    assert_eq!((vote.name(), vote.clone().count()), ("vote", 0));
    let refused = |params| Vote::new(params, members()).unwrap_err().param;
    assert_eq!(refused(VoteParams { need: 4, ..VoteParams::default() }), "need");
    assert_eq!(refused(VoteParams { horizon: 0, ..VoteParams::default() }), "horizon");
    let gate = GateParams { warn_share: 1.0, ..GateParams::default() };
    assert_eq!(Gate::new(gate, page(1.0)).unwrap_err().param, "warn_share");
    // Every built-in can vote.
    let all = AnyParams::NAMES.iter().map(|name| AnyParams::by_name(name).unwrap().build().unwrap());
    let mut vote = Vote::new(VoteParams::default(), all.collect()).unwrap();
    let step = (0..4_000).map(|i: u64| f64::from(i * 7 % 10 < if i < 2_000 { 1 } else { 8 }));
    let drift = step.map(|x| vote.update(x)).find(Signal::drift_detected).unwrap();
    assert_eq!(drift.direction, Direction::Up);
}

#[test]
fn random_numbers_of_their_own_reach_the_detectors_inside() {
    let scores = || AnyDetector::from(ConformalSr::new(ConformalSrParams::default()).unwrap());
    let wrapped: [AnyDetector; 3] = [
        Gate::new(GateParams::default(), scores()).unwrap().into(),
        Vote::new(VoteParams { need: 1, ..VoteParams::default() }, vec![scores()]).unwrap().into(),
        Prepared::new(PreparationParams::default(), scores()).unwrap().into(),
    ];
    for mut detector in wrapped {
        let before = state(&detector);
        detector.reseed(7);
        assert_ne!(state(&detector), before, "{}", detector.name());
    }
    let mut gate = Gate::new(GateParams::default(), scores()).unwrap();
    assert!(gate.set_arl(5_000.0) && gate.arl() == Some(5_000.0));
}
