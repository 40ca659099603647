//! Weights that are a polynomial of second degree in y(q)·y(k): keys of a query's own block of 64 (or of
//! a window of blocks) are weighed one by one, the keys before through their products of features.
//!
//! Features of second degree, y_a² and √2·y_a·y_b, sum up a square from terms of either sign: where few
//! keys are visible, the sum may be much smaller than its terms. So the state holds whole blocks of
//! earlier keys alone, and a query's last 1 to 64 keys are weighed by the polynomial itself, or by the
//! exponential of their scores. That also makes a state that is kept between calls exact: it holds the
//! features of earlier blocks, and the last keys as they came.
//!
//! * `rule.rs`: what tells the variants apart; `based.rs`, `rebased.rs`: the variants; `form.rs`: in f64
//! * `blocks.rs`: which queries end in which block of keys
//! * `token.rs`: projection and norm of tokens, and their gradients
//! * `forward.rs`, `walk.rs`, `answer.rs`: a history in chunks of queries; `backward/`: its gradients
//! * `prepared.rs`: state and last keys between calls
//! * `kernels/`: all that touches vectors

mod answer;
mod attention;
mod backward;
pub(crate) mod based;
mod blocks;
mod form;
mod forward;
mod kernels;
mod prepared;
pub(crate) mod rebased;
mod rule;
mod token;
mod walk;
