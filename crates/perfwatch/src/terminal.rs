//! Names come from outside; a terminal obeys what it is shown.

/// Text from outside, made harmless to a terminal.
pub(crate) fn printable(text: &str) -> String {
    let escape = |character: char| {
        let escaped = character.is_control().then(|| character.escape_unicode());
        escaped.into_iter().flatten().chain((!character.is_control()).then_some(character))
    };
    text.chars().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_talks_to_the_terminal() {
        assert_eq!(printable("eth\x1b[2J0\n"), r"eth\u{1b}[2J0\u{a}");
    }
}
