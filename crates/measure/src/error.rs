/// What can go wrong while preparing a measurement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A thread pool of no threads was asked for.
    #[error("a thread pool of 0 threads was asked for; ask for at least 1")]
    NoThreads,
    /// The system would not start the threads.
    #[error(
        "a thread pool of {threads} threads could not be started: {source}; ask for fewer, or raise the process limit (ulimit -u)"
    )]
    ThreadPool {
        /// Threads asked for.
        threads: usize,
        /// What the pool builder answered.
        source: rayon::ThreadPoolBuildError,
    },
}
