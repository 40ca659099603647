//! A log in few bytes: variable-length integers (LEB128), times as differences.

use super::interactions::Interactions;
use super::names::Names;

/// Changes with every change of the layout, so that no old file is taken for a new one.
const MAGIC: &[u8; 16] = b"interactions v2\n";
const HASH: usize = 32;

/// The bytes of a log: magic, BLAKE3 of the rest, the rest.
pub(crate) fn encode(log: &Interactions) -> Vec<u8> {
    let (offsets, items) = log.jagged();
    let mut body = Writer(Vec::with_capacity(4 * items.len()));
    body.text(log.checksum());
    body.number(u64::from(log.has_times()));
    body.names((0..log.users()).map(|user| log.user_name(user)));
    body.names((0..log.items()).map(|item| log.item_name(item as u32)));
    offsets
        .windows(2)
        .for_each(|bounds| body.number((bounds[1] - bounds[0]) as u64));
    items.iter().for_each(|&item| body.number(u64::from(item)));
    let mut before = 0i64;
    for user in 0..log.users() {
        for &time in log.times(user).unwrap_or_default() {
            body.difference(before, time);
            before = time;
        }
    }
    body.number(u64::from(log.has_ratings()));
    for user in 0..log.users() {
        let ratings = log.ratings(user).unwrap_or_default();
        ratings
            .iter()
            .for_each(|rating| body.0.extend(rating.to_le_bytes()));
    }
    let hash = blake3::hash(&body.0);
    [MAGIC, &hash.as_bytes()[..], &body.0].concat()
}

/// The log, or `None` where the bytes are not what [`encode`] gives, to the last bit.
pub(crate) fn decode(bytes: &[u8]) -> Option<Interactions> {
    let (hash, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(HASH)?;
    if blake3::hash(body).as_bytes() != hash {
        return None;
    }
    let mut body = Reader(body);
    let checksum = body.text()?.to_string();
    let timed = body.number()? == 1;
    let user_names = body.names()?;
    let item_names = body.names()?;
    let mut offsets = vec![0usize];
    for _ in 0..user_names.len() {
        let length = usize::try_from(body.number()?).ok()?;
        offsets.push(offsets.last()?.checked_add(length)?);
    }
    let events = *offsets.last()?;
    let known = |item: &u64| *item < item_names.len() as u64;
    let items = (0..events)
        .map(|_| body.number().filter(known).map(|item| item as u32))
        .collect::<Option<Vec<u32>>>()?;
    let mut times = None;
    if timed {
        let mut before = 0i64;
        let next = |_| {
            before = body.difference(before)?;
            Some(before)
        };
        times = Some((0..events).map(next).collect::<Option<Vec<i64>>>()?);
    }
    let ratings = match body.number()? {
        1 => Some(
            (0..events)
                .map(|_| body.rating())
                .collect::<Option<Vec<f32>>>()?,
        ),
        _ => None,
    };
    let log = Interactions::from_parts(offsets, items, times, user_names, item_names, checksum);
    Some(log.with_ratings(ratings))
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Zigzag, so that small differences of either sign are small numbers; wrapping, so that any two times have one.
    fn difference(&mut self, before: i64, time: i64) {
        let difference = time.wrapping_sub(before);
        self.number((difference.wrapping_shl(1) ^ (difference >> 63)) as u64);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn names<'a>(&mut self, names: impl ExactSizeIterator<Item = &'a str>) {
        self.number(names.len() as u64);
        names.for_each(|name| self.text(name));
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn difference(&mut self, before: i64) -> Option<i64> {
        let number = self.number()?;
        let difference = (number >> 1) as i64 ^ -((number & 1) as i64);
        Some(before.wrapping_add(difference))
    }

    fn rating(&mut self) -> Option<f32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f32::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn names(&mut self) -> Option<Names> {
        (0..self.number()?).map(|_| self.text()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::gather::Gather;
    use proptest::prelude::*;

    fn log(events: &[(u8, u8, i64)], timed: bool, rated: bool) -> Interactions {
        let mut gather = Gather::new(timed);
        for (user, item, time) in events {
            let user = gather.user(format!("ü{user}").into()).unwrap();
            gather.event(user, item.to_string().into(), *time).unwrap();
            if rated {
                gather.rate(f32::from(*item) / 2.0);
            }
        }
        gather.finish("a checksum".to_string())
    }

    proptest! {
        #[test]
        fn any_log_comes_back_and_any_damage_is_noticed(
            events in proptest::collection::vec((0u8..5, any::<u8>(), any::<i64>()), 0..40),
            timed in any::<bool>(),
            rated in any::<bool>(),
            at in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            let log = log(&events, timed, rated);
            let mut bytes = encode(&log);
            prop_assert_eq!(decode(&bytes), Some(log));
            prop_assert_eq!(decode(&bytes[..at.index(bytes.len())]), None);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes), None);
        }
    }
}
