//! Which files are read, in which order, and which are refused.

use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::*;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        chmod(dir.path(), 0o755);
        dir
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file that forwards what has this mark.
    fn accepts(&self, name: &str, mark: u32) -> PathBuf {
        self.file(name, format!("chain user-forward {{ meta mark {mark} accept }}"))
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o644);
        path
    }

    fn rules(&self) -> Vec<String> {
        read(self.path()).unwrap().forward.iter().map(ToString::to_string).collect()
    }

    /// What is said, without where the directory is.
    fn refusal(&self) -> String {
        let error = read(self.path()).unwrap_err();
        assert_eq!(error.code, Code::InvalidRules, "{error}");
        let text = format!("{error} -- {}", error.fix.as_deref().unwrap_or_default());
        text.replace(&*self.path().to_string_lossy(), "DIR")
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_are_read_by_name_and_others_are_passed_by() {
    let dir = Dir::new();
    for (mark, name) in ["b.nft", "10-a.nft", "a.nft", "9-a.nft", "B.nft"].iter().enumerate() {
        dir.accepts(name, u32::try_from(mark).unwrap());
    }
    for name in ["README", "a.nft.off", "a.nft~", ".hidden.nft", "nft"] {
        dir.file(name, "nothing of ours");
    }
    let marks = [1, 3, 4, 2, 0].map(|mark| format!("meta mark 0x0000000{mark} accept"));
    assert_eq!(dir.rules(), marks);
}

#[test]
fn without_a_directory_or_files_there_are_no_rules() {
    let dir = Dir::new();
    assert_eq!(read(dir.path()), Ok(Hooks::default()));
    assert_eq!(read(&dir.path().join("none")), Ok(Hooks::default()));
}

#[test]
fn a_line_that_is_not_understood_is_named_and_spoils_all() {
    let dir = Dir::new();
    dir.accepts("a.nft", 1);
    dir.file("b.nft", "chain user-forward {\n tcp dport ssh drop\n}");
    let refusal = dir.refusal();
    assert!(
        refusal.starts_with("DIR/b.nft:2 is not understood: \"ssh\" is no port -- a port is"),
        "{refusal}"
    );
}

#[test]
fn what_others_could_have_written_is_refused() {
    let dir = Dir::new();
    let path = dir.accepts("a.nft", 1);
    for mode in [0o664, 0o646, 0o666] {
        chmod(&path, mode);
        assert_eq!(
            dir.refusal(),
            "read your rules in DIR: DIR/a.nft may be written by others than its owner -- chmod go-w DIR/a.nft"
        );
    }
    chmod(&path, 0o600);
    assert_eq!(dir.rules().len(), 1);
    chmod(dir.path(), 0o777);
    assert_eq!(
        dir.refusal(),
        "read your rules in DIR: DIR may be written by others than its owner -- chmod go-w DIR"
    );
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if own_user() != ROOT {
        return; // Only root can give a file away.
    }
    let dir = Dir::new();
    let path = dir.accepts("a.nft", 1);
    chown(&path, Some(65534), None).unwrap();
    assert_eq!(dir.refusal(), "read your rules in DIR: DIR/a.nft is not root's -- chown root: DIR/a.nft");
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let dir = Dir::new();
    let path = dir.path().join("a.nft");
    let refused = |what: &str| {
        let refusal = dir.refusal();
        assert!(
            refusal.starts_with("read your rules in DIR: DIR/a.nft is no regular file -- "),
            "{what}: {refusal}"
        );
    };
    fs::create_dir(&path).unwrap();
    refused("a directory");
    fs::remove_dir(&path).unwrap();

    symlink(dir.file("elsewhere", ""), &path).unwrap();
    refused("a link");
    fs::remove_file(&path).unwrap();

    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    refused("a socket");
    drop(socket);

    let file = dir.file("file", "");
    let refusal = read(&file).unwrap_err().to_string();
    assert!(refusal.ends_with("/file is no directory"), "{refusal}");
}

#[test]
fn what_is_too_much_is_refused() {
    let dir = Dir::new();
    let longest = usize::try_from(LONGEST).unwrap();
    let path = dir.file("a.nft", "#".repeat(longest));
    assert_eq!(dir.rules().len(), 0);
    dir.file("a.nft", "#".repeat(longest + 1));
    assert_eq!(
        dir.refusal(),
        "read your rules in DIR: DIR/a.nft is longer than 65536 bytes -- make two files of it"
    );
    fs::remove_file(path).unwrap();
    for i in 0..=MOST_FILES {
        dir.file(&format!("{i}.nft"), "");
    }
    assert_eq!(
        dir.refusal(),
        "read your rules in DIR: there are 101 files -- put your rules into at most 100 files"
    );
}

#[test]
fn what_is_not_text_is_refused() {
    let dir = Dir::new();
    dir.file("a.nft", b"# one\n# \xff");
    assert_eq!(dir.refusal(), "read your rules in DIR: DIR/a.nft:2 is not UTF-8 -- ");
}

#[test]
fn what_was_kept_is_found_again() {
    let dir = Dir::new();
    assert_eq!(kept(dir.path()), Ok(None));
    let rules = "chain user-forward { ip saddr { 10.0.0.0/8, 192.0.2.1 } log prefix \"x\" drop }";
    for text in [rules, "chain user-prerouting { tcp dport 22 reject }", ""] {
        let hooks = Hooks::parse("a.nft", text).unwrap();
        keep(dir.path(), &hooks).unwrap();
        let there = Some(hooks).filter(|hooks| !hooks.is_empty());
        assert_eq!(kept(dir.path()), Ok(there));
    }
    let error = keep(&dir.path().join("none"), &Hooks::default()).unwrap_err();
    assert_eq!(error.code, Code::StateUnwritable);
}
