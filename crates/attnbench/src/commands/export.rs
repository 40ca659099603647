//! `export`: Q, K and V of a trained model.

use crate::failure::Failure;
use crate::output;
use crate::study;
use clap::Args;
use experiment::study::{StudyError, TrainedRun};
use ndarray::Array4;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::path::PathBuf;

/// Write Q, K and V of a trained model as safetensors
///
/// The model encodes the latest events of users of the log, all of one length. Each layer's tensors are written as
/// layer.L.q, .k and .v, shape [B, H, N, D], and those of --layer also as q, k and v, which `attnbench apply` reads.
/// How flat the softmax of each layer's scores is, is printed.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder of a training, below trainings/ of a study
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The file to write
    #[arg(long, value_name = "OUT.safetensors")]
    qkv: PathBuf,
    /// Events of each history [default: the most that the model looks at]
    #[arg(long, value_name = "N")]
    length: Option<usize>,
    /// Histories
    #[arg(long, value_name = "B", default_value_t = 8)]
    histories: usize,
    /// The layer, from 0, that is also written as q, k, v [default: the last]
    #[arg(long, value_name = "L")]
    layer: Option<usize>,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let run = TrainedRun::open(&self.run, study::threads(0))?;
        let log = &run.data.log;
        let scorer = run.trainer.scorer();
        let longest = scorer.model.longest();
        let length = self.length.unwrap_or(longest).min(longest);
        let long = log.histories().filter(|history| history.len() >= length);
        let chosen: Vec<&[u32]> = long.take(self.histories).collect();
        if chosen.is_empty() || length == 0 {
            let most = log.lengths().into_iter().max().unwrap_or(0);
            return Err(Failure::request(
                format!("no user has {length} events"),
                format!("the longest history has {most}; ask for fewer with --length").as_str(),
            ));
        }
        let layers = scorer.layers(&chosen, length).map_err(StudyError::from)?;
        let Some(last) = layers.len().checked_sub(1) else {
            return Err(Failure::request(
                format!("`{}` has no attention", run.info.training.label()),
                None,
            ));
        };
        let alone = self.layer.unwrap_or(last);
        if alone > last {
            return Err(Failure::request(
                format!("no layer {alone}"),
                format!("the layers are 0 to {last}").as_str(),
            ));
        }
        let mut tensors: Vec<(String, &Array4<f32>)> = Vec::new();
        for (n, layer) in layers.iter().enumerate() {
            for (name, tensor) in [("q", &layer.q), ("k", &layer.k), ("v", &layer.v)] {
                tensors.push((format!("layer.{n}.{name}"), tensor));
                if n == alone {
                    tensors.push((name.to_owned(), tensor));
                }
            }
        }
        self.write(&tensors)?;
        for (n, layer) in layers.iter().enumerate() {
            let heads: Vec<String> = layer.entropy().iter().map(|η| format!("{η:.3}")).collect();
            let (b, h, n_events, d) = layer.q.dim();
            output::line(format_args!(
                "layer {n}: [{b}, {h}, {n_events}, {d}], entropy of its softmax by head {}",
                heads.join(", ")
            ))?;
        }
        Ok(())
    }

    fn write(&self, tensors: &[(String, &Array4<f32>)]) -> Result<(), Failure> {
        let fault = |error: String| {
            Failure::work(
                format!("cannot write {}: {error}", self.qkv.display()),
                None,
            )
        };
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, tensor)| tensor.iter().flat_map(|x| x.to_le_bytes()).collect())
            .collect();
        let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
            let view = TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes)?;
            Ok((name.as_str(), view))
        });
        let views = views
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| fault(e.to_string()))?;
        let file = safetensors::serialize(views, None).map_err(|e| fault(e.to_string()))?;
        std::fs::write(&self.qkv, file).map_err(|e| fault(e.to_string()))
    }
}
