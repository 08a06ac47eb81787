//! Detectors made into one: each kind by its type, so that its members can be asked.

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::combination::{EvidenceMerge, Gate, Rearm, Vote};
use visu_tility_drift::{AnyDetector, Detector, Direction, Signal};

use crate::check::change::TakesTime;
use crate::check::figure;

/// A combination behind its gate.
#[derive(Clone, Debug)]
pub(crate) enum Combined {
    Vote(Gate<Vote>),
    Merge(Gate<EvidenceMerge>),
    One(Gate<AnyDetector>),
}

/// Names of figures, for each member.
macro_rules! figures {
    ($($number:literal)*) => {
        [$([
            concat!("member_", $number, "_statistic"),
            concat!("member_", $number, "_threshold"),
            concat!("member_", $number, "_level"),
            concat!("member_", $number, "_vote"),
            concat!("member_", $number, "_part"),
        ]),*]
    };
}

const FIGURES: [[&str; 5]; 8] = figures!(1 2 3 4 5 6 7 8);

impl Combined {
    fn inner(&self) -> &dyn Detector {
        match self {
            Self::Vote(gate) => gate,
            Self::Merge(gate) => gate,
            Self::One(gate) => gate,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Detector {
        match self {
            Self::Vote(gate) => gate,
            Self::Merge(gate) => gate,
            Self::One(gate) => gate,
        }
    }

    /// The members.
    pub fn members(&self) -> &[AnyDetector] {
        match self {
            Self::Vote(gate) => gate.detector().members(),
            Self::Merge(gate) => gate.detector().members(),
            Self::One(gate) => std::slice::from_ref(gate.detector()),
        }
    }

    /// Figures of each member, by its number from 1, and of the gate.
    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        let said: Vec<Signal> = match self {
            Self::Vote(gate) => gate.detector().said().collect(),
            Self::Merge(gate) => gate.detector().said().collect(),
            Self::One(_) => Vec::new(),
        };
        for ([statistic, threshold, level, _, _], said) in FIGURES.iter().zip(&said) {
            out.extend([(*statistic, said.statistic), (*level, f64::from(said.level as u8))]);
            // None yet.
            if said.threshold < f64::MAX {
                out.push((threshold, said.threshold));
            }
        }
        let (params, armed, held) = match self {
            Self::Vote(gate) => {
                let votes = FIGURES.iter().zip(gate.detector().voting());
                out.extend(votes.map(|([.., vote, _], voting)| (*vote, f64::from(u8::from(voting)))));
                (gate.params(), gate.is_armed(), gate.held())
            }
            Self::Merge(gate) => {
                let parts = FIGURES.iter().zip(gate.detector().parts());
                out.extend(parts.map(|([.., part], share)| (*part, *share)));
                (gate.params(), gate.is_armed(), gate.held())
            }
            Self::One(gate) => (gate.params(), gate.is_armed(), gate.held()),
        };
        if params.rearm != Rearm::AtOnce {
            out.extend([("armed", f64::from(u8::from(armed))), ("held_back", held as f64)]);
        }
    }

    /// What the last drift rests on, for a person.
    pub fn grounds(&self, signal: &Signal) -> String {
        let (statistic, threshold) = (figure(signal.statistic), figure(signal.threshold));
        match self {
            Self::Vote(gate) => {
                let vote = gate.detector();
                let voters = vote.decided().enumerate().filter(|(_, decided)| *decided);
                let voters: Vec<String> = voters.map(|(place, _)| self.member_name(place)).collect();
                let (count, voters) = (vote.members().len(), voters.join(", "));
                format!("{statistic} of {count} votes ({voters}), {threshold} needed")
            }
            Self::Merge(gate) => {
                let most = gate.detector().strongest().map(|place| self.member_name(place));
                let most = most.map_or(String::new(), |name| format!(", most of it from {name}"));
                format!("evidence {statistic} against {threshold}{most}")
            }
            Self::One(_) => format!("change {statistic} against {threshold}"),
        }
    }

    /// A member's name, with its number where others have the same name.
    fn member_name(&self, place: usize) -> String {
        let members = self.members();
        let name = members.get(place).map_or("", Detector::name);
        let alike = members.iter().filter(|member| member.name() == name).count();
        if alike > 1 { format!("{name} {}", place + 1) } else { name.to_owned() }
    }
}

impl TakesTime for Combined {}

impl Detector for Combined {
    fn update(&mut self, value: f64) -> Signal {
        self.inner_mut().update(value)
    }

    fn reset(&mut self) {
        self.inner_mut().reset();
    }

    fn name(&self) -> &'static str {
        self.inner().name()
    }

    fn count(&self) -> u64 {
        self.inner().count()
    }

    fn ignored(&self) -> u64 {
        self.inner().ignored()
    }

    fn estimation(&self) -> Option<f64> {
        self.inner().estimation()
    }

    fn baseline(&self) -> Option<f64> {
        self.inner().baseline()
    }

    fn arl(&self) -> Option<f64> {
        self.inner().arl()
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        self.inner_mut().set_arl(arl)
    }

    fn reaches(&self, arl: f64) -> bool {
        self.inner().reaches(arl)
    }

    fn can_forget(&self) -> bool {
        self.inner().can_forget()
    }

    fn forget_evidence(&mut self) -> bool {
        self.inner_mut().forget_evidence()
    }

    fn reseed(&mut self, seed: u64) {
        self.inner_mut().reseed(seed);
    }

    fn log_evidence(&self) -> Option<f64> {
        self.inner().log_evidence()
    }

    fn leaning(&self) -> (Direction, u64) {
        self.inner().leaning()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        self.inner().write_state(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.inner_mut().read_state(bytes)
    }
}
