//! What lets a stream go on once it is open.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::{Access, Caller};

/// What an open stream holds: whose it is, and whether that still counts.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    access: Arc<Access>,
    caller: Caller,
    ended: Receiver<()>,
}

impl Pass {
    pub(super) fn new(access: Arc<Access>, caller: Caller, ended: Receiver<()>) -> Self {
        Self { access, caller, ended }
    }

    /// Returns when anybody's session or token ended: [`Pass::is_valid`] says whether it was this one.
    pub(crate) async fn changed(&mut self) {
        // The sender lives as long as the access that is held here.
        let _ = self.ended.changed().await;
    }

    /// Whether it may go on. Counts as use of the session.
    pub(crate) fn is_valid(&self) -> bool {
        match &self.caller {
            Caller::Nobody => false,
            Caller::Anybody => true,
            Caller::User { session, .. } => self.access.state().session(*session) != Caller::Nobody,
            Caller::Token { id, .. } => {
                self.access.state().accounts.tokens.iter().any(|token| token.id == *id)
            }
        }
    }
}
