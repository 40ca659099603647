//! One attention problem: borrowed tensors, problem mask, scale, bias, layout.

use crate::bias::{Bias, HeadBias};
use crate::dropout::{Dropout, HeadDropout};
use crate::error::{Error, Result, expect_shape};
use crate::geometry::Geometry;
use crate::mask::{Mask, SequenceMask};
use crate::shape::Shape;
use crate::tensors::Tensors;
use ndarray::{ArrayView2, ArrayView4, ArrayViewD, Axis, CowArray, Ix4};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Q, K, V and everything the question says about them.
///
/// Tensors are f32 and row-major: Q `[B, H, Nq, D]`, K `[B, Hkv, Nk, D]`, V `[B, Hkv, Nk, Dv]`.
/// Any strides are accepted; a tensor whose last axis is not contiguous, or with a
/// reversed axis, is copied once.
///
/// ```
/// use attention::{Problem, mask::{Alignment, Mask}};
/// use ndarray::Array4;
/// let q = Array4::<f32>::zeros((2, 4, 10, 16));
/// let kv = Array4::<f32>::zeros((2, 2, 12, 16)); // two query heads share a key head
/// let problem = Problem::new(q.view(), kv.view(), kv.view())?
///     .with_mask(Mask::causal(Alignment::BottomRight))?;
/// assert_eq!(problem.shape().hkv, 2);
/// assert_eq!(problem.scale(), 0.25, "1/√D unless set");
/// # Ok::<(), attention::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Problem<'a> {
    q: CowArray<'a, f32, Ix4>,
    k: CowArray<'a, f32, Ix4>,
    v: CowArray<'a, f32, Ix4>,
    geometry: Geometry,
    scale: f32,
    bias: Option<Bias<'a>>,
    dropout: Option<Dropout>,
    tensors: BTreeMap<&'static str, ArrayViewD<'a, f32>>,
}

/// One history and one query head: what a kernel works on.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Which history.
    pub sequence: usize,
    /// Which query head.
    pub head: usize,
    /// `[Nq, D]`.
    pub q: ArrayView2<'a, f32>,
    /// `[Nk, D]`.
    pub k: ArrayView2<'a, f32>,
    /// `[Nk, Dv]`.
    pub v: ArrayView2<'a, f32>,
    /// What its queries may see.
    pub mask: SequenceMask<'a>,
    /// Factor of QKᵀ.
    pub scale: f32,
    /// Added to the scaled scores.
    pub bias: Option<HeadBias<'a>>,
    /// Which weights are dropped.
    pub dropout: Option<HeadDropout>,
}

impl<'a> Problem<'a> {
    /// A padded batch with full mask, scale 1/√D and no bias.
    ///
    /// # Errors
    /// [`Error::Shape`] where the tensors do not fit each other.
    pub fn new(
        q: ArrayView4<'a, f32>,
        k: ArrayView4<'a, f32>,
        v: ArrayView4<'a, f32>,
    ) -> Result<Self> {
        let b = q.dim().0;
        let shape = tensor_shape(&q, &k, &v, b, b)?;
        Ok(Self::assemble(
            q,
            k,
            v,
            Geometry::padded(shape, Mask::full())?,
        ))
    }

    /// A jagged batch: Q `[1, H, ΣNq, D]`, K `[1, Hkv, ΣNk, D]`, V `[1, Hkv, ΣNk, Dv]`, offsets
    /// `[B + 1]` each.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Offsets`] where tensors and offsets do not fit.
    pub fn jagged(
        q: ArrayView4<'a, f32>,
        k: ArrayView4<'a, f32>,
        v: ArrayView4<'a, f32>,
        q_offsets: impl Into<Arc<[usize]>>,
        k_offsets: impl Into<Arc<[usize]>>,
    ) -> Result<Self> {
        let (q_offsets, k_offsets) = (q_offsets.into(), k_offsets.into());
        let b = q_offsets.len().saturating_sub(1);
        let shape = tensor_shape(&q, &k, &v, b, 1)?;
        let geometry = Geometry::jagged(shape, q_offsets, k_offsets, Mask::full())?;
        Ok(Self::assemble(q, k, v, geometry))
    }

    fn assemble(
        q: ArrayView4<'a, f32>,
        k: ArrayView4<'a, f32>,
        v: ArrayView4<'a, f32>,
        geometry: Geometry,
    ) -> Self {
        let scale = 1.0 / (geometry.shape().d.max(1) as f32).sqrt();
        Self {
            q: row_contiguous(q),
            k: row_contiguous(k),
            v: row_contiguous(v),
            geometry,
            scale,
            bias: None,
            dropout: None,
            tensors: BTreeMap::new(),
        }
    }

    /// Adds a condition to the problem mask.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Parameter`] where the mask does not fit.
    pub fn with_mask(mut self, mask: Mask) -> Result<Self> {
        self.geometry = self.geometry.with_pattern(&mask)?;
        Ok(self)
    }

    /// Sets the factor of QKᵀ; 1 gives the unscaled form.
    #[must_use]
    pub fn with_scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// Adds a bias to the scores.
    ///
    /// # Errors
    /// [`Error::Shape`] where its table does not fit.
    pub fn with_bias(mut self, bias: Bias<'a>) -> Result<Self> {
        bias.check(&self.geometry)?;
        self.bias = Some(bias);
        Ok(self)
    }

    /// Drops weights: P∘keep/(1 - rate) instead of P; L stays as it is.
    #[must_use]
    pub fn with_dropout(mut self, dropout: Dropout) -> Self {
        self.dropout = Some(dropout);
        self
    }

    /// Gives a side input or learned parameter that a variant declares.
    #[must_use]
    pub fn with_tensor(mut self, name: &'static str, tensor: ArrayViewD<'a, f32>) -> Self {
        self.tensors.insert(name, tensor);
        self
    }

    /// The same problem, borrowed, with a variant's tensors; those that it has already stay.
    #[must_use]
    pub fn supplied<'b>(&'b self, tensors: &'b Tensors) -> Problem<'b> {
        let mut problem = self.borrowed();
        for (name, tensor) in tensors.iter() {
            problem.tensors.entry(name).or_insert(tensor);
        }
        problem
    }

    /// The same problem, borrowed, with a variant's pattern added to its mask.
    ///
    /// # Errors
    /// [`Error::Shape`] where the pattern does not fit.
    pub fn patterned(&self, pattern: &Mask) -> Result<Problem<'_>> {
        let geometry = self.geometry.with_pattern(pattern)?;
        Ok(Problem {
            geometry,
            ..self.borrowed()
        })
    }

    fn borrowed(&self) -> Problem<'_> {
        let tensors = self.tensors.iter();
        Problem {
            q: self.q.view().into(),
            k: self.k.view().into(),
            v: self.v.view().into(),
            geometry: self.geometry.clone(),
            scale: self.scale,
            bias: self.bias.as_ref().map(Bias::reborrow),
            dropout: self.dropout,
            tensors: tensors.map(|(name, t)| (*name, t.view())).collect(),
        }
    }

    /// Sizes, layout and mask.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        self.geometry.shape()
    }

    /// Factor of QKᵀ.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The bias, if there is one.
    #[must_use]
    pub fn bias(&self) -> Option<&Bias<'a>> {
        self.bias.as_ref()
    }

    /// Dropout on the weights, if there is any.
    #[must_use]
    pub fn dropout(&self) -> Option<Dropout> {
        self.dropout
    }

    /// A side input or learned parameter by name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&ArrayViewD<'a, f32>> {
        self.tensors.get(name)
    }

    /// All side inputs and learned parameters, by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&'static str, &ArrayViewD<'a, f32>)> {
        self.tensors.iter().map(|(name, tensor)| (*name, tensor))
    }

    /// History `sequence` as query head `head` sees it.
    #[must_use]
    pub fn head(&self, sequence: usize, head: usize) -> Head<'_> {
        let batch = if self.geometry.is_jagged() {
            0
        } else {
            sequence
        };
        let queries = self.geometry.query_range(sequence);
        let keys = self.geometry.key_range(sequence);
        let key_head = self.geometry.key_head(head);
        Head {
            sequence,
            head,
            q: matrix(&self.q, batch, head, queries),
            k: matrix(&self.k, batch, key_head, keys.clone()),
            v: matrix(&self.v, batch, key_head, keys),
            mask: self.geometry.sequence(sequence),
            scale: self.scale,
            bias: self.bias.as_ref().map(|bias| bias.head(head)),
            dropout: self.dropout.map(|dropout| dropout.head(sequence, head)),
        }
    }

    /// Every (history, query head), histories outermost.
    pub fn heads(&self) -> impl Iterator<Item = Head<'_>> {
        let Shape { b, h, .. } = *self.shape();
        (0..b).flat_map(move |sequence| (0..h).map(move |head| self.head(sequence, head)))
    }
}

/// Shape of `[B, H, Nq, D]`, `[B, Hkv, Nk, D]`, `[B, Hkv, Nk, Dv]` with leading axis `lead`.
fn tensor_shape(
    q: &ArrayView4<'_, f32>,
    k: &ArrayView4<'_, f32>,
    v: &ArrayView4<'_, f32>,
    b: usize,
    lead: usize,
) -> Result<Shape> {
    let (q_lead, h, nq, d) = q.dim();
    let (_, hkv, nk, _) = k.dim();
    let dv = v.dim().3;
    if q_lead != lead {
        return Err(Error::Shape {
            tensor: "Q",
            found: q.shape().to_vec(),
            expected: "[1, H, ΣNq, D] for a jagged batch".into(),
        });
    }
    expect_shape("K", "[B, Hkv, Nk, D]", k.shape(), &[lead, hkv, nk, d])?;
    expect_shape("V", "[B, Hkv, Nk, Dv]", v.shape(), &[lead, hkv, nk, dv])?;
    Ok(Shape {
        b,
        h,
        hkv,
        nq,
        nk,
        d,
        dv,
    })
}

fn row_contiguous(tensor: ArrayView4<'_, f32>) -> CowArray<'_, f32, Ix4> {
    let rows_contiguous = tensor.len_of(Axis(3)) <= 1 || tensor.strides()[3] == 1;
    // Kernels step from row to row by pointer, which a reversed axis would turn round.
    if rows_contiguous && tensor.strides().iter().all(|stride| *stride >= 0) {
        tensor.into()
    } else {
        tensor.as_standard_layout().into_owned().into()
    }
}

/// Tokens of one batch entry and head as a matrix `[tokens, D]`.
fn matrix<'t>(
    tensor: &'t CowArray<'_, f32, Ix4>,
    batch: usize,
    head: usize,
    tokens: Range<usize>,
) -> ArrayView2<'t, f32> {
    tensor
        .index_axis(Axis(0), batch)
        .index_axis_move(Axis(0), head)
        .slice_axis_move(Axis(0), tokens.into())
}
