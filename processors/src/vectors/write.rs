//! Writing: how a batch of items becomes part of the store.
//!
//! Owns: upserts, item numbers, what is forgotten, and keeping spaces and codes in step with the items.
//! Promises: applying items again changes nothing, and how they are split into batches does not matter.
//!
//! What is forgotten leaves its space at once, and with it every answer; that costs a bit a message. Its rows are removed
//! afterwards, a bounded number with every batch.

use std::collections::{BTreeSet, HashMap};

use heed::{PutFlags, RwTxn};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    cause::Cause,
    codes::{self, code_bytes},
    record::{StoredVector, VectorItem, blank_facets, decode_facets_into, encode_facets, encode_vector},
    tables::{ItemNumber, Numbering, Tables, missing},
};
use crate::{Facets, Forgetting, Forgotten, Scope};

/// Rows of forgotten messages that one batch removes: a few milliseconds.
const SWEPT_ITEMS: usize = if cfg!(test) { 7 } else { 1_000 };

/// Refuses an item that must not be stored.
pub(super) fn validate(item: &VectorItem, dimensions: usize) -> Result<(), Cause> {
    let refuse = |reason| Err(Cause::refused(format!("message {}: {reason}", item.message_id)));
    if !item.vector.is_empty() && item.vector.len() != dimensions {
        return refuse(format!("its vector has {} dimensions of {dimensions}", item.vector.len()));
    }
    if let Some(element) = item.vector.iter().position(|element| !element.is_finite()) {
        return refuse(format!("element {element} of its vector is {}", item.vector[element]));
    }
    let Facets { space, thread, author, role, .. } = &item.facets;
    if let Some(text) = [space, thread, author, role].into_iter().find(|text| u32::try_from(text.len()).is_err()) {
        return refuse(format!("a facet has {} bytes of at most {}", text.len(), u32::MAX));
    }
    Ok(())
}

/// One batch on its way into the store.
pub(super) struct Batch<'b, 'e> {
    tables: &'b Tables,
    transaction: &'b mut RwTxn<'e>,
    numbering: &'b mut Numbering,
    /// The items of the spaces that this batch has touched.
    spaces: HashMap<String, RoaringBitmap>,
    /// The blocks of codes that it has touched.
    blocks: HashMap<u32, Vec<u8>>,
    encoded: Vec<u8>,
}

impl<'b, 'e> Batch<'b, 'e> {
    /// An empty batch. The numbering is changed in place, and the caller stores it.
    pub(super) fn new(tables: &'b Tables, transaction: &'b mut RwTxn<'e>, numbering: &'b mut Numbering) -> Self {
        Self { tables, transaction, numbering, spaces: HashMap::new(), blocks: HashMap::new(), encoded: Vec::new() }
    }

    /// Inserts or replaces an item, which has been validated.
    pub(super) fn upsert(&mut self, item: &VectorItem) -> Result<(), Cause> {
        match self.tables.number_of(self.transaction, item.message_id)? {
            None => self.insert(item),
            Some(number) if self.numbering.forgotten.contains(number) => {
                self.delete(number)?;
                self.insert(item)
            }
            Some(number) => self.replace(number, item),
        }
    }

    /// Forgets what is stored of messages that these cover.
    pub(super) fn forget(&mut self, forgettings: &[Forgetting]) -> Result<(), Cause> {
        let (mut wide, mut spaces) = (Forgotten::default(), BTreeSet::new());
        for forgetting in forgettings {
            self.tables.put_forgetting(self.transaction, forgetting)?;
            if let Scope::Message(message_id) = forgetting.scope {
                self.forget_message(message_id, |facets| forgetting.covers(message_id, facets))?;
            } else {
                wide.add(forgetting);
                spaces.insert(&forgetting.space);
            }
        }
        for space in spaces {
            for number in self.space(space)?.clone() {
                let facets = self.facets(number)?;
                if wide.covers(Uuid::nil(), &facets) {
                    self.hide(number, &facets)?;
                }
            }
        }
        Ok(())
    }

    /// Forgets what is stored of a message, if its facets are such.
    pub(super) fn forget_message(
        &mut self,
        message_id: Uuid,
        is_covered: impl FnOnce(&Facets) -> bool,
    ) -> Result<(), Cause> {
        let Some(number) = self.tables.number_of(self.transaction, message_id)? else { return Ok(()) };
        let facets = self.facets(number)?;
        if is_covered(&facets) { self.hide(number, &facets) } else { Ok(()) }
    }

    /// Removes some of the rows of forgotten messages.
    pub(super) fn sweep(&mut self) -> Result<(), Cause> {
        let numbers: Vec<_> = self.numbering.forgotten.iter().take(SWEPT_ITEMS).collect();
        numbers.into_iter().try_for_each(|number| self.delete(number))
    }

    /// Takes an item out of its space, and so out of every answer.
    fn hide(&mut self, number: ItemNumber, facets: &Facets) -> Result<(), Cause> {
        self.space(&facets.space)?.remove(number);
        self.numbering.forgotten.insert(number);
        Ok(())
    }

    /// Removes the rows of a forgotten message.
    fn delete(&mut self, number: ItemNumber) -> Result<(), Cause> {
        let bytes = self.tables.items.get(self.transaction, &number)?.ok_or_else(|| missing(number))?;
        let message_id = StoredVector::decode(bytes, self.tables.dimensions)?.message_id;
        self.tables.ids.delete(self.transaction, message_id.as_bytes())?;
        self.tables.items.delete(self.transaction, &number)?;
        self.tables.facets.delete(self.transaction, &number)?;
        self.code(number)?.fill(0);
        self.numbering.forgotten.remove(number);
        Ok(())
    }

    /// Stores what the batch has gathered.
    pub(super) fn finish(self) -> Result<(), Cause> {
        for (name, items) in self.spaces {
            self.tables.put_space(self.transaction, &name, items)?;
        }
        for (block, codes) in self.blocks {
            self.tables.codes.put(self.transaction, &block, &codes)?;
        }
        Ok(())
    }

    fn insert(&mut self, item: &VectorItem) -> Result<(), Cause> {
        let number = self.numbering.next;
        self.numbering.next =
            number.checked_add(1).ok_or_else(|| Cause::unusable("all 2^32 item numbers are used".to_owned()))?;
        self.tables.ids.put(self.transaction, item.message_id.as_bytes(), &number)?;
        // The number is the largest yet; saying so makes LMDB fill its pages instead of leaving room for keys between.
        encode_vector(item.message_id, &item.vector, &mut self.encoded);
        self.tables.items.put_with_flags(self.transaction, PutFlags::APPEND, &number, &self.encoded)?;
        encode_facets(&item.facets, &mut self.encoded);
        self.tables.facets.put_with_flags(self.transaction, PutFlags::APPEND, &number, &self.encoded)?;
        codes::encode(&item.vector, self.code(number)?);
        self.space(&item.facets.space)?.insert(number);
        Ok(())
    }

    fn replace(&mut self, number: ItemNumber, item: &VectorItem) -> Result<(), Cause> {
        let previous = self.facets(number)?;
        encode_vector(item.message_id, &item.vector, &mut self.encoded);
        let same_vector = self.tables.items.get(self.transaction, &number)? == Some(self.encoded.as_slice());
        if !same_vector {
            self.tables.items.put(self.transaction, &number, &self.encoded)?;
            codes::encode(&item.vector, self.code(number)?);
        }
        if previous != item.facets {
            encode_facets(&item.facets, &mut self.encoded);
            self.tables.facets.put(self.transaction, &number, &self.encoded)?;
            self.space(&previous.space)?.remove(number);
            self.space(&item.facets.space)?.insert(number);
        }
        Ok(())
    }

    fn facets(&self, number: ItemNumber) -> Result<Facets, Cause> {
        let bytes = self.tables.facets.get(self.transaction, &number)?.ok_or_else(|| missing(number))?;
        let mut facets = blank_facets();
        decode_facets_into(bytes, &mut facets)?;
        Ok(facets)
    }

    fn space(&mut self, name: &str) -> Result<&mut RoaringBitmap, Cause> {
        if !self.spaces.contains_key(name) {
            let items = self.tables.space(self.transaction, name)?;
            self.spaces.insert(name.to_owned(), items);
        }
        Ok(self.spaces.get_mut(name).expect("inserted above when missing"))
    }

    /// The code of an item, to be written.
    fn code(&mut self, number: ItemNumber) -> Result<&mut [u8], Cause> {
        let (block, at) = codes::place(number, self.tables.dimensions);
        if !self.blocks.contains_key(&block) {
            let codes = self.tables.codes.get(self.transaction, &block)?.unwrap_or_default().to_vec();
            self.blocks.insert(block, codes);
        }
        let codes = self.blocks.get_mut(&block).expect("inserted above when missing");
        let end = at + code_bytes(self.tables.dimensions);
        if codes.len() < end {
            codes.resize(end, 0);
        }
        Ok(&mut codes[at..end])
    }
}
