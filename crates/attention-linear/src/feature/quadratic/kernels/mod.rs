//! The vector kernels of this family, each behind a safe call that checks its sizes.

mod expand;
mod norm;
mod weigh;

pub(super) use expand::{Layout, expand, pull_back};
pub(super) use norm::{affine, normalise};
pub(super) use weigh::{Weigh, peaks, weigh};
