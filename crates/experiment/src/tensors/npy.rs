//! Reading `.npy` files.

use super::{Data, TensorError, unreadable};
use ndarray::ArrayD;
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement};
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

/// Reads a file of float32, float64, int32, int64 or bool, of either byte and memory order.
pub(super) fn read(path: &Path) -> Result<Data, TensorError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let bytes = file
        .metadata()
        .map_err(|error| unreadable(path, &error))?
        .len();
    let mut file = BufReader::new(file);
    let broken = |error: ReadNpyError| broken(path, &error);
    let header = Header::from_reader(&mut file).map_err(|error| broken(error.into()))?;
    let start = file
        .stream_position()
        .map_err(|error| broken(error.into()))?;

    let descriptor = header.type_descriptor.to_string();
    let descriptor = descriptor.trim_matches(['\'', '"']);
    let kind = descriptor.trim_start_matches(['<', '>', '|', '=']);
    let width: u64 = match kind {
        "f4" | "i4" => 4,
        "f8" | "i8" => 8,
        "b1" => 1,
        _ => {
            return Err(TensorError::new(
                format!("{} holds elements of type {descriptor}", path.display()),
                "float32 and float64 serve as tensors, int32 and int64 as lengths, bool as a \
                 dense mask; convert with numpy's astype",
            ));
        }
    };
    // A header may promise more than any memory holds: ask the file before making room.
    let promised = header.shape.iter().try_fold(width, |product, &axis| {
        product.checked_mul(u64::try_from(axis).ok()?)
    });
    let held = bytes.saturating_sub(start);
    if promised != Some(held) {
        let promised = promised.map_or_else(|| "more".into(), |n| n.to_string());
        return Err(TensorError::new(
            format!(
                "{} has {held} bytes of data where its header promises {promised} for shape {:?}",
                path.display(),
                header.shape,
            ),
            "the file was cut off, or is not a single array; write it again",
        ));
    }

    file.rewind().map_err(|error| unreadable(path, &error))?;
    let data = match kind {
        "f4" => elements(file).map(Data::F32),
        "f8" => elements(file).map(Data::F64),
        "i4" => elements(file).map(|x: ArrayD<i32>| Data::I64(x.mapv(i64::from))),
        "i8" => elements(file).map(Data::I64),
        _ => elements(file).map(Data::Bool),
    };
    data.map_err(broken)
}

fn elements<A: ReadableElement>(file: BufReader<File>) -> Result<ArrayD<A>, ReadNpyError> {
    ArrayD::read_npy(file)
}

fn broken(path: &Path, error: &ReadNpyError) -> TensorError {
    TensorError::new(
        format!(
            "{} is no .npy file that can be read: {error}",
            path.display()
        ),
        "write it with numpy.save",
    )
}
