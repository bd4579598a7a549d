//! Fake vendors of vision models that speak each vendor's wire format, for tests.
