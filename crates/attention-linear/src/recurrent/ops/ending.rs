//! What becomes of the sums of a product.

use super::COLUMNS;
use attention::simd::{Finish, Target, Vector};

/// A number for each row of a matrix.
#[derive(Clone, Copy)]
pub(crate) enum Factor<'a> {
    Zero,
    One,
    Minus,
    All(f32),
    Rows(&'a [f32]),
    MinusRows(&'a [f32]),
}

impl Factor<'_> {
    #[inline(always)]
    fn of(self, row: usize) -> f32 {
        match self {
            Self::Zero => 0.0,
            Self::One => 1.0,
            Self::Minus => -1.0,
            Self::All(x) => x,
            Self::Rows(x) => x[row],
            Self::MinusRows(x) => -x[row],
        }
    }

    fn check(self, rows: usize) {
        if let Self::Rows(x) | Self::MinusRows(x) = self {
            assert!(x.len() >= rows);
        }
    }
}

/// Decays between rows and keys: 2^((high_i - high_j) + (low_i - low_j)), each sum of logarithms held
/// as a number and its remainder, so that differences of large sums keep their digits.
#[derive(Clone, Copy)]
pub(crate) struct Decay<'a> {
    pub(crate) rows: [&'a [f32]; 2],
    pub(crate) keys: [&'a [f32]; 2],
}

/// What is written.
#[derive(Clone, Copy)]
pub(crate) enum How<'a> {
    /// keep∘to + times∘sum; with a zero `keep` what stood there is not read.
    Linear { keep: Factor<'a>, times: Factor<'a> },
    /// The sum times its decay in the columns before the row's limit, zero behind.
    Scores {
        decay: Option<Decay<'a>>,
        limits: &'a [f32],
    },
}

impl<'a> How<'a> {
    pub(crate) const PUT: Self = Self::Linear {
        keep: Factor::Zero,
        times: Factor::One,
    };
    pub(crate) const ADD: Self = Self::Linear {
        keep: Factor::One,
        times: Factor::One,
    };
    pub(crate) const SUB: Self = Self::Linear {
        keep: Factor::One,
        times: Factor::Minus,
    };

    /// times∘sum.
    pub(crate) fn put(times: &'a [f32]) -> Self {
        Self::Linear {
            keep: Factor::Zero,
            times: Factor::Rows(times),
        }
    }

    pub(super) fn check(self, rows: usize, columns: usize) {
        match self {
            Self::Linear { keep, times } => {
                keep.check(rows);
                times.check(rows);
            }
            Self::Scores { decay, limits } => {
                assert!(limits.len() >= rows && columns <= COLUMNS.len());
                if let Some(Decay { rows: r, keys }) = decay {
                    assert!(r.iter().all(|x| x.len() >= rows));
                    assert!(keys.iter().all(|x| x.len() >= columns));
                }
            }
        }
    }
}

/// Sums are written to `to`, as `how` says.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) to: Target,
    pub(super) how: How<'a>,
}

impl<V: Vector> Finish<V> for Ending<'_> {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        for (r, sums) in sums.into_iter().enumerate() {
            let row = row + r;
            for (c, sum) in sums.into_iter().enumerate() {
                let column = column + c * V::LANES;
                // SAFETY: the trait's contract; `How::check` has seen the slices.
                unsafe {
                    let to = self.to.at(row, column);
                    match self.how {
                        How::Linear { keep, times } => {
                            let sum = match times {
                                Factor::One => sum,
                                times => sum.mul(V::splat(times.of(row))),
                            };
                            match keep {
                                Factor::Zero => sum.store(to),
                                Factor::One => V::load(to).add(sum).store(to),
                                keep => {
                                    V::load(to).mul_add(V::splat(keep.of(row)), sum).store(to);
                                }
                            }
                        }
                        How::Scores { decay, limits } => {
                            let places = V::load(COLUMNS.as_ptr().add(column));
                            let limit = V::splat(limits[row]);
                            let zero = V::splat(0.0);
                            let (sum, seen) = match decay {
                                None => (sum, zero.hide_outside(places, zero, limit)),
                                Some(Decay { rows, keys }) => {
                                    let part = |n: usize| {
                                        let key = V::load(keys[n].as_ptr().add(column));
                                        V::splat(rows[n][row]).sub(key)
                                    };
                                    let log = part(0).add(part(1));
                                    let log = log.hide_outside(places, zero, limit);
                                    (sum.mul(log.exp2()), log)
                                }
                            };
                            sum.zero_where_negative_infinite(seen).store(to);
                        }
                    }
                }
            }
        }
    }
}
