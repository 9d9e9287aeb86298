//! What one generation remembers of its tokens: their keys and values in each layer.

use std::ops::Range;

use super::shape::Shape;

/// The memory of one generation. It grows with each token: for Gemma 3 270M by 6 KB, and by 30 KB more up to the width
/// of its window.
pub(in super::super) struct Cache {
    pub(super) layers: Vec<LayerCache>,
    /// Tokens read so far.
    pub(super) length: usize,
}

impl Cache {
    pub(super) fn new(shape: &Shape) -> Self {
        let heads = || vec![Vec::new(); shape.key_heads];
        let layer = || LayerCache { keys: heads(), values: heads(), first: 0, head_width: shape.head_width };
        Self { layers: std::iter::repeat_with(layer).take(shape.layers).collect(), length: 0 }
    }
}

/// The keys and values of one layer, by head, one position after the other.
pub(super) struct LayerCache {
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    /// The position of the first row that is kept.
    first: usize,
    head_width: usize,
}

impl LayerCache {
    /// Adds rows of keys and values, each row with all heads.
    pub(super) fn extend(&mut self, keys: &[f32], values: &[f32]) {
        for (kept, rows) in [(&mut self.keys, keys), (&mut self.values, values)] {
            let heads = kept.len();
            for (index, head) in rows.chunks_exact(self.head_width).enumerate() {
                kept[index % heads].extend_from_slice(head);
            }
        }
    }

    /// The keys and values of a head at the positions from `from` up to and with `to`.
    pub(super) fn rows(&self, head: usize, from: usize, to: usize) -> (&[f32], &[f32]) {
        let range = (from - self.first) * self.head_width..(to + 1 - self.first) * self.head_width;
        (&self.keys[head][range.clone()], &self.values[head][range])
    }

    /// The positions that are kept.
    pub(super) fn positions(&self) -> Range<usize> {
        let rows = self.keys.first().map_or(0, Vec::len) / self.head_width;
        self.first..self.first + rows
    }

    /// Forgets what no later token sees. Only when that is half of all, so that rows move seldom.
    pub(super) fn keep_last(&mut self, window: usize) {
        let rows = self.positions().len();
        if rows < window.saturating_mul(2) {
            return;
        }
        for head in self.keys.iter_mut().chain(&mut self.values) {
            head.drain(..(rows - window) * self.head_width);
        }
        self.first += rows - window;
    }
}
