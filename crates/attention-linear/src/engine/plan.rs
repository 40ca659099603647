//! How a problem is cut into tasks: by its sizes and mask alone, never by the number of threads.

use attention::Geometry;
use attention::mask::SequenceMask;

/// With this many (history, key head) pairs, each is one task; with fewer, histories are cut.
const ENOUGH: usize = 8;

/// Queries of a task, and most keys of a partial state, where histories are cut: long enough that
/// a state (written and merged once a cut) costs little beside its keys.
const SEGMENT: usize = 512;

/// The cut of one problem.
pub(super) struct Plan {
    /// Most queries of a task.
    pub(super) rows: usize,
    /// For each history, the numbers of leading keys whose state is made ahead; none where
    /// histories are not cut.
    pub(super) cuts: Vec<Vec<usize>>,
    /// Most tasks that can run at the same time.
    pub(super) tasks: usize,
}

impl Plan {
    pub(super) fn of(geometry: &Geometry) -> Self {
        let shape = geometry.shape();
        let masks: Vec<_> = (0..shape.b).map(|s| geometry.sequence(s)).collect();
        let long = masks.iter().any(|m| m.queries().max(m.keys()) > SEGMENT);
        let cut = long && shape.b * shape.hkv < ENOUGH;
        let rows = if cut { SEGMENT } else { usize::MAX };
        let cuts: Vec<Vec<usize>> = masks
            .iter()
            .map(|mask| if cut { cuts(mask) } else { Vec::new() })
            .collect();
        let blocks: usize = masks.iter().map(|m| m.queries().div_ceil(rows)).sum();
        let partial: usize = cuts.iter().map(Vec::len).sum();
        Self {
            rows,
            cuts,
            tasks: shape.hkv * blocks.max(partial),
        }
    }

    /// Partial states over all histories, for one key head.
    pub(super) fn states(&self) -> usize {
        self.cuts.iter().map(Vec::len).sum()
    }
}

/// Where the blocks of queries begin to differ in the keys they see, and at least every
/// [`SEGMENT`] keys before that.
fn cuts(mask: &SequenceMask<'_>) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut at = 0;
    for first in (0..mask.queries()).step_by(SEGMENT) {
        let end = mask.span(first).end;
        while end > at {
            at = end.min(at + SEGMENT);
            cuts.push(at);
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::mask::{Alignment, Mask};

    fn of(nq: usize, nk: usize, mask: Mask) -> Vec<usize> {
        cuts(&mask.sequence(0, nq, nk))
    }

    #[test]
    fn a_full_mask_is_cut_by_its_keys() {
        assert_eq!(of(2000, 1300, Mask::full()), [512, 1024, 1300]);
        assert!(of(100, 0, Mask::full()).is_empty());
    }

    #[test]
    fn a_causal_mask_is_cut_where_query_blocks_begin() {
        let causal = |a| Mask::causal(a);
        assert_eq!(of(1300, 1300, causal(Alignment::TopLeft)), [1, 513, 1025]);
        let late = of(10, 1300, causal(Alignment::BottomRight));
        assert_eq!(
            late,
            [512, 1024, 1291],
            "few queries at the end of many keys"
        );
        assert_eq!(of(1300, 700, causal(Alignment::TopLeft)), [1, 513, 700]);
    }
}
