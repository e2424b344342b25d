//! Which public keys are fit to verify with: a library takes many with which anybody could sign.

/// RFC 7518 sections 3.3 and 3.5 ask for no less.
pub const MIN_RSA_BITS: usize = 2048;

/// What aws-lc verifies; twice the bits cost four times as long.
pub const MAX_RSA_BITS: usize = 8192;

/// Every exponent in use is 3 or 65537; a long one makes each verification slow.
pub const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// Whether this is an RSA modulus nobody is known to factor.
pub(super) fn check_modulus(modulus: &[u8]) -> Result<(), &'static str> {
    let (Some(first), Some(last)) = (modulus.first(), modulus.last()) else {
        return Err("the modulus is empty");
    };
    // RFC 7518 section 6.3.1.1 forbids the zero octet that some libraries put first.
    if *first == 0 {
        return Err("the modulus begins with a zero octet");
    }
    if modulus.len() * 8 > MAX_RSA_BITS {
        return Err("the modulus has more than 8192 bits");
    }
    if modulus.len() * 8 < MIN_RSA_BITS || (modulus.len() * 8 == MIN_RSA_BITS && *first < 0x80) {
        return Err("the modulus has less than 2048 bits");
    }
    if last % 2 == 0 {
        return Err("the modulus is even");
    }
    if is_roca(modulus) {
        return Err("the modulus was made by a broken generator (CVE-2017-15361)");
    }
    Ok(())
}

/// Whether the exponent is plain, odd and short.
pub(super) fn check_exponent(exponent: &[u8]) -> Result<(), &'static str> {
    match exponent {
        [] | [0, ..] => Err("the exponent is not a plain number"),
        [1] => Err("the exponent is 1: anybody could sign"),
        _ if exponent.len() > MAX_RSA_EXPONENT_BYTES => Err("the exponent is too long"),
        _ if exponent.last().is_some_and(|last| last % 2 == 0) => Err("the exponent is even"),
        _ => Ok(()),
    }
}

/// Whether this is the one encoding of a point of large order.
pub(super) fn check_order(encoded: &[u8; 32]) -> Result<(), &'static str> {
    let mut y = *encoded;
    let [first, middle @ .., last] = &mut y;
    *last &= 0x7f;
    // RFC 8032 section 5.1.3 step 1: y is below 2^255 - 19, so that a point has one encoding.
    if *first >= 0xed && *last == 0x7f && middle.iter().all(|&byte| byte == 0xff) {
        return Err("the point is not encoded canonically");
    }
    if SMALL_ORDER.contains(&y) {
        return Err("the point has a small order: anybody could sign");
    }
    Ok(())
}

/// The primes of the published fingerprint of CVE-2017-15361: a modulus of that generator is a power of
/// 65537 for each of them, another one is for all of them at once about once in 2^27.
const ROCA_PRIMES: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

fn is_roca(modulus: &[u8]) -> bool {
    ROCA_PRIMES.iter().all(|&prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * (65537 % prime) % prime;
            power == rest
        })
    })
}

/// The y of each point of small order, little-endian without the sign of x. A key that is one of these
/// verifies some signatures of any message.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    edge(1, 0, 0),
    edge(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn edge(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    let [head, .., tail] = &mut bytes;
    *head = first;
    *tail = last;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_ed25519_points_that_verify_anything() {
        for mut point in SMALL_ORDER {
            assert!(check_order(&point).is_err());
            point[31] |= 0x80;
            assert!(check_order(&point).is_err());
        }
        for first in 0xed..=0xff {
            assert!(check_order(&edge(first, 0xff, 0x7f)).is_err());
        }
    }
}
