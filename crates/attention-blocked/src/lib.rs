//! Exact attention over tiles with an online softmax: O(N) memory, masks and patterns skip tiles.
