import Admission
import Crypto
import Foundation
import KeyProtocol
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOSSL
import PeerLink
import PrivateAuthority
import TLSWire
import Telemetry
import TestSockets
import Testing

@testable import KeyHolder

@Suite("A key holder among edges and strangers that mean ill", .timeLimit(.minutes(2)))
struct AbuseTests {
    /// A request for the site with an RSA key, recognizable by `mark`.
    static func rsaSign(_ mark: UInt8) -> KeyMessage {
        let request = SignTLS13Request(
            scheme: .rsaPSSSHA256, transcriptHash: [UInt8](repeating: mark, count: 32))
        return KeyMessage(
            opcode: .custom, payload: request.encoded(), function: KeyFunction.signTLS13.rawValue,
            serverName: "rsa.test")
    }

    /// Sends `count` slow requests with the mark, and returns when they have been taken in: the fast one behind them is
    /// answered first.
    static func queue(_ count: UInt32, _ mark: UInt8, _ edge: TestEdge) async throws {
        let slow: [KeyPacket] = (0..<count).map { KeyPacket(id: $0, body: Self.rsaSign(mark)) }
        try edge.send(slow + [KeyPacket(id: 999, body: ServerTests.p256Sign)])
        #expect(await edge.answers(1).first?.id == 999)
    }

    // MARK: Identities

    @Test("An identity that has expired opens no connection, whatever TLS thought of it")
    func expiredAtHandshake() async throws {
        let clock = TestClock()
        let holder = try await TestHolder(clock: clock)
        let issued = try holder.authority.issueIdentity(
            role: .edge, name: "paris", notBefore: Date().addingTimeInterval(-60),
            notAfter: Date().addingTimeInterval(3600))
        let credentials = try PeerCredentials(
            chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, authorityPEM: holder.authority.certificatePEM)
        #expect(try await ServerTests.isServed(credentials, holder))
        clock.advance(seconds: 7200)
        let edge = try await TestEdge(credentials, holder.address)
        try edge.send([KeyPacket(id: 1, body: ServerTests.p256Sign)])
        #expect(await edge.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["refused"])
        #expect(lines[0]["detail"]?.contains("expired") == true)
    }

    @Test("No request is served after expiry, even before a timer notices")
    func expiredWhileServing() async throws {
        let clock = TestClock()
        let holder = try await TestHolder(clock: clock)
        let issued = try holder.authority.issueIdentity(
            role: .edge, name: "paris", notBefore: Date().addingTimeInterval(-60),
            notAfter: Date().addingTimeInterval(3600))
        let edge = try await TestEdge(
            PeerCredentials(
                chainPEM: issued.chainPEM, keyPEM: issued.keyPEM, authorityPEM: holder.authority.certificatePEM),
            holder.address)
        #expect(try await edge.ask(ServerTests.p256Sign)?.opcode == .success)
        clock.advance(seconds: 7200)
        try edge.send((0..<10).map { KeyPacket(id: $0, body: ServerTests.p256Sign) })
        #expect(await edge.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["ok", "cut-off"])
    }

    @Test("TLS sessions do not resume: each handshake verifies the certificate")
    func noResumption() async throws {
        let holder = try await TestHolder()
        let directory = FileManager.default.temporaryDirectory.appending(path: "latchstring-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let issued = try holder.authority.issueIdentity(role: .edge, name: "paris")
        try Data((issued.chainPEM + issued.keyPEM).utf8).write(to: directory.appending(path: "edge.pem"))
        let port: Int = try #require(holder.address.port)
        // Six connections, each with the ticket of the one before. TLS 1.2 gives its ticket within the handshake.
        let process = try ChildProcess(
            "sh",
            ["-c", "openssl s_client -connect 127.0.0.1:\(port) -tls1_2 -reconnect -cert edge.pem > output 2>&1"],
            directory: directory.path)
        while process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
        let output = try String(contentsOf: directory.appending(path: "output"), encoding: .utf8)
        #expect(output.components(separatedBy: "\nNew, TLSv1.2").count == 7)
        #expect(!output.contains("\nReused,"))
        _ = try await holder.stop()
    }

    // MARK: Authorities

    @Test("Replacing the authority cuts off edges that came in under the old one; adding one disturbs none")
    func replacedAuthority() async throws {
        let holder = try await TestHolder()
        let paris = try await holder.edge("paris")
        #expect(await paris.ping())
        let next = try FleetAuthority(name: "Next fleet")
        let identity = try next.issueIdentity(role: .keyholder, name: "home")
        func configuration(trusting authorities: [FleetAuthority]) throws -> KeyHolderConfiguration {
            var configuration = holder.configuration
            configuration.credentials = try PeerCredentials(
                chainPEM: identity.chainPEM, keyPEM: identity.keyPEM,
                authorityPEM: authorities.map(\.certificatePEM).joined())
            return configuration
        }
        try holder.server.reload(try configuration(trusting: [holder.authority, next]))
        #expect(await paris.ping())
        let rome = try await TestEdge(
            try TestHolder.credentials(next, .edge, "rome"), holder.address)
        #expect(await rome.ping())
        try holder.server.reload(try configuration(trusting: [next]))
        #expect(await paris.next() == nil)
        #expect(try await ServerTests.isServed(try TestHolder.credentials(next, .edge, "rome"), holder))
        let old = try TestHolder.credentials(holder.authority, .edge, "paris", trusting: next)
        #expect(try await ServerTests.isServed(old, holder) == false)
        let lines = try await holder.stop()
        let cutOff = lines.filter { $0["outcome"] == "cut-off" }
        #expect(Set(cutOff.map { $0["edge"] }) == ["paris", "rome"])
        #expect(cutOff.allSatisfy { $0["detail"] == "its authority is not trusted any more" })
    }

    @Test("A handshake that was under way when the authority was replaced does not count")
    func replacedDuringHandshake() async throws {
        let holder = try await TestHolder()
        let next = try FleetAuthority(name: "Next fleet")
        var configuration = holder.configuration
        configuration.credentials = try TestHolder.credentials(next, .keyholder, "home")
        let credentials = try TestHolder.credentials(holder.authority, .edge, "paris")
        let edge = try await TestEdge(try credentials.clientContext(), holder.address) { [configuration] in
            #expect(throws: Never.self) { try holder.server.reload(configuration) }
        }
        try edge.send([KeyPacket(id: 1, body: ServerTests.p256Sign)])
        #expect(await edge.next() == nil)
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["refused"])
        #expect(lines[0]["detail"] == "its authority is not trusted any more")
    }

    // MARK: Slow operations

    @Test("What an edge has queued is not computed any more once it is cut off")
    func cutOffQueue() async throws {
        var limits = KeyHolderLimits()
        limits.signingThreads = 1
        // It waits for longer here than an edge would.
        limits.requestDeadline = .seconds(30)
        let store = BlockedKeyStore()
        let holder = try await TestHolder(limits: limits, keyStore: store)
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        try await Self.queue(5, 1, paris)
        await store.begun()
        try await Self.queue(1, 2, rome)
        var configuration = holder.configuration
        configuration.grants = try TestHolder.grants(["rome"])
        try holder.server.reload(configuration)
        #expect(await paris.next() == nil)
        store.open()
        #expect(await rome.answers(1).first?.body.opcode == .success)
        let lines = try await holder.stop()
        #expect(store.marks == [1, 2])
        #expect(lines.filter { $0["edge"] == "paris" && $0["outcome"] == "denied" }.count == 5)
    }

    @Test("Edges take turns at the signing threads")
    func turns() async throws {
        var limits = KeyHolderLimits()
        limits.signingThreads = 1
        let store = BlockedKeyStore()
        let holder = try await TestHolder(limits: limits, keyStore: store)
        let paris = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        try await Self.queue(5, 1, paris)
        await store.begun()
        try await Self.queue(2, 2, rome)
        store.open()
        #expect(await paris.answers(5).count == 5)
        #expect(await rome.answers(2).count == 2)
        #expect(store.marks == [1, 1, 2, 1, 2, 1, 1])
        _ = try await holder.stop()
    }

    @Test("An edge has one bound on slow requests for all its connections, and others have theirs")
    func boundPerEdge() async throws {
        var limits = KeyHolderLimits()
        limits.inFlightPerEdge = 3
        let store = HeldKeyStore()
        let holder = try await TestHolder(limits: limits, keyStore: store)
        let one = try await holder.edge("paris")
        let two = try await holder.edge("paris")
        let rome = try await holder.edge("rome")
        try await Self.queue(2, 1, one)
        try two.send((1...2).map { KeyPacket(id: $0, body: Self.rsaSign(1)) })
        #expect(await two.next() == .packet(.failure(id: 2, .overloaded)))
        try rome.send([KeyPacket(id: 1, body: Self.rsaSign(2))])
        await store.gate.arrived(4)
        store.gate.open()
        #expect(await rome.answers(1).first?.body.opcode == .success)
        #expect(await one.answers(2).count == 2)
        #expect(await two.answers(1).first?.body.opcode == .success)
        // Room was given back.
        #expect(try await two.ask(Self.rsaSign(1))?.opcode == .success)
        _ = try await holder.stop()
    }

    @Test("All edges together leave room for audit lines of operations in place")
    func boundForAll() {
        let slow = SlowOperations(perEdge: 2, limit: 3, threads: 1)
        #expect(["a", "a", "a", "b", "b", "c"].map(slow.begin) == [true, true, false, true, false, false])
        slow.end("a")
        #expect(slow.begin("c"))
        #expect(!slow.begin("a"))
    }

    @Test("A signature that could not be sent is not audited as ok")
    func abandoned() async throws {
        let store = HeldKeyStore()
        let holder = try await TestHolder(keyStore: store)
        let edge = try await holder.edge("paris")
        try edge.send([KeyPacket(id: 1, body: Self.rsaSign(1))])
        await store.gate.arrived(1)
        edge.send(ByteBuffer(bytes: [2, 0, 0, 0, 0, 0, 0, 42]))
        #expect(await edge.next() == .packet(.failure(id: 42, .versionMismatch)))
        #expect(await edge.next() == nil)
        store.gate.open()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["version-mismatch", "abandoned"])
        #expect(lines.last?["detail"] == "done, not sent")
    }

    // MARK: Handshakes

    @Test("Silent connections do not keep edges out: the oldest gives way")
    func silentConnections() async throws {
        var limits = KeyHolderLimits()
        limits.handshakes = 2
        let holder = try await TestHolder(limits: limits)
        var silent: [any Channel] = []
        for _ in 0..<3 {
            silent.append(
                try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .connect(to: holder.address).get())
        }
        let edge = try await holder.edge("paris")
        #expect(await edge.ping())
        try await silent[0].closeFuture.get()
        for channel in silent.dropFirst() { try? await channel.close().get() }
        let lines = try await holder.stop()
        #expect(lines.contains { $0["detail"]?.hasPrefix("gave way") == true })
    }

    @Test("Who has most handshakes under way gives way first")
    func eviction() throws {
        var limits = KeyHolderLimits()
        limits.handshakes = 4
        limits.handshakesPerAddress = 3
        let registry = ConnectionRegistry(limits: limits)
        let channels: [EmbeddedChannel] = (0..<8).map { _ in EmbeddedChannel() }
        func evicted(_ index: Int, from address: String) throws -> Int? {
            let source = ClientNetwork(try SocketAddress(ipAddress: address, port: 1000 + index))
            guard case .accepted(let other?) = registry.accepted(channels[index], from: source) else { return nil }
            return channels.firstIndex { $0 === other }
        }
        #expect(try evicted(0, from: "192.0.2.1") == nil)
        // One /64, and IPv4 in two notations.
        #expect(try evicted(1, from: "2001:db8::1") == nil)
        #expect(try evicted(2, from: "2001:db8::ffff:1") == nil)
        #expect(try evicted(3, from: "::ffff:192.0.2.2") == nil)
        #expect(try evicted(4, from: "192.0.2.2") == 1)
        #expect(registry.identified(channels[1], as: "paris") == .evicted)
        #expect(registry.identified(channels[0], as: "rome") == nil)
        // A bound for each address, whatever there is besides.
        #expect(try evicted(5, from: "192.0.2.2") == nil)
        #expect(try evicted(6, from: "192.0.2.2") == 3)
    }

    @Test("Refusals are logged no more often than they are audited")
    func refusalLines() async throws {
        let path = AuditTests.temporaryFile()
        defer { try? FileManager.default.removeItem(atPath: path) }
        let logger = Logger(label: "test")
        let audit = try AuditLog(AuditConfiguration(.file(path)), limit: 10_000, logger: logger)
        let core = KeyHolderCore(
            limits: KeyHolderLimits(), policy: try Policy(sites: [], grants: [], previous: nil, now: 0), audit: audit,
            loops: LoopWorks(MultiThreadedEventLoopGroup.singleton), logger: logger, wallClock: Clock.wallMilliseconds)
        let count: Int = 5000
        let reported: Int = (0..<count).filter { _ in
            core.auditRepeated(edge: nil, address: nil, outcome: .refused, detail: "test", since: 0)
        }.count
        await audit.shutDown()
        #expect(reported >= 500 && reported < count)
        let lines: [Substring] = try AuditTests.lines(path)
        #expect(lines.count == reported + 1)
        #expect(lines.last?.contains("\"count\":\(count - reported),") == true)
    }
}
