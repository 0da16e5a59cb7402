//! The documents say what is so.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Everything below a directory that is Rust.
fn sources(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_shows_a_promise_is_there() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = fs::read_to_string(project.join("docs/reliability.md")).unwrap();
    let mut code = String::new();
    sources(&project.join("crates"), &mut code);
    let is_name = |text: &&str| {
        text.contains('_') && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
    };
    let named: BTreeSet<&str> = document.split('`').skip(1).step_by(2).filter(is_name).collect();
    let missing: Vec<&&str> =
        named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(named.len() > 100, "{} names", named.len());
    assert!(missing.is_empty(), "no such tests: {missing:?}");
    for (file, _) in document.split('`').filter_map(|text| text.split_once(".spec.ts")) {
        assert!(project.join(format!("{file}.spec.ts")).exists(), "{file}");
    }
}
