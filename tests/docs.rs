//! What the documentation says, held against the binary: every option with its example and default, and every
//! snippet of SQL and shell.

mod support;

mod docs {
    mod flags;
    mod help;
    mod manual;
    mod options;
    mod places;
    mod service;
    mod snippets;
}
