//! Keys and values kept between calls.

use super::Plan;
use super::source::{Asked, History, Source};
use super::stand::{Kept, Stand};
use super::store::Store;
use crate::forward;
use crate::simd::row_wise::{Bf16, Element};
use crate::simd::{Isa, QUERIES};
use attention::mask::Mask;
use attention::{
    Geometry, Head, OutputMut, Prepared, Problem, Result, Scratch, Shape, Workers, expect_shape,
};
use ndarray::{ArrayView4, s};

/// What the numbers of a cache are rounded to; arithmetic is in f32 throughout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 4 bytes: exact.
    F32,
    /// 2 bytes, rounded to nearest, ties to even: relative error of a number up to 2⁻⁹.
    Bf16,
    /// 1 byte and 4 a row: error of a number up to 1/254 of the largest of its row.
    Int8,
}

/// Keeps the keys and values of `problem`, under its mask, to answer queries later.
///
/// Keys are appended at amortised O(1) copies each. Calls with few queries (8, and 64 of a cache that
/// is not f32) read every key that is visible once, whatever the number of query heads that share
/// it; calls with more go through the tiles of [`attend`](crate::attend), for which a cache that is
/// not f32 is widened first, in O(Nk·(D + Dv)) memory. A row of an [`Precision::Int8`] cache that is not
/// finite is NaN throughout.
///
/// ```
/// use attention::mask::{Alignment, Mask};
/// use attention::{Output, Prepared, Problem, Scratch, Workers};
/// use attention_blocked::{Precision, prepare};
/// use ndarray::{Array4, s};
///
/// let kv = Array4::from_shape_fn((1, 2, 9, 8), |(_, h, j, c)| (h + j + c) as f32 * 0.1);
/// let prompt = kv.slice(s![.., .., ..8, ..]);
/// let problem = Problem::new(prompt, prompt, prompt)?.with_mask(Mask::causal(Alignment::TopLeft))?;
/// let workers = Workers::serial();
/// let mut cache = prepare(Precision::F32, &problem, &workers);
/// let next = kv.slice(s![.., .., 8.., ..]);
/// cache.append(next, next)?;
/// let one = Problem::new(next, kv.view(), kv.view())?; // the last query sees all nine keys
/// let mut output = Output::poisoned(one.geometry(), false);
/// cache.forward(next, output.view_mut(), &workers, &mut Scratch::new())?;
/// assert_eq!(output.o, attention_blocked::attend(&one, &workers).o);
/// # Ok::<(), attention::Error>(())
/// ```
#[must_use]
pub fn prepare(
    precision: Precision,
    problem: &Problem<'_>,
    workers: &Workers,
) -> Box<dyn Prepared> {
    prepare_on(Isa::detect(), precision, problem, workers)
}

/// [`prepare`] on a given instruction set.
pub(crate) fn prepare_on(
    isa: Isa,
    precision: Precision,
    problem: &Problem<'_>,
    workers: &Workers,
) -> Box<dyn Prepared> {
    match precision {
        Precision::F32 => Box::new(Cache::<f32>::of(isa, problem, workers)),
        Precision::Bf16 => Box::new(Cache::<Bf16>::of(isa, problem, workers)),
        Precision::Int8 => Box::new(Cache::<i8>::of(isa, problem, workers)),
    }
}

struct Cache<E> {
    isa: Isa,
    /// `nq` and `nk` are those of no call.
    shape: Shape,
    scale: f32,
    bias: Option<Kept>,
    /// `[B]`.
    stands: Vec<Stand>,
    /// K and V, `[B, Hkv]`.
    stores: Vec<(Store<E>, Store<E>)>,
}

impl<E: Element> Cache<E> {
    fn of(isa: Isa, problem: &Problem<'_>, workers: &Workers) -> Self {
        let (geometry, shape) = (problem.geometry(), *problem.shape());
        let (stands, lengths): (Vec<_>, Vec<_>) = (0..shape.b)
            .map(|s| Stand::of(geometry, problem.bias(), s))
            .unzip();
        let group = problem.group().max(1);
        let pairs = (0..shape.b).flat_map(|s| (0..shape.hkv).map(move |h| (s, h)));
        let stores = workers.map(pairs.collect(), |(s, h)| {
            let head = problem.head(s, h * group);
            let real = s![..lengths[s], ..];
            (Store::of(head.k.slice(real)), Store::of(head.v.slice(real)))
        });
        Self {
            isa,
            shape,
            scale: problem.scale(),
            bias: problem.bias().and_then(Kept::of),
            stands,
            stores,
        }
    }

    fn store(&self, sequence: usize, key_head: usize) -> &(Store<E>, Store<E>) {
        &self.stores[sequence * self.shape.hkv + key_head]
    }
}

impl<E: Element> Prepared for Cache<E> {
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Shape { b, h, hkv, d, .. } = self.shape;
        let nq = q.dim().2;
        expect_shape("Q", "[B, H, Nq, D]", q.shape(), &[b, h, nq, d])?;
        let geometry = Geometry::padded(
            Shape {
                nq,
                nk: 0,
                ..self.shape
            },
            Mask::full(),
        )?;
        out.check(&geometry)?;
        let q = q.as_standard_layout();
        let mut masks = Vec::with_capacity(b);
        let mut biases = Vec::with_capacity(b);
        for (s, stand) in self.stands.iter().enumerate() {
            let first = stand.first(nq)?;
            let nk = self.stores.get(s * hkv).map_or(0, |(k, _)| k.rows());
            masks.push((stand.mask(first), nk));
            biases.push(self.bias.as_ref().map(|bias| bias.moved(first, nq, nk)));
        }
        let call = Call {
            cache: self,
            q: q.view(),
            masks,
            biases,
        };
        let plan = Plan {
            shape: self.shape,
            few: E::FEW,
            history: |sequence: usize| {
                let (mask, nk) = &call.masks[sequence];
                (nq, mask.sequence(sequence, nq, *nk).span_of(0..nq))
            },
        };
        // Tiles read f32.
        let stores = self.stores.iter().filter(|_| nq > E::FEW).collect();
        let wide = workers.map(stores, |(k, v): &(Store<E>, Store<E>)| (k.wide(), v.wide()));
        let head = |sequence, head| {
            let Asked {
                q,
                mask,
                scale,
                bias,
            } = call.asked(sequence, head);
            let (k, v) = &wide[sequence * hkv + head / call.group()];
            let (k, v) = (k.view(), v.view());
            Head {
                sequence,
                head,
                q,
                k,
                v,
                mask,
                scale,
                bias,
                dropout: None,
            }
        };
        let blocks = out.row_blocks(&geometry, QUERIES);
        forward::answer(
            self.isa.into(),
            &call,
            &plan,
            head,
            (blocks, false),
            workers,
            scratch,
        );
        Ok(())
    }

    fn append(&mut self, k: ArrayView4<'_, f32>, v: ArrayView4<'_, f32>) -> Result<()> {
        let Shape { b, hkv, d, dv, .. } = self.shape;
        let n = k.dim().2;
        expect_shape("K", "[B, Hkv, n, D]", k.shape(), &[b, hkv, n, d])?;
        expect_shape("V", "[B, Hkv, n, Dv]", v.shape(), &[b, hkv, n, dv])?;
        for stand in &mut self.stands {
            stand.grow(n)?;
        }
        for (at, (keys, values)) in self.stores.iter_mut().enumerate() {
            keys.append(k.slice(s![at / hkv, at % hkv, .., ..]));
            values.append(v.slice(s![at / hkv, at % hkv, .., ..]));
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.stores.iter().map(|(k, v)| k.bytes() + v.bytes()).sum()
    }
}

/// Queries asked of a cache.
struct Call<'a, E> {
    cache: &'a Cache<E>,
    q: ArrayView4<'a, f32>,
    /// Mask and number of keys, `[B]`.
    masks: Vec<(Mask, usize)>,
    /// `[B]`.
    biases: Vec<Option<Kept>>,
}

impl<E: Element> Source for Call<'_, E> {
    type Element = E;

    fn group(&self) -> usize {
        self.cache.shape.h / self.cache.shape.hkv.max(1)
    }

    fn history(&self, sequence: usize, key_head: usize) -> History<'_, E> {
        let (k, v) = self.cache.store(sequence, key_head);
        History {
            k: k.view(),
            v: v.view(),
            scales: k.scales().zip(v.scales()),
        }
    }

    fn asked(&self, sequence: usize, head: usize) -> Asked<'_> {
        let (mask, nk) = &self.masks[sequence];
        Asked {
            q: self.q.slice(s![sequence, head, .., ..]),
            mask: mask.sequence(sequence, self.q.dim().2, *nk),
            scale: self.cache.scale,
            bias: self.biases[sequence].as_ref().map(|bias| bias.head(head)),
        }
    }
}
