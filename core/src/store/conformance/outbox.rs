//! The outbox and the dead letters: once each, bounded.

use crate::store::commit::{Commit, Posted, Settlement, Verdict};
use crate::store::error::StoreError;
use crate::store::limits::StoreLimits;
use crate::store::record::OutboxQuery;
use crate::time::Timestamp;

use super::{Outcome, Subject, Workshop, action, append, expect, letter, model, piece, post, works};

fn settle(numbers: &[u64], verdict: Verdict) -> Commit {
    let at = Timestamp::from_millis(1_764_000_000_000);
    let settled = numbers.iter().map(|number| Settlement { number: *number, verdict, at }).collect();
    Commit { settled, ..Commit::default() }
}

/// The numbers that a query answers.
fn numbers(subject: &mut Subject, query: &OutboxQuery) -> Result<Vec<u64>, String> {
    Ok(works("outbox", subject.reader.outbox(query))?.iter().map(|action| action.number).collect())
}

fn all() -> OutboxQuery {
    OutboxQuery { limit: 100, ..OutboxQuery::default() }
}

pub(super) fn an_action_is_posted_once(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 10, 20)]))?;
    let first = subject.commit(&post(vec![action("m", 1, 0)?, action("m", 1, 1)?, action("m", 1, 0)?]))?;
    expect("posted", &first.posted, &vec![Posted::New(1), Posted::New(2), Posted::Known(1)])?;
    // The words of the first stay.
    let mut reworded = action("m", 1, 1)?;
    reworded.body.push_str(" in other words");
    let again = subject.commit(&post(vec![reworded, action("m", 2, 0)?]))?;
    expect("posted again", &again.posted, &vec![Posted::Known(2), Posted::New(3)])?;
    let found = works("outbox", subject.reader.outbox(&all()))?;
    let entries: Vec<_> = found.into_iter().map(|action| action.entry).collect();
    expect("the outbox", &entries, &vec![action("m", 1, 0)?, action("m", 1, 1)?, action("m", 2, 0)?])
}

pub(super) fn settled_actions_wait_no_longer_and_stay_known_while_a_replay_could_make_them(
    workshop: &mut dyn Workshop,
) -> Outcome {
    let limits = StoreLimits { outbox_history_max: 1, ..StoreLimits::default() };
    let mut subject = Subject::open(workshop, "a", limits)?;
    subject.commit(&append(vec![piece(0, 10, 20), piece(10, 10, 20), piece(20, 10, 20)]))?;
    // The last one's cause is a timer long after the event that its id names.
    let mut late = action("m", 1, 9)?;
    late.cause = 15;
    subject.commit(&post(vec![action("m", 1, 0)?, action("m", 2, 0)?, action("m", 3, 0)?, late.clone()]))?;
    subject.commit(&settle(&[1, 2, 4, 99], Verdict::Delivered))?;
    subject.commit(&settle(&[1], Verdict::Abandoned))?;
    expect("what waits", &numbers(&mut subject, &OutboxQuery { waiting: true, ..all() })?, &vec![3])?;
    let first = works("outbox", subject.reader.outbox(&all()))?.into_iter().next();
    let settled = Some((Verdict::Delivered, Timestamp::from_millis(1_764_000_000_000)));
    expect("the first verdict stands", &first.and_then(|first| first.settled), &settled)?;
    expect(
        "posted again",
        &subject.commit(&post(vec![action("m", 1, 0)?]))?.posted,
        &vec![Posted::Known(1)],
    )?;
    // Of those that no replay can make again, the latest settled one is kept to be looked at.
    subject.commit(&Commit { truncate_below: Some(10), ..Commit::default() })?;
    expect("after truncation", &numbers(&mut subject, &all())?, &vec![2, 3, 4])?;
    expect("the timer's", &subject.commit(&post(vec![late]))?.posted, &vec![Posted::Known(4)])?;
    subject.commit(&Commit { truncate_below: Some(20), ..Commit::default() })?;
    expect("what waits is never removed", &numbers(&mut subject, &all())?, &vec![3, 4])?;
    // No number is used twice.
    subject.commit(&settle(&[3], Verdict::Delivered))?;
    subject.commit(&Commit { truncate_below: Some(30), ..Commit::default() })?;
    expect("a new one", &subject.commit(&post(vec![action("m", 25, 0)?]))?.posted, &vec![Posted::New(5)])
}

pub(super) fn a_full_outbox_refuses_and_takes_again_after_settlement(workshop: &mut dyn Workshop) -> Outcome {
    let limits = StoreLimits { outbox_waiting_max: 2, ..StoreLimits::default() };
    let mut subject = Subject::open(workshop, "a", limits)?;
    subject.commit(&append(vec![piece(0, 10, 20)]))?;
    subject.commit(&post(vec![action("m", 1, 0)?, action("m", 1, 1)?]))?;
    let full = StoreError::Full { limit: "outbox_waiting_max", wanted: 3, max: 2 };
    expect("one more", &subject.refused(&post(vec![action("m", 1, 2)?]))?, &full)?;
    // Known ones need no room, and room may be made by the commit that needs it.
    subject.commit(&post(vec![action("m", 1, 1)?]))?;
    let mut commit = settle(&[1], Verdict::Delivered);
    commit.outbox = vec![action("m", 1, 2)?];
    expect("posted", &subject.commit(&commit)?.posted, &vec![Posted::New(3)])
}

pub(super) fn actions_of_a_model_come_page_by_page(workshop: &mut dyn Workshop) -> Outcome {
    let mut subject = Subject::open(workshop, "a", StoreLimits::default())?;
    subject.commit(&append(vec![piece(0, 100, 20)]))?;
    for at in 0..10 {
        subject.commit(&post(vec![action("m", at, 0)?, action("other", at, 0)?]))?;
    }
    subject.commit(&settle(&[1, 5], Verdict::Delivered))?;
    let of_m = OutboxQuery { model: Some(model("m")?), ..all() };
    expect("of m", &numbers(&mut subject, &of_m)?, &(0..10).map(|at| 2 * at + 1).collect())?;
    let waiting = OutboxQuery { waiting: true, after: 3, limit: 3, ..of_m };
    expect("of m, waiting, after 3", &numbers(&mut subject, &waiting)?, &vec![7, 9, 11])
}

pub(super) fn the_latest_dead_letters_are_kept_once_each(workshop: &mut dyn Workshop) -> Outcome {
    let limits = StoreLimits { dead_letters_max: 3, ..StoreLimits::default() };
    let mut subject = Subject::open(workshop, "a", limits)?;
    subject.commit(&append(vec![piece(0, 10, 20)]))?;
    let bury = |letters| Commit { letters, ..Commit::default() };
    let (first, second) = (letter("m", Some(1), "psi")?, letter("m", Some(1), "adwin")?);
    subject.commit(&bury(vec![first.clone(), second.clone(), first.clone()]))?;
    // A replay buries the same again; letters that were never in the journal are all different.
    subject.commit(&bury(vec![second, letter("x", None, "")?, letter("x", None, "")?]))?;
    let found = works("dead_letters", subject.reader.dead_letters(0, 10))?;
    let found: Vec<_> = found.iter().map(|letter| (letter.number, letter.entry.offset)).collect();
    expect("the letters", &found, &vec![(2, Some(1)), (3, None), (4, None)])?;
    let summary = works("summary", subject.reader.summary())?;
    expect("kept and ever", &(summary.dead_letters, summary.dead_letters_total), &(3, 4))?;
    drop(subject);
    // A smaller ring keeps fewer from the next commit on.
    let limits = StoreLimits { dead_letters_max: 0, ..StoreLimits::default() };
    let mut subject = Subject::open(workshop, "a", limits)?;
    subject.commit(&bury(vec![first]))?;
    let summary = works("summary", subject.reader.summary())?;
    expect("kept and ever", &(summary.dead_letters, summary.dead_letters_total), &(0, 5))
}
