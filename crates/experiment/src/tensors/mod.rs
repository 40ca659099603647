//! Tensors in files: `.npy` and `.safetensors`.

mod data;
mod error;
mod fit;
mod npy;
mod qkv;
mod safetensors;

pub use data::Data;
pub use error::TensorError;
pub use fit::{DoesNotFit, Misfit};
pub use qkv::Qkv;

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a tensor is read: a file, and its name in it where the file holds several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The tensor's name within a `.safetensors` file.
    pub tensor: Option<String>,
}

impl Source {
    /// Parses `FILE` or `FILE.safetensors:NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once(".safetensors:") {
            Some((stem, tensor)) => Self {
                path: PathBuf::from(format!("{stem}.safetensors")),
                tensor: Some(tensor.to_owned()),
            },
            None => Self {
                path: PathBuf::from(text),
                tensor: None,
            },
        }
    }

    /// Without the folders: `qkv.safetensors:layer.1.q`.
    #[must_use]
    pub fn name(&self) -> String {
        let file = self.path.file_name().unwrap_or_default();
        let bare = Self {
            path: file.into(),
            tensor: self.tensor.clone(),
        };
        bare.to_string()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.tensor {
            Some(tensor) => write!(f, ":{tensor}"),
            None => Ok(()),
        }
    }
}

/// The file formats, told apart by extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NumPy's.
    Npy,
    /// Hugging Face's.
    Safetensors,
}

impl Format {
    /// The format of a path.
    ///
    /// # Errors
    /// [`TensorError`] where the extension is of neither.
    pub fn of(path: &Path) -> Result<Self, TensorError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "npy" => Ok(Self::Npy),
            "safetensors" => Ok(Self::Safetensors),
            _ => Err(TensorError::new(
                format!("{} is neither .npy nor .safetensors", path.display()),
                "numpy.save writes .npy, safetensors.torch.save_file writes .safetensors",
            )),
        }
    }

    /// The extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Safetensors => "safetensors",
        }
    }
}

/// Reads a tensor; `letter` is its name in a `.safetensors` file where none was given.
///
/// # Errors
/// [`TensorError`] where the file cannot be read, or does not hold it.
pub fn read(source: &Source, letter: &str) -> Result<Data, TensorError> {
    match Format::of(&source.path)? {
        Format::Npy => npy::read(&source.path),
        Format::Safetensors => safetensors::read(source, letter),
    }
}

/// A file that could not be opened or read.
fn unreadable(path: &Path, error: &std::io::Error) -> TensorError {
    TensorError::new(format!("cannot read {}: {error}", path.display()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_named_after_its_file() {
        let source = Source::parse("a:b/layers.safetensors:block.0:q");
        assert_eq!(source.path, Path::new("a:b/layers.safetensors"));
        assert_eq!(source.tensor.as_deref(), Some("block.0:q"));
        assert_eq!(source.name(), "layers.safetensors:block.0:q");
        assert_eq!(Source::parse("a:b/q.npy").tensor, None);
        assert_eq!(Source::parse("q.safetensors").to_string(), "q.safetensors");
    }
}
