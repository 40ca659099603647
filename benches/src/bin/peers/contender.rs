//! Whoever takes part in a cell: ours in this process, a peer in its own.

use crate::ours::Ours;
use peers::{Answer, Cell, Peer};
use std::error::Error;
use std::time::Duration;

/// A contender whose cell is loaded.
pub(crate) enum Contender<'a> {
    Ours(Ours<'a>),
    Peer(&'a mut Peer, &'a Cell),
}

impl Contender<'_> {
    /// Calls it `warm` times untimed, then `calls` times: seconds of each.
    pub(crate) fn run(&mut self, calls: usize, warm: usize) -> Result<Vec<f64>, Box<dyn Error>> {
        match self {
            Self::Peer(peer, _) => Ok(peer.run(calls, warm)?),
            Self::Ours(ours) => {
                for _ in 0..warm {
                    ours.run()?;
                }
                let times = (0..calls).map(|_| Ok(ours.run()?.as_secs_f64()));
                times.collect()
            }
        }
    }

    /// Calls it once on poisoned outputs, where they are ours to poison, and fetches the answer.
    pub(crate) fn answer(
        &mut self,
        shape: (usize, usize, usize, usize),
    ) -> Result<Answer, Box<dyn Error>> {
        if let Self::Ours(ours) = self {
            ours.poison();
        }
        self.run(1, 0)?;
        match self {
            Self::Ours(ours) => Ok(ours.answer(shape)),
            Self::Peer(peer, cell) => Ok(peer.output(cell)?),
        }
    }
}

/// How long everyone is idle between two turns: pools that spin for want of work have parked by then.
pub(crate) const PAUSE: Duration = Duration::from_millis(4);

/// About how long a turn lasts.
const TURN: f64 = 0.03;

/// Calls of a turn, and untimed ones before them, for a call of so many seconds.
pub(crate) fn turn(seconds: f64) -> (usize, usize) {
    let calls = (TURN / seconds.max(1e-9)).clamp(1.0, 30.0) as usize;
    (calls, usize::from(seconds < 0.2))
}
