//! The journal: dense, paged, truncated, bounded.

use crate::store::commit::{Commit, JournalPiece, ModelChange, PlanText, Refusal};
use crate::store::error::StoreError;
use crate::store::limits::StoreLimits;

use super::{
    Outcome, Subject, Workshop, action, append, expect, keep, letter, model, piece, post, snapshot, works,
};

pub(super) fn offsets_are_dense_and_a_refused_commit_leaves_nothing(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let committed = subject.commit(&append(vec![piece(0, 10, 20), piece(10, 5, 20)]))?;
    expect("the next offset", &committed.next_offset, &15)?;
    let gap = |expected, found| StoreError::Refused(Refusal::Offset { expected, found });
    // Again, with a gap, with a gap within.
    expect("again", &subject.refused(&append(vec![piece(0, 10, 20)]))?, &gap(15, 0))?;
    expect("a gap", &subject.refused(&append(vec![piece(16, 1, 20)]))?, &gap(15, 16))?;
    // All that stands beside the piece that is refused is left out with it.
    let mut mixed = append(vec![piece(15, 1, 20), piece(17, 1, 20)]);
    mixed.models = keep(vec![snapshot("m", 3, b"state")?]).models;
    mixed.outbox = vec![action("m", 3, 0)?];
    mixed.letters = vec![letter("m", None, "")?];
    mixed.truncate_below = Some(10);
    mixed.values = vec![("x".to_owned(), Some(vec![1]))];
    expect("a gap within", &subject.refused(&mixed)?, &gap(16, 17))?;
    expect("a value", &works("value", subject.reader.value("x"))?, &None)?;
    let entries = StoreError::Refused(Refusal::Entries { first_offset: 15, entries: 0 });
    expect("an empty piece", &subject.refused(&append(vec![piece(15, 0, 20)]))?, &entries)?;
    subject.commit(&append(vec![piece(15, 1, 20)])).map(drop)
}

pub(super) fn what_is_too_long_is_refused(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 10, 20)]))?;
    let text = |bytes| "x".repeat(bytes);
    let (mut long_action, mut long_letter) = (action("m", 1, 0)?, letter("m", Some(1), "")?);
    long_action.body = text(StoreLimits::BODY_BYTES_MAX + 1);
    long_letter.body = text(StoreLimits::BODY_BYTES_MAX + 1);
    let mut long_name = action("m", 1, 0)?;
    long_name.id.observer = text(StoreLimits::NAME_BYTES_MAX + 1).into();
    let long_plan = PlanText { fingerprint: 1, text: text(StoreLimits::PLAN_BYTES_MAX + 1) };
    let long_value = ("x".to_owned(), Some(vec![0; StoreLimits::VALUE_BYTES_MAX + 1]));
    for commit in [
        post(vec![long_action.clone()]),
        post(vec![long_name]),
        Commit { letters: vec![long_letter], ..Commit::default() },
        Commit { plans: vec![long_plan], ..Commit::default() },
        Commit { values: vec![long_value], ..Commit::default() },
    ] {
        match subject.refused(&commit)? {
            StoreError::Refused(Refusal::TooLong { bytes, max, .. }) => {
                expect("its length", &bytes, &(max + 1))?;
            }
            error => return Err(format!("what is too long is told: {error}")),
        }
    }
    // The longest that is allowed is taken.
    long_action.body.pop();
    subject.commit(&post(vec![long_action])).map(drop)
}

pub(super) fn what_speaks_of_offsets_that_are_not_there_is_refused(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 10, 20)]))?;
    let ahead = |error: StoreError| match error {
        StoreError::Refused(Refusal::Ahead { offset: 11, end: 10, .. }) => Ok(()),
        other => Err(format!("it is told: {other}")),
    };
    ahead(subject.refused(&keep(vec![snapshot("m", 11, b"s")?]))?)?;
    let forget = ModelChange::Forget { model: model("m")?, next_offset: 11 };
    ahead(subject.refused(&Commit { models: vec![forget], ..Commit::default() })?)?;
    ahead(subject.refused(&post(vec![action("m", 10, 0)?]))?)?;
    ahead(subject.refused(&Commit { letters: vec![letter("m", Some(10), "")?], ..Commit::default() })?)?;
    ahead(subject.refused(&Commit { truncate_below: Some(11), ..Commit::default() })?)?;
    // With the entries in the same commit it may.
    let mut commit = append(vec![piece(10, 1, 20)]);
    commit.models = keep(vec![snapshot("m", 11, b"s")?]).models;
    subject.commit(&commit).map(drop)
}

pub(super) fn pieces_come_from_an_offset_on_within_the_bytes_asked_for(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    let pieces = vec![piece(0, 10, 100), piece(10, 1, 5_000), piece(11, 9, 100), piece(20, 1, 0)];
    subject.commit(&append(pieces.clone()))?;
    let firsts =
        |pieces: Vec<JournalPiece>| pieces.iter().map(|piece| piece.first_offset).collect::<Vec<_>>();
    for (from, bytes_max, wanted) in [
        (0, usize::MAX, vec![0, 10, 11, 20]),
        (0, 0, vec![0]),
        (0, 5_100, vec![0, 10]),
        (9, 5_099, vec![0]),
        (10, 1, vec![10]),
        (15, 1 << 20, vec![11, 20]),
        (20, 1, vec![20]),
        (21, 1, vec![]),
        (u64::MAX, 1, vec![]),
    ] {
        let found = firsts(works("journal", subject.reader.journal(from, bytes_max))?);
        expect(&format!("from {from} within {bytes_max} bytes"), &found, &wanted)?;
    }
    expect("bit for bit", &works("journal", subject.reader.journal(0, usize::MAX))?, &pieces)
}

pub(super) fn truncation_removes_whole_pieces_and_keeps_the_next_offset(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 10, 100), piece(10, 10, 100), piece(20, 10, 100)]))?;
    let truncate = |below| Commit { truncate_below: Some(below), ..Commit::default() };
    for (below, first_offset, pieces) in [(9, 0, 3), (10, 10, 2), (25, 20, 1), (3, 20, 1), (30, 30, 0)] {
        subject.commit(&truncate(below))?;
        let summary = works("summary", subject.reader.summary())?;
        let found =
            (summary.first_offset, summary.next_offset, summary.journal_pieces, summary.journal_bytes);
        expect(&format!("below {below}"), &found, &(first_offset, 30, pieces, 100 * pieces))?;
    }
    drop(subject);
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    expect(
        "the next offset of an empty journal",
        &works("summary", subject.reader.summary())?.next_offset,
        &30,
    )?;
    // A commit may append and truncate what it appends.
    let mut commit = append(vec![piece(30, 1, 7), piece(31, 1, 7)]);
    commit.truncate_below = Some(31);
    subject.commit(&commit)?;
    expect("the first offset", &works("summary", subject.reader.summary())?.first_offset, &31)
}

pub(super) fn a_full_journal_refuses_and_takes_again_after_truncation(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let limits = StoreLimits { journal_bytes_max: 1_000, ..StoreLimits::default() };
    let mut subject = Subject::open(workshop, "a", limits)?;
    subject.commit(&append(vec![piece(0, 1, 600), piece(1, 1, 400)]))?;
    let full = StoreError::Full { limit: "journal_bytes_max", wanted: 1_001, max: 1_000 };
    expect("one byte more", &subject.refused(&append(vec![piece(2, 1, 1)]))?, &full)?;
    expect("it may be tried again", &full.can_retry(), &true)?;
    // What does not append goes on.
    subject.commit(&keep(vec![snapshot("m", 1, b"state")?]))?;
    // Room may be made by the commit that needs it.
    let mut commit = append(vec![piece(2, 1, 600)]);
    commit.truncate_below = Some(1);
    subject.commit(&commit)?;
    expect("the bytes", &works("summary", subject.reader.summary())?.journal_bytes, &1_000)
}
