//! Interaction logs, splits without leakage, full-ranking evaluation, baselines, and item embeddings learnt from a log.
//!
//! * [`read_log`] turns a file in one of the common formats into [`Interactions`]: one history of item indices per user.
//! * [`simulate_shop`] makes a log whose item clusters and user interests are known.
//! * [`Split`] holds events out, and [`evaluate()`] ranks the catalogue for every user with any [`Ranker`].
//! * [`baseline`] has the floors: popularity and item neighbourhoods.
//! * [`learn_item_embeddings`] learns item vectors from any log.
//! * [`model`] has sequence and candidate models with any registered attention inside, [`loss`] what they are taught,
//!   and [`train`] how.
//!
//! ```
//! use recommender::{EmbeddingConfig, ShopConfig, learn_item_embeddings, simulate_shop};
//!
//! let shop = simulate_shop(&ShopConfig { users: 50, items: 100, clusters: 5, ..ShopConfig::default() })?;
//! let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
//! let config = EmbeddingConfig { dimension: 16, ..EmbeddingConfig::default() };
//! let embeddings = learn_item_embeddings(&shop.interactions, &config, &threads)?;
//! assert_eq!(embeddings.vectors.dim(), (100, 16));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod baseline;
pub mod data;
pub mod embedding;
pub mod evaluate;
pub mod loss;
pub mod model;
pub mod prepare;
pub mod train;

pub use data::{
    FormatError, Interactions, LogError, LogFormat, LogStatistics, ShopConfig, ShopError,
    SimulatedShop, detect_format, read_log, simulate_shop,
};
pub use embedding::{EmbeddingConfig, EmbeddingError, ItemEmbeddings, learn_item_embeddings};
pub use evaluate::{
    Candidates, EvaluateConfig, EvaluateError, Evaluation, Metric, Protocol, Ranker, Seen, evaluate,
};
pub use prepare::{History, Holdout, Part, PrepareError, Split, Targets};
