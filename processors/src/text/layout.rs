//! Layout: how a message lies in the tantivy index.
//!
//! Owns: the schema, the keys that terms and threads have in it, and the form in which terms reach the indexer.
//! Promises: postings and document frequencies are per space, because every term starts with its space. What is not looked
//! for is a column, which can be read for all messages at the price of one.
//! Never: keeps anything in the index's document store, from which each message is decompressed and parsed by itself.
//!
//! Terms come analysed, so the indexer only has to part them. They travel as one string per message and not as
//! pre-tokenized tokens: those take fifteen times the memory, and thousands of messages may wait for the indexer.

use tantivy::{
    Index, TantivyDocument, Term,
    schema::{BytesOptions, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions},
    tokenizer::{Token, TokenStream, Tokenizer},
};
use uuid::Uuid;

use super::{analysis::DocumentTerms, names, record::Record};

/// Ends the space in a term. Terms hold letters and digits only, so the last one is always this one.
const SPACE_END: char = '\0';

/// Bytes above which a space's name is replaced by its hash: the indexer drops terms of more than 65,530 bytes.
const LONGEST_SPACE: usize = 256;

/// The name under which the index knows [`IndexedTerms`].
const TOKENIZER: &str = "meshlog_terms";

/// The column of [`thread_key`], by which a search finds the threads of postings.
pub(crate) const THREAD_KEY: &str = "thread_key";

/// The index's fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    /// The message id, to find and replace a document by.
    id: Field,
    /// The terms with their frequencies.
    pub(crate) terms: Field,
    /// The column [`THREAD_KEY`].
    thread_key: Field,
    /// The columns [`Record::NUMBERS`].
    numbers: [Field; Record::NUMBERS.len()],
    /// The columns [`Record::NAMES`].
    names: [Field; Record::NAMES.len()],
}

impl Fields {
    /// The schema with its fields.
    pub(crate) fn schema() -> (Schema, Self) {
        let mut schema = Schema::builder();
        let column = || NumericOptions::default().set_fast();
        let terms = TextFieldIndexing::default()
            .set_tokenizer(TOKENIZER)
            .set_index_option(IndexRecordOption::WithFreqs)
            .set_fieldnorms(false);
        let fields = Self {
            id: schema.add_bytes_field("id", BytesOptions::default().set_indexed()),
            terms: schema.add_text_field("terms", TextOptions::default().set_indexing_options(terms)),
            thread_key: schema.add_u64_field(THREAD_KEY, column()),
            numbers: Record::NUMBERS.map(|name| schema.add_u64_field(name, column())),
            names: Record::NAMES.map(|name| schema.add_bytes_field(name, BytesOptions::default().set_fast())),
        };
        (schema.build(), fields)
    }

    /// Tells the index how to part the terms of a message. Needed once after opening it.
    pub(crate) fn register(index: &Index) {
        index.tokenizers().register(TOKENIZER, IndexedTerms::default());
    }

    /// The document of a message.
    pub(crate) fn document(&self, record: &Record, terms: &DocumentTerms) -> TantivyDocument {
        let facets = &record.facets;
        let mut joined = space_prefix(&facets.space);
        for term in &terms.terms {
            joined.push_str(term);
            joined.push(' ');
        }
        let mut document = TantivyDocument::default();
        document.add_bytes(self.id, record.message_id.as_bytes());
        document.add_text(self.terms, joined);
        document.add_u64(self.thread_key, thread_key(&facets.space, &facets.thread));
        for (field, number) in self.numbers.into_iter().zip(record.numbers()) {
            document.add_u64(field, number);
        }
        for (field, (one, other)) in self.names.into_iter().zip(record.names()) {
            names::add(&mut document, field, one, &other);
        }
        document
    }

    /// The key of a message's document.
    pub(crate) fn id_term(&self, message_id: Uuid) -> Term {
        Term::from_field_bytes(self.id, message_id.as_bytes())
    }

    /// The key of a term's postings in a space, given the space's [`space_prefix`].
    pub(crate) fn posting_term(&self, space_prefix: &str, term: &str) -> Term {
        Term::from_field_text(self.terms, &format!("{space_prefix}{term}"))
    }

    /// The field that holds [`Fields::id_term`].
    pub(crate) fn id(&self) -> Field {
        self.id
    }
}

/// What every term of a space starts with. The first character keeps names and hashes apart.
pub(crate) fn space_prefix(space: &str) -> String {
    if space.len() > LONGEST_SPACE {
        return format!("#{}{SPACE_END}", blake3::hash(space.as_bytes()).to_hex());
    }
    format!("={space}{SPACE_END}")
}

/// The number that stands for a thread of a space in the index.
pub(crate) fn thread_key(space: &str, thread: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(space.len() as u64).to_le_bytes());
    hasher.update(space.as_bytes());
    hasher.update(thread.as_bytes());
    let mut key = [0; 8];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(key)
}

/// Parts a string made by [`Fields::document`] into terms, each behind its space.
#[derive(Clone, Default)]
struct IndexedTerms {
    token: Token,
}

impl Tokenizer for IndexedTerms {
    type TokenStream<'a> = IndexedTermStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> IndexedTermStream<'a> {
        self.token.reset();
        let prefix = text.rfind(SPACE_END).map_or(0, |end| end + SPACE_END.len_utf8());
        self.token.text.push_str(&text[..prefix]);
        IndexedTermStream { terms: text[prefix..].split_ascii_whitespace(), prefix, token: &mut self.token }
    }
}

struct IndexedTermStream<'a> {
    terms: std::str::SplitAsciiWhitespace<'a>,
    /// Bytes of the token's text that are the space and stay.
    prefix: usize,
    token: &'a mut Token,
}

impl TokenStream for IndexedTermStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(term) = self.terms.next() else {
            return false;
        };
        self.token.text.truncate(self.prefix);
        self.token.text.push_str(term);
        self.token.position = self.token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_term_is_parted_behind_its_space() {
        let mut tokenizer = IndexedTerms::default();
        let mut stream = tokenizer.token_stream("my space\0x\0one two one ");
        let mut terms = Vec::new();
        while let Some(token) = stream.next() {
            terms.push(token.text.clone());
        }
        assert_eq!(terms, ["my space\0x\0one", "my space\0x\0two", "my space\0x\0one"]);
    }

    #[test]
    fn spaces_and_threads_are_never_confused() {
        assert_ne!(thread_key("ab", "c"), thread_key("a", "bc"));
        assert_ne!(space_prefix("a"), space_prefix("b"));
        let long = "x".repeat(100_000);
        assert!(space_prefix(&long).len() < 100);
        assert_ne!(space_prefix(&long), space_prefix(&long[1..]));
    }
}
