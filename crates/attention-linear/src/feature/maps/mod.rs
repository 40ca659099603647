//! The feature maps, a file each.

pub(crate) mod cosformer;
pub(crate) mod distillation;
mod elementwise;
pub(crate) mod elu;
pub(crate) mod favor;
pub(crate) mod hedgehog;
pub(crate) mod linrec;
pub(crate) mod projection;
pub(crate) mod relu;
pub(crate) mod rfa;
mod unit;
