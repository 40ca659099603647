//! Attention on queries and keys rounded to eight bits.
//!
//! * `quantize.rs`: levels and scales, the mean that keys lose, and with them the path of every machine
//! * `dot.rs`: quads of int8 and the dot product of AVX-512 VNNI
//! * `form.rs`: the same in f64

#[cfg(target_arch = "x86_64")]
mod dot;
mod form;
mod quantize;

#[cfg(target_arch = "x86_64")]
use crate::bf16::dot::Dot;
use crate::decode::Precision;
use crate::narrow::{self, Format, Narrow, Offset, Task, wide};
use crate::simd::Isa;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{Family, Form, Head, Result, Variant};
use quantize::{Int8, mean_of_seen};

/// Softmax attention on queries and keys rounded to int8, values to bf16.
///
/// Each query and each key has a scale of its own, its largest entry over 127: none depends on another, so
/// that what is hidden changes nothing. Before rounding, keys lose the mean of those that all queries of a
/// block see, which a softmax does not notice and outlying channels do. Scores are exact sums of products
/// of levels; the softmax is in f32; weights and values are multiplied in bf16 where the machine has dot
/// products of it, in f32 elsewhere. A key or query with an entry that is not finite has NaN for scores.
///
/// Relative Frobenius error against f64 on the unrounded inputs, measured by `tests/narrow.rs`: 9e-3 on
/// standard normal Q, K and V, 2.5e-2 with logits to ±40; 9e-3 with four channels of K off by eight, where it
/// would be 2.1e-2 without the mean taken. Under a causal mask the first 512 queries of a history
/// have no keys that all of them see, and theirs keep the mean.
pub static BLOCKED_INT8: Variant = Variant {
    name: "blocked-int8",
    family: Family::Blocked,
    summary: "softmax attention on queries and keys rounded to int8, values to bf16",
    time: "O(N²·D)",
    state: "N·(D + Dv)",
    source: "Zhang et al. 2025, SageAttention, section 4",
    parameters: &[Parameter {
        name: "isa",
        kind: Kind::Word(&[
            "auto",
            "avx512-vnni-bf16",
            "avx512-vnni",
            "avx512",
            "avx2",
            "portable",
        ]),
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
    VnniBf16,
    #[cfg(target_arch = "x86_64")]
    Vnni,
    Wide(Isa),
}

impl Path {
    fn named(name: &'static str) -> Result<Self> {
        #[cfg(target_arch = "x86_64")]
        let dots = {
            let vnni = dot::Vnni::is_available();
            [
                (
                    "avx512-vnni-bf16",
                    vnni && Dot::is_available(),
                    Self::VnniBf16,
                ),
                ("avx512-vnni", vnni, Self::Vnni),
            ]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let dots = [];
        narrow::path_named(name, &dots, Self::Wide)
    }
}

impl Format for Path {
    const VARIANT: &'static Variant = &BLOCKED_INT8;

    const CACHE: Precision = Precision::Int8;

    fn isa(&self) -> Isa {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::VnniBf16 | Self::Vnni => Isa::Avx512,
            Self::Wide(isa) => *isa,
        }
    }

    fn offset(&self) -> Offset {
        mean_of_seen
    }

    fn run(&self, task: Task<'_, '_, '_>) {
        match self {
            // SAFETY: the path was named on this machine, which has the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::VnniBf16 => unsafe { vnni_bf16(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => unsafe { vnni(task) },
            Self::Wide(isa) => wide::run::<Int8>(*isa, task),
        }
    }

    fn scratch_floats(&self, d: usize, dv: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::VnniBf16 => narrow::scratch_floats::<dot::Vnni, Dot>(d, dv),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => narrow::scratch_floats::<dot::Vnni, Exact>(d, dv),
            Self::Wide(_) => wide::floats::<Int8>(d, dv),
        }
    }

    fn form(&self, head: &Head<'_>, rows: &[usize]) -> Form {
        form::rows(head, rows)
    }
}

/// Values rounded to bf16, weights in f32.
#[cfg(target_arch = "x86_64")]
type Exact = wide::Wide<std::arch::x86_64::__m512, crate::bf16::Bf16>;

/// # Safety
/// The machine has AVX-512F, BW, DQ, VL, VNNI and BF16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")]
unsafe fn vnni_bf16(task: Task<'_, '_, '_>) {
    // SAFETY: the instructions are enabled here.
    unsafe { task.run::<dot::Vnni, Dot>() }
}

/// # Safety
/// The machine has AVX-512F, BW, VL and VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn vnni(task: Task<'_, '_, '_>) {
    // SAFETY: the instructions are enabled here.
    unsafe { task.run::<dot::Vnni, Exact>() }
}
