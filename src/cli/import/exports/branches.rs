//! Branches: a conversation whose questions were edited and whose answers were made anew, as threads.
//!
//! The current branch, from the root to the leaf that the product showed last, is the conversation's thread. Every
//! other message belongs to exactly one branch, which is named after the message at which it leaves what is known:
//!
//! ```text
//!     a - b - c - d      current: the thread itself
//!          \- e - f      branch e; what stands before e is in the thread and is not repeated
//!              \- g      branch g, which leaves branch e
//! ```
//!
//! Off the current branch the eldest child goes on and younger ones leave, because an answer made anew later is always
//! younger: so a branch keeps its name when the conversation grows.
//!
//! Promises: every message is placed once, whatever the pointers say: loops, several roots and unknown parents
//! included; a message comes after its parent, except in a loop. Never: recurses, so a thread may be as long as it
//! likes.

/// A message and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Which message.
    pub(super) node: usize,
    /// The message at which its branch leaves; `None` on the current branch.
    pub(super) branch: Option<usize>,
}

/// Places messages. `parents` and `children` go by the number of the message; `current` is the leaf of the current
/// branch, and without one the youngest child of each message is followed.
pub(super) fn place(parents: &[Option<usize>], children: &[Vec<usize>], current: Option<usize>) -> Vec<Placed> {
    let leaf = current.or_else(|| youngest(parents, children));
    let mut is_placed = vec![false; parents.len()];
    let mut thread = Vec::new();
    let mut next = leaf;
    while let Some(node) = next.filter(|node| !is_placed[*node]) {
        is_placed[node] = true;
        thread.push(node);
        next = parents[node];
    }
    thread.reverse();
    let mut placed: Vec<Placed> = thread.iter().map(|node| Placed { node: *node, branch: None }).collect();
    let leaving = thread.iter().flat_map(|node| children[*node].iter().copied());
    let roots = (0..parents.len()).filter(|node| parents[*node].is_none());
    // Whatever is left after the roots hangs on a loop.
    for start in leaving.chain(roots).chain(0..parents.len()).collect::<Vec<_>>() {
        place_branches(start, children, &mut is_placed, &mut placed);
    }
    placed
}

/// Places the branch that begins here, and those that leave it.
fn place_branches(start: usize, children: &[Vec<usize>], is_placed: &mut [bool], placed: &mut Vec<Placed>) {
    let mut starts = vec![start];
    while let Some(branch) = starts.pop() {
        let mut next = Some(branch);
        while let Some(node) = next.filter(|node| !is_placed[*node]) {
            is_placed[node] = true;
            placed.push(Placed { node, branch: Some(branch) });
            let mut further = children[node].iter().copied().filter(|child| !is_placed[*child]);
            next = further.next();
            let younger: Vec<usize> = further.collect();
            starts.extend(younger.into_iter().rev());
        }
    }
}

/// The leaf that is reached by the youngest children.
fn youngest(parents: &[Option<usize>], children: &[Vec<usize>]) -> Option<usize> {
    let mut node = (0..parents.len()).find(|node| parents[*node].is_none())?;
    let mut is_seen = vec![false; parents.len()];
    is_seen[node] = true;
    while let Some(child) = children[node].iter().rev().copied().find(|child| !is_seen[*child]) {
        is_seen[child] = true;
        node = child;
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each message as its letter's number, with the branch it is on.
    fn check(parents: &[Option<usize>], current: Option<usize>, expected: &[(usize, Option<usize>)]) {
        let mut children = vec![Vec::new(); parents.len()];
        for (node, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(node);
            }
        }
        let placed: Vec<_> =
            place(parents, &children, current).into_iter().map(|placed| (placed.node, placed.branch)).collect();
        assert_eq!(placed, expected, "{parents:?}");
    }

    #[test]
    fn the_current_branch_is_the_thread_and_nothing_is_said_twice() {
        // a0 - b1 - c2 - d3, e4 and f5 leave at b, g6 leaves at e.
        let parents = [None, Some(0), Some(1), Some(2), Some(1), Some(4), Some(4)];
        let thread = |node| (node, None);
        let expected = [thread(0), thread(1), thread(2), thread(3), (4, Some(4)), (5, Some(4)), (6, Some(6))];
        check(&parents, Some(3), &expected);
    }

    #[test]
    fn without_a_current_leaf_the_youngest_answers_are_followed() {
        check(&[None, Some(0), Some(0)], None, &[(0, None), (2, None), (1, Some(1))]);
    }

    #[test]
    fn a_second_root_and_a_loop_are_kept_as_branches() {
        let parents = [None, Some(0), None, Some(4), Some(3)];
        check(&parents, Some(1), &[(0, None), (1, None), (2, Some(2)), (3, Some(3)), (4, Some(3))]);
        check(&[Some(1), Some(0)], Some(0), &[(1, None), (0, None)]);
        check(&[Some(0)], None, &[(0, Some(0))]);
        check(&[], None, &[]);
    }

    #[test]
    fn a_long_thread_needs_no_deep_stack() {
        let parents: Vec<Option<usize>> = (0..200_000_usize).map(|node| node.checked_sub(1)).collect();
        let children: Vec<Vec<usize>> =
            (1..=200_000).map(|node| if node < 200_000 { vec![node] } else { vec![] }).collect();
        assert_eq!(place(&parents, &children, None).len(), parents.len());
    }
}
