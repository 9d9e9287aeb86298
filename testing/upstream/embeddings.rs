//! Embeddings: unit vectors that depend on nothing but the text, as floats or as base64.

use super::{
    counts::Usage,
    prompt::{self, Embed},
    wire::push,
};

const USUAL_DIMENSIONS: usize = 8;
const MOST_DIMENSIONS: usize = 16_384;

/// The body and the usage of an answer.
pub(super) fn answer(embed: &Embed<'_>) -> (Vec<u8>, Usage) {
    let texts = embed.texts();
    let dimensions = embed.dimensions.unwrap_or(USUAL_DIMENSIONS).clamp(1, MOST_DIMENSIONS);
    let mut json = br#"{"object":"list","data":["#.to_vec();
    for (index, text) in texts.iter().enumerate() {
        let vector = vector(text, dimensions);
        let vector = if embed.is_base64() { base64(&vector) } else { floats(&vector) };
        let comma = if index == 0 { "" } else { "," };
        push(&mut json, format_args!(r#"{comma}{{"object":"embedding","index":{index},"embedding":{vector}}}"#));
    }
    let prompt = texts.iter().map(|text| (text.len() as u64).div_ceil(4)).sum();
    let model = serde_json::Value::from(&*embed.model);
    push(
        &mut json,
        format_args!(r#"],"model":{model},"usage":{{"prompt_tokens":{prompt},"total_tokens":{prompt}}}}}"#),
    );
    (json, Usage { prompt, ..Usage::default() })
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = prompt::hash(text.as_bytes());
    // 24 bits are what an `f32` holds, so the vectors are the same on every machine.
    let mut coordinate = || (prompt::next(&mut state) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let vector: Vec<f32> = (0..dimensions).map(|_| coordinate()).collect();
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.into_iter().map(|value| value / length).collect()
}

fn floats(vector: &[f32]) -> String {
    serde_json::to_string(vector).unwrap_or_default()
}

fn base64(vector: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut text = String::from('"');
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0, |bits, (at, byte)| bits | usize::from(*byte) << (16 - 8 * at));
        for digit in 0..4 {
            let is_there = digit <= group.len();
            text.push(if is_there { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text.push('"');
    text
}
