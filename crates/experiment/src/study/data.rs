//! The log of a study: where it comes from, and how events are held out.

use recommender::data::{ItemColumns, ItemFeatures, read_items};
use recommender::prepare::LogSource;
use recommender::{
    Holdout, Interactions, LogError, LogFormat, PrepareError, ShopConfig, ShopError, Split,
    simulate_shop,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A log and a split.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The file, relative to the config or to the folder named by `ATTNBENCH_DATA`.
    pub log: Option<PathBuf>,
    /// A shop to simulate in the place of a file.
    pub simulated: Option<ShopConfig>,
    /// The file's format, told from the file where it is not named.
    pub format: LogFormat,
    /// Events that a user must have; 0 keeps all.
    pub user_minimum: usize,
    /// Events that an item must have; 0 keeps all.
    pub item_minimum: usize,
    /// A file with titles and categories of items.
    pub items: Option<PathBuf>,
    /// Its columns, where they have other names than the common ones.
    pub item_columns: ItemColumns,
    /// How events are held out.
    pub holdout: HoldoutConfig,
}

/// A split as configs name it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldoutConfig {
    /// The last event of each user tests, the one before it validates.
    #[default]
    LeaveOneOut,
    /// As above, for all events at one time.
    LeaveLastBasketOut,
    /// Shares of all events before validation and before the test.
    GlobalTime(f64, f64),
}

/// What can be wrong with a study's log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyDataError {
    /// Neither a file nor a shop, or both.
    #[error("[data] names {0}: give either `log` or `simulated`")]
    Source(&'static str),
    /// No such file.
    #[error("no file {}: looked for {tried}; a relative path is taken from the config's folder, then from the folder in ATTNBENCH_DATA", path.display())]
    Missing {
        /// As it was given.
        path: PathBuf,
        /// Where it was looked for.
        tried: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The simulated shop.
    #[error(transparent)]
    Shop(#[from] ShopError),
    /// It cannot be split so.
    #[error(transparent)]
    Split(#[from] PrepareError),
}

/// An open log.
#[derive(Debug)]
pub struct StudyData {
    /// The histories.
    pub log: Interactions,
    /// Titles and categories, where a file has them.
    pub features: Option<ItemFeatures>,
    /// `simulated shop`, or the file's name.
    pub label: String,
    holdout: Holdout,
}

impl DataConfig {
    /// Reads the log, or takes it from the cache folder.
    ///
    /// # Errors
    /// [`StudyDataError`].
    pub fn open(
        &self,
        folder: Option<&Path>,
        cache: Option<&Path>,
    ) -> Result<StudyData, StudyDataError> {
        let (log, label) = match (&self.log, &self.simulated) {
            (None, None) => return Err(StudyDataError::Source("no log")),
            (Some(_), Some(_)) => return Err(StudyDataError::Source("two logs")),
            (None, Some(shop)) => (simulate_shop(shop)?.interactions, "simulated shop".into()),
            (Some(path), None) => {
                let source = LogSource {
                    path: find(path, folder)?,
                    format: self.format.clone(),
                    user_minimum: self.user_minimum,
                    item_minimum: self.item_minimum,
                };
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                (source.open(cache)?.0, name.into_owned())
            }
        };
        let items = self.items.as_ref().map(|path| find(path, folder));
        let features = items
            .transpose()?
            .map(|path| read_items(&path, &self.item_columns, &log))
            .transpose()?;
        let holdout = match self.holdout {
            HoldoutConfig::LeaveOneOut => Holdout::LeaveOneOut,
            HoldoutConfig::LeaveLastBasketOut => Holdout::LeaveLastBasketOut,
            HoldoutConfig::GlobalTime(validation, test) => {
                Holdout::global_time(&log, validation, test)?
            }
        };
        Ok(StudyData {
            log,
            features,
            label,
            holdout,
        })
    }
}

impl StudyData {
    /// The log, split; checked not to leak.
    ///
    /// # Errors
    /// [`StudyDataError::Split`].
    pub fn split(&self) -> Result<Split<'_>, StudyDataError> {
        Ok(Split::new(&self.log, self.holdout)?)
    }

    /// What a person would call an item.
    #[must_use]
    pub fn title(&self, item: u32) -> &str {
        let title = self.features.as_ref().and_then(|known| known.title(item));
        title.unwrap_or_else(|| self.log.item_name(item))
    }
}

fn find(given: &Path, folder: Option<&Path>) -> Result<PathBuf, StudyDataError> {
    crate::find::find(given, folder).map_err(|tried| StudyDataError::Missing {
        path: given.into(),
        tried,
    })
}
