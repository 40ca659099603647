//! Writing tensors: a file appears whole under its name, or not at all.

use super::Format;
use crate::failure::Failure;
use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, serialize};
use ndarray::Array4;
use ndarray_npy::WriteNpyExt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// A file to be, whose folder has been tried before the work begins.
#[derive(Debug)]
pub(crate) struct Sink {
    path: PathBuf,
    format: Format,
}

impl Sink {
    /// Makes sure that `path` can be written.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let format = Format::of(path)?;
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            return Err(Failure::request(
                format!(
                    "{} is no folder to write {} in",
                    folder.display(),
                    path.display()
                ),
                "create it first",
            ));
        }
        if path.is_dir() {
            return Err(Failure::request(
                format!("{} is a folder, not a file to write", path.display()),
                None,
            ));
        }
        let sink = Self {
            path: path.to_owned(),
            format,
        };
        // Made and removed again, so that an interrupted calculation leaves nothing behind.
        sink.temporary()?;
        Ok(sink)
    }

    /// A file beside the final place, removed when dropped.
    fn temporary(&self) -> Result<NamedTempFile, Failure> {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        let mut builder = Builder::new();
        // As a plain file would be created: what the user's mask of permissions leaves.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        builder
            .prefix(".attnbench-")
            .tempfile_in(folder.unwrap_or(Path::new(".")))
            .map_err(|error| unwritable(&self.path, &error))
    }

    /// Writes the tensor and puts the file in its place.
    pub(crate) fn write(&self, name: &str, tensor: &Array4<f32>) -> Result<(), Failure> {
        let failed = |error: std::io::Error| unwritable(&self.path, &error);
        let file = self.temporary()?;
        let mut writer = BufWriter::new(file.as_file());
        match self.format {
            Format::Npy => tensor
                .write_npy(&mut writer)
                .map_err(|error| failed(std::io::Error::other(error)))?,
            Format::Safetensors => {
                let bytes: Vec<u8> = tensor.iter().flat_map(|x| x.to_le_bytes()).collect();
                let contents = TensorView::new(Dtype::F32, tensor.shape().to_vec(), &bytes)
                    .and_then(|view| serialize([(name, view)], None))
                    .map_err(|error| failed(std::io::Error::other(error)))?;
                writer.write_all(&contents).map_err(failed)?;
            }
        }
        writer.flush().map_err(failed)?;
        drop(writer);
        file.persist(&self.path)
            .map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::work(
        format!("cannot write {}: {error}", path.display()),
        "choose a place that can be written to, with room for the file",
    )
}
