//! Avro's binary encoding: how the values that events are made of stand in bytes.
//!
//! Owns: the encoding of every type that a field may have, and of a record, which is its fields one after the other.
//! Promises: bytes from anywhere give a value or an error, never a panic. Nothing is allocated for a length that is not
//! there, and nothing recurses: a record's fields are values and arrays of values or of records.
//! Never: looks at a schema. That a record has its schema's fields, in the schema's order, is shown by the catalogue's
//! tests; that the bytes are those of apache-avro, by the codec's.

use bytes::Bytes;
use uuid::Uuid;

use crate::EventId;

/// The most bytes of a number: seven bits of 64 in each.
const NUMBER_BYTES: usize = 10;
/// A UUID as text with hyphens.
const ID_BYTES: usize = 36;

/// A field that does not hold a value of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {fault}")]
pub(crate) struct Malformed {
    pub(crate) field: &'static str,
    pub(crate) fault: Fault,
}

/// What is wrong with the bytes of one value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the bytes end within a number")]
    CutNumber,
    #[error("a number has more than 64 bits")]
    LongNumber,
    #[error("{0} does not fit into an int of 32 bits")]
    LargeInt(i64),
    #[error("its length is said to be {length} bytes, but {left} are left")]
    Length { length: i64, left: usize },
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("the text is not a UUID")]
    NotUuid,
    #[error("the union has no branch {0}")]
    NoBranch(i64),
    #[error("its array is said to go on with {items} items, but {left} bytes are left")]
    Items { items: i64, left: usize },
    #[error("item {index}: {malformed}")]
    Item { index: usize, malformed: Box<Malformed> },
}

/// A value of one of Avro's types.
pub(crate) trait Datum: Sized {
    /// The type's name in a schema, without a logical type.
    #[cfg(test)]
    fn type_name() -> String;

    /// The most bytes that writing it takes.
    fn most_bytes(&self) -> usize;

    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads one value from the front of `bytes` and moves them past it.
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault>;
}

/// Named values in the order of their schema.
pub(crate) trait Record: Sized {
    /// Names and types of the fields.
    #[cfg(test)]
    fn fields() -> Vec<(&'static str, String)>;

    /// The most bytes that writing it takes.
    fn most_bytes(&self) -> usize;

    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads one record from the front of `bytes` and moves them past it.
    fn read(bytes: &mut &[u8]) -> Result<Self, Malformed>;
}

/// Makes structs [`Record`]s. Their fields stand in the order of the schema.
macro_rules! records {
    ($(
        $(#[$about:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$about_field:meta])* $field_visibility:vis $field:ident: $type:ty,)+
        }
    )+) => {$(
        $(#[$about])*
        $visibility struct $name {
            $($(#[$about_field])* $field_visibility $field: $type,)+
        }

        impl $crate::binary::Record for $name {
            #[cfg(test)]
            fn fields() -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), <$type as $crate::binary::Datum>::type_name())),+]
            }

            fn most_bytes(&self) -> usize {
                0 $(+ $crate::binary::Datum::most_bytes(&self.$field))+
            }

            fn write(&self, bytes: &mut Vec<u8>) {
                $($crate::binary::Datum::write(&self.$field, bytes);)+
            }

            #[inline]
            fn read(bytes: &mut &[u8]) -> Result<Self, $crate::binary::Malformed> {
                Ok(Self {
                    $($field: <$type as $crate::binary::Datum>::read(bytes)
                        .map_err(|fault| $crate::binary::Malformed { field: stringify!($field), fault })?,)+
                })
            }
        }
    )+};
}
pub(crate) use records;

impl Datum for i64 {
    #[cfg(test)]
    fn type_name() -> String {
        "long".into()
    }

    fn most_bytes(&self) -> usize {
        NUMBER_BYTES
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        // Zig-zag: the sign moves to the lowest bit, so that numbers near zero are short.
        let mut rest = ((self << 1) ^ (self >> 63)).cast_unsigned();
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        // Lengths and unions are nearly always of one byte.
        if let [byte @ ..0x80, rest @ ..] = *bytes {
            *bytes = rest;
            return Ok(from_zig_zag(u64::from(*byte)));
        }
        read_long_number(bytes).map(from_zig_zag)
    }
}

fn from_zig_zag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn read_long_number(bytes: &mut &[u8]) -> Result<u64, Fault> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().take(NUMBER_BYTES).enumerate() {
        // Of the tenth byte only one bit is left.
        if index == NUMBER_BYTES - 1 && *byte > 1 {
            return Err(Fault::LongNumber);
        }
        number |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(number);
        }
    }
    Err(Fault::CutNumber)
}

impl Datum for i32 {
    #[cfg(test)]
    fn type_name() -> String {
        "int".into()
    }

    fn most_bytes(&self) -> usize {
        NUMBER_BYTES
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        i64::from(*self).write(bytes);
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        let value = i64::read(bytes)?;
        i32::try_from(value).map_err(|_| Fault::LargeInt(value))
    }
}

impl Datum for Vec<u8> {
    #[cfg(test)]
    fn type_name() -> String {
        "bytes".into()
    }

    fn most_bytes(&self) -> usize {
        NUMBER_BYTES + self.len()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_slice(self, bytes);
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        read_slice(bytes).map(<[u8]>::to_vec)
    }
}

/// As [`Vec<u8>`], for what is large and passed around.
impl Datum for Bytes {
    #[cfg(test)]
    fn type_name() -> String {
        "bytes".into()
    }

    fn most_bytes(&self) -> usize {
        NUMBER_BYTES + self.len()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_slice(self, bytes);
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        read_slice(bytes).map(Bytes::copy_from_slice)
    }
}

impl Datum for String {
    #[cfg(test)]
    fn type_name() -> String {
        "string".into()
    }

    fn most_bytes(&self) -> usize {
        NUMBER_BYTES + self.len()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_slice(self.as_bytes(), bytes);
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        String::from_utf8(read_slice(bytes)?.to_vec()).map_err(|_| Fault::NotUtf8)
    }
}

/// As text, since Avro's schemas of ids say so: people read them in other tools.
impl Datum for EventId {
    #[cfg(test)]
    fn type_name() -> String {
        "string".into()
    }

    fn most_bytes(&self) -> usize {
        NUMBER_BYTES + ID_BYTES
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_slice(self.0.hyphenated().encode_lower(&mut [0; ID_BYTES]).as_bytes(), bytes);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        Uuid::try_parse_ascii(read_slice(bytes)?).map(Self).map_err(|_| Fault::NotUuid)
    }
}

/// A union of null and a type, in this order.
impl<T: Datum> Datum for Option<T> {
    #[cfg(test)]
    fn type_name() -> String {
        format!("null or {}", T::type_name())
    }

    fn most_bytes(&self) -> usize {
        1 + self.as_ref().map_or(0, Datum::most_bytes)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        i64::from(self.is_some()).write(bytes);
        if let Some(value) = self {
            value.write(bytes);
        }
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        match i64::read(bytes)? {
            0 => Ok(None),
            1 => T::read(bytes).map(Some),
            branch => Err(Fault::NoBranch(branch)),
        }
    }
}

/// An array of records.
impl<T: Record> Datum for Vec<T> {
    #[cfg(test)]
    fn type_name() -> String {
        let fields: Vec<_> = T::fields().into_iter().map(|(name, of)| format!("{name}: {of}")).collect();
        format!("array of {{{}}}", fields.join(", "))
    }

    fn most_bytes(&self) -> usize {
        2 * NUMBER_BYTES + self.iter().map(Record::most_bytes).sum::<usize>()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_items(self, bytes, Record::write);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        let item = |bytes: &mut &[u8], index| {
            T::read(bytes).map_err(|malformed| Fault::Item { index, malformed: Box::new(malformed) })
        };
        read_items(bytes, item)
    }
}

impl Datum for Vec<EventId> {
    #[cfg(test)]
    fn type_name() -> String {
        "array of string".into()
    }

    fn most_bytes(&self) -> usize {
        2 * NUMBER_BYTES + self.iter().map(Datum::most_bytes).sum::<usize>()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        write_items(self, bytes, Datum::write);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, Fault> {
        read_items(bytes, |bytes, _| EventId::read(bytes))
    }
}

/// Writes an array as one block.
fn write_items<T>(items: &[T], bytes: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    if !items.is_empty() {
        // Invariant: nothing in memory is longer than i64::MAX.
        (items.len() as i64).write(bytes);
        items.iter().for_each(|item| write(item, bytes));
    }
    0_i64.write(bytes);
}

/// Reads an array of as many blocks as there are; `read` is told which item it reads.
fn read_items<T>(bytes: &mut &[u8], read: impl Fn(&mut &[u8], usize) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let mut items = Vec::new();
    loop {
        let count = match i64::read(bytes)? {
            0 => return Ok(items),
            // Avro lets a writer put the block's size in bytes behind a negative count.
            count @ ..0 => {
                i64::read(bytes)?;
                count.saturating_neg()
            }
            count => count,
        };
        // An item has at least a byte.
        if usize::try_from(count).map_or(true, |count| count > bytes.len()) {
            return Err(Fault::Items { items: count, left: bytes.len() });
        }
        for _ in 0..count {
            items.push(read(bytes, items.len())?);
        }
    }
}

fn write_slice(slice: &[u8], bytes: &mut Vec<u8>) {
    // Invariant: nothing in memory is longer than i64::MAX.
    (slice.len() as i64).write(bytes);
    bytes.extend_from_slice(slice);
}

#[inline]
fn read_slice<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let length = i64::read(bytes)?;
    let parts = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let Some((slice, rest)) = parts else {
        return Err(Fault::Length { length, left: bytes.len() });
    };
    *bytes = rest;
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written<T: Datum>(value: &T) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        assert!(bytes.len() <= value.most_bytes());
        bytes
    }

    #[test]
    fn numbers_are_written_as_the_specification_shows() {
        let examples = [(0, &[0][..]), (-1, &[1]), (1, &[2]), (-2, &[3]), (-64, &[0x7F]), (64, &[0x80, 1])];
        for (number, bytes) in examples {
            assert_eq!(written(&i64::from(number)), bytes);
        }
        assert_eq!(written(&"foo".to_owned()), [6, 0x66, 0x6F, 0x6F]);
    }

    proptest! {
        #[test]
        fn numbers_round_trip(number: i64, small: i32) {
            prop_assert_eq!(i64::read(&mut &written(&number)[..]), Ok(number));
            prop_assert_eq!(i32::read(&mut &written(&small)[..]), Ok(small));
        }
    }

    #[test]
    fn the_outermost_numbers_round_trip() {
        for number in [i64::MIN, i64::MAX, 0, -1, i64::from(i32::MIN), i64::from(i32::MAX)] {
            assert_eq!(i64::read(&mut &written(&number)[..]), Ok(number));
        }
    }

    #[test]
    fn a_number_of_more_bits_than_its_type_is_refused() {
        assert_eq!(i64::read(&mut &[0xFF; 12][..]), Err(Fault::LongNumber));
        let mut bits_65 = [0x80; 10];
        bits_65[9] = 2;
        assert_eq!(i64::read(&mut &bits_65[..]), Err(Fault::LongNumber));
        assert_eq!(i64::read(&mut &[0x80; 9][..]), Err(Fault::CutNumber));
        let large = i64::from(i32::MAX) + 1;
        assert_eq!(i32::read(&mut &written(&large)[..]), Err(Fault::LargeInt(large)));
    }

    #[test]
    fn a_length_that_lies_is_named_with_what_is_there() {
        assert_eq!(String::read(&mut &[8, b'a'][..]), Err(Fault::Length { length: 4, left: 1 }));
        assert_eq!(String::read(&mut &[1, b'a'][..]), Err(Fault::Length { length: -1, left: 1 }));
        let mut bytes = written(&i64::MAX);
        bytes.push(0);
        assert_eq!(Vec::<u8>::read(&mut &bytes[..]), Err(Fault::Length { length: i64::MAX, left: 1 }));
    }

    records! {
        #[derive(Debug, Clone, PartialEq, Eq)]
        struct Pair {
            name: String,
            number: Option<i64>,
        }
    }

    fn pair(number: Option<i64>) -> Pair {
        Pair { name: "a".into(), number }
    }

    #[test]
    fn arrays_are_read_in_blocks_of_any_kind() {
        let pairs = vec![pair(None), pair(Some(-1))];
        assert_eq!(written(&pairs), [4, 2, b'a', 0, 2, b'a', 2, 1, 0]);
        assert_eq!(written(&Vec::<Pair>::new()), [0]);
        // Two blocks, the second with its size in bytes behind a negative count.
        let blocks = [2, 2, b'a', 0, 1, 8, 2, b'a', 2, 1, 0];
        assert_eq!(Vec::<Pair>::read(&mut &blocks[..]), Ok(pairs));
    }

    #[test]
    fn an_array_that_lies_is_refused_with_the_item_at_fault() {
        let lie = written(&i64::MAX);
        assert_eq!(Vec::<Pair>::read(&mut &lie[..]), Err(Fault::Items { items: i64::MAX, left: 0 }));
        let lie = [written(&i64::MIN), vec![2, 9, 9]].concat();
        assert_eq!(Vec::<Pair>::read(&mut &lie[..]), Err(Fault::Items { items: i64::MAX, left: 2 }));
        let fault = Vec::<Pair>::read(&mut &[4, 2, b'a', 0, 2, 0xFF, 0][..]).unwrap_err();
        assert_eq!(fault.to_string(), "item 1: field name: the text is not UTF-8");
    }

    #[test]
    fn text_and_unions_are_checked() {
        assert_eq!(String::read(&mut &[2, 0xFF][..]), Err(Fault::NotUtf8));
        assert_eq!(EventId::read(&mut &[2, b'x'][..]), Err(Fault::NotUuid));
        assert_eq!(Option::<String>::read(&mut &[4][..]), Err(Fault::NoBranch(2)));
        assert_eq!(Option::<String>::read(&mut &[1][..]), Err(Fault::NoBranch(-1)));
    }
}
