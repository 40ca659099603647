//! G4: G2 with outlier channels and a sink token.

use super::{History, InputError, Needs, Request, Workload, clusters};
use ndarray::Axis;

/// Interest clusters with outlier channels and an attention sink.
pub(super) static SINK: Workload = Workload {
    name: "sink",
    label: "clusters with sink",
    summary: "interest clusters, two channels large in all queries and keys, and a first token that draws weight",
    source: "G4; sink: Xiao et al. 2024 (arXiv:2309.17453), section 3.1; outlier channels: Dettmers et al. 2022 \
             (arXiv:2208.07339), section 4; the channels shift all scores of a row alike, which softmax does \
             not notice and kernels do",
    least_dimension: 3,
    needs: Needs::Nothing,
    generate,
};

/// Channels that are large in every query and key: the first two.
const CHANNELS: usize = 2;
/// Their size in queries and in keys.
const QUERY: f32 = 4.0;
const KEY: f32 = 8.0;
/// How much higher than a neutral key the sink scores.
const LIFT: f32 = 8.0;
/// Standard deviation of the sink's value, of which little should pass.
const VALUE: f32 = 0.05;

fn generate(request: &Request<'_>) -> Result<History, InputError> {
    let mut history = clusters::generate(request)?;
    let lift = LIFT * (request.d as f32).sqrt() / (CHANNELS as f32 * QUERY);
    for mut head in history.q.axis_iter_mut(Axis(0)) {
        for channel in 0..CHANNELS {
            head.index_axis_mut(Axis(1), channel).fill(QUERY);
        }
    }
    for mut head in history.k.axis_iter_mut(Axis(0)) {
        if let Some(mut sink) = head.axis_iter_mut(Axis(0)).next() {
            sink.fill(0.0);
        }
        for channel in 0..CHANNELS {
            head.index_axis_mut(Axis(1), channel).fill(KEY);
            if request.nk > 0 {
                head[[0, channel]] = KEY + lift;
            }
        }
    }
    for mut head in history.v.axis_iter_mut(Axis(0)) {
        if let Some(mut sink) = head.axis_iter_mut(Axis(0)).next() {
            sink *= VALUE;
        }
    }
    Ok(history)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::{request, score};

    #[test]
    fn the_first_key_draws_weight_and_the_channels_lift_every_score() {
        let request = request(256, 64);
        let history = generate(&request).unwrap();
        let mut share = 0.0;
        for i in 0..256 {
            let scores: Vec<f64> = (0..256).map(|j| score(&history, 1, i, j)).collect();
            let all: f64 = scores.iter().map(|s| s.exp()).sum();
            share += scores[0].exp() / all / 256.0;
            let shift = 2.0 * 4.0 * 8.0 / 8.0;
            let mean = scores.iter().sum::<f64>() / 256.0;
            assert!(mean > shift - 1.0, "row {i}: {mean}");
        }
        // Of 256 equal keys one would hold 0.004.
        assert!(share > 0.4, "{share}");
        assert!(
            history
                .v
                .index_axis(Axis(1), 0)
                .iter()
                .all(|v| v.abs() < 0.3)
        );
    }
}
