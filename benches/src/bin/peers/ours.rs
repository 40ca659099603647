//! Our variants on a cell: padded, jagged or one history at a time.

use crate::inputs::{Inputs, Jagged};
use attention::{Attention, Feature, Gradients, Output, Problem, Scratch, Workers};
use attention_variants::Configured;
use ndarray::{Array4, Axis, s};
use peers::{Answer, Work};
use std::error::Error;
use std::time::{Duration, Instant};

/// A variant with all that a call needs.
pub(crate) struct Ours<'a> {
    attention: Box<dyn Attention>,
    /// One problem, or one a history.
    calls: Vec<Call<'a>>,
    d_o: Option<&'a Array4<f32>>,
    workers: &'a Workers,
    scratch: Scratch,
}

struct Call<'a> {
    problem: Problem<'a>,
    output: Output,
    gradients: Option<Gradients>,
}

/// How a variant is named in `cells.toml`: `blocked`, `blocked jagged` or `blocked one by one`.
pub(crate) fn layout(name: &str) -> (&str, &str) {
    name.split_once(' ').unwrap_or((name, "padded"))
}

impl<'a> Ours<'a> {
    /// Builds the variant and its problems.
    pub(crate) fn prepare(
        name: &str,
        inputs: &'a Inputs,
        jagged: Option<&'a Jagged>,
        work: Work,
        workers: &'a Workers,
    ) -> Result<Self, Box<dyn Error>> {
        let (variant, layout) = layout(name);
        let attention = Configured::new(variant, [])?.build()?;
        let problems = match (layout, jagged, &inputs.lengths) {
            ("padded", ..) => vec![inputs.problem()?],
            ("jagged", Some(jagged), _) => vec![jagged.problem()?],
            ("one by one", _, Some(lengths)) => {
                let alone = lengths.iter().enumerate().map(|(b, &n)| {
                    let cut = s![b..=b, .., ..n, ..];
                    let (q, k, v) = (&inputs.q, &inputs.k, &inputs.v);
                    Problem::new(q.slice(cut), k.slice(cut), v.slice(cut))
                });
                alone.collect::<Result<_, _>>()?
            }
            _ => return Err(format!("the cell has no layout `{layout}`").into()),
        };
        let training = work == Work::Training;
        let mut scratch = Scratch::new();
        let calls = problems.into_iter().map(|problem| {
            attention
                .capabilities()
                .admits_geometry(problem.geometry())?;
            scratch.reserve(attention.scratch_bytes(problem.geometry(), workers.threads()));
            let saves = training && attention.capabilities().has(Feature::LogSumExp);
            let output = Output::poisoned(problem.geometry(), saves);
            let gradients = training.then(|| Gradients::zeros(&problem));
            if training {
                let threads = workers.threads();
                scratch.reserve(attention.backward_scratch_bytes(problem.geometry(), threads));
            }
            Ok(Call {
                problem,
                output,
                gradients,
            })
        });
        let calls = calls.collect::<attention::Result<_>>()?;
        let d_o = training.then_some(&inputs.d_o);
        Ok(Self {
            attention,
            calls,
            d_o,
            workers,
            scratch,
        })
    }

    /// One pass over all problems, timed.
    pub(crate) fn run(&mut self) -> attention::Result<Duration> {
        let Self {
            attention,
            calls,
            d_o,
            workers,
            scratch,
        } = self;
        let start = Instant::now();
        for Call {
            problem,
            output,
            gradients,
        } in calls
        {
            attention.forward(problem, output.view_mut(), workers, scratch)?;
            if let (Some(d_o), Some(gradients)) = (d_o.as_ref(), gradients) {
                attention.backward(problem, output, d_o.view(), gradients, workers, scratch)?;
            }
        }
        Ok(start.elapsed())
    }

    /// The last answer, padded `[B, H, Nq, Dv]`; zeros where no query is.
    pub(crate) fn answer(&self, shape: (usize, usize, usize, usize)) -> Answer {
        let [
            Call {
                problem,
                output,
                gradients,
            },
        ] = self.calls.as_slice()
        else {
            let mut o = Array4::zeros(shape);
            for (b, call) in self.calls.iter().enumerate() {
                let part = call.output.o.index_axis(Axis(0), 0);
                o.slice_mut(s![b, .., ..part.dim().1, ..]).assign(&part);
            }
            return Answer { o, gradients: None };
        };
        let geometry = problem.geometry();
        if !geometry.is_jagged() {
            let gradients = gradients.as_ref();
            return Answer {
                o: output.o.clone(),
                gradients: gradients.map(|g| [g.dq.clone(), g.dk.clone(), g.dv.clone()]),
            };
        }
        let mut o = Array4::zeros(shape);
        for b in 0..geometry.shape().b {
            let tokens = geometry.query_range(b);
            o.slice_mut(s![b, .., ..tokens.len(), ..])
                .assign(&output.o.slice(s![0, .., tokens, ..]));
        }
        Answer { o, gradients: None }
    }

    /// Poisons the outputs, so that a slot which is never written shows.
    pub(crate) fn poison(&mut self) {
        for call in &mut self.calls {
            call.output.poison();
            if let Some(gradients) = &mut call.gradients {
                gradients.fill(f32::NAN);
            }
        }
    }

    /// The error that the variant declares, given the largest |score|.
    pub(crate) fn budget(&self, max_abs_score: f64) -> f64 {
        self.attention.error_budget(max_abs_score)
    }
}
