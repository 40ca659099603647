//! candle and burn-flex as peers: `rust-peers candle-flash | candle-products | burn-flex`.
//!
//! Speaks the protocol of `../README.md` on standard input and output.

#![forbid(unsafe_code)]

mod burn;
mod candle;
mod cell;

use cell::Cell;
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

/// Why a cell is not answered.
enum Fault {
    Unsupported(String),
    Failed(String),
}

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// One call, with everything resident that it needs; gives O `[B, H, Nq, Dv]` when asked.
trait Call {
    fn run(&mut self) -> Result<(), Fault>;
    fn output(&self) -> Result<Vec<f32>, Fault>;
}

type Prepare = fn(&Cell) -> Result<Box<dyn Call>, Fault>;

/// A peer's name, version, masks and how it prepares a cell.
struct Peer {
    name: &'static str,
    version: &'static str,
    masks: &'static [&'static str],
    prepare: Prepare,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "candle-flash",
        version: "0.11.1",
        masks: &["full", "causal"],
        prepare: candle::flash,
    },
    Peer {
        name: "candle-products",
        version: "0.11.1",
        masks: &["full", "causal"],
        prepare: candle::products,
    },
    Peer {
        name: "burn-flex",
        version: "0.22.1",
        masks: &["full", "causal"],
        prepare: burn::attention,
    },
];

fn main() -> std::process::ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let Some(peer) = PEERS.iter().find(|peer| peer.name == wanted) else {
        let names = PEERS.map(|peer| peer.name).join(" | ");
        eprintln!("usage: rust-peers {names}");
        return std::process::ExitCode::FAILURE;
    };
    let mut call = None;
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = match serde_json::from_str::<Value>(&line) {
            Ok(request) if request["do"] == "bye" => break,
            Ok(request) => answer(peer, &request, &mut call),
            Err(error) => Err(error.into()),
        };
        let answer = match answer {
            Ok(ok) => json!({ "ok": ok }),
            Err(Fault::Unsupported(reason)) => json!({ "unsupported": reason }),
            Err(Fault::Failed(reason)) => json!({ "failed": reason }),
        };
        if writeln!(stdout, "{answer}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            break;
        }
    }
    std::process::ExitCode::SUCCESS
}

fn answer(peer: &Peer, request: &Value, held: &mut Option<Box<dyn Call>>) -> Result<Value, Fault> {
    let number = |key: &str| request[key].as_u64().unwrap_or(0);
    let call = |held: &mut Option<Box<dyn Call>>| {
        held.take()
            .ok_or_else(|| Fault::Failed("no cell was given".into()))
    };
    match request["do"].as_str() {
        Some("hello") => Ok(json!({
            "protocol": 1,
            "name": peer.name,
            "version": peer.version,
            "cpus": std::thread::available_parallelism()?.get(),
            "supports": {
                "work": ["forward", "decode"],
                "mask": peer.masks,
                "dtype": ["f32"],
            },
        })),
        Some("cell") => {
            *held = None; // room for the next one first
            *held = Some((peer.prepare)(&Cell::read(request)?)?);
            Ok(json!({}))
        }
        Some("run") => {
            let mut call = call(held)?;
            for _ in 0..number("warm") {
                call.run()?;
            }
            let mut seconds = Vec::new();
            for _ in 0..number("calls") {
                let start = Instant::now();
                call.run()?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            *held = Some(call);
            Ok(json!({ "seconds": seconds }))
        }
        Some("output") => {
            let call = call(held)?;
            let bytes: Vec<u8> = call
                .output()?
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect();
            let folder = request["folder"].as_str().unwrap_or_default();
            std::fs::write(Path::new(folder).join("o.f32"), bytes)?;
            *held = Some(call);
            Ok(json!({}))
        }
        other => Err(Fault::Failed(format!("unknown request {other:?}"))),
    }
}
