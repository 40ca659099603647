//! One subcommand a file: its arguments, and what it does with them.

pub(crate) mod apply;
pub(crate) mod doctor;
pub(crate) mod list;
pub(crate) mod verify;
