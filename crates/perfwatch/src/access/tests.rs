//! Who may, as the rest of the program asks for it.

use std::net::Ipv4Addr;

use super::*;

/// So many users with one password, and tries from so many sources.
const USERS: u32 = 20;
const TRIES: u32 = 200;

const PASSWORD: &str = "correct horse";

/// One user, `ada`, who is logged in.
async fn logged_in(data: &Path) -> (Arc<Access>, Caller) {
    let hash = hash_password(PASSWORD).unwrap();
    let add = |accounts: &mut Accounts| accounts.add_user("ada", Role::Admin, hash);
    AccountsFile::of(data).change(add).unwrap();
    let access = Access::start(data, false).unwrap();
    let login = access.log_in("ada", PASSWORD.to_owned().into(), Source::Local).await.unwrap();
    (access, login.caller)
}

#[tokio::test]
async fn who_knows_an_earlier_password_cannot_undo_a_later_one() {
    let data = tempfile::tempdir().unwrap();
    let (access, ada) = logged_in(data.path()).await;
    let passwords = (PASSWORD.to_owned().into(), "another horse".to_owned().into());
    let mut changing = Box::pin(access.change_password(&ada, passwords, Source::Local));
    // The password is being checked.
    tokio::select! {
        biased;
        changed = &mut changing => panic!("{changed:?}"),
        () = std::future::ready(()) => {}
    }
    let reset = hash_password("nobody knows").unwrap();
    let file = AccountsFile::of(data.path());
    file.change(|accounts| accounts.set_password("ada", reset.clone())).unwrap();
    assert!(matches!(changing.await, Err(Refused::Accounts(AccountsError::Superseded))));
    let Found::Accounts(accounts) = file.load().unwrap() else { panic!("there are accounts") };
    assert_eq!(accounts.user("ada").unwrap().hash.reveal(), reset.reveal());
}

#[tokio::test]
async fn accounts_whose_file_is_gone_are_not_overwritten_with_none() {
    let data = tempfile::tempdir().unwrap();
    let (access, ada) = logged_in(data.path()).await;
    std::fs::remove_file(AccountsFile::of(data.path()).path()).unwrap();
    access.make_token("x", Scope::Read, &ada, Source::Local).await.unwrap_err();
    assert!(!access.needs_setup());
    assert!(access.pass(ada).is_valid());
}

#[tokio::test]
async fn what_stays_open_is_told_when_something_ends_and_not_before() {
    let data = tempfile::tempdir().unwrap();
    let (access, ada) = logged_in(data.path()).await;
    let mut passes = Vec::new();
    for name in ["one", "two"] {
        let made = access.make_token(name, Scope::Read, &ada, Source::Local).await;
        let (secret, token) = made.unwrap();
        passes.push((access.pass(access.caller(Some(secret.reveal()), None)), token.id));
    }
    let [(mut one, id), (two, _)] = <[_; 2]>::try_from(passes).unwrap();
    let mut mine = access.pass(ada.clone());
    tokio::select! {
        biased;
        () = mine.changed() => panic!("nothing ended"),
        () = std::future::ready(()) => {}
    }
    access.remove_token(&id, &ada, Source::Local).await.unwrap();
    mine.changed().await;
    one.changed().await;
    assert_eq!([&one, &two, &mine].map(Pass::is_valid), [false, true, true]);
    access.log_out(&ada, Source::Local);
    mine.changed().await;
    assert_eq!([&two, &mine].map(Pass::is_valid), [true, false]);
}

#[tokio::test]
async fn what_is_in_the_header_of_programs_goes_before_a_cookie() {
    let data = tempfile::tempdir().unwrap();
    let (access, ada) = logged_in(data.path()).await;
    let login = access.log_in("ada", PASSWORD.to_owned().into(), Source::Local).await.unwrap();
    let cookie = Some(login.cookie.reveal());
    assert_eq!(access.caller(None, cookie).user(), Some("ada"));
    assert_eq!(access.caller(Some("pw_wrong"), cookie), Caller::Nobody);
    let (secret, made) = access.make_token("x", Scope::Admin, &ada, Source::Local).await.unwrap();
    let token = access.caller(Some(secret.reveal()), cookie);
    assert_eq!(token.name(), Some(format!("token {}", made.id)));
    // What is made with it goes as well when its owner goes.
    let (_, second) = access.make_token("y", Scope::Read, &token, Source::Local).await.unwrap();
    assert_eq!((made.owner.as_deref(), second.owner.as_deref()), (Some("ada"), Some("ada")));
}

#[tokio::test]
async fn a_user_who_is_not_there_is_refused_as_slowly_as_one_who_is() {
    let data = tempfile::tempdir().unwrap();
    let hash = hash_password("correct horse").unwrap();
    let add = |accounts: &mut Accounts| {
        (0..USERS).try_for_each(|number| {
            accounts.add_user(&format!("user {number}"), Role::Viewer, hash.clone())
        })
    };
    AccountsFile::of(data.path()).change(add).unwrap();
    let access = Access::start(data.path(), false).unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..TRIES {
        let is_known = number % 2 == 0;
        let of = if is_known { "user" } else { "nobody" };
        let user = format!("{of} {}", number / 2 % USERS);
        let source = Source::from(Some(Ipv4Addr::from(0x0a00_0000 + number).into()));
        let began = Instant::now();
        let refused = access.log_in(&user, "wrong password".to_owned().into(), source).await;
        assert!(matches!(refused, Err(Refused::Wrong)), "{user}: {refused:?}");
        times[usize::from(is_known)].push(began.elapsed());
    }
    let [unknown, known] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1000.0
    });
    println!("median of known {known:.2} ms, of unknown {unknown:.2} ms");
    assert!((0.8..=1.25).contains(&(known / unknown)), "{known} and {unknown} ms");
}
