//! The walk back over blocks of keys, with the sums over the queries far from them: dK and dV.

use super::super::blocks;
use super::Given;
use super::pass::Pass;
use crate::feature::kernels::{
    Ahead, add_product, add_weighted_columns, rows, rows_mut, scale_rows, scale_rows_to,
    set_product,
};
use crate::feature::map::{CHUNK, Side};
use crate::feature::plan::History;
use crate::feature::sheet::Sheet;
use ::attention::Head;

/// Writes dK and dV of a history, when the walk over its queries has left their rows.
pub(super) fn walk<'h>(
    pass: &mut Pass<'_>,
    given: &Given<'_, '_>,
    history: &History<'_>,
    heads: impl Iterator<Item = Head<'h>> + Clone,
    (dk, dv): (&Sheet<'_>, &Sheet<'_>),
) {
    let Some(lead) = heads.clone().next() else {
        return;
    };
    let (sequence, key_head) = (lead.sequence, pass.tokens.key_head());
    for sheet in [dk, dv] {
        sheet.clear(sequence, key_head, history.keys()..history.mask.keys());
    }
    pass.state.clear();
    let (count, near) = (blocks::count(history), pass.rule.near());
    for block in (0..count).rev() {
        let is_far = block + near < count;
        if is_far {
            add_far_queries(pass, given, history, heads.clone(), block + near);
        }
        let keys = blocks::keys(history, block);
        let (s, n) = (pass.sizes.state, keys.len());
        pass.load_keys(&lead, keys.clone());
        pass.dx[..n * s.token()].fill(0.0);
        pass.dy[..n * pass.sizes.row()].fill(0.0);
        if is_far {
            pass.expand(Side::Key, n);
            let state = rows(pass.state.values, s.value());
            let sizes = (n, s.width(), s.value());
            let phi = rows(pass.phi, s.feature()).left();
            let to = rows_mut(pass.o, s.value());
            set_product(pass.isa, phi, state, sizes, to, Ahead::NONE);
            pass.turn();
            pass.through_state(Side::Key, &[1.0; CHUNK][..n], None);
        } else {
            pass.o[..n * s.value()].fill(0.0);
        }
        for ends in block..(block + near).min(count) {
            add_near_queries(pass, given, history, heads.clone(), (block, ends));
        }
        if pass.is_exact() {
            let scale = pass.scale;
            pass.dx[..n * s.token()]
                .iter_mut()
                .for_each(|dx| *dx *= scale);
        }
        let given = (&*pass.x_k, &mut *pass.dy);
        pass.tokens
            .pull_back(Side::Key, n, given, pass.dx, pass.learned);
        let ones = &[1.0; CHUNK][..n];
        for (sheet, from, stride, width) in [
            (dk, &*pass.dx, s.token(), s.d),
            (dv, &*pass.o, s.value(), s.dv),
        ] {
            let to = sheet.row(sequence, key_head, keys.start, n);
            // SAFETY: the sheet has checked the rows, and this task alone writes them.
            #[allow(unsafe_code)]
            unsafe {
                scale_rows_to(pass.isa, rows(from, stride), ones, width, to);
            }
        }
    }
}

/// Adds the queries that end in a block to the sums.
fn add_far_queries<'h>(
    pass: &mut Pass<'_>,
    given: &Given<'_, '_>,
    history: &History<'_>,
    heads: impl Iterator<Item = Head<'h>> + Clone,
    block: usize,
) {
    let s = pass.sizes.state;
    for run in blocks::runs(history, block) {
        let n = run.count();
        for (h, head) in heads.clone().enumerate() {
            let place = h * history.mask.queries() + run.queries.start;
            load(pass, given, &head, &run, place);
            pass.expand(Side::Query, n);
            if pass.is_exact() {
                let mut factors = [1.0; CHUNK];
                let units = pass.units[place..place + n].iter();
                let pairs = factors.iter_mut().zip(units);
                pairs.for_each(|(factor, unit)| *factor = (-unit).exp2());
                let phi = rows_mut(pass.phi, s.feature());
                scale_rows(pass.isa, phi, &factors[..n], s.feature());
            }
            let phi = rows(pass.phi, s.feature());
            add_product(
                pass.isa,
                phi.transposed(),
                rows(pass.g, s.value()),
                (s.width(), n, s.value()),
                rows_mut(pass.state.values, s.value()),
                Ahead::NONE,
            );
            let deltas = &pass.deltas[place..place + n];
            add_weighted_columns(pass.isa, phi, deltas, pass.state.features);
        }
    }
}

/// Adds to the gradients of the loaded keys of a block what the queries bring that end in a block near
/// to it.
fn add_near_queries<'h>(
    pass: &mut Pass<'_>,
    given: &Given<'_, '_>,
    history: &History<'_>,
    heads: impl Iterator<Item = Head<'h>> + Clone,
    (block, ends): (usize, usize),
) {
    for run in blocks::runs(history, ends) {
        let n = run.count();
        let seen = run.seen(block * CHUNK, CHUNK);
        for (h, head) in heads.clone().enumerate() {
            let place = h * history.mask.queries() + run.queries.start;
            load(pass, given, &head, &run, place);
            let (mut units, mut deltas) = ([0.0; CHUNK], [0.0; CHUNK]);
            units[..n].copy_from_slice(&pass.units[place..place + n]);
            deltas[..n].copy_from_slice(&pass.deltas[place..place + n]);
            let mut totals = [0.0; CHUNK];
            pass.score(&seen[..n], 0);
            pass.weigh(&seen[..n], &units, &mut totals);
            pass.score_gradients(&seen[..n], 0, &deltas[..n]);
            pass.add_to_keys(&seen[..n]);
        }
    }
}

/// Loads queries and G.
fn load(
    pass: &mut Pass<'_>,
    given: &Given<'_, '_>,
    head: &Head<'_>,
    run: &blocks::Run,
    place: usize,
) {
    pass.load_queries(given, head, run);
    let mut factors = [0.0; CHUNK];
    let own = &mut factors[..run.count()];
    own.copy_from_slice(&pass.factors[place..place + run.count()]);
    pass.scale_gradient(own);
}
