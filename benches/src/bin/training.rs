//! A training step of SASRec, ours and PyTorch's in turns: full-length histories, so that skipped padding gives
//! nothing.
//!
//! `cargo run --release -p benches --bin training -- --python PATH`; without `--python`, ours alone. The medians
//! are of steps, the ratio of rounds: each round takes one turn of either.

use attention::Workers;
use attention_candle::Engine;
use clap::Parser;
use recommender::loss::Loss;
use recommender::model::{AttentionConfig, Norm, SasRec, SasRecConfig};
use recommender::train::{TrainConfig, Trainer};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// SASRec's training step, ours and PyTorch's.
#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 128)]
    batch: usize,
    #[arg(long, default_value_t = 200)]
    length: usize,
    #[arg(long, default_value_t = 50)]
    width: usize,
    #[arg(long, default_value_t = 3416)]
    items: usize,
    #[arg(long, default_value_t = 0.2)]
    dropout: f32,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Our attention, by its registered name.
    #[arg(long, default_value = "blocked")]
    variant: String,
    /// PyTorch's: naive, sdpa or sdpa-nodrop.
    #[arg(long, default_value = "naive")]
    torch: String,
    /// Our loss: bce or softmax.
    #[arg(long, default_value = "bce")]
    loss: String,
    /// A Python with torch.
    #[arg(long)]
    python: Option<String>,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let mut ours = Ours::new(&args)?;
    let mut peer = args
        .python
        .as_deref()
        .map(|python| Peer::new(python, &args))
        .transpose()?;
    let (mut own, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    ours.turn()?;
    if let Some(peer) = &mut peer {
        peer.turn()?;
    }
    for _ in 0..args.rounds {
        let own_time = ours.turn()?;
        own.push(own_time);
        if let Some(peer) = &mut peer {
            // Threads that spin behind a step are given time to sleep.
            std::thread::sleep(Duration::from_millis(20));
            let time = peer.turn()?;
            theirs.push(time);
            ratios.push(own_time / time);
        }
    }
    let line = json!({
        "batch": args.batch, "length": args.length, "width": args.width, "variant": args.variant,
        "loss": args.loss, "threads": args.threads,
        "ours_ms": 1e3 * median(&mut own), "ours_peak_mib": peak_mib(),
        "torch": peer.as_ref().map(|_| &args.torch), "torch_ms": (!theirs.is_empty()).then(|| 1e3 * median(&mut theirs)),
        "torch_peak_mib": peer.as_ref().map(|peer| peer.peak / 1048576.0),
        "ratio": (!ratios.is_empty()).then(|| median(&mut ratios)),
    });
    println!("{line}");
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Our trainer on random histories.
struct Ours {
    trainer: Trainer,
    histories: Vec<Vec<u32>>,
}

impl Ours {
    fn new(args: &Args) -> Result<Self, Failure> {
        let config = SasRecConfig {
            width: args.width,
            longest: args.length,
            dropout: args.dropout,
            norm: Norm::Original,
            attention: AttentionConfig {
                variant: args.variant.clone(),
                ..AttentionConfig::default()
            },
            ..SasRecConfig::default()
        };
        let loss = match args.loss.as_str() {
            "softmax" => Loss::Softmax,
            _ => Loss::Bce { negatives: 1 },
        };
        let training = TrainConfig {
            batch: args.batch,
            loss,
            ..TrainConfig::default()
        };
        let model = Box::new(SasRec::new(&config, 0)?);
        let engine = Engine::new(Workers::new(args.threads)?);
        let mut state = 1u32;
        let mut item = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((u64::from(state) * args.items as u64) >> 32) as u32
        };
        let histories = (0..args.batch)
            .map(|_| (0..=args.length).map(|_| item()).collect())
            .collect();
        Ok(Self {
            trainer: Trainer::new(model, args.items, training, engine)?,
            histories,
        })
    }

    /// The median of three steps.
    fn turn(&mut self) -> Result<f64, Failure> {
        let batch: Vec<&[u32]> = self.histories.iter().map(Vec::as_slice).collect();
        let mut times = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            self.trainer.step_on(&batch)?;
            times.push(start.elapsed().as_secs_f64());
        }
        Ok(median(&mut times))
    }
}

/// The child process.
struct Peer {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    peak: f64,
}

impl Peer {
    fn new(python: &str, args: &Args) -> Result<Self, Failure> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/torch_sasrec.py");
        let mut child = Command::new(python)
            .arg(script)
            // As for the other peers: PyTorch keeps the memory that it frees, and its threads stay apart.
            .envs([
                ("MALLOC_MMAP_MAX_", "0"),
                ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
            ])
            .envs([
                ("MALLOC_TOP_PAD_", "268435456"),
                ("OMP_PROC_BIND", "true"),
                ("OMP_PLACES", "cores"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the child has no pipes".into());
        };
        let mut peer = Self {
            child,
            requests,
            answers: BufReader::new(answers),
            peak: 0.0,
        };
        peer.ask(&json!({
            "do": "setup", "batch": args.batch, "length": args.length, "width": args.width, "items": args.items,
            "dropout": args.dropout, "attention": args.torch, "threads": args.threads,
        }))?;
        Ok(peer)
    }

    fn ask(&mut self, request: &Value) -> Result<Value, Failure> {
        writeln!(self.requests, "{request}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// The median of three steps.
    fn turn(&mut self) -> Result<f64, Failure> {
        let answer = self.ask(&json!({ "do": "run", "steps": 3 }))?;
        self.peak = answer["peak_bytes"].as_f64().unwrap_or(0.0);
        let times = answer["seconds"].as_array().into_iter().flatten();
        Ok(median(
            &mut times.filter_map(Value::as_f64).collect::<Vec<_>>(),
        ))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends with its input; what is left is ended here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
