//! The walk over queries, with the state of the keys before them: dQ, and what the keys need.

use super::Sources;
use super::pass::{Pass, squares};
use super::store::Store;
use crate::feature::kernels::{
    Ahead, LANES, add_dots, add_product, add_running_dots, are_finite, rows, rows_mut, scale_rows,
    transpose,
};
use crate::feature::map::CHUNK;
use crate::feature::plan::{Chunk, Task};
use crate::feature::scan::{ahead, load, triangle};
use crate::feature::sheet::Sheet;
use crate::feature::units;
use attention::Head;
use std::ops::Range;

/// Writes dQ of a task's queries, when the keys before it are in the state; where all see the same
/// keys, their sums for these as well.
pub(super) fn walk(
    pass: &mut Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    task: &Task<'_>,
    store: &mut Store<'_>,
    dq: &Sheet<'_>,
) {
    let history = task.history;
    let Some(lead) = sources.heads(task).next() else {
        return;
    };
    let queries = history.segment(task.segment);
    for head in sources.heads(task) {
        dq.clear(head.sequence, head.head, history.blind(queries.clone()));
    }
    store.learned.fill(0.0);
    let mut turned = false;
    for (n, chunk) in history.chunks(task.segment) {
        absorb(pass, &lead, chunk.held..chunk.known);
        turned &= chunk.held == chunk.known;
        let (ends, inside) = (&history.ends(&chunk)[..chunk.count], chunk.inside());
        let whole = inside.is_empty() || load_chunk(pass, sources, task, &lead, &chunk, ends[0]);
        store.note(n, whole, pass.state.tops);
        let row = chunk.first - queries.start;
        if whole {
            if !turned {
                pass.turn();
            }
            turned = inside.is_empty();
            for (h, head) in sources.heads(task).enumerate() {
                let place = (h, row, chunk.first);
                answer(
                    pass,
                    sources,
                    &head,
                    place,
                    (ends, inside.clone()),
                    store,
                    dq,
                );
                if history.all_see_the_same() {
                    let (_, d_totals) = store.rows(h, row, chunk.count);
                    let next = gradients_ahead(pass, sources, &head, chunk.queries());
                    pass.add_queries(d_totals, true, next);
                }
            }
            if !inside.is_empty() {
                pass.absorb_loaded(inside.len(), Ahead::NONE);
                if pass.is_logarithmic() {
                    pass.state.raise(pass.peaks);
                }
            }
        } else {
            turned = false;
            let mut known = inside.start;
            for (r, &end) in ends.iter().enumerate() {
                absorb(pass, &lead, known..end);
                known = end;
                pass.turn();
                for (h, head) in sources.heads(task).enumerate() {
                    let place = (h, row + r, chunk.first + r);
                    answer(pass, sources, &head, place, (&[end], end..end), store, dq);
                }
            }
        }
    }
    pass.behind.tops.copy_from_slice(pass.state.tops);
    let columns = &mut store.columns;
    if !columns.is_empty() {
        pass.state.copy_to(columns);
    }
}

/// Adds keys to the state.
pub(super) fn absorb(pass: &mut Pass<'_, '_>, head: &Head<'_>, keys: Range<usize>) {
    let mut at = keys.start;
    while at < keys.end {
        let n = CHUNK.min(keys.end - at);
        pass.load_keys(head, at..at + n);
        if pass.is_logarithmic() {
            raise(pass, n);
            pass.exponentiate(n);
        }
        let next = at + CHUNK..keys.end.min(at + 2 * CHUNK);
        let next = ahead(head.k, next.clone()).and(ahead(head.v, next));
        pass.absorb_loaded(n, next);
        at += n;
    }
}

/// Raises the units to what the first `n` loaded keys need.
fn raise(pass: &mut Pass<'_, '_>, n: usize) {
    let phi = rows(pass.phi_k, pass.sizes.feature());
    units::peaks(pass.engine.isa, phi, n, pass.peaks);
    pass.state.raise(pass.peaks);
}

/// Loads the keys inside a chunk; `false` where it must go token by token: as in forward, and where a
/// query or its gradient is not finite, which would reach keys that it does not see.
fn load_chunk(
    pass: &mut Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    task: &Task<'_>,
    lead: &Head<'_>,
    chunk: &Chunk,
    seen: usize,
) -> bool {
    let (isa, s, keys) = (pass.engine.isa, pass.sizes, chunk.inside());
    let n = keys.len();
    for head in sources.heads(task) {
        let queries = chunk.queries();
        let d_o = sources.d_o(&head);
        if !load(isa, head.q, queries.clone(), pass.x_q, s.token())
            || !load(isa, d_o, queries, pass.g, s.value())
        {
            return false;
        }
    }
    let finite = pass.load_keys(lead, keys.clone());
    let phi = rows(pass.phi_k, s.feature());
    if !finite || !are_finite(isa, phi, (n, s.width())) {
        return false;
    }
    if pass.is_logarithmic() {
        raise(pass, seen.saturating_sub(keys.start));
        units::peaks(isa, rows(pass.phi_k, s.feature()), n, pass.peaks);
        if units::outgrow(pass.peaks, pass.state.tops, s.width()) {
            return false;
        }
        pass.exponentiate(n);
    }
    let v = rows(pass.v, s.value());
    transpose(isa, v, (n, s.dv), rows_mut(pass.v_across, CHUNK));
    true
}

/// What the chunk behind these queries needs of dO and O.
fn gradients_ahead(
    pass: &Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    head: &Head<'_>,
    queries: Range<usize>,
) -> Ahead {
    let next = queries.end..queries.end + queries.len();
    let gradient = ahead(sources.d_o(head), next.clone());
    if pass.engine.extent.normaliser.divides_rows() {
        gradient.and(ahead(sources.o(head), next))
    } else {
        gradient
    }
}

/// dQ of queries from `first` on that see keys up to `ends`, of which `inside` are loaded and those
/// before are in the state.
fn answer(
    pass: &mut Pass<'_, '_>,
    sources: &Sources<'_, '_>,
    head: &Head<'_>,
    (h, row, first): (usize, usize, usize),
    (ends, inside): (&[usize], Range<usize>),
    store: &mut Store<'_>,
    dq: &Sheet<'_>,
) {
    let (isa, s, n) = (pass.engine.isa, pass.sizes, ends.len());
    let mut seen = [0; CHUNK];
    ends.iter()
        .zip(&mut seen)
        .for_each(|(e, s)| *s = e - inside.start);
    let seen = &seen[..n];
    let held = pass.engine.extent.normaliser.divides_rows();
    if squares(pass.engine, &[]).is_some() {
        pass.running.copy_from_slice(pass.state.features);
    }
    let running = std::mem::take(&mut pass.running);
    pass.load_queries(head, first, ends, squares(pass.engine, running));
    pass.running = running;

    let (factors, d_totals) = store.rows(h, row, n);
    factors.fill(pass.engine.factor);
    d_totals.fill(0.0);
    let queries = first..first + n;
    let d_o = sources.d_o(head);
    load(isa, d_o, queries.clone(), pass.g, s.value());
    if held {
        let mut totals = [0.0; CHUNK];
        let totals = &mut totals[..n];
        let phi_q = rows(pass.phi_q, s.feature());
        add_dots(
            isa,
            phi_q,
            rows(pass.state.features, 0),
            s.feature(),
            totals,
        );
        if !inside.is_empty() {
            let phi = (phi_q, rows(pass.phi_k, s.feature()));
            add_running_dots(isa, phi, seen, pass.running, totals);
        }
        load(isa, sources.o(head), queries.clone(), pass.o, s.value());
        let (g, o) = (rows(pass.g, s.value()), rows(pass.o, s.value()));
        add_dots(isa, g, o, s.value(), d_totals);
        for ((factor, d_total), &total) in factors.iter_mut().zip(d_totals.iter_mut()).zip(&*totals)
        {
            let (total, guarded) = pass.engine.extent.normaliser.guard(total);
            *factor /= total;
            // A guarded sum is a constant.
            *d_total = if guarded { 0.0 } else { -*d_total / total };
        }
    }
    scale_rows(isa, rows_mut(pass.g, s.value()), factors, s.value());
    let of_queries = ahead(head.q, queries.end..queries.end + n);
    let slots = dq.ahead(head.sequence, head.head, first, n);
    pass.through_state(false, d_totals, of_queries.and(slots));
    if !inside.is_empty() {
        let mut sums = [0.0; CHUNK];
        let next = gradients_ahead(pass, sources, head, queries);
        let g = rows(pass.g, s.value());
        triangle(
            isa,
            (g, rows(pass.v_across, CHUNK), s.dv),
            seen,
            (pass.d_products, d_totals, &mut sums),
            next,
        );
        for (group, seen) in seen.chunks(LANES).enumerate() {
            let (at, steps) = (group * LANES, seen.last().copied().unwrap_or(0));
            add_product(
                isa,
                rows(pass.d_products, CHUNK).from(at).left(),
                rows(pass.phi_k, s.feature()),
                (seen.len(), steps, s.feature()),
                rows_mut(&mut pass.d_phi[at * s.feature()..], s.feature()),
                Ahead::NONE,
            );
        }
    }
    let running = std::mem::take(&mut pass.running);
    let columns = squares(pass.engine, running);
    pass.finish_queries((head, first, ends), columns, store.learned, dq);
    pass.running = running;
}
