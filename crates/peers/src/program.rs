//! How each peer that comes with the project is started.

use std::path::{Path, PathBuf};

/// When a peer materialises the scores `[B, H, Nq, Nk]`, so that long cells would not fit in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// It works in tiles.
    Never,
    /// Under a causal mask.
    Causal,
    /// In every cell.
    Always,
}

/// How a peer is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name in tables: `torch-flash`.
    pub name: String,
    /// The library that it belongs to, as people write it: `PyTorch`.
    pub library: String,
    /// What is run.
    pub command: PathBuf,
    /// With what.
    pub args: Vec<String>,
    /// Variables that it gets beside the thread count.
    pub env: Vec<(String, String)>,
    /// Whether its OpenMP threads are bound, one a core, where it has several: unbound, they are at
    /// times found side by side on one core, at half the speed.
    pub bound: bool,
    /// Whether it materialises the scores.
    pub scores: Scores,
    /// How to get it, as a sentence.
    pub install: String,
}

/// The interpreter for Python peers where `target/peers` has none.
const PYTHON: &str = "ATTNBENCH_PEERS_PYTHON";

/// Memory given back to the system after each call is faulted in again by the next: kept, PyTorch
/// is up to twice as fast where it allocates.
const KEEP_MEMORY: &[(&str, &str)] = &[
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
    ("MALLOC_TOP_PAD_", "268435456"),
];

/// Name, library, environment below `target/peers`, script, argument, whether on PyTorch's runtime,
/// scores.
type Line = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
    bool,
    Scores,
);

const TORCH: &str = "PyTorch";
const ORT: &str = "ONNX Runtime";

#[rustfmt::skip]
const PYTHON_PEERS: [Line; 9] = [
    ("torch-flash", TORCH, "torch", "torch_peer.py", Some("flash"), true, Scores::Never),
    ("torch-math", TORCH, "torch", "torch_peer.py", Some("math"), true, Scores::Always),
    ("torch-flex", TORCH, "torch", "torch_peer.py", Some("flex"), true, Scores::Never),
    ("torch-masked", TORCH, "torch", "torch_peer.py", Some("masked"), true, Scores::Never),
    ("torch-linear", TORCH, "torch", "torch_linear_peer.py", None, true, Scores::Never),
    ("zentorch", "zentorch", "zentorch", "zentorch_peer.py", None, true, Scores::Never),
    ("onnxruntime-mha", ORT, "onnxruntime", "onnxruntime_peer.py", Some("mha"), false, Scores::Causal),
    ("onnxruntime-attention", ORT, "onnxruntime", "onnxruntime_peer.py", Some("attention"), false, Scores::Always),
    ("openvino", "OpenVINO", "openvino", "openvino_peer.py", None, false, Scores::Never),
];

const RUST_PEERS: [(&str, &str, Scores); 3] = [
    ("candle-flash", "candle", Scores::Never),
    ("candle-products", "candle", Scores::Always),
    ("burn-flex", "burn", Scores::Never),
];

/// The peers that come with the project, whose folder is `root`; none need be installed.
///
/// A Python peer is run by `target/peers/<library>/bin/python`, else by `$ATTNBENCH_PEERS_PYTHON`,
/// else by `python3`; a Rust one is `target/peers/bin/rust-peers`.
#[must_use]
pub fn catalog(root: &Path) -> Vec<Program> {
    let installed = root.join("target/peers");
    let scripts = root.join("benches/peers");
    let python = PYTHON_PEERS.map(|(name, library, venv, script, argument, torch, scores)| {
        let own = installed.join(venv).join("bin/python");
        let command = if own.exists() {
            own
        } else {
            std::env::var_os(PYTHON).map_or_else(|| "python3".into(), PathBuf::from)
        };
        let script = scripts.join(script).to_string_lossy().into_owned();
        Program {
            name: name.into(),
            library: library.into(),
            command,
            args: std::iter::once(script)
                .chain(argument.map(str::to_owned))
                .collect(),
            env: KEEP_MEMORY
                .iter()
                .filter(|_| torch)
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            bound: torch,
            scores,
            install: format!("install it with `benches/peers/install {venv}`"),
        }
    });
    let rust = RUST_PEERS.map(|(name, library, scores)| Program {
        name: name.into(),
        library: library.into(),
        command: installed.join("bin/rust-peers"),
        args: vec![name.into()],
        env: Vec::new(),
        bound: false,
        scores,
        install: "install it with `benches/peers/install rust`".into(),
    });
    python.into_iter().chain(rust).collect()
}
