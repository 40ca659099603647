//! `[problem]`: the axes, and what must hold between them.

use super::error::Fault;
use super::section::{Item, Placed, Section, values};
use super::{Axes, Inputs, Layout, MaskSpec, Padding};
use crate::pass::Pass;
use crate::workload::WORKLOADS;
use std::ops::Range;

/// Places of the values that combinations are checked on.
pub(super) struct Places {
    key_heads: Vec<Range<usize>>,
    mask: Vec<Range<usize>>,
    padding: Vec<Range<usize>>,
    layout: Vec<Range<usize>>,
    head_dimension: Vec<Range<usize>>,
    whole: Range<usize>,
}

fn split<T>(placed: Option<Vec<Placed<T>>>, default: Vec<T>) -> (Vec<T>, Vec<Range<usize>>) {
    placed.map_or((default, Vec::new()), |all| {
        all.into_iter().map(|p| (p.value, p.span)).unzip()
    })
}

/// Batch, heads and head dimension that are left out stay so where tensors will tell them.
pub(super) fn axes(section: &Section<'_>, of_tensors: bool) -> Result<(Axes, Places), Fault> {
    let natural = |n: usize| if of_tensors { Vec::new() } else { vec![n] };
    let sizes = |key| values(section.get(key), Item::size);
    let placed = |key| {
        section
            .get(key)
            .map(|item| item.axis(Item::size))
            .transpose()
    };
    let length = section.require("length")?;
    let word = |item: &Item<'_>| match item.text()? {
        "padded" => Ok(Layout::Padded),
        "jagged" => Ok(Layout::Jagged),
        other => Err(item
            .wrong("padded or jagged")
            .suggest(other, &["padded", "jagged"])),
    };
    let passes = Pass::ALL.map(Pass::name);
    let pass = |item: &Item<'_>| {
        let text = item.text()?;
        Pass::named(text).ok_or_else(|| item.wrong("a pass").suggest(text, &passes))
    };
    let all = measure::machine::available_cpus();
    let threads = |item: &Item<'_>| match item.text() {
        Ok("all") => Ok(all),
        Ok(_) => Err(item.wrong("a whole number from 1 to 1024, or \"all\"")),
        Err(_) => Ok(item.integer(1..=1024)? as usize),
    };
    let mask =
        |item: &Item<'_>| MaskSpec::parse(item.text()?).map_err(|expected| item.wrong(expected));
    let padding =
        |item: &Item<'_>| Padding::parse(item.text()?).map_err(|expected| item.wrong(expected));
    let (key_heads, key_heads_at) = split(placed("key_heads")?, Vec::new());
    let (head_dimension, head_dimension_at) = split(placed("head_dimension")?, natural(64));
    let masks = section
        .get("mask")
        .map(|item| item.axis(mask))
        .transpose()?;
    let causal = MaskSpec::parse("causal").map_err(|e| Fault::new(0..0, e, ""))?;
    let (mask, mask_at) = split(masks, vec![causal]);
    let paddings = section
        .get("padding")
        .map(|item| item.axis(padding))
        .transpose()?;
    let (padding, padding_at) = split(paddings, vec![Padding::None]);
    let layouts = section
        .get("layout")
        .map(|item| item.axis(word))
        .transpose()?;
    let (layout, layout_at) = split(layouts, vec![Layout::Padded]);
    let places = Places {
        key_heads: key_heads_at,
        mask: mask_at,
        padding: padding_at,
        layout: layout_at,
        head_dimension: head_dimension_at,
        whole: length.span.clone(),
    };
    let axes = Axes {
        length: values(Some(length), Item::size)?.unwrap_or_default(),
        queries: sizes("queries")?.unwrap_or_default(),
        head_dimension,
        value_dimension: sizes("value_dimension")?.unwrap_or_default(),
        batch: sizes("batch")?.unwrap_or_else(|| natural(1)),
        heads: sizes("heads")?.unwrap_or_else(|| natural(4)),
        key_heads,
        mask,
        padding,
        layout,
        pass: values(section.get("pass"), pass)?.unwrap_or_else(|| vec![Pass::Forward]),
        threads: values(section.get("threads"), threads)?.unwrap_or_else(|| vec![all]),
    };
    Ok((axes, places))
}

pub(super) fn check(axes: &Axes, places: &Places, inputs: &Inputs) -> Result<(), Fault> {
    let at = |spans: &[Range<usize>], i: usize| {
        spans
            .get(i)
            .cloned()
            .unwrap_or_else(|| places.whole.clone())
    };
    for (i, hkv) in axes.key_heads.iter().enumerate() {
        if let Some(h) = axes.heads.iter().find(|h| !h.is_multiple_of(*hkv)) {
            let message = format!("{h} heads are no multiple of {hkv} key heads");
            return Err(Fault::new(
                at(&places.key_heads, i),
                message,
                format!("does not divide {h}"),
            )
            .help(
                "in grouped-query attention H/Hkv query heads share a key head; choose a divisor",
            ));
        }
    }
    let longest = axes.length.iter().copied().max().unwrap_or(0);
    for (i, mask) in axes.mask.iter().enumerate() {
        for &nk in &axes.length {
            let queries = if axes.queries.is_empty() {
                vec![nk]
            } else {
                axes.queries.clone()
            };
            let objection = queries
                .iter()
                .find_map(|&nq| mask.objection(nq, nk, longest));
            if let Some((message, help)) = objection {
                let message = format!("`problem.mask` = {mask}: {message}");
                return Err(
                    Fault::new(at(&places.mask, i), message, "does not fit the sizes").help(help),
                );
            }
        }
    }
    let unequal = axes
        .length
        .iter()
        .any(|nk| axes.queries.iter().any(|nq| nq != nk));
    if let Some(i) = axes
        .padding
        .iter()
        .position(|p| *p != Padding::None)
        .filter(|_| unequal)
    {
        let message = "histories of different length need as many queries as keys";
        return Err(
            Fault::new(at(&places.padding, i), message, "with `problem.queries`")
                .help("leave out `queries`, or set padding = \"none\""),
        );
    }
    let padded_only = axes.layout == [Layout::Jagged] && axes.batch == [1];
    if padded_only {
        let message = "a jagged batch of one history is the padded one";
        return Err(
            Fault::new(at(&places.layout, 0), message, "nothing to lay end to end")
                .help("set `batch` to 2 or more, or layout = \"padded\""),
        );
    }
    for name in &inputs.workload {
        let Some(workload) = WORKLOADS.iter().find(|w| w.name == *name) else {
            continue;
        };
        if let Some(i) = axes
            .head_dimension
            .iter()
            .position(|d| *d < workload.least_dimension)
        {
            let (d, least) = (axes.head_dimension[i], workload.least_dimension);
            let message = format!("a head dimension of {d} is too small for the workload {name}");
            return Err(Fault::new(
                at(&places.head_dimension, i),
                message,
                format!("expected {least} or more"),
            )
            .help("some of its features carry the structure: see the list of workloads"));
        }
    }
    Ok(())
}
