//! `[variants.*]` and the baseline among them, resolved through the registry.

use super::Config;
use super::error::Fault;
use super::section::{Item, Placed, Section};
use super::sweep::{Choice, Setting, Sweep};
use std::collections::BTreeMap;

pub(super) fn variants(section: &Section<'_>, lengths: &[usize]) -> Result<Vec<Sweep>, Fault> {
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

/// The label of the baseline.
pub(super) fn baseline(item: &Item<'_>, config: &Config) -> Result<String, Fault> {
    labelled(item, &config.choices(), "baseline")
}

/// The labels of the rungs, from the first to the last.
pub(super) fn ladder(item: &Item<'_>, config: &Config) -> Result<Vec<String>, Fault> {
    let choices = config.choices();
    let rungs = item.axis(|item| labelled(item, &choices, "rung"))?;
    if rungs.len() < 2 {
        let message = "a ladder of one rung compares nothing";
        return Err(
            Fault::new(item.span.clone(), message, "expected two rungs or more")
                .help("list the variants in the order in which each builds on the one before"),
        );
    }
    Ok(rungs.into_iter().map(|p| p.value).collect())
}

/// The label that a text names: itself, or that of the only point of the variant of this name.
fn labelled(item: &Item<'_>, choices: &[Choice], role: &str) -> Result<String, Fault> {
    let text = item.text()?;
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
    let message = format!("the {role} `{text}` {problem}");
    Err(
        Fault::new(item.span.clone(), message, "expected one of their labels")
            .suggest(text, &labels),
    )
}
