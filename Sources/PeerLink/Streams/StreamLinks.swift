public import Logging
import Metrics
public import NIOCore
public import NIOSSL
public import StreamWire

/// Opens streams to the key holders of one name, as one event loop sees them: over links that are kept warm, to one address after the other.
///
/// Lives on its event loop.
public final class StreamLinks {
    /// Where key holders take streams.
    public struct Configuration: Sendable {
        /// Who each address must prove to be.
        public var expected: PeerIdentity
        public var addresses: [PeerAddress]
        /// Key holders that connect to this edge by themselves, whose connections carry streams, too.
        public var dialledBy: [PeerIdentity]
        /// Of each link.
        public var limits = StreamMachine.Limits()
        /// By how much the windows of all links may be larger than they are at first: one for all event loops.
        public let budget = WindowBudget(StreamMachine.Limits().growth)
        /// A link over which nothing comes for so long after a stream was opened may be dead: another one is tried.
        public var silence = TimeAmount.seconds(1)

        public init(expected: PeerIdentity, addresses: [PeerAddress], dialledBy: [PeerIdentity] = []) {
            self.expected = expected
            self.addresses = addresses
            self.dialledBy = dialledBy
        }

        /// Connections that there are at most, on one event loop, with those that end.
        public var mostLinks: Int { 2 * StreamPath.mostLinks * self.ends.count }

        var ends: [KeyHolderEnd] {
            self.addresses.map { .address($0) } + self.dialledBy.map { .dialling($0) }
        }
    }

    private let loop: any EventLoop
    private let silence: TimeAmount
    private var paths: [StreamPath] = []
    /// Which of them comes first for the next stream.
    private var turn = 0
    private var dials: [ObjectIdentifier: StreamDial] = [:]
    private(set) var isStopped = false
    private var isResting = false

    /// - Parameters:
    ///   - tls: with the protocol of streams (`PeerCredentials.clientContext(protocols:)`).
    ///   - intake: where key holders connect, if any is to.
    public init(
        _ configuration: Configuration, tls: NIOSSLContext, intake: LinkIntake?,
        eventLoop: any EventLoop,
        logger: Logger
    ) {
        self.loop = eventLoop
        self.silence = configuration.silence
        let name = configuration.expected.name
        let metrics = (
            opened: Counter(
                label: "latchstring_edge_native_links_opened_total", dimensions: [("keyholder", name)]),
            ready: Meter(label: "latchstring_edge_native_links_ready", dimensions: [("keyholder", name)])
        )
        for (index, end) in configuration.ends.enumerated() {
            self.paths.append(
                StreamPath(
                    end: end, configuration, tls: tls, intake: intake, loop: eventLoop, logger: logger,
                    metrics: metrics,
                    events: StreamPath.Events(
                        ready: { [weak self] in self?.changed(index, failure: nil) },
                        failed: { [weak self] in self?.changed(index, failure: "\(end): \($0)") })))
        }
    }

    /// Has a link to each address from now on. Without that the first stream brings them about.
    public func warm() {
        guard !self.isStopped, !self.isResting else { return }
        for path in self.paths { path.start() }
    }

    /// Has links from now on only while clients want them.
    public func rest() {
        self.isResting = true
        for path in self.paths { path.rest() }
    }

    /// Opens no more streams; links end with the streams that they have.
    public func stop() {
        self.isStopped = true
        for dial in self.dials.values { dial.fail("the edge is stopping") }
        self.dials = [:]
        for path in self.paths { path.stop() }
    }

    private func changed(_ index: Int, failure: String?) {
        for dial in self.dials.values { dial.changed(index, failure: failure) }
    }

    // MARK: Streams

    public enum Failure: Error, Equatable, Sendable {
        /// No key holder took the stream in time; what the last one had to say.
        case timeout(String?)
        /// None took it; what the last one had to say.
        case refused(String)
    }

    /// Opens a stream at one of the addresses that takes it.
    ///
    /// - Parameters:
    ///   - introduction: what the key holder is told of the client.
    ///   - first: sent with that, and again where another one is asked, so nothing that must not be repeated.
    ///   - completion: called once, on the event loop, unless the dial is cancelled before.
    /// - Returns: what cancels it.
    public func open(
        introduction: ByteBuffer, first: ByteBuffer, within time: TimeAmount,
        completion: @escaping (Result<StreamChannel, Failure>) -> Void
    ) -> () -> Void {
        guard !self.isStopped, !self.paths.isEmpty else {
            completion(
                .failure(.refused(self.isStopped ? "the edge is stopping" : "no address is configured")))
            return {}
        }
        self.turn = (self.turn + 1) % self.paths.count
        let order = (0..<self.paths.count).map { ($0 + self.turn) % self.paths.count }
        let dial = StreamDial(
            self.paths, order: order, introduction: introduction, first: first, deadline: .now() + time,
            silence: self.silence, loop: self.loop)
        let id = ObjectIdentifier(dial)
        self.dials[id] = dial
        dial.begin { result in
            self.dials[id] = nil
            completion(result)
        }
        return {
            self.dials[id] = nil
            dial.cancel()
        }
    }
}

/// One stream that is to be opened: at one address after the other, until one takes it, all have refused, or the time is over.
private final class StreamDial {
    private let paths: [StreamPath]
    private let order: [Int]
    private let introduction: ByteBuffer
    private let first: ByteBuffer
    private let deadline: NIODeadline
    private let silence: TimeAmount
    private let loop: any EventLoop
    private var completion: ((Result<StreamChannel, StreamLinks.Failure>) -> Void)?
    /// Those that have failed or refused.
    private var failed: Set<Int> = []
    private var lastFailure: String?
    /// Those that have refused once: others come first.
    private var passed: Set<Int> = []
    /// The stream that one was asked to take.
    private var asked: (index: Int, channel: StreamChannel)?
    private var timer: Scheduled<Void>?

    init(
        _ paths: [StreamPath], order: [Int], introduction: ByteBuffer, first: ByteBuffer,
        deadline: NIODeadline, silence: TimeAmount, loop: any EventLoop
    ) {
        self.paths = paths
        self.order = order
        self.introduction = introduction
        self.first = first
        self.deadline = deadline
        self.silence = silence
        self.loop = loop
    }

    func begin(_ completion: @escaping (Result<StreamChannel, StreamLinks.Failure>) -> Void) {
        self.completion = completion
        self.next()
    }

    func cancel() {
        self.completion = nil
        self.timer?.cancel()
        let asked = self.asked
        self.asked = nil
        asked?.channel.close(promise: nil)
    }

    func fail(_ reason: String) { self.finish(.failure(.refused(reason))) }

    private func finish(_ result: Result<StreamChannel, StreamLinks.Failure>) {
        guard let completion = self.completion else { return }
        self.completion = nil
        self.timer?.cancel()
        let asked = self.asked
        self.asked = nil
        if case .failure = result { asked?.channel.close(promise: nil) }
        completion(result)
    }

    /// A link to this address has come about, or none has.
    func changed(_ index: Int, failure: String?) {
        guard self.completion != nil else { return }
        if let failure {
            guard self.asked?.index != index else { return }
            self.failed.insert(index)
            self.lastFailure = failure
        }
        if self.asked == nil { self.next() }
    }

    private func next() {
        let left = self.deadline - .now()
        guard left > .zero else { return self.finish(.failure(.timeout(self.lastFailure))) }
        for index in self.order where !self.failed.contains(index) {
            guard let refusal = self.paths[index].refusal else { continue }
            self.failed.insert(index)
            self.lastFailure = refusal
        }
        var candidates = self.order.filter { !self.failed.contains($0) && !self.passed.contains($0) }
        candidates += self.order.filter { !self.failed.contains($0) && self.passed.contains($0) }
        for index in candidates {
            guard let link = self.paths[index].next(), self.ask(link, index, left, of: candidates.count)
            else { continue }
            return
        }
        guard !candidates.isEmpty else {
            return self.finish(.failure(.refused(self.lastFailure ?? "no key holder is connected")))
        }
        self.arm(in: left) { self.finish(.failure(.timeout(self.lastFailure))) }
        for index in candidates { self.paths[index].hurry() }
    }

    private func ask(_ link: StreamLinkHandler, _ index: Int, _ left: TimeAmount, of count: Int)
        -> Bool
    {
        let channel = link.open(introduction: self.introduction, first: self.first) { opening in
            guard let asked = self.asked, asked.index == index, self.completion != nil else { return }
            switch opening {
            case .accepted: self.finish(.success(asked.channel))
            case .refused(let reason): self.refused(index, reason)
            }
        }
        guard let channel else { return false }
        self.asked = (index, channel)
        let begun = NIODeadline.now()
        // One that does not answer leaves time for the others.
        let share = TimeAmount.nanoseconds(max(1_000_000, left.nanoseconds / Int64(count)))
        self.arm(in: min(share, self.silence)) {
            guard link.lastReceived >= begun, share > self.silence else {
                return self.gaveUp(index, link, since: begun)
            }
            // It lives, and may have much to do.
            self.arm(in: share - self.silence) { self.gaveUp(index, link, since: begun) }
        }
        return true
    }

    /// The stream was not taken in time.
    private func gaveUp(_ index: Int, _ link: StreamLinkHandler, since begun: NIODeadline) {
        guard let asked = self.asked else { return }
        self.asked = nil
        let isSilent = link.lastReceived < begun
        if isSilent { self.paths[index].suspect(link, since: begun) }
        asked.channel.close(promise: nil)
        self.lastFailure = "the key holder did not take the stream in time"
        // Behind a dead link there may be one that lives: that is tried as well, once.
        if !isSilent || !self.passed.insert(index).inserted { self.failed.insert(index) }
        self.next()
    }

    private func refused(_ index: Int, _ reason: String) {
        self.asked = nil
        self.lastFailure = reason
        // A link that drains has another one behind it: that is tried as well, once.
        if !self.passed.insert(index).inserted { self.failed.insert(index) }
        self.next()
    }

    private func arm(in time: TimeAmount, _ body: @escaping () -> Void) {
        self.timer?.cancel()
        self.timer = self.loop.assumeIsolated().scheduleTask(in: time, body)
    }
}
