//! Plain loops on the widest vectors of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Runs `work`, an `#[inline(always)]` closure, compiled for the machine's instruction set.
///
/// `FnMut`, since what is called as `FnOnce` may pass through a shim that is compiled, together with
/// the closure, for the least machine.
#[inline(always)]
pub(crate) fn wide(work: impl FnMut()) {
    Arch::new().dispatch(Wide(work));
}

struct Wide<F>(F);

impl<F: FnMut()> WithSimd for Wide<F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _simd: S) {
        (self.0)();
    }
}
