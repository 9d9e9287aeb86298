//! The bridge between candle's tensors and panels.
//!
//! Activations are tensors of shape (panels, tokens, 16). Each operation of this folder reads one through [`panels`]
//! and hands a new one back through [`storage`].

use candle_core::{CpuStorage, Layout, Result, Shape, bail};

use super::panel::{Panels, Row, WIDTH};

/// Views a tensor as panels, and says how many there are.
///
/// # Errors
/// The tensor is not a contiguous (panels, tokens, 16) of 32-bit floats. Only a mistake in this folder leads here.
pub(super) fn panels<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<(Panels<'a>, usize)> {
    let (count, height, width) = layout.shape().dims3()?;
    let (Some((start, end)), CpuStorage::F32(values), WIDTH) = (layout.contiguous_offsets(), storage, width) else {
        bail!("activations must be contiguous (panels, tokens, {WIDTH}) of f32, not {layout:?}");
    };
    let (rows, _) = values[start..end].as_chunks();
    Ok((Panels::new(rows, height), count))
}

/// A result of `panels` panels of `height` rows, filled by `fill`.
pub(super) fn storage(panels: usize, height: usize, fill: impl FnOnce(&mut [Row])) -> (CpuStorage, Shape) {
    let mut values = vec![0.0; panels * height * WIDTH];
    fill(values.as_chunks_mut().0);
    (CpuStorage::F32(values), Shape::from((panels, height, WIDTH)))
}
