//! Tells the linker which `malloc` is the one, where the program lies, and which functions belong side by side; makes
//! sure that OpenSSL is one for several threads.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    check_openssl();
    // DuckDB calls glibc's `malloc_trim`, whose object file defines `malloc` too. The first definition
    // wins, which is mimalloc's: libc is linked last.
    println!("cargo::rustc-link-arg=-Wl,-z,muldefs");
    // A program that may lie anywhere moves its own addresses into place when it starts: as a list of 4 MB, or of some
    // KB.
    println!("cargo::rustc-link-arg=-Wl,-z,pack-relative-relocs");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    if is_linked_by_default() {
        fix_addresses();
        order_functions();
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// Refuses an OpenSSL without locks: two connections of Kafka clients at the same time would destroy each other's memory.
fn check_openssl() {
    let Ok(include) = env::var("DEP_OPENSSL_INCLUDE") else {
        return;
    };
    let header = Path::new(&include).join("openssl/configuration.h");
    println!("cargo::rerun-if-changed={}", header.display());
    // The system's own may have its configuration elsewhere, and is made for everybody.
    let has_threads =
        fs::read_to_string(&header).map(|text| text.contains("define OPENSSL_THREADS"));
    assert!(
        has_threads.unwrap_or(true),
        "OpenSSL was built without threads ({}): `.cargo/config.toml` and `.cargo/openssl-perl` keep it from that; \
         after `cargo clean --release -p openssl-sys` it is built again",
        header.display()
    );
}

/// Says whether this is the target that we measure, with Rust's linker for it, LLD, unless somebody chose another.
fn is_linked_by_default() -> bool {
    let target = ["ARCH", "OS", "ENV"].map(|part| variable(&format!("CARGO_CFG_TARGET_{part}")));
    let chosen = !variable("RUSTC_LINKER").is_empty()
        || [
            "-fuse-ld",
            "linker=",
            "linker-features",
            "link-self-contained",
        ]
        .iter()
        .any(|choice| variable("CARGO_ENCODED_RUSTFLAGS").contains(choice));
    target == ["x86_64", "linux", "gnu"] && !chosen
}

/// Gives a static program its place, as Go's have theirs: to move the 3 MB of its tables takes a tenth of a start. Heap,
/// stacks and whatever is mapped still lie at random, and all of it does with the feature `pie`.
fn fix_addresses() {
    // `-static` would do, but brings code along that sorts all tables for unwinding at the first exception. Clang
    // refuses to take `-static-pie`, which Rust gives, back.
    let version = Command::new("cc").arg("--version").output();
    let is_wanted = variable("CARGO_FEATURE_PIE").is_empty()
        && variable("CARGO_CFG_TARGET_FEATURE").contains("crt-static");
    let is_gcc = version.is_ok_and(|version| {
        String::from_utf8_lossy(&version.stdout).contains("Free Software Foundation")
    });
    if is_wanted && is_gcc {
        // The tests in the documentation, for one, are linked dynamically.
        println!("cargo::rustc-link-arg-bins=-no-pie");
        println!("cargo::rustc-link-arg-bins=-Wl,-Bstatic,--no-dynamic-linker");
    }
}

/// Puts the functions that every pipeline runs together. They are a tenth of the program but lie all over it, and
/// the system maps whole neighbourhoods: that would be half of the memory of an idle pipeline. The list is made by
/// `just order`.
fn order_functions() {
    const LIST: &str = ".cargo/order.txt";
    println!("cargo::rerun-if-changed={LIST}");
    // Beside what is built: clones may share a target directory, and each may be gone when another one is linked.
    let copy = Path::new(&variable("OUT_DIR")).join("order.txt");
    fs::copy(LIST, &copy).expect("the list is part of the sources");
    println!(
        "cargo::rustc-link-arg=-Wl,--symbol-ordering-file={},--no-warn-symbol-ordering",
        copy.display()
    );
}
