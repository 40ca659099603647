//! The Pareto frontier: what nothing beats on both axes.

/// Indices of the points that no other is at least as good as on both axes and better on one, less being
/// better; in order of the first axis. Of equal points the first counts. Costs O(n log n).
pub(crate) fn frontier(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len())
        .filter(|&i| points[i].0.is_finite() && points[i].1.is_finite())
        .collect();
    order.sort_by(|&a, &b| {
        let (p, q) = (points[a], points[b]);
        p.0.total_cmp(&q.0).then(p.1.total_cmp(&q.1))
    });
    let mut best = f64::INFINITY;
    order.retain(|&i| {
        let better = points[i].1 < best;
        best = best.min(points[i].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_nothing_beats() {
        let points = [
            (5.0, 1e-7), // exact
            (1.0, 0.5),  // fastest
            (2.0, 0.6),  // beaten by the one before
            (2.0, 0.1),
            (6.0, 1e-8), // slower, more exact still
            (2.0, 0.1),  // the same again
            (f64::NAN, 0.0),
        ];
        assert_eq!(frontier(&points), [1, 3, 0, 4]);
        assert!(frontier(&[]).is_empty());
    }
}
