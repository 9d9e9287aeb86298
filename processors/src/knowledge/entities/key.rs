//! Keys: names without what writers do differently.
//!
//! Owns: folding of case, accents, punctuation, spaces and articles.
//! Never: folds an address, a code symbol or a quantity further than its spaces: there, each sign counts.

use super::EntityKind;

/// A name's key: for names of things in the world in small letters, without accents, punctuation and a leading "the".
pub fn normalised(kind: EntityKind, name: &str) -> String {
    match kind {
        EntityKind::Url => name.trim_end_matches('/').to_owned(),
        EntityKind::CodeSymbol => name.to_owned(),
        EntityKind::Quantity => name.to_lowercase(),
        _ => folded(name),
    }
}

fn folded(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    let mut gap = false;
    for letter in name.chars() {
        match letter {
            // "U.S." is "US", "O'Brien" is "OBrien".
            // Marks that stand after their letter go as those do that are one with it.
            '.' | '\'' | '’' | '\u{300}'..='\u{36f}' => {}
            // What tells "C++" from "C#" and from "C" stays.
            '+' | '#' | '&' => key.push(letter),
            _ if letter.is_alphanumeric() => {
                if gap && !key.is_empty() {
                    key.push(' ');
                }
                gap = false;
                letter.to_lowercase().for_each(|small| push_plain(&mut key, small));
            }
            _ => gap = true,
        }
    }
    match key.strip_prefix("the ") {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => key,
    }
}

/// Latin letters without their marks.
fn push_plain(key: &mut String, letter: char) {
    let plain = match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return key.push(letter),
    };
    key.push_str(plain);
}
