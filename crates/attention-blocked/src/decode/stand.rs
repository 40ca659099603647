//! Where the queries of a call stand in a problem that has grown since.

use attention::mask::{Alignment, Mask, Part};
use attention::{Bias, Error, Geometry, HeadBias, Result};
use ndarray::{Array2, Array3, ArrayView1, Axis};

/// A history's part of the question: what its queries may see.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    /// Conditions on (query, key) of the problem as it was; alignments are offsets, padding is gone.
    parts: Vec<Part>,
    /// Queries that the problem has by now: those it came with, and one for each appended key.
    queries: usize,
    /// Conditions or biases that are given for every pair and so neither grow nor move.
    fixed: bool,
}

impl Stand {
    /// That of history `s`, and its number of keys without padding.
    pub(crate) fn of(geometry: &Geometry, bias: Option<&Bias<'_>>, s: usize) -> (Self, usize) {
        let (nq, nk) = (geometry.query_range(s).len(), geometry.key_range(s).len());
        let mut keys = nk;
        let mut parts = Vec::new();
        for part in geometry.mask().parts() {
            match part {
                Part::KeyLengths(lengths) => keys = keys.min(lengths[s]),
                part => parts.push(moved(part, nk as isize - nq as isize, 0)),
            }
        }
        let irregular = |p: &Part| matches!(p, Part::Dense(_) | Part::Blocks(_));
        let stand = Self {
            fixed: parts.iter().any(irregular) || matches!(bias, Some(Bias::Dense(_))),
            parts,
            // Padding counts on neither side.
            queries: nq.saturating_sub(nk - keys),
        };
        (stand, keys)
    }

    /// The first of `nq` queries that are the problem's last.
    ///
    /// # Errors
    /// [`Error::Shape`] where a condition is given for every query and these are not all of them.
    pub(crate) fn first(&self, nq: usize) -> Result<usize> {
        if self.fixed && nq != self.queries {
            return Err(Error::Shape {
                tensor: "Q",
                found: vec![nq],
                expected: format!(
                    "all Nq = {} queries, since a dense or block mask or a dense bias has a row for each",
                    self.queries
                ),
            });
        }
        Ok(self.queries.saturating_sub(nq))
    }

    /// What queries from `first` on may see, counted from 0.
    pub(crate) fn mask(&self, first: usize) -> Mask {
        let parts = self.parts.iter();
        parts.fold(Mask::full(), |mask, part| {
            mask.and(&moved(part, 0, first as isize).into())
        })
    }

    /// Counts `n` keys more, and a query for each.
    ///
    /// # Errors
    /// [`Error::Shape`] where a condition is given for every key.
    pub(crate) fn grow(&mut self, n: usize) -> Result<()> {
        if self.fixed && n > 0 {
            return Err(Error::Shape {
                tensor: "K",
                found: vec![n],
                expected:
                    "no key more, since a dense or block mask or a dense bias has no column for it"
                        .into(),
            });
        }
        self.queries += n;
        Ok(())
    }
}

/// A condition with its bottom-right corner fixed at `corner`, for queries counted from `first`.
fn moved(part: &Part, corner: isize, first: isize) -> Part {
    let offset = |alignment: Alignment| {
        Alignment::Offset(first.saturating_add(match alignment {
            Alignment::TopLeft => 0,
            Alignment::BottomRight => corner,
            Alignment::Offset(k) => k,
        }))
    };
    match part.clone() {
        Part::Causal(a) => Part::Causal(offset(a)),
        Part::Window { width, alignment } => Part::Window {
            width,
            alignment: offset(alignment),
        },
        Part::SymmetricWindow { radius, alignment } => Part::SymmetricWindow {
            radius,
            alignment: offset(alignment),
        },
        part => part,
    }
}

/// A bias that outlives its problem.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// `[H or 1, Nq, Nk]`.
    Dense(Array3<f32>),
    /// `[H or 1, 2R + 1]`.
    Relative(Array2<f32>),
}

impl Kept {
    pub(crate) fn of(bias: &Bias<'_>) -> Option<Self> {
        match bias {
            Bias::Dense(table) => Some(Self::Dense(table.to_owned())),
            Bias::Relative(table) => Some(Self::Relative(table.to_owned())),
            _ => None,
        }
    }

    /// The table for queries counted from `first`, over `nk` keys: a relative one moves along.
    pub(crate) fn moved(&self, first: usize, nq: usize, nk: usize) -> Self {
        match self {
            Self::Relative(table) if first > 0 => {
                let reach = nq.max(nk) as isize;
                let radius = (table.ncols() / 2) as isize;
                let width = 2 * reach as usize + 1;
                Self::Relative(Array2::from_shape_fn((table.nrows(), width), |(h, n)| {
                    let distance = n as isize - reach - first as isize;
                    table[[h, (radius + distance.clamp(-radius, radius)) as usize]]
                }))
            }
            kept => kept.clone(),
        }
    }

    pub(crate) fn head(&self, h: usize) -> HeadBias<'_> {
        match self {
            Self::Dense(t) => HeadBias::Dense(t.index_axis(Axis(0), h.min(t.dim().0 - 1))),
            Self::Relative(t) => HeadBias::Relative(row(t, h)),
        }
    }
}

fn row(table: &Array2<f32>, h: usize) -> ArrayView1<'_, f32> {
    table.row(h.min(table.nrows() - 1))
}
