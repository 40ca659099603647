//! Rows of keys or values that grow at the end.

use crate::simd::row_wise::Element;
use ndarray::{ArrayView2, CowArray, Ix2, ShapeBuilder};

/// Keys or values of one history and key head, row after row.
#[derive(Debug, Clone)]
pub(crate) struct Store<E> {
    columns: usize,
    rows: usize,
    /// `[rows, columns]`, rows filled up with zeros to [`Element::PADDING`].
    data: Vec<E>,
    /// `[rows]` where rows are scaled, else empty.
    scales: Vec<f32>,
}

impl<E: Element> Store<E> {
    /// Rounds and copies; exact in size until something is appended.
    pub(crate) fn of(rows: ArrayView2<'_, f32>) -> Self {
        let mut store = Self {
            columns: rows.ncols(),
            rows: 0,
            data: Vec::new(),
            scales: Vec::new(),
        };
        store.data.reserve_exact(rows.nrows() * store.stride());
        if E::SCALED {
            store.scales.reserve_exact(rows.nrows());
        }
        store.append(rows);
        store
    }

    /// Cost: amortised O(rows · columns).
    pub(crate) fn append(&mut self, rows: ArrayView2<'_, f32>) {
        let stride = self.stride();
        let start = self.data.len();
        self.data
            .resize(start + rows.nrows() * stride, E::default());
        let added = self.data[start..].chunks_exact_mut(stride.max(1));
        for (row, to) in rows.outer_iter().zip(added) {
            let scale = E::round(row, &mut to[..self.columns]);
            if E::SCALED {
                self.scales.push(scale);
            }
        }
        self.rows += rows.nrows();
        // Rows without columns have no chunk above, but a factor each all the same.
        self.scales
            .resize(if E::SCALED { self.rows } else { 0 }, 0.0);
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn view(&self) -> ArrayView2<'_, E> {
        let shape = (self.rows, self.columns).strides((self.stride(), 1));
        ArrayView2::from_shape(shape, &self.data).expect("data holds `rows` rows of a stride")
    }

    pub(crate) fn scales(&self) -> Option<&[f32]> {
        E::SCALED.then_some(&self.scales)
    }

    /// All rows as f32; copied unless they are.
    pub(crate) fn wide(&self) -> CowArray<'_, f32, Ix2> {
        E::wide(self.view(), &self.scales)
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.data.capacity() * size_of::<E>() + self.scales.capacity() * size_of::<f32>()) as u64
    }

    fn stride(&self) -> usize {
        self.columns.next_multiple_of(E::PADDING)
    }
}
