//! Which problems can be cut out of tensors.

use super::Qkv;
use attention::Shape;
use std::fmt;

/// Sizes that tensors do not have, all at once, so that one look at them is enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct DoesNotFit {
    /// The tensors.
    pub label: String,
    /// What they lack; never empty.
    pub misfits: Vec<Misfit>,
}

/// One size that tensors do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// The size, in letters.
    pub letter: &'static str,
    /// What the tensors have.
    pub has: usize,
    /// What was asked for.
    pub asked: usize,
    /// The key of `[problem]` to set.
    pub key: &'static str,
    /// What to set it to.
    pub set: usize,
    /// Whether less would do as well.
    pub at_most: bool,
}

impl Qkv {
    /// The key heads that the first `h` query heads read; `h` itself where that would be no problem
    /// of attention.
    #[must_use]
    pub fn key_heads(&self, h: usize) -> usize {
        let shared = h.div_ceil(self.sharing());
        if h.is_multiple_of(shared.max(1)) {
            shared
        } else {
            h
        }
    }

    /// H/Hkv.
    fn sharing(&self) -> usize {
        self.shape().h / self.shape().hkv
    }

    /// Whether a problem of such sizes can be cut out: the first histories and heads, the latest
    /// events. Head dimensions cannot be cut, and a query head must read the key head that it reads
    /// in the whole.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn holds(&self, asked: &Shape) -> Result<(), DoesNotFit> {
        let has = self.shape();
        let size = |letter, has, asked, key, at_most| Misfit {
            letter,
            has,
            asked,
            key,
            set: has,
            at_most,
        };
        let sharing = |key, set| Misfit {
            letter: "H/Hkv",
            has: self.sharing(),
            asked: asked.h / asked.hkv.max(1),
            key,
            set,
            at_most: false,
        };
        let mut misfits = Vec::new();
        if asked.b > has.b {
            misfits.push(size("B", has.b, asked.b, "batch", true));
        }
        let whole = self.sharing() * (asked.h / self.sharing());
        if asked.h > has.h {
            misfits.push(size("H", has.h, asked.h, "heads", true));
        } else if asked.h > self.sharing() && asked.h != whole {
            misfits.push(sharing("heads", whole));
        } else if asked.hkv != asked.h.div_ceil(self.sharing()) {
            misfits.push(sharing("key_heads", asked.h.div_ceil(self.sharing())));
        }
        if asked.d != has.d {
            misfits.push(size("D", has.d, asked.d, "head_dimension", false));
        }
        if asked.dv != has.dv {
            misfits.push(size("Dv", has.dv, asked.dv, "value_dimension", false));
        }
        if asked.nk > has.nk {
            misfits.push(size("N", has.nk, asked.nk, "length", true));
        }
        // As many queries as keys are asked for by their length alone.
        if asked.nq > has.nq && (asked.nq != asked.nk || has.nq != has.nk) {
            misfits.push(size("Nq", has.nq, asked.nq, "queries", true));
        }
        if misfits.is_empty() {
            Ok(())
        } else {
            let label = self.label().to_owned();
            Err(DoesNotFit { label, misfits })
        }
    }
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |text: &dyn Fn(&Misfit) -> String| {
            let texts: Vec<String> = self.misfits.iter().map(text).collect();
            texts.join(", ")
        };
        write!(
            f,
            "{} has {}, asked for is {}: set {}",
            self.label,
            all(&|m| format!("{} = {}", m.letter, m.has)),
            all(&|m| format!("{} = {}", m.letter, m.asked)),
            all(&|m| {
                let most = if m.at_most { "at most " } else { "" };
                format!("problem.{} to {most}{}", m.key, m.set)
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    /// Eight query heads over two key heads.
    fn grouped() -> Qkv {
        let (q, k, v) = ((3, 8, 20, 4), (3, 2, 20, 4), (3, 2, 20, 5));
        Qkv::of(
            Array4::zeros(q),
            Array4::zeros(k),
            Array4::zeros(v),
            "x.safetensors".into(),
        )
        .unwrap()
    }

    fn asked(h: usize, hkv: usize, n: usize) -> Shape {
        Shape {
            b: 2,
            h,
            hkv,
            nq: n,
            nk: n,
            d: 4,
            dv: 5,
        }
    }

    #[test]
    fn every_size_that_is_not_there_is_named_at_once() {
        let shape = Shape {
            b: 4,
            d: 64,
            ..asked(16, 16, 40)
        };
        assert_eq!(
            grouped().holds(&shape).unwrap_err().to_string(),
            "x.safetensors has B = 3, H = 8, D = 4, N = 20, asked for is B = 4, H = 16, D = 64, N = 40: \
             set problem.batch to at most 3, problem.heads to at most 8, problem.head_dimension to 4, \
             problem.length to at most 20"
        );
    }

    #[test]
    fn a_query_head_keeps_its_key_head() {
        let tensors = grouped();
        for h in 1..=8 {
            let fits = tensors.holds(&asked(h, tensors.key_heads(h), 7)).is_ok();
            assert_eq!(fits, h <= 4 || h == 8, "{h} query heads");
        }
        let refused = |h, hkv| tensors.holds(&asked(h, hkv, 7)).unwrap_err().to_string();
        assert_eq!(
            refused(4, 2),
            "x.safetensors has H/Hkv = 4, asked for is H/Hkv = 2: set problem.key_heads to 1"
        );
        assert_eq!(
            refused(6, 2),
            "x.safetensors has H/Hkv = 4, asked for is H/Hkv = 3: set problem.heads to 4"
        );
    }

    #[test]
    fn few_queries_need_not_be_as_many_as_keys() {
        let few = Qkv::of(
            Array4::zeros((1, 1, 2, 4)),
            Array4::zeros((1, 1, 20, 4)),
            Array4::zeros((1, 1, 20, 4)),
            "x".into(),
        )
        .unwrap();
        let shape = |nq, nk| Shape {
            nq,
            nk,
            ..Shape::square(1, 1, 0, 4)
        };
        assert_eq!(few.holds(&shape(2, 12)), Ok(()));
        assert_eq!(
            few.holds(&shape(12, 12)).unwrap_err().to_string(),
            "x has Nq = 2, asked for is Nq = 12: set problem.queries to at most 2"
        );
    }
}
