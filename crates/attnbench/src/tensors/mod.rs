//! Tensors in files: read as for an experiment, telling what is rounded, and written.

mod write;

pub(crate) use experiment::tensors::{Format, Source, read};
pub(crate) use write::Sink;

use crate::failure::Failure;
use crate::output;
use ndarray::{Array4, ArrayD};

/// Reads a tensor `[B, H, N, D]`; `letter` is its name in a `.safetensors` file where none was given.
pub(crate) fn tensor(source: &Source, letter: &str) -> Result<Array4<f32>, Failure> {
    let data = read(source, letter)?;
    let rounded = data.is_wide();
    let tensor = data.tensor(source)?;
    tell(rounded, source);
    Ok(tensor)
}

/// As [`tensor`], of any number of axes.
pub(crate) fn any(source: &Source, letter: &str) -> Result<ArrayD<f32>, Failure> {
    let data = read(source, letter)?;
    let rounded = data.is_wide();
    let tensor = data.any(source)?;
    tell(rounded, source);
    Ok(tensor)
}

fn tell(rounded: bool, source: &Source) {
    if rounded {
        output::note(format_args!(
            "note: {source} is float64; rounded to float32"
        ));
    }
}
