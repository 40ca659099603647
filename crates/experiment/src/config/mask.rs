//! Problem masks as words: `full`, `causal`, `causal-bottom-right`, `window:W`, joined by `+`.

use attention::Mask;
use attention::mask::{Alignment, Part};
use attention_variants::nearest;
use std::fmt;

/// A problem mask before sizes are known.
///
/// `causal` puts query 0 at key 0, `causal-bottom-right` the last query at the last key; a window
/// follows the alignment of the causal mask that it is joined with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskSpec {
    causal: Option<Alignment>,
    /// Keys that end at the query.
    window: Option<usize>,
}

impl MaskSpec {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut spec = Self {
            causal: None,
            window: None,
        };
        let parts: Vec<&str> = text.split('+').map(str::trim).collect();
        for part in &parts {
            let twice = match part.split_once(':') {
                Some(("window", width)) => {
                    let width = width.trim().parse().ok().filter(|w| *w > 0);
                    let width =
                        width.ok_or("a window needs a whole number from 1 on, as in window:64")?;
                    spec.window.replace(width).is_some()
                }
                None if *part == "full" && parts.len() == 1 => false,
                None if *part == "full" => {
                    return Err("`full` hides nothing; leave it out of a sum".into());
                }
                None if *part == "causal" => spec.causal.replace(Alignment::TopLeft).is_some(),
                None if *part == "causal-bottom-right" => {
                    spec.causal.replace(Alignment::BottomRight).is_some()
                }
                _ => {
                    let known = ["full", "causal", "causal-bottom-right", "window:W"];
                    let meant = nearest(part, &known)
                        .map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
                    return Err(format!("one of {}, joined by +{meant}", known.join(", ")));
                }
            };
            if twice {
                return Err("each kind of mask once: two of a kind contradict each other".into());
            }
        }
        Ok(spec)
    }

    /// What makes the mask senseless for these sizes, and what to do.
    pub(super) fn objection(
        &self,
        nq: usize,
        nk: usize,
        longest: usize,
    ) -> Option<(String, &'static str)> {
        if let Some(width) = self.window.filter(|w| *w >= longest) {
            return Some((
                format!("a window of {width} hides nothing from histories of at most {longest}"),
                "take a narrower window, or leave it out",
            ));
        }
        let aligned_top = self.causal == Some(Alignment::TopLeft)
            || self.window.is_some() && self.causal.is_none();
        if aligned_top && nq != nk {
            return Some((
                format!(
                    "with {nq} queries and {nk} keys, query 0 would stand at key 0, not at the history's end"
                ),
                "use causal-bottom-right, which puts the last query at the last key",
            ));
        }
        (self.causal == Some(Alignment::BottomRight) && nq > nk).then(|| {
            (
                format!(
                    "of {nq} queries over {nk} keys the first {} would see nothing",
                    nq - nk
                ),
                "use at most as many queries as keys",
            )
        })
    }

    /// The mask itself.
    #[must_use]
    pub fn build(&self) -> Mask {
        let alignment = self.causal.unwrap_or(Alignment::TopLeft);
        let causal = self.causal.map_or_else(Mask::full, Mask::causal);
        match self.window {
            Some(width) => causal.and(&Part::Window { width, alignment }.into()),
            None => causal,
        }
    }
}

impl fmt::Display for MaskSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causal = self.causal.map(|alignment| match alignment {
            Alignment::TopLeft => "causal".to_owned(),
            Alignment::BottomRight => "causal-bottom-right".to_owned(),
            Alignment::Offset(k) => format!("causal offset {k}"),
        });
        let window = self.window.map(|width| format!("window:{width}"));
        let parts: Vec<_> = causal.into_iter().chain(window).collect();
        if parts.is_empty() {
            f.write_str("full")
        } else {
            f.write_str(&parts.join(" + "))
        }
    }
}
