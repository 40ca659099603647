//! One subcommand a file: its arguments, and what it does with them.

pub(crate) mod apply;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod recommend;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod train;
pub(crate) mod verify;
