//! G2: interests in clusters, popularity by Zipf's law, sessions that stick.

use super::request::{add_normal, normal};
use super::{History, InputError, Needs, Request, Workload};
use ndarray::{Array2, ArrayViewMut2, Axis};
use rand::Rng;

/// Interest clusters.
pub(super) static CLUSTERS: Workload = Workload {
    name: "clusters",
    label: "interest clusters",
    summary: "items in interest clusters, popular by Zipf's law, in sticky sessions; values follow the cluster",
    source: "G2; natural scale: entries of variance 1, of which half is the cluster's centre, so that \
             logits within a cluster are about √D/2 and others about 0 ± 1",
    least_dimension: 1,
    needs: Needs::Nothing,
    generate,
};

/// Interest clusters of the catalogue.
const CENTRES: usize = 16;
/// Items of one cluster.
const ITEMS: usize = 64;
/// Probability that an event stays in its session's cluster.
const STICKY: f64 = 0.7;

/// Shares of variance of a key: its cluster, its item, the event. They sum to 1.
const KEY: [f32; 3] = [0.5, 0.4, 0.1];
/// Of a query: the cluster that it is interested in, and what it wants there.
const QUERY: [f32; 2] = [0.5, 0.5];
/// Of a value.
const VALUE: [f32; 3] = [0.5, 0.3, 0.2];

/// Cluster and item of every event of a history.
struct Events {
    cluster: Vec<usize>,
    item: Vec<usize>,
}

impl Events {
    fn draw(request: &Request<'_>) -> Self {
        let mut rng = request.stream("clusters events", 0);
        let (clusters, items) = (Zipf::new(CENTRES), Zipf::new(ITEMS));
        let mut events = Self {
            cluster: Vec::new(),
            item: Vec::new(),
        };
        let mut current = clusters.draw(&mut rng);
        for _ in 0..request.nk {
            if !rng.random_bool(STICKY) {
                current = clusters.draw(&mut rng);
            }
            events.cluster.push(current);
            events.item.push(current * ITEMS + items.draw(&mut rng));
        }
        events
    }
}

/// Ranks with probability proportional to 1/rank.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let cumulative = (1..=ranks).scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        });
        Self(cumulative.collect())
    }

    fn draw(&self, rng: &mut impl Rng) -> usize {
        let total = self.0.last().copied().unwrap_or(1.0);
        let point = rng.random::<f64>() * total;
        self.0
            .partition_point(|c| *c <= point)
            .min(self.0.len() - 1)
    }
}

pub(super) fn generate(request: &Request<'_>) -> Result<History, InputError> {
    let events = Events::draw(request);
    let centres = |name, head, d| normal(&mut request.shared(name, head), CENTRES, d);
    let items = |name, head, d| normal(&mut request.shared(name, head), CENTRES * ITEMS, d);
    Ok(request.build(
        |h, mut q| {
            let head = request.key_head(h);
            let wanted: Vec<usize> = (0..request.nq)
                .map(|i| events.cluster[request.position(i)])
                .collect();
            add_normal(
                &mut request.stream("clusters q", h),
                QUERY[1].sqrt(),
                q.view_mut(),
            );
            add_rows(
                &centres("clusters centre", head, request.d),
                &wanted,
                QUERY[0].sqrt(),
                q,
            );
        },
        |h, mut k| {
            add_normal(
                &mut request.stream("clusters k", h),
                KEY[2].sqrt(),
                k.view_mut(),
            );
            add_rows(
                &items("clusters item", h, request.d),
                &events.item,
                KEY[1].sqrt(),
                k.view_mut(),
            );
            add_rows(
                &centres("clusters centre", h, request.d),
                &events.cluster,
                KEY[0].sqrt(),
                k,
            );
        },
        |h, mut v| {
            add_normal(
                &mut request.stream("clusters v", h),
                VALUE[2].sqrt(),
                v.view_mut(),
            );
            add_rows(
                &items("clusters value of item", h, request.dv),
                &events.item,
                VALUE[1].sqrt(),
                v.view_mut(),
            );
            add_rows(
                &centres("clusters value", h, request.dv),
                &events.cluster,
                VALUE[0].sqrt(),
                v,
            );
        },
    ))
}

/// out[t] += scale · table[rows[t]].
fn add_rows(table: &Array2<f32>, rows: &[usize], scale: f32, mut out: ArrayViewMut2<'_, f32>) {
    for (mut token, &row) in out.axis_iter_mut(Axis(0)).zip(rows) {
        token.scaled_add(scale, &table.row(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::{request, score};

    #[test]
    fn sessions_stick_and_popularity_falls() {
        let events = Events::draw(&request(4000, 8));
        let stays = events.cluster.windows(2).filter(|w| w[0] == w[1]).count() as f64 / 3999.0;
        // STICKY, plus drawing the same cluster again with probability Σ p².
        let shares: Vec<f64> = (1..=16).map(|r| 1.0 / f64::from(r)).collect();
        let total: f64 = shares.iter().sum();
        let again: f64 = shares.iter().map(|s| (s / total).powi(2)).sum();
        assert!(
            (stays - (STICKY + (1.0 - STICKY) * again)).abs() < 0.04,
            "{stays}"
        );
        let count = |c| events.cluster.iter().filter(|x| **x == c).count();
        assert!(count(0) > 2 * count(4) && count(1) > count(9));
    }

    #[test]
    fn keys_of_the_querys_cluster_score_half_the_root_of_the_dimension() {
        let request = request(600, 64);
        let events = Events::draw(&request);
        let history = generate(&request).unwrap();
        let (mut within, mut across) = (Vec::new(), Vec::new());
        for i in (0..600).step_by(7) {
            for j in 0..600 {
                let same = events.cluster[i] == events.cluster[j];
                if same { &mut within } else { &mut across }.push(score(&history, 0, i, j));
            }
        }
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        assert!((mean(&within) - 4.0).abs() < 0.8, "{}", mean(&within));
        assert!(mean(&across).abs() < 0.4, "{}", mean(&across));
    }
}
