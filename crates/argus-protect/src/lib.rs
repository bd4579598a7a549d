//! A client of UniFi Protect controllers.
