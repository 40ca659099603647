//! The matrix product of the gemm crate behind safe arguments.

use ndarray::{ArrayView2, ArrayViewMut2};

/// c = alpha·a·b, or c + alpha·a·b where `add`, on the calling thread; a `[M, K]`, b `[K, N]`,
/// c `[M, N]`, any strides. The only wrapper round the gemm crate.
///
/// # Panics
/// Where the shapes do not fit.
pub fn product(
    alpha: f32,
    add: bool,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    mut c: ArrayViewMut2<'_, f32>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert_eq!(
        (b.nrows(), c.dim()),
        (k, (m, n)),
        "shapes of a matrix product"
    );
    let (a_strides, b_strides) = (a.strides(), b.strides());
    let (c_rs, c_cs) = (c.strides()[0], c.strides()[1]);
    // SAFETY: each pointer and its strides come from one view whose shape was checked above, so
    // every element that gemm touches lies in that view; c is borrowed mutably and so overlaps
    // neither a nor b.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_cs,
            c_rs,
            add,
            a.as_ptr(),
            a_strides[1],
            a_strides[0],
            b.as_ptr(),
            b_strides[1],
            b_strides[0],
            if add { 1.0 } else { 0.0 },
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn agrees_with_the_definition_for_all_layouts() {
        let a = Array2::from_shape_fn((5, 7), |(i, j)| (i * 3 + j) as f32 * 0.25);
        let b = Array2::from_shape_fn((7, 4), |(i, j)| i as f32 - j as f32 * 0.5);
        let expected = Array2::from_shape_fn((5, 4), |(i, j)| {
            2.0 * (0..7).map(|k| a[[i, k]] * b[[k, j]]).sum::<f32>()
        });
        let (at, bt) = (
            a.t().as_standard_layout().into_owned(),
            b.t().as_standard_layout().into_owned(),
        );
        for a in [a.view(), at.t()] {
            for b in [b.view(), bt.t()] {
                let mut c = Array2::from_elem((5, 4), f32::NAN);
                product(1.5, false, a, b, c.view_mut());
                product(0.5, true, a, b, c.view_mut());
                for (c, e) in c.iter().zip(&expected) {
                    approx::assert_relative_eq!(c, e, max_relative = 1e-6);
                }
            }
        }
    }
}
