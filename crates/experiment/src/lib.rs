//! Config to plan to run to records: sweeps of attention variants, resumable and reproducible.
