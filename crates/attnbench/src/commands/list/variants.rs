//! `list variants`.

use crate::failure::Failure;
use crate::table::Table;
use crate::variant;
use attention::variant::{Kind, Parameter};
use attention::{Capabilities, Feature, Geometry, Mask, Shape, TensorSpec, Variant};
use attention_variants::{Configured, VARIANTS};
use serde_json::{Map, Value, json};

/// An overview, then what each variant takes and can do.
pub(super) fn text() -> Result<String, Failure> {
    let mut overview = Table::new(&["name", "family", "exact", "time", "state", "summary"]);
    let mut details = String::new();
    for variant in VARIANTS {
        let capabilities = capabilities(variant, [])?;
        let exact = if capabilities.exact { "yes" } else { "no" };
        let cells = [
            variant.name,
            variant.family.name(),
            exact,
            variant.time,
            variant.state,
            variant.summary,
        ];
        overview.row(cells);
        details += &format!("\n\n{}", detail(variant, &capabilities)?);
    }
    Ok(format!(
        "{overview}\n\nexact: softmax attention over the keys of mask and pattern, without \
         approximation; time: of one head in the sequence length N; state: numbers kept of one head \
         of a history to answer further queries{details}"
    ))
}

fn detail(variant: &'static Variant, capabilities: &Capabilities) -> Result<String, Failure> {
    let mut text = format!("{}\n  source    {}", variant.name, variant.source);
    for (number, parameter) in variant.parameters.iter().enumerate() {
        let head = if number == 0 { "takes" } else { "" };
        text += &format!(
            "\n  {head:<8}  {} = {} ({}): {}",
            parameter.name, parameter.default, parameter.kind, parameter.summary
        );
    }
    for (number, tensor) in tensors(variant)?.iter().enumerate() {
        let head = if number == 0 { "needs" } else { "" };
        let kind = if tensor.learned { "learned" } else { "given" };
        text += &format!(
            "\n  {head:<8}  {} ({kind}): {}",
            tensor.name, tensor.summary
        );
    }
    let has = |feature: &Feature| capabilities.has(*feature);
    let names: Vec<_> = Feature::ALL
        .iter()
        .filter(|f| has(f))
        .map(|f| f.name())
        .collect();
    text += &format!(
        "\n  supports  {}",
        if names.is_empty() {
            "none".into()
        } else {
            names.join(", ")
        }
    );
    let mut lacks = missing(capabilities);
    lacks.extend(missing_by_choice(variant, capabilities));
    for (number, reason) in lacks.iter().enumerate() {
        let head = if number == 0 { "lacks" } else { "" };
        text += &format!("\n  {head:<8}  {reason}");
    }
    Ok(text)
}

fn missing(capabilities: &Capabilities) -> Vec<String> {
    let reason = |f: Feature| {
        capabilities
            .missing(f)
            .map(|why| format!("{}: {why}", f.name()))
    };
    Feature::ALL.into_iter().filter_map(reason).collect()
}

/// What is lost beside by another word than the default.
fn missing_by_choice(variant: &'static Variant, default: &Capabilities) -> Vec<String> {
    let mut lost = Vec::new();
    for parameter in variant.parameters {
        let Kind::Word(words) = parameter.kind else {
            continue;
        };
        for word in words {
            // An instruction set of another machine is not to be had here, and costs nothing.
            let Ok(chosen) = capabilities(variant, [(parameter.name, *word)]) else {
                continue;
            };
            let beside = Feature::ALL.into_iter().filter(|f| default.has(*f));
            lost.extend(beside.filter_map(|f| {
                let why = chosen.missing(f)?;
                Some(format!(
                    "{} with {} = {word}: {why}",
                    f.name(),
                    parameter.name
                ))
            }));
        }
    }
    lost
}

/// What it needs beside Q, K and V.
fn tensors(variant: &'static Variant) -> Result<Vec<TensorSpec>, Failure> {
    let shape = Shape {
        b: 1,
        h: 1,
        hkv: 1,
        nq: 1000,
        nk: 1000,
        d: 64,
        dv: 64,
    };
    let geometry = Geometry::padded(shape, Mask::full())?;
    Ok(Configured::new(variant.name, [])?
        .build()?
        .tensors(&geometry))
}

fn capabilities<'s>(
    variant: &'static Variant,
    settings: impl IntoIterator<Item = (&'s str, &'s str)>,
) -> Result<Capabilities, Failure> {
    Ok(Configured::new(variant.name, settings)?
        .build()?
        .capabilities())
}

/// Everything the registry knows.
pub(super) fn json() -> Result<Value, Failure> {
    VARIANTS.iter().map(|variant| entry(variant)).collect()
}

fn entry(variant: &'static Variant) -> Result<Value, Failure> {
    let capabilities = capabilities(variant, [])?;
    let supports = Feature::ALL.into_iter().filter(|f| capabilities.has(*f));
    let lacks = Feature::ALL.into_iter().filter_map(|f| {
        let reason = capabilities.missing(f)?;
        Some((f.name().to_owned(), reason.into()))
    });
    Ok(json!({
        "name": variant.name,
        "family": variant.family.name(),
        "exact": capabilities.exact,
        "time": variant.time,
        "state": variant.state,
        "summary": variant.summary,
        "source": variant.source,
        "parameters": variant.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "tensors": tensors(variant)?.iter().map(|t| json!({"name": t.name, "learned": t.learned, "summary": t.summary})).collect::<Vec<_>>(),
        "supports": supports.map(Feature::name).collect::<Vec<_>>(),
        "lacks": lacks.collect::<Map<_, _>>(),
        "lacks_by_choice": missing_by_choice(variant, &capabilities),
    }))
}

fn parameter(parameter: &Parameter) -> Value {
    let mut entry = match parameter.kind {
        Kind::Integer { min, max } => json!({"type": "integer", "min": min, "max": max}),
        Kind::Float { min, max } => json!({"type": "float", "min": min, "max": max}),
        Kind::Word(words) => json!({"type": "word", "words": words}),
    };
    entry["name"] = parameter.name.into();
    entry["default"] = variant::json(parameter.default);
    entry["summary"] = parameter.summary.into();
    entry
}
