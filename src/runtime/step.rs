//! What a consumer does when there is something to do.

/// Whether to call again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    More,
    Idle,
}

/// A consumer of streams. Blocking. After an error it is thrown away and made anew from the state.
pub trait Step: Send {
    /// Takes the next piece of its inputs, if there is one.
    ///
    /// # Errors
    /// Nothing of the piece has happened, as far as the state is concerned.
    fn step(&mut self) -> anyhow::Result<Progress>;

    /// Delivers what is held back; `end` when nothing follows.
    ///
    /// # Errors
    /// As for [`Step::step`].
    fn flush(&mut self, end: bool) -> anyhow::Result<Progress>;
}
