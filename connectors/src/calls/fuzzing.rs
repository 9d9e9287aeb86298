//! What must hold for any bytes that a caller or a provider sends, as checks for the fuzz targets (see `fuzz/Cargo.toml`).

use bytes::Bytes;

use super::{record::pieces, request::Request};
use crate::providers::{
    Kind, Reader,
    openai::{EventReader, WholeReader},
};

/// Any body is a call or is refused; what is changed of it for a provider is read again as the same call.
pub fn call_request(bytes: &[u8]) {
    for kind in [Kind::Chat, Kind::Embeddings] {
        let Ok(request) = Request::read(kind, Bytes::copy_from_slice(bytes)) else { continue };
        let _ = (request.said(), request.count_tokens());
        assert_eq!(request.body_for(&request.model, false), request.body);
        let changed = request.body_for("another", true);
        let again = Request::read(kind, changed).expect("what was read is written as it can be read");
        assert_eq!((again.model.as_str(), again.mode, again.said()), ("another", request.mode, request.said()));
    }
}

/// Any answer is read or is a failure, and it is the same however it is cut. The first byte says where.
pub fn model_answer(bytes: &[u8]) {
    let (cut, body) = bytes.split_first().map_or((1, bytes), |(first, rest)| (usize::from(*first).max(1), rest));
    let body = Bytes::copy_from_slice(body);
    let read = |mut reader: Box<dyn Reader>, cut: usize| {
        let mut given = Vec::new();
        let mut result = Ok(());
        for at in (0..body.len()).step_by(cut) {
            result = reader.read(&body.slice(at..body.len().min(at + cut)), &mut given);
            if result.is_err() {
                break;
            }
        }
        let result = result.and_then(|()| reader.end(&mut given));
        // Where an event that has no data ends depends on what comes behind it.
        let given = given.iter().flat_map(|piece| piece.bytes.to_vec()).collect::<Vec<_>>();
        (result.map_err(|failure| failure.class), given, reader.summary().clone())
    };
    let whole = body.len().max(1);
    let readers: [fn() -> Box<dyn Reader>; 2] =
        [|| Box::new(EventReader::new(false)), || Box::new(WholeReader::new(Kind::Chat))];
    for reader in readers {
        let (result, given, summary) = read(reader(), cut);
        let (result_at_once, given_at_once, summary_at_once) = read(reader(), whole);
        assert_eq!((&result, summary), (&result_at_once, summary_at_once));
        if result.is_ok() {
            assert_eq!(given, given_at_once);
        }
    }
    let _ = pieces(&body);
}
