//! The native core alone: verify, admit, hash. What Python adds is in `test_*.py`.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use _rust::canonical::hash_arguments;
use _rust::charge::{Charge, Terms};
use _rust::jwk::KeySet;
use _rust::jwt::{Settings, Verifier};
use _rust::limiter::{Limiter, Settings as Holding};

const NOW: f64 = 1_800_000_000.0;
const PAYLOAD: &str = r#"{"iss":"https://as.example.com","aud":"https://mcp.example.com/mcp","sub":"user-1","client_id":"agent-1","scope":"mcp:tools:read","exp":1800000600,"iat":1800000000,"jti":"0f6d2c1e"}"#;

criterion_group!(benches, verify, admit, hash);
criterion_main!(benches);

fn verify(criterion: &mut Criterion) {
    let random = SystemRandom::new();
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let edwards = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(edwards.public_key());
    let jwk = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
    let sign = |message: &[u8]| edwards.sign(message).as_ref().to_vec();
    verify_one(criterion, "EdDSA", &jwk, sign);

    let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
    let ecdsa = EcdsaKeyPair::from_pkcs8(curve, pkcs8.as_ref(), &random).unwrap();
    let (x, y) = ecdsa.public_key().as_ref().split_at(1).1.split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let jwk = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
    let sign = |message: &[u8]| ecdsa.sign(&random, message).unwrap().as_ref().to_vec();
    verify_one(criterion, "ES256", &jwk, sign);
}

fn verify_one(
    criterion: &mut Criterion,
    algorithm: &str,
    jwk: &str,
    sign: impl Fn(&[u8]) -> Vec<u8>,
) {
    let keys = KeySet::from_json(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).unwrap();
    let settings = Settings::new(
        "https://as.example.com",
        "https://mcp.example.com/mcp",
        &[algorithm],
    );
    let verifier = Verifier::new(Arc::new(keys), settings).unwrap();
    let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt"}}"#);
    let signed = [header.as_str(), PAYLOAD].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = signed.join(".");
    let token = format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()))
    );
    criterion.bench_function(&format!("verify {algorithm}"), |bencher| {
        bencher.iter(|| {
            verifier
                .verify(black_box(token.as_bytes()), NOW, None)
                .unwrap()
        });
    });
}

fn admit(criterion: &mut Criterion) {
    let limiter = Limiter::new(Holding::default()).unwrap();
    let charges: Vec<_> = ["client:a", "tool:delete_*:a", "organization:acme"]
        .into_iter()
        .flat_map(|key| [(key, "900000000/minute"), (key, "1000000000/day")])
        .map(|(key, limit)| Charge::new(key, limit, Terms::default()).unwrap())
        .collect();
    let charges: Vec<_> = charges.iter().collect();
    let mut tick = 0;
    criterion.bench_function("admit 3 budgets x 2 windows", |bencher| {
        bencher.iter(|| {
            tick += 1_000;
            limiter
                .admit("acme", black_box(&charges), tick)
                .unwrap()
                .unwrap()
        });
    });
    let spent = Charge::new("spent", "0/day", Terms::default()).unwrap();
    criterion.bench_function("refuse", |bencher| {
        bencher.iter(|| {
            limiter
                .admit("acme", black_box(&[&spent]), tick)
                .unwrap()
                .unwrap_err()
        });
    });
}

fn hash(criterion: &mut Criterion) {
    let item = r#"{"sku":"SKU-00001","quantity":3,"price":12.5,"gift":false,"note":"Grüße"}"#;
    for (name, items) in [("100 B", 1), ("1 KB", 13), ("1 MB", 13_000)] {
        let body = format!(r#"{{"items":[{}]}}"#, vec![item; items].join(","));
        criterion.bench_function(&format!("hash {name}"), |bencher| {
            bencher.iter(|| hash_arguments(black_box(body.as_bytes()), None).unwrap());
        });
    }
}
