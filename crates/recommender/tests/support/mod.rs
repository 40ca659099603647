//! Logs written to a temporary folder, and read back in words.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::Write;
use std::path::PathBuf;

use recommender::{Interactions, LogError, LogFormat, detect_format, read_log};

/// A file that lives as long as this value.
pub(crate) struct LogFile {
    folder: tempfile::TempDir,
    name: String,
}

impl LogFile {
    pub(crate) fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let file = Self {
            folder: tempfile::tempdir().unwrap(),
            name: name.to_string(),
        };
        std::fs::write(file.path(), content).unwrap();
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    pub(crate) fn read(&self, format: &str) -> Result<Interactions, LogError> {
        read_log(&self.path(), &format.parse::<LogFormat>().unwrap())
    }

    /// The error's message with the folder left out.
    pub(crate) fn error(&self, format: &str) -> String {
        let message = self.read(format).unwrap_err().to_string();
        message.replace(
            &format!(
                "{}{}",
                self.folder.path().display(),
                std::path::MAIN_SEPARATOR
            ),
            "",
        )
    }
}

pub(crate) fn gzip(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// `user: item item ...` for each user, in the log's order of users.
pub(crate) fn histories(log: &Interactions) -> Vec<String> {
    (0..log.users())
        .map(|user| {
            let items: Vec<&str> = log
                .history(user)
                .iter()
                .map(|&item| log.item_name(item))
                .collect();
            format!("{}: {}", log.user_name(user), items.join(" "))
        })
        .collect()
}

/// A file under the folder named by `ATTNBENCH_DATA`; `None`, with a message, where it is not there.
pub(crate) fn public_path(file: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("ATTNBENCH_DATA").map(PathBuf::from) else {
        println!(
            "skipped: ATTNBENCH_DATA is not set; point it at a folder with public interaction logs"
        );
        return None;
    };
    let path = folder.join(file);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The log in such a file.
pub(crate) fn public_log(file: &str, format: &str) -> Option<Interactions> {
    Some(read_log(&public_path(file)?, &format.parse().unwrap()).unwrap())
}

pub(crate) fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
}

/// Reads under the named format and under `auto`, which must agree, and answers with the histories and times.
pub(crate) fn read(
    name: &str,
    content: &str,
    format: &str,
) -> (Vec<String>, Vec<Option<Vec<i64>>>) {
    let file = LogFile::new(name, content);
    let log = file.read(format).unwrap();
    assert_eq!(
        log,
        file.read("auto").unwrap(),
        "auto took it for {}",
        detect_format(&file.path()).unwrap()
    );
    let times = (0..log.users())
        .map(|user| log.times(user).map(<[i64]>::to_vec))
        .collect();
    (histories(&log), times)
}
