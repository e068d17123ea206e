//! Secrets that statements created, encrypted for the state: ChaCha20-Poly1305 (RFC 8439).
//!
//! The key is `OMLSP_SECRET_KEY`: 32 bytes as base64 or hex, or any other text as a passphrase. Without it,
//! a key file in the state directory, readable by its owner alone, made when the first secret is kept.

use std::collections::HashMap;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::pbkdf2;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::options::Environment;
use crate::secret::Secret;

const VARIABLE: &str = "OMLSP_SECRET_KEY";

/// The name of the key file in the state directory.
const KEY_FILE: &str = "secret.key";

const KEY_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// Rounds of PBKDF2-HMAC-SHA256 (OWASP Password Storage Cheat Sheet, 2023).
const ROUNDS: NonZeroU32 = NonZeroU32::new(600_000).expect("it is not zero");

/// What stands first in a kept value: how it is written, for versions to come.
const FORM: &str = "1";

type Key = [u8; KEY_BYTES];

/// Encrypts and decrypts the secrets of one state directory.
pub struct Vault {
    key_file: PathBuf,
    variable: Option<Secret>,
    /// The keys made of the passphrase so far, by salt: each takes a while.
    derived: Mutex<HashMap<Vec<u8>, Key>>,
}

impl Vault {
    pub fn new(state_dir: &Path, environment: &Environment) -> Self {
        let variable = environment.get(VARIABLE).filter(|text| !text.is_empty());
        Self {
            key_file: state_dir.join(KEY_FILE),
            variable: variable.map(Secret::new),
            derived: Mutex::default(),
        }
    }

    /// Encrypts a value so that only [`Vault::open`] under the same name reads it.
    ///
    /// # Errors
    /// The key file cannot be made or read, or the system has no randomness.
    pub fn seal(&self, name: &str, value: &str) -> anyhow::Result<String> {
        let random = SystemRandom::new();
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| no_randomness())?;
        let (key, salt) = match &self.variable {
            None => (self.file_key(MissingKey::Make)?, Vec::new()),
            Some(text) => match key_of(text.expose()) {
                Some(key) => (key, Vec::new()),
                None => {
                    let salt = self.salt(&random)?;
                    (self.derive(text, &salt), salt)
                }
            },
        };
        let mut bytes = value.as_bytes().to_vec();
        cipher(&key)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.to_lowercase()),
                &mut bytes,
            )
            .map_err(|_| anyhow::anyhow!("the value is too long to be encrypted"))?;
        Ok(format!(
            "{FORM}.{}.{}.{}",
            hex(&salt),
            hex(&nonce),
            hex(&bytes)
        ))
    }

    /// Decrypts what [`Vault::seal`] made.
    ///
    /// # Errors
    /// The key is not the one it was sealed with, or the text was changed.
    pub fn open(&self, name: &str, sealed: &str) -> anyhow::Result<Secret> {
        let parts: Vec<&str> = sealed.split('.').collect();
        let [FORM, salt, nonce, bytes] = parts.as_slice() else {
            bail!("secret `{name}` is kept in a form that this omlsp does not know");
        };
        let parts = (unhex(salt), unhex(nonce), unhex(bytes));
        let (Some(salt), Some(nonce), Some(mut bytes)) = parts else {
            bail!("secret `{name}` is damaged");
        };
        let key = match &self.variable {
            None if salt.is_empty() => self.file_key(MissingKey::Refuse)?,
            None => bail!("secret `{name}` was kept with a passphrase: set {VARIABLE}"),
            Some(text) => match key_of(text.expose()) {
                Some(key) => key,
                None => self.derive(text, &salt),
            },
        };
        let nonce = Nonce::try_assume_unique_for_key(&nonce)
            .map_err(|_| anyhow::anyhow!("secret `{name}` is damaged"))?;
        let clear = cipher(&key)?
            .open_in_place(nonce, Aad::from(name.to_lowercase()), &mut bytes)
            .map_err(|_| self.wrong_key(name))?;
        Ok(Secret::new(String::from_utf8(clear.to_vec())?))
    }

    fn wrong_key(&self, name: &str) -> anyhow::Error {
        let key = match self.variable {
            Some(_) => VARIABLE.to_owned(),
            None => format!("`{}`", self.key_file.display()),
        };
        anyhow::anyhow!("secret `{name}` was kept with another key than that of {key}")
    }

    /// Returns the salt used before, so that one passphrase is stretched once.
    fn salt(&self, random: &SystemRandom) -> anyhow::Result<Vec<u8>> {
        let derived = self
            .derived
            .lock()
            .expect("no panic happens under this lock");
        if let Some(salt) = derived.keys().next() {
            return Ok(salt.clone());
        }
        let mut salt = vec![0; SALT_BYTES];
        random.fill(&mut salt).map_err(|_| no_randomness())?;
        Ok(salt)
    }

    fn derive(&self, passphrase: &Secret, salt: &[u8]) -> Key {
        let mut derived = self
            .derived
            .lock()
            .expect("no panic happens under this lock");
        *derived.entry(salt.to_vec()).or_insert_with(|| {
            let mut key = [0; KEY_BYTES];
            let text = passphrase.expose().as_bytes();
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, text, &mut key);
            key
        })
    }

    fn file_key(&self, missing: MissingKey) -> anyhow::Result<Key> {
        let path = self.key_file.display();
        match (std::fs::read_to_string(&self.key_file), missing) {
            (Ok(text), _) => {
                key_of(text.trim()).with_context(|| format!("`{path}` does not hold a key"))
            }
            (Err(error), MissingKey::Make) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                SystemRandom::new()
                    .fill(&mut key)
                    .map_err(|_| no_randomness())?;
                self.write_key(&key)
                    .with_context(|| format!("cannot write the key file `{path}`"))?;
                Ok(key)
            }
            (Err(error), _) => {
                Err(error).with_context(|| format!("cannot read the key file `{path}`"))
            }
        }
    }

    fn write_key(&self, key: &Key) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = std::fs::File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.key_file)?;
        writeln!(file, "{}", hex(key))?;
        // A secret sealed with a key that was lost would be lost too.
        file.sync_all()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MissingKey {
    Make,
    Refuse,
}

fn no_randomness() -> anyhow::Error {
    anyhow::anyhow!("the system gives no randomness")
}

fn cipher(key: &Key) -> anyhow::Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key);
    Ok(LessSafeKey::new(key.map_err(|_| {
        anyhow::anyhow!("the key has a wrong length")
    })?))
}

/// Reads a key written as hex or base64; anything else is a passphrase.
fn key_of(text: &str) -> Option<Key> {
    let bytes = unhex(text)
        .filter(|bytes| bytes.len() == KEY_BYTES)
        .or_else(|| unbase64(text))?;
    bytes.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Reads base64 (RFC 4648, section 4 or 5, padding optional).
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &tempfile::TempDir, key: Option<&str>) -> Vault {
        let variable = key.map(|key| (VARIABLE.to_owned(), key.to_owned()));
        Vault::new(folder.path(), &variable.into_iter().collect())
    }

    #[test]
    fn only_the_same_key_and_name_open() {
        let folder = tempfile::tempdir().unwrap();
        let hexed = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let based = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
        for (seals, opens) in [
            (None, None),
            (Some(hexed), Some(based)),
            (Some("a passphrase"), Some("a passphrase")),
        ] {
            let sealed = vault(&folder, seals).seal("Key", "clear text").unwrap();
            assert!(!sealed.contains("clear"));
            let opened = vault(&folder, opens).open("KEY", &sealed).unwrap();
            assert_eq!(opened.expose(), "clear text");
            assert!(vault(&folder, opens).open("other", &sealed).is_err());
            let error = vault(&folder, Some("wrong"))
                .open("key", &sealed)
                .unwrap_err();
            assert!(error.to_string().contains("another key"), "{error}");
        }
    }

    #[test]
    fn the_key_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        vault(&folder, None).seal("key", "value").unwrap();
        let mode = std::fs::metadata(folder.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
