//! Where the queries of prepared histories stand.

use attention::mask::Part;
use attention::{Error, Geometry, Result};

/// A history that keys have been absorbed of.
pub(crate) struct History {
    /// Queries that the problem has by now, and keys absorbed.
    queries: usize,
    pub(crate) keys: usize,
    /// Query i sees the keys up to i + last.
    last: isize,
}

impl History {
    /// Those of a problem; padding counts on neither side.
    pub(crate) fn all(geometry: &Geometry) -> Vec<Self> {
        let history = |s: usize| {
            let (nq, nk) = (geometry.query_range(s).len(), geometry.key_range(s).len());
            let lengths = geometry
                .mask()
                .parts()
                .iter()
                .filter_map(|part| match part {
                    Part::KeyLengths(lengths) => Some(lengths[s]),
                    _ => None,
                });
            let keys = lengths.fold(nk, usize::min);
            Self {
                queries: nq.saturating_sub(nk - keys),
                keys,
                last: geometry.sequence(s).band().1,
            }
        };
        (0..geometry.shape().b).map(history).collect()
    }

    /// Counts `n` keys more, and a query for each.
    pub(crate) fn grow(&mut self, n: usize) {
        self.keys += n;
        self.queries += n;
    }
}

/// Checks that the last `nq` queries of every history see all that was absorbed.
///
/// # Errors
/// [`Error::Unsupported`] where one does not.
pub(crate) fn expect_all_seen(
    variant: &'static str,
    histories: &[History],
    nq: usize,
) -> Result<()> {
    let behind = |history: &History| {
        let first = history.queries.saturating_sub(nq) as isize;
        nq > 0 && first.saturating_add(history.last) + 1 < history.keys as isize
    };
    if histories.iter().any(behind) {
        return Err(Error::Unsupported {
            variant,
            what: format!("{nq} queries of a prepared state, some of which see less than it holds"),
            reason: "a state holds all keys together and cannot give back a part of them",
        });
    }
    Ok(())
}
