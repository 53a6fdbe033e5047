//! Completion scripts and manual pages, both made from the tree of verbs.

use std::path::Path;

use bowline_core::{Code, Error, Result};

use crate::args;
use crate::exit;
use crate::io::Io;
use crate::screen::Color;

pub(crate) fn completion(shell: clap_complete::Shell, io: &mut Io<'_>) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(Color::Never), "bowline", &mut script);
    io.data(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

pub(crate) fn pages(dir: Option<&Path>, io: &mut Io<'_>) -> Result<u8> {
    let command = args::command(Color::Never);
    match dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page).expect("a vector takes all");
            io.data(&String::from_utf8_lossy(&page))?;
        }
        Some(dir) => {
            std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir)).map_err(
                |error| {
                    Error::new(Code::Kernel, format!("write manual pages to {}", dir.display()))
                        .because(error)
                },
            )?;
        }
    }
    Ok(exit::OK)
}
