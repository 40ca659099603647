//! Telling the format from the file name and the first lines.

use std::collections::HashSet;
use std::path::Path;

use super::behaviors;
use super::header;
use super::time::parse_time;
use crate::data::column_names::ColumnNames;
use crate::data::error::{LogError, shortened};
use crate::data::format::LogFormat;

/// Lines looked at.
const FIRST_LINES: usize = 64;
/// Whole numbers from here on look like unix seconds (1973) rather than item numbers.
const EARLIEST_UNIX_TIME: i64 = 100_000_000;

/// The format, or an error that says what was tried and why it does not fit.
pub(super) fn detect(path: &Path, text: &str) -> Result<LogFormat, LogError> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .take(FIRST_LINES)
        .collect();
    let Some(&(number, first)) = lines.first() else {
        let expected = "one event or one history a line".to_string();
        return Err(LogError::Empty {
            path: path.to_path_buf(),
            lines: text.lines().count(),
            expected,
        });
    };
    let lines: Vec<&str> = lines.into_iter().map(|(_, line)| line).collect();
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let extension = name
        .strip_suffix(".gz")
        .unwrap_or(&name)
        .rsplit_once('.')
        .map_or("", |(_, extension)| extension);
    match typed_or_named(extension, &lines).or_else(|tried| headerless(extension, &lines, tried)) {
        Ok(format) => Ok(format),
        Err(tried) => Err(LogError::UnknownFormat {
            path: path.to_path_buf(),
            line: number + 1,
            found: shortened(first),
            tried,
            advice: "csv:user=NAME,item=NAME,time=NAME or sequences",
        }),
    }
}

/// Formats with a header or a separator of their own.
fn typed_or_named(extension: &str, lines: &[&str]) -> Result<LogFormat, Vec<String>> {
    let first = lines[0];
    let mut tried = Vec::new();
    if extension == "inter" || header::is_recbole(first) {
        return Ok(LogFormat::RecBole);
    }
    tried.push("recbole: the first line is no `name:type` header".to_string());
    if lines.iter().all(|line| line.trim_start().starts_with('{')) {
        return Ok(LogFormat::JsonLines(ColumnNames::default()));
    }
    tried.push("jsonl: a line does not begin with `{`".to_string());
    if let Some(delimiter) = header::DELIMITERS
        .into_iter()
        .find(|&delimiter| header::has_columns(first, delimiter, "", ""))
    {
        let movielens = first.trim() == "userId,movieId,rating,timestamp";
        return Ok(if movielens {
            LogFormat::MovieLensCsv
        } else {
            LogFormat::table_with(Some(delimiter))
        });
    }
    tried.push("csv, tsv: the first line names no user and item column".to_string());
    if lines.iter().all(|line| line.split("::").count() == 4) {
        return Ok(LogFormat::MovieLensDat);
    }
    tried.push("movielens-dat: not four fields with `::` between".to_string());
    let timed = |line: &&str| {
        line.split('\t').count() == 4
            && line
                .rsplit('\t')
                .next()
                .is_some_and(|time| parse_time(time).is_ok())
    };
    if lines.iter().all(timed) {
        return Ok(LogFormat::MovieLensData);
    }
    tried.push("movielens-data: not four fields with tabs between, the last a time".to_string());
    if lines.iter().all(|line| behaviors::looks_like(line)) {
        return Ok(LogFormat::Mind);
    }
    tried.push("mind: not five fields with tabs between, the third a time of MIND".to_string());
    if let Some(format) = amazon_ratings(lines) {
        return Ok(format);
    }
    tried.push(
        "amazon-ratings: not user, item, rating, time with products of ten capitals and digits"
            .to_string(),
    );
    Err(tried)
}

/// Ratings of Amazon, of which two editions have user and item the other way round: a product has ten capitals and digits.
fn amazon_ratings(lines: &[&str]) -> Option<LogFormat> {
    let mut products = [true; 2];
    for line in lines {
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let [first, second, rating, time] = fields.try_into().ok()?;
        rating.parse::<f64>().ok()?;
        time.parse::<i64>()
            .ok()
            .filter(|&time| time >= EARLIEST_UNIX_TIME)?;
        let product = |token: &str| {
            token.len() == 10
                && token
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        products = [
            products[0] && product(first),
            products[1] && product(second),
        ];
    }
    match products {
        [false, true] => Some(LogFormat::AmazonRatings),
        [true, false] => Some(LogFormat::AmazonRatings2018),
        _ => None,
    }
}

/// Formats of tokens with white space between, which nearly any text would pass for: refused where it looks like a table.
fn headerless(
    extension: &str,
    lines: &[&str],
    mut tried: Vec<String>,
) -> Result<LogFormat, Vec<String>> {
    let counts: Vec<usize> = lines
        .iter()
        .map(|line| line.split_whitespace().count())
        .collect();
    let mut users = HashSet::new();
    let repeated = lines.iter().find_map(|line| {
        line.split_whitespace()
            .next()
            .filter(|user| !users.insert(*user))
    });
    let delimited = ["::", ",", ";", "|"]
        .into_iter()
        .find(|delimiter| lines.iter().all(|line| line.contains(delimiter)));
    let last_is_time = |line: &&str| {
        let last = line
            .split_whitespace()
            .next_back()
            .and_then(|last| last.parse::<i64>().ok());
        last.is_some_and(|time| time >= EARLIEST_UNIX_TIME)
    };
    let uniform = counts.iter().all(|&count| count == counts[0]);
    let objection = if matches!(extension, "csv" | "tsv") {
        Some(format!("a .{extension} file should have a header"))
    } else if let Some(delimiter) = delimited {
        Some(format!("every line has `{delimiter}` in it"))
    } else if counts.contains(&1) {
        Some("a line has one field only".to_string())
    } else if counts.iter().all(|&count| count == 2) {
        None
    } else if let Some(user) = repeated {
        Some(format!(
            "user `{}` is on several lines, of more than two fields",
            shortened(user)
        ))
    } else if uniform && lines.iter().all(last_is_time) {
        Some("every line ends in what looks like a unix time".to_string())
    } else {
        None
    };
    match objection {
        // Lines of two fields whose users do not repeat hold the same log under either name.
        None if repeated.is_some() => Ok(LogFormat::Pairs),
        None => Ok(LogFormat::Sequences),
        Some(why) => {
            tried.push(format!("pairs, sequences: {why}"));
            Err(tried)
        }
    }
}
