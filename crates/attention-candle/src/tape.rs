//! A reverse pass of our own over the fused ops.
//!
//! candle's own way back begins each gradient as zeros and adds to it. From 65 536 numbers on that addition
//! runs on a pool of candle's own, behind one lock, on which the workers that each have a part of a batch wait for
//! each other. A [`Tape`] takes each fused op's output out of candle's graph and walks the ops backwards itself:
//! a gradient with one source is moved, others are added on the thread that walks, in a fixed order. What a
//! model does by candle's ops in between stays with candle.
//!
//! A step of SASRec (D = 50, two blocks, dropout) on two cores, in ms:
//!
//! | histories x events | candle's way back | without its pool (`CANDLE_NUM_THREADS=1`) | a tape |
//! |---|---|---|---|
//! | 128 x 200 | 56 | 53 | 49 |
//! | 32 x 1000 | 250 | 118 | 111 |
//! | 8 x 4096 | 771 | 387 | 324 |

use crate::error::Result;
use crate::numeric::add;
use crate::tensor::{floats, like};
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Layout, Shape, Storage, Tensor, TensorId,
    Var,
};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What the ops of an engine have done, for one reverse pass.
///
/// ```
/// use attention_candle::{Engine, Tape, layer_norm};
/// use candle_core::{DType, Device, Tensor, Var};
/// let tape = Tape::default();
/// let engine = Engine::new(attention::Workers::serial()).with_tape(&tape);
/// let x = Tensor::new(&[[1f32, 2.0, 6.0]], &Device::Cpu)?;
/// let weight = Var::ones((2, 3), DType::F32, &Device::Cpu)?;
/// let loss = layer_norm(&engine, &x, &weight, 1e-5)?.sum_all()?;
/// let gradients = tape.backward(&loss)?;
/// let shift = gradients.get(&weight).map(|g| g.get(1)?.to_vec1::<f32>()).transpose()?;
/// assert_eq!(shift, Some(vec![1.0; 3]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Tape(Arc<Mutex<Vec<Record>>>);

/// A tape as engines know it: ops hold engines, and a tape holds ops.
#[derive(Debug, Clone)]
pub(crate) struct WeakTape(Weak<Mutex<Vec<Record>>>);

struct Record {
    node: Node,
    output: Tensor,
}

impl WeakTape {
    pub(crate) fn upgrade(&self) -> Option<Tape> {
        self.0.upgrade().map(Tape)
    }
}

impl Tape {
    pub(crate) fn downgrade(&self) -> WeakTape {
        WeakTape(Arc::downgrade(&self.0))
    }

    /// Gradients of `loss`, or of its sum, by all variables that it depends on; the tape is empty afterwards.
    ///
    /// Tensors that were made on the tape have no graph of candle's behind them: `loss.backward()` would end at
    /// the last of them.
    ///
    /// # Errors
    /// candle's, and what an op's backward refuses.
    pub fn backward(&self, loss: &Tensor) -> Result<GradStore> {
        let mut records =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut gradients = GradStore::default();
        give(&mut gradients, loss, loss.ones_like()?)?;
        // Ops are noted in the order in which they ran, so that all who used an output come before it. What
        // is done with is freed on the way.
        while let Some(Record { node, output }) = records.pop() {
            let Some(gradient) = gradients.remove(&output) else {
                continue;
            };
            let parts = node.backward(&output, &gradient)?;
            drop((output, gradient));
            for (input, part) in node.inputs().iter().zip(parts) {
                if let Some(part) = part {
                    give(&mut gradients, input, part)?;
                }
            }
        }
        Ok(gradients)
    }

    /// Runs an op; its output is a variable where an input is tracked.
    pub(crate) fn apply(&self, node: Node) -> candle_core::Result<Tensor> {
        let (CpuStorage::F32(data), shape) = node.forward()? else {
            return Err(candle_core::Error::msg("the fused ops give f32"));
        };
        if !node.inputs().iter().any(Tensor::track_op) {
            return Tensor::from_vec(data, shape, &Device::Cpu);
        }
        let output = Var::from_vec(data, shape, &Device::Cpu)?.into_inner();
        let record = Record {
            node,
            output: output.clone(),
        };
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(record);
        Ok(output)
    }
}

/// Adds to the gradient of a tensor, or, where candle's ops have made it, to those of what they made it from.
fn give(gradients: &mut GradStore, to: &Tensor, part: Tensor) -> candle_core::Result<()> {
    if to.is_variable() {
        return add_to(gradients, to.id(), part);
    }
    if to.track_op() {
        let below = to.apply_op1(Seed(part))?.backward()?;
        for &id in below.get_ids() {
            if let Some(part) = below.get_id(id) {
                add_to(gradients, id, part.clone())?;
            }
        }
    }
    Ok(())
}

fn add_to(gradients: &mut GradStore, id: TensorId, part: Tensor) -> candle_core::Result<()> {
    let sum = match gradients.get_id(id) {
        Some(before) => {
            let mut sum = floats(&before.contiguous()?)?.to_vec();
            add(&floats(&part.contiguous()?)?, &mut sum);
            like(sum, before)?
        }
        None => part,
    };
    gradients.insert_id(id, sum);
    Ok(())
}

/// An end of candle's graph that a gradient comes back from.
struct Seed(Tensor);

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), ().into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

/// An op and its inputs.
pub(crate) enum Node {
    One([Tensor; 1], Box<dyn CustomOp1 + Send + Sync>),
    Two([Tensor; 2], Box<dyn CustomOp2 + Send + Sync>),
    Three([Tensor; 3], Box<dyn CustomOp3 + Send + Sync>),
}

impl Node {
    /// As a node of candle's graph.
    pub(crate) fn in_candles_graph(self) -> candle_core::Result<Tensor> {
        match self {
            Self::One([x], op) => x.apply_op1_arc(Arc::new(op)),
            Self::Two([x, y], op) => x.apply_op2_arc(&y, Arc::new(op)),
            Self::Three([x, y, z], op) => x.apply_op3_arc(&y, &z, Arc::new(op)),
        }
    }

    fn inputs(&self) -> &[Tensor] {
        match self {
            Self::One(inputs, _) => inputs,
            Self::Two(inputs, _) => inputs,
            Self::Three(inputs, _) => inputs,
        }
    }

    fn forward(&self) -> candle_core::Result<(CpuStorage, Shape)> {
        let held: Vec<_> = self
            .inputs()
            .iter()
            .map(Tensor::storage_and_layout)
            .collect();
        let inputs = held.iter().map(|(storage, layout)| match &**storage {
            Storage::Cpu(storage) => Ok((storage, *layout)),
            _ => Err(candle_core::Error::msg("the fused ops run on the CPU")),
        });
        let inputs = inputs.collect::<candle_core::Result<Vec<_>>>()?;
        match (self, &inputs[..]) {
            (Self::One(_, op), &[x]) => op.cpu_fwd(x.0, x.1),
            (Self::Two(_, op), &[x, y]) => op.cpu_fwd(x.0, x.1, y.0, y.1),
            (Self::Three(_, op), &[x, y, z]) => op.cpu_fwd(x.0, x.1, y.0, y.1, z.0, z.1),
            _ => Err(candle_core::Error::msg("an op of other inputs")),
        }
    }

    /// The gradients of its inputs, where they have any.
    fn backward(
        &self,
        output: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<[Option<Tensor>; 3]> {
        Ok(match self {
            Self::One([x], op) => [op.bwd(x, output, gradient)?, None, None],
            Self::Two([x, y], op) => {
                let (dx, dy) = op.bwd(x, y, output, gradient)?;
                [dx, dy, None]
            }
            Self::Three([x, y, z], op) => op.bwd(x, y, z, output, gradient)?.into(),
        })
    }
}
