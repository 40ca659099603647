//! Scores, output and gradients by a tuned matrix product, S still materialised.

mod backward;
mod forward;
mod product;
mod softmax;

pub use product::product;

use crate::scores;
use attention::variant::Parameters;
use attention::{
    Attention, Capabilities, Family, Feature, Geometry, Gradients, Output, OutputMut, Problem,
    Result, Scratch, Variant, Workers,
};
use ndarray::ArrayView4;

/// Attention as two matrix products with a softmax between: the honest baseline.
pub static NAIVE_GEMM: Variant = Variant {
    name: "naive-gemm",
    family: Family::Naive,
    summary: "softmax attention by two tuned matrix products; materialises S",
    time: "O(N²·D)",
    state: "N·(D + Dv)",
    source: "Vaswani et al. 2017, Attention Is All You Need, eq. 1",
    parameters: &[],
    build: |_: &Parameters| Ok(Box::new(NaiveGemm)),
};

struct NaiveGemm;

impl Attention for NaiveGemm {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(NAIVE_GEMM.name, true).without(
            Feature::Prepare,
            "it has nothing to gain from seeing the keys in advance",
        )
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        forward::forward(problem, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, _threads: usize) -> u64 {
        Scratch::bytes_for(1, scores::floats(geometry))
    }

    fn backward(
        &self,
        problem: &Problem<'_>,
        saved: &Output,
        d_o: ArrayView4<'_, f32>,
        out: &mut Gradients,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities()
            .admit_backward(problem, saved, &d_o, out)?;
        backward::backward(problem, saved, d_o, out, workers, scratch);
        Ok(())
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, _threads: usize) -> u64 {
        Scratch::bytes_for(1, backward::floats(geometry))
    }
}
