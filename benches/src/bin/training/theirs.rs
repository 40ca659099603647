//! PyTorch on a cell, in a child process.

use crate::Failure;
use crate::cell::{Cell, Work, questions};
use crate::contender::Turn;
use crate::ours::DROPOUT;
use peers::{Child, Program};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How long an answer is waited for: the first import of PyTorch, a slow step.
const PATIENCE: Duration = Duration::from_secs(300);

/// A child that runs `torch_sasrec.py` with a model of the given parameters.
pub(crate) struct Theirs {
    child: Child,
    pub(crate) version: String,
}

/// What a child says that it is.
#[derive(serde::Deserialize)]
struct Hello {
    version: String,
    cpus: usize,
}

impl Theirs {
    /// Starts a form of the script, as the other peers of PyTorch are started.
    pub(crate) fn new(
        cell: &Cell,
        form: &str,
        threads: usize,
        parameters: &Path,
    ) -> Result<Self, Failure> {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let torch = peers::catalog(root);
        let torch = torch.into_iter().find(|peer| peer.name == "torch-math");
        let torch = torch.ok_or("the catalogue of peers has no torch-math")?;
        let (form, sorted) = match form.strip_suffix("-sorted") {
            Some(form) => (form, true),
            None => (form, false),
        };
        let script = root.join("benches/peers/torch_sasrec.py");
        let program = Program {
            args: vec![script.to_string_lossy().into_owned(), form.into()],
            ..torch
        };
        let mut child = Child::start(&program, threads)
            .map_err(|e| format!("PyTorch is not here: {e}; {}", program.install))?;
        let hello: Hello = ask(&mut child, "hello", json!({}))?;
        if hello.cpus < threads {
            let cpus = hello.cpus;
            return Err(format!("PyTorch may run on {cpus} CPU(s), not {threads}").into());
        }
        match &cell.work {
            Work::Step(batches) => {
                let request = json!({
                    "threads": threads, "dropout": DROPOUT, "parameters": parameters,
                    "batches": batches,
                });
                ask::<Value>(&mut child, "train", request)?;
            }
            Work::Evaluation(log) => {
                let (histories, targets) = questions(log)?;
                let request = json!({
                    "threads": threads, "parameters": parameters, "histories": histories,
                    "targets": targets, "sorted": sorted,
                });
                ask::<Value>(&mut child, "evaluate", request)?;
            }
        }
        Ok(Self {
            child,
            version: hello.version,
        })
    }

    pub(crate) fn run(&mut self, calls: usize, warm: usize) -> Result<Turn, Failure> {
        ask(
            &mut self.child,
            "run",
            json!({ "calls": calls, "warm": warm }),
        )
    }

    pub(crate) fn logits(&mut self, histories: &[Vec<u32>]) -> Result<Vec<f32>, Failure> {
        let request = json!({ "histories": histories });
        let rows: Vec<Vec<f32>> = ask(&mut self.child, "logits", request)?;
        Ok(rows.concat())
    }

    pub(crate) fn memory(&mut self) -> Result<f64, Failure> {
        ask(&mut self.child, "memory", json!({}))
    }

    pub(crate) fn ranks(&mut self) -> Result<Vec<u32>, Failure> {
        ask(&mut self.child, "ranks", json!({}))
    }
}

fn ask<T: DeserializeOwned>(
    child: &mut Child,
    name: &'static str,
    mut request: Value,
) -> Result<T, Failure> {
    request["do"] = name.into();
    Ok(serde_json::from_value(
        child.ask(&request, name, PATIENCE)?,
    )?)
}
