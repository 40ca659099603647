//! What skipped tiles save: measured speed-up over that of the tiles alone.

use crate::call::{Call, Tensors};
use crate::machine::{rounds, turn};
use crate::{Aim, Fault, line};
use attention::mask::{BlockMask, Mask};

const N: usize = 8192;
const TILE: usize = 64;

/// Skip efficiency of random tiles, forward and backward.
pub(crate) fn blocks() -> Result<(), Fault> {
    println!("block sparsity, (1, 1, {N}, 64), tiles of {TILE}, 1 thread: skip efficiency");
    let tensors = Tensors::new(1, N, N, 64);
    for sparsity in [0.5, 0.75, 0.9, 0.95] {
        let blocks = BlockMask::random(N, N, TILE, 1.0 - sparsity, 20)?;
        let kept = blocks.kept().iter().filter(|&&kept| kept).count() as f64;
        let share = kept / blocks.kept().len() as f64;
        let mut dense = Call::new(&tensors, Mask::full(), 1)?;
        let mut sparse = Call::new(&tensors, Mask::blocks(blocks), 1)?;
        dense.forward()?;
        sparse.forward()?;
        let [f_dense, f_sparse, b_dense, b_sparse] = {
            let [f0, f1] = rounds([&mut || turn(|| dense.forward()), &mut || {
                turn(|| sparse.forward())
            }])?;
            let [b0, b1] = rounds([&mut || turn(|| dense.backward()), &mut || {
                turn(|| sparse.backward())
            }])?;
            [f0, f1, b0, b1]
        };
        let aim = || Aim::AtLeast(if sparsity > 0.9 { 0.85 } else { 0.90 });
        for (name, dense, sparse) in [
            ("forward", f_dense, f_sparse),
            ("backward", b_dense, b_sparse),
        ] {
            let efficiency = dense / sparse * share;
            let what = format!("sparsity {sparsity} ({:.2} % kept), {name}", share * 100.0);
            let note = format!("{:.2}x faster than dense", dense / sparse);
            line(&what, efficiency, &aim(), &note);
        }
    }
    Ok(())
}
