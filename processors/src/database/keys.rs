//! Pieces of keys: byte strings whose order is the order of the lists.

/// Adds a name with its length before it, so that no name can run into the next field.
///
/// The gateway admits names of up to 512 bytes; a longer one from elsewhere is cut here and keeps its full form in its row.
pub(crate) fn put_name(key: &mut Vec<u8>, name: &str) {
    let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
    key.extend_from_slice(&(name.len() as u16).to_be_bytes());
    key.extend_from_slice(name);
}

/// Bytes whose unsigned order is the order of the numbers.
pub(crate) fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_order_as_their_bytes_do() {
        let mut numbers = [i64::MIN, -5, -1, 0, 1, 7, i64::MAX].map(ordered);
        assert!(numbers.is_sorted());
        numbers.reverse();
        assert!(numbers.map(|bytes| bytes.map(|byte| !byte)).is_sorted());
    }
}
