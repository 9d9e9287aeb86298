//! Codes: a bit for each dimension of a vector, which says whether the element is above zero.
//!
//! The more bits two unit vectors share, the larger their cosine is likely to be (the angle between them is about the share of bits
//! that differ: Charikar, "Similarity estimation techniques from rounding algorithms", 2002). A code of 384 dimensions has 48
//! bytes where the vector has 1,536, so all codes of a large store are looked at for every question; what is near by its
//! code is scored exactly. There is nothing to build, to train or to keep balanced, a new message is found at once, and any
//! filter only shortens the list.
//!
//! Owns: how a code is made, how codes lie in blocks, and which of them are nearest.
//! Never: scores a message.

use pulp::Arch;
use rayon::{ThreadPool, prelude::*};

use super::tables::ItemNumber;

/// Codes of a block. One is rewritten with each batch.
pub(super) const BLOCK: u32 = 1_024;

/// Bytes of a word of a code.
const WORD: usize = size_of::<u64>();

/// From this many codes on, the work is spread over threads: some tenths of a millisecond.
const SHARED: usize = 65_536;

/// Codes that one thread takes at a time.
const SHARE: usize = 16_384;

/// Bytes of a code.
pub(super) const fn code_bytes(dimensions: usize) -> usize {
    dimensions.div_ceil(u64::BITS as usize) * WORD
}

/// Writes the code of a vector.
pub(super) fn encode(vector: &[f32], code: &mut [u8]) {
    let (words, _) = code.as_chunks_mut::<WORD>();
    for (word, elements) in words.iter_mut().zip(vector.chunks(u64::BITS as usize)) {
        let bits = (0..).zip(elements).fold(0_u64, |bits, (at, element)| bits | (u64::from(*element > 0.0) << at));
        *word = bits.to_le_bytes();
    }
}

/// The block of an item's code, and where in it the code begins.
pub(super) fn place(number: ItemNumber, dimensions: usize) -> (u32, usize) {
    (number / BLOCK, (number % BLOCK) as usize * code_bytes(dimensions))
}

/// The codes of a state of the store.
pub(super) struct Codes<'t> {
    /// Each of [`BLOCK`] codes, the last of as many as there are.
    blocks: Vec<&'t [u8]>,
    dimensions: usize,
}

/// Which of many items are near.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proposed {
    /// The nearest, in the order of their numbers.
    pub nearest: Vec<ItemNumber>,
    /// The farthest of the others.
    pub farthest: Vec<ItemNumber>,
}

impl<'t> Codes<'t> {
    /// Codes in blocks, which the caller has checked to be of this length.
    pub(super) fn new(blocks: Vec<&'t [u8]>, dimensions: usize) -> Self {
        Self { blocks, dimensions }
    }

    /// The `wanted` items of `numbers` whose codes differ least from that of `vector`, and `far` of those that differ most. Of equal
    /// ones those with the lower numbers.
    pub(super) fn propose(
        &self,
        vector: &[f32],
        numbers: &[ItemNumber],
        wanted: usize,
        far: usize,
        threads: &ThreadPool,
    ) -> Proposed {
        let mut code = vec![0; code_bytes(self.dimensions)];
        encode(vector, &mut code);
        let mut differing = vec![0_u16; numbers.len()];
        let arch = Arch::new();
        let count =
            |numbers: &[ItemNumber], differing: &mut [u16]| arch.dispatch(|| self.count(&code, numbers, differing));
        if numbers.len() < SHARED {
            count(numbers, &mut differing);
        } else {
            threads.install(|| {
                let shares = numbers.par_chunks(SHARE).zip(differing.par_chunks_mut(SHARE));
                shares.for_each(|(numbers, differing)| count(numbers, differing));
            });
        }
        select(numbers, &differing, wanted, far)
    }

    /// How many bits of each differ. Inlined, so that it is compiled for the processor that it is dispatched to.
    #[inline(always)]
    fn count(&self, code: &[u8], numbers: &[ItemNumber], differing: &mut [u16]) {
        match code.as_chunks::<WORD>().0 {
            // The length of the common models, so that the loop has no end to look for.
            words @ [_, _, _, _, _, _] => self.count_words::<6>(words, numbers, differing),
            words @ [_, _, _, _, _, _, _, _, _, _, _, _] => self.count_words::<12>(words, numbers, differing),
            words => {
                for (number, differing) in numbers.iter().zip(differing) {
                    *differing = words.iter().zip(self.code(*number)).map(|(one, other)| bits(*one, *other)).sum();
                }
            }
        }
    }

    #[inline(always)]
    fn count_words<const WORDS: usize>(&self, words: &[[u8; WORD]], numbers: &[ItemNumber], differing: &mut [u16]) {
        let Some(words) = words.first_chunk::<WORDS>() else { return };
        for (number, differing) in numbers.iter().zip(differing) {
            if let Some(other) = self.code(*number).first_chunk::<WORDS>() {
                *differing = (0..WORDS).map(|at| bits(words[at], other[at])).sum();
            }
        }
    }

    /// An item's code; none, which is near to everything, where the store has none: the item is then scored exactly.
    #[inline(always)]
    fn code(&self, number: ItemNumber) -> &'t [[u8; WORD]] {
        let (block, at) = place(number, self.dimensions);
        let block = self.blocks.get(block as usize).copied().unwrap_or_default();
        block.get(at..at + code_bytes(self.dimensions)).unwrap_or_default().as_chunks().0
    }
}

#[inline(always)]
fn bits(one: [u8; WORD], other: [u8; WORD]) -> u16 {
    // Invariant: a word has 64 bits.
    (u64::from_le_bytes(one) ^ u64::from_le_bytes(other)).count_ones() as u16
}

/// Takes the `wanted` lowest and, of the rest, the `far` highest.
fn select(numbers: &[ItemNumber], differing: &[u16], wanted: usize, far: usize) -> Proposed {
    let mut counts = vec![0_usize; differing.iter().copied().max().map_or(0, usize::from) + 1];
    for differing in differing {
        counts[usize::from(*differing)] += 1;
    }
    // All below the bound, and so many of those that are at it.
    let (mut near_bound, mut left) = (0, wanted.min(numbers.len()));
    while near_bound < counts.len() && counts[near_bound] <= left {
        left -= counts[near_bound];
        near_bound += 1;
    }
    let mut at_near = left;
    if let Some(count) = counts.get_mut(near_bound) {
        *count -= at_near;
    }
    let (mut far_bound, mut left) = (counts.len(), far);
    while far_bound > near_bound && counts[far_bound - 1] <= left {
        far_bound -= 1;
        left -= counts[far_bound];
    }
    let mut at_far = if far_bound > near_bound { left } else { 0 };
    let mut proposed =
        Proposed { nearest: Vec::with_capacity(wanted.min(numbers.len())), farthest: Vec::with_capacity(far) };
    for (number, differing) in numbers.iter().zip(differing) {
        let differing = usize::from(*differing);
        if differing < near_bound {
            proposed.nearest.push(*number);
        } else if differing == near_bound && at_near > 0 {
            at_near -= 1;
            proposed.nearest.push(*number);
        } else if differing >= far_bound {
            proposed.farthest.push(*number);
        } else if differing + 1 == far_bound && at_far > 0 {
            at_far -= 1;
            proposed.farthest.push(*number);
        }
    }
    proposed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_has_a_bit_for_each_element_above_zero() {
        let mut code = vec![0xff; code_bytes(70)];
        let vector: Vec<f32> = (0..70).map(|at| if at % 3 == 0 { 0.5 } else { -0.5 }).collect();
        encode(&vector, &mut code);
        let is_set = |at: usize| code[at / 8] >> (at % 8) & 1 == 1;
        assert!((0..70).all(|at| is_set(at) == (at % 3 == 0)));
        assert!((70..128).all(|at| !is_set(at)), "bits behind the last are the same in every code");
    }

    proptest! {
        #[test]
        fn what_is_selected_is_what_sorting_would_select(
            differing in prop::collection::vec(0u16..9, 0..60),
            wanted in 0usize..70,
            far in 0usize..9,
        ) {
            let numbers: Vec<ItemNumber> = (0..).map(|number| number * 3).take(differing.len()).collect();
            let proposed = select(&numbers, &differing, wanted, far);
            let mut sorted: Vec<_> = differing.iter().zip(&numbers).collect();
            sorted.sort();
            let (near, rest) = sorted.split_at(wanted.min(sorted.len()));
            let mut nearest: Vec<_> = near.iter().map(|(_, number)| **number).collect();
            nearest.sort_unstable();
            prop_assert_eq!(&proposed.nearest, &nearest);
            let mut highest: Vec<_> = rest.iter().rev().take(far).map(|(differing, _)| **differing).collect();
            highest.reverse();
            let of = |number: &ItemNumber| differing[(*number / 3) as usize];
            let mut farthest: Vec<_> = proposed.farthest.iter().map(of).collect();
            farthest.sort_unstable();
            prop_assert_eq!(farthest, highest);
            prop_assert!(proposed.farthest.iter().all(|number| !nearest.contains(number)));
        }

        #[test]
        fn bits_are_counted_alike_for_every_length(dimensions in 1usize..900, seed in 0u8..9) {
            let vector = |salt: usize| -> Vec<f32> {
                (0..dimensions).map(|at| ((at * 7 + salt * 13 + usize::from(seed)) % 11) as f32 - 5.0).collect()
            };
            let bytes = code_bytes(dimensions);
            let mut block = vec![0; 5 * bytes];
            for (salt, code) in block.chunks_mut(bytes).enumerate() {
                encode(&vector(salt), code);
            }
            let codes = Codes::new(vec![&block], dimensions);
            let mut code = vec![0; bytes];
            encode(&vector(9), &mut code);
            let mut differing = vec![0; 5];
            codes.count(&code, &[0, 1, 2, 3, 4], &mut differing);
            for (salt, differing) in differing.into_iter().enumerate() {
                let signs = vector(salt).into_iter().zip(vector(9));
                prop_assert_eq!(usize::from(differing), signs.filter(|(one, other)| (*one > 0.0) != (*other > 0.0)).count());
            }
        }
    }
}
