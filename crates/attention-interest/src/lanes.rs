//! Loops over rows of numbers for a tile's lanes, written so that they vectorise on the instruction set that
//! they are dispatched to.

use attention::simd::{Isa, Kernel, QUERIES, Vector, dispatch};

type Row = [f32; QUERIES];

/// A loop and the call that dispatches it.
macro_rules! on_isa {
    ($(#[$doc:meta])* fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name<$life>(isa: Isa, $($argument: $type),*) {
            struct Run<$life> {
                $($argument: $type),*
            }
            impl<$life> Kernel for Run<$life> {
                #[inline(always)]
                fn run<V: Vector>(self) {
                    let Self { $($argument),* } = self;
                    $body
                }
            }
            dispatch(isa, Run { $($argument),* });
        }
    };
}

on_isa! {
/// d `[A, 64]` is multiplied by the slope of σ where it is y.
fn sigmoid_back<'a>(y: &'a [f32], d: &'a mut [f32]) {
    for (y, d) in y.as_chunks().0.iter().zip(d.as_chunks_mut().0) {
        let (y, d): (&Row, &mut Row) = (y, d);
        for (d, y) in d.iter_mut().zip(y) {
            *d *= y * (1.0 - y);
        }
    }
}
}

on_isa! {
/// y `[A, 64]`, of tanh, becomes the gradient by its argument, that by y being vector of the row · d.
fn tanh_back<'a>(vector: &'a [f32], d: &'a Row, y: &'a mut [f32]) {
    for (y, v) in y.as_chunks_mut().0.iter_mut().zip(vector) {
        let y: &mut Row = y;
        for (y, d) in y.iter_mut().zip(d) {
            *y = d * v * (1.0 - *y * *y);
        }
    }
}
}

on_isa! {
/// out `[A, 64]` = weight of the row · d.
fn spread<'a>(weights: &'a [f32], d: &'a Row, out: &'a mut [f32]) {
    for (out, weight) in out.as_chunks_mut().0.iter_mut().zip(weights) {
        let out: &mut Row = out;
        for (out, d) in out.iter_mut().zip(d) {
            *out = weight * d;
        }
    }
}
}

on_isa! {
/// sums += Σ over rows of weight · x `[A, 64]`.
fn dot_lanes<'a>(weights: &'a [f32], x: &'a [f32], sums: &'a mut Row) {
    for (x, weight) in x.as_chunks().0.iter().zip(weights) {
        let x: &Row = x;
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += weight * x;
        }
    }
}
}

on_isa! {
/// Adds the sum over the lanes of each row of x `[A, 64]`, times factors where there are some.
fn add_row_sums<'a>(x: &'a [f32], factors: Option<&'a Row>, to: &'a mut [f32]) {
    const ONES: Row = [1.0; QUERIES];
    let factors = factors.unwrap_or(&ONES);
    for (x, to) in x.as_chunks().0.iter().zip(to) {
        let x: &Row = x;
        let mut lanes = [0.0; 16];
        for (x, factors) in x.as_chunks::<16>().0.iter().zip(factors.as_chunks::<16>().0) {
            for (lane, (x, factor)) in lanes.iter_mut().zip(x.iter().zip(factors)) {
                *lane += x * factor;
            }
        }
        for half in [8, 4, 2, 1] {
            for n in 0..half {
                lanes[n] += lanes[n + half];
            }
        }
        *to += lanes[0];
    }
}
}

on_isa! {
/// out `[A]` += Σ over rows of x · matrix `[D, A]`.
fn weighted_sum<'a>(x: &'a [f32], matrix: &'a [f32], out: &'a mut [f32]) {
    for (x, row) in x.iter().zip(matrix.chunks_exact(out.len().max(1))) {
        for (out, w) in out.iter_mut().zip(row) {
            *out += x * w;
        }
    }
}
}

on_isa! {
/// out `[D]` += matrix `[D, A]` · x, the sums in sixteen lanes.
fn row_products<'a>(matrix: &'a [f32], x: &'a [f32], out: &'a mut [f32]) {
    for (row, out) in matrix.chunks_exact(x.len().max(1)).zip(out) {
        let (rows, rest) = row.as_chunks::<16>();
        let (xs, x_rest) = x.as_chunks::<16>();
        let mut lanes = [0.0; 16];
        for (w, x) in rows.iter().zip(xs) {
            for (lane, (w, x)) in lanes.iter_mut().zip(w.iter().zip(x)) {
                *lane += w * x;
            }
        }
        let rest: f32 = rest.iter().zip(x_rest).map(|(w, x)| w * x).sum();
        *out += lanes.iter().sum::<f32>() + rest;
    }
}
}

on_isa! {
/// y += x.
fn add<'a>(x: &'a [f32], y: &'a mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += x;
    }
}
}

on_isa! {
/// out `[D, A]` = base + x of the row · weights.
fn shifted<'a>(base: &'a [f32], x: &'a [f32], weights: &'a [f32], out: &'a mut [f32]) {
    let width = (out.len() / x.len().max(1)).max(1);
    let rows = base.chunks_exact(width).zip(weights.chunks_exact(width));
    for ((x, out), (base, weights)) in x.iter().zip(out.chunks_exact_mut(width)).zip(rows) {
        for (out, (base, w)) in out.iter_mut().zip(base.iter().zip(weights)) {
            *out = base + x * w;
        }
    }
}
}

on_isa! {
/// y `[D, A]` += x of the row · weights `[D, A]`.
fn add_scaled_rows<'a>(x: &'a [f32], weights: &'a [f32], y: &'a mut [f32]) {
    let width = (y.len() / x.len().max(1)).max(1);
    let rows = y.chunks_exact_mut(width).zip(weights.chunks_exact(width));
    for (x, (y, weights)) in x.iter().zip(rows) {
        for (y, w) in y.iter_mut().zip(weights) {
            *y += x * w;
        }
    }
}
}
