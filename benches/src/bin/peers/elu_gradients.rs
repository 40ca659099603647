//! Gradients of elu+1 attention in f64, in two passes over a history.

use attention::Head;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Below this a normaliser counts as this.
const LEAST_SUM: f64 = 1e-10;

/// dQ `[Nq, D]`, dK `[Nk, D]` and dV `[Nk, Dv]` from dO `[Nq, Dv]`.
///
/// With num = Sᵀφ(q), den = z·φ(q), g = dO/den and e = -(dO·O)/den: dφ(q_i) = S_i g_i + e_i z_i;
/// dφ(k_j) = R_j v_j + r_j and dv_j = R_jᵀ φ(k_j), where R and r are the sums of φ(q_i) g_iᵀ and
/// e_i φ(q_i) over the queries that see key j. O(N·D·Dv).
pub(crate) fn of(head: &Head<'_>, d_o: ArrayView2<'_, f64>) -> [Array2<f64>; 3] {
    let (q, k) = (head.q.mapv(f64::from), head.k.mapv(f64::from));
    let v = head.v.mapv(f64::from);
    let (phi_q, phi_k) = (q.mapv(elu), k.mapv(elu));
    let end = |i: usize| head.mask.span(i).end;

    let mut state = Array2::<f64>::zeros((k.ncols(), v.ncols()));
    let mut total = Array1::<f64>::zeros(k.ncols());
    let (mut dq, mut g) = (Array2::zeros(q.dim()), Array2::zeros(d_o.dim()));
    let mut e = Array1::zeros(q.nrows());
    let mut known = 0;
    for i in 0..q.nrows() {
        for j in known..end(i) {
            add(&mut state, phi_k.row(j), v.row(j));
            total += &phi_k.row(j);
        }
        known = known.max(end(i));
        let sum = phi_q.row(i).dot(&total).max(LEAST_SUM);
        let o = phi_q.row(i).dot(&state) / sum;
        g.row_mut(i).assign(&(&d_o.row(i) / sum));
        e[i] = -d_o.row(i).dot(&o) / sum;
        let d_phi = state.dot(&g.row(i)) + &total * e[i];
        dq.row_mut(i).assign(&(d_phi * q.row(i).mapv(slope)));
    }

    state.fill(0.0);
    total.fill(0.0);
    let (mut dk, mut dv) = (Array2::zeros(k.dim()), Array2::zeros(v.dim()));
    let mut next = q.nrows();
    for j in (0..k.nrows()).rev() {
        while next > 0 && end(next - 1) > j {
            next -= 1;
            add(&mut state, phi_q.row(next), g.row(next));
            total.scaled_add(e[next], &phi_q.row(next));
        }
        let d_phi = state.dot(&v.row(j)) + &total;
        dk.row_mut(j).assign(&(d_phi * k.row(j).mapv(slope)));
        dv.row_mut(j).assign(&phi_k.row(j).dot(&state));
    }
    [dq, dk, dv]
}

/// state += x yᵀ
fn add(state: &mut Array2<f64>, x: ndarray::ArrayView1<'_, f64>, y: ndarray::ArrayView1<'_, f64>) {
    for (mut row, x) in state.axis_iter_mut(Axis(0)).zip(x) {
        row.scaled_add(*x, &y);
    }
}

fn elu(x: f64) -> f64 {
    if x > 0.0 { x + 1.0 } else { x.exp() }
}

fn slope(x: f64) -> f64 {
    if x > 0.0 { 1.0 } else { x.exp() }
}
