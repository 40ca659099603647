//! Attention of each query over its top-k keys.
//!
//! ```
//! use attention::variant::Parameters;
//! use attention::{Output, Problem, Scratch, Workers};
//! use ndarray::Array4;
//! let x = Array4::from_shape_fn((1, 1, 6, 2), |(_, _, i, d)| (i as f32) * (1.0 - d as f32));
//! let problem = Problem::new(x.view(), x.view(), x.view())?;
//! let top_k = attention_retrieval::TOP_K;
//! let mut parameters = Parameters::defaults(top_k.parameters);
//! parameters.set("k", top_k.parameters[0].accept("1")?);
//! let variant = (top_k.build)(&parameters)?;
//! let mut out = Output::poisoned(problem.geometry(), false);
//! variant.forward(&problem, out.view_mut(), &Workers::serial(), &mut Scratch::new())?;
//! assert_eq!(out.o[[0, 0, 3, 0]], 5.0, "the best key of query 3 is the last");
//! # Ok::<(), attention::Error>(())
//! ```

#![forbid(unsafe_code)]

mod topk;

pub use topk::VARIANT as TOP_K;
