//! Shares of the arithmetic peak and of the memory's bandwidth.

use crate::call::{Call, Tensors, causal};
use crate::machine::{peak_turn, rounds, turn};
use crate::{Aim, Fault, line};
use measure::memory_bandwidth;

/// Multiply-adds of a (query, key) pair, in operations: QKᵀ and PV.
fn forward_operations(call: &Call<'_>, d: usize) -> f64 {
    4.0 * call.pairs() * d as f64
}

/// Forward on one thread against the peak; causal against dense.
pub(crate) fn forward() -> Result<(), Fault> {
    println!("forward, f32, 1 thread: share of the FMA peak");
    let cells = [
        (8, 512, 64, Aim::None),
        (8, 1024, 64, Aim::AtLeast(0.88)),
        (8, 2048, 64, Aim::AtLeast(0.88)),
        (4, 4096, 64, Aim::AtLeast(0.88)),
        (2, 8192, 64, Aim::AtLeast(0.88)),
        (1, 16384, 64, Aim::AtLeast(0.85)),
        (1, 4096, 32, Aim::None),
        (1, 4096, 128, Aim::AtLeast(0.85)),
    ];
    for (h, n, d, aim) in cells {
        let tensors = Tensors::new(h, n, n, d);
        let mut dense = Call::new(&tensors, attention::Mask::full(), 1)?;
        let mut half = Call::new(&tensors, causal(), 1)?;
        let operations = forward_operations(&dense, d);
        let [peak, full, causal] = rounds([
            &mut peak_turn(1),
            &mut || turn(|| dense.forward()),
            &mut || half.forward(),
        ])?;
        let rate = operations / full / 1e9;
        let note = format!("{rate:.1} of {:.1} GFLOP/s", 1.0 / peak);
        line(
            &format!("N = {n}, D = {d}, H = {h}"),
            rate * peak,
            &aim,
            &note,
        );
        let aim = if n >= 2048 && d == 64 {
            Aim::AtMost(0.55)
        } else {
            Aim::None
        };
        line("  causal / dense time", causal / full, &aim, "");
    }
    Ok(())
}

/// Backward on one thread against the peak, five products of which one recomputes the scores.
pub(crate) fn backward() -> Result<(), Fault> {
    println!("backward, f32, 1 thread: share of the FMA peak, 10·N²·D operations a head");
    let cells = [
        (8, 1024, 64, Aim::None),
        (4, 2048, 64, Aim::AtLeast(0.92)),
        (2, 4096, 64, Aim::AtLeast(0.92)),
        (1, 4096, 32, Aim::None),
        (1, 4096, 128, Aim::None),
    ];
    for (h, n, d, aim) in cells {
        let tensors = Tensors::new(h, n, n, d);
        let mut dense = Call::new(&tensors, attention::Mask::full(), 1)?;
        let mut half = Call::new(&tensors, causal(), 1)?;
        let operations = 10.0 * dense.pairs() * d as f64;
        dense.forward()?;
        half.forward()?;
        let [peak, full, causal] = rounds([
            &mut peak_turn(1),
            &mut || turn(|| dense.backward()),
            &mut || half.backward(),
        ])?;
        let rate = operations / full / 1e9;
        let note = format!("{rate:.1} of {:.1} GFLOP/s", 1.0 / peak);
        line(
            &format!("N = {n}, D = {d}, H = {h}"),
            rate * peak,
            &aim,
            &note,
        );
        line("  causal / dense time", causal / full, &Aim::None, "");
    }
    Ok(())
}

/// What a second thread brings, against what it brings to pure multiply-adds.
pub(crate) fn scaling() -> Result<(), Fault> {
    println!("speed-up of 2 threads over 1, divided by that of the FMA peak");
    for n in [1024, 4096] {
        let tensors = Tensors::new(8, n, n, 64);
        for (name, mask) in [("dense", attention::Mask::full()), ("causal", causal())] {
            let mut one = Call::new(&tensors, mask.clone(), 1)?;
            let mut two = Call::new(&tensors, mask, 2)?;
            let [peak1, peak2, time1, time2] = rounds([
                &mut peak_turn(1),
                &mut peak_turn(2),
                &mut || turn(|| one.forward()),
                &mut || turn(|| two.forward()),
            ])?;
            let (ours, peaks) = (time1 / time2, peak1 / peak2);
            let note = format!("{ours:.3} of {peaks:.3}");
            let what = format!("N = {n}, {name}");
            line(&what, ours / peaks, &Aim::AtLeast(0.95), &note);
        }
    }
    Ok(())
}

/// One query over a long history, against the bandwidth of reading memory.
pub(crate) fn decode() -> Result<(), Fault> {
    println!("decode, 1 query, 8 heads of 64, f32: share of the read bandwidth");
    for (keys, threads, aim) in [
        (4096, 1, Aim::None),
        (4096, 2, Aim::None),
        (32768, 1, Aim::None),
        (32768, 2, Aim::AtLeast(0.85)),
    ] {
        let tensors = Tensors::new(8, 1, keys, 64);
        let mut call = Call::new(&tensors, attention::Mask::full(), threads)?;
        let bytes = 2.0 * 4.0 * call.pairs() * 64.0;
        let [bandwidth, time] = rounds([
            &mut || Ok(1.0 / memory_bandwidth(threads).read_gb_s),
            &mut || turn(|| call.forward()),
        ])?;
        let rate = bytes / time / 1e9;
        let note = format!(
            "{rate:.1} of {:.1} GB/s, {:.0} µs",
            1.0 / bandwidth,
            time * 1e6
        );
        let what = format!("{keys} keys, {threads} threads ({:.0} MB)", bytes / 1e6);
        line(&what, rate * bandwidth, &aim, &note);
    }
    Ok(())
}
