//! Which replies travel together. Several to one client, all of one length but the last, which may be shorter, pass through
//! the kernel as one datagram that is cut apart where it arrives (UDP_SEGMENT).

use std::net::SocketAddrV4;

/// One reply, as far as it matters with whom it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Car {
    pub(super) to: SocketAddrV4,
    pub(super) length: usize,
    /// Which of a handful it is.
    pub(super) number: usize,
}

/// Calls for each train, with one car or more. In what order a client's replies come was never promised; those of one length
/// stay in theirs.
pub(super) fn each(cars: &mut [Car], mut depart: impl FnMut(&[Car])) {
    // The longer ones first: only the last car may be shorter.
    cars.sort_unstable_by(|one, other| {
        (one.to, other.length, one.number).cmp(&(other.to, one.length, other.number))
    });
    let mut rest = &*cars;
    while let [first, ..] = rest {
        let together = |car: &&Car| car.to == first.to && car.length == first.length;
        let same = rest.iter().take_while(together).count();
        let shorter = rest.get(same).is_some_and(|car| car.to == first.to);
        let (train, left) = rest.split_at(same + usize::from(shorter));
        depart(train);
        rest = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cars as client and length, and the trains that they make.
    fn check(cars: &[(u16, usize)], trains: &[&[(u16, usize)]]) {
        let to = |client| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, client);
        let numbered = cars.iter().enumerate();
        let mut all: Vec<Car> =
            numbered.map(|(number, &(client, length))| Car { to: to(client), length, number }).collect();
        let mut made: Vec<Vec<(u16, usize)>> = Vec::new();
        let mut numbers = Vec::new();
        each(&mut all, |train| {
            made.push(train.iter().map(|car| (car.to.port(), car.length)).collect());
            numbers.extend(train.iter().map(|car| car.number));
        });
        assert_eq!(made, trains);
        numbers.sort_unstable();
        assert_eq!(numbers, (0..cars.len()).collect::<Vec<_>>(), "each departs once");
    }

    #[test]
    fn replies_of_one_length_to_one_client_are_a_train() {
        check(&[], &[]);
        check(&[(1, 50)], &[&[(1, 50)]]);
        check(&[(1, 50), (1, 50), (1, 50)], &[&[(1, 50), (1, 50), (1, 50)]]);
        check(&[(1, 50), (2, 50), (1, 50)], &[&[(1, 50), (1, 50)], &[(2, 50)]]);
    }

    #[test]
    fn only_the_last_may_be_shorter() {
        check(&[(1, 40), (1, 50), (1, 50)], &[&[(1, 50), (1, 50), (1, 40)]]);
        check(&[(1, 40), (1, 50), (1, 40), (1, 30)], &[&[(1, 50), (1, 40)], &[(1, 40), (1, 30)]]);
        check(&[(1, 50), (2, 40)], &[&[(1, 50)], &[(2, 40)]]);
        check(&[(1, 30), (1, 40), (1, 50)], &[&[(1, 50), (1, 40)], &[(1, 30)]]);
    }
}
