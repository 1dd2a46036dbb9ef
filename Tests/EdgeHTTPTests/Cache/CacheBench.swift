import CacheStorage
import EdgeHTTP
import EdgeModel
import HTTPCaching
import NIOCore
import NIOPosix
import Synchronization
import TLSWire
import TestWire

/// A proxy with a cache between test clients and a scripted origin, and a clock that tests move by hand.
final class CacheBench: Sendable {
    let store: ResponseStore
    /// Requests that the origin got, in order.
    let requests = Mutex<[String]>([])
    private let now: Mutex<Int64>

    init(store: ResponseStore = ResponseStore()) {
        self.store = store
        // Whole seconds: dates on the wire have no others.
        self.now = Mutex(1_800_000_000_000)
    }

    var time: Int64 { self.now.withLock { $0 } }

    func advance(seconds: Int64) {
        self.now.withLock { $0 += seconds * 1000 }
    }

    /// How many requests for a target the origin got.
    func count(_ target: String) -> Int {
        self.requests.withLock { $0.count { $0.contains(" \(target) HTTP") } }
    }

    /// The requests that the origin got for a target.
    func requests(_ target: String) -> [String] {
        self.requests.withLock { $0.filter { $0.contains(" \(target) HTTP") } }
    }

    func key(_ target: String) -> CacheKey {
        CacheKey(site: ProxyBench.host, scheme: "https", authority: ProxyBench.host, target: target)
    }

    /// - Parameters:
    ///   - group: several event loops, where it matters that there are.
    ///   - origin: what it answers to a head; `nil` hangs up. The number counts requests from 1.
    func run(
        _ configuration: SiteCacheConfiguration = SiteCacheConfiguration(), limits: ProxyLimits = ProxyLimits(),
        adjust: @escaping (inout OriginConfiguration) -> Void = { _ in },
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        origin: @escaping @Sendable (String, Int) -> String?, test: (ProxyBench) async throws -> Void
    ) async throws {
        let numbers = Counter()
        try await self.runWire(
            configuration, limits: limits, adjust: adjust, group: group,
            origin: { wire, head in
                guard let answer = origin(head, numbers.next()) else { return false }
                try await wire.send(answer)
                return true
            }, test: test)
    }

    /// - Parameter origin: answers one request as it likes; false hangs up.
    func runWire(
        _ configuration: SiteCacheConfiguration = SiteCacheConfiguration(), limits: ProxyLimits = ProxyLimits(),
        adjust: @escaping (inout OriginConfiguration) -> Void = { _ in },
        children: Children? = nil, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        origin: @escaping @Sendable (Wire, String) async throws -> Bool, test: (ProxyBench) async throws -> Void
    ) async throws {
        try await ProxyBench.run(
            limits: limits, adjust: adjust, children: children, cache: configuration, store: self.store,
            clock: { self.time }, group: group,
            origin: { wire, _ in
                while true {
                    let head = try await wire.readHead()
                    if let length = Wire.field("content-length", in: head).flatMap({ Int($0) }) {
                        _ = try await wire.read(length)
                    }
                    self.requests.withLock { $0.append(head) }
                    guard try await origin(wire, head) else { return }
                }
            }, test: test)
    }

    /// A response with a body.
    static func response(_ fields: String..., status: String = "200 OK", body: String = "hello") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
            + body
    }
}

extension ProxyBench {
    /// One request on a connection of its own.
    func get(_ target: String, _ fields: String..., method: String = "GET") async throws -> Wire.Response {
        let client = try await self.client()
        let head =
            "\(method) \(target) HTTP/1.1\r\nHost: \(Self.host)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
        try await client.send(head)
        let response = try await client.readResponse(hasBody: method != "HEAD")
        try? await client.channel.close()
        return response
    }
}

/// A gate that tests open for the origin.
final class Gate: Sendable {
    private let promise: EventLoopPromise<Void>

    init() {
        self.promise = MultiThreadedEventLoopGroup.singleton.next().makePromise()
    }

    deinit {
        self.promise.succeed()
    }

    func open() { self.promise.succeed() }
    func pass() async throws { try await self.promise.futureResult.get() }
}
