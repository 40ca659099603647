//! The recurrences step by step in f64: what the kernels are gated against.
//!
//! One key at a time, no chunks, and no code shared with the kernels.

use attention::{Form, Head};
use ndarray::{Array1, Array2};

/// Walks the keys of one history and head: `step` writes key j to the state `[D, Dv]`, and the rows
/// that end behind it are answered by scale·q·S.
pub(super) fn walk(
    head: &Head<'_>,
    rows: &[usize],
    query: impl Fn(Array1<f64>) -> Array1<f64>,
    mut step: impl FnMut(&mut Array2<f64>, usize),
) -> Form {
    let (d, dv) = (head.q.ncols(), head.v.ncols());
    let mut state = Array2::zeros((d, dv));
    let mut output = Array2::zeros((rows.len(), dv));
    let last = rows.iter().map(|&i| end_of(head, i)).max().unwrap_or(0);
    for j in 0..last {
        step(&mut state, j);
        for (r, _) in rows
            .iter()
            .enumerate()
            .filter(|(_, i)| end_of(head, **i) == j + 1)
        {
            let q = query(head.q.row(rows[r]).mapv(f64::from));
            let o = q.dot(&state) * f64::from(head.scale);
            output.row_mut(r).assign(&o);
        }
    }
    Form {
        output,
        weights: None,
    }
}

/// S += k·uᵀ.
pub(super) fn add_outer(state: &mut Array2<f64>, k: &Array1<f64>, u: &Array1<f64>) {
    for (mut row, k) in state.outer_iter_mut().zip(k) {
        row.scaled_add(*k, u);
    }
}

/// Keys that a query sees.
pub(super) fn end_of(head: &Head<'_>, i: usize) -> usize {
    head.mask.span(i).end
}
