import Dispatch
import Foundation
import KeyProtocol
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import PeerLink
import PrivateAuthority
import Synchronization
import TLSWire
import Telemetry
import X509

@testable import KeyHolder

/// A key holder on loopback with its fleet, sites and audit file.
final class TestHolder: Sendable {
    static let siteAuthority = Result { try TestSiteAuthority(name: "Test sites") }

    let authority: FleetAuthority
    let server: KeyHolderServer
    let address: SocketAddress
    let auditPath: String
    let configuration: KeyHolderConfiguration

    /// Sites, made once: RSA keys take long to make.
    static let p256 = Result {
        try TestHolder.siteAuthority.get().issueSite(domains: ["p256.test", "*.p256.test"], keyType: .p256)
    }
    static let rsa = Result {
        try TestHolder.siteAuthority.get().issueSite(domains: ["rsa.test"], keyType: .rsa2048)
    }
    static let ed25519 = Result {
        try TestHolder.siteAuthority.get().issueSite(domains: ["ed.test"], keyType: .ed25519)
    }

    static func site(
        _ issued: IssuedCertificate, application: ApplicationConfiguration? = nil
    ) -> SiteConfiguration {
        SiteConfiguration(
            chain: .text(issued.chainPEM, name: "chain.pem"), key: .text(issued.keyPEM, name: "key.pem"),
            application: application)
    }

    static func credentials(
        _ authority: FleetAuthority, _ role: IdentityRole, _ name: String, trusting other: FleetAuthority? = nil
    ) throws -> PeerCredentials {
        let issued = try authority.issueIdentity(role: role, name: name)
        return try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM,
            authorityPEM: (other ?? authority).certificatePEM)
    }

    static func grants(_ edges: [String]) throws -> [GrantConfiguration] {
        try edges.map { edge in
            GrantConfiguration(
                edge: edge,
                sites: try ["p256.test", "rsa.test", "ed.test"].map { try ServerNamePattern($0) },
                operations: Set(KeyProtocol.Operation.allCases), rate: 1_000_000)
        }
    }

    init(
        edges: [String] = ["paris", "rome"], limits: KeyHolderLimits = KeyHolderLimits(),
        keyStore: any KeyStore = SoftwareKeyStore(), clock: TestClock = TestClock(), auditAt target: String? = nil,
        revoked: Set<String> = [], native: NativeLimits? = nil, application: ApplicationConfiguration? = nil
    ) async throws {
        self.authority = try FleetAuthority(name: "Test fleet")
        self.auditPath = AuditTests.temporaryFile()
        if let target {
            try FileManager.default.createSymbolicLink(atPath: self.auditPath, withDestinationPath: target)
        }
        var configuration = KeyHolderConfiguration(
            listen: [PeerAddress(host: "127.0.0.1", port: 0)],
            credentials: try Self.credentials(self.authority, .keyholder, "home"),
            sites: [
                Self.site(try Self.p256.get(), application: application),
                Self.site(try Self.rsa.get(), application: application), Self.site(try Self.ed25519.get()),
            ],
            grants: try Self.grants(edges), audit: .file(self.auditPath), limits: limits, keyStore: keyStore)
        configuration.revoked = revoked
        configuration.native = native.map {
            NativeConfiguration(listen: [PeerAddress(host: "127.0.0.1", port: 0)], limits: $0)
        }
        self.configuration = configuration
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        self.server = try KeyHolderServer(
            configuration: self.configuration, group: MultiThreadedEventLoopGroup.singleton, logger: logger,
            wallClock: { clock.milliseconds }, onReady: { _ in })
        self.address = try await self.server.start()[0]
    }

    func edge(_ name: String) async throws -> TestEdge {
        try await TestEdge(Self.credentials(self.authority, .edge, name), self.address)
    }

    /// Has the audit file's name mean another one, for a key holder that was told of one.
    func linkAudit(to target: String) throws {
        try FileManager.default.removeItem(atPath: self.auditPath)
        try FileManager.default.createSymbolicLink(atPath: self.auditPath, withDestinationPath: target)
    }

    /// What each key holder writes, whatever it is asked.
    private static let ordinary: Set<String> = Set(
        [
            AuditEvent.start, .stop, .reload, .siteAdded, .siteRemoved, .certificateChanged, .grantAdded, .grantRemoved,
            .edgeConnected, .edgeGone, .auditFile, .checkpoint,
        ].map(\.rawValue))

    /// Stops the key holder and returns its audit lines, all of them or those that are about what it was asked.
    func stop(all: Bool = false) async throws -> [[String: String]] {
        await self.server.stop()
        defer { try? FileManager.default.removeItem(atPath: self.auditPath) }
        return try AuditTests.lines(self.auditPath).map { line in
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
            return object.mapValues { "\($0)" }
        }.filter { all || !Self.ordinary.contains($0["operation"] ?? "") }
    }
}

/// The system's clock, which a test may put forward.
final class TestClock: Sendable {
    private let ahead = Atomic<Int64>(0)

    var milliseconds: Int64 { Clock.wallMilliseconds() + self.ahead.load(ordering: .sequentiallyConsistent) }

    func advance(seconds: Int64) {
        self.ahead.add(seconds * 1000, ordering: .sequentiallyConsistent)
    }
}

/// The edge's end of a key protocol connection, as plain as it gets.
final class TestEdge: Sendable {
    let channel: any Channel
    private let received: AsyncStream<KeyPacketEvent>

    convenience init(_ credentials: PeerCredentials, _ address: SocketAddress) async throws {
        try await self.init(try credentials.clientContext(), address)
    }

    /// - Parameter inHandshake: Called when the key holder's certificate has come, before the handshake goes on.
    init(
        _ context: NIOSSLContext, _ address: SocketAddress, inHandshake: @escaping @Sendable () -> Void = {}
    ) async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: KeyPacketEvent.self)
        self.received = stream
        self.channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(
                        context: context, serverHostname: nil,
                        customVerificationCallback: { _, promise in
                            inHandshake()
                            promise.succeed(.certificateVerified)
                        })
                    try channel.pipeline.syncOperations.addHandler(handler)
                    try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                }
            }
            .connect(to: address).get()
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var decoder = KeyPacketDecoder()
        private let continuation: AsyncStream<KeyPacketEvent>.Continuation

        init(_ continuation: AsyncStream<KeyPacketEvent>.Continuation) {
            self.continuation = continuation
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.decoder.receive(self.unwrapInboundIn(data))
            do {
                while let event = try self.decoder.next() { self.continuation.yield(event) }
            } catch {
                context.close(promise: nil)
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.continuation.finish()
        }

        func handlerRemoved(context: ChannelHandlerContext) {
            self.continuation.finish()
        }
    }

    func send(_ bytes: ByteBuffer) {
        self.channel.writeAndFlush(bytes, promise: nil)
    }

    func send(_ packets: [KeyPacket], padded: Bool = true) throws {
        var bytes = ByteBuffer()
        for packet in packets { try packet.encode(into: &bytes, padded: padded) }
        self.send(bytes)
    }

    /// The next answer; nil when the connection has ended.
    func next() async -> KeyPacketEvent? {
        for await event in self.received { return event }
        return nil
    }

    func answers(_ count: Int) async -> [KeyPacket] {
        var packets: [KeyPacket] = []
        while packets.count < count, case .packet(let packet)? = await self.next() { packets.append(packet) }
        return packets
    }

    func ask(_ message: KeyMessage, id: UInt32 = 1) async throws -> KeyMessage? {
        try self.send([KeyPacket(id: id, body: message)])
        return await self.answers(1).first.flatMap { $0.id == id ? $0.body : nil }
    }

    /// Whether the connection works.
    func ping() async -> Bool {
        (try? await self.ask(KeyMessage(opcode: .ping, payload: ByteBuffer(bytes: [7])), id: 99))
            == KeyMessage(opcode: .pong, payload: ByteBuffer(bytes: [7]))
    }

    func close() async {
        try? await self.channel.close().get()
    }
}

/// A store whose keys are slow, and finish only when they are told to.
final class HeldKeyStore: KeyStore {
    let gate: Gate = Gate()

    /// With more threads than tests hold at once.
    private let device = KeyDevice(concurrency: 8)

    func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey {
        HeldKey(key: try SoftwareKeyStore().key(from: source), gate: self.gate, device: self.device)
    }

    /// Keeps operations until it is opened.
    final class Gate: Sendable {
        private struct State {
            var arrivals: Int = 0
            var expected: [(Int, CheckedContinuation<Void, Never>)] = []
        }

        private let state = Mutex(State())
        private let opening = DispatchSemaphore(value: 0)

        func pass() {
            let reached: [CheckedContinuation<Void, Never>] = self.state.withLock { state in
                state.arrivals += 1
                let arrivals: Int = state.arrivals
                defer { state.expected.removeAll { $0.0 <= arrivals } }
                return state.expected.filter { $0.0 <= arrivals }.map(\.1)
            }
            for continuation in reached { continuation.resume() }
            // Once opened, open for good.
            self.opening.wait()
            self.opening.signal()
        }

        func open() {
            self.opening.signal()
        }

        /// Returns when so many operations have come.
        func arrived(_ count: Int) async {
            await withCheckedContinuation { continuation in
                let isReached: Bool = self.state.withLock { state in
                    guard state.arrivals < count else { return true }
                    state.expected.append((count, continuation))
                    return false
                }
                if isReached { continuation.resume() }
            }
        }
    }

    struct HeldKey: StoredKey {
        var key: any StoredKey
        var gate: Gate
        var device: KeyDevice
        var type: KeyType { self.key.type }
        var publicKey: Certificate.PublicKey { self.key.publicKey }

        /// Only RSA is held, so that other sites show whether they are disturbed.
        func cost(of operation: KeyOperation) -> KeyOperationCost {
            self.type.isRSA ? .device(self.device) : self.key.cost(of: operation)
        }

        func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
            if self.type.isRSA { self.gate.pass() }
            return try self.key.perform(operation)
        }
    }
}
