//! The walk back over keys, with the sums over the queries behind them: dK and dV.

use super::Sources;
use super::pass::{Pass, add_triangle_across, squares};
use super::store::Store;
use crate::feature::kernels::{Ahead, rows, rows_mut, set_product, transpose};
use crate::feature::map::{CHUNK, LEAST_NORM};
use crate::feature::plan::{Chunk, Task};
use crate::feature::scan::{ahead, triangle};
use crate::feature::sheet::Sheet;
use crate::feature::state::{Sizes, State};
use crate::feature::units;
use attention::Head;
use std::ops::Range;

/// dK and dV.
pub(super) type Sheets<'a, 's> = (&'a Sheet<'s>, &'a Sheet<'s>);

/// Adds a task's queries to the state, and writes dK and dV of the keys that are first seen by them,
/// when the state holds the queries behind; without sheets it adds up alone.
pub(super) fn walk(
    pass: &mut Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    task: &Task<'_>,
    store: &mut Store<'_>,
    sheets: Option<Sheets<'_, '_>>,
) {
    let history = task.history;
    let Some(lead) = sources.heads(task).next() else {
        return;
    };
    let start = history.segment(task.segment).start;
    for (n, chunk) in history.chunks(task.segment).rev() {
        let ends = &history.ends(&chunk)[..chunk.count];
        let row = chunk.first - start;
        if store.is_whole(n) {
            if let Some(tops) = store.tops(n) {
                pass.state.lower(tops);
            }
            let inside = chunk.inside();
            let inside = sheets.filter(|_| !inside.is_empty()).map(|_| inside);
            if let (Some(keys), Some(sheets)) = (&inside, sheets) {
                load_chunk(pass, &lead, keys.clone(), sheets);
            }
            for (h, head) in sources.heads(task).enumerate() {
                let place = (h, row, chunk.first);
                add(pass, sources, &head, place, (ends, inside.clone()), store);
            }
            if let (Some(keys), Some(sheets)) = (inside, sheets) {
                pass.finish_keys(lead.sequence, keys, store.learned, sheets);
            }
        } else {
            token_by_token(pass, sources, task, (&lead, n, &chunk, ends), store, sheets);
        }
        if let Some(sheets) = sheets {
            before(pass, &lead, chunk.held..chunk.known, store, sheets);
        }
    }
}

/// Loads the keys inside a chunk, and what they have from the queries behind it.
fn load_chunk(
    pass: &mut Pass<'_, '_>,
    lead: &Head<'_>,
    keys: Range<usize>,
    sheets: Sheets<'_, '_>,
) {
    let (isa, s, n) = (pass.engine.isa, pass.sizes, keys.len());
    let next = keys.start.saturating_sub(n)..keys.start;
    pass.turn();
    from_state(pass, lead, keys, next, sheets);
    let phi = rows(pass.phi_k, s.feature());
    transpose(isa, phi, (n, s.width()), rows_mut(pass.across, CHUNK));
    let v = rows(pass.v, s.value());
    transpose(isa, v, (n, s.dv), rows_mut(pass.v_across, CHUNK));
}

/// Loads keys; their dφ and dV from the queries in the state, which has been turned. Those that will
/// be loaded `next`, and the rows that will be written, are fetched.
fn from_state(
    pass: &mut Pass<'_, '_>,
    lead: &Head<'_>,
    keys: Range<usize>,
    next: Range<usize>,
    (dk, dv): Sheets<'_, '_>,
) {
    let (isa, s, n) = (pass.engine.isa, pass.sizes, keys.len());
    let slots = |sheet: &Sheet<'_>| sheet.ahead(lead.sequence, pass.key_head, keys.start, n);
    let of_keys = slots(dk).and(ahead(lead.k, next.clone()));
    let of_values = slots(dv).and(ahead(lead.v, next));
    pass.load_keys(lead, keys);
    pass.exponentiate(n);
    set_product(
        isa,
        rows(pass.phi_k, s.feature()).left(),
        rows(pass.state.values, s.value()),
        (n, s.width(), s.value()),
        rows_mut(pass.o, s.value()),
        of_keys,
    );
    pass.through_state(true, &[1.0; CHUNK][..n], of_values);
}

/// Adds queries to the state, and to the gradients of the loaded keys that they see.
fn add(
    pass: &mut Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    head: &Head<'_>,
    (h, row, first): (usize, usize, usize),
    (ends, inside): (&[usize], Option<Range<usize>>),
    store: &mut Store<'_>,
) {
    let (isa, s, n) = (pass.engine.isa, pass.sizes, ends.len());
    let columns = columns_of(pass.sizes, store.columns);
    pass.load_queries(head, first, ends, squares(pass.engine, columns));
    let (factors, d_totals) = store.rows(h, row, n);
    pass.load_gradient(sources.d_o(head), first..first + n, factors);
    if let Some(inside) = inside {
        let mut seen = [0; CHUNK];
        ends.iter()
            .zip(&mut seen)
            .for_each(|(e, s)| *s = e - inside.start);
        let (seen, mut sums) = (&seen[..n], [0.0; CHUNK]);
        let (phi_q, g) = (rows(pass.phi_q, s.feature()), rows(pass.g, s.value()));
        triangle(
            isa,
            (phi_q, rows(pass.across, CHUNK), s.width()),
            seen,
            (pass.products, &[0.0; CHUNK], &mut sums),
            Ahead::NONE,
        );
        triangle(
            isa,
            (g, rows(pass.v_across, CHUNK), s.dv),
            seen,
            (pass.d_products, d_totals, &mut sums),
            Ahead::NONE,
        );
        let engine = pass.engine;
        add_triangle_across(engine, pass.products, seen, (g, s.value()), pass.o);
        add_triangle_across(
            engine,
            pass.d_products,
            seen,
            (phi_q, s.feature()),
            pass.d_phi,
        );
    }
    let next = first.saturating_sub(n)..first;
    let next = ahead(head.q, next.clone()).and(ahead(sources.d_o(head), next));
    pass.add_queries(d_totals, false, next);
}

/// A chunk one query at a time, each before the keys that it is the first to see.
fn token_by_token(
    pass: &mut Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    task: &Task<'_>,
    (lead, n, chunk, ends): (&Head<'_>, usize, &Chunk, &[usize]),
    store: &mut Store<'_>,
    sheets: Option<Sheets<'_, '_>>,
) {
    let feature = pass.sizes.feature();
    let begin = |r: usize| if r == 0 { chunk.known } else { ends[r - 1] };
    if let Some(tops) = store.tops(n) {
        pass.running.copy_from_slice(tops);
        for (r, &end) in ends.iter().enumerate() {
            if begin(r) < end {
                pass.load_keys(lead, begin(r)..end);
                let phi = rows(pass.phi_k, feature);
                units::peaks(pass.engine.isa, phi, end - begin(r), pass.peaks);
                let pairs = pass.running.iter_mut().zip(pass.peaks.iter());
                pairs.for_each(|(top, &peak)| *top = if peak > *top { peak } else { *top });
            }
            pass.across[r * feature..][..feature].copy_from_slice(pass.running);
        }
    }
    let start = task.history.segment(task.segment).start;
    for (r, &end) in ends.iter().enumerate().rev() {
        if store.tops(n).is_some() {
            pass.state.lower(&pass.across[r * feature..][..feature]);
        }
        let first = chunk.first + r;
        for (h, head) in sources.heads(task).enumerate() {
            add(
                pass,
                sources,
                &head,
                (h, first - start, first),
                (&[end], None),
                store,
            );
        }
        if let Some(sheets) = sheets {
            before(pass, lead, begin(r)..end, store, sheets);
        }
    }
}

/// dK and dV of keys that all queries in the state see, and no others.
pub(super) fn before(
    pass: &mut Pass<'_, '_>,
    lead: &Head<'_>,
    keys: Range<usize>,
    store: &mut Store<'_>,
    sheets: Sheets<'_, '_>,
) {
    pass.turn();
    let mut at = keys.start;
    while at < keys.end {
        let n = CHUNK.min(keys.end - at);
        let next = at + n..keys.end.min(at + n + CHUNK);
        from_state(pass, lead, at..at + n, next, sheets);
        if !store.columns.is_empty() {
            add_through_norms(pass, n, store.columns);
        }
        pass.finish_keys(lead.sequence, at..at + n, store.learned, sheets);
        at += n;
    }
}

/// What keys have from the norms of their columns: with S and the sums over queries R, the gradient
/// of column f by its norm c_f is -S_f·R_f/c_f, and that of the norm by φ is φ/c_f.
fn add_through_norms(pass: &mut Pass<'_, '_>, n: usize, columns: &mut [f32]) {
    let s = pass.sizes;
    let keys = State::over(columns, s);
    let stride = s.value();
    for f in 0..s.width() {
        let own = f * stride..f * stride + s.dv;
        let pairs = keys.values[own.clone()].iter().zip(&pass.state.values[own]);
        let dot: f32 = pairs.map(|(x, y)| x * y).sum();
        let squares = keys.features[f];
        pass.running[f] = if squares.sqrt() > LEAST_NORM {
            -dot / squares
        } else {
            0.0
        };
    }
    for r in 0..n {
        for f in 0..s.width() {
            pass.d_phi[r * s.feature() + f] += pass.running[f] * pass.phi_k[r * s.feature() + f];
        }
    }
}

/// Σ φ(k_j)² of a kept state.
fn columns_of(sizes: Sizes, columns: &[f32]) -> &[f32] {
    if columns.is_empty() {
        return columns;
    }
    &columns[sizes.width() * sizes.value()..][..sizes.feature()]
}
