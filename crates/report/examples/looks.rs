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
    ] {
        let dir = folder.join(name);
        std::fs::create_dir_all(&dir)?;
        for chart in report::charts(&records) {
            std::fs::write(dir.join(format!("{}.svg", chart.name())), chart.svg()?)?;
            std::fs::write(
                dir.join(format!("{}-narrow.svg", chart.name())),
                chart.narrow_svg()?,
            )?;
            chart.write_png(&dir.join(format!("{}.png", chart.name())))?;
        }
    }
    Ok(())
}
