//! Records built in code: a whole realistic run, and single cells.
#![allow(dead_code, unreachable_pub)]

use experiment::record::*;
use std::collections::BTreeMap;

/// A variant as the generator sees it: how its time and error grow.
struct Model {
    name: &'static str,
    parameter: Option<(&'static str, usize)>,
    family: &'static str,
    exact: bool,
    /// Milliseconds from N, and bytes from N.
    time: fn(f64, f64) -> f64,
    memory: fn(f64, f64) -> f64,
    /// Relative error from N, the parameter and the entropy.
    error: fn(f64, f64, f64) -> f64,
}

fn squares(n: f64) -> f64 {
    n * n / 4096.0 / 4096.0
}

const MODELS: [Model; 12] = [
    Model {
        name: "naive",
        parameter: None,
        family: "naive",
        exact: true,
        time: |n, _| 0.01 + 900.0 * squares(n),
        memory: |n, _| 4.0 * n * n,
        error: |_, _, _| 2.1e-7,
    },
    Model {
        name: "gemm",
        parameter: None,
        family: "naive",
        exact: true,
        time: |n, _| 0.015 + 130.0 * squares(n),
        memory: |n, _| 4.0 * n * n,
        error: |_, _, _| 2.6e-7,
    },
    Model {
        name: "blocked",
        parameter: None,
        family: "blocked",
        exact: true,
        time: |n, _| 0.012 + 58.0 * squares(n),
        memory: |n, _| 65536.0 + 8.0 * n,
        error: |_, _, _| 1.6e-7,
    },
    Model {
        name: "sliding-window",
        parameter: Some(("w", 64)),
        family: "blocked",
        exact: false,
        time: |n, w| 0.012 + 0.02 * n / 4096.0 * w,
        memory: |n, w| 65536.0 + 64.0 * w + 8.0 * n,
        error: |n, w, e| 0.9 * (1.0 - (w / n).min(1.0)).powf(0.4) * e.powf(0.15),
    },
    Model {
        name: "sliding-window",
        parameter: Some(("w", 256)),
        family: "blocked",
        exact: false,
        time: |n, w| 0.012 + 0.02 * n / 4096.0 * w,
        memory: |n, w| 65536.0 + 64.0 * w + 8.0 * n,
        error: |n, w, e| 0.9 * (1.0 - (w / n).min(1.0)).powf(0.6) * e.powf(0.25),
    },
    Model {
        name: "linear-elu",
        parameter: None,
        family: "linear",
        exact: false,
        time: |n, _| 0.008 + 2.2 * n / 4096.0,
        memory: |_, _| 40_000.0,
        error: |_, _, e| 0.95 - 0.6 * e,
    },
    Model {
        name: "favor",
        parameter: Some(("m", 64)),
        family: "linear",
        exact: false,
        time: |n, m| 0.02 + 0.045 * m * n / 4096.0,
        memory: |_, m| 600.0 * m,
        error: |_, m, e| (4.0 / m.sqrt() * (1.2 - e)).min(1.4),
    },
    Model {
        name: "favor",
        parameter: Some(("m", 256)),
        family: "linear",
        exact: false,
        time: |n, m| 0.02 + 0.045 * m * n / 4096.0,
        memory: |_, m| 600.0 * m,
        error: |_, m, e| (4.0 / m.sqrt() * (1.2 - e)).min(1.4),
    },
    Model {
        name: "nystrom",
        parameter: Some(("m", 128)),
        family: "linear",
        exact: false,
        time: |n, m| 0.1 + 0.03 * m * n / 4096.0,
        memory: |n, m| 8.0 * n * m,
        error: |_, _, e| 0.18 + 0.3 * (1.0 - e),
    },
    Model {
        name: "top-k",
        parameter: Some(("k", 32)),
        family: "retrieval",
        exact: false,
        time: |n, _| 0.02 + 22.0 * squares(n) + 1.2 * n / 4096.0,
        memory: |n, k| 8.0 * k * n,
        error: |n, k, e| 0.8 * (-(k / (n * e)).min(12.0)).exp() + 4e-6,
    },
    Model {
        name: "top-k",
        parameter: Some(("k", 256)),
        family: "retrieval",
        exact: false,
        time: |n, _| 0.02 + 26.0 * squares(n) + 4.0 * n / 4096.0,
        memory: |n, k| 8.0 * k * n,
        error: |n, k, e| 0.8 * (-(k / (n * e)).min(12.0)).exp() + 4e-6,
    },
    Model {
        name: "simhash",
        parameter: Some(("bits", 16)),
        family: "retrieval",
        exact: false,
        time: |n, _| 0.05 + 6.0 * squares(n) + 2.0 * n / 4096.0,
        memory: |n, _| 16.0 * n,
        error: |_, _, e| 0.12 + 0.5 * e,
    },
];

/// A repeatable number in -1..1 from a key.
fn noise(key: &str, i: u64) -> f64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64 ^ i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in key.bytes() {
        h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    h ^= h >> 31;
    h = h.wrapping_mul(0x94d0_49bb_1331_11eb);
    ((h >> 11) as f64 / (1u64 << 53) as f64) * 2.0 - 1.0
}

/// A measured cell: `name` as `label`, at length `n`, taking `ms` with relative error `error`.
pub fn cell(label: &str, family: &str, n: usize, ms: f64, error: f64) -> Record {
    let name = label.split(' ').next().unwrap_or(label);
    let samples: Vec<f64> = (0..15)
        .map(|i| {
            // Rounds drift alike for all; each variant wavers about its own time, evenly.
            let parity = (i + label.bytes().map(u64::from).sum::<u64>()) % 2;
            ms * (1.0 + 0.01 * (parity as f64 - 0.5) + 0.03 * noise("round", i))
        })
        .collect();
    let mut sorted = samples.clone();
    sorted.sort_by(f64::total_cmp);
    let errors = |e: f64| ErrorsRow {
        relative_frobenius: e,
        max_abs: 4.0 * e,
        p999_abs: 3.0 * e,
        mean_cosine: 1.0 - e * e / 2.0,
        skill: 1.0 - e * e * 1.3,
    };
    let exact = error < 1e-5 && family != "retrieval";
    let scratch = 1000 * n as u64;
    Record {
        schema_version: SCHEMA_VERSION,
        experiment: "which-attention".into(),
        cell: format!("{label}-{n}"),
        group: format!("group-{n}"),
        workload: WorkloadRow {
            kind: "clusters".into(),
            label: "interest clusters".into(),
            target_entropy: None,
            seed: 1,
            data: "c0ffee".into(),
        },
        shape: ShapeRow {
            b: 1,
            h: 8,
            hkv: 8,
            nq: n,
            nk: n,
            d: 64,
            dv: 64,
            jagged: false,
        },
        mask: "causal".into(),
        pass: experiment::Pass::Forward,
        threads: 2,
        variant: VariantRow {
            name: name.into(),
            family: family.into(),
            label: label.into(),
            parameters: BTreeMap::new(),
            exact,
            rung: None,
        },
        status: Status::Ok,
        reason: None,
        problem: Some(ProblemRow {
            entropy: 0.081,
            kappa_90: 0.12,
            kappa_99: 0.31,
            top1: 0.2,
            max_abs_score: 9.0,
            sampled_rows: 256,
            rho1: 0.0,
            rho2: 0.0,
        }),
        mask_sparsity: 0.0,
        guarded_rows: 0,
        accuracy: Some(AccuracyRow {
            total: errors(error),
            relative_frobenius_interval: (error * 0.95, error * 1.05),
            approximation: errors(if exact { 0.0 } else { error }),
            implementation: errors(2e-7),
            total_variation: None,
            missed_mass: None,
            top10_overlap: None,
            negative_mass: None,
        }),
        gate: Some(GateRow {
            value: 2e-7,
            budget: 1e-5,
            passed: true,
        }),
        gradients: None,
        cost: CostRow {
            flops: 4 * 64 * (n * n) as u64,
            bytes: 16 * 64 * n as u64,
            scratch_bytes: scratch,
            tensor_bytes: 16 * 64 * n as u64,
        },
        latency: Some(LatencyRow {
            samples_ns: samples.iter().map(|ms| (ms * 1e6) as u64).collect(),
            calls_per_sample: 1,
            median_ms: sorted[7],
            interval_ms: (sorted[4], sorted[10]),
            p10_ms: sorted[1],
            p90_ms: sorted[13],
            p99_ms: sorted[14],
            stop: "converged".into(),
            speedup: None,
            gflops: 4.0 * 64.0 * (n * n) as f64 / ms / 1e6,
            share_of_peak: 0.3,
            share_of_bandwidth: 0.1,
        }),
        prepare: None,
        memory: Some(MemoryRow {
            peak_bytes: Some(scratch),
            scratch_bytes: scratch,
            resident_bytes: None,
        }),
        isa: "avx512".into(),
        machine: "m-1234".into(),
        code: "abc123".into(),
        warnings: Vec::new(),
    }
}

/// A cell without a time.
pub fn unmeasured(label: &str, family: &str, n: usize, status: Status, reason: &str) -> Record {
    Record {
        status,
        reason: Some(reason.into()),
        latency: None,
        accuracy: None,
        memory: None,
        gate: None,
        ..cell(label, family, n, 1.0, 0.1)
    }
}

fn modelled(model: &Model, workload: &str, n: usize, entropy: f64, tuned: bool) -> Record {
    let size = n as f64;
    let parameter = model.parameter.map_or(0.0, |(_, value)| value as f64);
    let label = match model.parameter {
        Some((name, value)) => format!("{} {name}={value}", model.name),
        None => model.name.to_string(),
    };
    let jitter =
        |salt: &str, by: f64| 1.0 + by * noise(&format!("{label}{workload}{salt}"), n as u64);
    let ms = (model.time)(size, parameter) * jitter("time", 0.06);
    let error = (model.error)(size, parameter, entropy).max(2e-7) * jitter("error", 0.05);
    let mut record = cell(&label, model.family, n, ms, error);
    record.variant.exact = model.exact;
    record.group = format!("{workload}-{n}-{entropy}");
    record.cell = format!("{}-{}", record.group, label);
    record.workload.label = workload.into();
    record.workload.target_entropy = tuned.then_some(entropy);
    if let Some(problem) = &mut record.problem {
        problem.entropy = entropy;
    }
    if let Some(memory) = &mut record.memory {
        memory.peak_bytes = Some((model.memory)(size, parameter) as u64);
    }
    record
}

/// Twelve variants at seven lengths on two workloads, with a few cells that did not end well.
pub fn lengths() -> Vec<Record> {
    let mut rows = Vec::new();
    for (workload, entropy) in [
        ("interest clusters", 0.08),
        ("histories (simulated shop)", 0.35),
    ] {
        for n in [256, 512, 1024, 2048, 4096, 8192, 16384] {
            for model in &MODELS {
                let mut record = modelled(model, workload, n, entropy, false);
                if model.name == "naive" && n == 16384 {
                    record = Record {
                        status: Status::OutOfMemory,
                        reason: Some("would need 8.00 GiB of scratch, 6.10 GiB are free".into()),
                        latency: None,
                        accuracy: None,
                        memory: None,
                        ..record
                    };
                }
                if model.name == "nystrom" {
                    record = Record {
                        status: Status::Unsupported,
                        reason: Some("Nyström landmarks see the future: no causal mask".into()),
                        latency: None,
                        accuracy: None,
                        memory: None,
                        gate: None,
                        ..record
                    };
                }
                rows.push(record);
            }
        }
    }
    rows
}

/// Block-sparse variants at one length over a sparsity axis, beside dense ones.
pub fn sparsity() -> Vec<Record> {
    let mut rows = Vec::new();
    for workload in ["interest clusters", "interest clusters, recent first"] {
        rows.push(modelled(&MODELS[2], workload, 8192, 0.08, false));
        rows.push(modelled(&MODELS[5], workload, 8192, 0.08, false));
        let dense = 58.0 * squares(8192.0);
        for (i, sigma) in [0.0, 0.5, 0.75, 0.9, 0.95, 0.98].into_iter().enumerate() {
            for (name, family, overhead, price) in [
                ("block-sparse", "blocked", 0.01, 0.45),
                ("sliding-window", "blocked", 0.004, 0.9),
                ("hash-buckets", "retrieval", 0.06, 0.65),
            ] {
                let label = format!("{name} s={sigma}");
                let ms = dense * (1.0 - sigma + overhead * f64::from(u8::from(i > 0)));
                let error = (price * f64::powf(sigma, 2.5)).max(2e-7);
                let mut record = cell(&label, family, 8192, ms, error);
                record.workload.label = workload.into();
                record.group = format!("{workload}-8192");
                record.cell = format!("{workload}-{label}");
                record.mask_sparsity = sigma;
                // An exact kernel over a pattern, as a registry would declare it.
                record.variant.exact = family == "blocked" || sigma == 0.0;
                rows.push(record);
            }
        }
    }
    rows
}

/// Every variant over an entropy axis at one length.
pub fn entropy() -> Vec<Record> {
    let mut rows = Vec::new();
    for workload in ["gaussian", "interest clusters"] {
        for eta in [0.005, 0.02, 0.08, 0.3, 0.8] {
            for model in &MODELS {
                rows.push(modelled(model, workload, 4096, eta, true));
            }
        }
    }
    rows
}

/// Rungs of a ladder on two masks at two lengths; the slowest is not timed at the longer.
pub fn ladder() -> Vec<Record> {
    let rungs: [(&str, &str, f64, f64); 7] = [
        ("naive", "naive", 0.009, 2.4e-7),
        ("naive-gemm", "naive", 0.31, 2.9e-7),
        ("blocked isa=portable", "blocked", 0.12, 1.9e-7),
        ("blocked isa=avx2", "blocked", 0.48, 1.8e-7),
        ("blocked isa=avx512", "blocked", 0.91, 1.7e-7),
        ("blocked-bf16", "blocked", 1.62, 2.6e-3),
        ("blocked-int8", "blocked", 1.48, 9.1e-3),
    ];
    let mut rows = Vec::new();
    for mask in ["full", "causal"] {
        for n in [1024, 4096] {
            for (place, (label, family, share, error)) in rungs.into_iter().enumerate() {
                let work = 4.0 * 64.0 * 8.0 * squares(n as f64) * 4096.0 * 4096.0 / 1e9;
                let work = if mask == "causal" { work / 2.0 } else { work };
                let kept = if mask == "causal" { 0.94 } else { 1.0 };
                let ms = work / (272.0 * share * kept) * 1e3;
                let mut record = cell(label, family, n, ms, error);
                if place == 0 && n == 4096 {
                    record =
                        unmeasured(label, family, n, Status::Timeout, "a call would take 25 s");
                }
                record.variant.rung = Some(place);
                record.mask = mask.into();
                record.threads = 1;
                record.group = format!("{mask}-{n}");
                record.cost.flops = (work * 1e9) as u64;
                if let Some(latency) = &mut record.latency {
                    latency.share_of_peak = share * kept;
                    latency.gflops = 272.0 * share * kept;
                }
                rows.push(record);
            }
        }
    }
    rows
}

/// Favor in three draws, landmarks and a variant without a parameter, on two workloads.
pub fn features() -> Vec<Record> {
    let mut rows = Vec::new();
    let mut add = |workload: &str, label: String, parameters: &[(&str, u64)], error: f64| {
        let mut record = cell(&label, "linear", 1024, 1.0, error);
        record.workload.label = workload.into();
        record.group = workload.into();
        record.cell = format!("{workload}-{label}");
        record.variant.parameters = parameters
            .iter()
            .map(|&(name, value)| (name.to_string(), value.into()))
            .collect();
        rows.push(record);
    };
    for (workload, power) in [("gaussian", -0.5), ("interest clusters", -0.2)] {
        for features in [16u64, 64, 256, 1024] {
            for seed in [1u64, 2, 3] {
                let label = format!("favor features={features} seed={seed}");
                let wobble = 1.0 + 0.04 * noise(&label, 0);
                let error = 2.0 * (features as f64).powf(power) * wobble;
                add(
                    workload,
                    label,
                    &[("features", features), ("seed", seed)],
                    error,
                );
            }
        }
        for landmarks in [16u64, 64, 256] {
            let error = 30.0 / landmarks as f64 * 0.02;
            let label = format!("nystrom landmarks={landmarks}");
            add(
                workload,
                label,
                &[("iterations", 6), ("landmarks", landmarks)],
                error,
            );
        }
        add(workload, "linear-elu".into(), &[], 0.4);
    }
    rows
}

/// What a run says of itself.
pub fn context() -> report::Context {
    report::Context {
        experiment: "which-attention".into(),
        question: "For user histories of which length does an approximation pay, and what does it\ncost in accuracy?\n\nThe data are made up: the report shows what one looks like.".into(),
        config_toml: "[problem]\nlength = [256, 1024]\nmask = \"causal\"\n\n[variants.top-k]\nk = [32, 256]\n".into(),
        machine: vec![
            ("Processor".into(), "Example CPU <8 cores>".into()),
            ("Vector instructions".into(), "AVX-512".into()),
            ("Memory".into(), "32.0 GiB".into()),
        ],
        code: "abc123, rustc 1.95".into(),
        started: "2026-01-02 03:04 UTC".into(),
        warnings: vec!["load: 1.3 CPUs were busy before the run. Stop other programs and run again.".into()],
        command: "attnbench run experiments/which-attention.toml".into(),
    }
}
