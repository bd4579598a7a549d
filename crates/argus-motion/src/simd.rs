//! Runs a kernel with the widest vector instructions that the processor has.
//!
//! The kernels are plain loops over equal-length slices which the compiler turns into vector code by itself. Built for
//! any x86-64 they take about twice as long as with AVX2, so each is compiled a second time with it and chosen at run
//! time. Both give the same bytes: it is all integer arithmetic.

/// A piece of work that is worth compiling twice. `run` must be `#[inline(always)]`, and so must what it calls, or the
/// copy for wider vectors calls back into the narrow one.
pub(crate) trait Kernel {
    /// What it answers.
    type Output;
    /// Does the work.
    fn run(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

/// Runs `kernel` with AVX2 where it exists, else as compiled for the target.
#[inline]
pub(crate) fn widest<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        let has_all = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("lzcnt")
            && std::is_x86_feature_detected!("popcnt");
        if has_all {
            #[expect(
                unsafe_code,
                reason = "every feature that `run_avx2` names was found on this processor just now"
            )]
            return unsafe { run_avx2(kernel) };
        }
    }
    kernel.run()
}
