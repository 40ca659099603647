//! `[tensors]`: where Q, K and V are read.

use super::error::Fault;
use super::section::{Item, Section};
use crate::tensors::{Format, Source};
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};

/// Where Q, K and V are read. Whether the files are there is known when they are opened, so that an
/// experiment can be looked at without them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tensors {
    /// Q.
    #[serde(serialize_with = "name")]
    pub q: Source,
    /// K.
    #[serde(serialize_with = "name")]
    pub k: Source,
    /// V.
    #[serde(serialize_with = "name")]
    pub v: Source,
    /// The config's, from which relative paths are taken first.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

impl Tensors {
    /// For people: the name of Q's file with what comes before `q` in its tensor's name.
    #[must_use]
    pub fn label(&self) -> String {
        let name = self.q.name();
        let stem = name.strip_suffix(".q").or_else(|| name.strip_suffix(":q"));
        stem.map_or_else(|| name.clone(), str::to_owned)
    }
}

pub(super) fn tensors(section: &Section<'_>, folder: Option<&Path>) -> Result<Tensors, Fault> {
    let layer = section
        .get("layer")
        .map(|item| item.integer(0..=u64::from(u16::MAX)))
        .transpose()?;
    let of = |letter: &'static str| match section.get(letter) {
        Some(item) => alone(&item),
        None => {
            let tensor = layer.map_or(letter.into(), |n| format!("layer.{n}.{letter}"));
            let path = together(&section.require("file")?)?;
            Ok(Source {
                path,
                tensor: Some(tensor),
            })
        }
    };
    Ok(Tensors {
        q: of("q")?,
        k: of("k")?,
        v: of("v")?,
        folder: folder.map(Path::to_owned),
    })
}

/// A tensor with a place of its own.
fn alone(item: &Item<'_>) -> Result<Source, Fault> {
    let source = Source::parse(item.text()?);
    match Format::of(&source.path) {
        Ok(_) => Ok(source),
        Err(_) => Err(item.wrong("FILE.npy, FILE.safetensors or FILE.safetensors:NAME")),
    }
}

/// A file that holds all three.
fn together(item: &Item<'_>) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(item.text()?);
    match Format::of(&path) {
        Ok(Format::Safetensors) => Ok(path),
        Ok(Format::Npy) | Err(_) => Err(item.wrong("FILE.safetensors").help(
            "it holds Q, K and V under their names; tensors in files of their own, .npy among them, are given as \
             `tensors.q`, `tensors.k` and `tensors.v`",
        )),
    }
}

/// Where a file lies is no part of the experiment, its checksum is.
fn name<S: Serializer>(source: &Source, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&source.name())
}
