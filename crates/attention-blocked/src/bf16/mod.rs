//! Attention on queries, keys and values rounded to bf16.
//!
//! * `dot.rs`: pairs of bf16 and the dot product of AVX-512 BF16
//! * `round.rs`: rounding, and with it the path of every other machine
//! * `form.rs`: the same in f64

#[cfg(target_arch = "x86_64")]
pub(crate) mod dot;
mod form;
mod round;

use crate::narrow::wide::Wide;
use crate::narrow::{self, Task};
use crate::simd::{Isa, Kernel, Vector, dispatch};
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{
    Attention, Capabilities, Family, Feature, Form, Geometry, OutputMut, Problem, Result, Scratch,
    Variant, Workers,
};
pub(crate) use round::{Bf16, round};

/// Softmax attention on inputs rounded to bf16, in f32.
///
/// Q, K and V are rounded to the nearest bf16; products are summed and the softmax is taken in f32;
/// where the machine has dot products of bf16 (`vdpbf16ps`), weights are rounded to bf16 too. Twice the
/// multiply-adds of f32 a second there. O and L are f32.
pub static BLOCKED_BF16: Variant = Variant {
    name: "blocked-bf16",
    family: Family::Blocked,
    summary: "softmax attention on inputs rounded to bf16, sums in f32",
    time: "O(N²·D)",
    source: "Dao et al. 2022, FlashAttention, Algorithm 1; Kalamkar et al. 2019, bf16, section 3",
    parameters: &[Parameter {
        name: "isa",
        kind: Kind::Word(&["auto", "avx512-bf16", "avx512", "avx2", "portable"]),
        default: Value::Word("auto"),
        summary: "the instruction set to run on; auto takes the best there is",
    }],
    build: |parameters: &Parameters| {
        let path = Path::named(parameters.word("isa"))?;
        Ok(Box::new(BlockedBf16 { path }))
    },
};

#[derive(Debug, Clone, Copy)]
enum Path {
    #[cfg(target_arch = "x86_64")]
    Dot,
    Wide(Isa),
}

impl Path {
    fn named(name: &'static str) -> Result<Self> {
        #[cfg(target_arch = "x86_64")]
        let dots = [("avx512-bf16", dot::Dot::is_available(), Self::Dot)];
        #[cfg(not(target_arch = "x86_64"))]
        let dots = [];
        narrow::path_named(name, &dots, Self::Wide)
    }

    fn run(self, task: Task<'_, '_, '_>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the path was named on this machine, which has the instructions.
            Self::Dot => unsafe { shell(task) },
            Self::Wide(isa) => dispatch(isa, WideKernel(task)),
        }
    }

    fn scratch_floats(self, d: usize, dv: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Dot => narrow::scratch_floats::<dot::Dot, dot::Dot>(d, dv),
            // Sizes are the same for vectors of any width.
            Self::Wide(_) => {
                type Any = Wide<crate::simd::Lanes, Bf16>;
                narrow::scratch_floats::<Any, Any>(d, dv)
            }
        }
    }
}

/// # Safety
/// The machine has AVX-512F, BW, DQ and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512bf16")]
unsafe fn shell(task: Task<'_, '_, '_>) {
    // SAFETY: the instructions are enabled here.
    unsafe { task.run::<dot::Dot, dot::Dot>() }
}

struct WideKernel<'h, 'o, 'm>(Task<'h, 'o, 'm>);

impl Kernel for WideKernel<'_, '_, '_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: V's instructions are enabled where this runs.
        unsafe { self.0.run::<Wide<V, Bf16>, Wide<V, Bf16>>() }
    }
}

struct BlockedBf16 {
    path: Path,
}

impl Attention for BlockedBf16 {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(BLOCKED_BF16.name, false)
            .without(
                Feature::Backward,
                "training wants f32 gradients; `blocked` has them",
            )
            .without(
                Feature::Prepare,
                "not written yet; forward converts keys itself",
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
        let shape = problem.shape();
        let floats = self.path.scratch_floats(shape.d, shape.dv);
        narrow::forward(
            problem,
            out,
            workers,
            scratch,
            floats,
            |_, _, _| false,
            |task| {
                self.path.run(task);
            },
        );
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let shape = geometry.shape();
        Scratch::bytes_for(threads, self.path.scratch_floats(shape.d, shape.dv))
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        Ok(form::rows(&problem.head(sequence, head), rows))
    }

    /// What is left against the form is the rounding of the weights, half a unit in eight bits each at
    /// worst, and the rounding of scores in f32.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        1.0 / 256.0 + 8.0 * f64::from(f32::EPSILON) * max_abs_score
    }
}
