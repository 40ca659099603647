//! burn's flex backend: its attention, which chooses by itself between tiles and whole scores.

use crate::cell::Cell;
use crate::{Call, Fault};
use burn_backend::TensorData;
use burn_backend::ops::AttentionModuleOptions;
use burn_flex::FlexTensor;
use burn_flex::ops::attention as flex;

struct Burn {
    q: FlexTensor,
    k: FlexTensor,
    v: FlexTensor,
    options: AttentionModuleOptions,
    answer: Option<FlexTensor>,
}

pub(crate) fn attention(cell: &Cell) -> Result<Box<dyn Call>, Fault> {
    let tensor = |name| {
        let (values, shape) = cell.tensor(name)?;
        Ok::<_, Fault>(FlexTensor::from_data(TensorData::new(values, shape)))
    };
    Ok(Box::new(Burn {
        q: tensor("q")?,
        k: tensor("k")?,
        v: tensor("v")?,
        options: AttentionModuleOptions {
            scale: Some(f64::from(cell.scale)),
            softcap: None,
            is_causal: cell.causal(),
        },
        answer: None,
    }))
}

impl Call for Burn {
    fn run(&mut self) -> Result<(), Fault> {
        let (q, k, v) = (self.q.clone(), self.k.clone(), self.v.clone());
        self.answer = Some(flex::attention(q, k, v, None, None, self.options));
        Ok(())
    }

    fn output(&self) -> Result<Vec<f32>, Fault> {
        let answer = self
            .answer
            .clone()
            .ok_or_else(|| Fault::Failed("the cell was not run".into()))?;
        let data = answer.into_data();
        data.try_to_vec()
            .map_err(|error| Fault::Failed(format!("{error:?}")))
    }
}
