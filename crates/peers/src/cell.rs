//! A problem written down for peers: its description, and its tensors as files.

use crate::error::{Error, Result};
use crate::message::{CellMessage, MaskMessage, SOFTMAX};
use attention::mask::{Alignment, Part};
use attention::{Mask, Problem, Shape, expect_shape};
use ndarray::{Array4, ArrayView4, Axis};
use std::io::{BufWriter, Write};
use std::path::Path;
use tempfile::TempDir;

/// What is asked of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// O from Q, K, V.
    Forward,
    /// Forward, then dQ, dK, dV from dO.
    Training,
    /// O of few queries over keys and values that stay: a cache.
    Decode,
}

impl Work {
    /// The protocol's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Training => "training",
            Self::Decode => "decode",
        }
    }
}

/// What a peer computes with; the files hold f32 in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// bfloat16 inputs: give values that it can hold, so that converting loses nothing.
    Bf16,
}

impl Dtype {
    /// The protocol's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}

/// A problem in a temporary folder, which lives as long as this value.
#[derive(Debug)]
pub struct Cell {
    pub(crate) message: CellMessage,
    pub(crate) folder: TempDir,
    shape: Shape,
    work: Work,
}

/// What a peer answered, in f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// O `[B, H, Nq, Dv]`.
    pub o: Array4<f32>,
    /// dQ `[B, H, Nq, D]`, dK `[B, Hkv, Nk, D]`, dV `[B, Hkv, Nk, Dv]`, where the work is training.
    pub gradients: Option<[Array4<f32>; 3]>,
}

impl Cell {
    /// Writes Q, K, V, the problem's own tensors and, for training, dO `[B, H, Nq, Dv]` as
    /// little-endian f32. What is asked for is softmax attention ([`with_attention`](Self::with_attention)).
    ///
    /// # Errors
    /// [`Error::Problem`] for what the protocol has no words for (jagged batches, biases, windows,
    /// more than one mask at a time) or a dO that does not fit; [`Error::File`] where it cannot be
    /// written.
    pub fn write(
        problem: &Problem<'_>,
        work: Work,
        dtype: Dtype,
        d_o: Option<ArrayView4<'_, f32>>,
    ) -> Result<Self> {
        let shape = *problem.shape();
        let mask = describe(problem.geometry().mask(), &shape)?;
        if problem.geometry().is_jagged() {
            return Err(wordless("a jagged batch", "pad it and give key lengths"));
        }
        if problem.bias().is_some() {
            return Err(wordless("a bias", "leave it out"));
        }
        let folder = tempfile::tempdir().map_err(|source| Error::File {
            path: std::env::temp_dir(),
            source,
        })?;
        let group = shape.h.checked_div(shape.hkv).unwrap_or(1);
        let heads = |step: usize| {
            (0..shape.b).flat_map(move |b| (0..shape.h).step_by(step.max(1)).map(move |h| (b, h)))
        };
        let rows = |name: &str, step: usize, pick: fn(&attention::Head<'_>) -> Vec<f32>| {
            let parts = heads(step).map(|(b, h)| pick(&problem.head(b, h)));
            write(&folder.path().join(name), parts)
        };
        rows("q.f32", 1, |head| head.q.iter().copied().collect())?;
        rows("k.f32", group, |head| head.k.iter().copied().collect())?;
        rows("v.f32", group, |head| head.v.iter().copied().collect())?;
        if let Some(d_o) = d_o {
            let wanted = [shape.b, shape.h, shape.nq, shape.dv];
            expect_shape("dO", "[B, H, Nq, Dv]", d_o.shape(), &wanted)?;
            let parts = d_o.axis_iter(Axis(0)).map(|x| x.iter().copied().collect());
            write(&folder.path().join("do.f32"), parts)?;
        } else if work == Work::Training {
            return Err(wordless("training without dO", "give one"));
        }
        for (name, tensor) in problem.tensors() {
            let path = folder.path().join(name).with_extension("f32");
            write(&path, std::iter::once(tensor.iter().copied().collect()))?;
        }
        for part in problem.geometry().mask().parts() {
            if let Part::Blocks(blocks) = part {
                let kept: Vec<u8> = blocks.kept().iter().map(|&k| u8::from(k)).collect();
                let path = folder.path().join("blocks.u8");
                std::fs::write(&path, kept).map_err(|source| Error::File { path, source })?;
            }
        }
        let Shape {
            b,
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
        } = shape;
        Ok(Self {
            message: CellMessage {
                b,
                h,
                hkv,
                nq,
                nk,
                d,
                dv,
                work: work.name(),
                dtype: dtype.name(),
                mask,
                scale: problem.scale(),
                attention: SOFTMAX.into(),
                tensors: problem
                    .tensors()
                    .map(|(name, tensor)| (name, tensor.shape().to_vec()))
                    .collect(),
            },
            folder,
            shape,
            work,
        })
    }

    /// The same cell for another attention than softmax: one of our variants, by name.
    #[must_use]
    pub fn with_attention(mut self, name: &str) -> Self {
        self.message.attention = name.into();
        self
    }

    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Bytes of the scores `[B, H, Nq, Nk]` in f32: what a peer takes that materialises them.
    #[must_use]
    pub fn score_bytes(&self) -> u64 {
        let Shape { b, h, nq, nk, .. } = self.shape;
        4 * (b * h) as u64 * (nq * nk) as u64
    }

    /// Whether the mask is causal.
    #[must_use]
    pub fn is_causal(&self) -> bool {
        self.message.mask == MaskMessage::Causal
    }

    /// Reads the answer that a peer has written into `folder`.
    pub(crate) fn answer(&self, folder: &Path) -> Result<Answer> {
        let Shape {
            b,
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
        } = self.shape;
        let gradients = if self.work == Work::Training {
            Some([
                read(&folder.join("dq.f32"), (b, h, nq, d))?,
                read(&folder.join("dk.f32"), (b, hkv, nk, d))?,
                read(&folder.join("dv.f32"), (b, hkv, nk, dv))?,
            ])
        } else {
            None
        };
        let o = read(&folder.join("o.f32"), (b, h, nq, dv))?;
        Ok(Answer { o, gradients })
    }
}

fn describe(mask: &Mask, shape: &Shape) -> Result<MaskMessage> {
    let top_left = |alignment: &Alignment| match alignment {
        Alignment::TopLeft | Alignment::Offset(0) => true,
        Alignment::BottomRight => shape.nq == shape.nk,
        Alignment::Offset(_) => false,
    };
    match mask.parts() {
        [] => Ok(MaskMessage::Full),
        [Part::Causal(alignment)] if top_left(alignment) => Ok(MaskMessage::Causal),
        [Part::KeyLengths(lengths)] => Ok(MaskMessage::Lengths {
            lengths: lengths.to_vec(),
        }),
        [Part::Blocks(blocks)] => Ok(MaskMessage::Blocks {
            block: blocks.block(),
        }),
        _ => Err(wordless(
            "such a mask",
            "give none, a causal one from the top left, key lengths or blocks, one at a time",
        )),
    }
}

/// The protocol has no words for something.
fn wordless(what: &str, instead: &str) -> Error {
    Error::Problem(attention::Error::Parameter {
        parameter: "cell for peers",
        value: what.into(),
        expected: instead.into(),
    })
}

fn write(path: &Path, parts: impl Iterator<Item = Vec<f32>>) -> Result<()> {
    let written = std::fs::File::create(path).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        for x in parts.flatten() {
            file.write_all(&x.to_le_bytes())?;
        }
        file.flush()
    });
    written.map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

fn read(path: &Path, shape: (usize, usize, usize, usize)) -> Result<Array4<f32>> {
    let fault = |source| Error::File {
        path: path.into(),
        source,
    };
    let bytes = std::fs::read(path).map_err(fault)?;
    let values: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|x| f32::from_le_bytes(*x))
        .collect();
    let found = values.len();
    Array4::from_shape_vec(shape, values).map_err(|_| {
        let reason = format!("{found} values do not fill {shape:?}");
        fault(std::io::Error::new(std::io::ErrorKind::InvalidData, reason))
    })
}
