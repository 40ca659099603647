//! The cached form of a log.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use recommender::prepare::{Cache, LogSource};
use recommender::{LogFormat, read_log};
use support::{LogFile, gzip};

const TEXT: &str = "user,item,time\nu,a,3\nv,a,1\nu,b,2\nv,c,1\n";

fn source(path: PathBuf) -> LogSource {
    LogSource {
        path,
        format: LogFormat::Auto,
        user_minimum: 0,
        item_minimum: 0,
    }
}

#[test]
fn a_source_is_what_a_configuration_names() {
    let text = r#"{"path": "log.csv", "format": "csv:item=sku", "user-minimum": 5}"#;
    let named: LogSource = serde_json::from_str(text).unwrap();
    let expected = LogSource {
        format: "csv:item=sku".parse().unwrap(),
        user_minimum: 5,
        ..source("log.csv".into())
    };
    assert_eq!(named, expected);
    assert_eq!(
        serde_json::from_str::<LogSource>(&serde_json::to_string(&named).unwrap()).unwrap(),
        named
    );
    let error = serde_json::from_str::<LogSource>(r#"{"path": "x", "format": "cvs"}"#).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("log format `cvs`: no such format"),
        "{error}"
    );
}

fn files(folder: &std::path::Path) -> usize {
    fs::read_dir(folder).map_or(0, |files| files.count())
}

#[test]
fn a_changed_file_or_setting_never_meets_an_old_log() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/cache");
    let file = LogFile::new("log.csv", TEXT);
    let first = source(file.path());
    assert_eq!(first.open(Some(&cache)).unwrap().1, Cache::Written);
    assert_eq!(first.open(None).unwrap().1, Cache::Unused);
    let (log, from) = first.open(Some(&cache)).unwrap();
    assert_eq!(from, Cache::Read);
    assert_eq!(log, read_log(&file.path(), &LogFormat::Auto).unwrap());
    let settings = [
        LogSource {
            user_minimum: 1,
            ..first.clone()
        },
        LogSource {
            item_minimum: 2,
            ..first.clone()
        },
        LogSource {
            format: "csv:time=none".parse().unwrap(),
            ..first.clone()
        },
    ];
    for changed in settings {
        let (made, from) = changed.open(Some(&cache)).unwrap();
        assert_eq!(from, Cache::Written, "{changed:?}");
        assert_eq!((made, Cache::Read), changed.open(Some(&cache)).unwrap());
    }
    fs::write(file.path(), TEXT.replace("u,b,2", "u,b,4")).unwrap();
    let (later, from) = first.open(Some(&cache)).unwrap();
    assert_eq!(from, Cache::Written);
    assert_ne!(later, log);
    // Nothing unfinished is left behind.
    assert_eq!(files(&cache), 5);
}

#[test]
fn a_damaged_log_is_made_again_and_a_cache_that_cannot_be_written_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let file = LogFile::new("log.csv.gz", gzip(TEXT));
    let source = source(file.path());
    let (log, _) = source.open(Some(folder.path())).unwrap();
    let kept = fs::read_dir(folder.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = fs::read(&kept).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&kept, bytes).unwrap();
    assert_eq!(
        source.open(Some(folder.path())).unwrap(),
        (log.clone(), Cache::Written)
    );
    assert_eq!(
        source.open(Some(folder.path())).unwrap(),
        (log.clone(), Cache::Read)
    );
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let (made, outcome) = source.open(Some(&in_the_way)).unwrap();
    assert!(matches!(outcome, Cache::NotWritten { .. }) && made == log);
}

#[test]
fn a_million_events_come_back_within_a_second() {
    let text: String = (0..1_000_000u64)
        .map(|event| {
            format!(
                "{},{},{}\n",
                event % 6_007,
                event * event % 3_413,
                1_000_000_000 + 37 * event
            )
        })
        .collect();
    let file = LogFile::new("log.csv", format!("user,item,time\n{text}"));
    let folder = tempfile::tempdir().unwrap();
    let source = source(file.path());
    let (log, _) = source.open(Some(folder.path())).unwrap();
    let start = Instant::now();
    let (again, from) = source.open(Some(folder.path())).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!((again.events(), from), (1_000_000, Cache::Read));
    assert!(again == log && seconds < 1.0, "{seconds} s");
    println!("a million events from the cache: {:.0} ms", 1e3 * seconds);
}
