//! Users made without the interface: by `argus-server user create`, for the demo, and the token for the first one.

use std::io::BufRead;

use argus_api::{ApiError, SignIn, sign_in};
use argus_core::user::{NewUser, Role};
use argus_core::{Clock, Secret, chain};
use argus_db::{DataDir, Database, DbError};
use argus_engine::SystemClock;
use tracing::warn;

use crate::config::Config;
use crate::{Failure, say, wire};

/// Most bytes of standard input that are read for a password.
const INPUT: u64 = 4096;

/// Makes a user, whose password is the first line of standard input, and prints the new id.
pub(crate) async fn create(config: &Config, username: &str, role: &str, email: Option<&str>) -> Result<(), Failure> {
    let refused = |message: String| Failure { code: 5, message };
    let role: Role = role.parse().map_err(|e: argus_core::Invalid| refused(format!("role {role:?} {}", e.reason)))?;
    let password = first_line(std::io::stdin().lock())?;
    let new = NewUser::check(username, Some(&password), email, role).map_err(|faults| refused(faults.to_string()))?;
    let dir = DataDir::open(&config.data_dir).map_err(wire::unusable)?;
    let db = wire::database(config, &dir).await?;
    let user = match sign_in::add_user(&db, new, &password, SystemClock.now()).await {
        Ok(user) => user,
        Err(ApiError::Db(taken @ DbError::Conflict { .. })) => return Err(refused(taken.to_string())),
        Err(e) => return Err(Failure::data(format!("the user cannot be stored: {}", chain(&e)))),
    };
    // A server that runs beside sees the user; the token on the disk is of no use any more.
    if let Err(e) = dir.setup_token_remove() {
        warn!("the file of the setup token cannot be removed: {}", chain(&e));
    }
    say(&user.id.to_string())
}

/// The first line, without its end.
fn first_line(input: impl BufRead) -> Result<Secret, Failure> {
    let mut line = String::new();
    let read = input.take(INPUT).read_line(&mut line);
    read.map_err(|e| Failure::usage(format!("the password cannot be read from standard input: {e}")))?;
    let line = line.strip_suffix('\n').map_or(line.as_str(), |l| l.strip_suffix('\r').unwrap_or(l));
    Ok(Secret::new(line))
}

/// What signing in needs. While there is no user, a token is made with which the first one is.
pub(crate) async fn sign_in(db: &Database, dir: &DataDir, demo: bool) -> Result<SignIn, Failure> {
    let unreadable = |e: DbError| Failure::data(format!("the users cannot be read: {}", chain(&e)));
    let mut sign_in = SignIn::new(dir.token_key().map_err(wire::unusable)?);
    // The demo brings its own user.
    if demo || db.user_exists().await.map_err(unreadable)? {
        dir.setup_token_remove().map_err(wire::unusable)?;
    } else {
        let token = sign_in::new_setup_token().map_err(|e| Failure::running(chain(&e)))?;
        sign_in.setup_file = Some(dir.setup_token_write(&token).map_err(wire::unusable)?);
        sign_in.setup_token = Some(token);
    }
    Ok(sign_in)
}

/// Makes the demo's admin and prints how to sign in.
pub(crate) async fn demo_admin(db: &Database, clock: &dyn Clock) -> Result<(), Failure> {
    let failed =
        |e: &(dyn std::error::Error + 'static)| Failure::running(format!("the demo cannot be set up: {}", chain(e)));
    let new = NewUser::check("demo", None, None, Role::Admin).map_err(|e| failed(&e))?;
    let password = sign_in::new_password(&new).map_err(|e| failed(&e))?;
    sign_in::add_user(db, new, &password, clock.now()).await.map_err(|e| failed(&e))?;
    say(&format!("login: demo / {}", password.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_as_it_is() {
        for (input, password) in
            [("pass word \n", "pass word "), ("pass\r\nmore\n", "pass"), ("pass", "pass"), ("\nsecond", ""), ("", "")]
        {
            assert_eq!(first_line(input.as_bytes()).unwrap().expose(), password, "{input:?}");
        }
        assert_eq!(first_line("x".repeat(9999).as_bytes()).unwrap().expose().len(), 4096);
    }
}
