//! What a model learns, by name, and how it begins.

use super::ModelError;
use attention::{Init, TensorSpec};
use candle_core::{Device, Tensor, Var};
use ndarray::ArrayD;

/// Learned tensors in the order in which they were made; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    entries: Vec<(String, Var)>,
    seed: u64,
}

impl Parameters {
    /// None yet; what is added begins by this seed and its own name.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            seed,
        }
    }

    /// Names and tensors.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.entries.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// A table `[rows, columns]` of normal numbers of deviation √(2/(rows + columns)) (Glorot & Bengio 2010,
    /// equation 16, in its normal form).
    ///
    /// # Errors
    /// candle's.
    pub fn table(&mut self, name: &str, rows: usize, columns: usize) -> Result<Var, ModelError> {
        let deviation = (2.0 / (rows + columns) as f64).sqrt() as f32;
        let table = self.draw(name, &[rows, columns], Init::Normal(deviation));
        self.add(name, table)
    }

    /// A linear layer `[inputs + 1, outputs]`: a [`table`](Self::table) over a row of `bias`.
    ///
    /// # Errors
    /// candle's.
    pub fn linear(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: f32,
    ) -> Result<Var, ModelError> {
        let deviation = (2.0 / (inputs + outputs) as f64).sqrt() as f32;
        self.linear_of(name, (inputs, outputs), deviation, bias)
    }

    /// A linear layer `[inputs + 1, outputs]` of normal numbers of this deviation over a row of `bias`.
    ///
    /// # Errors
    /// candle's.
    pub fn linear_of(
        &mut self,
        name: &str,
        (inputs, outputs): (usize, usize),
        deviation: f32,
        bias: f32,
    ) -> Result<Var, ModelError> {
        let mut layer = self.draw(name, &[inputs + 1, outputs], Init::Normal(deviation));
        layer.index_axis_mut(ndarray::Axis(0), inputs).fill(bias);
        self.add(name, layer)
    }

    /// A layer norm `[2, width]`: gains of one, shifts of zero.
    ///
    /// # Errors
    /// candle's.
    pub fn norm(&mut self, name: &str, width: usize) -> Result<Var, ModelError> {
        let norm = ArrayD::from_shape_fn(vec![2, width], |at| f32::from(u8::from(at[0] == 0)));
        self.add(name, norm)
    }

    /// A tensor that an attention variant declares.
    ///
    /// # Errors
    /// candle's.
    pub fn declared(&mut self, name: &str, spec: &TensorSpec) -> Result<Var, ModelError> {
        let tensor = self.draw(name, &spec.shape, spec.init);
        self.add(name, tensor)
    }

    fn draw(&self, name: &str, shape: &[usize], init: Init) -> ArrayD<f32> {
        // The name is part of the seed: what is added later changes nothing of what there is.
        let seed = name.bytes().fold(self.seed, |seed, byte| {
            (seed ^ u64::from(byte))
                .wrapping_mul(0x0000_0100_0000_01B3)
                .rotate_left(17)
        });
        let spec = TensorSpec {
            name: "parameter",
            learned: true,
            shape: shape.to_vec(),
            init,
            summary: "",
        };
        spec.make(seed)
    }

    fn add(&mut self, name: &str, tensor: ArrayD<f32>) -> Result<Var, ModelError> {
        let shape = tensor.shape().to_vec();
        let tensor = Tensor::from_vec(tensor.into_raw_vec_and_offset().0, shape, &Device::Cpu)?;
        let var = Var::from_tensor(&tensor)?;
        self.entries.push((name.to_owned(), var.clone()));
        Ok(var)
    }
}
