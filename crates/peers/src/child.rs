//! A child process that answers lines with lines.

use crate::error::{Error, Result};
use crate::message::{Reply, Request};
use crate::program::Program;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of standard error that are kept for the error message.
const LAST_LINES: usize = 12;

/// How long a child may take to end by itself.
const GOODBYE: Duration = Duration::from_secs(2);

/// Variables of the caller that change how libraries compute or place threads: a child gets those
/// of its [`Program`] alone.
const PRIVATE: [&str; 6] = ["OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "RAYON_"];

/// A running child that speaks whatever language the caller knows; ended when dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: process::Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl Child {
    /// Starts a program for a number of threads.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn start(program: &Program, threads: usize) -> std::io::Result<Self> {
        let mut command = Command::new(&program.command);
        command.args(&program.args);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if PRIVATE.iter().any(|private| text.starts_with(private)) {
                command.env_remove(&name);
            }
        }
        for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
            command.env(name, threads.to_string());
        }
        if program.bound && threads > 1 {
            command.envs([("OMP_PROC_BIND", "true"), ("OMP_PLACES", "cores")]);
        }
        command.envs(program.env.iter().map(|(name, value)| (name, value)));
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(stdout) = process.stdout.take() {
            each_line(stdout, move |line| drop(sender.send(line)));
        }
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(words) = process.stderr.take() {
            let kept = Arc::clone(&stderr);
            each_line(words, move |line| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LAST_LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            });
        }
        Ok(Self {
            name: program.name.clone(),
            stdin: process.stdin.take(),
            process,
            lines,
            stderr,
        })
    }

    /// Sends a request, which messages call `name`, and waits for its answer: a line of JSON each.
    ///
    /// # Errors
    /// [`Error::Unsupported`] and [`Error::Failed`] as it says itself; [`Error::Died`], [`Error::Timeout`],
    /// [`Error::Protocol`] where it gives no answer.
    pub fn ask(
        &mut self,
        request: &impl Serialize,
        name: &'static str,
        patience: Duration,
    ) -> Result<serde_json::Value> {
        let mut line = serde_json::to_string(request).map_err(|e| self.nonsense(e.to_string()))?;
        line.push('\n');
        let sent = self.stdin.as_mut().map(|to| to.write_all(line.as_bytes()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.died());
        }
        let line = match self.lines.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return Err(self.died()),
            Err(RecvTimeoutError::Timeout) => {
                // Its answer would be taken for that of the next request.
                self.end();
                return Err(Error::Timeout {
                    peer: self.name.clone(),
                    request: name,
                    seconds: patience.as_secs(),
                });
            }
        };
        let peer = self.name.clone();
        match serde_json::from_str(&line) {
            Ok(Reply::Ok(value)) => Ok(value),
            Ok(Reply::Unsupported(what)) => Err(Error::Unsupported { peer, what }),
            Ok(Reply::Failed(reason)) => Err(Error::Failed { peer, reason }),
            Err(error) => Err(self.nonsense(format!("{error} in `{line}`"))),
        }
    }

    /// An answer that is no answer.
    pub(crate) fn nonsense(&self, reason: String) -> Error {
        Error::Protocol {
            peer: self.name.clone(),
            reason,
        }
    }

    fn died(&mut self) -> Error {
        self.stdin = None;
        let status = self.wait(GOODBYE).map_or_else(
            || "it closed its output and was ended".into(),
            |status| status.to_string(),
        );
        self.end();
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        Error::Died {
            peer: self.name.clone(),
            status,
            stderr: Vec::from(stderr.clone()).join("\n"),
        }
    }

    fn wait(&mut self, patience: Duration) -> Option<process::ExitStatus> {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.process.try_wait() {
                // Its last words are still on their way through the reading thread.
                thread::sleep(Duration::from_millis(20));
                return Some(status);
            }
            if start.elapsed() > patience {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&mut self) {
        self.stdin = None;
        // Fails only where it has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let (Some(mut stdin), Ok(line)) =
            (self.stdin.take(), serde_json::to_string(&Request::Bye))
        {
            drop(writeln!(stdin, "{line}"));
        }
        if self.wait(GOODBYE).is_none() {
            self.end();
        }
    }
}

/// Hands over each line from a thread of its own, so that a pipe never fills up.
fn each_line(from: impl Read + Send + 'static, mut line: impl FnMut(String) + Send + 'static) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
            line(String::from_utf8_lossy(&bytes).trim_end().to_owned());
            bytes.clear();
        }
    });
}
