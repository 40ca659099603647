//! A cell as it is asked for, and its tensors.

use crate::Fault;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// One cell, in the letters of the protocol.
#[derive(Deserialize)]
pub(crate) struct Cell {
    pub(crate) b: usize,
    pub(crate) h: usize,
    pub(crate) hkv: usize,
    pub(crate) nq: usize,
    pub(crate) nk: usize,
    pub(crate) d: usize,
    pub(crate) dv: usize,
    pub(crate) scale: f32,
    mask: Mask,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct Mask {
    kind: String,
}

impl Cell {
    pub(crate) fn read(request: &Value) -> Result<Self, Fault> {
        let cell = Self::deserialize(request)?;
        match cell.mask.kind.as_str() {
            _ if cell.h != cell.hkv => Err(Fault::Unsupported("grouped heads".into())),
            "causal" if cell.nq != cell.nk => {
                Err(Fault::Unsupported("causal with Nq other than Nk".into()))
            }
            "full" | "causal" => Ok(cell),
            kind => Err(Fault::Unsupported(format!("mask {kind}"))),
        }
    }

    pub(crate) fn causal(&self) -> bool {
        self.mask.kind == "causal"
    }

    /// q, k or v, and its shape `[B, H, N, D]`.
    pub(crate) fn tensor(&self, name: &str) -> Result<(Vec<f32>, [usize; 4]), Fault> {
        let shape = match name {
            "q" => [self.b, self.h, self.nq, self.d],
            "k" => [self.b, self.hkv, self.nk, self.d],
            _ => [self.b, self.hkv, self.nk, self.dv],
        };
        let bytes = std::fs::read(self.folder.join(name).with_extension("f32"))?;
        let values: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x))
            .collect();
        let wanted = shape.iter().product::<usize>();
        if values.len() != wanted {
            let found = values.len();
            return Err(Fault::Failed(format!(
                "{name} has {found} values, not {wanted}"
            )));
        }
        Ok((values, shape))
    }
}
