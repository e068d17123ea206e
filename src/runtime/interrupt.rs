//! When a run is asked to end: SIGINT, SIGTERM, or the end of its time.

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

/// Returns a future that ends at the first signal or after the given time. From the first signal on, another
/// one ends the process at once.
///
/// # Errors
/// The system refuses the signal handler or its thread.
pub fn interrupted(run_for: Option<Duration>) -> anyhow::Result<impl Future<Output = ()>> {
    let (send, receive) = async_channel::bounded::<()>(1);
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for (count, signal) in signals.forever().enumerate() {
                if count > 0 {
                    // What is committed is safe; 128 + the signal's number is what a shell would say.
                    std::process::exit(128 + signal);
                }
                tracing::info!("stopping; a second signal ends at once");
                if send.try_send(()).is_err() {
                    tracing::debug!("the run had already ended");
                }
            }
        })?;
    Ok(async move {
        let signal = async {
            if receive.recv().await.is_err() {
                smol::future::pending::<()>().await;
            }
        };
        let timer = async {
            match run_for {
                Some(run_for) => {
                    smol::Timer::after(run_for).await;
                }
                None => smol::future::pending().await,
            }
        };
        smol::future::or(signal, timer).await;
    })
}
