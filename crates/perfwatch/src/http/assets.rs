//! The page: the files of `web/dist`, which are part of the binary.
//!
//! What has its content's hash in its name never changes and is kept by browsers for good. Any other path that is not of the
//! API is the page itself, which knows its own routes; a file under `/assets/` that is not there is not.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::error::Problem;

/// Where the files are whose names hold their content's hash.
const HASHED: &str = "/assets/";

/// The page itself.
const PAGE: &str = "/index.html";

/// What the page may do: run and load its own files, ask its own server, and nothing else. Scripts get no way to make markup
/// of text.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; \
     font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'",
);

/// One file, and itself compressed.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    raw: &'static [u8],
    br: Option<&'static [u8]>,
    gz: Option<&'static [u8]>,
    etag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Answers for every path that is no other route's.
pub(crate) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    if !matches!(method, Method::GET | Method::HEAD) || path.starts_with("/api/") {
        return nothing_here();
    }
    let file = |path: &str| ASSETS.iter().find(|asset| asset.path == path);
    // The page's routes are words. What looks like a file and is none is not the page.
    let is_route = !path.rsplit('/').next().unwrap_or_default().contains('.');
    match file(path).or_else(|| is_route.then(|| file(PAGE)).flatten()) {
        Some(asset) if !path.starts_with(HASHED) || asset.path == path => send(asset, &headers),
        _ => nothing_here(),
    }
}

fn nothing_here() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this path")
        .fix("the routes are / for people, and those that docs/openapi.json tells for programs")
        .into_response()
}

fn send(asset: &'static Asset, asked: &HeaderMap) -> Response {
    let hashed = asset.path.starts_with(HASHED);
    let caching = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::ETAG, HeaderValue::from_static(asset.etag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    let known = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == asset.etag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(asset.path)));
    let (body, encoding) = match (asset.br, asset.gz) {
        (Some(br), _) if takes(asked, "br") => (br, Some("br")),
        (_, Some(gz)) if takes(asked, "gzip") => (gz, Some("gzip")),
        _ => (asset.raw, None),
    };
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    (headers, body).into_response()
}

/// Whether the one who asks can read an encoding. `q=0` means that it cannot.
fn takes(asked: &HeaderMap, encoding: &str) -> bool {
    let values =
        asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        named && quality != Some(0.0)
    })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(path: &str, names: &[(header::HeaderName, &str)]) -> Response {
        let headers = names.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        page(Method::GET, path.parse().unwrap(), headers.collect()).await
    }

    fn text<'a>(response: &'a Response, name: &header::HeaderName) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn routes_are_the_page_and_files_are_themselves() {
        for route in ["/", "/index.html", "/cpu", "/explore", "/no/such"] {
            let page = ask(route, &[]).await;
            assert_eq!(page.status(), 200, "{route}");
            assert_eq!(text(&page, &header::CONTENT_TYPE), "text/html; charset=utf-8");
            assert_eq!(text(&page, &header::CACHE_CONTROL), "no-cache");
            assert!(
                text(&page, &header::CONTENT_SECURITY_POLICY).contains("require-trusted-types")
            );
        }
        for nothing in
            ["/assets/app.js", "/assets/", "/assets/x", "/api/v1/none", "/wp-login.php", "/.env"]
        {
            assert_eq!(ask(nothing, &[]).await.status(), 404, "{nothing}");
        }
        let hashed = ASSETS.iter().find(|asset| asset.path.starts_with(HASHED)).unwrap();
        let file = ask(hashed.path, &[]).await;
        assert_eq!(text(&file, &header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    }

    #[tokio::test]
    async fn the_smallest_that_can_be_read_is_sent_and_nothing_twice() {
        for (accepted, sent) in [
            ("gzip, deflate, br", "br"),
            ("GZIP", "gzip"),
            ("br;q=0, gzip;q=0.5", "gzip"),
            ("zstd", ""),
            ("br;q=0", ""),
        ] {
            let page = ask("/", &[(header::ACCEPT_ENCODING, accepted)]).await;
            assert_eq!(text(&page, &header::CONTENT_ENCODING), sent, "{accepted}");
        }
        let etag = text(&ask("/", &[]).await, &header::ETAG).to_owned();
        for (known, status) in [(etag.as_str(), 304), ("\"other\"", 200), ("", 200)] {
            assert_eq!(ask("/", &[(header::IF_NONE_MATCH, known)]).await.status(), status);
        }
    }
}
