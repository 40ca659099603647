//! Other libraries' attention, timed and answered in child processes.
//!
//! A peer is a program that reads requests as lines of JSON and answers each with a line; the
//! protocol is written down in `benches/peers/README.md`, so that anyone can add one in any language.
//! Peers are optional: which there are is found at run time.
//!
//! * [`Program`] is how a peer is started, [`catalog`] lists those that come with the project;
//! * [`Cell`] is a problem, of softmax attention or of a variant that peers know, with its tensors in a temporary folder, where any peer can
//!   read them;
//! * [`Peer`] is a running one: it loads a cell, runs it and gives its answer;
//! * [`Child`] is the process below, for peers that speak of something else than attention.
//!
//! ```no_run
//! use attention::Problem;
//! use ndarray::Array4;
//! use peers::{Cell, Dtype, Peer, Timeouts, Work, catalog};
//!
//! let x = Array4::<f32>::from_elem((1, 8, 512, 64), 0.1);
//! let problem = Problem::new(x.view(), x.view(), x.view())?;
//! let cell = Cell::write(&problem, Work::Forward, Dtype::F32, None)?;
//! for program in catalog(std::path::Path::new(".")) {
//!     match Peer::start(&program, 2, Timeouts::default()) {
//!         Ok(mut peer) => {
//!             peer.load(&cell)?;
//!             println!("{}: {:?} s", program.name, peer.run(10, 1)?);
//!         }
//!         Err(absent) => println!("{absent}"),
//!     }
//! }
//! # Ok::<(), peers::Error>(())
//! ```

#![forbid(unsafe_code)]

mod cell;
mod child;
mod error;
mod message;
mod peer;
mod program;

pub use cell::{Answer, Cell, Dtype, Work};
pub use child::Child;
pub use error::{Error, Result};
pub use message::{SOFTMAX, Supports};
pub use peer::{Peer, Timeouts};
pub use program::{Program, Scores, catalog};
