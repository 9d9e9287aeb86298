//! Keys of the calls store: byte strings whose order is the order of the lists.

use uuid::Uuid;

use super::{row::CallRow, store::CallSelection, usage::Bucket};
use crate::{
    Micros,
    database::keys::{ordered, put_name},
};

/// What the place of a call within a list takes: its time and its id.
const PLACE: usize = 8 + 16;

/// The lists of calls. All keys of a list begin with its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Of a space.
    Recent,
    /// Of a thread.
    OfThread,
    /// Of a space, in one state.
    OfState,
}

impl List {
    pub(super) const ALL: [List; 3] = [List::Recent, List::OfThread, List::OfState];

    /// The list that has what is selected, and what its keys begin with.
    pub(super) fn of(selection: &CallSelection) -> (Self, Vec<u8>) {
        let CallSelection { space, thread, state } = selection;
        match (thread, state) {
            (Some(thread), _) => (List::OfThread, begin(&[space, thread])),
            (None, Some(state)) => (List::OfState, begin(&[space, state])),
            (None, None) => (List::Recent, begin(&[space])),
        }
    }

    /// The key of a call in this list, if it stands there.
    pub(super) fn key(self, call: &CallRow) -> Option<Vec<u8>> {
        let names = match self {
            List::Recent => begin(&[&call.space]),
            List::OfThread => begin(&[&call.space, call.thread.as_ref()?]),
            List::OfState => begin(&[&call.space, &call.state]),
        };
        Some(placed(names, call.requested_at, call.call_id))
    }
}

/// The key of a call in a list: the newest first, by the time of its request, then by its id.
pub(super) fn placed(mut names: Vec<u8>, requested_at: Micros, id: Uuid) -> Vec<u8> {
    names.extend(ordered(requested_at).map(|byte| !byte));
    names.extend(id.as_bytes().map(|byte| !byte));
    names
}

/// Whether this is a key of the list whose keys begin with `names`.
pub(super) fn is_placed(names: &[u8], key: &[u8]) -> bool {
    key.len() == names.len() + PLACE && key.starts_with(names)
}

/// The call's id at the end of a list's key.
pub(super) fn call_of(key: &[u8]) -> Option<Uuid> {
    let inverted: [u8; 16] = key.get(key.len().checked_sub(16)?..)?.try_into().ok()?;
    Some(Uuid::from_bytes(inverted.map(|byte| !byte)))
}

/// The key of a bucket: by its day first.
pub(super) fn bucket(bucket: &Bucket) -> Vec<u8> {
    let Bucket { day, space, provider, model, key_label, kind } = bucket;
    let mut key = ordered(*day).to_vec();
    for name in [space, provider, model, key_label, kind] {
        put_name(&mut key, name);
    }
    key
}

/// Where the buckets of a day begin.
pub(super) fn day(day: i64) -> [u8; 8] {
    ordered(day)
}

/// The bucket of a key.
pub(super) fn bucket_of(key: &[u8]) -> Option<Bucket> {
    let (day, mut rest) = key.split_first_chunk::<8>()?;
    let mut name = || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (name, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        rest = after;
        Some(String::from_utf8_lossy(name).into_owned())
    };
    Some(Bucket {
        day: (u64::from_be_bytes(*day) ^ (1 << 63)).cast_signed(),
        space: name()?,
        provider: name()?,
        model: name()?,
        key_label: name()?,
        kind: name()?,
    })
}

fn begin(names: &[&String]) -> Vec<u8> {
    let mut key = Vec::with_capacity(names.iter().map(|name| name.len() + 2).sum::<usize>() + PLACE);
    names.iter().for_each(|name| put_name(&mut key, name));
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_read_back_from_its_key() {
        for day in [i64::MIN, -1, 0, 20_000, i64::MAX] {
            let is = Bucket {
                day,
                space: "s/t".into(),
                provider: String::new(),
                model: "ž".into(),
                key_label: "\0".into(),
                kind: "chat".into(),
            };
            let key = bucket(&is);
            assert_eq!(bucket_of(&key), Some(is));
            assert_eq!(bucket_of(&key[..key.len() - 1]), None);
        }
    }

    #[test]
    fn the_newest_stands_first_and_ids_decide_between_equals() {
        let key = |at, id| placed(begin(&[&"s".to_owned()]), at, Uuid::from_u128(id));
        let keys = [key(7, 1), key(3, 9), key(3, 2), key(-4, 5)];
        assert!(keys.is_sorted());
        assert_eq!(call_of(&keys[1]), Some(Uuid::from_u128(9)));
        assert!(is_placed(&begin(&[&"s".to_owned()]), &keys[0]));
        assert!(!is_placed(&begin(&[&"t".to_owned()]), &keys[0]));
        assert!(!is_placed(&begin(&[&"s".to_owned()]), &keys[0][1..]));
    }
}
