//! The program: command line, configuration, HTTP and WebSocket, and the wiring between them.

mod access;
mod audience;
mod bus;
mod capabilities;
mod cli;
mod commands;
mod config;
mod exposure;
mod files;
mod footprint;
mod groups;
mod growth;
mod history;
mod http;
mod journal;
mod notify;
mod prometheus;
mod recorder;
mod sample;
mod selector;
mod source;
mod table;
mod terminal;
mod ticker;
mod transfer;
mod when;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::{Cli, Command, TlsCommand};
use crate::config::{Configuration, Given, Settings};

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli.settings.given = Given::of(&matches);
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
        Command::Serve => commands::serve::run(Configuration::load(&cli.settings)?)?,
        Command::Snapshot(args) => commands::snapshot::run(&settings()?, &args)?,
        Command::Watch => commands::watch::run(&settings()?)?,
        Command::Query(args) => commands::history::query(&settings()?, &args)?,
        Command::Explain(args) => commands::explain::run(&settings()?, &args)?,
        Command::Compare(args) => return commands::history::compare(&settings()?, &args),
        Command::Export(args) => return commands::transfer::export(&settings()?, &args),
        Command::Import(args) => commands::transfer::import(&settings()?, &args)?,
        Command::Db(command) => return commands::db::run(&settings()?, &command),
        Command::User(command) => commands::user::run(&settings()?, &command)?,
        Command::Catalog(args) => commands::catalog::run(&args)?,
        Command::Capture(args) => commands::capture::run(&settings()?, &args)?,
        Command::Doctor => return commands::doctor::run(&cli.settings),
        Command::Tls(TlsCommand::Init(args)) => commands::tls::init(&settings()?, &args)?,
        Command::Completions { shell } => commands::definitions::completions(shell)?,
        Command::Man => commands::definitions::man()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
