//! A real RTSP server with GStreamer's server library, which a test can kill, freeze and change while clients watch.
//!
//! The pictures are encoded once ([`crate::clips`]) and sent in real time. All clients of a mount share one media, and its
//! scene begins anew when the first of them comes: a fresh client of `Scene::MovingBox` always sees the quiet part first.

mod media;
mod pump;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gstreamer as gst;
use gstreamer::glib;
use gstreamer_rtsp::{RTSPAuthMethod, RTSPLowerTrans};
use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::gio;
use gstreamer_rtsp_server::prelude::*;
use gstreamer_rtsp_server::{RTSPFilterResult, RTSPMediaFactory, RTSPServer, RTSPSessionPool, RTSPThreadPool};

use crate::clips::{self, ClipSpec, EncodedClip, Video};
use crate::scene::Scene;
use media::{Login, ROLE, Settings, auth, connect_media, launch_line};
use pump::{Command, Feed};

/// The mount that every server has.
const DEFAULT_PATH: &str = "/cam";
/// How long the server's own thread may take for what it is asked.
const LOOP_DEADLINE: Duration = Duration::from_secs(30);

/// How clients may receive the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transports {
    /// Interleaved in the RTSP connection; UDP is refused with 461.
    TcpOnly,
    /// UDP only; interleaving is refused with 461.
    UdpOnly,
    /// As the client likes.
    Both,
}

/// Prepares a [`RtspServer`].
#[derive(Debug, Clone)]
#[must_use = "nothing listens before start()"]
pub struct RtspServerBuilder {
    spec: ClipSpec,
    film: Option<Arc<EncodedClip>>,
    sound: bool,
    settings: Settings,
}

impl RtspServerBuilder {
    /// Sends a film from elsewhere ([`clips::read_mp4`]) in place of a generated scene.
    pub fn film(mut self, film: Arc<EncodedClip>) -> Self {
        self.spec = film.spec;
        self.film = Some(film);
        self
    }

    /// The codec; `Video::None` sends sound only.
    pub fn video(mut self, video: Video) -> Self {
        self.spec.video = video;
        self
    }

    /// Size in pixels; the width a multiple of 8, the height even.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.spec.width, self.spec.height) = (width, height);
        self
    }

    /// Pictures a second.
    pub fn fps(mut self, fps: u32) -> Self {
        self.spec.fps = fps;
        self
    }

    /// Pictures from one key frame to the next.
    pub fn gop(mut self, gop: u32) -> Self {
        self.spec.gop = gop;
        self
    }

    /// What is seen.
    pub fn scene(mut self, scene: Scene) -> Self {
        self.spec.scene = scene;
        self
    }

    /// Whether a sound track lies beside the picture.
    pub fn sound(mut self, sound: bool) -> Self {
        self.sound = sound;
        self
    }

    /// Asks every client for this user and password by Digest, as most cameras do.
    pub fn auth(self, user: &str, password: &str) -> Self {
        self.login(user, password, RTSPAuthMethod::Digest)
    }

    /// Asks every client for this user and password by Basic.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.login(user, password, RTSPAuthMethod::Basic)
    }

    fn login(mut self, user: &str, password: &str, method: RTSPAuthMethod) -> Self {
        self.settings.login = Some(Login { user: user.to_owned(), password: password.to_owned(), method });
        self
    }

    /// Which transports are allowed.
    pub fn transports(mut self, transports: Transports) -> Self {
        self.settings.transports = transports;
        self
    }

    /// Speaks `rtsps` with a fresh self-signed certificate for `127.0.0.1` and `localhost`.
    pub fn tls(mut self, tls: bool) -> Self {
        self.settings.tls = tls.then(|| {
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).expect("a self-signed certificate");
            format!("{}\n{}", made.cert.pem(), made.signing_key.serialize_pem())
        });
        self
    }

    /// Speaks `rtsps` with that certificate and key, both as PEM.
    pub fn identity(mut self, pem: String) -> Self {
        self.settings.tls = Some(pem);
        self
    }

    /// Encodes the scene if this process has not done so yet, listens on a free loopback port and mounts `/cam`.
    pub fn start(self) -> RtspServer {
        RtspServer::start(self)
    }
}

/// A running RTSP server; dropping it ends it as [`RtspServer::kill`] does.
pub struct RtspServer {
    settings: Settings,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    loop_thread: Option<JoinHandle<()>>,
    pump: Sender<Command>,
    pump_thread: Option<JoinHandle<()>>,
    mounts: Mutex<Vec<Mount>>,
    connections: Arc<AtomicUsize>,
    next_media: Arc<AtomicU64>,
    port: u16,
}

impl std::fmt::Debug for RtspServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtspServer").field("port", &self.port).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Mount {
    feed: Arc<Feed>,
    sound: bool,
}

/// What lives on the server's own thread while it listens.
struct Live {
    server: RTSPServer,
    sessions: RTSPSessionPool,
    socket: gio::Socket,
    source: glib::Source,
}

thread_local! {
    static LIVE: RefCell<Option<Live>> = const { RefCell::new(None) };
}

impl RtspServer {
    /// Starts from [`ClipSpec::default`], without sound, password or TLS, over any transport.
    pub fn builder() -> RtspServerBuilder {
        RtspServerBuilder {
            spec: ClipSpec::default(),
            film: None,
            sound: false,
            settings: Settings { login: None, transports: Transports::Both, tls: None },
        }
    }

    fn start(builder: RtspServerBuilder) -> Self {
        gst::init().expect("GStreamer");
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (ready, is_ready) = channel();
        let loop_thread = std::thread::spawn({
            let (context, main_loop) = (context.clone(), main_loop.clone());
            move || {
                context
                    .with_thread_default(|| {
                        ready.send(()).expect("somebody waits for this thread");
                        main_loop.run();
                    })
                    .expect("a context of its own");
            }
        });
        // Before the thread owns its context, `invoke` would run things on the thread of the caller.
        is_ready.recv_timeout(LOOP_DEADLINE).expect("the server's thread runs");
        let (pump, commands) = channel();
        let pump_thread = std::thread::spawn(move || pump::run(&commands));
        let mut server = Self {
            settings: builder.settings,
            context,
            main_loop,
            loop_thread: Some(loop_thread),
            pump,
            pump_thread: Some(pump_thread),
            mounts: Mutex::default(),
            connections: Arc::default(),
            next_media: Arc::default(),
            port: 0,
        };
        server.lock_mounts().push(new_mount(DEFAULT_PATH, builder.spec, builder.film, builder.sound));
        server.port = server.listen(0);
        server
    }

    /// Adds a mount (such as `/cam2`) with its own stream; clients may come at once.
    pub fn mount(&self, path: &str, spec: ClipSpec) {
        self.add(new_mount(path, spec, None, false));
    }

    /// Adds a mount that sends a film from elsewhere.
    pub fn mount_film(&self, path: &str, film: Arc<EncodedClip>) {
        self.add(new_mount(path, film.spec, Some(film), false));
    }

    fn add(&self, mount: Mount) {
        let factory = self.factory(&mount);
        let path = mount.feed.path.clone();
        self.lock_mounts().push(mount);
        self.on_loop(move |live| {
            if let Some(points) = live.as_ref().and_then(|live| live.server.mount_points()) {
                points.add_factory(&path, factory);
            }
        });
    }

    /// The address of `/cam`, without user and password.
    pub fn url(&self) -> String {
        self.url_of(DEFAULT_PATH)
    }

    /// The address of any mount, without user and password.
    pub fn url_of(&self, path: &str) -> String {
        let scheme = if self.settings.tls.is_some() { "rtsps" } else { "rtsp" };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    /// The address of `/cam` with user and password inside.
    pub fn url_with_credentials(&self) -> String {
        let mut url = url::Url::parse(&self.url()).expect("an own address");
        if let Some(Login { user, password, .. }) = &self.settings.login {
            url.set_username(user).expect("an address with a host");
            url.set_password(Some(password)).expect("an address with a host");
        }
        url.to_string()
    }

    /// The port; it stays the same over [`RtspServer::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that are open now.
    pub fn clients(&self) -> usize {
        self.on_loop(|live| live.as_ref().map_or(0, |live| live.server.client_filter(None).len()))
    }

    /// Connections since the start, over all restarts.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Pictures sent on `/cam` since the start.
    pub fn frames_sent(&self) -> u64 {
        self.feed(DEFAULT_PATH).sent()
    }

    /// What `/cam` sends just now, with its ground truth; `None` when it has no picture.
    pub fn clip(&self) -> Option<Arc<EncodedClip>> {
        self.feed(DEFAULT_PATH).clip()
    }

    /// How far the scene of `/cam` has come, for [`Scene::moves_at`]; `None` before the first picture. It lags behind
    /// nothing but the encoder's and the network's delay; frozen time counts too, although the scene stood still.
    pub fn scene_position(&self) -> Option<Duration> {
        self.feed(DEFAULT_PATH).position()
    }

    /// Drops every client and stops listening, like a power cut; what was sent last may never arrive. When this returns,
    /// connecting is refused.
    pub fn kill(&self) {
        self.tell_pump(Command::StopAll);
        self.on_loop(close);
        self.tell_pump(Command::StopAll);
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(begun.elapsed() < LOOP_DEADLINE, "the port is still open");
            std::thread::yield_now();
        }
    }

    /// Listens again on the same port, with the same mounts. The scenes begin anew.
    pub fn restart(&self) {
        let port = self.listen(self.port);
        assert_eq!(port, self.port, "the port of before");
    }

    /// From now on no picture leaves, on any mount, while the connections stay open. A client that comes anew gets the
    /// description and one picture.
    pub fn freeze(&self) {
        self.each_feed(|feed| feed.freeze(true));
    }

    /// Ends [`RtspServer::freeze`]; time has gone on meanwhile.
    pub fn thaw(&self) {
        self.each_feed(|feed| feed.freeze(false));
    }

    /// Freezes or thaws one mount alone.
    pub fn freeze_mount(&self, path: &str, frozen: bool) {
        self.feed(path).freeze(frozen);
    }

    /// Goes on in another size on every mount, from the next picture on, without a break in time. Clients get the new
    /// parameter sets in the stream, before a key frame; the description that they hold is the old one.
    pub fn switch_resolution(&self, width: u32, height: u32) {
        self.each_feed(|feed| feed.switch(ClipSpec { width, height, ..feed.spec() }));
    }

    /// Goes on with another scene on every mount, from its beginning, with a key frame and without a break in time. The
    /// background stays the same.
    pub fn switch_scene(&self, scene: Scene) {
        self.each_feed(|feed| feed.switch(ClipSpec { scene, ..feed.spec() }));
    }

    /// The same on one mount alone.
    pub fn switch_scene_of(&self, path: &str, scene: Scene) {
        let feed = self.feed(path);
        feed.switch(ClipSpec { scene, ..feed.spec() });
    }

    fn each_feed(&self, act: impl Fn(&Feed)) {
        let feeds: Vec<_> = self.lock_mounts().iter().map(|mount| mount.feed.clone()).collect();
        for feed in feeds {
            act(&feed);
        }
    }

    fn feed(&self, path: &str) -> Arc<Feed> {
        let mounts = self.lock_mounts();
        let mount = mounts.iter().find(|mount| mount.feed.path == path);
        mount.unwrap_or_else(|| panic!("no mount {path}")).feed.clone()
    }

    fn lock_mounts(&self) -> MutexGuard<'_, Vec<Mount>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_pump(&self, command: Command) {
        self.pump.send(command).expect("the pump runs");
    }

    /// Runs `act` on the server's own thread and waits for its result.
    fn on_loop<R: Send + 'static>(&self, act: impl FnOnce(&mut Option<Live>) -> R + Send + 'static) -> R {
        let (done, result) = channel();
        self.context.invoke_with_priority(glib::Priority::HIGH, move || {
            let value = LIVE.with(|live| act(&mut live.borrow_mut()));
            // The caller may have given up; its own deadline says so.
            let _ = done.send(value);
        });
        result.recv_timeout(LOOP_DEADLINE).expect("the server's thread answers")
    }

    /// Listens on `port` (0 = any) and returns the real one.
    fn listen(&self, port: u16) -> u16 {
        let factories: Vec<_> =
            self.lock_mounts().iter().map(|mount| (mount.feed.path.clone(), self.factory(mount))).collect();
        let settings = self.settings.clone();
        let connections = self.connections.clone();
        let context = self.context.clone();
        self.on_loop(move |live| {
            assert!(live.is_none(), "the server listens already");
            let server = RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service(&port.to_string());
            let sessions = RTSPSessionPool::new();
            server.set_session_pool(Some(&sessions));
            // Clients live on this thread, so that closing them never races with what they do.
            let threads = RTSPThreadPool::new();
            threads.set_max_threads(0);
            server.set_thread_pool(Some(&threads));
            if let Some(auth) = auth(&settings) {
                server.set_auth(Some(&auth));
            }
            let points = server.mount_points().expect("mount points");
            for (path, factory) in factories {
                points.add_factory(&path, factory);
            }
            server.connect_client_connected(move |_, _| {
                connections.fetch_add(1, Ordering::Relaxed);
            });
            let socket = server.create_socket(gio::Cancellable::NONE).expect("a socket to listen on");
            let watched = server.clone();
            let source = SocketExtManual::create_source(
                &socket,
                glib::IOCondition::IN,
                gio::Cancellable::NONE,
                Some("rtsp listener"),
                glib::Priority::DEFAULT,
                move |socket, condition| match RTSPServer::io_func(socket, condition, &watched) {
                    Ok(()) => glib::ControlFlow::Continue,
                    Err(_) => glib::ControlFlow::Break,
                },
            );
            source.attach(Some(&context));
            let port = socket
                .local_address()
                .expect("a bound socket")
                .downcast::<gio::InetSocketAddress>()
                .expect("an internet address")
                .port();
            *live = Some(Live { server, sessions, socket, source });
            port
        })
    }

    /// Makes the pipeline of a mount on demand; its pictures come from the pump.
    fn factory(&self, mount: &Mount) -> RTSPMediaFactory {
        let factory = RTSPMediaFactory::new();
        factory.set_launch(&launch_line(mount.feed.spec().video, mount.sound));
        factory.set_shared(true);
        factory.set_protocols(match self.settings.transports {
            Transports::TcpOnly => RTSPLowerTrans::TCP,
            Transports::UdpOnly => RTSPLowerTrans::UDP,
            Transports::Both => RTSPLowerTrans::TCP | RTSPLowerTrans::UDP,
        });
        factory.add_role_from_structure(
            &gst::Structure::builder(ROLE)
                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_ACCESS, true)
                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, true)
                .build(),
        );
        let (feed, next_media) = (mount.feed.clone(), self.next_media.clone());
        let pump = Mutex::new(self.pump.clone());
        factory.connect_media_configure(move |_, media| {
            let pump = pump.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let id = next_media.fetch_add(1, Ordering::Relaxed);
            connect_media(media, id, &feed, pump);
        });
        factory
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        self.tell_pump(Command::StopAll);
        self.on_loop(close);
        self.main_loop.quit();
        self.tell_pump(Command::Quit);
        for thread in [self.loop_thread.take(), self.pump_thread.take()].into_iter().flatten() {
            // A panic over there has already failed whoever waited for it.
            let _ = thread.join();
        }
    }
}

fn new_mount(path: &str, spec: ClipSpec, film: Option<Arc<EncodedClip>>, sound: bool) -> Mount {
    let clip = film.or_else(|| (spec.video != Video::None).then(|| clips::encode_clip(spec)));
    Mount { feed: Arc::new(Feed::new(path, spec, clip)), sound }
}

/// Closes everything on the server's thread.
fn close(live: &mut Option<Live>) {
    let Some(Live { server, sessions, socket, source }) = live.take() else { return };
    source.destroy();
    socket.close().expect("the listening socket closes");
    server.client_filter(Some(&mut |_, _| RTSPFilterResult::Remove));
    // Sessions over UDP would outlive their connection by a minute.
    sessions.filter(Some(&mut |_, _| RTSPFilterResult::Remove));
}
