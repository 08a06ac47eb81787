//! Combination: several detectors as one, and when one may speak again.
//!
//! | type | says | false alarms |
//! |---|---|---|
//! | [`Vote`] | at least `need` of the members alarmed within a horizon | at most those of all members together over `need` |
//! | [`EvidenceMerge`] | the weighted average of the members' e-values has reached `arl` | an average run length of at least `arl` |
//! | [`Gate`] | what its detector says, held back until it is armed again, with a warning zone | at most those of its detector |
//!
//! Each is a [`crate::Detector`], goes into [`crate::AnyDetector::Custom`], and writes its members' states with its
//! own; its state is the sum of theirs and at most 60 bytes for each more.

pub(crate) mod evidence_merge;
pub(crate) mod gate;
mod member;
pub(crate) mod vote;

pub use evidence_merge::{EvidenceMerge, EvidenceMergeParams};
pub use gate::{Gate, GateParams, Rearm};
pub use vote::{Vote, VoteParams};
