//! The feature maps, a file each.

mod elementwise;
pub(crate) mod elu;
pub(crate) mod favor;
pub(crate) mod linrec;
mod projection;
pub(crate) mod relu;
