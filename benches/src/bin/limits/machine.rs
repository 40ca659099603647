//! Measured in turns with the machine's own limits.

use crate::Fault;
use measure::{fma_peak, median};

/// Rounds of a measurement; medians are of as many.
pub(crate) const ROUNDS: usize = 9;

/// Seconds that the calls of a turn take together, at least.
const TURN: f64 = 0.03;

/// One turn: an untimed call, which wakes threads and warms caches, then calls for [`TURN`]; gives
/// their median.
pub(crate) fn turn(mut call: impl FnMut() -> Result<f64, Fault>) -> Result<f64, Fault> {
    call()?;
    let mut seconds = Vec::new();
    while seconds.iter().sum::<f64>() < TURN {
        seconds.push(call()?);
    }
    Ok(median(&seconds))
}

/// Runs each of `turns` once a round, the first round untimed; gives the medians in seconds.
pub(crate) fn rounds<const N: usize>(
    mut turns: [&mut dyn FnMut() -> Result<f64, Fault>; N],
) -> Result<[f64; N], Fault> {
    let mut seconds: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for round in 0..=ROUNDS {
        for (turn, seconds) in turns.iter_mut().zip(&mut seconds) {
            let taken = turn()?;
            if round > 0 {
                seconds.push(taken);
            }
        }
    }
    Ok(seconds.map(|s| median(&s)))
}

/// Seconds of the peak's multiply-adds for 10⁹ operations: a turn of [`rounds`].
pub(crate) fn peak_turn(threads: usize) -> impl FnMut() -> Result<f64, Fault> {
    move || Ok(1.0 / fma_peak(threads).gflops)
}
