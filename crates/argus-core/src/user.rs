//! Users: people who sign in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::api_key::Scope;
use crate::names::names;
use crate::text::text;
use crate::{Faults, Invalid, Secret, Timestamp, UserId};

names! {
    /// What a user may do.
    Role {
        /// Everything.
        Admin = "admin",
        /// Sees everything and runs cameras.
        Operator = "operator",
        /// Sees events and cameras.
        Viewer = "viewer",
    }
}

impl Role {
    /// The permissions of this role, implied ones included.
    #[must_use]
    pub fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Admin => Scope::ALL,
            Self::Operator => &[Scope::ReadEvents, Scope::ReadCameras, Scope::WriteCameras],
            Self::Viewer => &[Scope::ReadEvents, Scope::ReadCameras],
        }
    }
}

/// A name to sign in with: 3..50 of `A–Z a–z 0–9 _ . -`, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Username {
    type Err = Invalid;

    fn from_str(given: &str) -> Result<Self, Invalid> {
        let name = given.trim();
        let bad = |reason: String| Invalid::new("username", reason);
        text(name, 3..=50).map_err(bad)?;
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(bad("has characters other than letters, digits, _ . and -".into()))
        }
    }
}

/// An address for mail: at most 254 characters with one `@`, kept as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Email {
    type Err = Invalid;

    fn from_str(given: &str) -> Result<Self, Invalid> {
        let address = given.trim();
        let bad = |reason: String| Invalid::new("email", reason);
        text(address, 1..=254).map_err(bad)?;
        match address.split_once('@') {
            Some((name, host)) if !name.is_empty() && !host.is_empty() && !host.contains('@') => {
                Ok(Self(address.to_owned()))
            }
            _ => Err(bad("is no address with one @".into())),
        }
    }
}

/// Shortest and longest password, characters.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 10..=256;

/// Checks a password that is to be set; the reason reads as the end of "this value …".
///
/// # Errors
/// `Invalid` when it is too short or too long, or contains the username.
pub fn password_check(field: &str, password: &Secret, username: Option<&Username>) -> Result<(), Invalid> {
    text(password.expose(), PASSWORD_LENGTH).map_err(|reason| Invalid::new(field, reason))?;
    let lower = password.expose().to_lowercase();
    match username {
        Some(name) if lower.contains(name.as_str()) => Err(Invalid::new(field, "contains the username")),
        _ => Ok(()),
    }
}

/// A user as shown; the password's hash never leaves the database layer with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// Names them.
    pub id: UserId,
    /// What they sign in with, in lower case.
    pub username: String,
    /// Where mail reaches them.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// False: cannot sign in.
    pub is_active: bool,
    /// True: nothing works until the password was changed.
    pub must_change_password: bool,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they were changed last.
    pub updated_at: Timestamp,
    /// When they signed in last.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub last_login: Option<Timestamp>,
}

/// A user to be added; the rules for names and passwords are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// What they sign in with.
    pub username: Username,
    /// Where mail reaches them.
    pub email: Option<Email>,
    /// What they may do.
    pub role: Role,
}

impl NewUser {
    /// Checks the rules, those of the password included when there is one.
    ///
    /// # Errors
    /// All faults found, each with its field.
    pub fn check(username: &str, password: Option<&Secret>, email: Option<&str>, role: Role) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let username = username.parse::<Username>().map_err(|fault| faults.0.push(fault)).ok();
        if let Some(Err(fault)) = password.map(|p| password_check("password", p, username.as_ref())) {
            faults.0.push(fault);
        }
        let email = email.map(str::parse::<Email>).transpose().map_err(|fault| faults.0.push(fault)).ok();
        match (username, email) {
            (Some(username), Some(email)) => faults.or(Self { username, email, role }),
            _ => Err(faults),
        }
    }
}

/// What is to be changed about a user; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Another address, or none.
    pub email: Option<Option<Email>>,
    /// Another role.
    pub role: Option<Role>,
    /// Whether they may sign in.
    pub is_active: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_short_plain_and_in_lower_case() {
        for (given, kept) in [("Ada", "ada"), (" a.b-c_9 ", "a.b-c_9"), (&"x".repeat(50), &*"x".repeat(50))] {
            assert_eq!(given.parse::<Username>().unwrap().as_str(), kept);
        }
        for bad in ["", "ab", &"x".repeat(51), "a b", "ädä", "ada@x", "a\0b", "ada/x", "  ab  "] {
            assert_eq!(bad.parse::<Username>().unwrap_err().field, "username", "{bad:?}");
        }
    }

    #[test]
    fn an_address_has_one_at() {
        let longest = format!("a@{}", "x".repeat(252));
        for good in ["Ada@Example.org", "a@b", longest.as_str()] {
            assert_eq!(good.parse::<Email>().unwrap().as_str(), good);
        }
        for bad in ["", "ada", "@", "a@", "@b", "a@b@c", &format!("a{longest}"), "a\0@b"] {
            assert_eq!(bad.parse::<Email>().unwrap_err().field, "email", "{bad:?}");
        }
    }

    #[test]
    fn passwords_have_a_length_and_not_the_name() {
        let ada: Username = "ada".parse().unwrap();
        let check = |p: &str| password_check("p", &Secret::new(p), Some(&ada)).is_ok();
        assert!(check("ööööööööö1") && check(&"x".repeat(256)) && check("          "));
        for bad in ["", "123456789", &"x".repeat(257), "my-ada-password", "my-ADA-password", "1234567890\0"] {
            assert!(!check(bad), "{bad:?}");
        }
        assert!(password_check("p", &Secret::new("my-ada-password"), None).is_ok());
    }

    #[test]
    fn a_new_user_names_every_fault() {
        let faults = NewUser::check("x", Some(&Secret::new("short")), Some("nowhere"), Role::Viewer).unwrap_err();
        let fields: Vec<_> = faults.0.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(fields, ["username", "password", "email"]);
        assert!(NewUser::check("ada", None, None, Role::Admin).is_ok());
        assert!(!format!("{:?}", faults).contains("short"));
    }

    #[test]
    fn roles_give_what_the_contract_says() {
        let has = |role: Role, scope| role.scopes().contains(&scope);
        assert!(Role::ALL.iter().all(|&r| has(r, Scope::ReadEvents) && has(r, Scope::ReadCameras)));
        assert!(has(Role::Operator, Scope::WriteCameras) && !has(Role::Viewer, Scope::WriteCameras));
        assert!(has(Role::Admin, Scope::Admin) && !has(Role::Operator, Scope::Admin));
    }
}
