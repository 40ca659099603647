//! The problem mask as it is asked for on the command line.

use crate::failure::Failure;
use crate::tensors::{self, Source};
use attention::mask::{Alignment, Mask};
use attention_variants::nearest;
use std::fmt;

/// One `--mask`; several compose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MaskArg {
    /// Every query sees every key.
    Full,
    /// Query 0 stands at key 0.
    Causal,
    /// The last query stands at the last key.
    CausalBottomRight,
    /// i - W < j <= i.
    Window(usize),
    /// A file of `[B]` whole numbers.
    Lengths(Source),
    /// A file of `[Nq, Nk]` booleans, true = visible.
    Dense(Source),
}

/// What `--mask` accepts.
const FORMS: &str = "full, causal, causal-bottom-right, window:W, lengths:FILE, dense:FILE; repeat \
                     --mask to compose them";

/// Parses one `--mask`.
pub(crate) fn parse(text: &str) -> Result<MaskArg, String> {
    let (kind, rest) = match text.split_once(':') {
        Some((kind, rest)) => (kind, Some(rest)),
        None => (text, None),
    };
    match (kind, rest) {
        ("full", None) => Ok(MaskArg::Full),
        ("causal", None) => Ok(MaskArg::Causal),
        ("causal-bottom-right", None) => Ok(MaskArg::CausalBottomRight),
        ("window", Some(width)) => match width.parse() {
            Ok(width) if width > 0 => Ok(MaskArg::Window(width)),
            _ => Err("a window needs a whole number from 1 on, as in window:64".into()),
        },
        ("lengths", Some(file)) if !file.is_empty() => Ok(MaskArg::Lengths(Source::parse(file))),
        ("dense", Some(file)) if !file.is_empty() => Ok(MaskArg::Dense(Source::parse(file))),
        _ => {
            let kinds = [
                "full",
                "causal",
                "causal-bottom-right",
                "window",
                "lengths",
                "dense",
            ];
            let hint = nearest(kind, &kinds).filter(|near| *near != kind);
            let hint = hint.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            Err(format!("{hint}expected one of {FORMS}"))
        }
    }
}

impl MaskArg {
    /// The file that the mask is read from.
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::Lengths(source) | Self::Dense(source) => Some(source),
            Self::Full | Self::Causal | Self::CausalBottomRight | Self::Window(_) => None,
        }
    }

    /// Reads what the mask needs from files.
    pub(crate) fn load(&self) -> Result<Mask, Failure> {
        Ok(match self {
            Self::Full => Mask::full(),
            Self::Causal => Mask::causal(Alignment::TopLeft),
            Self::CausalBottomRight => Mask::causal(Alignment::BottomRight),
            Self::Window(width) => Mask::window(*width),
            Self::Lengths(source) => {
                Mask::key_lengths(tensors::read(source, "lengths")?.lengths(source)?)
            }
            Self::Dense(source) => Mask::dense(tensors::read(source, "mask")?.visible(source)?),
        })
    }
}

impl fmt::Display for MaskArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Causal => f.write_str("causal"),
            Self::CausalBottomRight => f.write_str("causal-bottom-right"),
            Self::Window(width) => write!(f, "window:{width}"),
            Self::Lengths(source) => write!(f, "lengths:{source}"),
            Self::Dense(source) => write!(f, "dense:{source}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood_and_others_are_answered_with_the_forms() {
        assert_eq!(parse("window:64"), Ok(MaskArg::Window(64)));
        assert_eq!(parse("causal-bottom-right"), Ok(MaskArg::CausalBottomRight));
        assert_eq!(
            parse("dense:a.npy"),
            Ok(MaskArg::Dense(Source::parse("a.npy")))
        );
        for wrong in [
            "window",
            "window:0",
            "window:-3",
            "causal:3",
            "lengths:",
            "",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let message = parse("casual").unwrap_err();
        assert!(message.contains("did you mean `causal`?"), "{message}");
    }
}
