//! Sessions: what one sign-in began, and the chain of refresh tokens that keeps it going. Only hashes of tokens are kept.

use argus_core::user::User;
use argus_core::{Secret, SessionId, Timestamp, UserId};
use diesel::prelude::*;

use crate::conn::DbConn;
use crate::database::{Database, Tx};
use crate::error::DbError;
use crate::page::{Page, offset, total};
use crate::schema::{refresh_token, session, user};
use crate::users::{NewPassword, UserRow};
use crate::value::{hex, parse, without_nul};

const WHAT: &str = "session";
/// Most sessions of a user; one more ends the longest idle.
const MOST: i64 = 10;

/// What one sign-in began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names it.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_active_at: Timestamp,
    /// When it ends unless it is refreshed.
    pub expires_at: Timestamp,
    /// Where it was last refreshed from.
    pub ip_address: Option<String>,
    /// By which program.
    pub user_agent: Option<String>,
}

/// A session to begin, or one to go on with.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Names it.
    pub id: SessionId,
    /// Where it comes from.
    pub ip_address: Option<String>,
    /// By which program.
    pub user_agent: Option<String>,
    /// Its first refresh token.
    pub refresh: NewRefresh,
}

/// A refresh token to hand out.
#[derive(Clone, Debug)]
pub struct NewRefresh {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A refresh token that somebody presents.
#[derive(Clone, Copy, Debug)]
pub struct Presented {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The session that it was made for, when it can be seen that it was made here and has not expired. Of such tokens
    /// only the newest of a session is stored: every other was replaced.
    pub of: Option<SessionId>,
}

/// What came of a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It was good and is replaced now.
    Good(Box<User>, SessionId),
    /// It had been replaced before: the session has ended.
    Reused(SessionId),
    /// It is none, has expired, or its user may not sign in.
    Unknown,
}

#[derive(Queryable, Insertable)]
#[diesel(table_name = session, treat_none_as_default_value = false)]
struct SessionRow {
    id: String,
    user_id: String,
    created_us: i64,
    last_active_us: i64,
    expires_us: i64,
    ip_address: Option<String>,
    user_agent: Option<String>,
}

impl SessionRow {
    fn session(self) -> Result<Session, DbError> {
        Ok(Session {
            id: parse(WHAT, &self.id)?,
            user_id: parse(WHAT, &self.user_id)?,
            created_at: Timestamp::from_micros(self.created_us),
            last_active_at: Timestamp::from_micros(self.last_active_us),
            expires_at: Timestamp::from_micros(self.expires_us),
            ip_address: self.ip_address,
            user_agent: self.user_agent,
        })
    }
}

#[derive(Queryable, Insertable)]
#[diesel(table_name = refresh_token, treat_none_as_default_value = false)]
struct RefreshRow {
    sha256: String,
    session_id: String,
    expires_us: i64,
    replaced_us: Option<i64>,
}

/// What is known of a token that was presented.
enum Known {
    /// It is stored, and the user of its session may sign in.
    Stored(Box<(RefreshRow, UserRow)>),
    /// It is not stored any more; its session goes on.
    Replaced(SessionId),
    Nothing,
}

fn known(c: &mut DbConn, presented: Presented, now: Timestamp) -> Result<Known, DbError> {
    let stored: Option<RefreshRow> = refresh_token::table.find(hex(&presented.sha256)).first(c).optional()?;
    let id = match (&stored, presented.of) {
        (Some(token), _) if token.expires_us <= now.as_micros() => return Ok(Known::Nothing),
        (Some(token), _) => token.session_id.clone(),
        (None, Some(of)) => of.to_string(),
        (None, None) => return Ok(Known::Nothing),
    };
    let owner: Option<UserRow> = session::table
        .inner_join(user::table.on(user::id.eq(session::user_id)))
        .filter(session::id.eq(&id))
        .filter(session::expires_us.gt(now.as_micros()))
        .filter(user::is_active.eq(true))
        .select(user::all_columns)
        .first(c)
        .optional()?;
    Ok(match (stored, owner) {
        (Some(token), Some(owner)) => Known::Stored(Box::new((token, owner))),
        (None, Some(_)) => Known::Replaced(parse(WHAT, &id)?),
        (_, None) => Known::Nothing,
    })
}

impl Tx<'_> {
    /// Begins a session of a user whose password still is the one that was checked.
    fn session_begin(
        &mut self,
        owner: UserId,
        checked: &Secret,
        new: &NewSession,
        now: Timestamp,
    ) -> Result<Option<User>, DbError> {
        // The update also makes the sign-ins of one user wait for each other, so that none miscounts the sessions.
        let signed_in = diesel::update(user::table.find(owner.to_string()))
            .filter(user::is_active.eq(true))
            .filter(user::password_hash.eq(checked.expose()))
            .set(user::last_login_us.eq(Some(now.as_micros())))
            .execute(self.conn)?;
        if signed_in == 0 {
            return Ok(None);
        }
        let own = || session::table.filter(session::user_id.eq(owner.to_string()));
        diesel::delete(own().filter(session::expires_us.le(now.as_micros()))).execute(self.conn)?;
        let count: i64 = own().count().get_result(self.conn)?;
        let longest_idle: Vec<String> = own()
            .order((session::last_active_us.asc(), session::id.asc()))
            .limit((count - MOST + 1).max(0))
            .select(session::id)
            .load(self.conn)?;
        diesel::delete(session::table.filter(session::id.eq_any(longest_idle))).execute(self.conn)?;
        let row = SessionRow {
            id: new.id.to_string(),
            user_id: owner.to_string(),
            created_us: now.as_micros(),
            last_active_us: now.as_micros(),
            expires_us: new.refresh.expires_at.as_micros(),
            ip_address: new.ip_address.clone(),
            user_agent: new.user_agent.clone().map(without_nul),
        };
        diesel::insert_into(session::table).values(&row).execute(self.conn)?;
        self.refresh_add(new.id, &new.refresh)?;
        let row: UserRow = user::table.find(owner.to_string()).first(self.conn)?;
        row.user().map(Some)
    }

    fn refresh_add(&mut self, id: SessionId, new: &NewRefresh) -> Result<(), DbError> {
        let row = RefreshRow {
            sha256: hex(&new.sha256),
            session_id: id.to_string(),
            expires_us: new.expires_at.as_micros(),
            replaced_us: None,
        };
        diesel::insert_into(refresh_token::table).values(&row).execute(self.conn)?;
        Ok(())
    }
}

impl Database {
    /// Begins a session. `checked` is the hash that the password was checked against: `None` when the user has another
    /// one meanwhile, or may not sign in any more. The longest idle session ends when there would be more than 10.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_open(
        &self,
        owner: UserId,
        checked: Secret,
        new: NewSession,
        now: Timestamp,
    ) -> Result<Option<User>, DbError> {
        self.write(move |tx| tx.session_begin(owner, &checked, &new, now)).await
    }

    /// Gives a user another password, ends all sessions and begins a new one; `None` as for [`Database::session_open`].
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_change_password(
        &self,
        owner: UserId,
        checked: Secret,
        password: NewPassword,
        new: NewSession,
        now: Timestamp,
    ) -> Result<Option<User>, DbError> {
        self.write(move |tx| {
            // Before anything else, so that what comes of the check is decided under the lock of the row.
            let same = diesel::update(user::table.find(owner.to_string()))
                .filter(user::is_active.eq(true))
                .filter(user::password_hash.eq(checked.expose()))
                .set(user::updated_us.eq(now.as_micros()))
                .execute(tx.conn)?;
            if same == 0 {
                return Ok(None);
            }
            tx.password_put(owner, &password, now)?;
            tx.session_begin(owner, &password.hash, &new, now)
        })
        .await
    }

    /// A session that has not ended, with its user, who may be disabled.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_get(&self, id: SessionId, now: Timestamp) -> Result<Option<(Session, User)>, DbError> {
        self.read(move |c| {
            let found: Option<(SessionRow, UserRow)> = session::table
                .inner_join(user::table.on(user::id.eq(session::user_id)))
                .filter(session::id.eq(id.to_string()))
                .filter(session::expires_us.gt(now.as_micros()))
                .select((session::all_columns, user::all_columns))
                .first(c)
                .optional()?;
            found.map(|(s, u)| Ok((s.session()?, u.user()?))).transpose()
        })
        .await
    }

    /// The session to which a refresh token belongs, also when the token was replaced.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_of_refresh(&self, presented: Presented, now: Timestamp) -> Result<Option<SessionId>, DbError> {
        self.read_snapshot(move |c| match known(c, presented, now)? {
            Known::Stored(stored) => parse(WHAT, &stored.0.session_id).map(Some),
            Known::Replaced(id) => Ok(Some(id)),
            Known::Nothing => Ok(None),
        })
        .await
    }

    /// Forgets sessions that have ended by their time, at most 500, with their tokens; tells how many.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn sessions_expire(&self, now: Timestamp) -> Result<usize, DbError> {
        self.write(move |tx| {
            let over = session::table.filter(session::expires_us.le(now.as_micros())).select(session::id).limit(500);
            let ids: Vec<String> = over.load(tx.conn)?;
            Ok(diesel::delete(session::table.filter(session::id.eq_any(ids))).execute(tx.conn)?)
        })
        .await
    }

    /// Replaces a refresh token. One that was replaced before ends its session; of two at once the second is such a one.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_refresh(
        &self,
        presented: Presented,
        next: NewRefresh,
        ip_address: Option<String>,
        user_agent: Option<String>,
        now: Timestamp,
    ) -> Result<Refreshed, DbError> {
        self.write(move |tx| {
            let (token, owner) = match known(tx.conn, presented, now)? {
                Known::Stored(stored) => *stored,
                Known::Replaced(id) => {
                    diesel::delete(session::table.find(id.to_string())).execute(tx.conn)?;
                    return Ok(Refreshed::Reused(id));
                }
                Known::Nothing => return Ok(Refreshed::Unknown),
            };
            let id: SessionId = parse(WHAT, &token.session_id)?;
            let newest = refresh_token::table.find(&token.sha256).filter(refresh_token::replaced_us.is_null());
            // One that can be recognised without its row leaves nothing behind, however often a session is refreshed.
            let replaced = if presented.of == Some(id) {
                diesel::delete(newest).execute(tx.conn)?
            } else {
                diesel::update(newest).set(refresh_token::replaced_us.eq(Some(now.as_micros()))).execute(tx.conn)?
            };
            if replaced == 0 {
                diesel::delete(session::table.find(&token.session_id)).execute(tx.conn)?;
                return Ok(Refreshed::Reused(id));
            }
            let of_session = refresh_token::table.filter(refresh_token::session_id.eq(&token.session_id));
            diesel::delete(of_session.filter(refresh_token::expires_us.le(now.as_micros()))).execute(tx.conn)?;
            let going_on = diesel::update(session::table.find(&token.session_id))
                .set((
                    session::last_active_us.eq(now.as_micros()),
                    session::expires_us.eq(next.expires_at.as_micros()),
                    session::ip_address.eq(ip_address),
                    session::user_agent.eq(user_agent.map(without_nul)),
                ))
                .execute(tx.conn)?;
            // It may have been ended between the two statements, by somebody else.
            if going_on == 0 {
                return Ok(Refreshed::Unknown);
            }
            tx.refresh_add(id, &next)?;
            Ok(Refreshed::Good(Box::new(owner.user()?), id))
        })
        .await
    }

    /// A page of a user's sessions, newest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_list(
        &self,
        owner: UserId,
        page: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page<Session>, DbError> {
        self.read_snapshot(move |c| {
            let own = || {
                let of_user = session::table.filter(session::user_id.eq(owner.to_string()));
                of_user.filter(session::expires_us.gt(now.as_micros()))
            };
            let count: i64 = own().count().get_result(c)?;
            let rows: Vec<SessionRow> = own()
                .order((session::created_us.desc(), session::id.desc()))
                .limit(limit.into())
                .offset(offset(page, limit))
                .load(c)?;
            let items = rows.into_iter().map(SessionRow::session).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// Ends one session of a user.
    ///
    /// # Errors
    /// `NotFound` when the user has no such session.
    pub async fn session_end(&self, owner: UserId, id: SessionId) -> Result<(), DbError> {
        self.write(move |tx| {
            let own = session::table.find(id.to_string()).filter(session::user_id.eq(owner.to_string()));
            match diesel::delete(own).execute(tx.conn)? {
                0 => Err(DbError::NotFound { what: WHAT }),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Ends these sessions, whosever they are; those that are gone are passed over.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn sessions_end(&self, ids: Vec<SessionId>) -> Result<(), DbError> {
        self.write(move |tx| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            diesel::delete(session::table.filter(session::id.eq_any(ids))).execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// Ends all sessions of a user but one.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_end_others(&self, owner: UserId, keep: SessionId) -> Result<(), DbError> {
        self.write(move |tx| {
            let own = session::table.filter(session::user_id.eq(owner.to_string()));
            diesel::delete(own.filter(session::id.ne(keep.to_string()))).execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// Writes down when sessions were used. Those that are gone are passed over.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn session_used(&self, mut batch: Vec<(SessionId, Timestamp)>) -> Result<(), DbError> {
        // In one order everywhere: two batches at once cannot wait for each other's rows.
        batch.sort_by_key(|(id, _)| *id);
        self.write(move |tx| {
            for (id, at) in batch {
                let older = session::table.find(id.to_string()).filter(session::last_active_us.lt(at.as_micros()));
                diesel::update(older).set(session::last_active_us.eq(at.as_micros())).execute(tx.conn)?;
            }
            Ok(())
        })
        .await
    }
}
