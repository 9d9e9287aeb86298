//! An encoder for tests: no model file, no meaning.
//!
//! Tests of stages, stores and routes need vectors that are the same every time and lie near each other when texts
//! share words. This gives them, and nothing more: it knows no synonyms, no grammar and no language. Never serve it.

use std::sync::Arc;

use super::{Embedding, Encoder, ModelError, Role, TokenVectors};

/// Counts each word in a place chosen by the word's hash, and scales the counts to unit length.
#[derive(Debug, Clone)]
pub struct HashEncoder {
    id: String,
    dims: usize,
}

impl HashEncoder {
    /// Vectors of `dims` numbers. Few dimensions make different words meet in one place.
    ///
    /// # Panics
    /// `dims` is zero.
    pub fn new(dims: usize) -> Self {
        assert!(dims > 0, "a vector needs at least one dimension");
        Self { id: format!("hash-for-tests-{dims}"), dims }
    }

    fn vector(&self, text: &str) -> Arc<[f32]> {
        let mut counts = vec![0.0_f32; self.dims];
        let words = text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        for word in words {
            counts[self.place(&word.to_lowercase())] += 1.0;
        }
        let length = counts.iter().map(|count| count * count).sum::<f32>().sqrt();
        if length == 0.0 {
            // A text without words still has a direction: its own, so that only equal ones meet.
            counts[self.place(text)] = 1.0;
            return counts.into();
        }
        counts.into_iter().map(|count| count / length).collect()
    }

    fn place(&self, word: &str) -> usize {
        let hash = blake3::hash(word.as_bytes());
        let (first, _) = hash.as_bytes().as_chunks::<8>();
        (u64::from_le_bytes(first[0]) % self.dims as u64) as usize
    }
}

impl Encoder for HashEncoder {
    fn model_id(&self) -> &str {
        &self.id
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn window(&self) -> usize {
        usize::MAX
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn encode(&self, _: Role, texts: &[&str]) -> Result<Vec<Embedding>, ModelError> {
        let embedding =
            |text: &&str| Embedding { vector: self.vector(text), tokens: self.count_tokens(text), is_truncated: false };
        Ok(texts.iter().map(embedding).collect())
    }

    /// A token is a word, and its vector counts that word alone.
    fn encode_tokens(&self, _: Role, texts: &[&str]) -> Result<Vec<TokenVectors>, ModelError> {
        let of_text = |text: &&str| TokenVectors {
            ids: text.split_whitespace().map(|word| self.place(&word.to_lowercase()) as u32).collect(),
            vectors: text.split_whitespace().flat_map(|word| self.vector(word).to_vec()).collect(),
        };
        Ok(texts.iter().map(of_text).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        let vectors = HashEncoder::new(256).encode(Role::Document, &[a, b]).expect("the hash encoder cannot fail");
        vectors[0].vector.iter().zip(vectors[1].vector.iter()).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn texts_that_share_words_are_nearer() {
        let question = "who bought the blue lamp";
        assert!(similarity(question, "Nora bought the blue lamp") > similarity(question, "the ferry was late"));
    }

    #[test]
    fn equal_texts_meet_and_every_vector_has_unit_length() {
        for text in ["the blue lamp", "", "!?", "🎉"] {
            assert!((similarity(text, text) - 1.0).abs() < 1e-6, "{text:?}");
        }
    }
}
