//! The program: command line, configuration, HTTP and WebSocket, and the wiring between them.

mod bus;
mod cli;
mod commands;
mod config;
mod history;
mod http;
mod journal;
mod notify;
mod prometheus;
mod recorder;
mod selector;
mod table;
mod terminal;
mod ticker;
mod transfer;
mod when;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::Settings;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // Whoever read our output has gone away, as `head` does. Nothing is wrong.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if even this cannot be written.
            let _ = writeln!(io::stderr(), "perfwatch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let settings = || Settings::load(&cli.settings);
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => commands::serve::run(&settings()?)?,
        Command::Snapshot(args) => commands::snapshot::run(&settings()?, &args)?,
        Command::Watch => commands::watch::run(&settings()?)?,
        Command::Query(args) => commands::history::query(&settings()?, &args)?,
        Command::Compare(args) => return commands::history::compare(&settings()?, &args),
        Command::Export(args) => return commands::transfer::export(&settings()?, &args),
        Command::Import(args) => commands::transfer::import(&settings()?, &args)?,
        Command::Db(command) => return commands::db::run(&settings()?, &command),
        Command::Catalog(args) => commands::catalog::run(&args)?,
        Command::Capture(args) => commands::capture::run(&settings()?, &args)?,
        Command::Doctor => return commands::doctor::run(&cli.settings),
        Command::Completions { shell } => commands::definitions::completions(shell)?,
        Command::Man => commands::definitions::man()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
