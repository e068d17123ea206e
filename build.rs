//! Tells the linker which `malloc` is the one, and which functions belong side by side.

use std::path::Path;
use std::{env, fs};

fn main() {
    // DuckDB calls glibc's `malloc_trim`, whose object file defines `malloc` too. The first definition
    // wins, which is mimalloc's: libc is linked last.
    println!("cargo::rustc-link-arg=-Wl,-z,muldefs");
    // A static program moves its own addresses into place when it starts: as a list of 4 MB, or of some KB.
    println!("cargo::rustc-link-arg=-Wl,-z,pack-relative-relocs");
    println!("cargo::rerun-if-changed=build.rs");
    order_functions();
}

/// Puts the functions that every pipeline runs together. They are a tenth of the program but lie all over it, and
/// the system maps whole neighbourhoods: that would be half of the memory of an idle pipeline. The list is made by
/// `just order`.
fn order_functions() {
    const LIST: &str = ".cargo/order.txt";
    println!("cargo::rerun-if-changed={LIST}");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let target = ["ARCH", "OS", "ENV"].map(|part| variable(&format!("CARGO_CFG_TARGET_{part}")));
    // Rust's linker for this target is LLD, unless somebody chose another.
    let chosen = !variable("RUSTC_LINKER").is_empty()
        || ["-fuse-ld", "linker-features", "link-self-contained"]
            .iter()
            .any(|choice| variable("CARGO_ENCODED_RUSTFLAGS").contains(choice));
    if target != ["x86_64", "linux", "gnu"] || chosen {
        return;
    }
    // Beside what is built: clones may share a target directory, and each may be gone when another one is linked.
    let copy = Path::new(&variable("OUT_DIR")).join("order.txt");
    fs::copy(LIST, &copy).expect("the list is part of the sources");
    println!(
        "cargo::rustc-link-arg=-Wl,--symbol-ordering-file={},--no-warn-symbol-ordering",
        copy.display()
    );
}
