//! Thread pools of a stated size, and how their threads are placed.

use crate::Error;
use crate::machine::{available_cpus, cpus_allowed, logical_cpus};

/// A pool of exactly `threads` named threads, apart from rayon's global pool.
///
/// The threads are not bound to CPUs; [`placement`] says so in words for the record.
///
/// ```
/// let pool = measure::pool(2)?;
/// assert_eq!(pool.install(rayon::current_num_threads), 2);
/// # Ok::<(), measure::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::NoThreads`] for 0 threads, [`Error::ThreadPool`] when the system refuses to start them.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, Error> {
    if threads == 0 {
        return Err(Error::NoThreads);
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("worker-{index}"))
        .build()
        .map_err(|source| Error::ThreadPool { threads, source })
}

/// How this process's threads are placed, for the record: `unpinned, 2 CPUs allowed`.
///
/// Where the process as a whole is bound to a part of the machine, or limited by a CPU quota, that is said too.
pub fn placement() -> String {
    describe(cpus_allowed(), logical_cpus(), available_cpus())
}

fn describe(allowed: usize, logical: usize, available: usize) -> String {
    let plural = if allowed == 1 { "" } else { "s" };
    let mut text = format!("unpinned, {allowed} CPU{plural} allowed");
    if allowed < logical {
        text += &format!(" of {logical}");
    }
    // The standard library rounds the quota down, and up to 1.
    if available < allowed {
        text += &format!(", quota of about {available}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_as_many_as_asked_and_named() {
        let pool = pool(3).unwrap();
        let mut names = pool.broadcast(|_| std::thread::current().name().map(str::to_owned));
        names.sort();
        assert_eq!(
            names,
            ["worker-0", "worker-1", "worker-2"].map(|name| Some(name.to_owned()))
        );
    }

    #[test]
    fn no_threads_is_an_error() {
        assert!(matches!(pool(0), Err(Error::NoThreads)));
    }

    #[test]
    fn placement_names_binding_and_quota() {
        assert_eq!(describe(2, 2, 2), "unpinned, 2 CPUs allowed");
        assert_eq!(describe(1, 8, 1), "unpinned, 1 CPU allowed of 8");
        assert_eq!(
            describe(8, 8, 3),
            "unpinned, 8 CPUs allowed, quota of about 3"
        );
        assert!(placement().starts_with("unpinned, "));
    }
}
