//! Fixes the identity of the code when it is compiled: a hash of all sources, and what compiled them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let crates = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let root = crates.join("..");
    let mut files = Vec::new();
    for folder in folders(&crates)? {
        let sources = folder.join("src");
        if sources.is_dir() {
            println!("cargo::rerun-if-changed={}", sources.display());
            rust_files(&sources, &mut files)?;
        }
    }
    let lock = root.join("Cargo.lock");
    if lock.is_file() {
        println!("cargo::rerun-if-changed={}", lock.display());
        files.push(lock);
    }
    // The log of HEAD grows with every commit; the file HEAD itself does not.
    let head = root.join(".git/logs/HEAD");
    if head.is_file() {
        println!("cargo::rerun-if-changed={}", head.display());
    }

    // Sorted by path from the root with one kind of slash, so that any checkout gives the same hash.
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|path| (name_of(&path, &crates), path))
        .collect();
    named.sort();
    let mut hasher = blake3::Hasher::new();
    for (name, path) in &named {
        let text = fs::read(path)?;
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(&text);
    }

    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let opt_level = env::var("OPT_LEVEL").unwrap_or_default();
    let git = |arguments: &[&str]| {
        let mut all = vec!["-C", root.to_str().unwrap_or(".")];
        all.extend(arguments);
        output("git", &all)
    };
    let revision = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    let status = git(&[
        "status",
        "--porcelain",
        "--",
        "crates",
        "Cargo.toml",
        "Cargo.lock",
    ]);
    let dirty = status.is_some_and(|changes| !changes.is_empty());
    for (name, value) in [
        ("SOURCES", hasher.finalize().to_hex().to_string()),
        ("GIT_REVISION", revision),
        ("GIT_DIRTY", dirty.to_string()),
        (
            "RUSTC",
            output(&rustc, &["-vV"])
                .unwrap_or_default()
                .replace('\n', "; "),
        ),
        (
            "PROFILE",
            format!(
                "{} (opt-level {opt_level})",
                env::var("PROFILE").unwrap_or_default()
            ),
        ),
        ("RUSTFLAGS", flags.replace('\u{1f}', " ")),
        ("TARGET", env::var("TARGET").unwrap_or_default()),
    ] {
        println!("cargo::rustc-env=EXPERIMENT_{name}={value}");
    }
    Ok(())
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    Ok(entries
        .into_iter()
        .map(|e| e.path())
        .filter(|p| p.is_dir())
        .collect())
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn name_of(path: &Path, crates: &Path) -> String {
    let relative = path.strip_prefix(crates).unwrap_or(path);
    let parts: Vec<_> = relative
        .iter()
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    parts.join("/")
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
