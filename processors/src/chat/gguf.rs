//! The GGUF container: metadata and tensors of a file.
//!
//! Owns: the layout of GGUF version 2 and 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>), and the
//! bounds that keep a damaged or hostile file from costing more memory than its own size.
//! Promises: every length is checked against the file before memory is taken for it, so nothing here panics or
//! allocates more than a few times what the file holds.
//! Never: knows what a key or a tensor means.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::TensorInfo;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Shape};

use super::ChatError;

const MAGIC: [u8; 4] = *b"GGUF";

/// The same four bytes as a big-endian machine may write them.
const MAGIC_REVERSED: [u8; 4] = *b"FUGG";

/// Where tensors begin when the file states no alignment.
const ALIGNMENT: u64 = 32;

/// Entries of the metadata, and tensors: the largest models known have about 100 and 3,000.
const MOST_ENTRIES: u64 = 65_536;

/// Items of one array: the largest vocabularies known have 262,144.
const MOST_ITEMS: u64 = 4 << 20;

/// Bytes of one string: chat templates have up to 20 KB.
const MOST_STRING_BYTES: u64 = 4 << 20;

/// Bytes of a tensor's name: the format allows 64.
const MOST_NAME_BYTES: usize = 128;

/// Characters of a foreign value in an error.
const MOST_SHOWN: usize = 80;

/// Arrays in arrays. The format allows any depth; no known file uses more than one.
const MOST_DEPTH: usize = 4;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    /// An array of integers or floats, in the precision that scores and token types need.
    Numbers(Vec<f32>),
    /// An array of another kind, which was skipped.
    Skipped,
}

/// A foreign value for an error: on one line, and not as long as the file may have made it.
pub(super) fn shown(value: &dyn fmt::Debug) -> String {
    let mut text: String = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(MOST_SHOWN) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// An open file with its metadata read.
pub(super) struct Gguf {
    path: PathBuf,
    reader: BufReader<File>,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
    data_start: u64,
}

impl Gguf {
    /// Opens a file and reads everything before the tensors' data.
    ///
    /// # Errors
    /// The file cannot be read, is no GGUF file, is cut short, or states a size that cannot be.
    pub(super) fn open(path: &Path) -> Result<Self, ChatError> {
        let missing = |cause| ChatError::Missing { path: path.to_owned(), cause };
        let file = File::open(path).map_err(missing)?;
        let length = file.metadata().map_err(missing)?.len();
        let mut header = Header { reader: BufReader::new(file), at: 0, length };
        let (metadata, tensors) = header.read().map_err(|fault| fault.at(path))?;
        let alignment = match metadata.get("general.alignment") {
            Some(Value::Unsigned(alignment)) if alignment.is_power_of_two() && *alignment <= 1 << 20 => *alignment,
            None => ALIGNMENT,
            Some(other) => {
                let cause = format!("general.alignment is {}, not a small power of two", shown(other));
                return Err(ChatError::Corrupt { path: path.to_owned(), cause });
            }
        };
        let data_start = header.at.next_multiple_of(alignment);
        Ok(Self { path: path.to_owned(), reader: header.reader, metadata, tensors, data_start })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// Takes a value out, so that a vocabulary is not kept twice.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.metadata.remove(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bool(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn unsigned(&self, key: &str) -> Option<usize> {
        match self.value(key)? {
            Value::Unsigned(value) => usize::try_from(*value).ok(),
            Value::Signed(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn float(&self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The shape of a tensor that nobody has taken.
    pub(super) fn tensor_shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.dims())
    }

    /// A sound file with something in it that this program cannot do.
    pub(super) fn unsupported(&self, cause: impl Into<String>) -> ChatError {
        ChatError::Unsupported { path: self.path.clone(), cause: cause.into() }
    }

    /// A file whose parts contradict each other.
    pub(super) fn corrupt(&self, cause: impl Into<String>) -> ChatError {
        ChatError::Corrupt { path: self.path.clone(), cause: cause.into() }
    }

    /// A tensor that candle cannot read. Only the first line of its answer: a backtrace may follow.
    pub(super) fn corrupt_tensor(&self, name: &str, cause: &candle_core::Error) -> ChatError {
        let cause = cause.to_string();
        self.corrupt(format!("tensor {name}: {}", cause.lines().next().unwrap_or_default()))
    }

    /// Takes a tensor of the shape out of the file, or nothing when there is none of the name.
    ///
    /// # Errors
    /// It has another shape, or the file ends before it does.
    pub(super) fn take_tensor(&mut self, name: &str, shape: &[usize]) -> Result<Option<QTensor>, ChatError> {
        let Some(info) = self.tensors.remove(name) else {
            return Ok(None);
        };
        if info.shape.dims() != shape {
            return Err(self.corrupt(format!("tensor {name} has shape {:?}, not {shape:?}", info.shape.dims())));
        }
        // Blocks may not reach from one row into the next; candle would only find out when it computes.
        if shape.last().is_none_or(|width| !width.is_multiple_of(info.ggml_dtype.block_size())) {
            let blocks = info.ggml_dtype.block_size();
            return Err(self.corrupt(format!("tensor {name} of shape {shape:?} has blocks of {blocks}")));
        }
        let tensor = info.read(&mut self.reader, self.data_start, &Device::Cpu);
        tensor.map(Some).map_err(|cause| self.corrupt_tensor(name, &cause))
    }

    /// The name of a tensor that nobody has taken, if there is one.
    pub(super) fn tensor_left(&self) -> Option<&str> {
        self.tensors.keys().map(String::as_str).min()
    }
}

/// Why a header cannot be read.
enum Fault {
    Corrupt(String),
    Unsupported(String),
}

impl Fault {
    fn at(self, path: &Path) -> ChatError {
        let path = path.to_owned();
        match self {
            Self::Corrupt(cause) => ChatError::Corrupt { path, cause },
            Self::Unsupported(cause) => ChatError::Unsupported { path, cause },
        }
    }
}

type Parsed<T> = Result<T, Fault>;

fn corrupt<T>(cause: String) -> Parsed<T> {
    Err(Fault::Corrupt(cause))
}

/// A reader that knows how much of the file is left.
struct Header {
    reader: BufReader<File>,
    at: u64,
    length: u64,
}

impl Header {
    fn read(&mut self) -> Parsed<(HashMap<String, Value>, HashMap<String, TensorInfo>)> {
        let magic = self.bytes::<4>()?;
        if magic == MAGIC_REVERSED {
            return Err(Fault::Unsupported("its bytes are in big-endian order".to_owned()));
        }
        if magic != MAGIC {
            return corrupt(format!("it begins with {magic:02x?}, not with \"GGUF\""));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return Err(Fault::Unsupported(format!("it is GGUF version {version}, not 2 or 3")));
        }
        let tensor_count = self.count("tensors", MOST_ENTRIES)?;
        let entry_count = self.count("metadata entries", MOST_ENTRIES)?;
        let mut metadata = HashMap::new();
        for _ in 0..entry_count {
            let key = self.string()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            metadata.insert(key, value);
        }
        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let (name, info) = self.tensor()?;
            tensors.insert(name, info);
        }
        Ok((metadata, tensors))
    }

    fn tensor(&mut self) -> Parsed<(String, TensorInfo)> {
        let name = self.string()?;
        if name.len() > MOST_NAME_BYTES || name.contains(char::is_control) {
            return corrupt(format!("a tensor is named {}", shown(&name)));
        }
        let dimensions = self.u32()?;
        if !(1..=4).contains(&dimensions) {
            return corrupt(format!("tensor {name} has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        let mut elements: u64 = 1;
        for _ in 0..dimensions {
            let size = self.u64()?;
            // No type takes less than a quarter of a byte for an element, so a larger product cannot be in the file.
            elements = elements.saturating_mul(size);
            if size == 0 || elements > self.length.saturating_mul(4) {
                return corrupt(format!("tensor {name} is larger than the file"));
            }
            shape.push(usize::try_from(size).unwrap_or(usize::MAX));
        }
        shape.reverse();
        let kind = self.u32()?;
        let Some(ggml_dtype) = element_type(kind) else {
            return Err(Fault::Unsupported(format!("tensor {name} has elements of type {kind}")));
        };
        let offset = self.u64()?;
        if offset > self.length {
            return corrupt(format!("tensor {name} begins after the end of the file"));
        }
        Ok((name, TensorInfo { ggml_dtype, shape: Shape::from(shape), offset }))
    }

    fn value(&mut self, kind: u32, depth: usize) -> Parsed<Value> {
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.bytes::<1>()?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.bytes()?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Value::Unsigned(u64::from(self.u32()?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.bytes()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.bytes()?))),
            7 => Value::Bool(self.bytes::<1>()?[0] != 0),
            8 => Value::Text(self.string()?),
            9 => self.array(depth)?,
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.bytes()?)),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            other => return corrupt(format!("a metadata entry has type {other}")),
        })
    }

    fn array(&mut self, depth: usize) -> Parsed<Value> {
        let kind = self.u32()?;
        let items = self.count("items of an array", MOST_ITEMS)?;
        if depth == MOST_DEPTH {
            return corrupt(format!("arrays lie more than {MOST_DEPTH} deep in each other"));
        }
        match kind {
            8 => {
                let texts: Parsed<Vec<String>> = (0..items).map(|_| self.string()).collect();
                Ok(Value::Texts(texts?))
            }
            4 => self.numbers(items, |bytes| u32::from_le_bytes(bytes) as f32),
            5 => self.numbers(items, |bytes| i32::from_le_bytes(bytes) as f32),
            6 => self.numbers(items, f32::from_le_bytes),
            9 => {
                for _ in 0..items {
                    self.array(depth + 1)?;
                }
                Ok(Value::Skipped)
            }
            other => {
                for _ in 0..items {
                    self.value(other, depth + 1)?;
                }
                Ok(Value::Skipped)
            }
        }
    }

    fn numbers(&mut self, items: u64, number: impl Fn([u8; 4]) -> f32) -> Parsed<Value> {
        let numbers: Parsed<Vec<f32>> = (0..items).map(|_| Ok(number(self.bytes()?))).collect();
        Ok(Value::Numbers(numbers?))
    }

    /// A count of things that each take at least a byte of what is left.
    fn count(&mut self, of: &str, most: u64) -> Parsed<u64> {
        let count = self.u64()?;
        if count > most.min(self.length - self.at) {
            return corrupt(format!("it states {count} {of}"));
        }
        Ok(count)
    }

    /// A string. Bytes that are not UTF-8 become replacement characters, as the tokens of some files need.
    fn string(&mut self) -> Parsed<String> {
        let length = self.count("bytes of a string", MOST_STRING_BYTES)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn bytes<const COUNT: usize>(&mut self) -> Parsed<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Parsed<()> {
        if self.length - self.at < bytes.len() as u64 {
            return corrupt(format!("it ends at byte {}, within its header", self.length));
        }
        if let Err(cause) = self.reader.read_exact(bytes) {
            return corrupt(format!("it cannot be read at byte {}: {cause}", self.at));
        }
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// The element types that candle can compute with.
fn element_type(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}
