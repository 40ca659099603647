//! From a log to item vectors.

use ndarray::{Array2, Axis};

use super::config::{EmbeddingConfig, EmbeddingError};
use super::cooccurrence::cooccurrence;
use super::ppmi::shifted_ppmi;
use super::svd::{Range, randomised_svd};
use crate::data::Interactions;

/// Item vectors learnt from a log.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemEmbeddings {
    /// One row an item, `[items, D]`: c·U·√Σ, with the one factor c for which the mean norm of the nonzero rows is √D, so
    /// that entries are of the order of 1. Items that co-occur with none have zero rows.
    pub vectors: Array2<f32>,
    /// The D largest singular values of the shifted PPMI matrix, descending, before any scaling.
    pub singular_values: Vec<f64>,
}

/// Learns item vectors from a log.
///
/// Co-occurrence counts within a window, shifted positive PMI with smoothed contexts (Levy, Goldberg & Dagan 2015), and
/// its randomised SVD (Halko, Martinsson & Tropp 2011); vectors are U·√Σ, the symmetric weighting that the former found
/// best, times one factor. The sign of each component is fixed by its entry of largest size, which is positive. The same
/// bits for any thread count on one machine.
///
/// Cost: O(events · window + (2q + 3) · nonzeros · D + items · D²) for q power iterations; memory O(nonzeros + items · D),
/// nonzeros being at most the smaller of items² and 2 · events · window.
///
/// # Errors
/// [`EmbeddingError`] names a parameter out of its range; D may not exceed the number of items.
///
/// ```
/// use recommender::{EmbeddingConfig, Interactions, learn_item_embeddings};
///
/// let log = Interactions::from_histories(&[vec![0, 1, 0, 1], vec![2, 3, 2, 3]], 5);
/// let threads = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
/// let config = EmbeddingConfig { dimension: 2, ..EmbeddingConfig::default() };
/// let vectors = learn_item_embeddings(&log, &config, &threads)?.vectors;
/// assert!((vectors.row(0).dot(&vectors.row(1)) - 2.0).abs() < 1e-4); // bought together, norm √D
/// assert!(vectors.row(0).dot(&vectors.row(2)).abs() < 1e-4); // never bought together
/// assert_eq!(vectors.row(4).to_vec(), [0.0, 0.0]); // never bought
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn learn_item_embeddings(
    log: &Interactions,
    config: &EmbeddingConfig,
    threads: &rayon::ThreadPool,
) -> Result<ItemEmbeddings, EmbeddingError> {
    config.validate(log.items())?;
    threads.install(|| {
        let ppmi = shifted_ppmi(
            &cooccurrence(log, config.window),
            config.context_smoothing,
            config.shift,
        );
        let range = Range {
            oversampling: config.oversampling,
            power_iterations: config.power_iterations,
            seed: config.seed,
        };
        let (mut vectors, singular_values) = randomised_svd(&ppmi, config.dimension, range);
        for (mut component, sigma) in vectors.columns_mut().into_iter().zip(&singular_values) {
            component.mapv_inplace(|entry| entry * sigma.sqrt());
        }
        let norms: Vec<f64> = vectors
            .axis_iter(Axis(0))
            .map(|row| row.dot(&row).sqrt())
            .filter(|&norm| norm > 0.0)
            .collect();
        let scale = match norms.iter().sum::<f64>() {
            0.0 => 0.0,
            sum => (config.dimension as f64).sqrt() * norms.len() as f64 / sum,
        };
        Ok(ItemEmbeddings {
            vectors: vectors.mapv(|entry| (entry * scale) as f32),
            singular_values,
        })
    })
}
