//! Item embeddings learnt from a log: shifted positive PMI of windowed co-occurrence, factorised by a randomised SVD.
//!
//! This is the matrix form of skip-gram with negative sampling (Levy & Goldberg 2014; Levy, Goldberg & Dagan 2015), with
//! histories as sentences and items as words: fast, without a learning rate, and the same bits for any thread count.

mod config;
mod cooccurrence;
mod jacobi;
mod learn;
mod orthonormal;
mod ppmi;
mod sparse;
mod svd;

pub use config::{EmbeddingConfig, EmbeddingError, MAX_WINDOW};
pub use learn::{ItemEmbeddings, learn_item_embeddings};

#[cfg(test)]
mod test {
    use ndarray::Array2;

    /// Every entry within an absolute tolerance.
    pub(super) fn assert_close(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64) {
        assert_eq!(found.dim(), expected.dim());
        let worst = (found - expected)
            .iter()
            .fold(0.0f64, |worst, difference| worst.max(difference.abs()));
        assert!(
            worst <= tolerance,
            "off by {worst:e}:\n{found}\nexpected\n{expected}"
        );
    }
}
