//! Identities and random streams, both from BLAKE3 of parts with their lengths.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A hash of parts; each is preceded by its length, so that no two lists run together.
pub(crate) fn digest<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let bytes = part.as_ref();
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// The first 16 hexadecimal digits of [`digest`]: 64 bits tell some 10⁸ cells apart.
pub(crate) fn short<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    digest(parts).to_hex()[..16].to_owned()
}

/// The random stream of a name and numbers: the same for the same key, unrelated for any other.
pub(crate) fn stream(seed: u64, name: &str, numbers: &[usize]) -> ChaCha8Rng {
    let numbers = numbers.iter().map(|n| n.to_string());
    let key = [seed.to_string(), name.to_owned()]
        .into_iter()
        .chain(numbers);
    ChaCha8Rng::from_seed(*digest(key).as_bytes())
}

/// A seed for things that take one of 64 bits.
pub(crate) fn seed(seed: u64, name: &str) -> u64 {
    let hash = digest([seed.to_string().as_str(), name]);
    let bytes = hash.as_bytes();
    (0..8).fold(0, |all, i| all << 8 | u64::from(bytes[i]))
}
