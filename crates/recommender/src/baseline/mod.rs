//! Floors that any trained model must beat.

mod item_knn;
mod popularity;

pub use item_knn::ItemKnn;
pub use popularity::Popularity;
