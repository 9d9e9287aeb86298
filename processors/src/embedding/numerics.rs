//! Numerics: how exactly a model is computed, and with which instructions.

use std::{fmt, str::FromStr};

pub use super::bert::Kernel;

/// How exactly a model is computed. It is a part of the model's id: vectors of different precisions are never compared.
///
/// The machine never chooses it, so that all machines of a mesh give vectors that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Floats of 32 bits; weights in steps of 16 bits.
    F32,
    /// Products of bytes, everything else in floats of 32 bits: several times as fast where the machine multiplies bytes.
    #[default]
    Int8,
}

impl Precision {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::F32, Self::Int8];

    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| one_of(Self::ALL.map(Self::name)))
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let kernel = Self::ALL.into_iter().find(|kernel| kernel.name() == name);
        let kernel = kernel.ok_or_else(|| one_of(Self::ALL.map(Self::name)))?;
        if kernel.is_available() {
            return Ok(kernel);
        }
        let available = Self::ALL.into_iter().filter(|kernel| kernel.is_available()).map(Self::name);
        Err(format!(
            "this machine does not have its instructions; it has those of {}",
            available.collect::<Vec<_>>().join(", ")
        ))
    }
}

fn one_of<const COUNT: usize>(names: [&str; COUNT]) -> String {
    format!("it is one of {}", names.join(", "))
}

/// How a model is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numerics {
    /// How exactly.
    pub precision: Precision,
    /// With which instructions. These change no vector.
    pub kernel: Kernel,
}

impl fmt::Display for Numerics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.precision, self.kernel)
    }
}

impl Default for Numerics {
    fn default() -> Self {
        Self::of(Precision::default())
    }
}

impl Numerics {
    /// With the fastest instructions that this machine has.
    pub fn of(precision: Precision) -> Self {
        Self { precision, kernel: Kernel::fastest() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_and_what_they_may_be_is_told() {
        assert_eq!(Precision::ALL.map(|precision| precision.name().parse()), Precision::ALL.map(Ok));
        assert_eq!("fp16".parse::<Precision>(), Err("it is one of f32, int8".to_owned()));
        assert_eq!("plain".parse(), Ok(Kernel::Plain));
        assert!("sse9".parse::<Kernel>().is_err_and(|error| error.contains("avx512-vnni")));
        for kernel in Kernel::ALL {
            assert_eq!(kernel.name().parse::<Kernel>().is_ok(), kernel.is_available());
        }
    }
}
