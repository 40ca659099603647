//! Embeddings of a shop whose clusters are known.

use ndarray::{Array2, ArrayView1};
use recommender::{
    EmbeddingConfig, Interactions, ItemEmbeddings, ShopConfig, SimulatedShop,
    learn_item_embeddings, simulate_shop,
};

fn learn(log: &Interactions, config: &EmbeddingConfig, threads: usize) -> ItemEmbeddings {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    learn_item_embeddings(log, config, &pool).unwrap()
}

fn shop() -> SimulatedShop {
    simulate_shop(&ShopConfig {
        users: 300,
        items: 400,
        clusters: 8,
        ..ShopConfig::default()
    })
    .unwrap()
}

fn cosine(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    f64::from(a.dot(&b)) / (f64::from(a.dot(&a)) * f64::from(b.dot(&b))).sqrt()
}

#[test]
fn items_of_one_cluster_are_nearer_to_each_other_than_to_others() {
    let shop = shop();
    let vectors = learn(
        &shop.interactions,
        &EmbeddingConfig {
            dimension: 16,
            ..EmbeddingConfig::default()
        },
        2,
    )
    .vectors;
    let (mut within, mut across) = ((0.0, 0), (0.0, 0));
    let mut nearest_agrees = 0;
    for a in 0..400 {
        let mut nearest = (f64::NEG_INFINITY, 0);
        for b in (0..400).filter(|&b| b != a) {
            let similarity = cosine(vectors.row(a), vectors.row(b));
            let sum = if shop.item_cluster[a] == shop.item_cluster[b] {
                &mut within
            } else {
                &mut across
            };
            *sum = (sum.0 + similarity, sum.1 + 1);
            nearest = if similarity > nearest.0 {
                (similarity, b)
            } else {
                nearest
            };
        }
        nearest_agrees += usize::from(shop.item_cluster[a] == shop.item_cluster[nearest.1]);
    }
    let (within, across) = (
        within.0 / f64::from(within.1),
        across.0 / f64::from(across.1),
    );
    println!(
        "mean cosine {within:.3} within, {across:.3} across; {nearest_agrees} of 400 nearest items agree"
    );
    assert!(within > across + 0.4, "{within} within, {across} across");
    assert!(nearest_agrees > 392, "{nearest_agrees} of 400");
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    let shop = shop();
    // More columns than a panel and more rows than a block.
    let config = EmbeddingConfig {
        dimension: 40,
        ..EmbeddingConfig::default()
    };
    let one = learn(&shop.interactions, &config, 1);
    for threads in [2, 3] {
        assert_eq!(
            learn(&shop.interactions, &config, threads),
            one,
            "{threads} threads"
        );
    }
}

#[test]
fn rows_are_scaled_to_a_mean_norm_of_root_d_and_values_descend() {
    let config = EmbeddingConfig {
        dimension: 16,
        ..EmbeddingConfig::default()
    };
    let learnt = learn(&shop().interactions, &config, 2);
    let norms: Vec<f32> = learnt
        .vectors
        .rows()
        .into_iter()
        .map(|row| row.dot(&row).sqrt())
        .collect();
    assert!((norms.iter().sum::<f32>() / 400.0 - 4.0).abs() < 1e-4);
    assert!(
        learnt.singular_values.len() == 16 && learnt.singular_values.is_sorted_by(|a, b| a >= b)
    );
    // Columns are U·√Σ: orthogonal, their squared norms in the ratio of the singular values.
    let vectors: Array2<f64> = learnt.vectors.mapv(f64::from);
    let gram = vectors.t().dot(&vectors);
    let factor = gram[[0, 0]] / learnt.singular_values[0];
    for ((row, column), entry) in gram.indexed_iter() {
        let expected = if row == column {
            factor * learnt.singular_values[row]
        } else {
            0.0
        };
        assert!(
            (entry - expected).abs() < 1e-4 * gram[[0, 0]],
            "[{row}, {column}] {entry} {expected}"
        );
    }
    for component in learnt.vectors.columns() {
        let largest = component
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()))
            .unwrap();
        assert!(largest > 0.0);
    }
}

#[test]
fn the_seed_of_the_range_hardly_moves_similarities() {
    let shop = shop();
    let config = EmbeddingConfig {
        dimension: 8,
        ..EmbeddingConfig::default()
    };
    let one = learn(&shop.interactions, &config, 2).vectors;
    let other = learn(
        &shop.interactions,
        &EmbeddingConfig { seed: 2, ..config },
        2,
    )
    .vectors;
    let difference = &one.dot(&one.t()) - &other.dot(&other.t());
    let worst = difference
        .iter()
        .fold(0.0f32, |worst, entry| worst.max(entry.abs()));
    assert!(worst < 0.3, "{worst} of a mean squared norm near 8");
}

#[test]
fn items_without_neighbours_and_ranks_beyond_the_data_are_zero() {
    let log = Interactions::from_histories(&[vec![0, 1, 0, 1], vec![2], vec![3, 4, 3, 4, 3]], 7);
    let learnt = learn(
        &log,
        &EmbeddingConfig {
            dimension: 6,
            ..EmbeddingConfig::default()
        },
        1,
    );
    for item in [2, 5, 6] {
        assert!(
            learnt.vectors.row(item).iter().all(|&entry| entry == 0.0),
            "item {item}"
        );
    }
    assert!(learnt.vectors.iter().all(|entry| entry.is_finite()));
    // The four items that co-occur set the scale alone.
    let norms = learnt
        .vectors
        .rows()
        .into_iter()
        .map(|row| row.dot(&row).sqrt());
    assert!((norms.sum::<f32>() / 4.0 - 6f32.sqrt()).abs() < 1e-4);
    let lonely = Interactions::from_histories(&[vec![0], vec![1]], 2);
    let nothing = learn(
        &lonely,
        &EmbeddingConfig {
            dimension: 2,
            ..EmbeddingConfig::default()
        },
        1,
    );
    assert_eq!(
        nothing,
        ItemEmbeddings {
            vectors: Array2::zeros((2, 2)),
            singular_values: vec![0.0; 2]
        }
    );
}

#[test]
fn impossible_parameters_are_named() {
    let log = Interactions::from_histories(&[vec![0, 1]], 2);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let ok = EmbeddingConfig {
        dimension: 2,
        ..EmbeddingConfig::default()
    };
    let refused = |config: EmbeddingConfig| {
        learn_item_embeddings(&log, &config, &pool)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(EmbeddingConfig {
            dimension: 3,
            ..ok.clone()
        }),
        "item embeddings: dimension is 3, expected 1 to the number of items (2)"
    );
    assert!(
        refused(EmbeddingConfig {
            window: 257,
            ..ok.clone()
        })
        .contains("window is 257, expected 1 to 256")
    );
    assert!(
        refused(EmbeddingConfig {
            shift: 0.5,
            ..ok.clone()
        })
        .contains("shift is 0.5")
    );
    assert!(
        refused(EmbeddingConfig {
            context_smoothing: f64::NAN,
            ..ok
        })
        .contains("context_smoothing is NaN")
    );
}
