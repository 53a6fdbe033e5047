//! Namespaces that are kept by a path.

use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};

use super::{Named, Pace, Watched, by_notice, eventually, with_an_empty_run};

#[test]
fn a_name_that_is_deleted_is_told_of() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let (one, two) = (Named::new("one"), Named::new("two"));
        for named in [&one, &two] {
            watched.hold(named.place, &named.file(), Some(&named.path()));
            watched.is_kept_by(named.place, named.path());
        }
        one.delete();
        watched.tells_of(one.place);
        watched.is_kept_by(two.place, two.path());
        two.delete();
        watched.tells_of(two.place);
        assert!(watched.kept_by().is_empty(), "what was told of is not watched any more");
    });
}

#[test]
fn a_name_that_comes_back_for_another_namespace_is_told_of() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        watched.hold(named.place, &named.file(), Some(&named.path()));
        named.delete();
        let other = Named::new(named.name);
        watched.tells_of(named.place);
        assert_ne!(other.place, named.place);
    });
}

#[test]
fn one_that_is_forgotten_is_not_told_of() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let (one, two) = (Named::new("one"), Named::new("two"));
        for named in [&one, &two] {
            watched.hold(named.place, &named.file(), Some(&named.path()));
        }
        watched.anchors.forget(one.place);
        one.delete();
        two.delete();
        watched.tells_of(two.place);
        assert!(watched.kept_by().is_empty());
        assert!(watched.told.try_recv().is_err(), "the first was forgotten");
    });
}

#[test]
fn one_that_is_held_again_is_told_of_once() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        for _ in 0..3 {
            watched.hold(named.place, &named.file(), Some(&named.path()));
        }
        named.delete();
        watched.tells_of(named.place);
        assert!(watched.kept_by().is_empty());
        assert!(watched.told.try_recv().is_err());
    });
}

#[test]
fn a_path_that_is_renamed_leaves_the_mount_as_its_keeper() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink(named.path(), &link).unwrap();
        watched.hold(named.place, &named.file(), Some(&link));
        watched.is_kept_by(named.place, &link);
        std::fs::rename(&link, dir.path().join("other")).unwrap();
        watched.is_kept_by(named.place, named.path());
        named.delete();
        watched.tells_of(named.place);
    });
}

#[test]
fn a_path_that_is_replaced_by_renaming_leads_elsewhere() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let dir = tempfile::tempdir().unwrap();
        let (link, other) = (dir.path().join("link"), dir.path().join("other"));
        symlink(named.path(), &link).unwrap();
        symlink("/proc/self/ns/net", &other).unwrap();
        watched.hold(named.place, &named.file(), Some(&link));
        std::fs::rename(&other, &link).unwrap();
        watched.is_kept_by(named.place, named.path());
    });
}

#[test]
fn a_folder_that_goes_takes_its_paths_with_it() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        let link = folder.join("link");
        for _ in 0..2 {
            std::fs::create_dir(&folder).unwrap();
            symlink(named.path(), &link).unwrap();
            watched.hold(named.place, &named.file(), Some(&link));
            watched.is_kept_by(named.place, &link);
            std::fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
            watched.is_kept_by(named.place, named.path());
            std::fs::remove_dir_all(dir.path().join("elsewhere")).unwrap();
        }
        std::fs::create_dir(&folder).unwrap();
        symlink(named.path(), &link).unwrap();
        watched.hold(named.place, &named.file(), Some(&link));
        std::fs::remove_dir_all(&folder).unwrap();
        watched.is_kept_by(named.place, named.path());
    });
}

#[test]
fn one_folder_by_two_paths_is_one() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let dir = tempfile::tempdir().unwrap();
        let (folder, alias) = (dir.path().join("folder"), dir.path().join("alias"));
        std::fs::create_dir(&folder).unwrap();
        symlink(&folder, &alias).unwrap();
        symlink(named.path(), folder.join("one")).unwrap();
        let other = Named::new("other");
        symlink(other.path(), folder.join("two")).unwrap();
        watched.hold(named.place, &named.file(), Some(&folder.join("one")));
        watched.hold(other.place, &other.file(), Some(&alias.join("two")));
        watched.anchors.forget(named.place);
        watched.is_kept_by(other.place, alias.join("two"));
        std::fs::remove_file(folder.join("two")).unwrap();
        watched.is_kept_by(other.place, other.path());
    });
}

#[test]
fn a_mount_that_goes_is_told_of_by_the_table_of_mounts() {
    with_an_empty_run(|| {
        let watched = Watched::new(Pace { mounted: Duration::from_millis(1), ..by_notice() });
        let named = Named::new("web");
        watched.hold(named.place, &named.file(), Some(&named.path()));
        watched.is_kept_by(named.place, named.path());
        umount2(&named.path(), MntFlags::MNT_DETACH).unwrap();
        watched.tells_of(named.place);
    });
}

#[test]
fn a_mount_that_goes_without_a_notice_is_found_to_be_gone() {
    with_an_empty_run(|| {
        let pace = Pace { audit: Duration::from_millis(5), ..by_notice() };
        let watched = Watched::new(pace);
        let named = Named::new("web");
        watched.hold(named.place, &named.file(), Some(&named.path()));
        watched.is_kept_by(named.place, named.path());
        // The name stays, so that no folder changes.
        umount2(&named.path(), MntFlags::MNT_DETACH).unwrap();
        watched.tells_of(named.place);
    });
}

#[test]
fn a_folder_that_takes_the_place_of_another_is_watched_instead() {
    with_an_empty_run(|| {
        let watched = Watched::new(by_notice());
        let named = Named::new("web");
        let dir = tempfile::tempdir().unwrap();
        let (alias, next) = (dir.path().join("alias"), dir.path().join("next"));
        for name in ["old", "new"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            symlink(named.path(), dir.path().join(name).join("link")).unwrap();
        }
        symlink("old", &alias).unwrap();
        let link = alias.join("link");
        watched.hold(named.place, &named.file(), Some(&link));
        watched.is_kept_by(named.place, &link);
        symlink("new", &next).unwrap();
        std::fs::rename(&next, &alias).unwrap();
        std::fs::remove_dir_all(dir.path().join("old")).unwrap();
        watched.is_kept_by(named.place, &link);
        std::fs::remove_file(dir.path().join("new/link")).unwrap();
        // A program that another test starts may have the old folder open for a moment, whose end is told of only then.
        let kept = || watched.kept_by().remove(&named.place).flatten();
        eventually("its end is noticed", || kept() == Some(named.path()));
    });
}
