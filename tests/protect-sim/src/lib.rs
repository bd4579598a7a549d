//! A fake UniFi Protect controller that real clients accept, for tests.
