//! Logarithmic features in units: one scale a feature, held as a power of two.

#![allow(unsafe_code)]

use super::kernels::Rows;
use attention::simd::{Isa, Kernel, Vector, dispatch};

/// How far log2 φ of a key may lie above the state's units. Features up to 2^86 times as large leave
/// room for sums of 10⁹ of them in f32, and for features 2^-30 as small as the largest below.
pub(super) const HEADROOM: f32 = 86.0;

/// 2^(a - b) for a <= b; 1 where both are the same infinity.
pub(super) fn ratio(a: f32, b: f32) -> f32 {
    if a == b { 1.0 } else { (a - b).exp2() }
}

/// A kernel over the whole vectors of some rows.
struct Over<'a, F> {
    x: *mut f32,
    stride: usize,
    count: usize,
    width: usize,
    by: &'a [f32],
    work: F,
}

/// What is done to a run of columns in all rows.
trait Columns {
    unsafe fn run<V: Vector>(self, over: &Over<'_, ()>);
}

impl<F: Columns> Kernel for Over<'_, F> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let over = Over {
            x: self.x,
            stride: self.stride,
            count: self.count,
            width: self.width,
            by: self.by,
            work: (),
        };
        // SAFETY: within `dispatch`, on rows that the caller has checked.
        unsafe { self.work.run::<V>(&over) }
    }
}

fn over<F: Columns>(isa: Isa, x: &mut [f32], (count, width): (usize, usize), by: &[f32], work: F) {
    let stride = by.len();
    assert!(width <= stride && count * stride <= x.len());
    assert!(stride.is_multiple_of(super::kernels::LANES));
    dispatch(
        isa,
        Over {
            x: x.as_mut_ptr(),
            stride,
            count,
            width,
            by,
            work,
        },
    );
}

/// The largest log2 φ of each feature among `n` keys, NaN passed over; -inf of none.
pub(super) fn peaks(isa: Isa, x: Rows<'_>, n: usize, peaks: &mut [f32]) {
    struct Run<'a>(Rows<'a>, usize, &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, n, peaks) = self;
            for c in (0..peaks.len()).step_by(V::LANES) {
                // SAFETY: rows and columns are those that `peaks` has checked.
                unsafe {
                    let mut most = V::splat(f32::NEG_INFINITY);
                    for r in 0..n {
                        let v = V::load(x.data.as_ptr().add(r * x.stride + c));
                        most = v.max(most);
                    }
                    most.store(peaks.as_mut_ptr().add(c));
                }
            }
        }
    }
    assert!(peaks.len() == x.stride && n * x.stride <= x.data.len());
    dispatch(isa, Run(x, n, peaks));
}

/// Whether some key has a feature that does not fit units of `tops`.
pub(super) fn outgrow(peaks: &[f32], tops: &[f32], width: usize) -> bool {
    let mut pairs = peaks.iter().zip(tops).take(width);
    pairs.any(|(peak, top)| peak - top > HEADROOM)
}

/// From log2 φ of `n` keys to φ in units of `tops`, padded with zeros.
pub(super) fn exponentiate(isa: Isa, x: &mut [f32], n: usize, width: usize, tops: &[f32]) {
    struct Exponentiate;
    impl Columns for Exponentiate {
        #[inline(always)]
        unsafe fn run<V: Vector>(self, over: &Over<'_, ()>) {
            // SAFETY: rows and columns are those that `over` has checked.
            unsafe {
                for c in (0..over.stride).step_by(V::LANES) {
                    let top = V::load(over.by.as_ptr().add(c));
                    for r in 0..over.count {
                        let at = over.x.add(r * over.stride + c);
                        V::load(at).sub(top).exp2().store(at);
                    }
                }
            }
        }
    }
    over(isa, x, (n, width), tops, Exponentiate);
    clear_padding(x, n, width, tops.len());
}

/// From log2 φ of `n` queries to φ for keys in units of `tops`, in units of each row's largest.
pub(super) fn bring_queries(isa: Isa, x: &mut [f32], n: usize, width: usize, tops: &[f32]) {
    struct Bring;
    impl Columns for Bring {
        #[inline(always)]
        unsafe fn run<V: Vector>(self, over: &Over<'_, ()>) {
            let whole = over.width / V::LANES * V::LANES;
            // SAFETY: rows and columns are those that `over` has checked.
            unsafe {
                for r in 0..over.count {
                    let row = over.x.add(r * over.stride);
                    let mut most = V::splat(f32::NEG_INFINITY);
                    for c in (0..whole).step_by(V::LANES) {
                        let v = V::load(row.add(c)).add(V::load(over.by.as_ptr().add(c)));
                        v.store(row.add(c));
                        most = v.max(most);
                    }
                    let mut top = most.largest();
                    for (c, by) in over.by.iter().enumerate().take(over.width).skip(whole) {
                        let v = *row.add(c) + by;
                        *row.add(c) = v;
                        top = if v > top { v } else { top };
                    }
                    let top = V::splat(top);
                    for c in (0..over.stride).step_by(V::LANES) {
                        V::load(row.add(c)).sub(top).exp2().store(row.add(c));
                    }
                }
            }
        }
    }
    over(isa, x, (n, width), tops, Bring);
    clear_padding(x, n, width, tops.len());
}

fn clear_padding(x: &mut [f32], n: usize, width: usize, stride: usize) {
    if width < stride {
        for row in x.chunks_exact_mut(stride).take(n) {
            row[width..].fill(0.0);
        }
    }
}
