//! The lines that go to a peer and come back, as `benches/peers/README.md` has them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the protocol that this crate speaks.
pub(crate) const PROTOCOL: u32 = 1;

/// What a peer is asked.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub(crate) enum Request<'a> {
    /// Who are you?
    Hello { threads: usize },
    /// Prepare this.
    Cell {
        #[serde(flatten)]
        cell: &'a CellMessage,
        threads: usize,
        folder: &'a Path,
    },
    /// Call it `warm` times untimed, then `calls` times.
    Run { calls: usize, warm: usize },
    /// Write the last answer into a folder.
    Output { folder: &'a Path },
    /// End.
    Bye,
}

impl Request<'_> {
    /// The request's word in the protocol.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Request::Hello { .. } => "hello",
            Request::Cell { .. } => "cell",
            Request::Run { .. } => "run",
            Request::Output { .. } => "output",
            Request::Bye => "bye",
        }
    }
}

/// A cell's description; the tensors are files beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CellMessage {
    pub(crate) b: usize,
    pub(crate) h: usize,
    pub(crate) hkv: usize,
    pub(crate) nq: usize,
    pub(crate) nk: usize,
    pub(crate) d: usize,
    pub(crate) dv: usize,
    pub(crate) work: &'static str,
    pub(crate) dtype: &'static str,
    pub(crate) mask: MaskMessage,
    pub(crate) scale: f32,
    /// `softmax`, or one of our variants by name.
    pub(crate) attention: String,
    /// Shapes of the tensors that are given beside Q, K, V, by name.
    pub(crate) tensors: BTreeMap<&'static str, Vec<usize>>,
}

/// A problem mask.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum MaskMessage {
    /// Every query sees every key.
    Full,
    /// Query i sees keys j <= i.
    Causal,
    /// History b has `lengths[b]` keys.
    Lengths { lengths: Vec<usize> },
    /// Tiles of this side are kept where `blocks.u8` has a 1.
    Blocks { block: usize },
}

impl MaskMessage {
    /// The mask's word in the protocol.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Causal => "causal",
            Self::Lengths { .. } => "lengths",
            Self::Blocks { .. } => "blocks",
        }
    }
}

/// What comes back, whatever was asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    Ok(serde_json::Value),
    Unsupported(String),
    Failed(String),
}

/// The answer to hello.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) version: String,
    pub(crate) cpus: usize,
    pub(crate) supports: Supports,
}

/// What a peer says it can do, in the protocol's words; it may still refuse a cell.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Supports {
    /// `softmax`, or names of our variants; softmax alone where a peer says nothing.
    #[serde(default = "softmax")]
    pub attention: Vec<String>,
    /// `forward`, `training`, `decode`.
    pub work: Vec<String>,
    /// `full`, `causal`, `lengths`, `blocks`.
    pub mask: Vec<String>,
    /// `f32`, `bf16`.
    pub dtype: Vec<String>,
}

/// What is attended with where nothing else is said.
pub const SOFTMAX: &str = "softmax";

fn softmax() -> Vec<String> {
    vec![SOFTMAX.into()]
}

/// The answer to run.
#[derive(Debug, Deserialize)]
pub(crate) struct Ran {
    pub(crate) seconds: Vec<f64>,
}
