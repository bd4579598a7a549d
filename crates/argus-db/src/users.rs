//! Users. What must hold between them (a first one, a last admin) is decided in one transaction at a time.

use argus_core::user::{NewUser, Role, User, UserChange};
use argus_core::{Secret, Timestamp, UserId};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::conn::MultiBackend;
use crate::database::{Database, Tx};
use crate::error::{ConstraintExt, DbError};
use crate::page::{Page, offset, total};
use crate::schema::{session, user};
use crate::value::{fold, parse, text_opt, time_opt, us_opt};

pub(crate) const WHAT: &str = "user";

/// Any number that nobody else uses as an advisory lock.
const USERS_LOCK: i64 = 0x6172_6775_7300_0003;

/// Which users of the list; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// With one of these roles; empty: with any.
    pub roles: Vec<Role>,
    /// Active or not.
    pub is_active: Option<bool>,
}

/// A password as it is stored.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// Argon2id, as a PHC string.
    pub hash: Secret,
    /// When it ends, which makes it a temporary one that must be changed.
    pub expires_at: Option<Timestamp>,
}

/// What a password is checked against.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Whose they are.
    pub user: User,
    /// Argon2id, as a PHC string.
    pub hash: Secret,
    /// End of a temporary password.
    pub expires_at: Option<Timestamp>,
}

impl Credentials {
    /// Whether the user may sign in with the right password at `now`.
    #[must_use]
    pub fn are_valid(&self, now: Timestamp) -> bool {
        self.user.is_active && self.expires_at.is_none_or(|end| now < end)
    }
}

// Without `Debug`: it holds a hash.
#[derive(Queryable, Insertable)]
#[diesel(table_name = user, treat_none_as_default_value = false)]
pub(crate) struct UserRow {
    id: String,
    username: String,
    email: Option<String>,
    email_key: Option<String>,
    role: String,
    is_active: bool,
    password_hash: String,
    must_change_password: bool,
    password_expires_us: Option<i64>,
    created_us: i64,
    updated_us: i64,
    last_login_us: Option<i64>,
}

impl UserRow {
    pub(crate) fn user(self) -> Result<User, DbError> {
        self.credentials().map(|c| c.user)
    }

    fn credentials(self) -> Result<Credentials, DbError> {
        let user = User {
            id: parse(WHAT, &self.id)?,
            username: self.username,
            email: self.email,
            role: parse(WHAT, &self.role)?,
            is_active: self.is_active,
            must_change_password: self.must_change_password,
            created_at: Timestamp::from_micros(self.created_us),
            updated_at: Timestamp::from_micros(self.updated_us),
            last_login: time_opt(self.last_login_us),
        };
        Ok(Credentials { user, hash: Secret::new(self.password_hash), expires_at: time_opt(self.password_expires_us) })
    }

    fn new(new: &NewUser, id: UserId, password: &NewPassword, now: Timestamp) -> Self {
        Self {
            id: id.to_string(),
            username: new.username.to_string(),
            email: text_opt(new.email.as_ref()),
            email_key: new.email.as_ref().map(|e| fold(e.as_str())),
            role: new.role.to_string(),
            is_active: true,
            password_hash: password.hash.expose().to_owned(),
            must_change_password: password.expires_at.is_some(),
            password_expires_us: us_opt(password.expires_at),
            created_us: now.as_micros(),
            updated_us: now.as_micros(),
            last_login_us: None,
        }
    }
}

impl Tx<'_> {
    /// Lets one transaction at a time decide about users: PostgreSQL would run two side by side, each of which sees an
    /// admin that the other removes.
    fn lock_users(&mut self) -> Result<(), DbError> {
        if self.conn.is_postgres() {
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(USERS_LOCK).execute(self.conn)?;
        }
        Ok(())
    }

    fn user(&mut self, id: UserId) -> Result<Credentials, DbError> {
        let row: Option<UserRow> = user::table.find(id.to_string()).first(self.conn).optional()?;
        row.ok_or(DbError::NotFound { what: WHAT })?.credentials()
    }

    /// Refuses an address that another user has.
    fn email_free(&mut self, key: &str, of: Option<UserId>) -> Result<(), DbError> {
        let owner: Option<String> =
            user::table.filter(user::email_key.eq(key)).select(user::id).first(self.conn).optional()?;
        match owner {
            Some(owner) if text_opt(of) != Some(owner.clone()) => Err(DbError::Conflict { what: WHAT, field: "email" }),
            _ => Ok(()),
        }
    }

    fn user_add(&mut self, new: &NewUser, id: UserId, password: &NewPassword, now: Timestamp) -> Result<User, DbError> {
        let row = UserRow::new(new, id, password, now);
        if let Some(key) = &row.email_key {
            self.email_free(key, None)?;
        }
        diesel::insert_into(user::table).values(&row).execute(self.conn).unique(WHAT, "username")?;
        row.user()
    }

    /// Refuses to take away the last admin who can sign in.
    fn keep_an_admin(&mut self, without: &User) -> Result<(), DbError> {
        if without.role != Role::Admin || !without.is_active {
            return Ok(());
        }
        let others: i64 = user::table
            .filter(user::role.eq(Role::Admin.as_str()))
            .filter(user::is_active.eq(true))
            .filter(user::id.ne(without.id.to_string()))
            .count()
            .get_result(self.conn)?;
        if others == 0 { Err(DbError::LastAdmin) } else { Ok(()) }
    }

    /// Ends every session of a user.
    pub(crate) fn sessions_end(&mut self, id: UserId) -> Result<(), DbError> {
        diesel::delete(session::table.filter(session::user_id.eq(id.to_string()))).execute(self.conn)?;
        Ok(())
    }
}

impl Database {
    /// Whether there is any user.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn user_exists(&self) -> Result<bool, DbError> {
        self.read(|c| {
            let one: Option<String> = user::table.select(user::id).first(c).optional()?;
            Ok(one.is_some())
        })
        .await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` when the username or email is taken.
    pub async fn user_insert(
        &self,
        new: NewUser,
        id: UserId,
        password: NewPassword,
        now: Timestamp,
    ) -> Result<User, DbError> {
        self.write(move |tx| {
            tx.lock_users()?;
            tx.user_add(&new, id, &password, now)
        })
        .await
    }

    /// Adds the first user; `None` when there already is one. Of two at once one is the first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn user_insert_first(
        &self,
        new: NewUser,
        id: UserId,
        password: NewPassword,
        now: Timestamp,
    ) -> Result<Option<User>, DbError> {
        self.write(move |tx| {
            tx.lock_users()?;
            let one: Option<String> = user::table.select(user::id).first(tx.conn).optional()?;
            if one.is_some() { Ok(None) } else { tx.user_add(&new, id, &password, now).map(Some) }
        })
        .await
    }

    /// One user.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn user_get(&self, id: UserId) -> Result<User, DbError> {
        self.read(move |c| {
            let row: Option<UserRow> = user::table.find(id.to_string()).first(c).optional()?;
            row.ok_or(DbError::NotFound { what: WHAT })?.user()
        })
        .await
    }

    /// What a password of this user is checked against; `username` in lower case.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn user_credentials(&self, username: String) -> Result<Option<Credentials>, DbError> {
        // PostgreSQL refuses such a text, SQLite cuts it there: nobody has this name.
        if username.contains('\0') {
            return Ok(None);
        }
        self.read(move |c| {
            let row: Option<UserRow> = user::table.filter(user::username.eq(username)).first(c).optional()?;
            row.map(UserRow::credentials).transpose()
        })
        .await
    }

    /// A page of the users, oldest first.
    ///
    /// # Errors
    /// `Busy`, `Unavailable`.
    pub async fn user_list(&self, filter: UserFilter, page: u32, limit: u32) -> Result<Page<User>, DbError> {
        self.read_snapshot(move |c| {
            let matching = || {
                let mut query: user::BoxedQuery<'_, MultiBackend> = user::table.into_boxed();
                if !filter.roles.is_empty() {
                    query =
                        query.filter(user::role.eq_any(filter.roles.iter().map(|r| r.as_str()).collect::<Vec<_>>()));
                }
                if let Some(active) = filter.is_active {
                    query = query.filter(user::is_active.eq(active));
                }
                query
            };
            let count: i64 = matching().count().get_result(c)?;
            let rows: Vec<UserRow> = matching()
                .order((user::created_us.asc(), user::id.asc()))
                .limit(limit.into())
                .offset(offset(page, limit))
                .load(c)?;
            let items = rows.into_iter().map(UserRow::user).collect::<Result<_, _>>()?;
            Ok(Page { items, total: total(count), page, limit })
        })
        .await
    }

    /// Changes a user. Who may not sign in any more has no sessions.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the email is taken; `LastAdmin`.
    pub async fn user_change(&self, id: UserId, change: UserChange, now: Timestamp) -> Result<User, DbError> {
        self.write(move |tx| {
            tx.lock_users()?;
            let before = tx.user(id)?.user;
            let role = change.role.unwrap_or(before.role);
            let is_active = change.is_active.unwrap_or(before.is_active);
            if let Some(Some(email)) = &change.email {
                tx.email_free(&fold(email.as_str()), Some(id))?;
            }
            if role != Role::Admin || !is_active {
                tx.keep_an_admin(&before)?;
            }
            let email = match change.email {
                Some(email) => text_opt(email),
                None => before.email.clone(),
            };
            let after = User { email, role, is_active, ..before.clone() };
            if after == before {
                return Ok(before);
            }
            diesel::update(user::table.find(id.to_string()))
                .set((
                    user::email.eq(&after.email),
                    user::email_key.eq(after.email.as_deref().map(fold)),
                    user::role.eq(role.as_str()),
                    user::is_active.eq(is_active),
                    user::updated_us.eq(now.as_micros()),
                ))
                .execute(tx.conn)?;
            if !is_active {
                tx.sessions_end(id)?;
            }
            Ok(User { updated_at: now, ..after })
        })
        .await
    }

    /// Removes a user with their sessions.
    ///
    /// # Errors
    /// `NotFound`, `LastAdmin`.
    pub async fn user_delete(&self, id: UserId) -> Result<(), DbError> {
        self.write(move |tx| {
            tx.lock_users()?;
            let gone = tx.user(id)?.user;
            tx.keep_an_admin(&gone)?;
            diesel::delete(user::table.find(id.to_string())).execute(tx.conn)?;
            Ok(())
        })
        .await
    }

    /// Gives a user another password and ends all sessions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn user_password(&self, id: UserId, password: NewPassword, now: Timestamp) -> Result<User, DbError> {
        self.write(move |tx| {
            tx.user(id)?;
            tx.password_put(id, &password, now)?;
            tx.user(id).map(|c| c.user)
        })
        .await
    }
}

impl Tx<'_> {
    /// Stores a password and ends all sessions.
    pub(crate) fn password_put(&mut self, id: UserId, password: &NewPassword, now: Timestamp) -> Result<(), DbError> {
        diesel::update(user::table.find(id.to_string()))
            .set((
                user::password_hash.eq(password.hash.expose()),
                user::must_change_password.eq(password.expires_at.is_some()),
                user::password_expires_us.eq(us_opt(password.expires_at)),
                user::updated_us.eq(now.as_micros()),
            ))
            .execute(self.conn)?;
        self.sessions_end(id)
    }
}
