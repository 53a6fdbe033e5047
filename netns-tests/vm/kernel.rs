//! A kernel for the guest: one that was only unpacked, in target/vm, or one that is installed, in /boot; and which of its
//! modules have to be there before its root file system is.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// They bring the root file system: 9p over virtio, and an overlay on it to write to.
const FIRST: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// What busybox can load. Debian's are not compressed, or with xz.
const READABLE: [&str; 3] = [".ko", ".ko.xz", ".ko.gz"];

pub(super) struct GuestKernel {
    pub(super) image: PathBuf,
    /// Where modules of all versions are: `/lib/modules`.
    pub(super) modules: PathBuf,
    /// Those without which there is no root, in the order in which they are loaded.
    pub(super) first: Vec<PathBuf>,
}

impl GuestKernel {
    /// The newest one that can be used. `BOWLINE_TEST_KERNEL` is another folder to look in, with `boot` and `lib/modules`.
    pub(super) fn find() -> Result<GuestKernel, String> {
        let roots = match env::var_os("BOWLINE_TEST_KERNEL") {
            Some(root) => vec![PathBuf::from(root)],
            None => vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vm"), "/".into()],
        };
        let places = roots.iter().map(|root| root.join("boot").display().to_string()).collect::<Vec<_>>();
        let mut last = format!("no kernel in {}", places.join(" or "));
        for root in roots {
            for version in versions(&root) {
                match GuestKernel::of(&root, &version) {
                    Ok(kernel) => return Ok(kernel),
                    Err(why) => last = why,
                }
            }
        }
        Err(last)
    }

    fn of(root: &Path, version: &str) -> Result<GuestKernel, String> {
        let modules = root.join("lib/modules");
        let own = modules.join(version);
        let read = |name: &str| {
            let path = own.join(name);
            fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))
        };
        let first = first(&read("modules.dep")?, &read("modules.builtin")?)?;
        Ok(GuestKernel {
            image: root.join(format!("boot/vmlinuz-{version}")),
            first: first.into_iter().map(|path| own.join(path)).collect(),
            modules,
        })
    }
}

/// The newest first.
fn versions(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("boot")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut all: Vec<String> =
        names.filter_map(|name| name.strip_prefix("vmlinuz-").map(str::to_string)).collect();
    all.sort_by_key(|version| std::cmp::Reverse(numbers(version)));
    all
}

/// 6.10 is newer than 6.9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// From `modules.dep`, where each line has a module and then all that it needs, what is needed last first.
fn first(dependencies: &str, builtin: &str) -> Result<Vec<String>, String> {
    let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
    let modules: BTreeMap<String, (&str, &str)> =
        lines.map(|(path, needed)| (name(path), (path, needed))).collect();
    let mut order: Vec<String> = Vec::new();
    for wanted in FIRST {
        if builtin.lines().any(|path| name(path) == wanted) {
            continue;
        }
        let (path, needed) = modules.get(wanted).ok_or_else(|| format!("the kernel has no {wanted}"))?;
        for path in needed.split_whitespace().rev().chain([*path]) {
            if !READABLE.iter().any(|suffix| path.ends_with(suffix)) {
                return Err(format!("{path} is compressed in a way that busybox cannot read"));
            }
            if !order.iter().any(|known| known == path) {
                order.push(path.to_string());
            }
        }
    }
    Ok(order)
}

/// `kernel/net/9p/9pnet-virtio.ko.xz` is called `9pnet_virtio`.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}
