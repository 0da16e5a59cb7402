//! Who may ask for what: every route is here, and what is not here is not answered, but for the page's own files, which are
//! for everybody and are served where there is no route.

use axum::http::Method;

use crate::access::{Caller, Role, Scope};

/// What a caller must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nobody in particular.
    Nothing,
    /// Somebody who may see metrics: every user, every token.
    Scrape,
    /// Somebody who may see everything.
    Read,
    /// Somebody who may change everything.
    Admin,
    /// Somebody who logged in.
    Login,
}

/// A route.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) method: Method,
    /// As the router writes it.
    pub(crate) path: &'static str,
    pub(crate) need: Need,
}

const fn rule(method: Method, path: &'static str, need: Need) -> Rule {
    Rule { method, path, need }
}

/// Every route. HEAD is as GET.
pub(crate) const RULES: &[Rule] = &[
    rule(Method::GET, "/healthz", Need::Nothing),
    rule(Method::GET, "/metrics", Need::Scrape),
    rule(Method::GET, "/api/v1/session", Need::Nothing),
    rule(Method::POST, "/api/v1/session", Need::Nothing),
    rule(Method::DELETE, "/api/v1/session", Need::Nothing),
    rule(Method::POST, "/api/v1/setup", Need::Nothing),
    rule(Method::PUT, "/api/v1/account/password", Need::Login),
    rule(Method::GET, "/api/v1/tokens", Need::Admin),
    rule(Method::POST, "/api/v1/tokens", Need::Admin),
    rule(Method::DELETE, "/api/v1/tokens/{id}", Need::Admin),
    rule(Method::GET, "/api/v1/settings", Need::Read),
    rule(Method::PUT, "/api/v1/settings", Need::Admin),
    rule(Method::GET, "/api/v1/status", Need::Read),
    rule(Method::GET, "/api/v1/snapshot", Need::Read),
    rule(Method::GET, "/api/v1/live", Need::Read),
    rule(Method::GET, "/api/v1/catalog", Need::Read),
    rule(Method::GET, "/api/v1/series", Need::Read),
    rule(Method::GET, "/api/v1/compare", Need::Read),
    rule(Method::GET, "/api/v1/events", Need::Read),
    rule(Method::GET, "/api/v1/verdict", Need::Read),
];

/// The rules of a path.
pub(crate) fn rules(path: &str) -> impl Iterator<Item = &'static Rule> {
    RULES.iter().filter(move |rule| rule.path == path)
}

/// Whether a caller is what is needed.
pub(crate) fn may(caller: &Caller, need: Need) -> bool {
    match need {
        Need::Nothing => true,
        Need::Scrape => *caller != Caller::Nobody,
        Need::Read => match caller {
            Caller::Nobody => false,
            Caller::Anybody | Caller::User { .. } => true,
            Caller::Token { scope, .. } => matches!(scope, Scope::Read | Scope::Admin),
        },
        Need::Admin => match caller {
            Caller::Nobody => false,
            Caller::Anybody => true,
            Caller::User { role, .. } => *role == Role::Admin,
            Caller::Token { scope, .. } => *scope == Scope::Admin,
        },
        Need::Login => matches!(caller, Caller::User { .. }),
    }
}
