//! Activations of tiles: rows of [`QUERIES`] numbers, with every size checked.
//!
//! σ comes of one power of two and one division, to a relative error of 4e-7 + 1e-7·|x|;
//! tanh(x) = 2·σ(2x) - 1, to an absolute error of 4e-7. NaN stays NaN.

use super::vector::{QUERIES, Vector};
use super::{Isa, Kernel, dispatch};
use crate::numeric::LOG2_E;
use std::ops::Range;

/// σ(x).
///
/// # Safety
/// As for [`Vector`].
#[inline(always)]
unsafe fn sigmoid<V: Vector>(x: V) -> V {
    // SAFETY: arithmetic alone, and the caller runs where V's instructions are enabled.
    unsafe {
        // Where either is NaN, `max` gives the other: x. From 2^126 on the power would overflow.
        let x = V::splat(-126.0).max(x.mul(V::splat(LOG2_E)));
        let e = V::splat(0.0).sub(x).exp2();
        V::splat(1.0).div(e.add(V::splat(1.0)))
    }
}

/// A loop over rows and the checked call that dispatches it.
macro_rules! over_rows {
    ($(#[$doc:meta])* fn $name:ident<$life:lifetime, $V:ident>($($argument:ident: $type:ty),* $(,)?)
        where $check:expr; $body:block) => {
        $(#[$doc])*
        ///
        /// # Panics
        /// Where the rows do not fit each other: a fault in the caller.
        pub fn $name<$life>(isa: Isa, $($argument: $type),*) {
            struct Run<$life> {
                $($argument: $type),*
            }
            impl<$life> Kernel for Run<$life> {
                #[inline(always)]
                fn run<$V: Vector>(self) {
                    let Self { $($argument),* } = self;
                    // SAFETY: inside dispatch, and the sizes are checked before.
                    unsafe { $body }
                }
            }
            assert!($check, "rows of {QUERIES} that do not fit each other");
            dispatch(isa, Run { $($argument),* });
        }
    };
}

over_rows! {
/// Row r of x becomes σ(x + bias\[r\]).
fn sigmoid_rows<'a, V>(x: &'a mut [f32], bias: &'a [f32]) where x.len() == bias.len() * QUERIES; {
    for (row, bias) in x.chunks_exact_mut(QUERIES).zip(bias) {
        for lane in (0..QUERIES).step_by(V::LANES) {
            let at = row.as_mut_ptr().add(lane);
            sigmoid(V::load(at).add(V::splat(*bias))).store(at);
        }
    }
}
}

over_rows! {
/// Row r of `to` becomes tanh(x + bias\[r\]).
fn tanh_rows<'a, V>(x: &'a [f32], bias: &'a [f32], to: &'a mut [f32])
    where x.len() == bias.len() * QUERIES && x.len() == to.len(); {
    let rows = x.chunks_exact(QUERIES).zip(to.chunks_exact_mut(QUERIES));
    for ((x, to), bias) in rows.zip(bias) {
        for lane in (0..QUERIES).step_by(V::LANES) {
            let x = V::load(x.as_ptr().add(lane)).add(V::splat(*bias));
            let two = V::splat(2.0);
            let y = sigmoid(x.add(x)).mul_add(two, V::splat(-1.0));
            y.store(to.as_mut_ptr().add(lane));
        }
    }
}
}

over_rows! {
/// x becomes x·σ(x) in some lanes, whole [groups](crate::walk::GROUP) of them.
fn silu_rows<'a, V>(x: &'a mut [f32], lanes: Range<usize>) where are_groups(&lanes); {
    for row in x.chunks_exact_mut(QUERIES) {
        for lane in lanes.clone().step_by(V::LANES) {
            let at = row.as_mut_ptr().add(lane);
            let x = V::load(at);
            x.mul(sigmoid(x)).store(at);
        }
    }
}
}

over_rows! {
/// x becomes x·σ(x) in some lanes, whole [groups](crate::walk::GROUP) of them, and d, a gradient by that, becomes
/// the gradient by x: d·σ(x)·(1 + x·(1 - σ(x))).
fn silu_back_rows<'a, V>(x: &'a mut [f32], d: &'a mut [f32], lanes: Range<usize>)
    where are_groups(&lanes) && x.len() == d.len(); {
    let rows = x.chunks_exact_mut(QUERIES).zip(d.chunks_exact_mut(QUERIES));
    for (x, d) in rows {
        for lane in lanes.clone().step_by(V::LANES) {
            let (x, d) = (x.as_mut_ptr().add(lane), d.as_mut_ptr().add(lane));
            let y = sigmoid(V::load(x));
            let silu = V::load(x).mul(y);
            silu.store(x);
            let slope = V::splat(1.0).sub(y).mul_add(silu, y);
            V::load(d).mul(slope).store(d);
        }
    }
}
}

fn are_groups(lanes: &Range<usize>) -> bool {
    let whole = |n: usize| n.is_multiple_of(crate::walk::GROUP);
    whole(lanes.start) && whole(lanes.end) && lanes.end <= QUERIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_close_everywhere_and_finite_at_the_ends() {
        let inputs: Vec<f32> = (0..64 * QUERIES)
            .map(|n| {
                let x = n as f32 / (32 * QUERIES) as f32 - 1.0;
                x * x * x * 150.0
            })
            .collect();
        let exact = |x: &f32| 1.0 / (1.0 + (-f64::from(*x)).exp());
        let near = |x: f32, y: f32, exact: f64| {
            let relative = 4e-7 + 1e-7 * f64::from(x).abs();
            (f64::from(y) - exact).abs() < relative * exact.abs() + 1e-35
        };
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let (mut y, mut silu) = (inputs.clone(), inputs.clone());
            let (mut tanh, mut slope) = (inputs.clone(), vec![1.0; inputs.len()]);
            sigmoid_rows(isa, &mut y, &[0.0; 64]);
            tanh_rows(isa, &inputs, &[0.0; 64], &mut tanh);
            silu_back_rows(isa, &mut silu, &mut slope, 0..QUERIES);
            for (n, x) in inputs.iter().enumerate() {
                let s = exact(x);
                let wide = f64::from(*x);
                assert!(near(*x, y[n], s), "σ({x}) = {}", y[n]);
                assert!(near(*x, silu[n], wide * s), "silu({x}) = {}", silu[n]);
                assert!((f64::from(tanh[n]) - wide.tanh()).abs() < 4e-7, "tanh({x})");
                let expected = s * (1.0 + wide * (1.0 - s));
                assert!(
                    (f64::from(slope[n]) - expected).abs() < 1e-6,
                    "slope at {x}"
                );
            }
            let mut ends = [0.0; QUERIES];
            ends[..4].copy_from_slice(&[1e30, -1e30, f32::INFINITY, f32::NAN]);
            silu_rows(isa, &mut ends, 0..QUERIES);
            assert!(
                ends[0] == 1e30 && ends[1].abs() < 1e-7 && ends[3].is_nan(),
                "{ends:?}"
            );
        }
    }
}
