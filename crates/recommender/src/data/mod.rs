//! Interaction logs: what they hold ([`Interactions`]), how they are read ([`read_log`]), and one that is simulated.

mod column_names;
pub(crate) mod compact;
mod error;
mod features;
mod format;
pub(crate) mod gather;
mod interactions;
mod names;
mod reading;
pub mod shop;
mod statistics;

pub use column_names::ColumnNames;
pub use error::{Location, LogError};
pub use features::ItemFeatures;
pub use format::{FormatError, LogFormat};
pub use interactions::Interactions;
pub use reading::{ItemColumns, detect_format, read_items, read_log};
pub(crate) use reading::{read_bytes, read_log_from};
pub use shop::{ShopConfig, ShopError, SimulatedShop, simulate_shop};
pub use statistics::LogStatistics;
