//! Where a request was sent from and to, as its head says.
//!
//! A browser on this machine runs other people's pages. A page can make its own name resolve to 127.0.0.1 (DNS
//! rebinding) and then read what a local server says: hence the list of host names. It can send requests and open WebSockets
//! to anywhere, with this server's cookie if the browser is old: hence Origin and Sec-Fetch-Site.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::cookie::Jar;
use super::error::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Under which names this server is known, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// Names beside localhost: the host's own, and those that were set.
    pub(crate) names: Vec<String>,
    /// Whether browsers come through a proxy, which may speak TLS to them.
    pub(crate) behind_proxy: bool,
}

/// Refuses what was not sent to this server by its name, or by a page from elsewhere, and says where a browser has
/// its cookie. `is_page`: pages from elsewhere may link there.
pub(crate) fn from_here(
    request: &Request,
    tls: bool,
    site: &Site,
    is_page: bool,
) -> Result<Jar, Problem> {
    let host = host(request, site)?;
    let secure = if site.behind_proxy && !tls { None } else { Some(tls) };
    let headers = request.headers();
    let elsewhere = |detail: &str| {
        Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail)
            .fix("ask from a page of this server, or from a program with an API token"))
    };
    let is = |name, value| single(headers, name) == Some(value);
    let follows_link = is_page
        && request.method().is_safe()
        && is(SEC_FETCH_MODE, "navigate")
        && is(SEC_FETCH_DEST, "document");
    let told = headers.contains_key(SEC_FETCH_SITE);
    let is_same = is(SEC_FETCH_SITE, "same-origin") || is(SEC_FETCH_SITE, "none");
    if told && !is_same && !follows_link {
        return elsewhere("asked by a page from elsewhere");
    }
    let jar = Jar::new(&host, secure);
    if headers.contains_key(header::ORIGIN) {
        let origin = single(headers, header::ORIGIN).and_then(|origin| origin.split_once("://"));
        let same = origin.is_some_and(|(scheme, authority)| {
            let fits = match secure {
                Some(true) => scheme == "https",
                Some(false) => scheme == "http",
                None => scheme == "https" || scheme == "http",
            };
            fits && authority.eq_ignore_ascii_case(host.as_str())
        });
        if !same {
            return elsewhere("asked by a page from elsewhere");
        }
    } else {
        // Nothing but a browser keeps cookies, and a browser says where it is.
        let matters = !request.method().is_safe() || headers.contains_key(header::UPGRADE);
        if matters && !told && jar.find(headers).is_some() {
            return elsewhere("a cookie was sent without saying from which page");
        }
    }
    Ok(jar)
}

/// By which of its names this server is asked.
fn host(request: &Request, site: &Site) -> Result<Authority, Problem> {
    let host: Option<Authority> =
        single(request.headers(), header::HOST).and_then(|host| host.parse().ok());
    let host = host.filter(|host| is_ours(host, site));
    // A request line may name a host as well, as for a proxy.
    let other = request.uri().authority();
    host.filter(|host| other.is_none_or(|other| other == host)).ok_or_else(|| {
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host-not-allowed",
            "this server has another name",
        )
        .fix("ask for it by its address, by localhost, by the host's own name, or by one in http.allowed_hosts")
    })
}

/// The token that a program sends. One that is there and none of ours is nobody's.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .contains_key(header::AUTHORIZATION)
        .then(|| {
            let (scheme, token) =
                single(headers, header::AUTHORIZATION).and_then(|value| value.split_once(' '))?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        })?
        .or(Some(""))
}

/// The value of a header that must be there once.
pub(crate) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// An address cannot be rebound; names are those of this host, and those that were set.
fn is_ours(host: &Authority, site: &Site) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let host = host.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host);
    let known = ["localhost"].into_iter().chain(site.names.iter().map(String::as_str));
    bare.parse::<IpAddr>().is_ok()
        || known.into_iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse;

    use super::*;

    /// What a request is answered with: its method, page or not, and its headers, `name=value` by blanks; with `tls` or
    /// `proxy`, over TLS or through a proxy. 200: let through.
    fn check(method: &str, path: &str, with: &str) -> u16 {
        let mut request = Request::builder().method(method).uri(path);
        let mut site =
            Site { names: vec!["db1".into(), "db1.example".into()], behind_proxy: false };
        let mut tls = false;
        for one in with.split_whitespace() {
            match one.split_once('=') {
                None if one == "tls" => tls = true,
                None => site.behind_proxy = true,
                Some((name, value)) => request = request.header(name, value.replace('~', " ")),
            }
        }
        let request = request.body(Body::empty()).unwrap();
        let checked = from_here(&request, tls, &site, path == "/");
        checked.map_or_else(|problem| problem.into_response().status().as_u16(), |_| 200)
    }

    #[test]
    fn host_origin_and_fetch_metadata() {
        let navigation = "sec-fetch-mode=navigate sec-fetch-dest=document";
        let framed = "sec-fetch-mode=navigate sec-fetch-dest=iframe";
        let api = "/api/v1/settings";
        let cases: &[(&str, &str, &str, u16)] = &[
            // By which name.
            ("GET", api, "host=127.0.0.1:9909", 200),
            ("GET", api, "host=[::1]:9909", 200),
            ("GET", api, "host=10.0.0.7", 200),
            ("GET", api, "host=[fe80::1]", 200),
            ("GET", api, "host=localhost", 200),
            ("GET", api, "host=LOCALHOST:1", 200),
            ("GET", api, "host=localhost.:9909", 200),
            ("GET", api, "host=db1:9909", 200),
            ("GET", api, "host=DB1.example", 200),
            ("GET", api, "", 421),
            ("GET", api, "host=", 421),
            ("GET", api, "host=evil.example", 421),
            ("GET", api, "host=evil.example:9909", 421),
            ("GET", api, "host=127.0.0.1.evil.example", 421),
            ("GET", api, "host=localhost.evil.example", 421),
            ("GET", api, "host=notlocalhost", 421),
            ("GET", api, "host=db1.evil.example", 421),
            ("GET", api, "host=db11", 421),
            ("GET", api, "host=localhost..", 421),
            ("GET", api, "host=db1@evil.example", 421),
            ("GET", api, "host=evil@localhost", 421),
            ("GET", api, "host=localhost host=evil.example", 421),
            ("GET", api, "host=localhost host=localhost", 421),
            ("GET", api, "host=local~host", 421),
            ("GET", api, "host=127.0.0.1/", 421),
            ("GET", api, "host=2130706433", 421),
            ("GET", api, "host=0x7f.1", 421),
            ("GET", "http://evil.example/", "host=localhost", 421),
            ("GET", "http://localhost/", "host=localhost", 200),
            ("GET", "http://localhost:1/", "host=localhost", 421),
            // From which page.
            ("GET", api, "host=localhost:9909 origin=http://localhost:9909", 200),
            ("GET", api, "host=localhost:9909 origin=http://LOCALHOST:9909", 200),
            ("POST", api, "host=localhost:9909 origin=http://localhost:9909", 200),
            ("POST", api, "host=localhost:9909", 200),
            ("GET", api, "host=localhost:9909 origin=http://localhost:9910", 403),
            ("GET", api, "host=localhost:9909 origin=http://localhost", 403),
            ("GET", api, "host=localhost:9909 origin=http://127.0.0.1:9909", 403),
            ("GET", api, "host=localhost:9909 origin=https://localhost:9909", 403),
            ("GET", api, "host=localhost:9909 origin=http://evil.example", 403),
            ("GET", api, "host=localhost:9909 origin=http://localhost:9909.evil.example", 403),
            ("GET", api, "host=localhost:9909 origin=http://localhost:9909/", 403),
            ("GET", api, "host=localhost:9909 origin=http://evil@localhost:9909", 403),
            ("GET", api, "host=localhost:9909 origin=null", 403),
            ("GET", api, "host=localhost:9909 origin=", 403),
            ("GET", api, "host=localhost:9909 origin=file://", 403),
            ("GET", api, "host=localhost:9909 origin=ws://localhost:9909", 403),
            ("GET", api, "host=localhost:9909 origin=localhost:9909", 403),
            (
                "GET",
                api,
                "host=localhost:9909 origin=http://localhost:9909 origin=http://localhost:9909",
                403,
            ),
            ("GET", api, "tls host=db1 origin=https://db1", 200),
            ("GET", api, "tls host=db1 origin=http://db1", 403),
            ("GET", api, "proxy host=db1 origin=https://db1", 200),
            ("GET", api, "proxy host=db1 origin=http://db1", 200),
            ("GET", api, "proxy host=db1 origin=https://evil.example", 403),
            ("GET", "/", "host=localhost origin=http://evil.example", 403),
            // With a cookie.
            ("GET", api, "host=localhost:1 cookie=perfwatch-1=x", 200),
            ("POST", api, "host=localhost:1 cookie=perfwatch-1=x", 403),
            ("PUT", api, "host=localhost:1 cookie=perfwatch-1=x", 403),
            ("DELETE", api, "host=localhost:1 cookie=perfwatch-1=x", 403),
            ("GET", api, "host=localhost:1 cookie=perfwatch-1=x upgrade=websocket", 403),
            ("PUT", api, "host=localhost:1 cookie=perfwatch-1=x sec-fetch-site=same-origin", 200),
            ("PUT", api, "host=localhost:1 cookie=perfwatch-1=x sec-fetch-site=cross-site", 403),
            ("PUT", api, "host=localhost:1 cookie=perfwatch-1=x origin=http://localhost:1", 200),
            ("PUT", api, "host=localhost:1 cookie=perfwatch-2=x", 200),
            ("PUT", api, "tls host=db1 cookie=__Host-perfwatch=x", 403),
            (
                "GET",
                api,
                "host=localhost:1 cookie=perfwatch-1=x upgrade=websocket origin=http://localhost:1",
                200,
            ),
            // What the browser says of the page.
            ("GET", api, "host=localhost sec-fetch-site=none", 200),
            ("GET", api, "host=localhost sec-fetch-site=same-origin", 200),
            ("GET", api, "host=localhost sec-fetch-site=same-site", 403),
            ("GET", api, "host=localhost sec-fetch-site=cross-site", 403),
            ("GET", api, "host=localhost sec-fetch-site=cross-site origin=http://localhost", 403),
            ("GET", api, "host=localhost sec-fetch-site=new-word", 403),
            ("GET", api, "host=localhost sec-fetch-site=none sec-fetch-site=none", 403),
            ("POST", api, "host=localhost sec-fetch-site=none", 200),
            ("GET", "/", "host=localhost sec-fetch-site=cross-site", 403),
        ];
        for (method, path, with, status) in cases {
            assert_eq!(check(method, path, with), *status, "{method} {path} {with}");
        }
        for (method, path, how, status) in [
            ("GET", "/", navigation, 200),
            ("HEAD", "/", navigation, 200),
            ("POST", "/", navigation, 403),
            ("GET", "/", framed, 403),
            ("GET", api, navigation, 403),
            ("GET", api, framed, 403),
        ] {
            for from in ["cross-site", "same-site"] {
                let with = format!("host=localhost sec-fetch-site={from} {how}");
                assert_eq!(check(method, path, &with), status, "{method} {path} {with}");
            }
        }
    }
}
