//! The engine with cameras and describers that obey the test.

// `cfg(test)`, which always holds here, tells clippy that helpers beside the tests are tests, too.
#[cfg(test)]
mod accounts;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod console;
#[cfg(test)]
mod controllers;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod describer;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod media;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod reanalysis;
#[cfg(test)]
mod reuse;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod stage;
