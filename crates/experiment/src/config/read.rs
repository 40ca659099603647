//! From texts to a [`Config`]: types first, then what must hold between values.

use super::error::{ConfigError, Fault};
use super::section::{Item, Placed, Section};
use super::sources::{self, Sources};
use super::sweep::{Setting, Sweep};
use super::{Accuracy, Axes, Config, Histories, Inputs, Layout, MaskSpec, Padding, Time};
use crate::workload::WORKLOADS;
use recommender::LogFormat;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub(super) fn read(
    name: &str,
    text: &str,
    sets: &[String],
    folder: Option<&Path>,
) -> Result<Config, ConfigError> {
    let sources = Sources::new(name, text, sets)?;
    let padded = sources.padded();
    let mut config = sources::parse(&padded)
        .and_then(|(table, span)| whole(&Section::top(&table, span)?, folder))
        .map_err(|fault| sources.locate(fault))?;
    config.given = text.into();
    config.overrides = sets.to_vec();
    Ok(config)
}

fn whole(top: &Section<'_>, folder: Option<&Path>) -> Result<Config, Fault> {
    let name = top.require("name")?;
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    if !is_name(name.text()?) {
        return Err(name.wrong("letters, digits, - and _: it names a folder"));
    }
    let inputs = inputs(&top.section("inputs")?)?;
    let histories = histories(&top.section("histories")?, folder)?;
    top.require("problem")?;
    let (problem, places) = axes(&top.section("problem")?)?;
    check_axes(&problem, &places, &inputs)?;
    top.require("variants")?;
    let variants = variants(&top.section("variants")?, &problem.length)?;
    let accuracy = top.section("accuracy")?;
    let rows = accuracy
        .get("rows")
        .map_or(Ok(256), |i| i.integer(1..=1 << 20))?;
    let mut config = Config {
        name: name.text()?.into(),
        question: top
            .get("question")
            .map_or(Ok(""), |i| i.text())?
            .trim()
            .into(),
        seed: top
            .get("seed")
            .map_or(Ok(1), |i| i.integer(0..=i64::MAX as u64))?,
        baseline: None,
        inputs,
        histories,
        problem,
        variants,
        accuracy: Accuracy {
            rows: rows as usize,
        },
        time: time(&top.section("time")?)?,
        given: String::new(),
        overrides: Vec::new(),
    };
    config.baseline = top
        .get("baseline")
        .map(|item| baseline(&item, &config))
        .transpose()?;
    Ok(config)
}

fn inputs(section: &Section<'_>) -> Result<Inputs, Fault> {
    let names: Vec<&str> = WORKLOADS.iter().map(|w| w.name).collect();
    let workload = |item: &Item<'_>| {
        let text = item.text()?;
        let found = WORKLOADS.iter().find(|w| w.name == text).map(|w| w.name);
        found.ok_or_else(|| item.wrong("a workload").suggest(text, &names))
    };
    let entropy =
        |item: &Item<'_>| item.float("a share above 0, at most 1", |x| x > 0.0 && x <= 1.0);
    Ok(Inputs {
        workload: values(section.get("workload"), workload)?.unwrap_or_else(|| vec!["clusters"]),
        entropy: values(section.get("entropy"), entropy)?.unwrap_or_default(),
    })
}

fn histories(section: &Section<'_>, folder: Option<&Path>) -> Result<Histories, Fault> {
    let log = match section.get("log") {
        Some(item) if item.text()? != "simulated" => Some(find_log(&item, folder)?),
        _ => None,
    };
    let format = match section.get("format") {
        None => LogFormat::Auto,
        Some(item) => item
            .text()?
            .parse::<LogFormat>()
            .map_err(|e| item.wrong(e.expected).help(e.problem))?,
    };
    Ok(Histories {
        log,
        format: format.to_string(),
    })
}

/// A log relative to the config's folder, or else to `ATTNBENCH_DATA`.
fn find_log(item: &Item<'_>, folder: Option<&Path>) -> Result<PathBuf, Fault> {
    let given = Path::new(item.text()?);
    let near = folder.map_or_else(|| given.to_path_buf(), |folder| folder.join(given));
    let data = std::env::var_os("ATTNBENCH_DATA").map(|data| Path::new(&data).join(given));
    let tried: Vec<PathBuf> = std::iter::once(near).chain(data).collect();
    tried.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let places: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
        let message = format!("`histories.log`: no file {}", given.display());
        Fault::new(item.span.clone(), message, "not found").help(format!(
            "looked for {}; a relative path is taken from the config's folder, then from the folder in \
             ATTNBENCH_DATA; `simulated` needs no file",
            places.join(" and ")
        ))
    })
}

fn values<'t, T: PartialEq>(
    item: Option<Item<'t>>,
    read: impl Fn(&Item<'t>) -> Result<T, Fault>,
) -> Result<Option<Vec<T>>, Fault> {
    let placed = item.map(|item| item.axis(read)).transpose()?;
    Ok(placed.map(|all| all.into_iter().map(|p| p.value).collect()))
}

/// Places of the values that combinations are checked on.
struct Places {
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

fn axes(section: &Section<'_>) -> Result<(Axes, Places), Fault> {
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
    let (head_dimension, head_dimension_at) = split(placed("head_dimension")?, vec![64]);
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
        batch: sizes("batch")?.unwrap_or_else(|| vec![1]),
        heads: sizes("heads")?.unwrap_or_else(|| vec![4]),
        key_heads,
        mask,
        padding,
        layout,
        threads: values(section.get("threads"), threads)?.unwrap_or_else(|| vec![all]),
    };
    Ok((axes, places))
}

fn check_axes(axes: &Axes, places: &Places, inputs: &Inputs) -> Result<(), Fault> {
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

fn variants(section: &Section<'_>, lengths: &[usize]) -> Result<Vec<Sweep>, Fault> {
    let names = attention_variants::names();
    let mut sweeps = Vec::new();
    for (key, item) in section.entries() {
        let name = key.get_ref().as_ref();
        let variant = attention_variants::find(name).map_err(|_| {
            Fault::new(
                key.span(),
                format!("unknown variant `{name}`"),
                "not in the registry",
            )
            .suggest(name, &names)
        })?;
        let mut settings = BTreeMap::new();
        for (key, item) in item.open_section()?.entries() {
            let text = key.get_ref().as_ref();
            let known: Vec<&str> = variant.parameters.iter().map(|p| p.name).collect();
            let parameter = attention_variants::parameter(variant, text).map_err(|_| {
                let message = format!("`{name}` has no parameter `{text}`");
                let fault = Fault::new(key.span(), message, "not a parameter");
                if known.is_empty() {
                    fault.help("it has none")
                } else {
                    fault.suggest(text, &known)
                }
            })?;
            let placed = item.axis(|item| Ok(Setting::parse(item.scalar()?)))?;
            for Placed { value, span } in &placed {
                for &n in lengths {
                    if let Err(attention::Error::Parameter { expected, .. }) =
                        parameter.accept(&value.at(n))
                    {
                        let share = if matches!(value, Setting::Share(_)) {
                            format!(" ({} at N = {n})", value.at(n))
                        } else {
                            String::new()
                        };
                        let message = format!("`{name}`: {text} = {value}{share} is not accepted");
                        return Err(
                            Fault::new(span.clone(), message, expected).help(parameter.summary)
                        );
                    }
                }
            }
            settings.insert(
                parameter.name,
                placed.into_iter().map(|p| p.value).collect(),
            );
        }
        sweeps.push(Sweep {
            name: variant.name,
            settings,
        });
    }
    if sweeps.is_empty() {
        let item = section.entries().next().map_or(0..1, |(_, item)| item.span);
        return Err(
            Fault::new(item, "no variants", "expected a table [variants.NAME]")
                .help(format!("known: {}", names.join(", "))),
        );
    }
    sweeps.sort_by_key(|sweep| names.iter().position(|n| *n == sweep.name));
    Ok(sweeps)
}

/// The label that a baseline names: itself, or the name of a variant at a single point.
fn baseline(item: &Item<'_>, config: &Config) -> Result<String, Fault> {
    let text = item.text()?;
    let choices = config.choices();
    if let Some(choice) = choices.iter().find(|c| c.label == text) {
        return Ok(choice.label.clone());
    }
    let named: Vec<_> = choices.iter().filter(|c| c.name == text).collect();
    if let [only] = named.as_slice() {
        return Ok(only.label.clone());
    }
    let labels: Vec<&str> = choices.iter().map(|c| c.label.as_str()).collect();
    let problem = if named.is_empty() {
        "is not among the variants"
    } else {
        "stands for several variants"
    };
    let message = format!("the baseline `{text}` {problem}");
    Err(
        Fault::new(item.span.clone(), message, "expected one of their labels")
            .suggest(text, &labels),
    )
}

fn time(section: &Section<'_>) -> Result<Time, Fault> {
    let count = |key, default, least| {
        section
            .get(key)
            .map_or(Ok(default), |i| Ok(i.integer(least..=1_000_000)? as usize))
    };
    let seconds = |key, default| {
        let read = |i: Item<'_>| {
            i.float("seconds above 0, at most 86400", |x| {
                x > 0.0 && x <= 86_400.0
            })
        };
        section.get(key).map_or(Ok(default), read)
    };
    let interval = |i: Item<'_>| i.float("a share from 0 to 1", |x| (0.0..=1.0).contains(&x));
    let time = Time {
        warmup: count("warmup", 2, 0)?,
        min_rounds: count("min_rounds", 5, 1)?,
        max_rounds: count("max_rounds", 100, 1)?,
        relative_interval: section
            .get("relative_interval")
            .map_or(Ok(0.03), interval)?,
        seconds_per_group: seconds("seconds_per_group", 5.0)?,
        seconds_per_call: seconds("seconds_per_call", 20.0)?,
    };
    match section
        .get("min_rounds")
        .or_else(|| section.get("max_rounds"))
    {
        Some(item) if time.min_rounds > time.max_rounds => {
            let message = format!(
                "at least {} rounds and at most {}",
                time.min_rounds, time.max_rounds
            );
            Err(Fault::new(item.span, message, "above `time.max_rounds`")
                .help("raise max_rounds or lower min_rounds"))
        }
        _ => Ok(time),
    }
}
