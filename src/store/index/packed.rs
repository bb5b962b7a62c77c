//! Numbers packed into as few bits each as the widest of them needs: above the least of them, or, where they only
//! grow, above the least difference from one to the next.

/// Numbers as they are, above the least.
const PLAIN: u8 = 0;
/// Differences from each number to the next, above the least difference.
const GROWING: u8 = 1;
/// Form, width, count, first number, least difference.
const HEAD_BYTES: usize = 1 + 1 + 4 + 8 + 8;
/// Wider numbers than this take 64 bits, so that each can be read with one load of eight bytes.
const WIDTH_MAX: u32 = 56;

/// Packs `values`.
pub fn pack(values: &[u64]) -> Box<[u8]> {
    let least = values.iter().copied().min().unwrap_or(0);
    let most = values.iter().copied().max().unwrap_or(0);
    let plain = width_of(most - least);
    if let Some((shortest, longest)) =
        differences(values).filter(|(shortest, longest)| width_of(longest - shortest) < plain)
    {
        let first = values.first().copied().unwrap_or(0);
        let above = values.windows(2).map(|pair| pair[1] - pair[0] - shortest);
        return write(GROWING, width_of(longest - shortest), values.len(), first, shortest, above);
    }
    write(PLAIN, plain, values.len(), least, 0, values.iter().map(|value| value - least))
}

/// The numbers that were packed; `None` when the bytes are not what [`pack`] made.
pub fn unpack(bytes: &[u8]) -> Option<Vec<u64>> {
    let (head, bits) = bytes.split_at_checked(HEAD_BYTES)?;
    let (form, width) = (head[0], u32::from(head[1]));
    let count = u32::from_le_bytes(head[2..6].try_into().ok()?) as usize;
    let base = u64::from_le_bytes(head[6..14].try_into().ok()?);
    let step = u64::from_le_bytes(head[14..22].try_into().ok()?);
    let stored = if form == GROWING { count.saturating_sub(1) } else { count };
    if form > GROWING || (width > WIDTH_MAX && width != u64::BITS) || bits.len() != bytes_of(stored, width) {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    let mask = if width == u64::BITS { u64::MAX } else { (1 << width) - 1 };
    let numbers = (0..stored).map(|place| {
        let bit = place * width as usize;
        let eight = bits[bit / 8..bit / 8 + 8].try_into().expect("eight bytes are eight bytes");
        (u64::from_le_bytes(eight) >> (bit % 8)) & mask
    });
    if form == GROWING {
        let mut value = base;
        values.push(value);
        values.extend(numbers.map(|above| {
            value = value.wrapping_add(step).wrapping_add(above);
            value
        }));
    } else {
        values.extend(numbers.map(|above| base.wrapping_add(above)));
    }
    Some(values)
}

/// The least and the greatest difference from one number to the next, where none is smaller than the one before it.
fn differences(values: &[u64]) -> Option<(u64, u64)> {
    let mut found = None;
    for pair in values.windows(2) {
        let difference = pair[1].checked_sub(pair[0])?;
        let (shortest, longest) = found.unwrap_or((difference, difference));
        found = Some((shortest.min(difference), longest.max(difference)));
    }
    found
}

/// How many bits a number takes.
fn width_of(most: u64) -> u32 {
    let width = u64::BITS - most.leading_zeros();
    if width > WIDTH_MAX { u64::BITS } else { width }
}

/// What `count` numbers of `width` bits take, so that eight bytes can be read from where each begins.
fn bytes_of(count: usize, width: u32) -> usize {
    if count == 0 || width == 0 { if count == 0 { 0 } else { 8 } } else { (count * width as usize).div_ceil(8) + 7 }
}

fn write(
    form: u8,
    width: u32,
    count: usize,
    base: u64,
    step: u64,
    numbers: impl ExactSizeIterator<Item = u64>,
) -> Box<[u8]> {
    let mut out = Vec::with_capacity(HEAD_BYTES + bytes_of(numbers.len(), width));
    out.push(form);
    out.push(u8::try_from(width).expect("a width is at most 64"));
    out.extend_from_slice(&u32::try_from(count).expect("a page has few rows").to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&step.to_le_bytes());
    let end = HEAD_BYTES + bytes_of(numbers.len(), width);
    let (mut pending, mut held) = (0_u128, 0);
    for number in numbers {
        pending |= u128::from(number) << held;
        held += width;
        if held >= u64::BITS {
            out.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= u64::BITS;
            held -= u64::BITS;
        }
    }
    out.extend_from_slice(&pending.to_le_bytes()[..held.div_ceil(8) as usize]);
    out.resize(end, 0);
    out.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(values in prop::collection::vec(any::<u64>(), 0..300), shift in 0_u32..64) {
            let values: Vec<u64> = values.into_iter().map(|value| value >> shift).collect();
            prop_assert_eq!(unpack(&pack(&values)), Some(values.clone()));
            let mut sorted = values;
            sorted.sort_unstable();
            prop_assert_eq!(unpack(&pack(&sorted)), Some(sorted));
        }

        #[test]
        fn bytes_that_were_not_packed_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            _ = unpack(&bytes);
        }
    }

    #[test]
    fn numbers_that_grow_evenly_take_next_to_nothing() {
        let values: Vec<u64> = (0..4_096).map(|row| 1_000_000_000 + row * 3).collect();
        assert!(pack(&values).len() < 40);
    }
}
