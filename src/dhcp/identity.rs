//! Who a client is to a server: its card, and a number that stays when the card does not.

use bowline_core::mac::Mac;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub mac: Mac,
    /// What the server knows it by (option 61).
    pub client_id: Vec<u8>,
    /// What it would like to be called (option 12).
    pub hostname: Option<String>,
    /// Others have the same MAC address, or it hears nothing that is sent to an address before it has that: the server is
    /// to answer to everybody.
    pub answer_to_all: bool,
}

/// The longest host name that DHCP carries for sure: one label.
const LONGEST_HOSTNAME: usize = 63;

const NODE_SPECIFIC: u8 = 255;
const DUID_UUID: [u8; 2] = [0, 4];

/// The same for an endpoint of this name on a network of this name whenever it comes, so that it gets its address again; and
/// another on each host (RFC 4361, with a DUID after RFC 6355).
pub fn client_id(host: &[u8], network: &str, endpoint: &str) -> Vec<u8> {
    let uuid = hash(&[host, endpoint.as_bytes()]);
    let iaid = hash(&[network.as_bytes()]) as u32;
    let mut id = vec![NODE_SPECIFIC];
    id.extend(iaid.to_be_bytes());
    id.extend(DUID_UUID);
    id.extend(uuid.to_be_bytes());
    id
}

impl Identity {
    pub(crate) fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref().filter(|name| (1..=LONGEST_HOSTNAME).contains(&name.len()))
    }
}

/// FNV-1a, since it must be the same in every version of ours.
fn hash(parts: &[&[u8]]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    // A part's length first, so that no two lists are one.
    let bytes = parts.iter().flat_map(|part| {
        let length = (part.len() as u64).to_be_bytes();
        length.into_iter().chain(part.iter().copied())
    });
    bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_is_stable_and_differs_by_host_network_and_name() {
        let id = client_id(b"host1", "lan", "web");
        // As it was in the first version: an address that a server keeps for it hangs on this.
        let text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        expect_test::expect!["ff64662da700040215d2eef460a646232dbde27363a170"].assert_eq(&text);
        for other in [
            client_id(b"host2", "lan", "web"),
            client_id(b"host1", "la", "web"),
            client_id(b"host1", "lan", "nweb"),
        ] {
            assert_ne!(id, other);
        }
    }
}
