//! A simulated online shop: a log whose structure is known, for when there is no real one at hand.

mod catalogue;
mod config;
mod math;
mod simulate;

pub use config::{ShopConfig, ShopError};
pub use simulate::{SimulatedShop, simulate_shop};
