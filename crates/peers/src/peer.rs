//! A running peer.

use crate::cell::{Answer, Cell};
use crate::child::Child;
use crate::error::{Error, Result};
use crate::message::{Hello, PROTOCOL, Ran, Request, Supports};
use crate::program::Program;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a peer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until it has started and said what it is.
    pub start: Duration,
    /// Until a cell is prepared; some compile it first.
    pub load: Duration,
    /// Until it has run, or written its output.
    pub run: Duration,
}

impl Default for Timeouts {
    /// Two minutes to start, five to load, five to run.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(120),
            load: Duration::from_secs(300),
            run: Duration::from_secs(300),
        }
    }
}

/// A peer that has been started for a number of threads and has said hello.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    name: String,
    version: String,
    threads: usize,
    supports: Supports,
    timeouts: Timeouts,
}

impl Peer {
    /// Starts a program and asks what it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it does not start, with the way to install it;
    /// [`Error::Protocol`] where it speaks another version; [`Error::Placement`] where it is bound
    /// to fewer CPUs than `threads`.
    pub fn start(program: &Program, threads: usize, timeouts: Timeouts) -> Result<Self> {
        let absent = |reason: String| Error::Unavailable {
            peer: program.name.clone(),
            reason,
            install: program.install.clone(),
        };
        let mut child = Child::start(program, threads)
            .map_err(|e| absent(format!("{}: {e}", program.command.display())))?;
        let hello = match ask(&mut child, &Request::Hello { threads }, timeouts.start) {
            Ok(hello) => hello,
            Err(Error::Died { stderr, status, .. }) => {
                let last = stderr.lines().rfind(|line| !line.trim().is_empty());
                return Err(absent(last.map_or(status, str::to_owned)));
            }
            Err(other) => return Err(other),
        };
        let hello: Hello = parse(&child, hello)?;
        if hello.protocol != PROTOCOL {
            let reason = format!("it speaks version {}, not {PROTOCOL}", hello.protocol);
            return Err(child.nonsense(reason));
        }
        if hello.cpus < threads {
            return Err(Error::Placement {
                peer: program.name.clone(),
                cpus: hello.cpus,
                threads,
            });
        }
        Ok(Self {
            child,
            name: program.name.clone(),
            version: hello.version,
            threads,
            supports: hello.supports,
            timeouts,
        })
    }

    /// Its name in the catalog.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The library's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it says it can do.
    #[must_use]
    pub fn supports(&self) -> &Supports {
        &self.supports
    }

    /// Prepares a cell: reads its tensors, compiles what must be compiled.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what it does not answer; [`Error::Failed`], [`Error::Died`] or
    /// [`Error::Timeout`].
    pub fn load(&mut self, cell: &Cell) -> Result<()> {
        let message = &cell.message;
        let asked = [
            (
                &self.supports.attention,
                "attention",
                message.attention.as_str(),
            ),
            (&self.supports.work, "work", message.work),
            (&self.supports.mask, "mask", message.mask.kind()),
            (&self.supports.dtype, "dtype", message.dtype),
        ];
        for (known, kind, word) in asked {
            if !known.iter().any(|w| w == word) {
                return Err(Error::Unsupported {
                    peer: self.name.clone(),
                    what: format!("{kind} {word}"),
                });
            }
        }
        let request = Request::Cell {
            cell: message,
            threads: self.threads,
            folder: cell.folder.path(),
        };
        ask(&mut self.child, &request, self.timeouts.load).map(drop)
    }

    /// Runs the cell `warm` times untimed, then `calls` times: seconds of each.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Died`], [`Error::Timeout`] or [`Error::Protocol`].
    pub fn run(&mut self, calls: usize, warm: usize) -> Result<Vec<f64>> {
        let request = Request::Run { calls, warm };
        let ran = ask(&mut self.child, &request, self.timeouts.run)?;
        let Ran { seconds } = parse(&self.child, ran)?;
        if seconds.len() == calls && seconds.iter().all(|s| s.is_finite() && *s >= 0.0) {
            Ok(seconds)
        } else {
            let reason = format!("{calls} calls took {seconds:?} s");
            Err(self.child.nonsense(reason))
        }
    }

    /// The answer of the last run of `cell`, which must be the one loaded.
    ///
    /// # Errors
    /// As for [`run`](Self::run), and [`Error::File`] where it did not write what it should.
    pub fn output(&mut self, cell: &Cell) -> Result<Answer> {
        let folder = tempfile::tempdir().map_err(|source| Error::File {
            path: std::env::temp_dir(),
            source,
        })?;
        let request = Request::Output {
            folder: folder.path(),
        };
        ask(&mut self.child, &request, self.timeouts.run)?;
        cell.answer(folder.path())
    }
}

fn ask(child: &mut Child, request: &Request<'_>, patience: Duration) -> Result<serde_json::Value> {
    child.ask(request, request.name(), patience)
}

fn parse<T: DeserializeOwned>(child: &Child, value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value).map_err(|e| child.nonsense(e.to_string()))
}
