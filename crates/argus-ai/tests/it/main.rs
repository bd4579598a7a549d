//! The registry against fake vendors that are real HTTP servers and speak each vendor's own language.

// `cfg(test)`, which always holds here, tells clippy that helpers beside the tests are tests, too.
#[cfg(test)]
mod describe;
#[cfg(test)]
mod resend;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
