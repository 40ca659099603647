//! Between candle's tensors and slices of floats.

use crate::error::{Error, Result};
use candle_core::{CpuStorage, DType, Device, Layout, Shape, Storage, Tensor};
use std::ops::{Deref, Range};

/// The floats of a contiguous f32 tensor on the CPU, borrowed.
///
/// # Errors
/// candle's, for another type or device, or a tensor that is not contiguous.
pub fn floats(tensor: &Tensor) -> candle_core::Result<impl Deref<Target = [f32]> + '_> {
    let (storage, layout) = tensor.storage_and_layout();
    let range = match &*storage {
        Storage::Cpu(cpu) => contiguous(cpu, layout)?.1,
        _ => return Err(candle_core::Error::msg("the fused ops run on the CPU")),
    };
    Ok(Floats { storage, range })
}

struct Floats<S> {
    storage: S,
    range: Range<usize>,
}

impl<S: Deref<Target = Storage>> Deref for Floats<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.range.clone()],
            _ => &[],
        }
    }
}

/// The floats of an op's input.
pub(crate) fn input<'s>(
    storage: &'s CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'s [f32]> {
    contiguous(storage, layout).map(|(data, range)| &data[range])
}

fn contiguous<'s>(
    storage: &'s CpuStorage,
    layout: &Layout,
) -> candle_core::Result<(&'s [f32], Range<usize>)> {
    let data = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok((data, start..end)),
        None => Err(candle_core::Error::msg(
            "a fused op needs a contiguous tensor",
        )),
    }
}

/// An op's output.
pub(crate) fn output(data: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(data), shape.into())
}

/// A tensor like another one, of these floats.
pub(crate) fn like(data: Vec<f32>, tensor: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::from_vec(data, tensor.shape(), &Device::Cpu)
}

/// Rows and columns of `[..., columns]`, contiguous and f32.
pub(crate) fn rows(op: &'static str, tensor: &Tensor) -> Result<(Tensor, usize, usize)> {
    if tensor.dtype() != DType::F32 {
        let dtype = tensor.dtype().as_str();
        return Err(candle_core::Error::msg(format!("{op}: f32 wanted, {dtype} given")).into());
    }
    let (columns, leading) = match tensor.dims().split_last() {
        Some((&columns, leading)) if columns > 0 => (columns, leading),
        _ => {
            return Err(Error::Shape {
                op,
                tensor: "x",
                found: tensor.dims().to_vec(),
                expected: "[..., D] with D of at least 1".into(),
            });
        }
    };
    let rows = leading.iter().product();
    Ok((tensor.contiguous()?, rows, columns))
}
