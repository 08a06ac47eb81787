//! The matrix of OTP's `supervisor_SUITE`, for actors that are supervised by us.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervised};
use parking_lot::Mutex;
use visu_tility_actors::{
    Census, LifecycleSink, RestartCause, RestartPolicy, Restartable, Supervision, SupervisionEvent,
    install_panic_hook, supervise,
};

use crate::world::{pass, world};

/// What a probe did, shared with the test.
#[derive(Default)]
struct Book {
    started: AtomicU32,
    restarted: Mutex<Vec<String>>,
    quarantined: AtomicU32,
    panics_in_started: AtomicU32,
    panics_in_stopped: AtomicU32,
    events: Mutex<Vec<SupervisionEvent>>,
}

impl LifecycleSink for Book {
    fn supervision(&self, event: &SupervisionEvent) {
        self.events.lock().push(event.clone());
    }
}

struct Probe {
    book: Arc<Book>,
    sum: u32,
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.book.started.fetch_add(1, Ordering::Relaxed);
        if self.book.panics_in_started.load(Ordering::Relaxed) > 0 {
            self.book.panics_in_started.fetch_sub(1, Ordering::Relaxed);
            panic!("in started");
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        assert!(self.book.panics_in_stopped.load(Ordering::Relaxed) == 0, "in stopped");
    }
}

impl Supervised for Probe {}

impl Restartable for Probe {
    fn restarted(&mut self, cause: &RestartCause, _: &mut Context<Self>) {
        self.book.restarted.lock().push(cause.reason.clone());
    }

    fn quarantined(&mut self, _: &RestartCause, _: &mut Context<Self>) {
        self.book.quarantined.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
enum Do {
    Add,
    Panic,
    PanicInTimer,
    PanicInFuture,
    PanicInWait,
    Stop,
}

impl Message for Do {
    type Result = u32;
}

impl Handler<Do> for Probe {
    type Result = u32;

    fn handle(&mut self, what: Do, ctx: &mut Context<Self>) -> u32 {
        match what {
            Do::Add => self.sum += 1,
            Do::Panic => panic!("in handler"),
            Do::PanicInTimer => {
                ctx.run_later(Duration::from_millis(1), |_, _| panic!("in timer"));
            }
            Do::PanicInFuture => {
                ctx.spawn(async { panic!("in future") }.into_actor(self));
            }
            Do::PanicInWait => ctx.wait(async { panic!("in wait") }.into_actor(self)),
            Do::Stop => ctx.stop(),
        }
        self.sum
    }
}

fn probe(book: &Arc<Book>, policy: RestartPolicy) -> (Addr<Probe>, Census) {
    install_panic_hook();
    let census = Census::default();
    let sink: Option<Arc<dyn LifecycleSink>> = Some(Arc::clone(book) as _);
    let supervision = Rc::new(Supervision { policy, sink, census: census.clone() });
    let book = Arc::clone(book);
    (supervise("probe", &supervision, |_| Probe { book, sum: 0 }), census)
}

async fn gone(addr: Addr<Probe>, census: &Census) {
    drop(addr);
    tokio::time::timeout(Duration::from_mins(1), census.empty()).await.expect("the probe outlives its test");
}

/// One panic of each sort: the actor goes on at the same address, with its state and its mailbox.
fn survives(what: Do, said: &'static str) {
    world(|| async move {
        let book = Arc::new(Book::default());
        let (addr, census) = probe(&book, RestartPolicy::default());
        assert_eq!(addr.send(Do::Add).await.unwrap(), 1);
        let _ = addr.send(what).await;
        addr.do_send(Do::Add);
        pass(Duration::from_millis(5)).await;
        assert_eq!(addr.send(Do::Add).await.unwrap(), 3);
        assert_eq!(*book.restarted.lock(), [said]);
        assert_eq!(book.started.load(Ordering::Relaxed), 2);
        gone(addr, &census).await;
    });
}

#[test]
fn a_panic_in_a_handler_is_survived() {
    survives(Do::Panic, "in handler");
}

#[test]
fn a_panic_in_a_timer_is_survived() {
    survives(Do::PanicInTimer, "in timer");
}

#[test]
fn a_panic_in_a_spawned_future_is_survived() {
    survives(Do::PanicInFuture, "in future");
}

#[test]
fn a_panic_in_a_future_that_is_waited_for_is_survived() {
    survives(Do::PanicInWait, "in wait");
}

#[test]
fn a_panic_in_started_is_survived() {
    world(|| async {
        let book = Arc::new(Book::default());
        book.panics_in_started.store(2, Ordering::Relaxed);
        let (addr, census) = probe(&book, RestartPolicy::default());
        assert_eq!(addr.send(Do::Add).await.unwrap(), 1);
        assert_eq!(*book.restarted.lock(), ["in started"]);
        assert_eq!(book.started.load(Ordering::Relaxed), 3);
        gone(addr, &census).await;
    });
}

#[test]
fn a_panic_in_stopped_is_survived_and_told() {
    world(|| async {
        let book = Arc::new(Book::default());
        book.panics_in_stopped.store(1, Ordering::Relaxed);
        let (addr, census) = probe(&book, RestartPolicy::default());
        let neighbour = probe(&Arc::new(Book::default()), RestartPolicy::default());
        let _ = addr.send(Do::Stop).await;
        census_empties(&census).await;
        let told = SupervisionEvent::StoppedByPanic { actor: "probe".into(), reason: "in stopped".into() };
        assert_eq!(*book.events.lock(), [told]);
        assert_eq!(neighbour.0.send(Do::Add).await.unwrap(), 1);
        drop(addr);
        gone(neighbour.0, &neighbour.1).await;
    });
}

async fn census_empties(census: &Census) {
    tokio::time::timeout(Duration::from_mins(1), census.empty()).await.expect("the probe outlives its test");
}

#[test]
fn what_is_queued_behind_a_panic_is_handled_after_the_backoff() {
    world(|| async {
        let book = Arc::new(Book::default());
        let (addr, census) = probe(&book, RestartPolicy::default());
        for _ in 0..3 {
            addr.do_send(Do::Panic);
        }
        for _ in 0..10 {
            addr.do_send(Do::Add);
        }
        assert_eq!(addr.send(Do::Add).await.unwrap(), 11);
        let waits: Vec<u64> = book
            .events
            .lock()
            .iter()
            .filter_map(|event| match event {
                SupervisionEvent::Restarted { backoff_us, .. } => Some(backoff_us / 1_000),
                _ => None,
            })
            .collect();
        assert_eq!(waits[0], 0);
        assert!((16..=24).contains(&waits[1]) && (32..=48).contains(&waits[2]), "{waits:?}");
        gone(addr, &census).await;
    });
}

#[test]
fn too_many_panics_are_told_to_an_actor_that_lives_on() {
    world(|| async {
        let book = Arc::new(Book::default());
        let (addr, census) = probe(&book, RestartPolicy { restarts_max: 2, ..RestartPolicy::default() });
        for _ in 0..3 {
            let _ = addr.send(Do::Panic).await;
        }
        assert_eq!(addr.send(Do::Add).await.unwrap(), 1);
        assert_eq!(book.quarantined.load(Ordering::Relaxed), 1);
        assert!(matches!(book.events.lock().last(), Some(SupervisionEvent::Quarantined { .. })));
        gone(addr, &census).await;
    });
}

#[test]
fn stop_stops_and_does_not_restart() {
    world(|| async {
        let book = Arc::new(Book::default());
        let (addr, census) = probe(&book, RestartPolicy::default());
        let _ = addr.send(Do::Stop).await;
        census_empties(&census).await;
        assert!(!addr.connected());
        assert_eq!(book.started.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_system_that_goes_away_runs_nothing_of_an_actor_that_never_started() {
    let book = Arc::new(Book::default());
    book.panics_in_started.store(9, Ordering::Relaxed);
    let kept = Arc::clone(&book);
    let addr = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&addr);
    world(move || async move {
        *slot.lock() = Some(probe(&kept, RestartPolicy::default()));
    });
    drop(addr);
    assert_eq!(book.started.load(Ordering::Relaxed), 0);
}
