//! Order: which features of a model are large, read off its weights alone.
//!
//! Promises: the same order on every machine, for it decides numbers and so belongs to the model's id.

use super::panel::WIDTH;

/// Deviations from the mean that a normalised feature rarely exceeds.
const DEVIATIONS: f32 = 3.0;
/// The same for a feature before the activation function, of which there are many more.
const WIDE_DEVIATIONS: f32 = 2.5;
/// The lowest value of the activation function, on the other side of zero.
const LEAST_ACTIVATION: f32 = 0.17;
/// One of so many panels is coarse: of MiniLM's features the largest sixteen.
const PANELS_FOR_ONE_COARSE: usize = 24;

/// How many panels of `features` features, in their order, have coarse levels.
pub(super) fn coarse(features: usize) -> usize {
    (features / WIDTH).div_ceil(PANELS_FOR_ONE_COARSE)
}

/// The features of the residual stream, from the one that any of its normalisations, given by gains and biases, makes largest.
pub(super) fn of_features(norms: &[(Vec<f32>, Vec<f32>)]) -> Vec<u32> {
    let count = norms.first().map_or(0, |(gain, _)| gain.len());
    let size =
        |(gain, bias): &(Vec<f32>, Vec<f32>), feature: usize| DEVIATIONS * gain[feature].abs() + bias[feature].abs();
    largest_first((0..count).map(|feature| norms.iter().map(|norm| size(norm, feature)).fold(0.0, f32::max)))
}

/// The outputs of a layer with an activation function behind it, from the one that becomes largest, by the layer's weights and bias
/// and the normalisation before it.
pub(super) fn of_wide(weights: &[Vec<f32>], bias: &[f32], (gain, mean): &(Vec<f32>, Vec<f32>)) -> Vec<u32> {
    largest_first(weights.iter().zip(bias).map(|(weights, bias)| {
        let mean: f32 = weights.iter().zip(mean).map(|(weight, mean)| weight * mean).sum();
        let variance: f32 = weights.iter().zip(gain).map(|(weight, gain)| (weight * gain) * (weight * gain)).sum();
        (mean + bias + WIDE_DEVIATIONS * variance.sqrt()).max(LEAST_ACTIVATION)
    }))
}

fn largest_first(sizes: impl Iterator<Item = f32>) -> Vec<u32> {
    let mut sizes: Vec<(u32, f32)> = (0..).zip(sizes).collect();
    sizes.sort_by(|(first, size), (second, other)| other.total_cmp(size).then(first.cmp(second)));
    sizes.into_iter().map(|(feature, _)| feature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_features_come_first_and_equal_ones_as_they_stand() {
        let norms = [(vec![1.0, 1.0, -4.0, 1.0], vec![0.0; 4]), (vec![0.0; 4], vec![0.0, 13.0, 0.0, 0.0])];
        assert_eq!(of_features(&norms), [1, 2, 0, 3]);
        let weights = [vec![1.0, 0.0], vec![0.0, -2.0], vec![0.0, 0.0]];
        assert_eq!(of_wide(&weights, &[0.0, 0.0, 9.0], &(vec![1.0; 2], vec![0.0, 1.0])), [2, 1, 0]);
        assert_eq!((coarse(384), coarse(1536), coarse(16)), (1, 4, 1));
    }
}
