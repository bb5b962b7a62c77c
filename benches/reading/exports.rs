//! Writes everything to files, and lets DuckDB ask the same of the one in columns.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::super::{Result, server};

const PIECE_LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: &str = "5";

/// Exports all events in both forms, `events` of them; the Parquet file stands at the path that comes back.
pub fn measure(server: &server::Server, folder: &Path, events: u64) -> Result<PathBuf> {
    println!("\n{:<10} {:>9} {:>11} {:>10} {:>12}", "export", "seconds", "events/s", "CPU s", "file bytes");
    let parquet = folder.join("events.parquet");
    for (format, path) in [("ndjson", folder.join("events.ndjson")), ("parquet", parquet.clone())] {
        let before = server.usage()?.cpu_seconds;
        let begun = Instant::now();
        let bytes = export(server, format, &path)?;
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), server.usage()?.cpu_seconds - before);
        println!("{format:<10} {seconds:>9.1} {:>11.0} {cpu:>10.1} {bytes:>12}", events as f64 / seconds);
        if path != parquet {
            std::fs::remove_file(path)?;
        }
    }
    Ok(parquet)
}

/// Has the daemon write a file; its length.
fn export(server: &server::Server, format: &str, path: &Path) -> Result<u64> {
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_read_timeout(Some(PIECE_LIMIT))?;
    // HTTP/1.0, so that the body comes as it is.
    let token = server::ADMIN_TOKEN;
    let request =
        format!("GET /export?what=events&format={format} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.windows(5).any(|part| part == b" 200 ") {
        return Err(format!("the export was answered {}", String::from_utf8_lossy(&head)).into());
    }
    Ok(std::io::copy(&mut socket, &mut File::create(path)?)?)
}

/// Asks DuckDB the same of the file; without it, that is said.
pub fn compare(parquet: &Path) -> Result<()> {
    // Where the tests have it: a virtual environment beside what is built.
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("duckdb").join("bin/python");
    if !python.exists() {
        println!("\nDuckDB is not asked: there is none at {}", python.display());
        return Ok(());
    }
    let script = include_str!("duckdb.py");
    let run = Command::new(python).args(["-c", script]).arg(parquet).arg(ROUNDS).output()?;
    if !run.status.success() {
        return Err(String::from_utf8_lossy(&run.stderr).into_owned().into());
    }
    println!("\n{:<34} {:>9}", "the same, asked of DuckDB", "median ms");
    for line in String::from_utf8_lossy(&run.stdout).lines() {
        let (name, median) = line.split_once('\t').ok_or("DuckDB's times cannot be read")?;
        println!("{name:<34} {median:>9}");
    }
    Ok(())
}
