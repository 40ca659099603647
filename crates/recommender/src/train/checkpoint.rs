//! A training on disk: tensors as safetensors, the rest as JSON, and the way back to the bit.
//!
//! The JSON file is renamed into place last and names the tensors' file with its checksum, so that whenever a
//! training is killed there is one whole checkpoint: the new one or that before.

use super::config::TrainConfig;
use super::error::TrainError;
use super::progress::Progress;
use super::trainer::Trainer;
use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::{Path, PathBuf};

const STATE: &str = "checkpoint.json";

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    schema_version: u32,
    model: serde_json::Value,
    training: TrainConfig,
    progress: Progress,
    steps: u64,
    tensors: PathBuf,
    checksum: String,
}

impl Trainer {
    /// Writes a checkpoint into a folder, which is made where it is missing, and removes the one before.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), TrainError> {
        let bytes = self.tensors(folder)?;
        let tensors = PathBuf::from(format!("epoch-{}.safetensors", self.progress.epochs));
        let state = State {
            schema_version: 1,
            model: self.model.settings(),
            training: self.config.clone(),
            progress: self.progress,
            steps: self.adam.steps,
            checksum: blake3::hash(&bytes).to_hex().to_string(),
            tensors: tensors.clone(),
        };
        let fault = |path: &Path| fault_of(path);
        std::fs::create_dir_all(folder).map_err(fault(folder))?;
        let before = read_state(folder)
            .ok()
            .map(|state| folder.join(state.tensors));
        write(&folder.join(&tensors), &bytes)?;
        let json = serde_json::to_vec_pretty(&state).map_err(fault_of(folder))?;
        write(&folder.join(STATE), &json)?;
        match before {
            Some(before) if before != folder.join(&tensors) => {
                std::fs::remove_file(&before).map_err(fault(&before))
            }
            _ => Ok(()),
        }
    }

    /// Goes on from the checkpoint in a folder: a training made with the same settings then takes the same
    /// steps as one that was never stopped. The number of epochs may differ.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where there is none, where it is damaged, or where it was made with other
    /// settings; the training is left as it was.
    pub fn resume(&mut self, folder: &Path) -> Result<(), TrainError> {
        let path = folder.join(STATE);
        let refuse = |path: &Path, reason: &str| {
            Err(TrainError::Checkpoint {
                path: path.into(),
                reason: reason.into(),
            })
        };
        let state = read_state(folder)?;
        let training = TrainConfig {
            epochs: self.config.epochs,
            ..state.training.clone()
        };
        if state.schema_version != 1 {
            return refuse(
                &path,
                "it was written by a newer version; train anew or use that one",
            );
        }
        if training != self.config || state.model != self.model.settings() {
            return refuse(
                &path,
                "it was made with other settings; use those, or another folder",
            );
        }
        let path = folder.join(&state.tensors);
        let bytes = std::fs::read(&path).map_err(fault_of(&path))?;
        if blake3::hash(&bytes).to_hex().as_str() != state.checksum {
            return refuse(
                &path,
                "its checksum is not the one in checkpoint.json; train anew",
            );
        }
        let tensors = SafeTensors::deserialize(&bytes).map_err(fault_of(&path))?;
        let all = |kind: &str| -> Result<Vec<Vec<f32>>, TrainError> {
            let named = self.names.iter().zip(&self.learned);
            named
                .map(|(name, var)| {
                    let tensor = tensors
                        .tensor(&format!("{kind}.{name}"))
                        .map_err(fault_of(&path))?;
                    if tensor.dtype() != Dtype::F32 || tensor.shape() != var.dims() {
                        return refuse(&path, "a tensor has another shape; train anew")
                            .map(|()| Vec::new());
                    }
                    let floats = tensor.data().chunks_exact(4);
                    Ok(floats
                        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                        .collect())
                })
                .collect()
        };
        let values = all("model")?;
        let (first, second) = (all("adam.first")?, all("adam.second")?);
        let best = state.progress.best.map(|_| all("best")).transpose()?;
        self.set_learned(&values)?;
        self.adam.first = first;
        self.adam.second = second;
        self.adam.steps = state.steps;
        self.best = best;
        self.progress = state.progress;
        Ok(())
    }

    /// Gives all that is learned other numbers.
    pub(super) fn set_learned(&mut self, values: &[Vec<f32>]) -> Result<(), TrainError> {
        for (var, values) in self.learned.iter().zip(values) {
            set(var, values)?;
        }
        Ok(self.items.refresh(self.engine.workers())?)
    }

    /// Whether a folder holds one.
    #[must_use]
    pub fn has_checkpoint(folder: &Path) -> bool {
        folder.join(STATE).is_file()
    }

    fn tensors(&self, folder: &Path) -> Result<Vec<u8>, TrainError> {
        let values = self
            .learned
            .iter()
            .map(|var| Ok(attention_candle::floats(var)?.to_vec()));
        let values = values.collect::<candle_core::Result<Vec<_>>>()?;
        let kinds = [
            ("model", Some(&values)),
            ("adam.first", Some(&self.adam.first)),
            ("adam.second", Some(&self.adam.second)),
            ("best", self.best.as_ref()),
        ];
        let mut all = Vec::new();
        for (kind, tensors) in kinds {
            for ((name, var), tensor) in self
                .names
                .iter()
                .zip(&self.learned)
                .zip(tensors.into_iter().flatten())
            {
                let bytes: Vec<u8> = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
                all.push((format!("{kind}.{name}"), var.dims().to_vec(), bytes));
            }
        }
        let views = all.iter().map(|(name, shape, bytes)| {
            Ok((
                name.as_str(),
                TensorView::new(Dtype::F32, shape.clone(), bytes)?,
            ))
        });
        let views = views
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(fault_of(folder))?;
        safetensors::serialize(views, None).map_err(fault_of(folder))
    }
}

fn read_state(folder: &Path) -> Result<State, TrainError> {
    let path = folder.join(STATE);
    let text = std::fs::read(&path).map_err(fault_of(&path))?;
    serde_json::from_slice(&text).map_err(fault_of(&path))
}

/// Writes beside the place and renames, so that no reader finds half a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let beside = path.with_extension("part");
    std::fs::write(&beside, bytes).map_err(fault_of(&beside))?;
    std::fs::rename(&beside, path).map_err(fault_of(path))
}

pub(super) fn fault_of<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> TrainError + use<E> {
    let path = path.to_owned();
    move |error| TrainError::Checkpoint {
        path,
        reason: error.to_string(),
    }
}

/// Gives a learned tensor other numbers.
pub(super) fn set(var: &Var, values: &[f32]) -> Result<(), TrainError> {
    Ok(var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu)?)?)
}
