//! What one training has learned, as where another begins.

use super::checkpoint::set;
use super::error::TrainError;
use super::trainer::Trainer;

impl Trainer {
    /// Takes over every learned tensor that the other has under the same name and in the same shape; gives the
    /// names of those that stay as they began. Moments and epochs begin anew.
    ///
    /// This is the swap test's first half: a model with another attention, in the place of the one that was
    /// trained.
    ///
    /// # Errors
    /// candle's.
    pub fn adopt(&mut self, other: &Self) -> Result<Vec<&str>, TrainError> {
        let mut left = Vec::new();
        for (name, var) in self.names.iter().zip(&self.learned) {
            let theirs = other.names.iter().position(|known| known == name);
            let theirs = theirs
                .map(|n| &other.learned[n])
                .filter(|theirs| theirs.dims() == var.dims());
            match theirs {
                Some(theirs) => set(var, &attention_candle::floats(theirs)?)?,
                None => left.push(name.as_str()),
            }
        }
        Ok(left)
    }
}
