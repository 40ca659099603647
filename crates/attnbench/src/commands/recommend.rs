//! `recommend`: what a user would see.

use crate::failure::Failure;
use crate::output;
use crate::study;
use crate::table::Table;
use clap::{ArgGroup, Args};
use experiment::study::TrainedRun;
use ndarray::Array2;
use recommender::Seen;
use recommender::evaluate::top_k;
use recommender::model::influence;
use std::path::PathBuf;

/// Recommend the next items to a user of the log, or after any history
///
/// With titles where the log has them, and with the past events that the list rests on: the share of each is how
/// much the listed items' scores fall without it, over the sum of all falls.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("who").required(true))]
pub(crate) struct Recommend {
    /// The folder of a training, below trainings/ of a study
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A user of the log, by the log's own name
    #[arg(long, value_name = "ID", group = "who")]
    user: Option<String>,
    /// Items by the log's own names, oldest first, with commas between
    #[arg(
        long,
        value_name = "ITEM,ITEM,...",
        group = "who",
        value_delimiter = ','
    )]
    history: Vec<String>,
    /// Items to list
    #[arg(long, value_name = "K", default_value_t = 10)]
    top: usize,
    /// Past events to list
    #[arg(long, value_name = "N", default_value_t = 8)]
    because: usize,
}

impl Recommend {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let run = TrainedRun::open(&self.run, study::threads(0))?;
        let history = self.events(&run)?;
        let log = &run.data.log;
        let model = experiment::study::StudyError::from;
        let scorer = run.trainer.scorer();
        let mut scores = Array2::zeros((1, log.items()));
        scorer
            .score(&[&history], scores.view_mut())
            .map_err(model)?;
        let mut row = scores.into_raw_vec_and_offset().0;
        if run.info.evaluation.seen == Seen::Removed {
            history
                .iter()
                .for_each(|&item| row[item as usize] = f32::NAN);
        }
        let found = top_k(&row, self.top);
        let mut table = Table::new(&[">", "item", ">score"]);
        for (place, (item, score)) in (1..).zip(&found) {
            let cells = [
                place.to_string(),
                run.data.title(*item).into(),
                format!("{score:.2}"),
            ];
            table.row(cells);
        }
        output::line(table)?;
        let items: Vec<u32> = found.iter().map(|(item, _)| *item).collect();
        let shares = influence(&scorer, &history, &items).map_err(model)?;
        let first = history.len() - shares.len();
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
        let mut table = Table::new(&[">share", ">events ago", "because of"]);
        for at in order.into_iter().take(self.because) {
            let ago = shares.len() - at;
            let share = format!("{:.1} %", 100.0 * shares[at]);
            let title = run.data.title(history[first + at]);
            table.row([share, ago.to_string(), title.to_owned()]);
        }
        output::line(format_args!("\n{table}"))
    }

    fn events(&self, run: &TrainedRun) -> Result<Vec<u32>, Failure> {
        let log = &run.data.log;
        if let Some(name) = &self.user {
            let user = (0..log.users()).find(|&user| log.user_name(user) == name);
            return match user {
                Some(user) => Ok(log.history(user).to_vec()),
                None => Err(Failure::request(
                    format!("the log has no user `{name}`"),
                    format!(
                        "its {} users begin with `{}`",
                        log.users(),
                        log.user_name(0)
                    )
                    .as_str(),
                )),
            };
        }
        let item = |name: &String| {
            let found = (0..log.items() as u32).find(|&item| log.item_name(item) == name.trim());
            found.ok_or_else(|| {
                Failure::request(
                    format!("the log has no item `{name}`"),
                    format!(
                        "its {} items begin with `{}`",
                        log.items(),
                        log.item_name(0)
                    )
                    .as_str(),
                )
            })
        };
        self.history.iter().map(item).collect()
    }
}
