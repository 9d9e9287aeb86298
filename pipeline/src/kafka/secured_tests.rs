//! TLS and SASL against a real broker, which `scripts/with-kafka.sh` starts and names in MESHLOG_TEST_KAFKA_SASL, _TLS and
//! _SECRETS.

use std::{env, fs, path::Path};

use meshlog_schemas::Headers;
use pollster::block_on;
use uuid::Uuid;

use super::*;
use crate::record::{NewRecord, ReadLimit};

/// A listener of the broker with the settings that one of the files in the folder of secrets holds for it, or `None` where
/// there is no broker, which is said.
fn options(listener: &str, file: &str) -> Option<KafkaOptions> {
    let (Ok(brokers), Ok(secrets)) = (env::var(listener), env::var("MESHLOG_TEST_KAFKA_SECRETS")) else {
        eprintln!("left out: {listener} names no broker; run scripts/with-kafka.sh cargo test");
        return None;
    };
    let settings = fs::read_to_string(Path::new(&secrets).join(file)).unwrap();
    let client = settings.lines().map(|line| line.split_once('=').unwrap());
    let client = client.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let prefix = format!("test.{}.", Uuid::now_v7().simple());
    Some(KafkaOptions { brokers, prefix, client, ..KafkaOptions::default() })
}

fn sasl(file: &str) -> Option<KafkaOptions> {
    options("MESHLOG_TEST_KAFKA_SASL", file)
}

fn tls() -> Option<KafkaOptions> {
    options("MESHLOG_TEST_KAFKA_TLS", "tls.properties")
}

fn layout() -> Vec<TopicLayout> {
    vec![TopicLayout { topic: Topic::Messages, partitions: 1 }]
}

fn check_appends_and_reads(options: &KafkaOptions) {
    let log = KafkaLog::open(layout(), options).unwrap();
    let record = NewRecord {
        topic: Topic::Messages,
        key: b"key".to_vec().into(),
        headers: Headers::from_iter([("ce_id", "1")]),
        body: b"body".to_vec().into(),
        identity: None,
    };
    let receipts = block_on(log.append(Batch { records: vec![record], progress: None })).unwrap();
    let position = receipts[0].position;
    let read = log.read(position.partition, position.offset, ReadLimit { records: 1, bytes: usize::MAX }).unwrap();
    assert_eq!(read[0].body, b"body"[..]);
}

/// The log does not open, and the error says so with each of these words, and without the password.
fn check_refused(options: Option<KafkaOptions>, change: impl FnOnce(&mut KafkaOptions), words: &[&str]) {
    let Some(mut options) = options else { return };
    change(&mut options);
    let error = KafkaLog::open(layout(), &options).err().unwrap().to_string();
    for word in words.iter().chain([&options.brokers.as_str()]) {
        assert!(error.contains(word), "\"{word}\" is missing: {error}");
    }
    if let Some(password) = options.client.get("sasl.password") {
        assert!(!error.contains(password), "{error}");
    }
}

fn set(options: &mut KafkaOptions, name: &str, value: &str) {
    options.client.insert(name.to_owned(), value.to_owned());
}

/// The authority that signed nothing takes the place of the right one.
fn trust_another(options: &mut KafkaOptions) {
    let secrets = env::var("MESHLOG_TEST_KAFKA_SECRETS").unwrap();
    set(options, "ssl.ca.location", &format!("{secrets}/other-ca.pem"));
}

#[test]
fn a_log_behind_a_password_that_is_never_sent_is_opened() {
    let Some(options) = sasl("scram.properties") else { return };
    check_appends_and_reads(&options);
}

#[test]
fn a_log_behind_a_password_that_is_sent_over_tls_is_opened() {
    let Some(options) = sasl("plain.properties") else { return };
    check_appends_and_reads(&options);
}

#[test]
fn a_log_behind_a_client_certificate_is_opened() {
    let Some(options) = tls() else { return };
    check_appends_and_reads(&options);
}

#[test]
fn a_wrong_password_is_named() {
    for file in ["scram.properties", "plain.properties"] {
        let wrong = |options: &mut KafkaOptions| set(options, "sasl.password", "battery-staple");
        check_refused(sasl(file), wrong, &["reach the brokers", "uthentication failed"]);
    }
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted_is_named() {
    let words = ["reach the brokers", "certificate", "ssl.ca.location"];
    check_refused(sasl("scram.properties"), trust_another, &words);
    check_refused(tls(), trust_another, &words);
}

#[test]
fn a_client_certificate_that_is_missing_is_named() {
    let without = |options: &mut KafkaOptions| {
        options.client.remove("ssl.certificate.location").unwrap();
        options.client.remove("ssl.key.location").unwrap();
    };
    check_refused(tls(), without, &["reach the brokers", "certificate"]);
}

#[test]
fn plain_text_where_tls_is_spoken_is_named() {
    let plain = |options: &mut KafkaOptions| options.client.clear();
    check_refused(tls(), plain, &["reach the brokers", "security.protocol"]);
    check_refused(sasl("scram.properties"), plain, &["reach the brokers", "security.protocol"]);
}

#[test]
fn tls_where_plain_text_is_spoken_is_named() {
    let Ok(brokers) = env::var("MESHLOG_TEST_KAFKA") else { return };
    let elsewhere = |options: &mut KafkaOptions| options.brokers = brokers.split(',').next().unwrap().to_owned();
    check_refused(tls(), elsewhere, &["reach the brokers", "SSL"]);
}

#[test]
fn a_file_of_certificates_that_is_not_there_is_named() {
    let gone = |options: &mut KafkaOptions| set(options, "ssl.ca.location", "/nowhere/ca.pem");
    let Some(mut options) = tls() else { return };
    gone(&mut options);
    let error = KafkaLog::open(layout(), &options).err().unwrap().to_string();
    assert!(error.contains("ssl.ca.location") && error.contains("/nowhere/ca.pem"), "{error}");
}
