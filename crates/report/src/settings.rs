//! Records put in order: what was asked (settings), and what answered (variants).

use crate::order::natural;
use experiment::Pass;
use experiment::record::{Record, Status};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of workloads that are read instead of generated.
const READ: [&str; 2] = ["histories", "tensors"];

/// Everything about a cell save its variant and the length of its histories.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Condition {
    label: String,
    kind: String,
    // Bits of a non-negative float order as the float does.
    entropy: Option<u64>,
    mask: String,
    sizes: [usize; 5],
    queries: Option<usize>,
    jagged: bool,
    threads: usize,
    seed: u64,
    data: String,
    isa: String,
    machine: String,
    pass: Pass,
}

impl Condition {
    fn of(record: &Record) -> Self {
        let shape = record.shape;
        Condition {
            label: record.workload.label.clone(),
            kind: record.workload.kind.clone(),
            entropy: record.workload.target_entropy.map(|e| e.abs().to_bits()),
            mask: record.mask.clone(),
            sizes: [shape.b, shape.h, shape.hkv, shape.d, shape.dv],
            queries: (shape.nq != shape.nk).then_some(shape.nq),
            jagged: shape.jagged,
            threads: record.threads,
            seed: record.workload.seed,
            // A generator's checksum covers its settings, the length among them.
            data: if READ.contains(&record.workload.kind.as_str()) {
                record.workload.data.clone()
            } else {
                String::new()
            },
            isa: record.isa.clone(),
            machine: record.machine.clone(),
            pass: record.pass,
        }
    }

    /// The condition without its entropy: what an entropy axis runs across.
    pub(crate) fn without_entropy(&self) -> Condition {
        Condition {
            entropy: None,
            ..self.clone()
        }
    }

    /// The entropy asked for.
    pub(crate) fn entropy(&self) -> Option<f64> {
        self.entropy.map(f64::from_bits)
    }

    /// Worker threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The aspects in words, each always at the same index.
    fn aspects(&self) -> Vec<String> {
        let [b, h, hkv, d, dv] = self.sizes;
        let mut sizes = format!("B = {b}, H = {h}");
        if hkv != h {
            sizes += &format!(", Hkv = {hkv}");
        }
        sizes += &format!(", D = {d}");
        if dv != d {
            sizes += &format!(", Dv = {dv}");
        }
        vec![
            self.label.clone(),
            self.entropy().map_or(String::new(), |e| format!("η = {e}")),
            self.mask.clone(),
            sizes,
            self.queries.map_or(String::new(), |n| format!("Nq = {n}")),
            if self.jagged { "jagged" } else { "padded" }.into(),
            crate::numbers::count(self.threads, "thread"),
            format!("seed {}", self.seed),
            match short(&self.data) {
                "" => String::new(),
                data => format!("data {data}"),
            },
            self.isa.clone(),
            format!("machine {}", short(&self.machine)),
            self.pass.to_string(),
        ]
    }
}

/// The aspect that tells data under one name apart.
const DATA: usize = 8;

/// Aspects that say nothing to a reader unless they vary.
const QUIET: [usize; 6] = [5, 7, 8, 9, 10, 11];

/// What quiet aspects say that a reader must know all the same.
const TELLING: [&str; 3] = ["jagged", "training", "decode"];

fn short(hash: &str) -> &str {
    hash.char_indices().nth(8).map_or(hash, |(i, _)| &hash[..i])
}

/// One question: a condition at one length, and every variant's answer.
#[derive(Debug, Clone)]
pub(crate) struct Setting<'a> {
    pub(crate) condition: Condition,
    /// Keys, the length of the history.
    pub(crate) nk: usize,
    /// One record a variant, in the natural order of the labels.
    pub(crate) records: Vec<&'a Record>,
}

impl<'a> Setting<'a> {
    /// The records whose time was measured.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &'a Record> + '_ {
        self.records.iter().copied().filter(|r| is_measured(r))
    }
}

/// Whether the gate was passed and a time taken that can be drawn.
pub(crate) fn is_measured(record: &Record) -> bool {
    record.status == Status::Ok && median_ms(record).is_some()
}

/// Whether nothing of the problem is left out: softmax attention over all that the mask allows.
///
/// `variant.exact` alone also holds for an exact kernel over a pattern, such as a window.
pub(crate) fn is_exact(record: &Record) -> bool {
    record.variant.exact && record.mask_sparsity.abs() < 1e-12
}

/// The median latency in milliseconds, where it is a positive number.
pub(crate) fn median_ms(record: &Record) -> Option<f64> {
    let median = record.latency.as_ref()?.median_ms;
    (median.is_finite() && median > 0.0).then_some(median)
}

/// All the settings of a run, and how to speak of them.
#[derive(Debug, Clone)]
pub(crate) struct Settings<'a> {
    pub(crate) all: Vec<Setting<'a>>,
    varies: Vec<bool>,
    /// Labels that several data go by.
    ambiguous: BTreeSet<String>,
    lengths_vary: bool,
}

impl<'a> Settings<'a> {
    /// Groups `records`; of two answers of one variant to one question the later counts.
    pub(crate) fn of(records: &'a [Record]) -> Self {
        let mut groups: BTreeMap<(Condition, usize), BTreeMap<&str, &Record>> = BTreeMap::new();
        for record in records {
            groups
                .entry((Condition::of(record), record.shape.nk))
                .or_default()
                .insert(&record.variant.label, record);
        }
        let all: Vec<Setting<'a>> = groups
            .into_iter()
            .map(|((condition, nk), rows)| {
                let mut records: Vec<&Record> = rows.into_values().collect();
                records.sort_by(|a, b| natural(&a.variant.label, &b.variant.label));
                Setting {
                    condition,
                    nk,
                    records,
                }
            })
            .collect();
        let rows: Vec<Vec<String>> = all.iter().map(|s| s.condition.aspects()).collect();
        let varies = match rows.first() {
            None => Vec::new(),
            Some(first) => (0..first.len())
                .map(|i| rows.iter().any(|row| row[i] != first[i]))
                .collect(),
        };
        let mut data: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for setting in &all {
            let Condition { label, data: d, .. } = &setting.condition;
            if !d.is_empty() {
                data.entry(label).or_default().insert(d);
            }
        }
        let ambiguous = data
            .into_iter()
            .filter(|(_, checksums)| checksums.len() > 1)
            .map(|(label, _)| label.to_string())
            .collect();
        let lengths_vary = all.iter().any(|s| s.nk != all[0].nk);
        Settings {
            all,
            varies,
            ambiguous,
            lengths_vary,
        }
    }

    /// What holds for every setting: `causal, B = 1, H = 8, D = 64, 2 threads`.
    pub(crate) fn shared(&self) -> String {
        let Some(first) = self.all.first() else {
            return String::new();
        };
        let aspects = first.condition.aspects();
        let mut words: Vec<String> = (0..aspects.len())
            .filter(|&i| {
                !self.varies[i] && (!QUIET.contains(&i) || TELLING.contains(&aspects[i].as_str()))
            })
            .map(|i| aspects[i].clone())
            .filter(|text| !text.is_empty())
            .collect();
        if !self.lengths_vary {
            words.insert(words.len().min(1), format!("N = {}", first.nk));
        }
        words.join(" · ")
    }

    /// What sets a condition apart from the others; empty when there is only one.
    pub(crate) fn condition_label(&self, condition: &Condition) -> String {
        let words: Vec<String> = condition
            .aspects()
            .into_iter()
            .enumerate()
            .filter(|(i, text)| self.varies[*i] && !text.is_empty())
            // Names that differ tell their data apart already.
            .filter(|(i, _)| *i != DATA || self.ambiguous.contains(&condition.label))
            .map(|(_, text)| text)
            .collect();
        words.join(", ")
    }

    /// What sets a setting apart from the others; the length at least, if nothing does.
    pub(crate) fn setting_label(&self, setting: &Setting) -> String {
        self.label_at(&setting.condition, setting.nk)
    }

    /// [`Settings::setting_label`] of a condition at a length.
    pub(crate) fn label_at(&self, condition: &Condition, nk: usize) -> String {
        let condition = self.condition_label(condition);
        let length = format!("N = {nk}");
        if condition.is_empty() {
            length
        } else if !self.lengths_vary {
            condition
        } else {
            format!("{condition}, {length}")
        }
    }

    /// The settings of each condition, by length.
    pub(crate) fn by_condition(&self) -> Vec<(Condition, Vec<&Setting<'a>>)> {
        self.grouped(|setting| setting.condition.clone())
    }

    /// The settings that `key` maps to the same condition, in order.
    pub(crate) fn grouped(
        &self,
        key: impl Fn(&Setting) -> Condition,
    ) -> Vec<(Condition, Vec<&Setting<'a>>)> {
        let mut groups: BTreeMap<Condition, Vec<&Setting<'a>>> = BTreeMap::new();
        for setting in &self.all {
            groups.entry(key(setting)).or_default().push(setting);
        }
        groups.into_iter().collect()
    }
}
