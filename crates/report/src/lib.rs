//! Records to findings, charts and an offline page; runs nothing.
