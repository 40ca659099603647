//! Time, memory and machine: interleaved rounds, statistics, peaks. Knows nothing of attention.
//!
//! * [`rounds`] times contestants once per round each, in a shuffled order, so that drift hits all alike;
//! * [`stats`] turns raw samples into medians, bootstrap intervals, paired ratios and growth exponents;
//! * [`memory`] counts live bytes and reads what the system says of resident and available memory;
//! * [`machine`] says what computer this is, [`peaks`] what it can do at best;
//! * [`warnings`] says what is doubtful about a measurement, and what to do about it;
//! * [`pool`](mod@pool) makes thread pools of a stated size.
//!
//! ```
//! use measure::{Contestant, RoundPlan, Summary, ratio_within_rounds, run_rounds};
//!
//! let (short, long) = (vec![1.0f32; 20_000], vec![1.0f32; 80_000]);
//! let mut contestants = [
//!     Contestant::new("short", || { std::hint::black_box(short.iter().sum::<f32>()); }),
//!     Contestant::new("long", || { std::hint::black_box(long.iter().sum::<f32>()); }),
//! ];
//! let plan = RoundPlan { min_rounds: 10, max_rounds: 30, ..RoundPlan::default() };
//! let samples = run_rounds(&mut contestants, &plan, &mut |_progress| {});
//!
//! let (short, long) = (samples[0].as_f64(), samples[1].as_f64());
//! let summary = Summary::from_samples(&short, 1).expect("at least one round");
//! assert!(summary.min <= summary.median && summary.median <= summary.max);
//! let ratio = ratio_within_rounds(&long, &short, 1).expect("at least one round");
//! assert!(ratio.median > 2.0);
//! ```

#![deny(unsafe_code)]

mod clock;
mod error;
pub mod machine;
pub mod memory;
pub mod peaks;
pub mod pool;
pub mod rounds;
pub mod stats;
pub mod warnings;

pub use error::Error;
pub use machine::{Cache, Machine};
pub use memory::{AllocationPeak, CountingAllocator, peak_during};
pub use peaks::{Bandwidth, Peak, bf16_peak, fma_peak, int8_peak, memory_bandwidth};
pub use pool::{placement, pool};
pub use rounds::{Contestant, Phase, RoundPlan, RoundProgress, Samples, Stop, run_rounds};
pub use stats::{
    RatioSummary, Slope, Summary, bootstrap_interval, log_log_slope, median, quantile,
    ratio_within_rounds,
};
pub use warnings::{Code, Warning};
