//! Operations row by row.

#![allow(unsafe_code)]

use super::{CHUNK, Ops, extent};
use attention::simd::{self, Block, Kernel, Vector, dispatch, prefetch_rows};
use ndarray::ArrayView2;

/// Added to the squares of a row before the root: a zero row stays zero and its gradient finite. It is so little
/// that rows longer than 1e-3 do not notice it; the 1e-6 of public code shows in f32 already where they are of
/// length 1.
pub(crate) const UNIT_FLOOR: f32 = 1e-12;

impl Ops {
    /// Row r of `to` = factors[r] times row r of `from`; rows are `row` floats apart.
    pub(crate) fn scale(self, from: &[f32], factors: &[f32], to: &mut [f32], row: usize) {
        let count = factors.len() * row;
        let (from, to) = (&from[..count], &mut to[..count]);
        let from = from.as_ptr();
        dispatch(
            self.isa,
            Scale {
                from,
                factors,
                to,
                row,
            },
        );
    }

    /// [`scale`](Self::scale) in place.
    pub(crate) fn scale_in_place(self, x: &mut [f32], factors: &[f32], row: usize) {
        let x = &mut x[..factors.len() * row];
        let from = x.as_ptr();
        dispatch(
            self.isa,
            Scale {
                from,
                factors,
                to: x,
                row,
            },
        );
    }

    /// Σ A∘B of each row of `width` floats, rows `row` floats apart.
    pub(crate) fn dots(
        self,
        a: &[f32],
        b: &[f32],
        (count, width, row): (usize, usize, usize),
        to: &mut [f32],
    ) {
        let needed = extent(count, row, width);
        assert!(a.len() >= needed && b.len() >= needed && to.len() >= count);
        let block = |x: &[f32]| Block {
            at: x.as_ptr(),
            stride: row,
            rows: count,
            width,
        };
        let (a, b) = (block(a), block(b));
        dispatch(self.isa, Dots { a, b, to });
    }

    /// `factor` times each row over √(Σ x² + ε); `norms` keeps the reciprocals of the roots.
    pub(crate) fn unit(
        self,
        x: &mut [f32],
        size: (usize, usize, usize),
        factor: f32,
        norms: &mut [f32; CHUNK],
    ) {
        self.dots(x, x, size, norms);
        let (count, _, row) = size;
        let mut factors = [0.0; CHUNK];
        for (norm, to) in norms[..count].iter_mut().zip(&mut factors) {
            *norm = 1.0 / (*norm + UNIT_FLOOR).sqrt();
            *to = *norm * factor;
        }
        self.scale_in_place(x, &factors[..count], row);
    }

    /// Fetches rows that will be needed soon.
    pub(crate) fn fetch(self, x: ArrayView2<'_, f32>) {
        let (count, width) = x.dim();
        if count == 0 {
            return;
        }
        let block = Block {
            at: x.as_ptr(),
            stride: x.strides()[0].unsigned_abs(),
            rows: count,
            width,
        };
        dispatch(self.isa, Fetch(block));
    }
}

struct Fetch(Block<*const f32>);

impl Kernel for Fetch {
    #[inline(always)]
    fn run<V: Vector>(self) {
        prefetch_rows::<V>(self.0);
    }
}

struct Scale<'a> {
    from: *const f32,
    factors: &'a [f32],
    to: &'a mut [f32],
    row: usize,
}

impl Kernel for Scale<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for (r, factor) in self.factors.iter().enumerate() {
            for c in (0..self.row).step_by(V::LANES) {
                let at = r * self.row + c;
                // SAFETY: inside dispatch; rows are padded to whole vectors and the slices hold them.
                unsafe {
                    let x = V::load(self.from.add(at));
                    x.mul(V::splat(*factor)).store(self.to.as_mut_ptr().add(at));
                }
            }
        }
    }
}

struct Dots<'a> {
    a: Block<*const f32>,
    b: Block<*const f32>,
    to: &'a mut [f32],
}

impl Kernel for Dots<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: inside dispatch; sizes were checked against the slices.
        unsafe { simd::dot_rows::<V>(self.a, self.b, self.to.as_mut_ptr()) }
    }
}

impl Ops {
    /// 2^x of each, a whole number of vectors.
    pub(crate) fn exp2(self, x: &mut [f32]) {
        assert!(x.len().is_multiple_of(16));
        dispatch(self.isa, Exp2 { x });
    }
}

struct Exp2<'a> {
    x: &'a mut [f32],
}

impl Kernel for Exp2<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for x in self.x.chunks_exact_mut(V::LANES) {
            // SAFETY: inside dispatch; the slice holds a vector.
            unsafe { V::load(x.as_ptr()).exp2().store(x.as_mut_ptr()) }
        }
    }
}
