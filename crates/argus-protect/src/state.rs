//! How a connection is doing as a whole, out of how its two interfaces are doing.

use argus_core::Timestamp;
use argus_core::controller::{ControllerFeatures, ControllerState, ControllerStatus};

use crate::ProtectError;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    Local,
    Official,
}

impl Interface {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Official => "integration",
        }
    }
}

/// How an interface is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// First try.
    Connecting,
    /// Its stream is open.
    Up,
    /// Lost, being tried again soon.
    Down(ProtectError),
    /// A person must mend it.
    Refused(ProtectError),
}

/// Both, and what is remembered.
#[derive(Debug)]
pub(crate) struct Standing {
    local: Option<Side>,
    official: Option<Side>,
    features: ControllerFeatures,
    last_connected_at: Option<Timestamp>,
    /// Since when the integration interface is up without a break.
    official_since: Option<Timestamp>,
    pub(crate) version: Option<String>,
}

impl Standing {
    pub(crate) fn new(local: bool, official: bool, features: ControllerFeatures) -> Self {
        Self {
            local: local.then_some(Side::Connecting),
            official: official.then_some(Side::Connecting),
            features,
            last_connected_at: None,
            official_since: None,
            version: None,
        }
    }

    pub(crate) fn side(&self, interface: Interface) -> Option<&Side> {
        match interface {
            Interface::Local => self.local.as_ref(),
            Interface::Official => self.official.as_ref(),
        }
    }

    pub(crate) fn is_up(&self, interface: Interface) -> bool {
        self.side(interface) == Some(&Side::Up)
    }

    pub(crate) fn set(&mut self, interface: Interface, side: Side, now: Timestamp) {
        // "The last time it was connected" is the moment of the loss, too.
        if side == Side::Up || self.is_up(interface) {
            self.last_connected_at = Some(now);
        }
        match interface {
            Interface::Local => self.local = Some(side),
            Interface::Official => {
                self.official_since = (side == Side::Up).then(|| self.official_since.unwrap_or(now));
                self.official = Some(side);
            }
        }
    }

    /// Whether the integration interface told everything since then.
    pub(crate) fn official_covers(&self, from: Timestamp) -> bool {
        self.official_since.is_some_and(|since| since <= from)
    }

    /// What is possible with the credentials that are not refused.
    fn features(&self) -> ControllerFeatures {
        let local_refused = matches!(self.local, Some(Side::Refused(_)));
        ControllerFeatures { clips: self.features.clips && !local_refused, ..self.features }
    }

    pub(crate) fn state(&self) -> ControllerState {
        let (local, official) = (self.is_up(Interface::Local), self.is_up(Interface::Official));
        let interfaces = match (local, official) {
            (true, true) => Some("local+integration"),
            (true, false) => Some("local"),
            (false, true) => Some("integration"),
            (false, false) => None,
        };
        let sides = || [&self.local, &self.official].into_iter().flatten();
        let down = sides().find_map(|s| if let Side::Down(e) = s { Some(e) } else { None });
        let refused = sides().find_map(|s| if let Side::Refused(e) = s { Some(e) } else { None });
        let trying = sides().any(|s| matches!(s, Side::Connecting));
        let (status, error) = match (interfaces, down, refused) {
            // The other one works; what a person must mend is said all the same.
            (Some(_), _, refused) => (ControllerStatus::Connected, refused),
            (None, Some(down), _) => (ControllerStatus::Reconnecting, Some(down)),
            (None, None, refused) if trying => (ControllerStatus::Connecting, refused),
            (None, None, Some(refused)) => (ControllerStatus::Error, Some(refused)),
            (None, None, None) => (ControllerStatus::Connecting, None),
        };
        ControllerState {
            status,
            last_connected_at: self.last_connected_at,
            last_message_at: None,
            last_error: error.map(ToString::to_string),
            last_error_kind: error.and_then(ProtectError::fault),
            locked_until: None,
            firmware_version: self.version.clone(),
            features: self.features(),
            interfaces,
            malformed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::controller::ControllerFault;

    use super::*;

    fn check(local: Option<Side>, official: Option<Side>, status: ControllerStatus, kind: Option<ControllerFault>) {
        let mut s = Standing::new(local.is_some(), official.is_some(), ControllerFeatures::default());
        let now = Timestamp::from_millis(5);
        for (interface, side) in [(Interface::Local, local), (Interface::Official, official)] {
            if let Some(side) = side {
                s.set(interface, side, now);
            }
        }
        let state = s.state();
        assert_eq!((state.status, state.last_error_kind), (status, kind), "{s:?}");
        assert_eq!(state.last_error.is_some(), kind.is_some());
    }

    #[test]
    fn only_an_unbroken_stream_covers() {
        let mut s = Standing::new(true, true, ControllerFeatures::default());
        let at = Timestamp::from_millis;
        s.set(Interface::Official, Side::Up, at(5));
        s.set(Interface::Official, Side::Up, at(8));
        assert_eq!([4, 5, 6].map(|ms| s.official_covers(at(ms))), [false, true, true]);
        s.set(Interface::Official, Side::Down(ProtectError::Timeout("x".into())), at(10));
        assert!(!s.official_covers(at(11)));
        s.set(Interface::Official, Side::Up, at(12));
        assert!(!s.official_covers(at(6)) && s.official_covers(at(13)));
    }

    #[test]
    fn a_refused_account_gives_no_clips_until_it_is_not() {
        let all = ControllerFeatures { events: true, snapshots: true, clips: true };
        let mut s = Standing::new(true, true, all);
        let now = Timestamp::from_millis(5);
        s.set(Interface::Official, Side::Up, now);
        assert_eq!(s.state().features, all, "nobody refused anything yet");
        s.set(Interface::Local, Side::Refused(ProtectError::Unauthorized("y".into())), now);
        assert_eq!(s.state().features, ControllerFeatures { clips: false, ..all });
        s.set(Interface::Local, Side::Down(ProtectError::Timeout("x".into())), now);
        assert!(s.state().features.clips, "it is only away");
        s.set(Interface::Local, Side::Up, now);
        assert_eq!(s.state().features, all);
    }

    #[test]
    fn the_better_interface_decides() {
        use ControllerStatus::{Connected, Connecting, Error, Reconnecting};
        let down = || Some(Side::Down(ProtectError::Timeout("x".into())));
        let refused = || Some(Side::Refused(ProtectError::Unauthorized("y".into())));
        let (timeout, unauthorized) = (Some(ControllerFault::Timeout), Some(ControllerFault::Unauthorized));
        check(Some(Side::Connecting), None, Connecting, None);
        check(Some(Side::Up), refused(), Connected, unauthorized);
        check(refused(), Some(Side::Up), Connected, unauthorized);
        check(Some(Side::Up), Some(Side::Up), Connected, None);
        check(down(), Some(Side::Up), Connected, None);
        check(down(), refused(), Reconnecting, timeout);
        check(refused(), Some(Side::Connecting), Connecting, unauthorized);
        check(refused(), refused(), Error, unauthorized);
        check(None, refused(), Error, unauthorized);
    }
}
