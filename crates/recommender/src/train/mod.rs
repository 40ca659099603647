//! Training of a sequence model on histories.
//!
//! A step's batch is cut into parts of a few hundred events, each of which one worker takes from item vectors
//! to gradients by itself: all that a part needs stays in that core's cache, its tape with it, and no two
//! workers wait for each other inside a layer. Gradients are summed in the order of the parts. Every random
//! choice is a function of (seed, epoch, step, part), so that a run is the same to the bit on any number of
//! threads, and so is one that was stopped and resumed.

mod adam;
mod adopt;
mod batches;
mod checkpoint;
mod choices;
mod config;
mod error;
mod gradients;
mod health;
mod items;
mod progress;
mod ratings;
mod slope;
mod step;
mod trainer;
mod validation;
mod weights;

pub use config::{StopConfig, TrainConfig};
pub use error::TrainError;
pub use health::LayerHealth;
pub use ratings::RatingScale;
pub use trainer::{EpochReport, Trainer};
