//! The cookie of a session. Its name has the port in it, for browsers send a host's cookies to every port, and two
//! PerfWatches behind two forwarded ports are both called localhost.

use std::time::Duration;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::access::Secret;

/// Browsers take a cookie of such a name from a host itself alone, and over TLS alone.
const HOST_PREFIX: &str = "__Host-";

/// Where cookies of browsers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Jar {
    /// Without the prefix.
    name: String,
    /// Whether the browser came over TLS. None: perhaps, for a proxy is in between.
    secure: Option<bool>,
}

impl Jar {
    /// That of a host as the browser names it.
    pub(crate) fn new(host: &Authority, secure: Option<bool>) -> Self {
        let port = host.port_u16().map(|port| format!("-{port}")).unwrap_or_default();
        Self { name: format!("perfwatch{port}"), secure }
    }

    /// The value of the cookie among a request's.
    pub(crate) fn find<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let with_prefix = format!("{HOST_PREFIX}{}", self.name);
        let value = |wanted: &str| {
            let cookies =
                headers.get_all(header::COOKIE).iter().filter_map(|all| all.to_str().ok());
            let pairs =
                cookies.flat_map(|all| all.split(';')).filter_map(|one| one.split_once('='));
            pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == wanted)
        };
        let found = match self.secure {
            Some(true) => value(&with_prefix),
            Some(false) => value(&self.name),
            None => value(&with_prefix).or_else(|| value(&self.name)),
        };
        found.map(|(_, value)| value)
    }

    /// What makes a browser keep a session, or with None forget it. `origin` is that of the page that asks.
    pub(crate) fn set(
        &self,
        session: Option<&Secret>,
        origin: Option<&str>,
    ) -> [(HeaderName, HeaderValue); 1] {
        let over_tls = || origin.is_some_and(|origin| origin.starts_with("https://"));
        let (prefix, secure) = match self.secure.unwrap_or_else(over_tls) {
            true => (HOST_PREFIX, "; Secure"),
            false => ("", ""),
        };
        let value = session.map_or("", Secret::reveal);
        let max_age = if session.is_some() { KEPT } else { Duration::ZERO }.as_secs();
        let cookie = format!(
            "{prefix}{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age}{secure}",
            self.name
        );
        // Digits, letters and what stands above.
        let mut value = HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        [(header::SET_COOKIE, value)]
    }
}

/// How long a browser keeps it: as long as a session may last at most.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(host: &str, secure: Option<bool>) -> Jar {
        Jar::new(&host.parse().unwrap(), secure)
    }

    fn set(jar: &Jar, origin: Option<&str>) -> String {
        let [(_, value)] = jar.set(Some(&"abc".to_owned().into()), origin);
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn over_tls_a_cookie_is_bound_to_its_host() {
        let plain = set(&jar("localhost:9909", Some(false)), Some("https://x"));
        assert_eq!(plain, "perfwatch-9909=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800");
        let secure = set(&jar("db1", Some(true)), None);
        assert_eq!(
            secure,
            "__Host-perfwatch=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800; Secure"
        );
        let proxied = jar("db1", None);
        assert!(set(&proxied, Some("https://db1")).ends_with("; Secure"));
        assert!(!set(&proxied, Some("http://db1")).contains("Secure"));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; perfwatch-9909=x; perfwatch-99=y".parse().unwrap());
        headers.append(header::COOKIE, "__Host-perfwatch-9909=z".parse().unwrap());
        for (secure, value) in [(Some(false), "x"), (Some(true), "z"), (None, "z")] {
            assert_eq!(jar("localhost:9909", secure).find(&headers), Some(value));
        }
        assert_eq!(jar("localhost:99", Some(false)).find(&headers), Some("y"));
        assert_eq!(jar("localhost", Some(false)).find(&headers), None);
    }
}
