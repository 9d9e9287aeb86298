//! The cosine of two unit vectors, one of them still in its stored form.

/// Independent sums per dot product. Sixteen keep the additions of an element from waiting for those of the one before,
/// and let the compiler use the widest vector instructions of the target.
const LANES: usize = 16;

/// Bytes of one stored element.
const ELEMENT: usize = size_of::<f32>();

/// The dot product of `query` with the vector whose little-endian elements are `stored`; for unit vectors, their cosine.
///
/// The stored bytes need no alignment (LMDB guarantees none). The order of additions is fixed, so the same vectors give
/// the same bits wherever they are scored. Elements beyond the shorter of the two count as zero. Inlined, so that it is compiled for
/// the processor that a caller dispatches it to.
#[inline(always)]
pub(super) fn cosine(query: &[f32], stored: &[u8]) -> f32 {
    let (query_blocks, query_rest) = query.as_chunks::<LANES>();
    let (stored_blocks, stored_rest) = stored.as_chunks::<{ LANES * ELEMENT }>();
    let mut sums = [0.0; LANES];
    for (query, stored) in query_blocks.iter().zip(stored_blocks) {
        let (elements, _) = stored.as_chunks::<ELEMENT>();
        for lane in 0..LANES {
            sums[lane] += query[lane] * f32::from_le_bytes(elements[lane]);
        }
    }
    let (elements, _) = stored_rest.as_chunks::<ELEMENT>();
    let rest: f32 = query_rest.iter().zip(elements).map(|(query, stored)| query * f32::from_le_bytes(*stored)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_textbook_sum_at_any_alignment(
            pairs in prop::collection::vec((-1.0f32..1.0, -1.0f32..1.0), 0..100),
            shift in 0usize..4,
        ) {
            let (query, other): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let mut bytes = vec![0; shift];
            bytes.extend(other.iter().flat_map(|element| element.to_le_bytes()));
            let expected: f64 = pairs.iter().map(|(left, right)| f64::from(*left) * f64::from(*right)).sum();
            prop_assert!((f64::from(cosine(&query, &bytes[shift..])) - expected).abs() < 1e-4);
        }
    }
}
