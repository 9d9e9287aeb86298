//! Breaks: answers in one body that go wrong on their way.

use std::time::Duration;

use super::{
    refusals::error_object,
    script::Break,
    wire::{Left, Transfer, Wire},
};

const JSON: &str = "application/json";
const PAGE: &[u8] =
    b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n";
const BLOCK: &[u8] = &[b'a'; 64 << 10];
const MEBIBYTE: u64 = 1 << 20;

/// Sends a body in a broken way.
pub(super) async fn send(
    wire: &mut Wire<'_>,
    headers: &[(&str, &str)],
    body: &[u8],
    broken: Break,
    number: Option<u64>,
) -> Result<(), Left> {
    let half = &body[..body.len() / 2];
    let length = Transfer::Length(body.len());
    match broken {
        Break::ErrorInOk | Break::ErrorInStream | Break::ErrorFirst => {
            let error = error_object("The server is overloaded.", "overloaded_error", "null", "null");
            wire.whole(200, JSON, headers, &error).await
        }
        Break::Cut => {
            wire.head(200, JSON, length, headers);
            wire.send(half).await?;
            wire.reset().await
        }
        Break::CutFirst => {
            wire.reset_at_once();
            Ok(())
        }
        Break::CutHead => {
            wire.head(200, JSON, length, headers);
            wire.reset().await
        }
        Break::HalfLine => {
            wire.head(200, JSON, Transfer::Chunks, headers);
            wire.send(half).await?;
            wire.end().await
        }
        Break::Malformed => wire.whole(200, JSON, headers, half).await,
        Break::Drip => {
            wire.drip = Some(Duration::from_millis(number.unwrap_or(1)));
            wire.whole(200, JSON, headers, body).await
        }
        Break::Never => std::future::pending().await,
        Break::Stall => {
            wire.head(200, JSON, length, headers);
            wire.send(half).await?;
            std::future::pending().await
        }
        Break::WrongType => wire.whole(200, "text/html; charset=utf-8", headers, PAGE).await,
        Break::Empty => wire.whole(200, JSON, headers, b"").await,
        Break::Gigantic | Break::Huge => huge(wire, headers, number.unwrap_or(1)).await,
    }
}

/// A completion whose content has so many mebibytes.
async fn huge(wire: &mut Wire<'_>, headers: &[(&str, &str)], mebibytes: u64) -> Result<(), Left> {
    let before = br#"{"id":"chatcmpl-huge","object":"chat.completion","created":1790000000,"model":"huge","choices":[{"index":0,"message":{"role":"assistant","content":""#;
    let after = br#"","refusal":null},"logprobs":null,"finish_reason":"stop"}]}"#;
    let length = usize::try_from(mebibytes * MEBIBYTE).unwrap_or(usize::MAX) + before.len() + after.len();
    wire.head(200, JSON, Transfer::Length(length), headers);
    wire.send(before).await?;
    send_mebibytes(wire, mebibytes).await?;
    wire.hold(after);
    wire.end().await
}

/// Sends the inside of a JSON string of so many mebibytes.
pub(super) async fn send_mebibytes(wire: &mut Wire<'_>, mebibytes: u64) -> Result<(), Left> {
    for _ in 0..mebibytes * MEBIBYTE / BLOCK.len() as u64 {
        wire.send(BLOCK).await?;
    }
    Ok(())
}
