//! The supervisor of one source: connects, watches for silence, and connects again.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use argus_core::camera::{RtspTransport, RtspUrl, Source};
use argus_core::ports::StreamTrust;
use argus_core::status::FaultKind;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use url::Url;

use crate::gst::faults::Place;
use crate::gst::ingest::{Input, Session, SessionEvent};
use crate::health::Fault;
use crate::intake::Intake;
use crate::media_path::{PathFault, resolve};
use crate::shared::Shared;

/// A try may take that long.
pub(crate) const TRY_MAX: Duration = Duration::from_secs(15);
/// Without a picture for so long the stream is lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The host must take the connection within that.
const REACH_MAX: Duration = Duration::from_secs(5);
/// With `auto`, TCP has so long before UDP is tried.
const TCP_FIRST: Duration = Duration::from_secs(7);
/// What a person has to mend is tried again after that.
const LASTING_PAUSE: Duration = Duration::from_secs(300);
/// A stream that held that long is healthy again: the pauses begin anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// Longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A source with all that is needed to open it.
pub(crate) struct Opener {
    pub(crate) source: Source,
    pub(crate) trust: StreamTrust,
    pub(crate) media_dirs: Arc<[PathBuf]>,
    pub(crate) tracker: TaskTracker,
}

/// A session that gives pictures.
pub(crate) struct Connected {
    /// Kept for its end: dropped, it is torn down.
    _session: Session,
    events: mpsc::Receiver<SessionEvent>,
    place: Place,
}

/// How a session ended.
enum End {
    Eos,
    Lost(Fault),
}

/// Runs until it is dropped, or a source that does not begin again has ended.
pub(crate) async fn supervise(opener: &Opener, shared: &Arc<Shared>, seed: u64) {
    let run = run(opener, shared, seed);
    let tick = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            shared.tick();
        }
    };
    tokio::select! {
        () = run => {}
        () = tick => {}
    }
}

async fn run(opener: &Opener, shared: &Arc<Shared>, seed: u64) {
    let mut pauses = Pauses { tries: 0, seed };
    loop {
        let fault = match opener.connect(shared, TRY_MAX).await {
            Ok(mut connected) => {
                let since = Instant::now();
                let end = connected.watch(shared).await;
                shared.release_followers();
                if since.elapsed() >= HEALTHY {
                    pauses.reset();
                }
                match end {
                    End::Eos if matches!(opener.source, Source::File { looped: true, .. }) => continue,
                    End::Eos if matches!(opener.source, Source::File { .. }) => {
                        shared.finished();
                        return;
                    }
                    End::Eos => {
                        Fault::new(FaultKind::Unreachable, format!("{} ended the stream", connected.place.who()))
                    }
                    End::Lost(fault) => fault,
                }
            }
            Err(fault) => fault,
        };
        // Whoever watches the state tells people, once and by the camera's name; here it would be a line a try.
        tracing::debug!(reason = %fault.text, kind = %fault.kind, "no picture");
        shared.lost(&fault);
        sleep(pauses.next(&fault)).await;
    }
}

/// How long to wait before the next try.
struct Pauses {
    tries: u32,
    seed: u64,
}

impl Pauses {
    fn reset(&mut self) {
        self.tries = 0;
    }

    /// One second, then twice the one before, to the longest.
    fn next(&mut self, fault: &Fault) -> Duration {
        if fault.kind.is_lasting() {
            self.reset();
            return LASTING_PAUSE;
        }
        let base = Duration::from_secs(1 << self.tries.min(6)).min(PAUSE_MAX);
        self.tries = self.tries.saturating_add(1);
        // Cameras that were lost together shall not come back in step; no random source is needed for that.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let percent = u32::try_from(self.seed >> 33 & 0x1f).unwrap_or(0);
        (base * (84 + percent) / 100).min(PAUSE_MAX)
    }
}

impl Connected {
    /// Waits for the end of the session. Silence is an end too.
    async fn watch(&mut self, shared: &Shared) -> End {
        let began = Instant::now();
        loop {
            let newest = shared.newest_arrival().map_or(began, Instant::from_std);
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(SessionEvent::First) => {}
                    Some(SessionEvent::Ended) | None => return End::Eos,
                    Some(SessionEvent::Lost(fault)) => return End::Lost(fault),
                },
                () = sleep_until(newest + SILENCE_MAX) => {
                    let silent = shared.newest_arrival().is_none_or(|t| t.elapsed() >= SILENCE_MAX);
                    if silent {
                        let text = format!("no picture from {} for {} s", self.place.who(), SILENCE_MAX.as_secs());
                        return End::Lost(Fault::new(FaultKind::Timeout, text));
                    }
                }
            }
        }
    }
}

impl Opener {
    /// One try, at most `limit` long: from nothing to the first access unit.
    pub(crate) async fn connect(&self, shared: &Arc<Shared>, limit: Duration) -> Result<Connected, Fault> {
        let deadline = Instant::now() + limit;
        match &self.source {
            Source::Rtsp { url, username, password, transport } => {
                let (peer, ip) = reach(url).await?;
                if self.trust != StreamTrust::Any && !url.as_str().starts_with("rtsps:") {
                    let text = format!("the stream of {peer} is not encrypted, and only one that is will do");
                    return Err(Fault::new(FaultKind::Invalid, text));
                }
                let place = Place::Camera { peer, has_user: username.is_some() };
                let by_ip = matches!(self.trust, StreamTrust::Pinned(_)).then_some(ip);
                let input = |udp| Input::Rtsp {
                    url: written_out(url, by_ip),
                    username: username.clone(),
                    password: password.clone(),
                    udp,
                    trust: self.trust.clone(),
                };
                match transport {
                    RtspTransport::Tcp => self.once(shared, input(false), place, deadline).await,
                    RtspTransport::Udp => self.once(shared, input(true), place, deadline).await,
                    RtspTransport::Auto => {
                        let early = deadline.min(Instant::now() + TCP_FIRST);
                        match self.once(shared, input(false), place.clone(), early).await {
                            // Some cameras refuse TCP outright, which looks like a stream that holds nothing.
                            Err(fault)
                                if matches!(
                                    fault.kind,
                                    FaultKind::Timeout | FaultKind::Unreachable | FaultKind::Invalid
                                ) =>
                            {
                                let udp = self.once(shared, input(true), place, deadline).await;
                                // When neither works, what TCP said is nearer to the truth: UDP is silent.
                                udp.map_err(|second| if second.kind == FaultKind::Timeout { fault } else { second })
                            }
                            result => result,
                        }
                    }
                }
            }
            Source::Usb { device_index } => {
                let path = format!("/dev/video{device_index}");
                let asked = path.clone();
                beside(deadline, &path, move || device_usable(&asked)).await?;
                self.once(shared, Input::Device(path.clone()), Place::Device(path), deadline).await
            }
            Source::File { path, .. } => {
                let (dirs, path) = (self.media_dirs.clone(), path.clone());
                let real = beside(deadline, "the file", move || file_usable(&dirs, &path)).await?;
                self.once(shared, Input::File(real), Place::File, deadline).await
            }
            Source::Test(pattern) => self.once(shared, Input::Test(*pattern), Place::Test, deadline).await,
            Source::Protect(_) => Err(Fault::new(FaultKind::Invalid, "the cameras of a controller give no video here")),
        }
    }

    async fn once(
        &self,
        shared: &Arc<Shared>,
        input: Input,
        place: Place,
        deadline: Instant,
    ) -> Result<Connected, Fault> {
        let (tx, mut events) = mpsc::channel(16);
        let intake = Intake::new(shared.clone(), tx.clone());
        let token = self.tracker.token();
        let began = Instant::now();
        let (there, who) = (place.clone(), place.who());
        // One that starts too late is taken down as soon as it has.
        let starting = beside(deadline, &who, move || Session::start(&input, &there, intake, tx, token));
        let session = starting.await.map_err(|general| match events.try_recv() {
            // What the pipeline said is nearer to the cause than that it does not start.
            Ok(SessionEvent::Lost(fault)) => fault,
            _ => general,
        })?;
        match timeout_at(deadline, events.recv()).await {
            Ok(Some(SessionEvent::First)) => Ok(Connected { _session: session, events, place }),
            Ok(Some(SessionEvent::Lost(fault))) => Err(fault),
            Ok(Some(SessionEvent::Ended) | None) => {
                Err(Fault::new(FaultKind::Invalid, format!("{} holds no picture", place.who())))
            }
            Err(_elapsed) => {
                let seconds = began.elapsed().as_secs_f64().round();
                Err(Fault::new(FaultKind::Timeout, format!("no picture from {} within {seconds} s", place.who())))
            }
        }
    }
}

/// The address with its port written out: without one GStreamer takes 554 for `rtsps` too, and would send the password to
/// another port than the one that it was stored for. `by_ip` takes the place of the name.
fn written_out(url: &RtspUrl, by_ip: Option<IpAddr>) -> String {
    let Ok(mut written) = Url::parse(url.as_str()) else { return url.as_str().to_owned() };
    // Both fail only for an address without a host, which an `RtspUrl` is not.
    let _ = written.set_port(Some(url.endpoint().1));
    if let Some(ip) = by_ip {
        let _ = written.set_ip_host(ip);
    }
    written.into()
}

/// Makes sure that somebody answers at the camera's port; answers host and port as text, and who took the connection.
async fn reach(url: &RtspUrl) -> Result<(String, IpAddr), Fault> {
    let (host, port) = url.endpoint();
    let peer = format!("{host}:{port}");
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let no_answer = |why: String| Fault::new(FaultKind::Unreachable, format!("no answer from {peer}: {why}"));
    match timeout(REACH_MAX, TcpStream::connect((bare, port))).await {
        Ok(Ok(closed_again)) => match closed_again.peer_addr() {
            Ok(address) => Ok((peer, address.ip())),
            Err(e) => Err(no_answer(e.kind().to_string())),
        },
        Ok(Err(e)) => Err(no_answer(match e.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::TimedOut => "it took too long".to_owned(),
            std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                "there is no way to it".to_owned()
            }
            _ if e.raw_os_error().is_none() => "the name is not known".to_owned(),
            kind => kind.to_string(),
        })),
        Err(_elapsed) => Err(no_answer(format!("it took more than {} s", REACH_MAX.as_secs()))),
    }
}

/// Asks something of the system that may block, such as a disk on the network, and waits for it until `deadline`.
async fn beside<T: Send + 'static>(
    deadline: Instant,
    who: &str,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match timeout_at(deadline, crate::blocking::spawn(work)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_ended)) => Err(Fault::new(FaultKind::Unreachable, "the server is stopping")),
        Err(_elapsed) => Err(Fault::new(FaultKind::Timeout, format!("{who} does not answer in time"))),
    }
}

/// The real place of a file that may be read.
fn file_usable(dirs: &[PathBuf], path: &str) -> Result<PathBuf, Fault> {
    resolve(dirs, path).map_err(|fault| {
        let kind = match fault {
            PathFault::Missing | PathFault::NoFile => FaultKind::NotFound,
            PathFault::Outside | PathFault::Denied => FaultKind::Permission,
        };
        Fault::new(kind, format!("the file {}", fault.reason()))
    })
}

/// Says early and clearly when a device is not there or may not be used.
fn device_usable(path: &str) -> Result<(), Fault> {
    match std::fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(match e.kind() {
            std::io::ErrorKind::NotFound => Fault::new(FaultKind::NotFound, format!("there is no {path}")),
            std::io::ErrorKind::PermissionDenied => {
                Fault::new(FaultKind::Permission, format!("this server may not read {path}"))
            }
            std::io::ErrorKind::ResourceBusy => {
                Fault::new(FaultKind::Unreachable, format!("{path} is in use by another program"))
            }
            kind => Fault::new(FaultKind::NotFound, format!("{path} cannot be opened: {kind}")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_written_out() {
        let written = |address: &str| written_out(&RtspUrl::parse(address).unwrap().0, None);
        assert_eq!(written("rtsps://cam/live?x=1"), "rtsps://cam:322/live?x=1");
        assert_eq!(written("rtsp://cam/live"), "rtsp://cam:554/live");
        assert_eq!(written("rtsp://[::1]:8554/live"), "rtsp://[::1]:8554/live");
        let by_ip = |ip: &str| written_out(&RtspUrl::parse("rtsps://cam:7441/a").unwrap().0, ip.parse().ok());
        assert_eq!(by_ip("192.0.2.7"), "rtsps://192.0.2.7:7441/a");
        assert_eq!(by_ip("fd00::7"), "rtsps://[fd00::7]:7441/a");
    }

    #[tokio::test]
    async fn what_blocks_ends_with_the_deadline() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let soon = Instant::now() + Duration::from_millis(50);
        let fault = beside(soon, "the file", move || {
            let _ = blocked.recv();
            Ok(())
        });
        let fault = fault.await.unwrap_err();
        assert_eq!(fault, Fault::new(FaultKind::Timeout, "the file does not answer in time"));
        drop(release);
        assert_eq!(beside(Instant::now() + TRY_MAX, "", || Ok(7)).await, Ok(7));
    }

    #[test]
    fn pauses_grow_from_one_second_to_sixty() {
        let mut pauses = Pauses { tries: 0, seed: 7 };
        let near = |d: Duration, seconds: f64| {
            let got = d.as_secs_f64();
            assert!((seconds * 0.83..=seconds * 1.17).contains(&got) && got <= 60.0, "{got} for {seconds}");
        };
        let [late, gone] = [FaultKind::Timeout, FaultKind::Unreachable].map(|kind| Fault::new(kind, ""));
        for fault in [&late, &gone] {
            for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
                near(pauses.next(fault), expected);
            }
            pauses.reset();
        }
        near(pauses.next(&gone), 1.0);
        assert_eq!(pauses.next(&Fault::new(FaultKind::NotFound, "")), LASTING_PAUSE);
        near(pauses.next(&late), 1.0);
    }
}
