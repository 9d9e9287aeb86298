//! Commits: what is written beside the documents of each commit, in the same atomic step.
//!
//! Owns: the text form of a commit's payload, which lies in a file that the index library keeps without a checksum.
//! Promises: a payload that was changed, or that was written with another format, is refused with the reason.

use meshlog_schemas::Checkpoints;

use super::{FORMAT, forgettings::Extent};

/// What a commit says about the index as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commit {
    /// How far the projection had read.
    pub(crate) checkpoints: Checkpoints,
    /// How many documents are live, so that a lost segment is noticed.
    pub(crate) documents: u64,
    /// Which part of the file of the forgettings belongs to it.
    pub(crate) forgettings: Extent,
}

impl Commit {
    /// The text to store: a checksum line, then the lines it covers.
    pub(crate) fn to_payload(&self) -> String {
        let Extent { bytes, checksum: lines } = &self.forgettings;
        let (documents, checkpoints) = (self.documents, self.checkpoints.to_text());
        let body = format!("format={FORMAT}\ndocuments={documents}\nforgettings={bytes} {lines}\n{checkpoints}");
        format!("checksum={}\n{body}", checksum(&body))
    }

    /// Reads what [`Commit::to_payload`] wrote. An index without a payload has never been committed to.
    ///
    /// # Errors
    /// Why the payload cannot be used, in words.
    pub(crate) fn from_payload(payload: Option<&str>) -> Result<Self, String> {
        let Some(payload) = payload else {
            return Ok(Self::default());
        };
        let damaged = || "the last commit's payload is damaged".to_owned();
        let (first, body) = payload.split_once('\n').ok_or_else(damaged)?;
        if first.strip_prefix("checksum=") != Some(checksum(body).as_str()) {
            return Err(damaged());
        }
        let (format, rest) = body.strip_prefix("format=").and_then(|rest| rest.split_once('\n')).ok_or_else(damaged)?;
        if format != FORMAT.to_string() {
            return Err(format!("it was written with format {format}, and this version reads format {FORMAT}"));
        }
        let (documents, rest) =
            rest.strip_prefix("documents=").and_then(|rest| rest.split_once('\n')).ok_or_else(damaged)?;
        let (forgettings, checkpoints) =
            rest.strip_prefix("forgettings=").and_then(|rest| rest.split_once('\n')).ok_or_else(damaged)?;
        let (bytes, lines) = forgettings.split_once(' ').ok_or_else(damaged)?;
        Ok(Self {
            documents: documents.parse().map_err(|_| damaged())?,
            forgettings: Extent { bytes: bytes.parse().map_err(|_| damaged())?, checksum: lines.to_owned() },
            checkpoints: Checkpoints::from_text(checkpoints).ok_or_else(damaged)?,
        })
    }
}

fn checksum(body: &str) -> String {
    blake3::hash(body.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};

    use super::*;

    fn commit() -> Commit {
        let mut checkpoints = Checkpoints::default();
        checkpoints.advance(Partition { topic: Topic::Messages, id: 2 }, 41);
        Commit { checkpoints, documents: 7, forgettings: Extent { bytes: 5, checksum: "ab".to_owned() } }
    }

    #[test]
    fn a_payload_round_trips() {
        assert_eq!(Commit::from_payload(Some(&commit().to_payload())), Ok(commit()));
        assert_eq!(Commit::from_payload(None), Ok(Commit::default()));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let payload = commit().to_payload();
        for index in 0..payload.len() {
            let mut bytes = payload.clone().into_bytes();
            bytes[index] ^= 1;
            let changed = String::from_utf8(bytes).expect("a flipped low bit keeps ASCII");
            assert!(Commit::from_payload(Some(&changed)).is_err(), "byte {index}");
        }
    }

    #[test]
    fn another_format_is_named() {
        let body = "format=999\ndocuments=0\n";
        let payload = format!("checksum={}\n{body}", checksum(body));
        assert!(Commit::from_payload(Some(&payload)).is_err_and(|cause| cause.contains("format 999")));
    }
}
