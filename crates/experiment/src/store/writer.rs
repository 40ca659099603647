//! The one process that writes a run.

use super::lock::Lock;
use super::records::{self, Contents};
use super::{Manifest, RECORDS, SUMMARY, StoreError, atomic, summary};
use crate::context::Context;
use crate::plan::Plan;
use crate::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A run's folder, locked, repaired and open for appending.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    file: File,
    /// Length of the file that holds whole rows only.
    bytes: u64,
    /// Rows of finished groups, in the order of the file.
    pub(crate) records: Vec<Record>,
    pub(crate) manifest: Manifest,
    _lock: Lock,
}

impl Writer {
    /// Opens or makes the folder of a plan.
    ///
    /// A torn last row, and rows of groups that are not complete, are removed: they are measured again.
    pub(crate) fn open(
        folder: &Path,
        plan: &Plan,
        context: &Context,
        fresh: bool,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|e| StoreError::io("create", folder, e))?;
        let lock = Lock::take(folder)?;
        let path = folder.join(RECORDS);
        if fresh {
            set_aside(folder, &path)?;
        }
        let found = if fresh { None } else { Manifest::read(folder)? };
        if let Some(other) = found.as_ref().filter(|m| m.identity != plan.identity) {
            return Err(StoreError::OtherRun {
                path: folder.into(),
                found: other.identity.clone(),
                expected: plan.identity.clone(),
            });
        }
        let contents = records::read(&path)?;
        if found.is_none() && !contents.records.is_empty() {
            return Err(StoreError::NotARun {
                path: folder.into(),
                reason: "it has records without a manifest".into(),
            });
        }
        let manifest = found.unwrap_or_else(|| Manifest::new(plan, context));
        manifest.write(folder)?;
        let records = repair(&path, contents, plan)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|e| StoreError::io("open", &path, e))?;
        let bytes = file
            .metadata()
            .map_err(|e| StoreError::io("read", &path, e))?
            .len();
        Ok(Self {
            folder: folder.into(),
            file,
            bytes,
            records,
            manifest,
            _lock: lock,
        })
    }

    /// Whether a group's rows are there.
    pub(crate) fn has_group(&self, id: &str) -> bool {
        self.records.iter().any(|r| r.group == id)
    }

    /// Appends the rows of one group; all of them reach the disk, or none stays.
    pub(crate) fn append(&mut self, group: Vec<Record>) -> Result<(), StoreError> {
        let path = self.folder.join(RECORDS);
        let fault = |source| StoreError::io("append to", &path, source);
        let text = records::lines(group.iter()).map_err(|e| fault(io::Error::other(e)))?;
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // If even this fails, the next call removes the torn rows.
            let _ = self.file.set_len(self.bytes);
            return Err(fault(error));
        }
        self.bytes += text.len() as u64;
        self.records.extend(group);
        self.write_summary()
    }

    /// Replaces the manifest.
    pub(crate) fn write_manifest(&self) -> Result<(), StoreError> {
        self.manifest.write(&self.folder)
    }

    /// Puts the rows into the order of the plan, should groups have been measured in another one.
    pub(crate) fn finish(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let place: BTreeMap<&str, usize> = plan
            .groups
            .iter()
            .enumerate()
            .map(|(i, g)| (g.id.as_str(), i))
            .collect();
        // Groups of the same run that this plan's filter leaves out keep their places behind.
        let key = |r: &Record| place.get(r.group.as_str()).copied().unwrap_or(usize::MAX);
        let covers_all = self
            .records
            .iter()
            .all(|r| place.contains_key(r.group.as_str()));
        if covers_all && !self.records.is_sorted_by_key(key) {
            let path = self.folder.join(RECORDS);
            self.records.sort_by_key(key);
            let text = records::lines(self.records.iter());
            let text = text.map_err(|e| StoreError::io("write", &path, io::Error::other(e)))?;
            atomic::replace(&path, &text)?;
            let reopened = OpenOptions::new().append(true).open(&path);
            self.file = reopened.map_err(|e| StoreError::io("open", &path, e))?;
            self.bytes = text.len() as u64;
        }
        self.write_summary()
    }

    fn write_summary(&self) -> Result<(), StoreError> {
        atomic::replace(
            &self.folder.join(SUMMARY),
            summary::csv(&self.records).as_bytes(),
        )
    }
}

/// Cuts a torn tail off, and rewrites the file without groups that are not complete.
fn repair(path: &Path, contents: Contents, plan: &Plan) -> Result<Vec<Record>, StoreError> {
    let cells: BTreeMap<&str, usize> = plan
        .groups
        .iter()
        .map(|g| (g.id.as_str(), g.cells.len()))
        .collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in &contents.records {
        *counts.entry(record.group.clone()).or_default() += 1;
    }
    // A group that a filter leaves out of this plan cannot be counted; only the last one of a file can
    // be incomplete, since groups are appended in order.
    let last = contents.records.last().map(|r| r.group.clone());
    let incomplete: BTreeSet<String> = counts
        .into_iter()
        .filter(|(group, count)| match cells.get(group.as_str()) {
            Some(expected) => count != expected,
            None => Some(group) == last.as_ref() && contents.whole_bytes < contents.bytes,
        })
        .map(|(group, _)| group)
        .collect();
    let kept: Vec<Record> = contents
        .records
        .into_iter()
        .filter(|r| !incomplete.contains(&r.group))
        .collect();
    if !incomplete.is_empty() || contents.whole_bytes < contents.bytes {
        let text = records::lines(kept.iter());
        let text = text.map_err(|e| StoreError::io("write", path, io::Error::other(e)))?;
        atomic::replace(path, &text)?;
    }
    Ok(kept)
}

/// Renames the records to the first free `records.old-K.jsonl`.
fn set_aside(folder: &Path, path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    let free = (1u32..)
        .map(|k| folder.join(format!("records.old-{k}.jsonl")))
        .find(|p| !p.exists());
    let free = free.unwrap_or_else(|| folder.join("records.old.jsonl"));
    fs::rename(path, &free).map_err(|e| StoreError::io("set aside", path, e))
}
