//! How much is kept, and who has to go.

use super::*;

fn fill(cache: &Cache, source: Source, names: std::ops::Range<u32>, now: Instant) {
    for n in names {
        let asked = query(1, &format!("n{n}.example"), A);
        cache.put(source, &asked, &reply(&asked, 0, [&[Rr(A, 600)], &[], &[]]), now);
    }
}

fn held(cache: &Cache, source: Source, names: std::ops::Range<u32>, now: Instant) -> usize {
    let mut out = Vec::new();
    names.filter(|n| cache.get(source, &query(1, &format!("n{n}.example"), A), now, &mut out)).count()
}

#[test]
fn who_asks_much_pushes_out_its_own_and_the_bytes_stay_bounded() {
    let most = 400_000;
    let (cache, now) = (Cache::new(most), Instant::now());
    fill(&cache, TWO, 0..200, now);
    for thousand in 0..20 {
        fill(&cache, ONE, thousand * 1_000..(thousand + 1) * 1_000, now);
        assert!(cache.bytes() <= most, "{}", cache.bytes());
    }
    assert_eq!(held(&cache, TWO, 0..200, now), 200);
    // The newest are there, the oldest are not.
    assert!(held(&cache, ONE, 19_900..20_000, now) == 100 && held(&cache, ONE, 0..10_000, now) == 0);
    let alone = Cache::new(most);
    fill(&alone, ONE, 0..20_000, now);
    assert!((most / 3..=most / 2).contains(&alone.bytes()), "{}", alone.bytes());
    // Many sources share all of it: the smallest is not the one that is pushed out.
    let small = Source(1_000);
    fill(&cache, small, 0..8, now);
    for source in 10..40 {
        fill(&cache, Source(source), 0..1_000, now);
        assert!(cache.bytes() <= most, "{}", cache.bytes());
    }
    assert_eq!(held(&cache, small, 0..8, now), 8);
    // Thousands with one answer each: what they cost themselves is counted too.
    for source in 10_000..20_000 {
        fill(&cache, Source(source), 0..1, now);
        assert!(cache.bytes() <= most, "{}", cache.bytes());
    }
    assert!(cache.len() < most / 300, "{}", cache.len());
}

#[test]
fn what_is_in_use_outlives_a_flood_of_names() {
    let (cache, now) = (Cache::new(400_000), Instant::now());
    // As many as are spared at a time, should all be in one shard.
    fill(&cache, ONE, 0..8, now);
    for hundred in 1..100 {
        assert_eq!(held(&cache, ONE, 0..8, now), 8, "after {hundred} hundred");
        fill(&cache, ONE, hundred * 100..(hundred + 1) * 100, now);
    }
}

#[test]
fn what_was_in_use_and_is_dead_goes_first() {
    let (cache, now) = (Cache::new(400_000), Instant::now());
    fill(&cache, ONE, 0..20, now);
    assert_eq!(held(&cache, ONE, 0..20, now), 20);
    // Some more than there is room for, so that of every shard only the oldest go.
    let later = now + seconds(601);
    fill(&cache, ONE, 1_000..2_600, later);
    assert_eq!(cache.len(), held(&cache, ONE, 1_000..2_600, later));
    assert!(cache.len() < 1_600);
}

#[test]
fn a_newer_answer_takes_the_place_of_the_old_one() {
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::new());
    let asked = query(1, "a.example", A);
    let mut bytes = Vec::new();
    for second in 0..1_000 {
        let records = if second % 2 == 0 { &[Rr(A, 1)][..] } else { &[Rr(A, 1), Rr(A, 1)] };
        cache.put(ONE, &asked, &reply(&asked, 0, [records, &[], &[]]), now + seconds(second));
        assert_eq!(cache.len(), 1);
        bytes.push(cache.bytes());
    }
    assert_eq!(bytes[..2], bytes[998..]);
    assert!(cache.get(ONE, &asked, now + seconds(999), &mut out));
    assert!(!cache.get(ONE, &asked, now + seconds(1_000), &mut out));
}

#[test]
fn what_is_too_big_is_not_kept_and_pushes_nobody_out() {
    let (cache, now) = (Cache::new(80_000), Instant::now());
    fill(&cache, ONE, 0..5, now);
    let asked = query(1, "big.example", A);
    let records = [Rr(A, 60); 255];
    cache.put(ONE, &asked, &reply(&asked, 0, [&records, &records, &records]), now);
    assert_eq!((cache.len(), held(&cache, ONE, 0..5, now)), (5, 5));
    let none = Cache::new(0);
    fill(&none, ONE, 0..5, now);
    assert!(none.is_empty());
}

#[test]
fn nothing_is_allocated_once_there_is_room() {
    let (cache, now, mut out) = (cache(), Instant::now(), Vec::with_capacity(512));
    let room = out.as_ptr();
    fill(&cache, ONE, 0..100, now);
    for n in 0..100 {
        assert!(cache.get(ONE, &query(n, &format!("n{n}.example"), A), now, &mut out));
        assert_eq!((out.as_ptr(), out.capacity()), (room, 512));
    }
}

#[test]
fn threads_share_it() {
    let (cache, now) = (Cache::new(200_000), Instant::now());
    std::thread::scope(|scope| {
        for source in 0..4 {
            let cache = &cache;
            scope.spawn(move || {
                fill(cache, Source(source), 0..3_000, now);
                assert!(held(cache, Source(source), 2_990..3_000, now) > 0);
            });
        }
    });
    assert!(cache.bytes() <= 200_000);
    let alive: usize = (0..4).map(|source| held(&cache, Source(source), 0..3_000, now)).sum();
    assert_eq!((cache.flush(), cache.bytes()), (alive, 0));
}
