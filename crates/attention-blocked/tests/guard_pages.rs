//! Kernels touch nothing outside of their tensors: each lies against a page that may not be touched.
//!
//! Sizes run over every tail of the vector widths; a touch outside ends the program by a signal.

#![cfg(unix)]

use attention::mask::{Alignment, Mask};
use attention::variant::Parameters;
use attention::{
    Attention, Bias, Feature, Gradients, Output, OutputMut, Problem, Scratch, Workers,
};
use attention_blocked::BLOCKED;
use ndarray::{ArrayView3, ArrayView4, ArrayViewMut3, ArrayViewMut4};

/// Which end of a tensor lies against a page that may not be touched.
#[derive(Debug, Clone, Copy)]
enum Side {
    First,
    Last,
}

/// Pages of floats between two that may not be touched.
struct Guarded {
    map: *mut libc::c_void,
    bytes: usize,
    page: usize,
}

impl Guarded {
    fn new(floats: usize) -> Self {
        // SAFETY: a query without arguments to uphold.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let bytes = (4 * floats).next_multiple_of(page);
        // SAFETY: a new mapping at an address of the system's choice.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes + 2 * page,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        // SAFETY: the pages between the first and the last of the mapping made above.
        let opened = unsafe {
            libc::mprotect(
                map.byte_add(page),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        assert_eq!(opened, 0);
        Self { map, bytes, page }
    }

    /// `n` floats against the page before, or the one after, filled by their place.
    fn floats(&mut self, n: usize, side: Side, fill: impl Fn(usize) -> f32) -> &mut [f32] {
        assert!(4 * n <= self.bytes);
        let skip = match side {
            Side::First => self.page,
            Side::Last => self.page + self.bytes - 4 * n,
        };
        // SAFETY: 4n bytes of the opened pages, zeroed by the system or written as floats, and
        // borrowed from their only owner.
        let floats =
            unsafe { std::slice::from_raw_parts_mut(self.map.byte_add(skip).cast::<f32>(), n) };
        floats
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x = fill(i));
        floats
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, whose slices cannot outlive this.
        unsafe { libc::munmap(self.map, self.bytes + 2 * self.page) };
    }
}

/// Nq, Nk, D, Dv.
type Sizes = [usize; 4];

const HEADS: usize = 2;

/// Every D and Dv of 1 to 70 and the larger ones that kernels are tuned for, with query and key
/// counts on either side of the widths of vectors and tiles.
fn sizes() -> impl Iterator<Item = Sizes> {
    let widths = (1..=70).chain([96, 128, 256]);
    widths.enumerate().flat_map(|(n, d)| {
        let counts = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 64, 65, 100, 130];
        let pick = |m: usize| counts[m % counts.len()];
        [
            [pick(n), pick(3 * n + 5), d, d],
            [pick(5 * n + 1), pick(n + 2), d, 1 + (7 * n) % 71],
            [pick(n + 9), pick(7 * n), 1 + (11 * n) % 71, d],
        ]
    })
}

/// One region a tensor, large enough for all sizes.
struct Regions([Guarded; 7]);

impl Regions {
    fn new() -> Self {
        Self([(); 7].map(|()| Guarded::new(HEADS * 130 * 256)))
    }

    /// Forward, and backward where there is one, with every tensor against a forbidden page: the same
    /// answers as without.
    fn hold(
        &mut self,
        attention: &dyn Attention,
        sizes: Sizes,
        side: Side,
        mask: &Mask,
        biased: bool,
    ) {
        let [nq, nk, d, dv] = sizes;
        let [q, k, v, bias, o, lse, d_o] = &mut self.0;
        let wave = |salt: usize| move |i: usize| ((i * 37 + salt * 101) % 97) as f32 / 48.0 - 1.0;
        let q = q.floats(HEADS * nq * d, side, wave(1));
        let k = k.floats(HEADS * nk * d, side, wave(2));
        let v = v.floats(HEADS * nk * dv, side, wave(3));
        let bias = bias.floats(HEADS * nq * nk, side, wave(4));
        let o = o.floats(HEADS * nq * dv, side, |_| f32::NAN);
        let lse = lse.floats(HEADS * nq, side, |_| f32::NAN);
        let d_o = d_o.floats(HEADS * nq * dv, side, wave(5));
        let (q_shape, o_shape) = ((1, HEADS, nq, d), (1, HEADS, nq, dv));

        let [q, k, v, d_o] = [
            ArrayView4::from_shape(q_shape, q),
            ArrayView4::from_shape((1, HEADS, nk, d), k),
            ArrayView4::from_shape((1, HEADS, nk, dv), v),
            ArrayView4::from_shape(o_shape, d_o),
        ]
        .map(|view| view.expect("as many floats as the shape has"));
        let bias = ArrayView3::from_shape((HEADS, nq, nk), bias).expect("H·Nq·Nk floats");
        let (plain_q, plain_k, plain_v) = (q.to_owned(), k.to_owned(), v.to_owned());
        let pose = |q, k, v| {
            let problem = Problem::new(q, k, v).and_then(|p| p.with_mask(mask.clone()));
            let problem = problem.expect("a problem that fits");
            if biased {
                problem
                    .with_bias(Bias::Dense(bias))
                    .expect("a bias that fits")
            } else {
                problem
            }
        };
        let guarded = pose(q, k, v);
        let plain = pose(plain_q.view(), plain_k.view(), plain_v.view());
        let (workers, mut scratch) = (Workers::serial(), Scratch::new());

        let out = OutputMut {
            o: ArrayViewMut4::from_shape(o_shape, &mut *o).expect("H·Nq·Dv floats"),
            lse: Some(ArrayViewMut3::from_shape((1, HEADS, nq), &mut *lse).expect("H·Nq floats")),
        };
        attention
            .forward(&guarded, out, &workers, &mut scratch)
            .expect("an answer");
        let mut expected = Output::poisoned(plain.geometry(), true);
        attention
            .forward(&plain, expected.view_mut(), &workers, &mut scratch)
            .expect("an answer");
        let bits = |x: &f32| x.to_bits();
        assert!(
            o.iter().map(bits).eq(expected.o.iter().map(bits)),
            "O of {sizes:?} {side:?}"
        );
        let lse = lse.iter().map(bits);
        assert!(
            lse.eq(expected.lse.iter().flatten().map(bits)),
            "L of {sizes:?} {side:?}"
        );

        if attention.capabilities().has(Feature::Backward) {
            let [mut found, mut wanted] = [(); 2].map(|()| Gradients::zeros(&plain));
            attention
                .backward(&guarded, &expected, d_o, &mut found, &workers, &mut scratch)
                .and_then(|()| {
                    let d_o = d_o.to_owned();
                    attention.backward(
                        &plain,
                        &expected,
                        d_o.view(),
                        &mut wanted,
                        &workers,
                        &mut scratch,
                    )
                })
                .expect("gradients");
            assert_eq!(found, wanted, "gradients of {sizes:?} {side:?}");
        }
    }
}

fn hold(isa: &str) {
    let mut parameters = Parameters::defaults(BLOCKED.parameters);
    let parameter = BLOCKED
        .parameters
        .iter()
        .find(|p| p.name == "isa")
        .expect("its name");
    parameters.set(
        parameter.name,
        parameter.accept(isa).expect("one of its words"),
    );
    let Ok(attention) = (BLOCKED.build)(&parameters) else {
        println!("skipped: this machine has no {isa}");
        return;
    };
    let mut regions = Regions::new();
    for (n, sizes) in sizes().enumerate() {
        for side in [Side::First, Side::Last] {
            let mask = match n % 3 {
                0 => Mask::full(),
                1 => Mask::causal(Alignment::BottomRight),
                _ => Mask::window(5),
            };
            regions.hold(attention.as_ref(), sizes, side, &mask, n % 2 == 0);
        }
    }
}

#[test]
fn avx512_stays_inside() {
    hold("avx512");
}

#[test]
fn avx2_stays_inside() {
    hold("avx2");
}

#[test]
fn portable_stays_inside() {
    hold("portable");
}
