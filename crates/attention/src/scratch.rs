//! Working memory, asked for before the call and kept between calls.

/// Floats between the starts of two parts: a cache line of 64 bytes.
const LINE: usize = 16;

/// A reusable buffer of f32, aligned to cache lines.
///
/// A variant states what it needs through [`Attention::scratch_bytes`](crate::Attention::scratch_bytes);
/// after [`reserve`](Self::reserve) of that, its calls allocate nothing here.
#[derive(Debug, Default)]
pub struct Scratch {
    buffer: Vec<f32>,
    guarded: u64,
}

impl Scratch {
    /// An empty buffer; it grows when a variant asks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `bytes` in advance.
    pub fn reserve(&mut self, bytes: u64) {
        self.grow(usize::try_from(bytes / 4).unwrap_or(usize::MAX));
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        4 * self.buffer.len() as u64
    }

    /// Notes rows whose normaliser was so small that its documented floor was taken instead.
    pub fn note_guarded(&mut self, rows: u64) {
        self.guarded += rows;
    }

    /// Rows noted since the last call, which begins a new count.
    pub fn take_guarded(&mut self) -> u64 {
        std::mem::take(&mut self.guarded)
    }

    /// Bytes that [`parts`](Self::parts) of this size take.
    #[must_use]
    pub fn bytes_for(parts: usize, floats: usize) -> u64 {
        4 * (parts * floats.next_multiple_of(LINE) + LINE) as u64
    }

    /// `count` disjoint parts of `floats` f32 each, aligned to 64 bytes; their content is stale.
    pub fn parts(&mut self, count: usize, floats: usize) -> Parts<'_> {
        let stride = floats.next_multiple_of(LINE);
        if stride > 0 {
            self.grow(count * stride + LINE);
        }
        let skip = self.buffer.as_ptr().align_offset(64);
        Parts {
            rest: self.buffer.get_mut(skip..).unwrap_or_default(),
            floats,
            left: count,
        }
    }

    /// One part of `floats` f32, aligned to 64 bytes; its content is stale.
    pub fn part(&mut self, floats: usize) -> &mut [f32] {
        self.parts(1, floats).next().unwrap_or_default()
    }

    fn grow(&mut self, floats: usize) {
        if self.buffer.len() < floats {
            // A fresh zeroed block costs nothing until it is touched; resizing would copy.
            self.buffer = Vec::new();
            self.buffer = vec![0.0; floats];
        }
    }
}

/// Disjoint parts of a [`Scratch`], one after another.
#[derive(Debug)]
pub struct Parts<'a> {
    rest: &'a mut [f32],
    floats: usize,
    left: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a mut [f32];

    fn next(&mut self) -> Option<&'a mut [f32]> {
        self.left = self.left.checked_sub(1)?;
        let stride = self.floats.next_multiple_of(LINE);
        let (part, rest) = std::mem::take(&mut self.rest).split_at_mut(stride);
        self.rest = rest;
        Some(&mut part[..self.floats])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Parts<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_as_large_as_promised() {
        let mut scratch = Scratch::new();
        assert_eq!(scratch.parts(2, 0).map(|p| p.len()).sum::<usize>(), 0);
        for floats in [1, 15, 16, 17, 1000] {
            scratch.reserve(Scratch::bytes_for(3, floats));
            let held = scratch.bytes();
            let parts = scratch.parts(3, floats);
            assert_eq!(parts.len(), 3);
            for part in parts {
                assert_eq!(part.len(), floats);
                assert_eq!(part.as_ptr() as usize % 64, 0);
            }
            assert_eq!(scratch.bytes(), held, "bytes_for foretold what parts took");
        }
    }
}
