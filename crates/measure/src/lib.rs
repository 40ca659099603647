//! Time, memory and machine: interleaved rounds, statistics, peaks. Knows nothing of attention.
