//! Tables: the databases of the environment, and how their keys and values are written.
//!
//! Owns: names, key forms, the layout's version, and the small values in `meta`:
//!
//! | Key | Value |
//! |---|---|
//! | `layout` | u32 little-endian: the version of everything described here and in [`record`](super::record) |
//! | `dimensions` | u32 little-endian |
//! | `checkpoints` | text, see [`Checkpoints::to_text`] |
//! | `numbering` | next (u32 little-endian), then the forgotten numbers, a Roaring bitmap |
//!
//! Never: decides what is written when.

use heed::{
    Database, RoTxn, RwTxn,
    byteorder::BigEndian,
    types::{Bytes, Str, U32},
};
use meshlog_schemas::Checkpoints;
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    cause::Cause,
    codes::{Codes, code_bytes},
    environment::Environment,
    record::StoredVector,
};
use crate::{Forgetting, Forgotten};

/// The version of the layout that this code writes, and the only one that it reads.
const LAYOUT: u32 = 3;

/// So that the bits in which two codes differ can be counted in 16.
const MOST_DIMENSIONS: u32 = 65_535;

const LAYOUT_KEY: &str = "layout";
const DIMENSIONS_KEY: &str = "dimensions";
const CHECKPOINTS_KEY: &str = "checkpoints";
const NUMBERING_KEY: &str = "numbering";

/// The number of an item, counted from 0 in the order of arrival.
pub(super) type ItemNumber = u32;

/// A key that sorts as its number.
type NumberKey = U32<BigEndian>;

/// A database keyed by item number.
pub(super) type NumberTable = Database<'static, NumberKey, Bytes>;

/// The databases, and how many dimensions their vectors have.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    /// Message id to item number.
    pub ids: Database<'static, Bytes, NumberKey>,
    /// Item number to message id and vector.
    pub items: NumberTable,
    /// Item number to facets.
    pub facets: NumberTable,
    /// Block number to the codes of its items.
    pub codes: NumberTable,
    /// Dimensions of every vector.
    pub dimensions: usize,
    spaces: Database<'static, Bytes, Bytes>,
    forgettings: Database<'static, Bytes, Bytes>,
    meta: Database<'static, Str, Bytes>,
}

impl Tables {
    /// Opens the databases, creating them in a new environment, for vectors of `dimensions`.
    pub(super) fn open(environment: &Environment, dimensions: usize) -> Result<Self, Cause> {
        let (ids, items, facets, codes, spaces, forgettings, meta) =
            environment.create_databases(|open, transaction| {
                Ok((
                    open.create_database(transaction, Some("ids"))?,
                    open.create_database(transaction, Some("items"))?,
                    open.create_database(transaction, Some("facets"))?,
                    open.create_database(transaction, Some("codes"))?,
                    open.create_database(transaction, Some("spaces"))?,
                    open.create_database(transaction, Some("forgettings"))?,
                    open.create_database(transaction, Some("meta"))?,
                ))
            })?;
        let tables = Self { ids, items, facets, codes, dimensions, spaces, forgettings, meta };
        tables.claim(environment)?;
        Ok(tables)
    }

    /// Checks that the store is of this layout and dimensions, or writes them down in a new one.
    fn claim(&self, environment: &Environment) -> Result<(), Cause> {
        let dimensions = u32::try_from(self.dimensions)
            .ok()
            .filter(|dimensions| (1..=MOST_DIMENSIONS).contains(dimensions))
            .ok_or_else(|| Cause::refused(format!("vectors cannot have {} dimensions", self.dimensions)))?;
        let mut writing = environment.write()?;
        let transaction = &mut writing.transaction;
        if let Some(layout) = self.number(transaction, LAYOUT_KEY)? {
            let stored = self.number(transaction, DIMENSIONS_KEY)?;
            return match (layout, stored) {
                (LAYOUT, Some(stored)) if stored == dimensions => Ok(()),
                (LAYOUT, Some(stored)) => {
                    Err(Cause::unusable(format!("its vectors have {stored} dimensions, not {dimensions}")))
                }
                (LAYOUT, None) => Err(Cause::damaged("the dimensions are missing".to_owned())),
                _ => Err(Cause::unusable(format!("its layout is {layout}, and this version reads only {LAYOUT}"))),
            };
        }
        self.meta.put(transaction, LAYOUT_KEY, &LAYOUT.to_le_bytes())?;
        self.meta.put(transaction, DIMENSIONS_KEY, &dimensions.to_le_bytes())?;
        writing.commit()
    }

    fn number(&self, transaction: &RoTxn, key: &str) -> Result<Option<u32>, Cause> {
        let Some(bytes) = self.meta.get(transaction, key)? else { return Ok(None) };
        match bytes.try_into() {
            Ok(bytes) => Ok(Some(u32::from_le_bytes(bytes))),
            Err(_) => Err(Cause::damaged(format!("\"{key}\" has {} bytes", bytes.len()))),
        }
    }

    /// How far the events behind the items have been read.
    pub(super) fn checkpoints(&self, transaction: &RoTxn) -> Result<Checkpoints, Cause> {
        let Some(bytes) = self.meta.get(transaction, CHECKPOINTS_KEY)? else { return Ok(Checkpoints::default()) };
        str::from_utf8(bytes)
            .ok()
            .and_then(Checkpoints::from_text)
            .ok_or_else(|| Cause::damaged("the checkpoints are no text of theirs".to_owned()))
    }

    /// Stores checkpoints.
    pub(super) fn put_checkpoints(&self, transaction: &mut RwTxn, checkpoints: &Checkpoints) -> Result<(), Cause> {
        Ok(self.meta.put(transaction, CHECKPOINTS_KEY, checkpoints.to_text().as_bytes())?)
    }

    /// Which item numbers are given out and forgotten.
    pub(super) fn numbering(&self, transaction: &RoTxn) -> Result<Numbering, Cause> {
        match self.meta.get(transaction, NUMBERING_KEY)? {
            None => Ok(Numbering::default()),
            Some(bytes) => Numbering::decode(bytes).ok_or_else(|| Cause::damaged("the numbering is cut".to_owned())),
        }
    }

    /// Stores the numbering.
    pub(super) fn put_numbering(&self, transaction: &mut RwTxn, numbering: &Numbering) -> Result<(), Cause> {
        Ok(self.meta.put(transaction, NUMBERING_KEY, &numbering.encode())?)
    }

    /// The items of a space; none if the space is unknown.
    pub(super) fn space(&self, transaction: &RoTxn, name: &str) -> Result<RoaringBitmap, Cause> {
        match self.spaces.get(transaction, &space_key(name))? {
            None => Ok(RoaringBitmap::new()),
            Some(bytes) => {
                decode_bitmap(bytes).map_err(|error| Cause::damaged(format!("the items of space \"{name}\": {error}")))
            }
        }
    }

    /// Stores the items of a space.
    pub(super) fn put_space(&self, transaction: &mut RwTxn, name: &str, mut items: RoaringBitmap) -> Result<(), Cause> {
        // Numbers mostly run on without gaps, and runs take a fraction of the bytes.
        items.optimize();
        Ok(self.spaces.put(transaction, &space_key(name), &encode_bitmap(&items))?)
    }

    /// The items of all spaces, without those that are forgotten.
    pub(super) fn all_spaces(&self, transaction: &RoTxn) -> Result<RoaringBitmap, Cause> {
        let mut all = RoaringBitmap::new();
        for entry in self.spaces.iter(transaction)? {
            all |= decode_bitmap(entry?.1).map_err(|error| Cause::damaged(format!("the items of a space: {error}")))?;
        }
        Ok(all)
    }

    /// Everything that is forgotten.
    pub(super) fn forgotten(&self, transaction: &RoTxn) -> Result<Forgotten, Cause> {
        let mut forgotten = Forgotten::default();
        for entry in self.forgettings.iter(transaction)? {
            let forgetting = serde_json::from_slice(entry?.1)
                .map_err(|error| Cause::damaged(format!("what is forgotten cannot be read: {error}")))?;
            forgotten.add(&forgetting);
        }
        Ok(forgotten)
    }

    /// Stores a forgetting over an earlier one of the same scope.
    pub(super) fn put_forgetting(&self, transaction: &mut RwTxn, forgetting: &Forgetting) -> Result<(), Cause> {
        let words = |error: serde_json::Error| Cause::refused(error.to_string());
        let name = serde_json::to_vec(&(&forgetting.space, &forgetting.scope)).map_err(words)?;
        let value = serde_json::to_vec(forgetting).map_err(words)?;
        Ok(self.forgettings.put(transaction, blake3::hash(&name).as_bytes(), &value)?)
    }

    /// The item of this number, which the caller knows to exist.
    pub(super) fn vector<'t>(&self, transaction: &'t RoTxn, number: ItemNumber) -> Result<StoredVector<'t>, Cause> {
        let bytes = self.items.get(transaction, &number)?.ok_or_else(|| missing(number))?;
        StoredVector::decode(bytes, self.dimensions)
    }

    /// The codes of all items.
    pub(super) fn codes<'t>(&self, transaction: &'t RoTxn) -> Result<Codes<'t>, Cause> {
        let mut blocks = Vec::new();
        for (expected, entry) in (0_u32..).zip(self.codes.iter(transaction)?) {
            let (block, codes) = entry?;
            if block != expected || codes.len() % code_bytes(self.dimensions) != 0 {
                return Err(Cause::damaged(format!("block {block} of the codes has {} bytes", codes.len())));
            }
            blocks.push(codes);
        }
        Ok(Codes::new(blocks, self.dimensions))
    }

    /// The item number of a message.
    pub(super) fn number_of(&self, transaction: &RoTxn, message_id: Uuid) -> Result<Option<ItemNumber>, Cause> {
        Ok(self.ids.get(transaction, message_id.as_bytes())?)
    }
}

/// The finding that a number is in use, but has no item or facets.
pub(super) fn missing(number: ItemNumber) -> Cause {
    Cause::damaged(format!("item {number} is missing"))
}

/// LMDB's keys end at 511 bytes and cannot be empty; names of spaces may be both longer and empty.
fn space_key(name: &str) -> [u8; blake3::OUT_LEN] {
    *blake3::hash(name.as_bytes()).as_bytes()
}

fn encode_bitmap(bitmap: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut bytes).expect("writing to memory does not fail");
    bytes
}

fn decode_bitmap(bytes: &[u8]) -> std::io::Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes)
}

/// Which item numbers are given out and forgotten.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Numbering {
    /// The number of the next new item.
    pub next: ItemNumber,
    /// Numbers whose messages are forgotten: in no space and in no answer, but their rows are still there to be removed.
    pub forgotten: RoaringBitmap,
}

impl Numbering {
    fn encode(&self) -> Vec<u8> {
        [self.next.to_le_bytes().as_slice(), &encode_bitmap(&self.forgotten)].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (next, bytes) = bytes.split_first_chunk()?;
        Some(Self { next: u32::from_le_bytes(*next), forgotten: RoaringBitmap::deserialize_from(bytes).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbering_reads_back_and_a_cut_one_is_refused() {
        let numbering = Numbering { next: 9, forgotten: RoaringBitmap::from_iter([5, 8]) };
        let bytes = numbering.encode();
        assert_eq!(Numbering::decode(&bytes), Some(numbering));
        assert_eq!(Numbering::decode(&bytes[..bytes.len() - 1]), None);
    }
}
