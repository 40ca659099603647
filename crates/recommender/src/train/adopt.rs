//! What one training has learned, as where another begins.

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
        let (mut values, mut left) = (Vec::new(), Vec::new());
        for (n, (name, var)) in self.names.iter().zip(&self.learned).enumerate() {
            let theirs = other.names.iter().position(|known| known == name);
            let theirs = theirs
                .map(|n| &other.learned[n])
                .filter(|theirs| theirs.dims() == var.dims());
            if theirs.is_none() {
                left.push(n);
            }
            values.push(attention_candle::floats(theirs.unwrap_or(var))?.to_vec());
        }
        self.set_learned(&values)?;
        Ok(left.into_iter().map(|n| self.names[n].as_str()).collect())
    }
}
