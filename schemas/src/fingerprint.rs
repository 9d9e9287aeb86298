//! Fingerprints of schemas that come from elsewhere, as the Avro specification defines them.
//!
//! Owns: the parsing canonical form of a schema, and its CRC-64-AVRO.
//! Promises: text from anywhere gives a fingerprint or none, never a panic; nesting is bounded by the JSON parser.
//! Never: says whether a schema is valid in all its parts, or known; that is [`mod@crate::catalog`]'s.

use serde_json::{Map, Value};

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The fingerprint of a schema given as JSON, as it stands (little-endian) in the header of single-object encoding. `None` if
/// the text is no schema by itself.
pub fn fingerprint(json: &str) -> Option<[u8; 8]> {
    let schema: Value = serde_json::from_str(json).ok()?;
    let mut form = String::with_capacity(json.len());
    canonical(&schema, "", &mut form)?;
    Some(crc64(form.as_bytes()).to_le_bytes())
}

/// Writes a schema's parsing canonical form. Names without a namespace are in `namespace`.
fn canonical(schema: &Value, namespace: &str, form: &mut String) -> Option<()> {
    match schema {
        Value::String(name) => quote(&full_name(name, namespace)?, form),
        Value::Array(variants) => list(variants, form, |variant, form| canonical(variant, namespace, form))?,
        Value::Object(object) => complex(object, namespace, form)?,
        _ => return None,
    }
    Some(())
}

fn complex(object: &Map<String, Value>, namespace: &str, form: &mut String) -> Option<()> {
    let kind = match object.get("type")? {
        Value::String(kind) => kind.as_str(),
        nested => return canonical(nested, namespace, form),
    };
    match kind {
        "array" | "map" => {
            let of = if kind == "array" { "items" } else { "values" };
            form.push_str(&format!("{{\"type\":\"{kind}\",\"{of}\":"));
            canonical(object.get(of)?, namespace, form)?;
        }
        "record" | "error" | "enum" | "fixed" => {
            let name = object.get("name")?.as_str()?;
            let within = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
            let name = full_name(name, within)?;
            let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
            form.push_str("{\"name\":");
            quote(&name, form);
            form.push_str(&format!(",\"type\":\"{kind}\","));
            match kind {
                "enum" => {
                    form.push_str("\"symbols\":");
                    list(object.get("symbols")?.as_array()?, form, |symbol, form| {
                        quote(symbol.as_str()?, form);
                        Some(())
                    })?;
                }
                "fixed" => {
                    let size = object.get("size")?;
                    let size = size.as_u64().or_else(|| size.as_str()?.parse().ok())?;
                    form.push_str(&format!("\"size\":{size}"));
                }
                _ => {
                    form.push_str("\"fields\":");
                    list(object.get("fields")?.as_array()?, form, |field, form| {
                        form.push_str("{\"name\":");
                        quote(field.get("name")?.as_str()?, form);
                        form.push_str(",\"type\":");
                        canonical(field.get("type")?, namespace, form)?;
                        form.push('}');
                        Some(())
                    })?;
                }
            }
        }
        // A primitive with attributes such as a logical type, or a name.
        simple => {
            quote(&full_name(simple, namespace)?, form);
            return Some(());
        }
    }
    form.push('}');
    Some(())
}

fn full_name(name: &str, namespace: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    if namespace.is_empty() || name.contains('.') || PRIMITIVES.contains(&name) {
        return Some(name.to_owned());
    }
    Some(format!("{namespace}.{name}"))
}

fn list(values: &[Value], form: &mut String, mut write: impl FnMut(&Value, &mut String) -> Option<()>) -> Option<()> {
    form.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            form.push(',');
        }
        write(value, form)?;
    }
    form.push(']');
    Some(())
}

fn quote(text: &str, form: &mut String) {
    form.push_str(&Value::from(text).to_string());
}

/// CRC-64-AVRO, bit by bit: schemas are short, and few.
fn crc64(bytes: &[u8]) -> u64 {
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let step = |crc: u64| (crc >> 1) ^ (EMPTY & (crc & 1).wrapping_neg());
    bytes.iter().fold(EMPTY, |crc, byte| (0..8).fold(crc ^ u64::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use apache_avro::{Schema, rabin::Rabin};
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::catalog;

    #[test]
    fn what_makes_no_difference_to_the_encoding_makes_none() {
        let plain = r#"{"type":"record","name":"a.b.R","fields":[{"name":"f","type":["null","long"]}]}"#;
        let adorned = r#"{"doc":"d","namespace":"a.b","name":"R","aliases":["Q"],"type":"record","fields":
            [{"default":null,"type":["null",{"type":"long","logicalType":"timestamp-micros"}],"name":"f","doc":""}]}"#;
        assert_eq!(fingerprint(plain), fingerprint(adorned));
        assert_ne!(fingerprint(plain), fingerprint(&plain.replace("long", "int")));
    }

    /// Of schemas without logical types, of which it makes another form.
    #[test]
    fn they_are_those_of_apache_avro() {
        let schemas = [
            r#""int""#,
            r#"{"type":"array","items":{"type":"map","values":"bytes"}}"#,
            r#"["null",{"type":"enum","name":"E","namespace":"n","symbols":["A","B"]}]"#,
            r#"{"type":"fixed","name":"n.F","size":16}"#,
            catalog()[0].json,
            r#"{"type":"record","name":"n.R","fields":[
                {"name":"own","type":{"type":"record","name":"S","fields":[{"name":"next","type":["null","S"]}]}},
                {"name":"other","type":{"type":"record","name":"m.T","fields":[{"name":"again","type":"n.S"},
                    {"name":"inner","type":{"type":"fixed","name":"F","size":2}}]}},
                {"name":"third","type":{"type":"enum","name":"E","namespace":"o","symbols":[]}}]}"#,
        ];
        for json in schemas {
            let theirs = Schema::parse_str(json).unwrap().fingerprint::<Rabin>().bytes;
            assert_eq!(fingerprint(json).map(|bytes| bytes.to_vec()), Some(theirs), "{json}");
        }
    }

    #[test]
    fn they_are_those_of_the_specification() {
        // From the test data of Apache Avro (schema-tests.txt).
        let ours = |json: &str| fingerprint(json).map(i64::from_le_bytes);
        assert_eq!(ours(r#""null""#), Some(7195948357588979594));
        assert_eq!(ours(r#"{"type":"boolean"}"#), Some(-6970731678124411036));
        assert_eq!(ours(r#"{"type":"fixed","name":"foo","namespace":"x.y","size":"0015"}"#), Some(8973436725417971441));
    }

    #[test]
    fn what_is_no_schema_has_none() {
        let no_size = r#"{"type":"fixed","name":"F","size":-1}"#;
        let deep = "[".repeat(100_000);
        for text in ["", "1", "{}", r#"{"type":"record","name":"R"}"#, r#"{"type":"array"}"#, no_size, &deep] {
            assert_eq!(fingerprint(text), None);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,80}", at: prop::sample::Index, piece in "\\PC{0,6}") {
            let _ = fingerprint(&text);
            let mut damaged: Vec<char> = catalog()[at.index(catalog().len())].json.chars().collect();
            let place = at.index(damaged.len());
            damaged.splice(place..place, piece.chars());
            let _ = fingerprint(&damaged.into_iter().collect::<String>());
        }
    }
}
