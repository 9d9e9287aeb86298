//! Markup: Slack's text with its references resolved.
//!
//! `<@U1>` becomes `@Ada`, `<#C1|general>` becomes `#general`, `<https://a.example|a page>` becomes
//! `a page (https://a.example)`, and the three escaped characters are themselves. What is bold stays `*bold*`.

use super::names::Names;

/// The text as people read it.
pub(super) fn plain(text: &str, names: &Names) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, after) = rest.split_at(start);
        plain.push_str(before);
        let Some(end) = after.find('>') else {
            plain.push_str(after);
            return unescaped(&plain);
        };
        plain.push_str(&reference(&after[1..end], names));
        rest = &after[end + 1..];
    }
    plain.push_str(rest);
    unescaped(&plain)
}

fn reference(inner: &str, names: &Names) -> String {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) if !label.is_empty() => (target, Some(label)),
        Some((target, _)) => (target, None),
        None => (inner, None),
    };
    if let Some(id) = target.strip_prefix('@') {
        return format!("@{}", names.person(id).or(label).unwrap_or(id));
    }
    if let Some(id) = target.strip_prefix('#') {
        return format!("#{}", label.or(names.channel_name(id)).unwrap_or(id));
    }
    if let Some(special) = target.strip_prefix('!') {
        // Groups, dates and the like carry what they show behind a bar.
        let shown = label.unwrap_or_else(|| special.split('^').next().unwrap_or(special));
        return if shown.starts_with('@') || special.starts_with("date") {
            shown.to_owned()
        } else {
            format!("@{shown}")
        };
    }
    match label {
        Some(label) if label != target => format!("{label} ({target})"),
        _ => target.to_owned(),
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_and_other_text_stays() {
        let names = Names::default();
        for (text, expected) in [
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("<@U1|ada> see <#C1|general>", "@ada see #general"),
            ("<@U9>", "@U9"),
            ("<https://a.example|a page> and <https://b.example>", "a page (https://a.example) and https://b.example"),
            ("<!here> <!subteam^S1|@team> <!date^1^{date}|Monday>", "@here @team Monday"),
            ("1 < 2", "1 < 2"),
            ("&amp;lt;", "&lt;"),
        ] {
            assert_eq!(plain(text, &names), expected, "{text}");
        }
    }
}
