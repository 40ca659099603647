//! Kernels over rows as they lie in memory: lanes are the columns of K and V.
//!
//! With few queries there is nothing to put into the lanes but the columns, so scores are sums
//! across lanes; eight of them are reduced at once, which costs three instructions a score.

mod element;
mod matrix;
mod product;

pub(crate) use element::{Bf16, Element};
pub(crate) use matrix::{Ahead, Rows};
pub(crate) use product::{add_values, score_rows};
