//! Messages into rooms of several sizes, and how they reach those who wait for them.

use crate::{
    bench::Bench,
    readers::{Reader, Readers},
    report::Measured,
    world::{self, say},
};

/// Longer than a poll waits for the message that is under way.
const POLL_MS: u64 = 50_000;

/// What goes on in a room that is measured.
struct Scene {
    room: String,
    members: Vec<skerry_tests::User>,
    readers: Option<Readers>,
}

impl Scene {
    /// One message, until all who are active have read it.
    async fn message(&mut self) {
        let sender = self.members.first().expect("a member");
        let event = say(sender, &self.room).await;
        if let Some(readers) = &mut self.readers {
            readers.have_read(&event).await;
        }
    }

    /// After a pause in which nobody has written, and the room is still in memory.
    async fn warm(&mut self, bench: &Bench) -> Measured {
        self.message().await;
        bench.calm_and_warm(self.members.first().expect("a member"), &self.room).await;
        bench.meter.measure(self.message()).await
    }

    /// A few seconds after another message.
    async fn again(&mut self, bench: &Bench) -> Measured {
        self.message().await;
        bench.meter.measure_without_alarms(self.message()).await
    }

    /// When neither the room nor its members are in memory.
    async fn cold(&mut self, bench: &mut Bench) -> Measured {
        bench.meter.calm().await;
        self.message().await;
        bench.meter.calm().await;
        bench.forget([&self.room], &self.members);
        bench.meter.measure(self.message()).await
    }
}

/// Into a room of two, of whom none waits for it and the other has not read what came before.
pub(super) async fn alone(bench: &mut Bench) {
    let members = bench.users(2).await;
    let room = world::room(&members).await;
    let mut scene = Scene { room, members, readers: None };
    let does = "send, 2 members, none waits";
    bench.row("send.alone", does, async |bench| scene.warm(bench).await).await;
    let does = "send, 2 members, none waits, within 10 s of another";
    bench.row("send.alone.again", does, async |bench| scene.again(bench).await).await;
    let does = "send, 2 members, none waits, after a quiet spell";
    bench.row("send.alone.cold", does, async |bench| scene.cold(bench).await).await;
}

/// From a message to the answer of one poll that waited for it: what it costs beyond the sending.
pub(super) async fn delivery(bench: &mut Bench) {
    let members = bench.users(2).await;
    let room = world::room(&members).await;
    let sender = members.first().expect("a member").clone();
    let mut reader = Reader::new(members.last().expect("a member")).await;
    let does = "one delivery: a waiting poll is answered";
    bench
        .row("delivery", does, async |bench| {
            say(&sender, &room).await;
            reader.poll(POLL_MS).await;
            let mut waiting = reader.clone();
            let poll = tokio::spawn(async move { waiting.poll(POLL_MS).await });
            let message = async {
                let event = say(&sender, &room).await;
                let sync = poll.await.expect("an answer");
                let joined = sync.joined(&room).expect("the room has news");
                assert!(joined.event(&event).is_some(), "the answer has another event");
            };
            bench.calm_and_warm(&sender, &room).await;
            let measured = bench.meter.measure_without_alarms(message).await;
            measured.beyond(&bench.earlier("send.alone.again"))
        })
        .await;
    let mut readers = Readers::start(&[reader]);
    let does = "one delivery, and the client's next poll begins";
    bench
        .row("delivery.next_poll", does, async |bench| {
            bench.calm_and_warm(&sender, &room).await;
            readers.have_read(&say(&sender, &room).await).await;
            let message = async {
                let event = say(&sender, &room).await;
                readers.have_read(&event).await;
            };
            let measured = bench.meter.measure_without_alarms(message).await;
            measured.beyond(&bench.earlier("send.alone.again"))
        })
        .await;
    readers.stop().await;
    bench.meter.calm().await;
}

/// Into a room of so many, of whom some wait for messages, the sender among them.
pub(super) async fn read_by(bench: &mut Bench, count: usize, active: usize) {
    let members = bench.users(count).await;
    let room = world::room(&members).await;
    let readers = bench.readers(active).await;
    let readers = Some(Readers::start(&readers));
    let mut scene = Scene { room, members, readers };
    let name = format!("send.{count}");
    let does = format!("send, {count} members, {active} read and poll again");
    bench.row(&name, &does, async |bench| scene.warm(bench).await).await;
    let again = format!("{does}, within 10 s of another");
    bench.row(&format!("{name}.again"), &again, async |bench| scene.again(bench).await).await;
    let cold = format!("{does}, after a quiet spell");
    bench.row(&format!("{name}.cold"), &cold, async |bench| scene.cold(bench).await).await;
    if let Some(readers) = scene.readers.take() {
        readers.stop().await;
    }
    // The room is told once more that those who were active have not read what it told them.
    let does = format!("send, {count} members, none waits any more, after a quiet spell");
    bench.row(&format!("{name}.cold.stopped"), &does, async |bench| scene.cold(bench).await).await;
    let does = format!("send, {count} members, none waits, after a quiet spell");
    bench.row(&format!("{name}.cold.none"), &does, async |bench| scene.cold(bench).await).await;
}
