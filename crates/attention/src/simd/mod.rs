//! One kernel, three instruction sets.
//!
//! Kernels are generic over [`Vector`] and marked `inline(always)`; each instruction set has one
//! thin shell that carries its `target_feature`, so that one binary runs everywhere at full speed.
//! Variants share what is here: vectors, transposes, and the micro-kernels of matrix products.
//!
//! Everything `unsafe` has one contract, that of [`Vector`]: it runs inside [`dispatch`], and every
//! pointer holds what the arguments say.

#![allow(unsafe_code)]
#![allow(clippy::missing_safety_doc)] // One contract for all methods: see `Vector`.

pub mod activation;
mod avx2;
mod avx512;
mod draw;
mod lanewise;
pub mod matrix;
mod panel;
mod portable;
mod rows;
mod transpose;
mod vector;

#[cfg(target_arch = "x86_64")]
pub use avx512::transpose16;
pub use draw::{DROP_FLOATS, Draw, Drop};
pub use lanewise::Lanewise;
pub use panel::{Add, Finish, Left, Right, Target, product};
pub use portable::Lanes;
pub use rows::{are_finite, copy_rows, dot_rows};
pub use transpose::{pack, unpack};
pub use vector::{Block, QUERIES, Vector, prefetch_rows};

use crate::{Error, Result};

/// The instruction set that a kernel runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512F and DQ: 16 lanes, 32 registers.
    Avx512,
    /// AVX2 with FMA: 8 lanes, 16 registers.
    Avx2,
    /// Whatever the target has at least; the compiler vectorises.
    Portable,
}

impl Isa {
    /// The best that this machine has.
    #[must_use]
    pub fn detect() -> Self {
        Self::ALL
            .into_iter()
            .find(|isa| isa.is_available())
            .unwrap_or(Self::Portable)
    }

    /// One by its name; `auto` is the best that this machine has.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a name that does not exist or a set that this machine lacks.
    pub fn named(name: &'static str) -> Result<Self> {
        if name == "auto" {
            return Ok(Self::detect());
        }
        let available = || Self::ALL.into_iter().filter(|isa| isa.is_available());
        available()
            .find(|isa| isa.name() == name)
            .ok_or_else(|| Error::Parameter {
                parameter: "isa",
                value: name.into(),
                expected: format!(
                    "this machine runs {}",
                    available().map(Self::name).collect::<Vec<_>>().join(", ")
                ),
            })
    }

    /// Its name in configs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Whether this machine can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }
}

/// A computation that can be run with any vector.
pub trait Kernel {
    /// Runs with vectors of type `V`; must be `inline(always)`.
    fn run<V: Vector>(self);
}

/// Runs a kernel on an instruction set; one that the machine lacks falls back to portable code.
pub fn dispatch(isa: Isa, kernel: impl Kernel) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected on this machine.
        Isa::Avx512 if isa.is_available() => unsafe { avx512::shell(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected on this machine.
        Isa::Avx2 if isa.is_available() => unsafe { avx2::shell(kernel) },
        _ => kernel.run::<portable::Lanes>(),
    }
}
