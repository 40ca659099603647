//! Command line of attnbench.
fn main() {}
