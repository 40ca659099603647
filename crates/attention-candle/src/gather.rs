//! Rows of an embedding table, and the scatter-add that their gradients need.

use crate::dropout::{Drop, Thin};
use crate::engine::Engine;
use crate::error::{Result, expect, expect_rows};
use crate::numeric::{ROWS, add_scaled};
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use std::sync::Arc;

/// Rows `[T, D]` of `table` `[I, D]`.
///
/// Cost: one copy of the rows; backward writes a gradient of the whole table, so that callers with a large
/// table gather the rows of a batch once, by hand, and differentiate by those.
///
/// # Errors
/// [`Error::Row`](crate::Error::Row) for an index beyond the table.
pub fn gather(engine: &Engine, table: &Tensor, ids: impl Into<Arc<[u32]>>) -> Result<Tensor> {
    Embed::new(engine, ids).forward(table)
}

/// drop(scale·table\[id\] + positions\[place\]) in one pass: the input of a sequence model.
#[derive(Debug, Clone)]
pub struct Embed {
    engine: Engine,
    ids: Arc<[u32]>,
    scale: f32,
    drop: Drop,
}

impl Embed {
    /// The rows as they are.
    #[must_use]
    pub fn new(engine: &Engine, ids: impl Into<Arc<[u32]>>) -> Self {
        Self {
            engine: engine.clone(),
            ids: ids.into(),
            scale: 1.0,
            drop: Drop::NONE,
        }
    }

    /// With rows multiplied by `scale`: √D in Vaswani et al. 2017, section 3.4.
    #[must_use]
    pub fn with_scale(mut self, scale: f32) -> Self {
        self.scale = scale;
        self
    }

    /// With dropout behind the sum.
    #[must_use]
    pub fn with_drop(mut self, drop: Drop) -> Self {
        self.drop = drop;
        self
    }

    /// Rows `[T, D]` of `table` `[I, D]`.
    ///
    /// # Errors
    /// [`Error::Row`](crate::Error::Row) for an index beyond the table.
    pub fn forward(self, table: &Tensor) -> Result<Tensor> {
        let (table, count, width) = rows("gather", table)?;
        expect_rows("gather", &self.ids, count)?;
        let op = Gather {
            embed: self,
            places: [].into(),
            width,
        };
        let engine = op.embed.engine.clone();
        Ok(engine.apply(Node::One([table], Box::new(op)))?)
    }

    /// As [`forward`](Self::forward), plus the rows `places` `[T]` of `positions` `[L, D]`.
    ///
    /// # Errors
    /// [`Error::Row`](crate::Error::Row) for an index beyond a table, [`Error::Shape`](crate::Error::Shape)
    /// where the tables or the numbers of indices differ.
    pub fn forward_at(
        self,
        table: &Tensor,
        positions: &Tensor,
        places: impl Into<Arc<[u32]>>,
    ) -> Result<Tensor> {
        let (table, count, width) = rows("gather", table)?;
        let (positions, most, _) = rows("gather", positions)?;
        let places = places.into();
        expect(
            "gather",
            "positions",
            "[L, D]",
            positions.dims(),
            &[most, width],
        )?;
        expect(
            "gather",
            "places",
            "[T]",
            &[places.len()],
            &[self.ids.len()],
        )?;
        expect_rows("gather", &self.ids, count)?;
        expect_rows("gather", &places, most)?;
        let op = Gather {
            embed: self,
            places,
            width,
        };
        let engine = op.embed.engine.clone();
        Ok(engine.apply(Node::Two([table, positions], Box::new(op)))?)
    }
}

struct Gather {
    embed: Embed,
    places: Arc<[u32]>,
    width: usize,
}

impl Gather {
    fn forward(&self, table: &[f32], positions: &[f32]) -> (CpuStorage, Shape) {
        let Embed {
            engine,
            ids,
            scale,
            drop,
        } = &self.embed;
        let width = self.width;
        let mut y = vec![0.0; ids.len() * width];
        engine.run(y.chunks_mut(ROWS * width).enumerate(), |(block, y)| {
            let first = block * ROWS;
            let places = self.places.get(first..).unwrap_or_default();
            let place = |n: usize| {
                places
                    .get(n)
                    .map(|&p| &positions[p as usize * width..][..width])
            };
            for (n, (y, id)) in y.chunks_exact_mut(width).zip(&ids[first..]).enumerate() {
                let row = &table[*id as usize * width..][..width];
                match place(n) {
                    Some(place) => {
                        for ((y, row), place) in y.iter_mut().zip(row).zip(place) {
                            *y = scale * row + place;
                        }
                    }
                    None => y.iter_mut().zip(row).for_each(|(y, row)| *y = scale * row),
                }
            }
            if !drop.is_none() {
                pulp::Arch::new().dispatch(Thin {
                    drop: *drop,
                    first,
                    width,
                    y,
                });
            }
        });
        output(y, (ids.len(), width))
    }

    /// Gradients of both tables.
    fn backward(
        &self,
        rows: (usize, usize),
        dy: &Tensor,
    ) -> candle_core::Result<(Vec<f32>, Vec<f32>)> {
        let Embed {
            engine,
            ids,
            scale,
            drop,
        } = &self.embed;
        let width = self.width;
        let mut dy = floats(&dy.contiguous()?)?.to_vec();
        if !drop.is_none() {
            engine.run(dy.chunks_mut(ROWS * width).enumerate(), |(block, y)| {
                let first = block * ROWS;
                pulp::Arch::new().dispatch(Thin {
                    drop: *drop,
                    first,
                    width,
                    y,
                });
            });
        }
        let mut tables = (vec![0.0; rows.0 * width], vec![0.0; rows.1 * width]);
        scatter_add(engine, ids, &dy, *scale, &mut tables.0);
        scatter_add(engine, &self.places, &dy, 1.0, &mut tables.1);
        Ok(tables)
    }
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(self.forward(input(table, layout)?, &[]))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (dtable, _) = self.backward((table.elem_count() / self.width, 0), dy)?;
        like(dtable, table).map(Some)
    }
}

impl CustomOp2 for Gather {
    fn name(&self) -> &'static str {
        "gather-at"
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        positions: &CpuStorage,
        positions_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(self.forward(
            input(table, table_layout)?,
            input(positions, positions_layout)?,
        ))
    }

    fn bwd(
        &self,
        table: &Tensor,
        positions: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = (
            table.elem_count() / self.width,
            positions.elem_count() / self.width,
        );
        let (dtable, dpositions) = self.backward(rows, dy)?;
        Ok((
            Some(like(dtable, table)?),
            Some(like(dpositions, positions)?),
        ))
    }
}

/// table\[ids\[t\]\] += scale·rows\[t\], for t in order: rows `[T, D]`, table `[I, D]`.
///
/// Each worker takes a range of the table's rows and reads all the ids, so that the order of a row's
/// additions is that of the ids whatever the number of workers.
pub fn scatter_add(engine: &Engine, ids: &[u32], rows: &[f32], scale: f32, table: &mut [f32]) {
    let Some(width) = rows.len().checked_div(ids.len()).filter(|&width| width > 0) else {
        return;
    };
    let each = (table.len() / width)
        .div_ceil(engine.workers().threads())
        .max(1);
    let parts = table.chunks_mut(each * width).enumerate();
    engine.run(parts, |(part, table)| {
        let (first, count) = (part * each, table.len() / width);
        for (&id, row) in ids.iter().zip(rows.chunks_exact(width)) {
            let Some(at) = (id as usize).checked_sub(first).filter(|&at| at < count) else {
                continue;
            };
            add_scaled(scale, row, &mut table[at * width..][..width]);
        }
    });
}
