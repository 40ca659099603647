//! Interaction logs: what they hold ([`Interactions`]), how they are read ([`read_log`]), and one that is simulated.

mod error;
mod format;
pub(crate) mod gather;
mod interactions;
mod names;
mod reading;
pub mod shop;
mod statistics;

pub use error::{Location, LogError};
pub use format::{FormatError, LogFormat};
pub use interactions::Interactions;
pub use reading::{detect_format, read_log};
pub use shop::{ShopConfig, ShopError, SimulatedShop, simulate_shop};
pub use statistics::LogStatistics;
