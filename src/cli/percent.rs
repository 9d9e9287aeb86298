//! Percent-encoding: text of any kind as a part of a URL (RFC 3986).

use std::fmt::Write;

/// The text as one path segment or as a name or value of a query: everything but the unreserved characters is encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => result.push(char::from(byte)),
            _ => write!(result, "%{byte:02X}").expect("a string can be written to"),
        }
    }
    result
}

/// The pairs as a query string with its question mark; empty without pairs.
pub(super) fn query(pairs: &[(&str, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    format!("?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_or_change_a_url_is_encoded() {
        assert_eq!(encoded("a/b?c=ö %+&"), "a%2Fb%3Fc%3D%C3%B6%20%25%2B%26");
        assert_eq!(query(&[("space", "a b".into()), ("limit", "2".into())]), "?space=a%20b&limit=2");
        assert_eq!(query(&[]), "");
    }
}
