//! Which listeners are let be, by how far what is said on them can be heard.

use std::net::SocketAddr;

/// What was said about it, in so many words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// `--no-auth`.
    pub(crate) no_auth: bool,
    /// `--insecure-plaintext`.
    pub(crate) insecure_plaintext: bool,
    /// `--behind-proxy`.
    pub(crate) behind_proxy: bool,
}

/// Says why not to listen there; an address of None is a UNIX socket.
pub(crate) fn refusal(address: Option<SocketAddr>, tls: bool, words: Words) -> Option<String> {
    // Who is not on this host cannot get there.
    let address = address.filter(|address| !address.ip().to_canonical().is_loopback())?;
    if words.no_auth {
        return Some(format!(
            "--no-auth lets everybody do everything, and {address} can be reached from other hosts: listen on a loopback address or a UNIX socket, or leave --no-auth away"
        ));
    }
    let said = tls || words.insecure_plaintext || words.behind_proxy;
    (!said).then(|| {
        format!(
            "{address} can be reached from other hosts, where passwords would be read on their way: give --tls-cert and --tls-key, or say --behind-proxy (something else speaks TLS) or --insecure-plaintext"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_is_encrypted_or_said_not_to_be() {
        let nothing = Words::default();
        let no_auth = Words { no_auth: true, ..nothing };
        let insecure = Words { insecure_plaintext: true, ..nothing };
        let proxied = Words { behind_proxy: true, ..nothing };
        let (loopback, public) = (
            ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"],
            ["0.0.0.0:1", "[::]:1", "10.0.0.7:1"],
        );
        for address in
            loopback.map(|address| Some(address.parse().unwrap())).into_iter().chain([None])
        {
            for words in [nothing, no_auth, insecure, proxied] {
                assert_eq!(refusal(address, false, words), None, "{address:?} {words:?}");
            }
        }
        for address in public.map(|address| Some(address.parse().unwrap())) {
            for (tls, words, allowed) in [
                (false, nothing, false),
                (true, nothing, true),
                (false, insecure, true),
                (false, proxied, true),
                (true, no_auth, false),
                (false, Words { no_auth: true, ..insecure }, false),
            ] {
                assert_eq!(
                    refusal(address, tls, words).is_none(),
                    allowed,
                    "{address:?} {words:?}"
                );
            }
        }
    }
}
