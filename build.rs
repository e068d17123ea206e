//! Tells the linker that mimalloc's `malloc` is the one.

fn main() {
    // DuckDB calls glibc's `malloc_trim`, whose object file defines `malloc` too. The first definition
    // wins, which is mimalloc's: libc is linked last.
    println!("cargo::rustc-link-arg=-Wl,-z,muldefs");
    println!("cargo::rerun-if-changed=build.rs");
}
