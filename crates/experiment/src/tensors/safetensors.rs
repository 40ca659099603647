//! Reading `.safetensors` files.

use super::{Data, Source, TensorError, unreadable};
use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors};
use attention_variants::nearest;
use ndarray::ArrayD;

/// Reads the tensor that is asked for by name, or the one of that letter, or the only one there is.
pub(super) fn read(source: &Source, letter: &str) -> Result<Data, TensorError> {
    let bytes = std::fs::read(&source.path).map_err(|error| unreadable(&source.path, &error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| {
        TensorError::new(
            format!(
                "{} is no .safetensors file that can be read: {error}",
                source.path.display()
            ),
            "the file was cut off or is of another format; write it again",
        )
    })?;
    let mut names = file.names();
    names.sort_unstable();
    let name = choose(source, letter, &names)?;
    let tensor = file
        .tensor(name)
        .map_err(|error| TensorError::new(format!("{source}: {error}"), None))?;
    convert(source, name, &tensor)
}

fn choose<'n>(source: &Source, letter: &str, names: &[&'n str]) -> Result<&'n str, TensorError> {
    let upper = letter.to_uppercase();
    let wanted: &[&str] = match &source.tensor {
        Some(name) => &[name],
        None => &[letter, &upper],
    };
    let found = names.iter().find(|name| wanted.contains(name));
    match (found, names) {
        (Some(name), _) => Ok(name),
        (None, [only]) if source.tensor.is_none() => Ok(only),
        _ => {
            let near = nearest(wanted[0], names).map(|near| format!("did you mean `{near}`? "));
            let held = if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            };
            Err(TensorError::new(
                format!("{} holds no tensor `{}`", source.path.display(), wanted[0]),
                format!(
                    "{}it holds {held}; name one as in FILE.safetensors:NAME",
                    near.unwrap_or_default()
                )
                .as_str(),
            ))
        }
    }
}

fn convert(source: &Source, name: &str, tensor: &TensorView<'_>) -> Result<Data, TensorError> {
    let (shape, bytes) = (tensor.shape(), tensor.data());
    let data = match tensor.dtype() {
        Dtype::F32 => array(shape, bytes, f32::from_le_bytes).map(Data::F32),
        Dtype::F64 => array(shape, bytes, f64::from_le_bytes).map(Data::F64),
        Dtype::I32 => array(shape, bytes, |b| i64::from(i32::from_le_bytes(b))).map(Data::I64),
        Dtype::I64 => array(shape, bytes, i64::from_le_bytes).map(Data::I64),
        Dtype::BOOL => array(shape, bytes, |[b]: [u8; 1]| b != 0).map(Data::Bool),
        other => {
            return Err(TensorError::new(
                format!(
                    "{}:{name} holds elements of type {other:?}",
                    source.path.display()
                ),
                "float32 and float64 serve as tensors, int32 and int64 as lengths, bool as a \
                 dense mask; convert with torch's .float()",
            ));
        }
    };
    data.map_err(|error| TensorError::new(format!("{source}: {error}"), None))
}

fn array<A, const WIDTH: usize>(
    shape: &[usize],
    bytes: &[u8],
    element: impl Fn([u8; WIDTH]) -> A,
) -> Result<ArrayD<A>, ndarray::ShapeError> {
    let elements = bytes.as_chunks().0.iter().map(|chunk| element(*chunk));
    ArrayD::from_shape_vec(shape, elements.collect())
}
