//! Literals: what its own form tells, whatever stands around it.
//!
//! Owns: addresses, handles, hashtags, paths, file names, identifiers, flags, error codes and tickets.
//! Never: looks beyond the stretch between two spaces.

use super::EntityKind;

/// A literal, and how sure its form is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Literal {
    pub(super) kind: EntityKind,
    pub(super) confidence: f32,
    /// Whether a known name of the same form comes first ("Node.js" is no file, "GitHub" no identifier).
    pub(super) weak: bool,
}

const fn sure(kind: EntityKind) -> Literal {
    Literal { kind, confidence: 0.95, weak: false }
}

const fn weak(kind: EntityKind) -> Literal {
    Literal { kind, confidence: 0.8, weak: true }
}

/// Ends of domains that are taken for addresses without "www." or a scheme.
const DOMAINS: &[&str] = &["com", "org", "net", "edu", "gov", "io", "dev", "app", "info"];

const EXTENSIONS: &[&str] = &[
    "rs", "py", "js", "ts", "jsx", "tsx", "html", "css", "scss", "json", "toml", "yaml", "yml", "md", "txt", "csv",
    "tsv", "xml", "sql", "sh", "c", "h", "cpp", "hpp", "java", "kt", "go", "rb", "php", "swift", "ipynb", "lock",
    "log", "conf", "cfg", "ini", "env", "db", "pdf", "docx", "xlsx", "pptx", "png", "jpg", "jpeg", "gif", "svg", "zip",
    "gz", "tar", "exe", "dll", "mp3", "mp4", "wav", "vue", "cs",
];

/// Names with a dash and figures that are standards or products, not tickets.
const NO_TICKETS: &[&str] =
    &["UTF", "SHA", "AES", "RSA", "ISO", "RFC", "COVID", "GPT", "HMAC", "BASE", "MPEG", "SARS", "PBKDF", "BERT", "VGG"];

const NO_HANDLES: &[&str] = &["property", "media", "override", "everyone", "here", "channel", "all", "param", "import"];

/// Where an address with a scheme, or with "www.", begins in a chunk.
pub(super) fn link_in(chunk: &str) -> Option<usize> {
    if let Some(middle) = chunk.find("://") {
        let scheme = chunk.as_bytes()[..middle].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
        return (scheme > 1 && chunk.len() > middle + 3).then_some(middle - scheme);
    }
    chunk.starts_with("www.").then_some(0)
}

/// What stands alone in backticks.
pub(super) fn quoted_code(inside: &str) -> Option<Literal> {
    let one = !inside.contains(char::is_whitespace) && inside.len() > 1;
    if !one || !inside.contains(char::is_alphabetic) || inside.starts_with(['"', '\'', '<', '[', '{']) {
        return None;
    }
    let kind = if link_in(inside) == Some(0) { EntityKind::Url } else { EntityKind::CodeSymbol };
    Some(sure(kind))
}

/// The literal that a chunk begins with, and its length in bytes.
pub(super) fn literal_at(chunk: &str) -> Option<(usize, Literal)> {
    if link_in(chunk) == Some(0) {
        return Some((link_length(chunk), sure(EntityKind::Url))).filter(|(length, _)| *length > 6);
    }
    match chunk.as_bytes().first()? {
        b'@' => return handle(chunk),
        b'#' => return hashtag(chunk),
        _ if !chunk.is_ascii() => return None,
        _ => {}
    }
    let core = core_of(chunk);
    if core.len() < 4 || !core.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let literal = if core.contains('@') { address(core) } else { path(core).or_else(|| symbol(core)) }?;
    Some((core.len(), literal))
}

/// The chunk without the signs that follow it, and without a possessive ending.
fn core_of(chunk: &str) -> &str {
    const AFTER: [char; 17] = ['.', ',', ';', ':', '!', '?', '"', '\'', '*', ']', '}', '>', '~', '=', '|', '&', '`'];
    let mut core = chunk.trim_end_matches(AFTER);
    while core.ends_with(')') && core.matches(')').count() > core.matches('(').count() {
        core = core[..core.len() - 1].trim_end_matches(AFTER);
        if core.len() + 16 < chunk.len() {
            break;
        }
    }
    core.strip_suffix("'s").unwrap_or(core)
}

/// The length of an address, without what ends the sentence or closes a bracket around it.
fn link_length(chunk: &str) -> usize {
    let end = chunk.find(['"', '<', '>', '”', '`', '|', '\\']).unwrap_or(chunk.len());
    let mut depth = 0i32;
    let mut length = end;
    for (at, sign) in chunk[..end].char_indices() {
        match sign {
            '(' => depth += 1,
            ')' if depth == 0 => {
                length = at;
                break;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    chunk[..length].trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', ']', '…', '_', '’']).len()
}

fn handle(chunk: &str) -> Option<(usize, Literal)> {
    let name = chunk[1..].find(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_')).unwrap_or(chunk.len() - 1);
    let (name, rest) = chunk[1..].split_at(name);
    let plain = name.len() > 1 && name.starts_with(|sign: char| sign.is_ascii_alphabetic());
    let decorator = rest.starts_with(['(', '/', '@']) || rest.starts_with('.') && rest.len() > 1;
    (plain && !decorator && !NO_HANDLES.contains(&name)).then_some((name.len() + 1, sure(EntityKind::Person)))
}

fn hashtag(chunk: &str) -> Option<(usize, Literal)> {
    let end = chunk[1..].find(|sign: char| !(sign.is_alphanumeric() || matches!(sign, '_' | '-')));
    let name = chunk[1..].get(..end.unwrap_or(chunk.len() - 1))?.trim_end_matches('-');
    let colour = matches!(name.len(), 3 | 6 | 8) && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let plain = name.chars().count() > 1 && name.starts_with(char::is_alphabetic);
    let directive = matches!(name, "include" | "define" | "ifdef" | "ifndef" | "endif" | "pragma");
    (plain && !colour && !directive).then_some((name.len() + 1, sure(EntityKind::Topic)))
}

fn address(core: &str) -> Option<Literal> {
    let (local, domain) = core.split_once('@')?;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    let (_, end) = domain.rsplit_once('.')?;
    let whole = !local.is_empty() && local.bytes().all(named) && domain.bytes().all(named);
    (whole && end.len() > 1 && end.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(sure(EntityKind::Url))
}

/// Paths, file names and bare domains.
fn path(core: &str) -> Option<Literal> {
    let bytes = core.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/@+:\\~%{}<>?=&".contains(byte);
    if !bytes.iter().all(plain) {
        return None;
    }
    if bytes[0].is_ascii_alphabetic() && bytes[1..].starts_with(b":\\") {
        return Some(sure(EntityKind::CodeSymbol));
    }
    let rooted = core.starts_with('/') && core[1..].starts_with(|sign: char| sign.is_ascii_alphanumeric());
    if rooted && core[1..].trim_end_matches('/').contains('/') {
        return Some(sure(EntityKind::CodeSymbol));
    }
    if ["./", "../", "~/"].iter().any(|lead| core.starts_with(lead)) {
        return Some(sure(EntityKind::CodeSymbol));
    }
    let (head, tail) = core.split_once('/').map_or((core, ""), |(head, tail)| (head, tail));
    let labelled = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    if let Some((name, end)) = head.rsplit_once('.') {
        let domain = DOMAINS.contains(&end) && name.len() > 1 && name.bytes().all(labelled);
        if domain && !(name.contains("..") || name.starts_with(['.', '-'])) {
            return Some(if tail.is_empty() { weak(EntityKind::Url) } else { sure(EntityKind::Url) });
        }
    }
    let last = core.rsplit('/').next().unwrap_or(core);
    let (stem, extension) = last.rsplit_once('.')?;
    let named = !stem.is_empty() && core.starts_with(|sign: char| sign.is_ascii_alphabetic() || "/.".contains(sign));
    let known = EXTENSIONS.contains(&extension) && !core.contains("..") && !core.contains([':', '?', '=', '&']);
    (named && known).then_some(weak(EntityKind::CodeSymbol))
}

/// Identifiers, calls, flags, error codes and tickets.
fn symbol(core: &str) -> Option<Literal> {
    const CODE: Literal = sure(EntityKind::CodeSymbol);
    if let Some(flag) = core.strip_prefix("--") {
        let plain = flag.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        return (flag.len() > 1 && plain && flag.as_bytes()[0].is_ascii_lowercase()).then_some(CODE);
    }
    if let Some(figures) = core.strip_prefix("0x") {
        return figures.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(CODE);
    }
    if is_error_code(core) {
        return Some(CODE);
    }
    if let Some((key, number)) = core.split_once('-').filter(|(key, _)| key.len() > 1) {
        let ticket = key.bytes().all(|byte| byte.is_ascii_uppercase()) && !NO_TICKETS.contains(&key);
        let counted = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        return (ticket && key.len() > 2 && counted).then_some(weak(EntityKind::CodeSymbol));
    }
    let (name, called) = core.strip_suffix("()").map_or((core, false), |name| (name, true));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let parts = || name.split("::").flat_map(|part| part.split('.'));
    if name.is_empty() || !parts().all(|part| !part.is_empty() && part.bytes().all(plain)) {
        return None;
    }
    if name.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    let snake = name.trim_matches('_').contains('_') && !name.contains("___");
    if called || snake || name.contains("::") {
        return Some(CODE);
    }
    if name.contains('.') {
        return None;
    }
    humps(name)
}

/// "E0502", "TS2345": a compiler's own numbers.
fn is_error_code(core: &str) -> bool {
    let figures = core.strip_prefix("TS").or_else(|| core.strip_prefix('E')).unwrap_or("");
    figures.len() == 4 && figures.bytes().all(|byte| byte.is_ascii_digit())
}

/// "getUserName", "NullPointerException". "DocuSign" is a brand: of two humps only those with a word of code count.
fn humps(name: &str) -> Option<Literal> {
    const ENDS: &[&str] = &[
        "Error",
        "Exception",
        "Manager",
        "Handler",
        "Service",
        "Config",
        "Controller",
        "Factory",
        "Builder",
        "Map",
        "List",
        "Set",
        "Provider",
        "Repository",
        "Listener",
        "Model",
        "View",
        "Component",
        "Schema",
        "Type",
        "Id",
        "Request",
        "Response",
        "Context",
        "Client",
        "Server",
        "Test",
        "Serializer",
        "Middleware",
        "Router",
        "Parser",
        "Interface",
        "Function",
        "Field",
        "Form",
        "Effect",
        "State",
        "Vectorizer",
        "Classifier",
        "Regressor",
    ];
    let bytes = name.as_bytes();
    let starts = bytes.windows(2).filter(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase()).count();
    let letters = bytes.iter().all(u8::is_ascii_alphanumeric) && bytes.last().is_some_and(u8::is_ascii_lowercase);
    if starts == 0 || !letters {
        return None;
    }
    let code = match bytes[0].is_ascii_lowercase() {
        // "iPhone" and "eBay" have one small letter; "getId" has more.
        true => bytes[1].is_ascii_lowercase(),
        false => starts > 1 || ENDS.iter().any(|end| name.ends_with(end)),
    };
    let surname = ["Mc", "Mac", "De", "La"].iter().any(|lead| name.starts_with(lead)) && starts == 1;
    (code && !surname).then_some(weak(EntityKind::CodeSymbol))
}
