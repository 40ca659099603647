//! G5: Q, K and V of a trained recommender, or whatever else is in a file.

use super::{History, InputError, Needs, Request, Workload};
use crate::data::DataError;
use attention::Shape;

/// Tensors of a file.
pub(super) static TENSORS: Workload = Workload {
    name: "tensors",
    label: "tensors",
    summary: "Q, K and V of a file, such as `attnbench export` writes of a trained recommender: the latest events of its \
              first histories",
    source: "G5; natural scale: the numbers as they are, so that logits are those of a model that divides by √D",
    least_dimension: 1,
    needs: Needs::Tensors,
    generate,
};

fn generate(request: &Request<'_>) -> Result<History, InputError> {
    let tensors = request.tensors.ok_or(DataError::NoTensors)?;
    let &Request {
        history,
        h,
        hkv,
        nq,
        nk,
        d,
        dv,
        ..
    } = request;
    tensors.holds(&Shape {
        b: history + 1,
        h,
        hkv,
        nq,
        nk,
        d,
        dv,
    })?;
    let [q, k, v] = tensors.latest(history, (h, nq), (hkv, nk));
    Ok(History { q, k, v })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::Qkv;
    use crate::workload::tests::request;
    use ndarray::Array4;

    /// An entry says where it stands: history, head, event, feature.
    fn numbered(shape: (usize, usize, usize, usize)) -> Array4<f32> {
        Array4::from_shape_fn(shape, |(b, h, n, d)| {
            (1000 * b + 100 * h + 10 * n + d) as f32
        })
    }

    fn tensors() -> Qkv {
        let (q, k) = (numbered((3, 4, 9, 2)), numbered((3, 2, 9, 2)));
        Qkv::of(q, k, numbered((3, 2, 9, 3)), "x.safetensors".into()).unwrap()
    }

    #[test]
    fn the_latest_events_of_the_first_heads_are_taken() {
        let tensors = tensors();
        let asked = Request {
            history: 1,
            h: 2,
            hkv: 1,
            nq: 2,
            dv: 3,
            tensors: Some(&tensors),
            ..request(5, 2)
        };
        let made = generate(&asked).unwrap();
        assert_eq!(made.q.dim(), (2, 2, 2));
        assert_eq!((made.k.dim(), made.v.dim()), ((1, 5, 2), (1, 5, 3)));
        let last = |heads: f32| 1000.0 + 100.0 * heads + 10.0 * 8.0 + 1.0;
        assert_eq!(made.q[[1, 1, 1]], last(1.0));
        assert_eq!(made.k[[0, 4, 1]], last(0.0));
        assert_eq!(made.k[[0, 0, 0]], 1040.0, "four events are left out");
    }

    #[test]
    fn what_the_file_does_not_have_is_refused() {
        let tensors = tensors();
        let asked = Request {
            history: 3,
            dv: 3,
            tensors: Some(&tensors),
            ..request(10, 2)
        };
        let error = generate(&asked).unwrap_err();
        assert!(matches!(error, InputError::DoesNotFit(_)), "{error}");
        assert!(
            error.to_string().contains("B = 3, H/Hkv = 2, N = 9"),
            "{error}"
        );
        let error = generate(&request(5, 2)).unwrap_err();
        assert!(
            matches!(error, InputError::Data(DataError::NoTensors)),
            "{error}"
        );
    }
}
