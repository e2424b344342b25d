//! The signature algorithms, and keys prepared for them.
//!
//! `jsonwebtoken` would build an RSA key anew for every token, an eighth of the whole verification
//! (docs/performance.md). So RSA goes to the aws-lc beneath it, with a key that was parsed once, and HMAC to `ring`,
//! whose keys are half of the work.

use aws_lc_rs::signature::{
    self as aws, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use ring::hmac;

pub use fitness::{MAX_RSA_BITS, MAX_RSA_EXPONENT_BYTES, MIN_RSA_BITS};
use fitness::{check_exponent, check_modulus, check_order};

mod fitness;

/// The algorithms that verify with an RSA key.
pub const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// The algorithm of a registered name, compared exactly. `EdDSA` and `Ed25519` (RFC 9864) are one,
/// since we take no other Edwards curve.
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" | "Ed25519" => Algorithm::EdDSA,
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        _ => return None,
    })
}

/// Whether it verifies with a shared secret, which no public key may be taken for (RFC 8725 section 2.1).
#[must_use]
pub const fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    )
}

/// A key that was found fit, prepared for its one algorithm (RFC 8725 section 3.1).
#[derive(Debug)]
pub struct VerificationKey {
    algorithm: Algorithm,
    prepared: Prepared,
}

#[derive(Debug)]
enum Prepared {
    Parsed(ParsedPublicKey),
    Bytes(DecodingKey),
    Secret(hmac::Key),
}

impl VerificationKey {
    /// An RSA key of a big-endian modulus and exponent.
    ///
    /// # Errors
    /// What is wrong with the key, or with the algorithm for it.
    pub fn rsa(
        algorithm: Algorithm,
        modulus: &[u8],
        exponent: &[u8],
    ) -> Result<Self, &'static str> {
        let parameters = rsa_parameters(algorithm).ok_or("the algorithm is not for RSA")?;
        check_modulus(modulus)?;
        check_exponent(exponent)?;
        RsaPublicKeyComponents {
            n: modulus,
            e: exponent,
        }
        .to_parsed_public_key(parameters)
        .map(|key| Self {
            algorithm,
            prepared: Prepared::Parsed(key),
        })
        .map_err(|_| "not an RSA key")
    }

    /// A point on the curve of `ES256` or `ES384`.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn elliptic(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        let (bytes, curve): (_, &'static dyn VerificationAlgorithm) = match algorithm {
            Algorithm::ES256 => (32, &aws::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => (48, &aws::ECDSA_P384_SHA384_FIXED),
            _ => return Err("the algorithm is not for elliptic curves"),
        };
        // RFC 7518 section 6.2.1.2: the full size of a coordinate.
        if x.len() != bytes || y.len() != bytes {
            return Err("a coordinate has the wrong length");
        }
        let point = [&[UNCOMPRESSED], x, y].concat();
        ParsedPublicKey::new(curve, &point).map_err(|_| "the point is not on the curve")?;
        Ok(Self {
            algorithm,
            prepared: Prepared::Bytes(DecodingKey::from_ec_der(&point)),
        })
    }

    /// An Ed25519 key (RFC 8037).
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn edwards(x: &[u8]) -> Result<Self, &'static str> {
        let encoded: &[u8; 32] = x.try_into().map_err(|_| "a key has the wrong length")?;
        check_order(encoded)?;
        Ok(Self {
            algorithm: Algorithm::EdDSA,
            prepared: Prepared::Bytes(DecodingKey::from_ed_der(encoded)),
        })
    }

    /// A shared secret.
    ///
    /// # Errors
    /// What is wrong with the secret.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, &'static str> {
        let hash = hmac_of(algorithm)
            .ok_or("a shared secret is for HS256, HS384 or HS512 (the only algorithms with one)")?;
        if secret.len() < hash.digest_algorithm().output_len() {
            return Err("the secret is shorter than the hash (RFC 7518 section 3.2)");
        }
        Ok(Self {
            algorithm,
            prepared: Prepared::Secret(hmac::Key::new(hash, secret)),
        })
    }

    /// The one algorithm this key is for.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature is this key's for the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        match &self.prepared {
            Prepared::Parsed(key) => key.verify_sig(message, signature).is_ok(),
            Prepared::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Prepared::Bytes(key) => (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm, key)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok()),
        }
    }
}

fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    Some(match algorithm {
        Algorithm::HS256 => hmac::HMAC_SHA256,
        Algorithm::HS384 => hmac::HMAC_SHA384,
        Algorithm::HS512 => hmac::HMAC_SHA512,
        _ => return None,
    })
}

/// SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 4;

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &aws::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &aws::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &aws::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &aws::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &aws::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &aws::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
    use std::sync::LazyLock;

    const MESSAGE: &[u8] = b"header.payload";

    static RSA_PAIR: LazyLock<RsaKeyPair> =
        LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

    fn components() -> RsaPublicKeyComponents<Vec<u8>> {
        RSA_PAIR.public_key().into()
    }

    #[track_caller]
    fn verifies_only_this(key: &VerificationKey, signature: &[u8]) {
        let mut signature = signature.to_vec();
        assert!(key.verifies(MESSAGE, &signature));
        assert!(!key.verifies(b"header.other", &signature));
        signature[7] ^= 1;
        assert!(!key.verifies(MESSAGE, &signature));
        assert!(!key.verifies(MESSAGE, &Vec::new()));
    }

    #[test]
    fn verifies_every_rsa_algorithm() {
        let encodings: [&'static dyn aws::RsaEncoding; 6] = [
            &aws::RSA_PKCS1_SHA256,
            &aws::RSA_PKCS1_SHA384,
            &aws::RSA_PKCS1_SHA512,
            &aws::RSA_PSS_SHA256,
            &aws::RSA_PSS_SHA384,
            &aws::RSA_PSS_SHA512,
        ];
        let public = components();
        for (algorithm, encoding) in RSA.iter().zip(encodings) {
            let mut signature = vec![0; 256];
            RSA_PAIR
                .sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature)
                .unwrap();
            let key = VerificationKey::rsa(*algorithm, &public.n, &public.e).unwrap();
            verifies_only_this(&key, &signature);
        }
    }

    #[test]
    fn verifies_elliptic_curves() {
        for (algorithm, signing) in [
            (Algorithm::ES256, &aws::ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::ES384, &aws::ECDSA_P384_SHA384_FIXED_SIGNING),
        ] {
            let pair = EcdsaKeyPair::generate(signing).unwrap();
            let point = pair.public_key().as_ref();
            let (x, y) = point[1..].split_at(point.len() / 2);
            let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
            let key = VerificationKey::elliptic(algorithm, x, y).unwrap();
            verifies_only_this(&key, signature.as_ref());
            assert_eq!(
                VerificationKey::elliptic(algorithm, y, x).unwrap_err(),
                "the point is not on the curve"
            );
        }
    }

    #[test]
    fn verifies_ed25519_under_both_names() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = VerificationKey::edwards(pair.public_key().as_ref()).unwrap();
        verifies_only_this(&key, pair.sign(MESSAGE).as_ref());
        assert!(VerificationKey::edwards(&[0; 32]).is_err());
        assert_eq!(algorithm("EdDSA"), Some(key.algorithm()));
        assert_eq!(algorithm("Ed25519"), Some(key.algorithm()));
    }

    #[test]
    fn verifies_with_a_secret_as_long_as_the_hash() {
        let signature = aws_lc_rs::hmac::sign(
            &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA384, &[7; 48]),
            MESSAGE,
        );
        let key = VerificationKey::secret(Algorithm::HS384, &[7; 48]).unwrap();
        verifies_only_this(&key, signature.as_ref());
        assert!(VerificationKey::secret(Algorithm::HS384, &[7; 47]).is_err());
        assert!(VerificationKey::secret(Algorithm::RS256, &[7; 64]).is_err());
    }

    #[test]
    fn refuses_unfit_rsa_keys() {
        let RsaPublicKeyComponents { n, e } = components();
        let refused =
            |n: &[u8], e: &[u8]| VerificationKey::rsa(Algorithm::RS256, n, e).unwrap_err();
        let mut even = n.clone();
        even[255] -= 1;
        let mut small = n.clone();
        small[0] = 0x7f;
        assert_eq!(refused(&even, &e), "the modulus is even");
        assert_eq!(refused(&small, &e), "the modulus has less than 2048 bits");
        assert_eq!(
            refused(&[&[0], n.as_slice()].concat(), &e),
            "the modulus begins with a zero octet"
        );
        assert_eq!(
            refused(&[0xff; 1025], &e),
            "the modulus has more than 8192 bits"
        );
        for exponent in [&[][..], &[0, 3], &[1], &[2], &[1, 0, 0, 0, 1]] {
            refused(&n, exponent);
        }
    }
}
