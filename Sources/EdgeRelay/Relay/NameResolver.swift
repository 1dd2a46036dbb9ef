public import Admission
import Dispatch
import EdgeModel
public import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Why a name has no addresses.
public enum ResolveError: Error, Equatable, Sendable {
    /// DNS says that the name, or an address for it, does not exist.
    case noSuchName
    /// DNS did not answer, or answered with a failure that may pass. The text is the system's.
    case failed(String)
    /// More look-ups are waiting than the limit allows.
    case tooManyLookups

    var reason: String {
        switch self {
        case .noSuchName: "no such name"
        case .failed: "DNS failed"
        case .tooManyLookups: "DNS overloaded"
        }
    }
}

/// Looks names up without blocking an event loop: on a few threads of its own, with bounded queues and a small cache.
///
/// Concurrent requests for one name share one look-up, and every site and every client's network has its share of threads
/// and queue: see ``LookupQueue``. Names that clients choose and names that the configuration chooses belong into separate resolvers, so
/// that a flood of the one cannot delay the other.
public final class NameResolver: Sendable {
    /// What a resolver may use.
    public struct Limits: Sendable {
        /// Look-ups that run at once, each on a thread.
        public var threads = 16
        /// Look-ups that run at once for one site; its others wait for their turn.
        public var runningPerSite = 4
        /// The same for one client's network, over all sites.
        public var runningPerClient = 2
        /// Requests that wait or run at once, shared ones included; more fail with ``ResolveError/tooManyLookups``.
        public var waiting = 1024
        /// The same for one site.
        public var waitingPerSite = 256
        /// The same for one client's network; one more takes the place of its oldest.
        public var waitingPerClient = 64
        /// Answers remembered, and as many failures.
        public var cacheEntries = 1024
        /// How long an answer is remembered.
        public var cacheLifetime: TimeAmount = .seconds(30)
        /// How long a failure is remembered: a name that does not resolve keeps no thread busy again meanwhile.
        public var failureLifetime: TimeAmount = .seconds(5)

        public init() {}
    }

    /// A look-up that was asked for.
    public struct Request: Sendable {
        /// Never an empty array. Fails with ``ResolveError``, or `CancellationError` after ``NameResolver/cancel(_:)``.
        public let addresses: EventLoopFuture<[IPAddress]>
        fileprivate let id: UInt64
        fileprivate let host: String
    }

    /// Finds a name's addresses, blocking.
    public typealias Lookup = @Sendable (_ host: String) throws(ResolveError) -> [IPAddress]

    private struct State {
        var answers: ResolverCache<[IPAddress]>
        var failures: ResolverCache<ResolveError>
        var queue: LookupQueue<EventLoopPromise<[IPAddress]>>
        var lastID: UInt64 = 0

        func known(_ host: String, now: NIODeadline) -> Result<[IPAddress], ResolveError>? {
            if let addresses = self.answers.answer(for: host, now: now) { return .success(addresses) }
            return self.failures.answer(for: host, now: now).map { .failure($0) }
        }
    }

    private let state: Mutex<State>
    private let pool: NIOThreadPool
    private let lookup: Lookup

    /// Starts the threads. Call ``shutdown()`` when done.
    ///
    /// - Parameter lookup: How to find addresses; the system's resolver (getaddrinfo) by default.
    public init(limits: Limits = Limits(), lookup: @escaping Lookup = NameResolver.systemLookup) {
        self.lookup = lookup
        self.state = Mutex(
            State(
                answers: ResolverCache(capacity: limits.cacheEntries, lifetime: limits.cacheLifetime),
                failures: ResolverCache(capacity: limits.cacheEntries, lifetime: limits.failureLifetime),
                queue: LookupQueue(limits: limits)))
        self.pool = NIOThreadPool(numberOfThreads: limits.threads)
        self.pool.start()
    }

    /// Stops taking look-ups. Does not wait for the ones under way, which the system may hold up for many seconds.
    public func shutdown() {
        self.pool.shutdownGracefully(queue: .global()) { _ in }
    }

    /// Requests that wait or run.
    var waiting: Int { self.state.withLock { $0.queue.waiters } }

    /// Finds the addresses of a name.
    ///
    /// - Parameters:
    ///   - site: whose share of the resolver is used.
    ///   - client: the network of the client that asks, whose share is used too; nil if it has no bounds.
    public func resolve(
        _ host: String, site: String, client: ClientNetwork?, on eventLoop: any EventLoop, now: NIODeadline
    ) -> Request {
        let promise = eventLoop.makePromise(of: [IPAddress].self)
        var known: Result<[IPAddress], ResolveError>?
        var entry = LookupQueue<EventLoopPromise<[IPAddress]>>.Entry(step: .wait)
        let id: UInt64 = self.state.withLock { state in
            state.lastID += 1
            known = state.known(host, now: now)
            if known == nil {
                entry = state.queue.enter(promise, id: state.lastID, host: host, site: site, client: client)
            }
            return state.lastID
        }
        if let known {
            Self.complete(promise, known)
        } else if entry.step == .overloaded {
            promise.fail(ResolveError.tooManyLookups)
        } else if entry.step == .start {
            self.start(host)
        }
        for other in entry.displaced { other.fail(ResolveError.tooManyLookups) }
        return Request(addresses: promise.futureResult, id: id, host: host)
    }

    /// No caller waits for this any more: it no longer counts, and a look-up that has not begun never will.
    public func cancel(_ request: Request) {
        let promise = self.state.withLock { $0.queue.leave(id: request.id, host: request.host) }
        promise?.fail(CancellationError())
    }

    private func start(_ host: String) {
        self.pool.submit { state in
            guard case .active = state else {
                return self.finish(host, .failure(.failed("the resolver is shut down")), isAnswer: false)
            }
            switch self.state.withLock({ $0.queue.start(host) }) {
            case .lookUp:
                let result: Result<[IPAddress], ResolveError> = Result { () throws(ResolveError) in
                    try self.lookup(host)
                }
                self.finish(host, result, isAnswer: true)
            case .abandoned(let next):
                for host in next { self.start(host) }
            }
        }
    }

    private func finish(_ host: String, _ result: Result<[IPAddress], ResolveError>, isAnswer: Bool) {
        var result = result
        if case .success(let addresses) = result, addresses.isEmpty { result = .failure(.noSuchName) }
        let now = NIODeadline.now()
        let (promises, next) = self.state.withLock { [result] state in
            if isAnswer {
                switch result {
                case .success(let addresses): state.answers.store(addresses, for: host, now: now)
                case .failure(let error): state.failures.store(error, for: host, now: now)
                }
            }
            return state.queue.finish(host)
        }
        for host in next { self.start(host) }
        for promise in promises { Self.complete(promise, result) }
    }

    private static func complete(
        _ promise: EventLoopPromise<[IPAddress]>, _ result: Result<[IPAddress], ResolveError>
    ) {
        switch result {
        case .success(let addresses): promise.succeed(addresses)
        case .failure(let error): promise.fail(error)
        }
    }

    /// The system's resolver, in the order of preference that it gives (RFC 6724). Blocks the calling thread.
    @Sendable
    public static func systemLookup(_ host: String) throws(ResolveError) -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        guard status == 0 else {
            // -5 is glibc's EAI_NODATA, hidden behind _GNU_SOURCE: the name exists, but has no address.
            if status == EAI_NONAME || status == -5 { throw .noSuchName }
            throw .failed(String(cString: gai_strerror(status)))
        }
        defer { freeaddrinfo(list) }
        var addresses: [IPAddress] = []
        var next = list
        while let info = next?.pointee {
            next = info.ai_next
            guard let address = Self.address(of: info), !addresses.contains(address) else { continue }
            addresses.append(address)
        }
        return addresses
    }

    /// The bytes after family and port (and, in IPv6, the flow label).
    private static func address(of info: addrinfo) -> IPAddress? {
        guard let address = info.ai_addr else { return nil }
        let bytes = UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen))
        switch info.ai_family {
        case AF_INET where bytes.count >= 8: return IPAddress(bytes: bytes[4..<8])
        case AF_INET6 where bytes.count >= 24: return IPAddress(bytes: bytes[8..<24])
        default: return nil
        }
    }
}
