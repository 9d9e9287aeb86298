//! A cache before an encoder, so that a text is embedded once.
//!
//! Owns: the most recently used vectors, found by the hash of their text.
//! Promises: at most the given number of vectors is kept; each distinct text of a call is embedded once.
//! Never: keeps a text, or outlives the process. Vectors that must last are events.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use lru::LruCache;

use super::{Embedding, Encoder, ModelError, Role, TokenVectors};

type Embeddings = LruCache<Hash, Embedding>;

/// An encoder that remembers. Two threads that miss the same text at the same moment both embed it.
pub struct CachedEncoder<E> {
    model: E,
    cache: Mutex<Embeddings>,
}

impl<E: Encoder> CachedEncoder<E> {
    /// Remembers the vectors of up to `capacity` texts: about 1.7 KB each for 384 dimensions.
    pub fn new(model: E, capacity: NonZeroUsize) -> Self {
        Self { model, cache: Mutex::new(LruCache::new(capacity)) }
    }

    /// Embeds the texts that are not known and remembers them.
    fn encode_misses(&self, role: Role, keys: &[Hash], texts: &[&str]) -> Result<HashMap<Hash, Embedding>, ModelError> {
        let mut known: HashMap<Hash, Embedding> = HashMap::new();
        let mut misses = Vec::new();
        {
            let mut cache = self.cache();
            for (key, text) in keys.iter().zip(texts) {
                match cache.get(key) {
                    Some(embedding) => drop(known.insert(*key, embedding.clone())),
                    None => misses.push((*key, *text)),
                }
            }
        }
        misses.sort_by_key(|(key, _)| *key.as_bytes());
        misses.dedup_by_key(|(key, _)| *key);
        if misses.is_empty() {
            return Ok(known);
        }

        let texts: Vec<&str> = misses.iter().map(|(_, text)| *text).collect();
        let embeddings = self.model.encode(role, &texts)?;
        let mut cache = self.cache();
        for ((key, _), embedding) in misses.into_iter().zip(embeddings) {
            cache.put(key, embedding.clone());
            known.insert(key, embedding);
        }
        Ok(known)
    }

    /// The cache is whole after every single call on it, so a panic elsewhere leaves nothing to distrust.
    fn cache(&self) -> MutexGuard<'_, Embeddings> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Encoder> Encoder for CachedEncoder<E> {
    fn model_id(&self) -> &str {
        self.model.model_id()
    }

    fn dims(&self) -> usize {
        self.model.dims()
    }

    fn window(&self) -> usize {
        self.model.window()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.model.count_tokens(text)
    }

    fn encode(&self, role: Role, texts: &[&str]) -> Result<Vec<Embedding>, ModelError> {
        let key = |text: &&str| blake3::Hasher::new().update(&[role as u8]).update(text.as_bytes()).finalize();
        let keys: Vec<Hash> = texts.iter().map(key).collect();
        let embeddings = self.encode_misses(role, &keys, texts)?;
        Ok(keys.iter().map(|key| embeddings[key].clone()).collect())
    }

    fn encode_tokens(&self, role: Role, texts: &[&str]) -> Result<Vec<TokenVectors>, ModelError> {
        self.model.encode_tokens(role, texts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::HashEncoder;
    use super::*;

    /// Writes down what it is asked for.
    struct Recorder {
        asked: Mutex<Vec<String>>,
        inner: HashEncoder,
    }

    impl Encoder for Recorder {
        fn model_id(&self) -> &str {
            self.inner.model_id()
        }

        fn dims(&self) -> usize {
            self.inner.dims()
        }

        fn window(&self) -> usize {
            self.inner.window()
        }

        fn count_tokens(&self, text: &str) -> usize {
            self.inner.count_tokens(text)
        }

        fn encode(&self, role: Role, texts: &[&str]) -> Result<Vec<Embedding>, ModelError> {
            self.asked.lock().expect("no test panics here").extend(texts.iter().map(|text| (*text).to_owned()));
            self.inner.encode(role, texts)
        }

        fn encode_tokens(&self, role: Role, texts: &[&str]) -> Result<Vec<TokenVectors>, ModelError> {
            self.inner.encode_tokens(role, texts)
        }
    }

    fn cached(capacity: usize) -> CachedEncoder<Recorder> {
        let capacity = NonZeroUsize::new(capacity).expect("tests keep at least one vector");
        CachedEncoder::new(Recorder { asked: Mutex::default(), inner: HashEncoder::new(32) }, capacity)
    }

    /// Encodes each list in turn and says, sorted, what the model was asked for after the last.
    fn asked_after(encoder: &CachedEncoder<Recorder>, lists: &[&[&str]]) -> Vec<String> {
        for texts in lists {
            let vectors = encoder.encode(Role::Document, texts).expect("the hash encoder cannot fail");
            let expected = encoder.model.inner.encode(Role::Document, texts).expect("the hash encoder cannot fail");
            assert_eq!(vectors, expected, "the cache gave other vectors, or another order");
        }
        let mut asked = encoder.model.asked.lock().expect("no test panics here").clone();
        asked.sort();
        asked
    }

    #[test]
    fn known_texts_do_not_reach_the_model() {
        assert_eq!(
            asked_after(&cached(10), &[&["lamp", "storm"], &["storm", "ferry", "lamp"]]),
            ["ferry", "lamp", "storm"]
        );
    }

    #[test]
    fn a_text_is_embedded_once_in_each_role() {
        let encoder = cached(10);
        for role in [Role::Document, Role::Query, Role::Query, Role::Document] {
            encoder.encode(role, &["lamp"]).expect("the hash encoder cannot fail");
        }
        assert_eq!(encoder.model.asked.lock().expect("no test panics here").len(), 2);
    }

    #[test]
    fn a_text_given_twice_is_embedded_once() {
        assert_eq!(asked_after(&cached(10), &[&["lamp", "storm", "lamp", "lamp"]]), ["lamp", "storm"]);
    }

    #[test]
    fn a_full_cache_forgets_what_was_not_used_for_longest() {
        let lists: [&[&str]; 3] = [&["lamp"], &["storm"], &["lamp"]];
        assert_eq!(asked_after(&cached(1), &lists), ["lamp", "lamp", "storm"]);
    }

    #[test]
    fn more_texts_than_the_cache_holds_still_come_back_in_order() {
        assert_eq!(asked_after(&cached(2), &[&["e", "d", "c", "b", "a", "e"]]), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn no_texts_give_no_vectors() {
        assert!(asked_after(&cached(1), &[&[]]).is_empty());
    }
}
