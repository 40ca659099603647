//! The walk over queries, with the state of the keys far from them: dQ, and what the keys need.

use super::super::blocks::{self, Run};
use super::super::kernels::peaks;
use super::Given;
use super::pass::Pass;
use crate::feature::kernels::{Ahead, add_dots, rows, scale_rows_to};
use crate::feature::map::{CHUNK, Normaliser, Side};
use crate::feature::plan::History;
use crate::feature::scan::load;
use crate::feature::sheet::Sheet;
use ::attention::Head;

/// Writes dQ of a history in the heads of a group.
pub(super) fn walk<'h>(
    pass: &mut Pass<'_>,
    given: &Given<'_, '_>,
    history: &History<'_>,
    heads: impl Iterator<Item = Head<'h>> + Clone,
    dq: &Sheet<'_>,
) {
    let Some(lead) = heads.clone().next() else {
        return;
    };
    for head in heads.clone() {
        dq.clear(head.sequence, head.head, 0..blocks::first(history, 0));
    }
    let mut held = 0;
    for block in 0..blocks::count(history) {
        for (n, run) in blocks::runs(history, block).enumerate() {
            if n == 0 {
                while held < pass.rule.first_near(block) {
                    absorb(pass, &lead, history, held);
                    held += 1;
                }
                pass.turn();
            }
            for (h, head) in heads.clone().enumerate() {
                let place = h * history.mask.queries() + run.queries.start;
                answer(pass, given, (&lead, &head), (&run, block, place), history);
                let (s, n) = (pass.sizes.state, run.count());
                let to = dq.row(head.sequence, head.head, run.queries.start, n);
                let dx = rows(pass.dx, s.token());
                // SAFETY: the sheet has checked the rows, and this task alone writes them.
                #[allow(unsafe_code)]
                unsafe {
                    scale_rows_to(pass.isa, dx, &[1.0; CHUNK][..n], s.d, to);
                }
            }
        }
    }
}

/// Adds a block of keys to the state.
fn absorb(pass: &mut Pass<'_>, lead: &Head<'_>, history: &History<'_>, block: usize) {
    let keys = blocks::keys(history, block);
    let n = keys.len();
    pass.load_keys(lead, keys);
    pass.expand(Side::Key, n);
    let floats = CHUNK * pass.sizes.state.feature();
    let keys_and_values = (&pass.phi[..floats], &*pass.v, n);
    pass.state
        .absorb(pass.isa, keys_and_values, Normaliser::RowSum, Ahead::NONE);
}

/// dQ of a run of queries that end in a block, in `dx`; keeps 1/den, δ and units from `place` on.
fn answer(
    pass: &mut Pass<'_>,
    given: &Given<'_, '_>,
    (lead, head): (&Head<'_>, &Head<'_>),
    (run, block, place): (&Run, usize, usize),
    history: &History<'_>,
) {
    let (isa, s, n) = (pass.isa, pass.sizes, run.count());
    let (value, feature) = (s.state.value(), s.state.feature());
    let first = pass.rule.first_near(block);
    pass.load_queries(given, head, run);
    let (mut totals, mut units, mut far_factors) = ([0.0; CHUNK], [0.0; CHUNK], [1.0; CHUNK]);
    let (totals, units) = (&mut totals[..n], &mut units[..n]);
    if first > 0 {
        pass.expand(Side::Query, n);
        let state = rows(pass.state.features, 0);
        add_dots(isa, rows(pass.phi, feature), state, feature, totals);
    }
    let seen = run.seen(first * CHUNK, s.near);
    let seen = &seen[..n];
    for near in first..=block {
        pass.load_keys(lead, blocks::keys(history, near));
        pass.score(seen, (near - first) * CHUNK);
    }
    if pass.is_exact() {
        let least = if first > 0 { 0.0 } else { f32::NEG_INFINITY };
        peaks(isa, pass.weights, s.near, seen, least, units);
        for (r, unit) in units.iter().enumerate() {
            far_factors[r] = (-unit).exp2();
            totals[r] *= if first > 0 { far_factors[r] } else { 1.0 };
        }
    }
    pass.weigh(seen, units, totals);
    let (mut factors, mut deltas) = ([0.0; CHUNK], [0.0; CHUNK]);
    let (factors, deltas) = (&mut factors[..n], &mut deltas[..n]);
    let o = given.of_queries(&given.o, head);
    load(isa, o, run.queries.clone(), pass.o, value);
    add_dots(isa, rows(pass.g, value), rows(pass.o, value), value, deltas);
    for r in 0..n {
        let (total, guarded) = Normaliser::RowSum.guard(totals[r]);
        factors[r] = 1.0 / total;
        // A guarded sum is a constant.
        deltas[r] = if guarded { 0.0 } else { -deltas[r] / total };
    }
    pass.factors[place..place + n].copy_from_slice(factors);
    pass.deltas[place..place + n].copy_from_slice(deltas);
    pass.units[place..place + n].copy_from_slice(units);
    pass.scale_gradient(factors);

    pass.dx[..n * s.state.token()].fill(0.0);
    pass.dy[..n * s.row()].fill(0.0);
    for near in first..=block {
        if first < block {
            pass.load_keys(lead, blocks::keys(history, near));
        }
        let column = (near - first) * CHUNK;
        pass.score_gradients(seen, column, deltas);
        pass.add_to_queries(seen, column);
    }
    if pass.is_exact() {
        let scale = pass.scale;
        pass.dx[..n * s.state.token()]
            .iter_mut()
            .for_each(|dx| *dx *= scale);
    }
    if first > 0 {
        pass.through_state(Side::Query, deltas, Some(&far_factors[..n]));
    }
    let given = (&*pass.x_q, &mut *pass.dy);
    pass.tokens
        .pull_back(Side::Query, n, given, pass.dx, pass.learned);
}
