import Dispatch
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

/// Looks names up without blocking an event loop: on a few threads of its own, with a bounded queue and a small cache.
///
/// Concurrent requests for one name share one look-up. Names that clients choose and names that the configuration chooses
/// belong into separate resolvers, so that a flood of the one cannot delay the other.
public final class NameResolver: Sendable {
    /// What a resolver may use.
    public struct Limits: Sendable {
        /// Look-ups that run at once, each on a thread.
        public var threads = 4
        /// Requests that wait or run at once, shared ones included; more fail with ``ResolveError/tooManyLookups``.
        public var waiting = 1024
        /// Answers remembered.
        public var cacheEntries = 1024
        /// How long an answer is remembered.
        public var cacheLifetime: TimeAmount = .seconds(30)

        public init() {}
    }

    /// Finds a name's addresses, blocking.
    public typealias Lookup = @Sendable (_ host: String) throws(ResolveError) -> [IPAddress]

    private struct State {
        var cache: ResolverCache
        var waiting: [String: [EventLoopPromise<[IPAddress]>]] = [:]
        var waitingCount = 0
    }

    private enum Step {
        case answer([IPAddress])
        case overloaded
        case join(EventLoopPromise<[IPAddress]>)
        case start(EventLoopPromise<[IPAddress]>)
    }

    private let state: Mutex<State>
    private let pool: NIOThreadPool
    private let limits: Limits
    private let lookup: Lookup

    /// Starts the threads. Call ``shutdown()`` when done.
    ///
    /// - Parameter lookup: How to find addresses; the system's resolver (getaddrinfo) by default.
    public init(limits: Limits = Limits(), lookup: @escaping Lookup = NameResolver.systemLookup) {
        self.limits = limits
        self.lookup = lookup
        self.state = Mutex(State(cache: ResolverCache(capacity: limits.cacheEntries, lifetime: limits.cacheLifetime)))
        self.pool = NIOThreadPool(numberOfThreads: limits.threads)
        self.pool.start()
    }

    /// Stops taking look-ups. Does not wait for the ones under way, which the system may hold up for many seconds.
    public func shutdown() {
        self.pool.shutdownGracefully(queue: .global()) { _ in }
    }

    /// Finds the addresses of a name; never an empty array. Fails with ``ResolveError``.
    public func resolve(_ host: String, on eventLoop: any EventLoop, now: NIODeadline) -> EventLoopFuture<[IPAddress]> {
        let step: Step = self.state.withLock { state in
            if let addresses = state.cache.addresses(of: host, now: now) { return .answer(addresses) }
            guard state.waitingCount < self.limits.waiting else { return .overloaded }
            let promise = eventLoop.makePromise(of: [IPAddress].self)
            state.waitingCount += 1
            let isFirst = state.waiting[host] == nil
            state.waiting[host, default: []].append(promise)
            return isFirst ? .start(promise) : .join(promise)
        }
        switch step {
        case .answer(let addresses):
            return eventLoop.makeSucceededFuture(addresses)
        case .overloaded:
            return eventLoop.makeFailedFuture(ResolveError.tooManyLookups)
        case .join(let promise):
            return promise.futureResult
        case .start(let promise):
            self.pool.submit { state in
                guard case .active = state else {
                    self.finish(host, .failure(.failed("the resolver is shut down")))
                    return
                }
                let result: Result<[IPAddress], ResolveError> = Result { () throws(ResolveError) in
                    try self.lookup(host)
                }
                self.finish(host, result)
            }
            return promise.futureResult
        }
    }

    private func finish(_ host: String, _ result: Result<[IPAddress], ResolveError>) {
        var result = result
        if case .success(let addresses) = result, addresses.isEmpty { result = .failure(.noSuchName) }
        let promises = self.state.withLock { state in
            if case .success(let addresses) = result { state.cache.store(addresses, for: host, now: .now()) }
            let promises = state.waiting.removeValue(forKey: host) ?? []
            state.waitingCount -= promises.count
            return promises
        }
        for promise in promises {
            switch result {
            case .success(let addresses): promise.succeed(addresses)
            case .failure(let error): promise.fail(error)
            }
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
