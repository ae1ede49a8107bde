//! Memory that was freed goes back to the system, so that a server that was busy does not keep the
//! most it ever needed: memory of this program's allocator, and of the C library's, which SQLite
//! uses.

#![expect(unsafe_code, reason = "functions of the allocators that have no safe form")]

/// The allocator's option for how many milliseconds it keeps memory that was freed, by its number
/// in the list of options of mimalloc 3.3. There is no name for it here; the black-box test of
/// memory fails where the number is another's.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// From now on the program's allocator gives back at once, and not after a second in which the
/// thread that had the memory allocates again.
pub fn give_back_at_once() {
    // SAFETY: it takes two integers, and any thread may call it at any time.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}

/// Has the C library give back what SQLite has freed. It looks through all it has: for when there
/// is nothing else to do.
pub(crate) fn give_back_of_c() {
    // SAFETY: it takes an integer, and any thread may call it at any time.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}
