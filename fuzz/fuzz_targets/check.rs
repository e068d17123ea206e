//! Checks arbitrary text as a pipeline file and renders what is said of it: `cargo fuzz run check`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use omlsp::catalog::Catalog;
use omlsp::diagnostic::SourceMap;
use omlsp::options::Environment;
use omlsp::sql::add_source;

fuzz_target!(|text: &str| {
    let mut sources = SourceMap::default();
    add_source(&mut sources, "input.sql", text);
    let (catalog, faults) = Catalog::of_files(&sources);
    let checked = omlsp::plan::check(&catalog, &Environment::default(), faults).expect("the engine opens");
    sources.render(&checked.faults);
    sources.render_json(&checked.faults);
});
