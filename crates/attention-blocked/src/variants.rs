//! The registered variants: one kernel, three choices of what to look at.

use crate::decode::{Precision, prepare_on};
use crate::forward::How;
use crate::simd::Isa;
use crate::tile::Degree;
use crate::{backward, forward};
use attention::mask::BlockMask;
use attention::variant::{Kind, Parameter, Parameters, Value};
use attention::{
    Attention, Capabilities, Family, Geometry, Gradients, Mask, Output, OutputMut, Prepared,
    Problem, Result, Scratch, Variant, Workers,
};
use ndarray::ArrayView4;

/// All keys of the problem mask.
pub static BLOCKED: Variant = Variant {
    name: "blocked",
    family: Family::Blocked,
    summary: "exact softmax attention over tiles, O(N) memory, SIMD",
    time: "O(N²·D)",
    state: "N·(D + Dv)",
    source: "Dao et al. 2022, FlashAttention, Algorithm 1; Milakov & Gimelshein 2018",
    parameters: &[
        Parameter {
            name: "isa",
            kind: Kind::Word(&["auto", "avx512", "avx2", "portable"]),
            default: Value::Word("auto"),
            summary: "the instruction set to run on; auto takes the best there is",
        },
        Parameter {
            name: "exp-degree",
            kind: Kind::Integer { min: 3, max: 5 },
            default: Value::Integer(5),
            summary: "of the polynomial for 2^x in forward: weights to 9e-5, 3e-6 or 2e-7",
        },
    ],
    build: |parameters: &Parameters| {
        Ok(Box::new(Blocked {
            variant: &BLOCKED,
            pattern: Pattern::All,
            how: How {
                isa: Isa::named(parameters.word("isa"))?,
                degree: Degree::of(parameters.integer("exp-degree")),
            },
        }))
    },
};

/// The keys that end at the query.
pub static SLIDING_WINDOW: Variant = Variant {
    name: "sliding-window",
    family: Family::Blocked,
    summary: "exact over the W latest keys of each query, i - W < j <= i",
    time: "O(N·W·D)",
    state: "N·(D + Dv)",
    source: "Beltagy et al. 2020, Longformer, section 3.1 (causal side)",
    parameters: &[Parameter {
        name: "window",
        kind: Kind::Integer {
            min: 1,
            max: i64::MAX,
        },
        default: Value::Integer(128),
        summary: "keys seen, the query's own position among them",
    }],
    build: |parameters: &Parameters| {
        let pattern = Pattern::Window(parameters.integer("window"));
        Ok(Box::new(Blocked {
            variant: &SLIDING_WINDOW,
            pattern,
            how: Isa::detect().into(),
        }))
    },
};

/// Tiles kept at random: what sparsity costs when nobody chooses.
pub static RANDOM_BLOCKS: Variant = Variant {
    name: "random-blocks",
    family: Family::Blocked,
    summary: "exact over tiles kept at random, the diagonal always",
    time: "O(density·N²·D)",
    state: "N·(D + Dv)",
    source: "Zaheer et al. 2020, Big Bird, section 2 (random blocks alone)",
    parameters: &[
        Parameter {
            name: "density",
            kind: Kind::Float { min: 0.0, max: 1.0 },
            default: Value::Float(0.25),
            summary: "share of the tiles that is kept",
        },
        Parameter {
            name: "block",
            kind: Kind::Integer { min: 1, max: 4096 },
            default: Value::Integer(64),
            summary: "side of a tile in queries and keys",
        },
        Parameter {
            name: "seed",
            kind: Kind::Integer {
                min: 0,
                max: i64::MAX,
            },
            default: Value::Integer(0),
            summary: "which tiles",
        },
    ],
    build: |parameters: &Parameters| {
        let pattern = Pattern::RandomBlocks {
            density: parameters.float("density"),
            block: parameters.integer("block"),
            seed: parameters.integer("seed") as u64,
        };
        Ok(Box::new(Blocked {
            variant: &RANDOM_BLOCKS,
            pattern,
            how: Isa::detect().into(),
        }))
    },
};

#[derive(Debug, Clone, Copy)]
enum Pattern {
    All,
    Window(usize),
    RandomBlocks {
        density: f64,
        block: usize,
        seed: u64,
    },
}

struct Blocked {
    variant: &'static Variant,
    pattern: Pattern,
    how: How,
}

impl Attention for Blocked {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(self.variant.name, self.how.degree == Degree::Five)
    }

    fn pattern(&self, geometry: &Geometry) -> Result<Option<Mask>> {
        Ok(match self.pattern {
            Pattern::All => None,
            Pattern::Window(width) => Some(Mask::window(width)),
            Pattern::RandomBlocks {
                density,
                block,
                seed,
            } => {
                let longest = |range: fn(&Geometry, usize) -> std::ops::Range<usize>| {
                    (0..geometry.shape().b)
                        .map(|s| range(geometry, s).len())
                        .max()
                        .unwrap_or(0)
                };
                let (nq, nk) = if geometry.is_jagged() {
                    (longest(Geometry::query_range), longest(Geometry::key_range))
                } else {
                    (geometry.shape().nq, geometry.shape().nk)
                };
                Some(Mask::blocks(BlockMask::random(
                    nq, nk, block, density, seed,
                )?))
            }
        })
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        let how = self.how;
        match self.pattern(problem.geometry())? {
            None => forward::forward(how, problem, out, workers, scratch),
            Some(pattern) => {
                forward::forward(how, &problem.patterned(&pattern)?, out, workers, scratch);
            }
        }
        Ok(())
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
        let isa = self.how.isa;
        match self.pattern(problem.geometry())? {
            None => backward::backward(isa, problem, saved, d_o, out, workers, scratch),
            Some(pattern) => {
                let problem = problem.patterned(&pattern)?;
                backward::backward(isa, &problem, saved, d_o, out, workers, scratch);
            }
        }
        Ok(())
    }

    fn backward_scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        let shape = geometry.shape();
        Scratch::bytes_for(threads, backward::scratch_floats(shape.d, shape.dv, 0))
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        forward::scratch_bytes(geometry, threads)
    }

    /// As for any exact kernel, and what the polynomial leaves.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        let rounding = (8.0 * f64::from(f32::EPSILON) * max_abs_score).max(1.8e-6);
        rounding + self.how.degree.error()
    }

    fn prepare(&self, problem: &Problem<'_>, workers: &Workers) -> Result<Box<dyn Prepared>> {
        self.capabilities().admit_prepare(problem)?;
        let pattern = self.pattern(problem.geometry())?.unwrap_or_default();
        let problem = problem.patterned(&pattern)?;
        Ok(prepare_on(self.how.isa, Precision::F32, &problem, workers))
    }
}
