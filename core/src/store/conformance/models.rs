//! Snapshots: replaced, paged, due, forgotten.

use crate::store::commit::{Commit, ModelChange, Refusal, Snapshot, StoredPhase};
use crate::store::error::StoreError;
use crate::store::limits::StoreLimits;
use crate::store::record::StoredModel;
use crate::time::Timestamp;

use super::{Outcome, Subject, Workshop, append, expect, keep, model, piece, snapshot, works};

fn names(models: &[StoredModel]) -> Vec<&str> {
    models.iter().map(|model| model.model.as_str()).collect()
}

pub(super) fn a_snapshot_replaces_the_last_and_never_goes_back(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 10, 20)]))?;
    subject.commit(&keep(vec![snapshot("m", 4, b"four")?, snapshot("n", 0, b"none")?]))?;
    let mut last = snapshot("m", 9, b"longer than before")?;
    (last.phase, last.plan, last.form) = (StoredPhase::Quarantined, u64::MAX, u32::MAX);
    last.due = Some(Timestamp::from_micros(-1));
    // The same model twice in a commit: the later one stands.
    subject.commit(&keep(vec![snapshot("m", 4, b"again")?, last.clone()]))?;
    let m = model("m")?;
    expect("the snapshot", &works("snapshot", subject.reader.snapshot(&m))?, &Some(last))?;
    expect("a model that is not there", &works("snapshot", subject.reader.snapshot(&model("z")?))?, &None)?;
    let back = StoreError::Refused(Refusal::Backward { model: m.clone(), kept: 9, found: 8 });
    let older = [snapshot("n", 1, b"n")?, snapshot("m", 8, b"eight")?];
    expect("going back", &subject.refused(&keep(older.to_vec()))?, &back)?;
    let within = keep(vec![snapshot("n", 5, b"n")?, snapshot("n", 4, b"n")?]);
    let back = StoreError::Refused(Refusal::Backward { model: model("n")?, kept: 5, found: 4 });
    expect("going back within a commit", &subject.refused(&within)?, &back)?;
    let summary = works("summary", subject.reader.summary())?;
    expect("models and bytes", &(summary.models, summary.snapshot_bytes), &(2, 22))
}

pub(super) fn models_come_page_by_page_in_the_order_of_their_names(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    // The order is that of bytes: capitals first, and no length counts.
    let sorted = ["#", "A", "B10", "B9", "a", "a-1", "a1", "b", "~"];
    let mut mixed: Vec<Snapshot> = Vec::new();
    for name in ["b", "a1", "~", "B9", "A", "a", "#", "B10", "a-1"] {
        mixed.push(snapshot(name, 0, name.as_bytes())?);
    }
    subject.commit(&keep(mixed))?;
    expect("all", &names(&works("models", subject.reader.models(None, 100))?), &sorted.to_vec())?;
    let page = works("models", subject.reader.models(Some(&model("B10")?), 3))?;
    expect("a page", &names(&page), &vec!["B9", "a", "a-1"])?;
    let page = works("models", subject.reader.models(Some(&model("aa")?), 0))?;
    expect("a page after a name that is not there", &names(&page), &vec!["b"])?;
    expect("the last page", &works("models", subject.reader.models(Some(&model("~")?), 9))?.len(), &0)
}

pub(super) fn due_models_come_earliest_first(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let at = |name: &str, due: Option<i64>| {
        let snapshot = snapshot(name, 0, b"s")?;
        Ok::<_, String>(Snapshot { due: due.map(Timestamp::from_micros), ..snapshot })
    };
    let all =
        vec![at("c", Some(5))?, at("a", Some(7))?, at("b", Some(5))?, at("never", None)?, at("d", Some(9))?];
    subject.commit(&keep(all))?;
    let before = Timestamp::from_micros(9);
    let due = works("due", subject.reader.due(before, None, 10))?;
    expect("due before 9", &names(&due), &vec!["b", "c", "a"])?;
    let b = model("b")?;
    let page = works("due", subject.reader.due(before, Some((Timestamp::from_micros(5), &b)), 1))?;
    expect("the page after b", &names(&page), &vec!["c"])?;
    // A new snapshot has a new time, or none.
    subject.commit(&keep(vec![at("b", None)?, at("c", Some(8))?]))?;
    subject.commit(&Commit {
        models: vec![ModelChange::Forget { model: model("a")?, next_offset: 0 }],
        ..Commit::default()
    })?;
    let due = works("due", subject.reader.due(Timestamp::from_micros(i64::MAX), None, 10))?;
    expect("due at all", &names(&due), &vec!["c", "d"])
}

pub(super) fn a_forgotten_model_is_remembered_while_the_journal_could_bring_it_back(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 5, 20), piece(5, 5, 20), piece(10, 5, 20)]))?;
    subject.commit(&keep(vec![snapshot("m", 3, b"state")?]))?;
    let m = model("m")?;
    let forget = |next_offset| Commit {
        models: vec![ModelChange::Forget { model: m.clone(), next_offset }],
        ..Commit::default()
    };
    subject.refused(&forget(2))?;
    subject.commit(&forget(10))?;
    expect("its snapshot", &works("snapshot", subject.reader.snapshot(&m))?, &None)?;
    expect("the list", &works("models", subject.reader.models(None, 9))?.len(), &0)?;
    let truncate = |below| Commit { truncate_below: Some(below), ..Commit::default() };
    subject.commit(&truncate(9))?;
    let known = works("model", subject.reader.model(&m))?.map(|known| (known.phase, known.next_offset));
    expect("what is known of it", &known, &Some((StoredPhase::Forgotten, 10)))?;
    // A later model with the same name may not hold less than what was forgotten.
    subject.refused(&keep(vec![snapshot("m", 9, b"new")?]))?;
    subject.commit(&truncate(10))?;
    expect("after truncation", &works("model", subject.reader.model(&m))?, &None)?;
    subject.commit(&keep(vec![snapshot("m", 11, b"new")?]))?;
    expect("models", &works("summary", subject.reader.summary())?.models, &1)?;
    let mut lie = snapshot("m", 12, b"new")?;
    lie.phase = StoredPhase::Forgotten;
    subject.refused(&keep(vec![lie])).map(drop)
}

pub(super) fn large_and_empty_states_come_back_bit_for_bit(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let mut all = Vec::new();
    for (at, length) in [0, 1, 255, 4_096, 70_000, 3 << 20].into_iter().enumerate() {
        let state: Vec<u8> = (0..length).map(|byte| (byte * 131 + at) as u8).collect();
        all.push(snapshot(&format!("m{at}"), 0, &state)?);
    }
    subject.commit(&keep(all.clone()))?;
    for wanted in all {
        let found = works("snapshot", subject.reader.snapshot(&wanted.model))?;
        if found.as_ref() != Some(&wanted) {
            return Err(format!("the state of {} bytes came back otherwise", wanted.state.len()));
        }
    }
    Ok(())
}
