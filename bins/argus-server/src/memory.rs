//! The habits of the allocator.

/// Keeps glibc from giving every thread an arena of its own.
///
/// Each pipeline brings threads, which come and go with the cameras, and what they leave behind in eight arenas a core is
/// not used again for long: eight cameras started and stopped twenty times kept 30 MiB more than after the first round,
/// with two arenas a third of that. Must run before the first thread is made.
pub(crate) fn few_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "mallopt(3) takes two numbers and touches no memory of ours")]
        // Refused, nothing but memory is lost.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
    }
}
