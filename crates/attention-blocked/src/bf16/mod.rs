//! Attention on queries, keys and values rounded to bf16.
//!
//! * `dot.rs`: pairs of bf16 and the dot product of AVX-512 BF16
//! * `round.rs`: rounding, and with it the path of every other machine
//! * `form.rs`: the same in f64

#[cfg(target_arch = "x86_64")]
pub(crate) mod dot;
mod form;
mod round;

use crate::decode::Precision;
use crate::narrow::{self, Format, Narrow, Offset, Task, wide};
use crate::simd::Isa;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{Family, Form, Head, Result, Variant};
pub(crate) use round::{Bf16, round};

/// Softmax attention on inputs rounded to bf16, in f32.
///
/// Q, K and V are rounded to the nearest bf16; products are summed and the softmax is taken in f32;
/// where the machine has dot products of bf16 (`vdpbf16ps`), weights are rounded to bf16 too. Twice the
/// multiply-adds of f32 a second there. O and L are f32.
///
/// Relative Frobenius error against f64 on the unrounded inputs, measured by `tests/narrow.rs`: 3.5e-3 on
/// standard normal Q, K and V (1.7e-3 of it from the weights), 8e-3 with logits to ±40.
pub static BLOCKED_BF16: Variant = Variant {
    name: "blocked-bf16",
    family: Family::Blocked,
    summary: "softmax attention on inputs rounded to bf16, sums in f32",
    time: "O(N²·D)",
    state: "N·(D + Dv)",
    source: "Dao et al. 2022, FlashAttention, Algorithm 1; Kalamkar et al. 2019, bf16, section 3",
    parameters: &[Parameter {
        name: "isa",
        kind: Kind::Word(&["auto", "avx512-bf16", "avx512", "avx2", "portable"]),
        default: Value::Word("auto"),
        summary: "the instruction set to run on; auto takes the best there is",
    }],
    build: |parameters: &Parameters| {
        let path = Path::named(parameters.word("isa"))?;
        Ok(Box::new(Narrow(path)))
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
}

impl Format for Path {
    const VARIANT: &'static Variant = &BLOCKED_BF16;

    const CACHE: Precision = Precision::Bf16;

    fn isa(&self) -> Isa {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Dot => Isa::Avx512,
            Self::Wide(isa) => *isa,
        }
    }

    fn offset(&self) -> Offset {
        |_, _, _| false
    }

    fn run(&self, task: Task<'_, '_, '_>) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the path was named on this machine, which has the instructions.
            Self::Dot => unsafe { shell(task) },
            Self::Wide(isa) => wide::run::<Bf16>(*isa, task),
        }
    }

    fn scratch_floats(&self, d: usize, dv: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Dot => narrow::scratch_floats::<dot::Dot, dot::Dot>(d, dv),
            Self::Wide(_) => wide::floats::<Bf16>(d, dv),
        }
    }

    fn form(&self, head: &Head<'_>, rows: &[usize]) -> Form {
        form::rows(head, rows)
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
