use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::Server;

fn deliveries(server: &Server) -> Vec<Value> {
    server.settle();
    let pages = (0..4).map(|partition| server.get(&format!("/v1/events?topic=deliveries&partition={partition}")).1);
    pages.flat_map(|page| page["items"].as_array().unwrap().clone()).collect()
}

#[test]
fn a_message_is_routed_to_those_who_subscribed_before_it() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let say = |text: &str| server.post_json("/v1/messages", json!({"thread": "t", "author": "Ines", "text": text})).1;
    say("too early");
    // What is appended before a subscription and not routed yet may be told or not.
    server.settle();
    let wish = json!({"subscriber": "agent-7", "thread": "t"});
    let (status, subscription) = server.post_json("/v1/subscriptions", wish.clone());
    assert_eq!(status, 201, "{subscription}");
    assert_eq!(server.post_json("/v1/subscriptions", wish).1["id"], subscription["id"], "adding twice is one wish");
    let told = say("in time");
    server.post_json("/v1/messages", json!({"thread": "elsewhere", "author": "Ines", "text": "not for them"}));
    let routed = deliveries(&server);
    assert_eq!(routed.len(), 1, "{routed:?}");
    assert_eq!(routed[0]["data"]["message_id"], told["id"]);
    assert_eq!(routed[0]["key"], "agent-7");

    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());
    assert_eq!(server.delete(&path).0, 200);
    assert_eq!(server.delete(&path).0, 404);
    say("too late");
    assert_eq!(deliveries(&server).len(), 1);
    assert_eq!(server.get("/v1/subscriptions").1["items"], json!([]));
}
