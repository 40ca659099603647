//! The registry of attention variants: name, typed parameters, constructor, capabilities.
