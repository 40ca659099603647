//! Where a variant writes: O, and L where it is asked for.

use crate::error::{Error, Result, expect_shape};
use crate::geometry::Geometry;
use crate::row_blocks::RowBlocks;
use ndarray::{Array3, Array4, ArrayViewMut3, ArrayViewMut4};

/// O `[B, H, Nq, Dv]` and L = logsumexp(S) `[B, H, Nq]`; a jagged batch has a leading axis of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `[B, H, Nq, Dv]`.
    pub o: Array4<f32>,
    /// `[B, H, Nq]`, where the per-row log-sum-exp is wanted.
    pub lse: Option<Array3<f32>>,
}

impl Output {
    /// Room for an answer, filled with NaN so that a slot which is never written shows.
    #[must_use]
    pub fn poisoned(geometry: &Geometry, with_lse: bool) -> Self {
        let s = geometry.shape();
        let lead = if geometry.is_jagged() { 1 } else { s.b };
        Self {
            o: Array4::from_elem((lead, s.h, s.nq, s.dv), f32::NAN),
            lse: with_lse.then(|| Array3::from_elem((lead, s.h, s.nq), f32::NAN)),
        }
    }

    /// Fills with NaN again.
    pub fn poison(&mut self) {
        self.o.fill(f32::NAN);
        if let Some(lse) = &mut self.lse {
            lse.fill(f32::NAN);
        }
    }

    /// A mutable view to pass to a variant.
    pub fn view_mut(&mut self) -> OutputMut<'_> {
        OutputMut {
            o: self.o.view_mut(),
            lse: self.lse.as_mut().map(|l| l.view_mut()),
        }
    }
}

/// Mutable views of O and L.
#[derive(Debug)]
pub struct OutputMut<'a> {
    /// `[B, H, Nq, Dv]`, last axis contiguous.
    pub o: ArrayViewMut4<'a, f32>,
    /// `[B, H, Nq]`.
    pub lse: Option<ArrayViewMut3<'a, f32>>,
}

impl<'a> OutputMut<'a> {
    /// Checks shapes and strides against a problem.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Stride`].
    pub fn check(&self, geometry: &Geometry) -> Result<()> {
        let s = geometry.shape();
        let lead = if geometry.is_jagged() { 1 } else { s.b };
        expect_shape(
            "O",
            "[B, H, Nq, Dv]",
            self.o.shape(),
            &[lead, s.h, s.nq, s.dv],
        )?;
        if let Some(lse) = &self.lse {
            expect_shape("L", "[B, H, Nq]", lse.shape(), &[lead, s.h, s.nq])?;
        }
        if s.dv > 1 && !self.o.is_empty() && self.o.strides()[3] != 1 {
            return Err(Error::Stride {
                tensor: "O",
                strides: self.o.strides().to_vec(),
            });
        }
        Ok(())
    }

    /// Cuts the output into blocks of at most `rows` query rows, each within one history and head.
    ///
    /// The cut depends on the problem alone, never on the number of threads. Order: histories,
    /// then heads, then rows. `rows = usize::MAX` gives one block a history and head. Blocks are cut
    /// off one by one, without allocation.
    ///
    /// # Panics
    /// Where `rows` is 0, or [`check`](Self::check) would have refused the output.
    #[must_use]
    pub fn row_blocks(self, geometry: &Geometry, rows: usize) -> RowBlocks<'a, '_> {
        RowBlocks::new(self, geometry, rows)
    }
}
