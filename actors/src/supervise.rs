//! Restart on panic for actix actors, with the mailbox and every address kept.
//!
//! `actix::Supervisor` does not do this: a panic drops the actor, closes its mailbox and loses what was
//! queued. `PanicSupervisor` is a future of our own around the actor's context: it polls it under
//! `catch_unwind` and restarts it in place. What is lost is the message that was being handled; what was
//! spawned into the context (timers, futures) is cancelled, as `started` runs again and can set it anew.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::dev::{AsyncContextParts, ContextFut, channel};
use actix::fut::{ActorFutureExt, ready};
use actix::{Actor, ActorContext, ActorState, Addr, ArbiterHandle, AsyncContext, Context, Supervised};
use serde::Serialize;
use tokio::time::Sleep;

use crate::census::{Census, Presence};
use crate::clock::Stopwatch;
use crate::hook::guard;
use crate::restart::{RestartHistory, RestartPolicy, Verdict, seed_of};

#[cfg(panic = "abort")]
compile_error!(
    "supervision needs unwinding: panic = \"abort\" would turn every observer's panic into an exit"
);

/// Why an actor was restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestartCause {
    /// What the panic said.
    pub reason: String,
    /// Panics of this actor so far.
    pub panics: u64,
}

/// An actor that is restarted in place after a panic.
///
/// After a panic, and the wait that the policy asks for, `Supervised::restarting` and `Actor::started` run
/// as for a restarted actix actor, then one of these two, before the next message is handled.
pub trait Restartable: Supervised + Actor<Context = Context<Self>> {
    /// Takes note of a restart. State that the panic may have torn is mended here.
    fn restarted(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        let _ = (cause, ctx);
    }

    /// Takes note that it has panicked too often. The actor lives on and goes on being polled: a
    /// quarantined one answers, counts, and leaves its work undone until it is reset.
    fn quarantined(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        let _ = (cause, ctx);
    }
}

/// What happened to a supervised actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SupervisionEvent {
    /// It panicked and goes on after a wait.
    Restarted {
        /// The actor's name.
        actor: Arc<str>,
        /// Why.
        cause: RestartCause,
        /// The wait, in microseconds.
        backoff_us: u64,
    },
    /// It panicked too often within the window.
    Quarantined {
        /// The actor's name.
        actor: Arc<str>,
        /// Why.
        cause: RestartCause,
    },
    /// It panicked while it was being stopped or dropped; it is gone.
    StoppedByPanic {
        /// The actor's name.
        actor: Arc<str>,
        /// What the panic said.
        reason: String,
    },
}

/// Is told what happens to supervised actors.
pub trait LifecycleSink: Send + Sync {
    /// Takes note. Must not panic; if it does, that is ignored.
    fn supervision(&self, event: &SupervisionEvent);
}

/// What many supervised actors have in common.
#[derive(Clone)]
pub struct Supervision {
    /// When they are restarted.
    pub policy: RestartPolicy,
    /// Who is told; `None`: nobody.
    pub sink: Option<Arc<dyn LifecycleSink>>,
    /// Who counts them.
    pub census: Census,
}

/// Starts an actor on the present arbiter and keeps it running through panics.
///
/// `name` seeds the jitter of its waits and stands in what the sink is told.
///
/// # Panics
///
/// Panics outside an actix `System`, like every start of an actor.
pub fn supervise<A: Restartable>(
    name: &str,
    supervision: &Rc<Supervision>,
    build: impl FnOnce(&mut Context<A>) -> A,
) -> Addr<A> {
    let mut ctx = Context::new();
    let actor = build(&mut ctx);
    let addr = ctx.address();
    let named = supervision.sink.is_some().then(|| name.into());
    actix_rt::spawn(PanicSupervisor::new(
        ctx.into_future(actor),
        seed_of(name),
        named,
        Rc::clone(supervision),
    ));
    addr
}

/// Starts an actor on another arbiter and keeps it running through panics.
pub fn supervise_in<A: Restartable>(
    arbiter: &ArbiterHandle,
    name: &str,
    supervision: Supervision,
    build: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
) -> Addr<A> {
    let (sender, receiver) = channel::channel(16);
    let name: Arc<str> = name.into();
    // Counted from here on, so that nobody takes the arbiter for empty before the actor is there.
    let presence = supervision.census.enter();
    arbiter.spawn_fn(move || {
        let mut ctx = Context::with_receiver(receiver);
        let actor = build(&mut ctx);
        let seed = seed_of(&name);
        let supervision = Rc::new(supervision);
        actix_rt::spawn(PanicSupervisor::new(ctx.into_future(actor), seed, Some(name), supervision));
        drop(presence);
    });
    Addr::new(sender)
}

/// Runs one actor's context and starts it again after a panic.
pub(crate) struct PanicSupervisor<A: Restartable> {
    /// `None` once the actor is gone.
    context: Option<ContextFut<A, Context<A>>>,
    supervision: Rc<Supervision>,
    /// Made at the first panic.
    trouble: Option<Box<Trouble>>,
    name: Option<Arc<str>>,
    seed: u64,
    polled: bool,
    _presence: Presence,
}

/// What only an actor that has panicked has.
struct Trouble {
    history: RestartHistory,
    since: Stopwatch,
    quarantined: bool,
    /// Why it is going to be restarted; with the wait, unless that is at once.
    pause: Option<(Option<Pin<Box<Sleep>>>, RestartCause)>,
}

impl<A: Restartable> PanicSupervisor<A> {
    fn new(
        context: ContextFut<A, Context<A>>,
        seed: u64,
        name: Option<Arc<str>>,
        supervision: Rc<Supervision>,
    ) -> Self {
        let presence = supervision.census.enter();
        Self {
            context: Some(context),
            supervision,
            trouble: None,
            name,
            seed,
            polled: false,
            _presence: presence,
        }
    }

    /// Decides what follows a panic, and begins the wait.
    fn panicked(&mut self, reason: String) {
        let policy = self.supervision.policy;
        let trouble = self.trouble.get_or_insert_with(|| {
            let history = RestartHistory::default();
            Box::new(Trouble { history, since: Stopwatch::start(), quarantined: false, pause: None })
        });
        let verdict = trouble.history.panicked(trouble.since.micros(), &policy, self.seed);
        let cause = RestartCause { reason, panics: trouble.history.total() };
        let first_quarantine = verdict == Verdict::Quarantine && !trouble.quarantined;
        let wait = match verdict {
            Verdict::Restart(wait) => wait,
            // The first time it is only told; if it goes on panicking it is slowed down.
            Verdict::Quarantine if first_quarantine => Duration::ZERO,
            Verdict::Quarantine => policy.backoff_max,
        };
        trouble.quarantined = verdict == Verdict::Quarantine;
        let sleep = (!wait.is_zero()).then(|| Box::pin(tokio::time::sleep(wait)));
        trouble.pause = Some((sleep, cause.clone()));
        let actor = self.name.clone().unwrap_or_else(|| "".into());
        let backoff_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.tell(&if first_quarantine {
            SupervisionEvent::Quarantined { actor, cause }
        } else {
            SupervisionEvent::Restarted { actor, cause, backoff_us }
        });
    }

    /// Starts the actor again once the wait is over. Is ready with `false` when nobody can reach it.
    fn resume(&mut self, cx: &mut TaskContext<'_>) -> Poll<bool> {
        let Some(trouble) = &mut self.trouble else { return Poll::Ready(true) };
        if let Some((Some(sleep), _)) = &mut trouble.pause
            && sleep.as_mut().poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        let (Some((_, cause)), Some(context)) = (trouble.pause.take(), &mut self.context) else {
            return Poll::Ready(true);
        };
        let quarantined = trouble.quarantined;
        let restarted = guard(|| {
            let reachable = context.restart();
            if reachable {
                context.ctx().wait(ready(()).map(move |(), actor: &mut A, ctx| {
                    if quarantined { actor.quarantined(&cause, ctx) } else { actor.restarted(&cause, ctx) }
                }));
            }
            reachable
        });
        restarted.map_or_else(
            |reason| {
                self.panicked(reason);
                cx.waker().wake_by_ref();
                Poll::Pending
            },
            Poll::Ready,
        )
    }

    fn tell(&self, event: &SupervisionEvent) {
        if let Some(sink) = &self.supervision.sink {
            let _ = guard(|| sink.supervision(event));
        }
    }

    /// Drops the actor outside of unwinding, and survives what its `stopped` and its drop do.
    fn discard(&mut self) {
        let Some(mut context) = self.context.take() else { return };
        if !self.polled || std::thread::panicking() {
            // Never started, or no place for the user's code: nothing of it is run.
            context.ctx().parts().terminate();
        }
        if let Err(reason) = guard(|| drop(context)) {
            self.stopped_by_panic(reason);
        }
    }

    fn stopped_by_panic(&mut self, reason: String) {
        let actor = self.name.clone().unwrap_or_else(|| "".into());
        self.tell(&SupervisionEvent::StoppedByPanic { actor, reason });
        self.discard();
    }
}

impl<A: Restartable> Future for PanicSupervisor<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match this.resume(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(true) => {}
                Poll::Ready(false) => {
                    this.discard();
                    return Poll::Ready(());
                }
            }
            let Some(context) = &mut this.context else { return Poll::Ready(()) };
            this.polled = true;
            match guard(|| Pin::new(context).poll(cx)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => {
                    this.discard();
                    return Poll::Ready(());
                }
                Err(reason) => {
                    // One that was being stopped is not brought back.
                    if this
                        .context
                        .as_mut()
                        .is_some_and(|context| context.ctx().state() == ActorState::Stopped)
                    {
                        this.stopped_by_panic(reason);
                        return Poll::Ready(());
                    }
                    this.panicked(reason);
                }
            }
        }
    }
}

// The context is never pinned in place: it is `Unpin` like every part of it.
impl<A: Restartable> Unpin for PanicSupervisor<A> {}

impl<A: Restartable> Drop for PanicSupervisor<A> {
    fn drop(&mut self) {
        self.discard();
    }
}
