//! `apply`: one variant on the user's own tensors.

mod call;

use crate::failure::Failure;
use crate::mask::{self, MaskArg};
use crate::output;
use crate::tensors::{self, Format, Sink, Source};
use crate::variant::{self, VariantArg};
use attention::tensors::expect_tensors;
use attention::{Attention, Feature, Mask, Problem, Tensors, Workers, expect_shape};
use call::Timing;
use clap::Args;
use ndarray::Array4;
use serde_json::{Map, json};
use std::path::{Path, PathBuf};

/// Run one variant on your own tensors: O from Q, K, V
///
/// Reads Q [B, H, Nq, D], K [B, Hkv, Nk, D] and V [B, Hkv, Nk, Dv], H a multiple of Hkv, and writes O
/// [B, H, Nq, Dv] in float32. Files are .npy, or .safetensors, which may hold several tensors: name one as in
/// FILE.safetensors:NAME, or leave the name out where it is the tensor's letter (q, k, v, do, lengths, mask) or
/// there is only one. Any memory order is read; float64 is rounded to float32 with a note.
///
/// On stdout it prints one line of JSON: `variant` and its `parameters`, `shape`, `mask`, `scale`, `threads`,
/// `isa`, `repeat`, the time of a call in ms (`median_ms`, `min_ms`, `p90_ms`; of the call alone: files, outputs
/// and working memory are made ready before, and the first call is not counted), and `scratch_bytes`, the
/// working memory held. With --grad also `backward`, the time of the backward pass.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub(crate) struct Apply {
    /// The variant: a name from `attnbench list variants`, or NAME:key=value,key=value
    #[arg(long, value_name = "NAME", value_parser = variant::parse)]
    variant: VariantArg,
    /// Set a parameter of the variant; repeat for several
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = variant::parse_setting)]
    settings: Vec<(String, String)>,
    /// Queries [B, H, Nq, D]
    #[arg(long, value_name = "FILE", value_parser = source)]
    q: Source,
    /// Keys [B, Hkv, Nk, D]
    #[arg(long, value_name = "FILE", value_parser = source)]
    k: Source,
    /// Values [B, Hkv, Nk, Dv]
    #[arg(long, value_name = "FILE", value_parser = source)]
    v: Source,
    /// A side input or learned parameter of the variant, by the name that `list variants` gives; repeat for
    /// several. Those not given are as they begin there
    #[arg(long = "tensor", value_name = "NAME=FILE", value_parser = named)]
    tensors: Vec<(String, Source)>,
    /// What query i may see of the keys j; repeat to compose, a key must then be visible in all of them.
    ///
    /// full: all (the default). causal: j <= i, query 0 stands at key 0. causal-bottom-right: the last query
    /// stands at the last key. window:W: i - W < j <= i. lengths:FILE: the first n keys of each history, n from
    /// int64 [B]. dense:FILE: bool [Nq, Nk], true = visible.
    #[arg(long = "mask", value_name = "MASK", value_parser = mask::parse)]
    masks: Vec<MaskArg>,
    /// Factor of QKᵀ [default: 1/√D]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = finite)]
    scale: Option<f32>,
    /// Worker threads [default: the CPUs available]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,
    /// Calls to time, after one that is not
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeat: u32,
    /// Where O is written, .npy or .safetensors (there under the name `o`); whole or not at all
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Gradient of a loss by O, [B, H, Nq, Dv]: runs backward too
    #[arg(long, value_name = "FILE", value_parser = source, requires = "out_grads")]
    grad: Option<Source>,
    /// Where gradients are written: PREFIXdq, PREFIXdk and PREFIXdv, with the extension of --out
    #[arg(long, value_name = "PREFIX", requires = "grad")]
    out_grads: Option<String>,
}

fn examples() -> String {
    format!(
        "\
Examples:
  attnbench apply --variant NAME --q q.npy --k k.npy --v v.npy --mask causal --out o.npy
  attnbench apply --variant NAME --set KEY=VALUE --q x.safetensors --k x.safetensors --v x.safetensors \\
      --mask causal --mask lengths:n.npy --threads 1 --repeat 30 --out o.safetensors
  attnbench apply --variant NAME --q q.npy --k k.npy --v v.npy --out o.npy --grad do.npy --out-grads g_
      writes o.npy, g_dq.npy, g_dk.npy and g_dv.npy

NAME is one of {}.",
        attention_variants::names().join(", ")
    )
}

fn source(text: &str) -> Result<Source, std::convert::Infallible> {
    Ok(Source::parse(text))
}

fn named(text: &str) -> Result<(String, Source), String> {
    let parts = text
        .split_once('=')
        .filter(|(name, file)| !name.is_empty() && !file.is_empty());
    parts
        .map(|(name, file)| (name.to_owned(), Source::parse(file)))
        .ok_or_else(|| "expected NAME=FILE".into())
}

fn finite(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|x: &f32| x.is_finite());
    number.ok_or_else(|| "expected a finite number".into())
}

impl Apply {
    /// Checks everything that can be known before, then calls, then writes.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let configured = self.variant.clone().with(&self.settings).configure()?;
        let attention = configured.build()?;
        let (q, k, v) = (
            tensors::tensor(&self.q, "q")?,
            tensors::tensor(&self.k, "k")?,
            tensors::tensor(&self.v, "v")?,
        );
        let mut problem = Problem::new(q.view(), k.view(), v.view())?.with_mask(self.mask()?)?;
        if let Some(scale) = self.scale {
            problem = problem.with_scale(scale);
        }
        attention
            .capabilities()
            .admits_geometry(problem.geometry())?;
        let beside = self.beside(&*attention, &problem)?;
        let problem = problem.supplied(&beside);
        expect_tensors(&*attention, &problem)?;
        let d_o = match &self.grad {
            Some(source) => Some(self.gradient(source, &*attention, &problem)?),
            None => None,
        };
        let (out, grads) = self.sinks()?;
        let threads = self
            .threads
            .map_or_else(measure::machine::available_cpus, usize::from);
        let workers = Workers::new(threads)?;
        call::fits(&*attention, &problem, threads)?;

        let answer = call::call(&*attention, &problem, d_o.as_ref(), &workers, self.repeat)?;
        out.write("o", &answer.output.o)?;
        if let Some(gradients) = &answer.gradients {
            let of = [&gradients.dq, &gradients.dk, &gradients.dv];
            for ((sink, name), tensor) in grads.iter().zip(GRADIENTS).zip(of) {
                sink.write(name, tensor)?;
            }
        }

        let s = problem.shape();
        let mut row = json!({
            "variant": configured.variant().name,
            "parameters": configured.parameters().iter().map(parameter).collect::<Map<_, _>>(),
            "shape": {"b": s.b, "h": s.h, "hkv": s.hkv, "nq": s.nq, "nk": s.nk, "d": s.d, "dv": s.dv},
            "mask": self.masks.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "scale": problem.scale(),
            "threads": threads,
            "isa": measure::machine::isa(),
            "repeat": self.repeat,
            "scratch_bytes": answer.scratch_bytes,
        });
        let merge = |row: &mut serde_json::Value, timing: Timing| {
            row["median_ms"] = timing.median_ms.into();
            row["min_ms"] = timing.min_ms.into();
            row["p90_ms"] = timing.p90_ms.into();
        };
        merge(&mut row, answer.forward);
        if let Some(timing) = answer.backward {
            merge(&mut row["backward"], timing);
        }
        output::line(row)
    }

    /// What the variant needs beside Q, K and V: from files, or as it begins.
    fn beside(&self, attention: &dyn Attention, problem: &Problem<'_>) -> Result<Tensors, Failure> {
        let mut beside = Tensors::of(attention, problem.geometry(), 0);
        for (name, source) in &self.tensors {
            let given = tensors::any(source, name)?;
            let known: Vec<&str> = beside.iter().map(|(name, _)| name).collect();
            let known = match known.as_slice() {
                [] => "it needs none".to_owned(),
                known => format!("it needs {}", known.join(", ")),
            };
            *beside.get_mut(name).ok_or_else(|| {
                let variant = attention.capabilities().variant;
                Failure::request(format!("{variant} has no tensor `{name}`"), known.as_str())
            })? = given;
        }
        Ok(beside)
    }

    fn mask(&self) -> Result<Mask, Failure> {
        self.masks
            .iter()
            .try_fold(Mask::full(), |all, arg| Ok(all.and(&arg.load()?)))
    }

    fn gradient(
        &self,
        source: &Source,
        attention: &dyn Attention,
        problem: &Problem<'_>,
    ) -> Result<Array4<f32>, Failure> {
        attention.capabilities().require(Feature::Backward)?;
        let d_o = tensors::tensor(source, "do")?;
        let s = problem.shape();
        expect_shape("dO", "[B, H, Nq, Dv]", d_o.shape(), &[s.b, s.h, s.nq, s.dv])?;
        Ok(d_o)
    }

    /// Where O goes, and where dQ, dK and dV go if they are asked for.
    fn sinks(&self) -> Result<(Sink, Vec<Sink>), Failure> {
        let extension = Format::of(&self.out)?.extension();
        let prefix = self.out_grads.iter();
        let names =
            prefix.flat_map(|p| GRADIENTS.map(|g| PathBuf::from(format!("{p}{g}.{extension}"))));
        let paths: Vec<PathBuf> = names.collect();
        for path in paths.iter().chain([&self.out]) {
            self.spare_inputs(path)?;
        }
        let grads = paths.iter().map(|path| Sink::create(path));
        Ok((Sink::create(&self.out)?, grads.collect::<Result<_, _>>()?))
    }

    fn spare_inputs(&self, path: &Path) -> Result<(), Failure> {
        let files = self
            .masks
            .iter()
            .filter_map(MaskArg::source)
            .chain(&self.grad)
            .chain(self.tensors.iter().map(|(_, source)| source));
        let mut inputs = [&self.q, &self.k, &self.v].into_iter().chain(files);
        let same = |input: &Source| {
            let (a, b) = (input.path.canonicalize(), path.canonicalize());
            matches!((a, b), (Ok(a), Ok(b)) if a == b)
        };
        match inputs.find(|input| same(input)) {
            None => Ok(()),
            Some(input) => Err(Failure::request(
                format!("{} would overwrite the input {input}", path.display()),
                "write to another file",
            )),
        }
    }
}

/// Names of the gradients, in files and within them.
const GRADIENTS: [&str; 3] = ["dq", "dk", "dv"];

fn parameter(
    (name, value): (&'static str, attention::variant::Value),
) -> (String, serde_json::Value) {
    (name.to_owned(), variant::json(value))
}
