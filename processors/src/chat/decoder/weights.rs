//! Weights in a file, by name.

use super::super::ChatError;
use super::super::gguf::Gguf;
use super::matrix::Matrix;

/// Takes weights out of a file.
pub(super) struct Source<'a> {
    pub(super) gguf: &'a mut Gguf,
}

impl Source<'_> {
    /// A table of `rows` by `columns`.
    ///
    /// # Errors
    /// There is none, or it has another shape.
    pub(super) fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, ChatError> {
        let matrix = self.optional_matrix(name, rows, columns)?;
        matrix.ok_or_else(|| self.gguf.corrupt(format!("it has no tensor {name}")))
    }

    /// As [`Source::matrix`], or nothing when there is none.
    pub(super) fn optional_matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Option<Matrix>, ChatError> {
        let Some(tensor) = self.gguf.take_tensor(name, &[rows, columns])? else {
            return Ok(None);
        };
        Matrix::new(&tensor).map(Some).map_err(|cause| self.gguf.corrupt_tensor(name, &cause))
    }

    /// A list of `length` numbers.
    ///
    /// # Errors
    /// There is none, or it has another length.
    pub(super) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, ChatError> {
        let vector = self.optional_vector(name, length)?;
        vector.ok_or_else(|| self.gguf.corrupt(format!("it has no tensor {name}")))
    }

    /// As [`Source::vector`], or nothing when there is none.
    pub(super) fn optional_vector(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>, ChatError> {
        let Some(tensor) = self.gguf.take_tensor(name, &[length])? else {
            return Ok(None);
        };
        let numbers = tensor.dequantize(&candle_core::Device::Cpu).and_then(|tensor| tensor.to_vec1());
        numbers.map(Some).map_err(|cause| self.gguf.corrupt_tensor(name, &cause))
    }
}
