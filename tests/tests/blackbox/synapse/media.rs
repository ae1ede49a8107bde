//! Media of either server, for users of the other one.

use super::super::media::{PNG, assert_file, bytes_of, downloading, path_of, uploading};
use super::both_ways;
use skerry_tests::{Federated, Synapse, User, json};

beside_synapse![
    media_of_either_server_reaches_users_of_the_other,
    media_that_is_not_there_is_found_on_neither,
    media_that_is_uploaded_later_is_waited_for,
];

async fn media_of_either_server_reaches_users_of_the_other(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let files = [
            (PNG.to_vec(), "image/png", Some("a b.png")),
            (bytes_of(3_000_000), "application/octet-stream", None),
            // Synapse adds a character set to texts.
            (b"%PDF-".to_vec(), "application/pdf", Some("\u{e9}.pdf")),
        ];
        for (bytes, kind, name) in files {
            let mut request = uploading(&home, &bytes, kind);
            if let Some(name) = name {
                request = request.query("filename", name);
            }
            let uri = request.ok().await;
            let path = path_of(uri["content_uri"].as_str().expect("a URI"));
            let here = downloading(&home, &path).send().await;
            for _ in 0..2 {
                let there = downloading(&guest, &path).send().await;
                assert_file(&there, &bytes, kind);
                let disposition = |it: &skerry_tests::Reply| {
                    let said = it.header("content-disposition").unwrap_or_default();
                    said.split(';').next().unwrap_or_default().to_owned()
                };
                assert_eq!(disposition(&there), disposition(&here), "{kind}");
                let said = there.header("content-disposition").unwrap_or_default();
                assert_eq!(said.contains("filename"), name.is_some(), "{said}");
            }
        }
    }
}

async fn media_that_is_not_there_is_found_on_neither(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let path = format!("{}/nothing", super::server_of(&home));
        downloading(&guest, &path).refused(404, "M_NOT_FOUND").await;
    }
}

async fn media_that_is_uploaded_later_is_waited_for(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let created = home.post("/_matrix/media/v1/create").ok().await;
        let path = path_of(created["content_uri"].as_str().expect("a URI"));
        let put = |user: &User| {
            let put = user.put(format!("/_matrix/media/v3/upload/{path}")).bytes(PNG);
            put.header("content-type", "image/png")
        };
        let waiting = downloading(&guest, &path).query("timeout_ms", 20_000).send();
        let uploading = async {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            assert_eq!(put(&home).ok().await, json!({}));
        };
        let (reply, ()) = tokio::join!(waiting, uploading);
        assert_file(&reply, PNG, "image/png");
    }
}
