use serde_json::json;
use tempfile::tempdir;

use crate::support::Server;

#[test]
fn a_time_is_resolved_against_the_time_at_which_it_was_said() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let send = |id: &str, sent_at: &str, text: &str| {
        let message = json!({"id": id, "thread": "garden", "author": "Mina", "sent_at": sent_at, "text": text});
        let (status, receipt) = server.post_json("/v1/messages?wait=indexed", message);
        assert_eq!(status, 202, "{receipt}");
    };
    // A Wednesday.
    send("1", "2025-05-07T13:56:00Z", "The greenhouse was painted last Friday, and on 9 June the roses come.");
    send("2", "2025-05-07T13:57:00Z", "The greenhouse may need another coat of paint.");

    send("3", "2025-05-07T13:58:00Z", "My birthday is on 9 June.");

    let day = |text: &str, start: &str, end: &str| json!({"text": text, "start": start, "end": end, "grain": "day", "bound": "within"});
    let expected = json!([
        day("last Friday", "2025-05-02T00:00:00Z", "2025-05-03T00:00:00Z"),
        day("9 June", "2025-06-09T00:00:00Z", "2025-06-10T00:00:00Z"),
    ]);
    let (_, page) = server.get("/v1/threads/garden/messages");
    let (_, found) = server.post_json("/v1/recall", json!({"query": "the painted greenhouse", "limit": 10}));
    for answers in [&page["items"], &found["results"]] {
        let message = |id: &str| answers.as_array().unwrap().iter().find(|message| message["source_id"] == id).unwrap();
        assert_eq!(message("1")["times"], expected, "{answers}");
        assert_eq!(message("2").get("times"), None);
    }

    // A day that is named by what is known of who speaks; the reader of a page sees it once it is known.
    send("4", "2025-05-08T10:00:00Z", "We meet the week before my birthday.");
    server.settle();
    let (_, page) = server.get("/v1/threads/garden/messages?order=newest&limit=1");
    let time = &page["items"][0]["times"][0];
    assert_eq!(
        (&time["text"], &time["start"], &time["end"], &time["grain"]),
        (
            &json!("the week before my birthday"),
            &json!("2025-06-02T00:00:00Z"),
            &json!("2025-06-09T00:00:00Z"),
            &json!("week")
        ),
        "{page}"
    );
}
