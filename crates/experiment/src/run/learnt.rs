//! How fast each variant has been so far: for predicting calls that would take too long.

use crate::pass::Pass;
use crate::record::Record;
use std::collections::BTreeMap;

/// Largest call and its operations a second, by variant, pass and threads.
#[derive(Debug, Default)]
pub(super) struct Learnt(BTreeMap<(String, Pass, usize), (u64, f64)>);

/// Kernels grow faster with length rather than slower, and a call that is in doubt is made.
const DOUBT: f64 = 2.0;

impl Learnt {
    pub(super) fn from_records(records: &[Record]) -> Self {
        let mut learnt = Self::default();
        learnt.add(records);
        learnt
    }

    pub(super) fn add(&mut self, records: &[Record]) {
        for record in records {
            let Some(latency) = &record.latency else {
                continue;
            };
            let key = (record.variant.label.clone(), record.pass, record.threads);
            let entry = (record.cost.flops, latency.gflops * 1e9);
            let largest = self.0.entry(key).or_insert(entry);
            if entry.0 >= largest.0 {
                *largest = entry;
            }
        }
    }

    /// Seconds that a call would take, where that is surely above the limit.
    pub(super) fn too_long(
        &self,
        label: &str,
        (pass, threads): (Pass, usize),
        flops: u64,
        limit: f64,
    ) -> Option<f64> {
        let (known, rate) = self.0.get(&(label.to_owned(), pass, threads))?;
        let seconds = flops as f64 / rate;
        (flops > *known && *rate > 0.0 && seconds > DOUBT * limit).then_some(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_larger_calls_surely_above_the_limit_are_refused() {
        let key = ("x".to_owned(), Pass::Forward, 1);
        let learnt = Learnt(BTreeMap::from([(key, (1_000_000, 1e6))]));
        let (one, two) = ((Pass::Forward, 1), (Pass::Forward, 2));
        assert_eq!(learnt.too_long("x", one, 50_000_000, 20.0), Some(50.0));
        assert_eq!(learnt.too_long("x", one, 30_000_000, 20.0), None);
        assert_eq!(learnt.too_long("x", two, 50_000_000, 20.0), None);
        let training = (Pass::Training, 1);
        assert_eq!(learnt.too_long("x", training, 50_000_000, 20.0), None);
        assert_eq!(learnt.too_long("y", one, 50_000_000, 20.0), None);
    }
}
