//! G3: G2 with scores that fall with age.

use super::{History, InputError, Needs, Request, Workload, clusters};
use ndarray::Axis;

/// Interest clusters with recency bias.
pub(super) static RECENCY: Workload = Workload {
    name: "recency",
    label: "clusters with recency",
    summary: "interest clusters whose scores fall by 8 over a whole history, so that recent events weigh most",
    source: "G3; the last two features of Q and K carry -8·age/N, so that every variant sees it through \
             Q·K; under a full mask later keys score higher still",
    least_dimension: 3,
    needs: Needs::Nothing,
    generate,
};

/// How far the score falls from the newest key to one N events older.
const FALL: f32 = 8.0;

fn generate(request: &Request<'_>) -> Result<History, InputError> {
    let mut history = clusters::generate(request)?;
    let (d, n) = (request.d, request.nk.max(1) as f32);
    // (x, -x·i/n)·(x·j/n, x) / √D = -FALL·(i - j)/n; evenly split, so that no side has the larger entries.
    let x = (FALL * (d as f32).sqrt()).sqrt();
    for mut head in history.q.axis_iter_mut(Axis(0)) {
        for (i, mut query) in head.axis_iter_mut(Axis(0)).enumerate() {
            query[d - 2] = x;
            query[d - 1] = -x * request.position(i) as f32 / n;
        }
    }
    for mut head in history.k.axis_iter_mut(Axis(0)) {
        for (j, mut key) in head.axis_iter_mut(Axis(0)).enumerate() {
            key[d - 2] = x * j as f32 / n;
            key[d - 1] = x;
        }
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::{request, score};

    #[test]
    fn scores_fall_by_eight_over_a_history() {
        let request = request(512, 16);
        let history = generate(&request).unwrap();
        let mean = |keys: std::ops::Range<usize>| {
            keys.clone()
                .map(|j| score(&history, 0, 511, j))
                .sum::<f64>()
                / keys.len() as f64
        };
        // The halves are 256 events apart, half of the history. Clusters move means by about 0.5.
        let gap = mean(256..512) - mean(0..256);
        assert!((gap - 4.0).abs() < 1.0, "{gap}");
    }
}
