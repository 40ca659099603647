//! What was learned, alone: a model to use, not to train on.

use super::checkpoint::{fault_of, write};
use super::error::TrainError;
use super::trainer::Trainer;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

impl Trainer {
    /// Writes what has been learned, under its names, as safetensors.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where the file cannot be written.
    pub fn save_weights(&self, path: &Path) -> Result<(), TrainError> {
        let mut all = Vec::new();
        for (name, var) in self.names.iter().zip(&self.learned) {
            let floats = attention_candle::floats(var)?;
            let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
            all.push((name, var.dims().to_vec(), bytes));
        }
        let views = all.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
            Ok((name.as_str(), view))
        });
        let views = views
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(fault_of(path))?;
        let bytes = safetensors::serialize(views, None).map_err(fault_of(path))?;
        write(path, &bytes)
    }

    /// Takes what [`save_weights`](Self::save_weights) wrote.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where the file cannot be read, or is of another model.
    pub fn load_weights(&mut self, path: &Path) -> Result<(), TrainError> {
        let bytes = std::fs::read(path).map_err(fault_of(path))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(fault_of(path))?;
        let mut all = Vec::new();
        for (name, var) in self.names.iter().zip(&self.learned) {
            let tensor = tensors.tensor(name).map_err(fault_of(path))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != var.dims() {
                return Err(TrainError::Checkpoint {
                    path: path.into(),
                    reason: format!(
                        "`{name}` is {:?} {:?}, this model's is F32 {:?}: it is of another model",
                        tensor.dtype(),
                        tensor.shape(),
                        var.dims()
                    ),
                });
            }
            let floats = tensor.data().chunks_exact(4);
            all.push(
                floats
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                    .collect(),
            );
        }
        self.set_learned(&all)
    }

    /// How many numbers are learned, the item vectors among them.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.learned.iter().map(|var| var.elem_count()).sum()
    }
}
