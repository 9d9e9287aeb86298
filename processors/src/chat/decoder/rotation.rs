//! Rotary positions: queries and keys turned by angles that grow with their position.

use std::ops::Range;

use super::shape::Shape;

/// The sines and cosines for a run of positions.
pub(super) struct Rotation {
    /// For each position, the cosine and sine of each pair.
    turns: Vec<(f32, f32)>,
    pairs: usize,
    neighbours: bool,
}

impl Rotation {
    /// Those of a model's layers that look everywhere or `nearby`.
    pub(super) fn new(shape: &Shape, nearby: bool, factors: Option<&[f32]>, positions: Range<usize>) -> Self {
        let (base, stretch) = if nearby { (shape.nearby_base, 1.0) } else { (shape.base, shape.stretch) };
        let frequency = |pair: usize| {
            let factor = factors.and_then(|factors| factors.get(pair)).map_or(1.0, |factor| f64::from(*factor));
            base.powf(-2.0 * pair as f64 / shape.rotated as f64) / (stretch * factor)
        };
        let frequencies: Vec<f64> = (0..shape.rotated / 2).map(frequency).collect();
        let turn = |(position, frequency): (usize, &f64)| {
            let (sine, cosine) = (position as f64 * frequency).sin_cos();
            (cosine as f32, sine as f32)
        };
        let turns = positions.flat_map(|position| frequencies.iter().map(move |frequency| (position, frequency)));
        Self { turns: turns.map(turn).collect(), pairs: frequencies.len(), neighbours: shape.family.turns_neighbours() }
    }

    /// Turns the heads of the row at a place in the run.
    pub(super) fn turn(&self, place: usize, row: &mut [f32], head_width: usize) {
        let turns = &self.turns[place * self.pairs..][..self.pairs];
        for head in row.chunks_exact_mut(head_width) {
            if self.neighbours {
                for (pair, turn) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    *pair = turned(pair[0], pair[1], *turn);
                }
                continue;
            }
            let (firsts, seconds) = head.split_at_mut(self.pairs);
            for ((first, second), turn) in firsts.iter_mut().zip(seconds).zip(turns) {
                [*first, *second] = turned(*first, *second, *turn);
            }
        }
    }
}

fn turned(x: f32, y: f32, (cosine, sine): (f32, f32)) -> [f32; 2] {
    [x * cosine - y * sine, x * sine + y * cosine]
}
