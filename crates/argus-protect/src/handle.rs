//! What can be asked of an open connection, and what comes out of it.

use std::sync::Arc;

use argus_core::controller::{
    ControllerDevice, ControllerError, ControllerHandle, ControllerItem, ControllerState, ControllerStream,
    StreamQuality,
};
use argus_core::ports::{ClipFile, Still};
use argus_core::{Secret, Timestamp};
use async_trait::async_trait;
use tokio_util::sync::DropGuard;

use crate::ProtectError;
use crate::hub::Hub;
use crate::media::Media;
use crate::queue::Queue;
use crate::rtsps;
use crate::supervisor::official::read_cameras;

/// A connection, or why there is none.
pub(crate) struct Handle {
    pub(crate) hub: Arc<Hub>,
    pub(crate) media: Media,
    /// Ends the tasks when the last one who could ask is gone.
    pub(crate) _guard: DropGuard,
}

impl Handle {
    /// Does something, unless the connection is stopped before.
    async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, ProtectError>>,
    ) -> Result<T, ControllerError> {
        tokio::select! {
            () = self.hub.token.cancelled() => Err(ProtectError::Stopped.into()),
            done = work => done.map_err(ControllerError::from),
        }
    }

    async fn read_devices(&self) -> Result<Vec<ControllerDevice>, ProtectError> {
        let client = &self.hub.client;
        let by_account = match client.local() {
            Some(local) => self.hub.read_again(local).await,
            None => Err(ProtectError::Unsupported("there is no local account".into())),
        };
        match (by_account, client.official()) {
            (Ok(()), _) => {}
            (Err(_), Some(official)) => read_cameras(&self.hub, official).await?,
            (Err(e), None) => return Err(e),
        }
        Ok(self.hub.devices())
    }
}

#[async_trait]
impl ControllerHandle for Handle {
    fn state(&self) -> ControllerState {
        self.hub.state()
    }

    fn known_until(&self) -> Option<Timestamp> {
        self.hub.known_until()
    }

    async fn devices(&self) -> Result<Vec<ControllerDevice>, ControllerError> {
        self.unless_stopped(self.read_devices()).await
    }

    async fn snapshot(&self, device: &str, max_width: Option<u32>) -> Result<Still, ControllerError> {
        self.unless_stopped(self.media.snapshot(device, max_width)).await
    }

    async fn recorded(&self, device: &str, at: Timestamp) -> Result<Still, ControllerError> {
        self.unless_stopped(self.media.recorded(device, at)).await
    }

    async fn thumbnail(&self, happening: &str) -> Result<Still, ControllerError> {
        self.unless_stopped(self.media.thumbnail(happening)).await
    }

    async fn clip(&self, device: &str, from: Timestamp, until: Timestamp) -> Result<ClipFile, ControllerError> {
        self.unless_stopped(self.media.clip(device, from, until)).await
    }

    async fn stream_url(&self, device: &str, quality: StreamQuality) -> Result<Secret, ControllerError> {
        self.unless_stopped(rtsps::stream_url(&self.hub, device, quality)).await
    }

    async fn stop(&self) {
        self.hub.token.cancel();
        self.hub.queue.close();
        self.hub.tasks.close();
        self.hub.tasks.wait().await;
    }
}

/// The items of a connection.
pub(crate) struct Stream {
    pub(crate) queue: Arc<Queue>,
}

#[async_trait]
impl ControllerStream for Stream {
    async fn next(&mut self) -> Option<ControllerItem> {
        self.queue.next().await
    }
}

/// What is asked of a controller whose settings cannot be used at all.
pub(crate) struct Broken {
    pub(crate) state: ControllerState,
    pub(crate) error: ProtectError,
    pub(crate) queue: Arc<Queue>,
}

#[async_trait]
impl ControllerHandle for Broken {
    fn state(&self) -> ControllerState {
        self.state.clone()
    }

    fn known_until(&self) -> Option<Timestamp> {
        None
    }

    async fn devices(&self) -> Result<Vec<ControllerDevice>, ControllerError> {
        Err(self.error.clone().into())
    }

    async fn snapshot(&self, _device: &str, _max_width: Option<u32>) -> Result<Still, ControllerError> {
        Err(self.error.clone().into())
    }

    async fn recorded(&self, _device: &str, _at: Timestamp) -> Result<Still, ControllerError> {
        Err(self.error.clone().into())
    }

    async fn thumbnail(&self, _happening: &str) -> Result<Still, ControllerError> {
        Err(self.error.clone().into())
    }

    async fn clip(&self, _device: &str, _from: Timestamp, _until: Timestamp) -> Result<ClipFile, ControllerError> {
        Err(self.error.clone().into())
    }

    async fn stream_url(&self, _device: &str, _quality: StreamQuality) -> Result<Secret, ControllerError> {
        Err(self.error.clone().into())
    }

    async fn stop(&self) {
        self.queue.close();
    }
}
