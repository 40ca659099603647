//! Writes reports on made-up records, to look at: `cargo run -p report --example looks -- FOLDER`.

#[path = "../tests/common/mod.rs"]
mod common;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: looks FOLDER")?;
    let folder = std::path::Path::new(&folder);
    for (name, records) in [
        ("lengths", common::lengths()),
        ("sparsity", common::sparsity()),
        ("entropy", common::entropy()),
        ("features", common::features()),
        ("ladder", common::ladder()),
    ] {
        let files = report::write_report(&folder.join(name), &records, &common::context())?;
        println!("{}", files.page.display());
    }
    Ok(())
}
