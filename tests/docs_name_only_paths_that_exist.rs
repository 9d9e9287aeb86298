use std::{fs, path::Path};

/// Maps drift: every relative path that README and docs/ link to or name in backticks must exist.
#[test]
fn every_path_named_in_the_docs_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    documents.extend(fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let rooms = [
        "src/",
        "schemas/",
        "pipeline/",
        "processors/",
        "connectors/",
        "replay/",
        "tests/",
        "benches/",
        "docs/",
        "scripts/",
        "examples/",
    ];
    let mut checked = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        for link in links {
            assert!(document.parent().unwrap().join(link).exists(), "{} links to {link}", document.display());
            checked += 1;
        }
        let named = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| rooms.iter().any(|room| name.starts_with(room)) && !name.contains([' ', '*', '{']));
        for name in named {
            assert!(root.join(name).exists(), "{} names {name}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} paths found: is the search itself right?");
}
