//! `perfwatch completions` and `perfwatch man`: what packagers make of the command line's definition.

use std::io;

use clap::CommandFactory;

use crate::cli::Cli;

/// Prints completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "perfwatch", &mut script);
    Ok(io::Write::write_all(&mut io::stdout(), &script)?)
}

/// Prints the man page.
pub(crate) fn man() -> anyhow::Result<()> {
    Ok(clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?)
}
