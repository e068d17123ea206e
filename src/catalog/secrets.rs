//! The values of `CREATE SECRET`: from the statement, the environment or a file.

use crate::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::options::{Environment, Options};
use crate::secret::{Secret, Secrets};
use crate::sql::{Definition, OptionValueKind};

/// The bytes of a secret file: keys and tokens are far smaller.
const FILE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Clone, Copy)]
enum Backend {
    Meta,
    Env,
    File,
}

/// Resolves every secret of a catalog but the unknown ones, noting what cannot be resolved.
///
/// Reads files for `backend = 'file'`; one trailing line break of a file is not part of its secret.
pub fn resolve_secrets(
    catalog: &Catalog,
    environment: &Environment,
    faults: &mut Vec<Diagnostic>,
) -> Secrets {
    let mut secrets = Secrets::default();
    // A placeholder keeps the options that use a faulty secret from failing too.
    for name in catalog.broken_names() {
        secrets.insert(name, Secret::new(""));
    }
    for entity in catalog.entities() {
        let Definition::Secret { options, value } = &entity.create.definition else {
            continue;
        };
        if catalog.unknown.contains(&entity.name().key()) {
            secrets.insert_unknown(&entity.name().name);
            continue;
        }
        let none = Secrets::default();
        let mut options = Options::new(options, environment, &none);
        let choices = [
            ("meta", Backend::Meta),
            ("env", Backend::Env),
            ("file", Backend::File),
        ];
        faults.extend(options.respell("backend"));
        let given = options.key_span("backend").is_some();
        let backend = options.one_of("backend", &choices);
        if !given {
            options.missing("backend");
        }
        let before = faults.len();
        faults.extend(options.finish());
        let text = match &value.kind {
            OptionValueKind::Text(text) | OptionValueKind::Bare(text) => {
                crate::options::replace_variables(text, value.span, environment)
            }
            OptionValueKind::Secret(_) => Err(Box::new(
                Diagnostic::new(value.span, "a secret cannot be another secret")
                    .help("write its value, variable name or path"),
            )),
        };
        let resolved = text.and_then(|text| {
            // Without a backend there is a fault already, and the value is not needed.
            resolve(backend.unwrap_or(Backend::Meta), &text, environment)
                .map_err(|message| Box::new(Diagnostic::new(value.span, message)))
        });
        let secret = match resolved {
            Ok(secret) => secret,
            Err(fault) => {
                if faults.len() == before {
                    faults.push(*fault);
                }
                Secret::new("")
            }
        };
        secrets.insert(&entity.name().name, secret);
    }
    secrets
}

fn resolve(backend: Backend, text: &str, environment: &Environment) -> Result<Secret, String> {
    match backend {
        Backend::Meta => Ok(Secret::new(text)),
        Backend::Env => environment
            .get(text)
            .map(Secret::new)
            .ok_or_else(|| format!("environment variable `{text}` is not set")),
        Backend::File => {
            let length = std::fs::metadata(text)
                .map_err(|error| format!("secret file `{text}` cannot be read: {error}"))?
                .len();
            if length > FILE_BYTES_MAX {
                return Err(format!(
                    "secret file `{text}` has {length} bytes, more than {FILE_BYTES_MAX}"
                ));
            }
            let content = std::fs::read_to_string(text)
                .map_err(|error| format!("secret file `{text}` cannot be read: {error}"))?;
            let line = content.strip_suffix('\n').unwrap_or(&content);
            Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
        }
    }
}
