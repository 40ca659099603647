//! Helper threads that lend a hand to the calling one, without allocation and without a queue.
//!
//! The caller works too, and waits at the end only for helpers that have begun: a short job is never
//! slower than on one thread by more than the wake-up call. A helper that has just worked watches for
//! the next job for a moment before it sleeps, since attention calls come in rows.

#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a helper watches for the next job before it sleeps, and a caller for its helpers.
///
/// Longer than the gap between the calls of a loop, far shorter than a time slice.
const WATCH: Duration = Duration::from_micros(100);

/// State: helpers inside the job.
const INSIDE: u64 = (1 << 30) - 1;
/// State: helpers may still begin.
const OPEN: u64 = 1 << 30;
/// State: the team is dissolved.
const OVER: u64 = 1 << 31;
/// State: one more job; the number of the job stands in the upper half.
const NEXT: u64 = 1 << 32;

/// Helpers beside the calling thread.
#[derive(Debug)]
pub(super) struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the caller whose job it is.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What helpers run, and whom they tell.
struct Job {
    work: *const (dyn Fn() + Sync),
    caller: Thread,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a job of {:?}", self.caller)
    }
}

// SAFETY: the job is written only by the caller whose turn it is, while the state is closed and nobody
// is inside, and read only by helpers that are inside; `work` points to something `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Team {
    /// Starts `helpers` threads, and waits until they are there.
    pub(super) fn new(helpers: usize) -> std::io::Result<Self> {
        let mut team = Self {
            shared: Arc::new(Shared {
                state: AtomicU64::new(0),
                job: UnsafeCell::new(None),
                panic: Mutex::new(None),
            }),
            helpers: Vec::with_capacity(helpers),
            turn: Mutex::new(()),
        };
        for i in 1..=helpers {
            let shared = Arc::clone(&team.shared);
            shared.state.fetch_add(1, Ordering::Relaxed);
            let helper = thread::Builder::new()
                .name(format!("attention-{i}"))
                .spawn(move || {
                    shared.state.fetch_sub(1, Ordering::Release);
                    shared.help();
                })?;
            team.helpers.push(helper);
        }
        while team.shared.state.load(Ordering::Acquire) & INSIDE != 0 {
            thread::yield_now();
        }
        Ok(team)
    }

    /// Runs `work` on the calling thread and on up to `helpers` others at the same time; `false`, and
    /// nothing is run, where the team is busy with another call.
    ///
    /// A helper that comes too late does not run it at all. A panic of any of them reaches the caller.
    pub(super) fn run(&self, helpers: usize, work: &(dyn Fn() + Sync)) -> bool {
        let Ok(_turn) = self.turn.try_lock() else {
            return false;
        };
        let shared = &*self.shared;
        let work_at: *const (dyn Fn() + Sync + '_) = work;
        let job = Job {
            // SAFETY: only the lifetime changes. Helpers call it while they are inside, and this
            // function does not return, nor unwind, before the last of them has left.
            work: unsafe {
                std::mem::transmute::<*const (dyn Fn() + Sync + '_), *const (dyn Fn() + Sync)>(
                    work_at,
                )
            },
            caller: thread::current(),
        };
        // SAFETY: it is this call's turn, and the job before was left by all and closed.
        unsafe { *shared.job.get() = Some(job) };
        let next = (shared.state.load(Ordering::Relaxed) & !(NEXT - 1)).wrapping_add(NEXT);
        shared.state.store(next | OPEN, Ordering::Release);
        for helper in self.helpers.iter().take(helpers) {
            helper.thread().unpark();
        }

        let mine = catch_unwind(AssertUnwindSafe(work));
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        watch(|| shared.state.load(Ordering::Acquire) & INSIDE == 0);
        let theirs = shared
            .panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(panic) = mine.err().or(theirs) {
            resume_unwind(panic);
        }
        true
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.state.fetch_or(OVER, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // It catches the panics of its jobs, and has none of its own.
            let _ = helper.join();
        }
    }
}

impl Shared {
    /// The life of a helper.
    fn help(&self) {
        let mut done = 0;
        loop {
            let mut state = 0;
            watch(|| {
                state = self.state.load(Ordering::Acquire);
                state & OVER != 0 || state & OPEN != 0 && state / NEXT != done
            });
            if state & OVER != 0 {
                return;
            }
            let entered =
                self.state
                    .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            if entered.is_err() {
                continue;
            }
            done = state / NEXT;
            // SAFETY: this helper is inside, so that the caller has written the job and waits.
            let job = unsafe { &*self.job.get() };
            let Some(Job { work, caller }) = job else {
                continue;
            };
            // Once this helper has left, the job is the next caller's.
            let caller = caller.clone();
            // SAFETY: the caller does not return before this helper has left.
            let work = unsafe { &**work };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            let left = self.state.fetch_sub(1, Ordering::AcqRel);
            if left & OPEN == 0 && left & INSIDE == 1 {
                caller.unpark();
            }
        }
    }
}

/// Waits until something is so: watches for a moment, then sleeps until unparked.
fn watch(mut so: impl FnMut() -> bool) {
    let mut start = None;
    loop {
        for _ in 0..64 {
            if so() {
                return;
            }
            std::hint::spin_loop();
        }
        if start.get_or_insert_with(Instant::now).elapsed() < WATCH {
            // What is waited for may need this very core.
            thread::yield_now();
        } else {
            thread::park();
        }
    }
}
