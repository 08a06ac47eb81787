//! `cargo xtask help`: what there is to run.

const TEXT: &str = "\
cargo xtask <command>

  ci [--fast]         every gate, in order; stops at the first that fails. --fast skips the feature matrix
  tidy                the house rules over the tree (tests/tidy.rs)
  purity              drift and core alone, and what may not be in their dependency graphs
  features            every feature of every crate alone
  examples            runs every example and compares with examples/golden/NAME.txt; BLESS=1 writes them
  fuzz                the fuzz targets compile
  deny                licences and sources of the dependencies; installs cargo-deny where it is missing
  bench [--quick] [NAME...]
                      the benchmarks of every crate, all or by name
  crash [--kills N] [--seed S]
                      kills the server with SIGKILL at random moments under load, 1,000 times by default, and holds
                      what it kept against an uninterrupted run; one kill takes about 0.7 s
  detectors           measures every detector and writes docs/detectors.md
  arl [--only NAME]... [--arl X]... [--runs N] [--values N] [--threads N] [--json FILE] | arl --write
                      nominal against measured run lengths, delays and predicted delays of the detectors with a
                      bound; fails where one does not hold. --write puts the tables into docs/guarantee.md
  quality [--only NAME]... [--json FILE] | quality --write
                      how well the detectors find labelled changes in real data, as Markdown; --write puts it
                      into docs/quality.md. Data: VISU_TILITY_DATA, or ../shared/data
  sim [--seeds N] [--from S] [--threads N] [--steps N] [--trace]
                      random lives of a monitoring with a store: crashes, torn writes, panics, slow sinks, on virtual
                      time, held against an uninterrupted run. A seed that fails is printed with how to see it again
  help                this text
";

pub(crate) fn print() {
    print!("{TEXT}");
}
