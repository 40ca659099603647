//! What is done to the rows of a chunk one by one.

#![allow(unsafe_code)]

use super::{LANES, Rows, RowsMut};
use attention::simd::{Block, Isa, Kernel, Target, Vector, dispatch};

/// Xᵀ `[width, count]` from X `[count, width]`; columns behind the last are zero up to whole lanes.
pub(crate) fn transpose(isa: Isa, x: Rows<'_>, (count, width): (usize, usize), to: RowsMut<'_>) {
    assert!(x.holds(count, width) && to.holds(width, count.next_multiple_of(LANES)));
    struct Run(Block<*const f32>, Target);
    impl Kernel for Run {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, to) = self;
            let mut r = 0;
            while r < x.rows.next_multiple_of(LANES) {
                let mut c = 0;
                while c < x.width {
                    let (height, width) = (
                        x.rows.saturating_sub(r).min(V::LANES),
                        (x.width - c).min(V::LANES),
                    );
                    // SAFETY: both corners lie within what `transpose` has checked; where no row is
                    // left none is read.
                    unsafe {
                        let from = Block {
                            at: x.at.wrapping_add(r * x.stride + c),
                            stride: x.stride,
                            rows: height,
                            width,
                        };
                        let to = Block {
                            at: to.at(c, r),
                            stride: to.row,
                            rows: width,
                            width: V::LANES,
                        };
                        V::transpose(from, V::splat(1.0), to);
                    }
                    c += V::LANES;
                }
                r += V::LANES;
            }
        }
    }
    let from = Block {
        at: x.data.as_ptr(),
        stride: x.stride,
        rows: count,
        width,
    };
    let to = Target {
        data: to.data.as_mut_ptr(),
        row: to.stride,
    };
    dispatch(isa, Run(from, to));
}

/// to[r] += Σ A_r∘B_r over `width` columns; where B's stride is 0, its one row serves for all.
pub(crate) fn add_dots(isa: Isa, a: Rows<'_>, b: Rows<'_>, width: usize, to: &mut [f32]) {
    assert!(width.is_multiple_of(LANES) && a.holds(to.len(), width) && b.holds(to.len(), width));
    struct Run<'a>(Rows<'a>, Rows<'a>, usize, &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(a, b, width, to) = self;
            let count = to.len();
            for (group, to) in to.chunks_mut(8).enumerate() {
                let row = |x: Rows<'_>, r: usize| {
                    x.data
                        .as_ptr()
                        .wrapping_add((group * 8 + r).min(count - 1) * x.stride)
                };
                let (a, b): ([_; 8], [_; 8]) = (
                    std::array::from_fn(|r| row(a, r)),
                    std::array::from_fn(|r| row(b, r)),
                );
                // SAFETY: every row is one of those that `add_dots` has checked.
                unsafe {
                    let mut sums = [V::splat(0.0); 8];
                    let mut c = 0;
                    while c < width {
                        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                            *sum = V::load(a.add(c)).mul_add(V::load(b.add(c)), *sum);
                        }
                        c += V::LANES;
                    }
                    for (to, sum) in to.iter_mut().zip(V::sums(sums)) {
                        *to += sum;
                    }
                }
            }
        }
    }
    dispatch(isa, Run(a, b, width, to));
}

/// Adds plus[r] to row r of P, zeroes its entries from `seen(r)` on, up to whole groups of 16 columns
/// as the row's group of 16 rows needs them, and sets sums[r] to the sum of what is left.
pub(crate) fn mask_rows(isa: Isa, p: RowsMut<'_>, seen: &[usize], plus: &[f32], sums: &mut [f32]) {
    let widest = seen.iter().copied().max().unwrap_or(0);
    assert!(seen.len() <= sums.len().min(plus.len()));
    assert!(p.holds(seen.len(), widest.next_multiple_of(LANES)));
    const ONES: [f32; LANES] = [1.0; LANES];
    struct Run<'a>(Target, &'a [usize], &'a [f32], &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(p, seen, plus, sums) = self;
            for (first, seen) in seen.chunks(LANES).enumerate() {
                let width = columns(seen);
                for (half, seen) in seen.chunks(8).enumerate() {
                    let first = first * LANES + half * 8;
                    // SAFETY: rows and columns are those that `mask_rows` has checked.
                    unsafe {
                        let mut totals = [V::splat(0.0); 8];
                        for (r, (total, &seen)) in totals.iter_mut().zip(seen).enumerate() {
                            let plus = V::splat(plus[first + r]);
                            let mut c = 0;
                            while c + V::LANES <= seen {
                                let at = p.at(first + r, c);
                                let kept = V::load(at).add(plus);
                                *total = total.add(kept);
                                kept.store(at);
                                c += V::LANES;
                            }
                            while c < width {
                                let (at, left) = (p.at(first + r, c), seen.saturating_sub(c));
                                let ones = V::load_first(ONES.as_ptr(), left);
                                let kept = plus.mul_add(ones, V::load_first(at, left));
                                *total = total.add(kept);
                                kept.store(at);
                                c += V::LANES;
                            }
                        }
                        let totals = V::sums(totals);
                        sums[first..first + seen.len()].copy_from_slice(&totals[..seen.len()]);
                    }
                }
            }
        }
    }
    let p = Target {
        data: p.data.as_mut_ptr(),
        row: p.stride,
    };
    dispatch(isa, Run(p, seen, plus, sums));
}

/// The columns that a group of 16 rows needs whose rows see so many: whole lanes.
pub(crate) fn columns(seen: &[usize]) -> usize {
    seen.iter()
        .copied()
        .max()
        .unwrap_or(0)
        .next_multiple_of(LANES)
}

/// to[c] += Σ over `count` rows of X[r, c], or of its square.
pub(crate) fn add_columns<const SQUARES: bool>(
    isa: Isa,
    x: Rows<'_>,
    count: usize,
    to: &mut [f32],
) {
    assert!(to.len().is_multiple_of(LANES) && x.holds(count, to.len()));
    struct Run<'a, const SQUARES: bool>(Rows<'a>, usize, &'a mut [f32]);
    impl<const SQUARES: bool> Kernel for Run<'_, SQUARES> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, count, to) = self;
            for c in (0..to.len()).step_by(V::LANES) {
                // SAFETY: rows and columns are those that `add_columns` has checked.
                unsafe {
                    // Four sums hide the latency of an addition.
                    let mut sums = [V::splat(0.0); 4];
                    let mut r = 0;
                    while r < count {
                        for (n, sum) in sums.iter_mut().enumerate() {
                            if r + n < count {
                                let v = V::load(x.data.as_ptr().add((r + n) * x.stride + c));
                                *sum = if SQUARES {
                                    v.mul_add(v, *sum)
                                } else {
                                    sum.add(v)
                                };
                            }
                        }
                        r += 4;
                    }
                    let sum = sums[0].add(sums[1]).add(sums[2].add(sums[3]));
                    let at = to.as_mut_ptr().add(c);
                    V::load(at).add(sum).store(at);
                }
            }
        }
    }
    dispatch(isa, Run::<SQUARES>(x, count, to));
}

/// Writes `factors[r]`·X_r to the rows of a tensor, `width` floats each.
///
/// # Safety
/// The target holds as many rows as there are factors, `step` floats apart, and nobody else is at
/// them.
pub(crate) unsafe fn scale_rows_to(
    isa: Isa,
    x: Rows<'_>,
    factors: &[f32],
    width: usize,
    (target, step): (*mut f32, isize),
) {
    assert!(x.holds(factors.len(), width.next_multiple_of(LANES)));
    struct Run<'a>(Rows<'a>, &'a [f32], usize, *mut f32, isize);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, factors, width, target, step) = self;
            for (r, &factor) in factors.iter().enumerate() {
                // SAFETY: rows and columns are those that were checked, and promised.
                unsafe {
                    let (from, to) = (
                        x.data.as_ptr().add(r * x.stride),
                        target.offset(r as isize * step),
                    );
                    let factors = V::splat(factor);
                    let mut c = 0;
                    while c + V::LANES <= width {
                        V::load(from.add(c)).mul(factors).store(to.add(c));
                        c += V::LANES;
                    }
                    for c in c..width {
                        *to.add(c) = *from.add(c) * factor;
                    }
                }
            }
        }
    }
    dispatch(isa, Run(x, factors, width, target, step));
}

/// Row r of X times factors[r], for padded rows of `width`.
pub(crate) fn scale_rows(isa: Isa, x: RowsMut<'_>, factors: &[f32], width: usize) {
    let width = width.next_multiple_of(LANES);
    assert!(x.holds(factors.len(), width));
    let (from, step) = (x.data.as_mut_ptr(), x.stride);
    struct Run<'a>(*mut f32, usize, &'a [f32], usize);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, stride, factors, width) = self;
            for (r, &factor) in factors.iter().enumerate() {
                for c in (0..width).step_by(V::LANES) {
                    // SAFETY: rows and columns are those that `scale_rows` has checked.
                    unsafe {
                        let at = x.add(r * stride + c);
                        V::load(at).mul(V::splat(factor)).store(at);
                    }
                }
            }
        }
    }
    dispatch(isa, Run(from, step, factors, width));
}

/// Copies `count` rows of `width` floats, padded with zeros to the stride of `to`, and tells whether
/// all of them are finite.
///
/// # Safety
/// The source holds the rows, `step` floats apart.
pub(crate) unsafe fn load_rows(
    isa: Isa,
    (from, step): (*const f32, usize),
    (count, width): (usize, usize),
    to: RowsMut<'_>,
) -> bool {
    assert!(width <= to.stride && to.stride.is_multiple_of(LANES) && to.holds(count, to.stride));
    struct Run<'a>(*const f32, usize, (usize, usize), Target, &'a mut bool);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(from, step, (count, width), to, finite) = self;
            // SAFETY: rows and columns are those that were checked, and promised.
            unsafe {
                let zero = V::splat(0.0);
                let (mut even, mut odd) = (zero, zero);
                for r in 0..count {
                    let from = from.add(r * step);
                    let mut c = 0;
                    while c < to.row {
                        let left = width.saturating_sub(c);
                        let v = if left >= V::LANES {
                            V::load(from.add(c))
                        } else {
                            V::load_first(from.wrapping_add(c), left)
                        };
                        v.store(to.at(r, c));
                        // Zero times what is not finite is NaN.
                        (even, odd) = (odd, v.mul_add(zero, even));
                        c += V::LANES;
                    }
                }
                let sums = V::sums([even, odd, zero, zero, zero, zero, zero, zero]);
                *finite = sums.iter().sum::<f32>() == 0.0;
            }
        }
    }
    let mut finite = true;
    let to = Target {
        data: to.data.as_mut_ptr(),
        row: to.stride,
    };
    dispatch(isa, Run(from, step, (count, width), to, &mut finite));
    finite
}

/// Whether `count` padded rows are finite.
pub(crate) fn are_finite(isa: Isa, x: Rows<'_>, (count, width): (usize, usize)) -> bool {
    assert!(x.holds(count, width));
    struct Run<'a>(Block<*const f32>, &'a mut bool);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            // SAFETY: rows and columns are those that `are_finite` has checked.
            *self.1 = unsafe { attention::simd::are_finite::<V>(self.0) };
        }
    }
    let mut finite = true;
    let block = Block {
        at: x.data.as_ptr(),
        stride: x.stride,
        rows: count,
        width,
    };
    dispatch(isa, Run(block, &mut finite));
    finite
}
