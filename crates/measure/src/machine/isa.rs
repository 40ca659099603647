//! Instruction sets, asked of the processor at run time: one binary runs everywhere.

/// The best code path that this processor allows: `avx512` (F, BW, DQ and VL, beside AVX2 and FMA),
/// `avx2` (with FMA), `neon` or `portable`.
pub fn isa() -> &'static str {
    let found = features();
    let all = |needed: &[&str]| needed.iter().all(|name| found.contains(name));
    if all(&["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma"]) {
        "avx512"
    } else if all(&["avx2", "fma"]) {
        "avx2"
    } else if all(&["neon"]) {
        "neon"
    } else {
        "portable"
    }
}

/// The extensions found, of those that matter to dense arithmetic, by the names of Rust's target features.
#[cfg(target_arch = "x86_64")]
pub fn features() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    [
        ("sse4.2", has!("sse4.2")),
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
        ("fma", has!("fma")),
        ("f16c", has!("f16c")),
        ("avx512f", has!("avx512f")),
        ("avx512bw", has!("avx512bw")),
        ("avx512dq", has!("avx512dq")),
        ("avx512vl", has!("avx512vl")),
        ("avx512vnni", has!("avx512vnni")),
        ("avx512bf16", has!("avx512bf16")),
        ("avx512vpopcntdq", has!("avx512vpopcntdq")),
    ]
    .into_iter()
    .filter_map(|(name, found)| found.then_some(name))
    .collect()
}

/// The extensions found, of those that matter to dense arithmetic, by the names of Rust's target features.
#[cfg(target_arch = "aarch64")]
pub fn features() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    [
        ("neon", has!("neon")),
        ("fp16", has!("fp16")),
        ("dotprod", has!("dotprod")),
        ("bf16", has!("bf16")),
        ("sve", has!("sve")),
    ]
    .into_iter()
    .filter_map(|(name, found)| found.then_some(name))
    .collect()
}

/// The extensions found: none are looked for on this architecture.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn features() -> Vec<&'static str> {
    Vec::new()
}
