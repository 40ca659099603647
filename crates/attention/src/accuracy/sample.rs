//! Which query rows the oracle answers.

use crate::geometry::Geometry;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// Query rows by history and head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSample {
    heads: Vec<(usize, usize, Vec<usize>)>,
}

impl RowSample {
    /// Every row.
    #[must_use]
    pub fn all(geometry: &Geometry) -> Self {
        Self::seeded(geometry, usize::MAX, 0)
    }

    /// At most `count` rows, drawn without replacement from all histories and heads alike.
    ///
    /// The same seed draws the same rows of the same geometry.
    #[must_use]
    pub fn seeded(geometry: &Geometry, count: usize, seed: u64) -> Self {
        let shape = geometry.shape();
        let lengths: Vec<usize> = (0..shape.b)
            .flat_map(|s| std::iter::repeat_n(geometry.query_range(s).len(), shape.h))
            .collect();
        let total: usize = lengths.iter().sum();
        let drawn = if count >= total {
            (0..total).collect()
        } else {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut drawn = index::sample(&mut rng, total, count).into_vec();
            drawn.sort_unstable();
            drawn
        };
        let mut heads = Vec::new();
        let mut rest = drawn.as_slice();
        let mut before = 0;
        for (slot, &length) in lengths.iter().enumerate() {
            let taken = rest.partition_point(|&row| row < before + length);
            let rows: Vec<usize> = rest[..taken].iter().map(|row| row - before).collect();
            if !rows.is_empty() {
                heads.push((slot / shape.h, slot % shape.h, rows));
            }
            rest = &rest[taken..];
            before += length;
        }
        Self { heads }
    }

    /// (history, head, rows), in order, without empty ones.
    #[must_use]
    pub fn heads(&self) -> &[(usize, usize, Vec<usize>)] {
        &self.heads
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.iter().map(|(_, _, rows)| rows.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mask, Shape};

    #[test]
    fn a_sample_is_seeded_sorted_and_as_large_as_asked() {
        let geometry = Geometry::padded(Shape::square(3, 2, 40, 8), Mask::full()).unwrap();
        let sample = RowSample::seeded(&geometry, 50, 9);
        assert_eq!(sample.len(), 50);
        assert_eq!(sample, RowSample::seeded(&geometry, 50, 9));
        assert_ne!(sample, RowSample::seeded(&geometry, 50, 10));
        for (s, h, rows) in sample.heads() {
            assert!(*s < 3 && *h < 2 && rows.iter().all(|&i| i < 40));
            assert!(rows.is_sorted());
        }
        assert_eq!(RowSample::all(&geometry).len(), 240);
    }

    #[test]
    fn jagged_histories_are_sampled_within_their_lengths() {
        let shape = Shape {
            b: 3,
            ..Shape::square(1, 1, 10, 4)
        };
        let offsets: std::sync::Arc<[usize]> = [0, 7, 7, 10].into();
        let geometry = Geometry::jagged(shape, offsets.clone(), offsets, Mask::full()).unwrap();
        let all = RowSample::all(&geometry);
        let expected = vec![(0, 0, (0..7).collect()), (2, 0, (0..3).collect::<Vec<_>>())];
        assert_eq!(all.heads(), expected);
    }
}
