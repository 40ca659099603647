//! What is added to the scores before the softmax.

use crate::error::{Error, Result, expect_shape};
use crate::geometry::Geometry;
use ndarray::{ArrayView1, ArrayView2, ArrayView3};

/// An additive bias on S; the leading axis is H, or 1 for all heads alike.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Bias<'a> {
    /// `[H or 1, Nq, Nk]`: one value a score. O(Nq·Nk) memory.
    Dense(ArrayView3<'a, f32>),
    /// `[H or 1, 2·R + 1]`: entry R + clip(j - i, -R, R). O(R) memory.
    Relative(ArrayView2<'a, f32>),
}

impl Bias<'_> {
    pub(crate) fn reborrow(&self) -> Bias<'_> {
        match self {
            Self::Dense(table) => Bias::Dense(table.view()),
            Self::Relative(table) => Bias::Relative(table.view()),
        }
    }

    pub(crate) fn check(&self, geometry: &Geometry) -> Result<()> {
        let s = geometry.shape();
        match self {
            Self::Dense(table) => {
                let heads = if table.dim().0 == 1 { 1 } else { s.h };
                expect_shape(
                    "bias",
                    "[H or 1, Nq, Nk]",
                    table.shape(),
                    &[heads, s.nq, s.nk],
                )?;
                if geometry.is_jagged() {
                    return Err(Error::Shape {
                        tensor: "bias",
                        found: table.shape().to_vec(),
                        expected: "a relative bias on a jagged batch, whose histories differ in \
                                   length"
                            .into(),
                    });
                }
                Ok(())
            }
            Self::Relative(table) => {
                let heads = if table.nrows() == 1 { 1 } else { s.h };
                let width = table.ncols() / 2 * 2 + 1;
                expect_shape("bias", "[H or 1, 2R + 1]", table.shape(), &[heads, width])
            }
        }
    }

    /// Shape of its table.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Dense(table) => table.shape(),
            Self::Relative(table) => table.shape(),
        }
    }

    /// Which entry of the leading axis is that of query head `h`.
    #[must_use]
    pub fn table(&self, h: usize) -> usize {
        h.min(self.shape()[0] - 1)
    }

    /// The bias of one query head.
    #[must_use]
    pub fn head(&self, h: usize) -> HeadBias<'_> {
        match self {
            Self::Dense(t) => HeadBias::Dense(t.index_axis(ndarray::Axis(0), self.table(h))),
            Self::Relative(t) => HeadBias::Relative(t.row(self.table(h))),
        }
    }
}

/// A [`Bias`] for one head.
#[derive(Debug, Clone, Copy)]
pub enum HeadBias<'a> {
    /// `[Nq, Nk]`.
    Dense(ArrayView2<'a, f32>),
    /// `[2·R + 1]`.
    Relative(ArrayView1<'a, f32>),
}

impl HeadBias<'_> {
    /// The value added to the score of query `i` and key `j`.
    #[must_use]
    pub fn at(&self, i: usize, j: usize) -> f32 {
        match self {
            Self::Dense(table) => table[[i, j]],
            Self::Relative(table) => table[relative_index(table.len(), i, j)],
        }
    }

    /// Where that value stands in the head's table, counted row by row.
    #[must_use]
    pub fn slot(&self, i: usize, j: usize) -> usize {
        match self {
            Self::Dense(table) => i * table.ncols() + j,
            Self::Relative(table) => relative_index(table.len(), i, j),
        }
    }
}

/// R + clip(j - i, -R, R) for a table of 2·R + 1 entries.
fn relative_index(width: usize, i: usize, j: usize) -> usize {
    let radius = (width / 2) as isize;
    (radius + (j as isize - i as isize).clamp(-radius, radius)) as usize
}
