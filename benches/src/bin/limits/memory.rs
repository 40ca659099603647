//! What a call takes beyond its inputs and outputs.

use crate::Aim;
use crate::call::{Call, Tensors, causal};
use crate::{Fault, line};
use attention::Mask;
use measure::peak_during;

/// Allocations inside timed calls, and a history of 131,072.
pub(crate) fn long() -> Result<(), Fault> {
    println!("memory inside the call, scratch given");
    for (n, threads) in [(1024, 1), (1024, 2)] {
        let tensors = Tensors::new(8, n, n, 64);
        let mut call = Call::new(&tensors, causal(), threads)?;
        call.forward()?;
        call.backward()?;
        let (done, forward) = peak_during(|| call.forward());
        done?;
        let (done, backward) = peak_during(|| call.backward());
        done?;
        for (name, taken) in [("forward", forward), ("backward", backward)] {
            let what = format!("N = {n}, {threads} threads, {name}: allocations");
            let note = format!("{} bytes at most", taken.peak_bytes_above_start);
            line(&what, taken.allocations as f64, &Aim::AtMost(0.0), &note);
        }
    }
    let n = 131_072;
    let tensors = Tensors::new(1, n, n, 64);
    let mut call = Call::new(&tensors, Mask::full(), 2)?;
    let scratch = call.scratch_bytes();
    let (seconds, taken) = peak_during(|| call.forward());
    let seconds = seconds?;
    let rate = 4.0 * call.pairs() * 64.0 / seconds / 1e9;
    let note = format!("{seconds:.2} s, {rate:.0} GFLOP/s; scores would take 68.7 GB");
    let extra = taken.peak_bytes_above_start as f64 / 1e6;
    line(
        &format!("N = {n}, 2 threads: MB allocated"),
        extra,
        &Aim::AtMost(0.1),
        &note,
    );
    let what = format!("N = {n}: MB of scratch held, backward's too");
    line(&what, scratch as f64 / 1e6, &Aim::None, "");
    Ok(())
}
