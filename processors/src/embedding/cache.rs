//! A cache before an encoder, so that a text is embedded once.
//!
//! Owns: the most recently used vectors, found by the hash of their text.
//! Promises: at most the given number of vectors is kept; each distinct text of a call is embedded once.
//! Never: keeps a text, or outlives the process. Vectors that must last are events.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::Hash;
use lru::LruCache;

use super::{Encoder, ModelError};

type Vectors = LruCache<Hash, Arc<[f32]>>;

/// An encoder that remembers. Two threads that miss the same text at the same moment both embed it.
pub struct CachedEncoder<E> {
    model: E,
    cache: Mutex<Vectors>,
}

impl<E: Encoder> CachedEncoder<E> {
    /// Remembers the vectors of up to `capacity` texts: about 1.7 KB each for 384 dimensions.
    pub fn new(model: E, capacity: NonZeroUsize) -> Self {
        Self { model, cache: Mutex::new(LruCache::new(capacity)) }
    }

    /// Embeds the texts that are not known and remembers them.
    fn encode_misses(&self, keys: &[Hash], texts: &[&str]) -> Result<HashMap<Hash, Arc<[f32]>>, ModelError> {
        let mut known: HashMap<Hash, Arc<[f32]>> = HashMap::new();
        let mut misses = Vec::new();
        {
            let mut cache = self.cache();
            for (key, text) in keys.iter().zip(texts) {
                match cache.get(key) {
                    Some(vector) => drop(known.insert(*key, Arc::clone(vector))),
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
        let vectors = self.model.encode(&texts)?;
        let mut cache = self.cache();
        for ((key, _), vector) in misses.into_iter().zip(vectors) {
            cache.put(key, Arc::clone(&vector));
            known.insert(key, vector);
        }
        Ok(known)
    }

    /// The cache is whole after every single call on it, so a panic elsewhere leaves nothing to distrust.
    fn cache(&self) -> MutexGuard<'_, Vectors> {
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

    fn count_tokens(&self, text: &str) -> usize {
        self.model.count_tokens(text)
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<Arc<[f32]>>, ModelError> {
        let keys: Vec<Hash> = texts.iter().map(|text| blake3::hash(text.as_bytes())).collect();
        let vectors = self.encode_misses(&keys, texts)?;
        Ok(keys.iter().map(|key| Arc::clone(&vectors[key])).collect())
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

        fn count_tokens(&self, text: &str) -> usize {
            self.inner.count_tokens(text)
        }

        fn encode(&self, texts: &[&str]) -> Result<Vec<Arc<[f32]>>, ModelError> {
            self.asked.lock().expect("no test panics here").extend(texts.iter().map(|text| (*text).to_owned()));
            self.inner.encode(texts)
        }
    }

    fn cached(capacity: usize) -> CachedEncoder<Recorder> {
        let capacity = NonZeroUsize::new(capacity).expect("tests keep at least one vector");
        CachedEncoder::new(Recorder { asked: Mutex::default(), inner: HashEncoder::new(32) }, capacity)
    }

    /// Encodes each list in turn and says, sorted, what the model was asked for after the last.
    fn asked_after(encoder: &CachedEncoder<Recorder>, lists: &[&[&str]]) -> Vec<String> {
        for texts in lists {
            let vectors = encoder.encode(texts).expect("the hash encoder cannot fail");
            let expected = encoder.model.inner.encode(texts).expect("the hash encoder cannot fail");
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
