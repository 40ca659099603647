//! The bytes of a log file, decompressed where they are gzip.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::data::error::LogError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What a file held, after decompression.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) checksum: String,
}

/// The bytes as they are on disk.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, LogError> {
    fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => LogError::Missing {
            path: path.to_path_buf(),
        },
        _ => LogError::Unreadable {
            path: path.to_path_buf(),
            reason: error.to_string(),
        },
    })
}

/// Decompresses where need be, and takes the checksum of what comes out.
pub(super) fn load(path: &Path, raw: Vec<u8>) -> Result<Content, LogError> {
    let bytes = if raw.starts_with(&GZIP_MAGIC) {
        decompress(path, &raw)?
    } else {
        raw
    };
    let checksum = blake3::hash(&bytes).to_hex().to_string();
    Ok(Content { bytes, checksum })
}

fn decompress(path: &Path, raw: &[u8]) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    let Err(error) = MultiGzDecoder::new(raw).read_to_end(&mut bytes) else {
        return Ok(bytes);
    };
    let path = path.to_path_buf();
    let (decompressed, lines) = (
        bytes.len(),
        bytes.iter().filter(|&&byte| byte == b'\n').count(),
    );
    Err(match error.kind() {
        ErrorKind::UnexpectedEof => LogError::TruncatedGzip {
            path,
            compressed: raw.len(),
            decompressed,
            lines,
        },
        _ => LogError::CorruptGzip {
            path,
            decompressed,
            lines,
            reason: error.to_string(),
        },
    })
}

/// The text without its byte order mark.
pub(super) fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, LogError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line_start = before
                .iter()
                .rposition(|&byte| byte == b'\n')
                .map_or(0, |at| at + 1);
            Err(LogError::NotUtf8 {
                path: path.to_path_buf(),
                line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
                byte: 1 + before.len() - line_start,
                found: bytes[before.len()],
            })
        }
    }
}
