//! The connections to all controllers.

use std::path::PathBuf;
use std::sync::Arc;

use argus_core::Clock;
use argus_core::controller::{
    ControllerConfig, ControllerItem, ControllerPlan, ControllerProbe, Controllers, OpenController,
};
use async_trait::async_trait;

use crate::Tuning;
use crate::client::Client;
use crate::handle::{Broken, Handle, Stream};
use crate::hub::Hub;
use crate::lockout::Lockouts;
use crate::media::Media;
use crate::queue::Queue;
use crate::session::Keep;
use crate::state::{Interface, Side, Standing};
use crate::tracker::{Rules, Tracker};
use crate::{probe, supervisor};

/// Connects to UniFi Protect controllers.
pub struct Protect {
    clock: Arc<dyn Clock>,
    temp_dir: PathBuf,
    tuning: Arc<Tuning>,
    lockouts: Lockouts,
}

impl Protect {
    /// Reads time from `clock` and writes clips to `temp_dir` while they are fetched; it should be on the disk to which
    /// they will be moved.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, temp_dir: PathBuf, tuning: Tuning) -> Self {
        Self { clock, temp_dir, tuning: Arc::new(tuning), lockouts: Lockouts::default() }
    }
}

#[async_trait]
impl Controllers for Protect {
    /// Must be called inside a tokio runtime.
    fn open(&self, plan: ControllerPlan) -> OpenController {
        let queue = Arc::new(Queue::new(self.tuning.queue));
        let keep: Keep = {
            let queue = Arc::clone(&queue);
            Arc::new(move |kept| Hub::keep(&queue, kept))
        };
        let client = Client::with(
            &plan.config,
            Arc::clone(&self.clock),
            Arc::clone(&self.tuning),
            self.lockouts.clone(),
            plan.kept.as_ref(),
            keep,
        );
        let stream = Box::new(Stream { queue: Arc::clone(&queue) });
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                let mut standing = Standing::new(true, false, Default::default());
                standing.set(Interface::Local, Side::Refused(error.clone()), self.clock.now());
                let state = standing.state();
                queue.replace(ControllerItem::State(state.clone()));
                return OpenController { stream, handle: Arc::new(Broken { state, error, queue }) };
            }
        };
        let tracker = Tracker::new(Rules::of(&self.tuning));
        let (hub, asked) = Hub::new(plan.id, client, Arc::clone(&self.tuning), queue, tracker);
        queue_first_state(&hub);
        supervisor::start(&hub, asked, plan.known_until);
        let guard = hub.token.clone().drop_guard();
        let media = Media::new(Arc::clone(&hub), self.temp_dir.clone());
        OpenController { stream, handle: Arc::new(Handle { hub, media, _guard: guard }) }
    }

    async fn probe(&self, config: &ControllerConfig) -> ControllerProbe {
        // No keeping, and no trying again: a test says how it is now.
        let tuning = Tuning { retries: 0, answer: self.tuning.answer.min(self.tuning.probe), ..(*self.tuning).clone() };
        let limit = tuning.probe;
        let client = Client::with(
            config,
            Arc::clone(&self.clock),
            Arc::new(tuning),
            self.lockouts.clone(),
            None,
            Arc::new(|_kept| {}),
        );
        probe::probe(client, limit).await
    }
}

/// A reader learns at once how things stand.
fn queue_first_state(hub: &Hub) {
    hub.queue.replace(ControllerItem::State(hub.state()));
}
