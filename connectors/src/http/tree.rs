//! Trees: JSON documents and query strings that have been read but not been given a type.
//!
//! Owns: the way from a tree to a typed request, with errors that are variants and not text.
//! Why: serde_json tells a missing field from an unknown one only in words; a client needs a stable code and the field.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, IntoDeserializer, value::MapDeserializer, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use crate::problem::quote;

/// A value without a type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    /// A text of a query string, which stands for a number or a boolean too where one is asked for.
    Word(String),
    /// The texts of a parameter that a query string has several times; each stands for itself in a list.
    Words(Vec<String>),
    List(Vec<Tree>),
    /// Fields in the order of the document; a name may occur twice.
    Object(Vec<(String, Tree)>),
}

/// Why a tree is not of the type asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("unknown field {field}")]
    UnknownField { field: String, allowed: &'static [&'static str] },
    #[error("missing field {0}")]
    MissingField(&'static str),
    #[error("duplicate field {0}")]
    DuplicateField(&'static str),
    /// A query string has several values where one is asked for.
    #[error("several values")]
    Repeated,
    #[error("found {found}, expected {expected}")]
    WrongType { found: String, expected: String },
    #[error("found {found}, expected {expected}")]
    OutOfRange { found: String, expected: String },
    #[error("found {found}, expected {expected}")]
    Invalid { found: String, expected: String },
    #[error("found {found}, expected one of {allowed:?}")]
    UnknownVariant { found: String, allowed: &'static [&'static str] },
    #[error("{0}")]
    Custom(String),
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::Custom(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Fault::WrongType { found: describe(found), expected: expected.to_string() }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let (found, expected, number) = (describe(found), expected.to_string(), is_number(found));
        if number { Fault::OutOfRange { found, expected } } else { Fault::Invalid { found, expected } }
    }

    fn unknown_variant(found: &str, allowed: &'static [&'static str]) -> Self {
        Fault::UnknownVariant { found: found.to_owned(), allowed }
    }

    fn unknown_field(field: &str, allowed: &'static [&'static str]) -> Self {
        Fault::UnknownField { field: field.to_owned(), allowed }
    }

    fn missing_field(field: &'static str) -> Self {
        Fault::MissingField(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Fault::DuplicateField(field)
    }
}

fn describe(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(value) => format!("the boolean {value}"),
        de::Unexpected::Unsigned(value) => format!("the number {value}"),
        de::Unexpected::Signed(value) => format!("the number {value}"),
        de::Unexpected::Float(value) => format!("the number {value}"),
        de::Unexpected::Str(text) => format!("the text \"{}\"", quote(text)),
        de::Unexpected::Unit => "null".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

fn is_number(found: de::Unexpected<'_>) -> bool {
    matches!(found, de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) | de::Unexpected::Float(_))
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> de::Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            object.push(entry);
        }
        Ok(Tree::Object(object))
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Fault;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(value),
            Tree::Unsigned(value) => visitor.visit_u64(value),
            Tree::Signed(value) => visitor.visit_i64(value),
            Tree::Float(value) => visitor.visit_f64(value),
            Tree::Text(value) | Tree::Word(value) => visitor.visit_string(value),
            Tree::Words(_) => Err(Fault::Repeated),
            Tree::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Tree::Object(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Tree::Null => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self {
            Tree::Text(value) | Tree::Word(value) => {
                IntoDeserializer::<Fault>::into_deserializer(value).deserialize_enum(name, variants, visitor)
            }
            Tree::Words(_) => Err(Fault::Repeated),
            other => Err(de::Error::invalid_type(other.unexpected(), &"a text")),
        }
    }

    fn deserialize_seq<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let words = match self {
            Tree::Word(word) => vec![word],
            Tree::Words(words) => words,
            other => return other.deserialize_any(visitor),
        };
        visitor.visit_seq(SeqDeserializer::new(words.into_iter().map(Tree::Word)))
    }

    fn deserialize_u32<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.numbered().deserialize_any(visitor)
    }

    fn deserialize_u64<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.numbered().deserialize_any(visitor)
    }

    fn deserialize_bool<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Tree::Word(word) if word == "true" => visitor.visit_bool(true),
            Tree::Word(word) if word == "false" => visitor.visit_bool(false),
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl Tree {
    fn unexpected(&self) -> de::Unexpected<'_> {
        match self {
            Tree::Null => de::Unexpected::Unit,
            Tree::Bool(value) => de::Unexpected::Bool(*value),
            Tree::Unsigned(value) => de::Unexpected::Unsigned(*value),
            Tree::Signed(value) => de::Unexpected::Signed(*value),
            Tree::Float(value) => de::Unexpected::Float(*value),
            Tree::Text(value) | Tree::Word(value) => de::Unexpected::Str(value),
            Tree::Words(_) | Tree::List(_) => de::Unexpected::Seq,
            Tree::Object(_) => de::Unexpected::Map,
        }
    }

    /// A word that reads as a whole number becomes one.
    fn numbered(self) -> Tree {
        let Tree::Word(word) = &self else { return self };
        match (word.parse(), word.parse()) {
            (Ok(value), _) => Tree::Unsigned(value),
            (_, Ok(value)) => Tree::Signed(value),
            _ => self,
        }
    }
}

impl IntoDeserializer<'_, Fault> for Tree {
    type Deserializer = Tree;

    fn into_deserializer(self) -> Tree {
        self
    }
}
