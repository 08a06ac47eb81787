//! The command `visu-tility`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
