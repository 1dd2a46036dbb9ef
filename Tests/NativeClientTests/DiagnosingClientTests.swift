import Diagnosis
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import NativeClient
import PrivateAuthority
import Synchronization
import TLSWire
import Testing

@Suite("Client: against servers of swift-nio-ssl", .timeLimit(.minutes(2)))
struct DiagnosingClientTests {
    struct Result: Sendable {
        var status: UInt?
        var failure: ClientFailure?
        var events: [TimedClientEvent]

        var wire: [WireEvent] {
            events.compactMap { if case .wire(let event) = $0.event { event } else { nil } }
        }
        var serverHello: ServerHello? {
            wire.compactMap { if case .serverHello(let hello) = $0 { hello } else { nil } }.first
        }
        var chain: [CertificateSummary] {
            events.compactMap { if case .certificates(let chain) = $0.event { chain } else { nil } }.first ?? []
        }
        var path: [CertificateSummary] {
            events.compactMap { if case .verified(let path) = $0.event { path } else { nil } }.first ?? []
        }
        var body: String {
            events.compactMap { if case .responseBody(let bytes) = $0.event { String(buffer: bytes) } else { nil } }
                .joined()
        }
    }

    static let authority = Swift.Result { try TestSiteAuthority(name: "Test sites") }

    static func fetch(
        _ server: TestServer, name: String = "www.example.test", roots: String? = nil,
        _ adjust: (inout DiagnosingClient.Options) -> Void = { _ in }
    ) async throws -> Result {
        let target = try ClientTarget(url: "https://\(name)/", connect: server.address)
        var options = DiagnosingClient.Options(target: target)
        options.roots = try ClientRoots(pem: try roots ?? authority.get().certificatePEM)
        options.timeout = .seconds(20)
        adjust(&options)
        let collector = Collector()
        var result = Result(events: [])
        do throws(ClientFailure) {
            result.status = try await DiagnosingClient(options: options).run { collector.append($0) }
        } catch {
            result.failure = error
        }
        result.events = collector.events
        try await server.stop()
        return result
    }

    static func site(_ keyType: SiteKeyType = .p256, domains: [String] = ["www.example.test"]) throws
        -> IssuedCertificate
    {
        try authority.get().issueSite(domains: domains, keyType: keyType)
    }

    @Test("TLS 1.3 with each key type", arguments: SiteKeyType.allCases)
    func tls13(keyType: SiteKeyType) async throws {
        let context = try TestServer.context(try Self.site(keyType))
        let result = try await Self.fetch(try await TestServer(.https(context, .ok, "hello")))
        #expect(result.failure == nil && result.status == 200 && result.body == "hello")
        #expect(result.serverHello?.version == TLSWire.TLSVersion.tls13)
        #expect(result.serverHello?.group == TLSGroup.x25519MLKEM768)
        #expect(result.chain.first?.alternativeNames == ["www.example.test"])
        #expect(
            result.chain.first?.keyType
                == ["P-256", "RSA-2048", "Ed25519"][SiteKeyType.allCases.firstIndex(of: keyType) ?? 0])
        #expect(result.path.count == 2)
        let times: [Int64] = result.events.map { $0.time.nanoseconds }
        #expect(times == times.sorted())
    }

    @Test("TLS 1.2: the group comes from ServerKeyExchange")
    func tls12() async throws {
        let context = try TestServer.context(try Self.site())
        let result = try await Self.fetch(try await TestServer(.https(context, .ok, "hello"))) {
            $0.versions = TLSWire.TLSVersion.tls12...TLSWire.TLSVersion.tls12
        }
        #expect(result.failure == nil && result.serverHello?.version == TLSWire.TLSVersion.tls12)
        #expect(result.wire.contains(.serverKeyExchange(group: TLSGroup.x25519)))
        #expect(result.wire.contains(.handshakeMessage(.server, type: HandshakeType.certificate.rawValue)))
        #expect(result.wire.contains(.encrypted(.client)) && result.wire.contains(.encrypted(.server)))
    }

    @Test("a HelloRetryRequest is seen, and both hellos")
    func helloRetryRequest() async throws {
        let context = try TestServer.context(try Self.site(), curves: [.secp384r1])
        let result = try await Self.fetch(try await TestServer(.https(context, .ok, "hello"))) {
            $0.groups = [TLSGroup.x25519, TLSGroup.secp384r1]
        }
        #expect(result.failure == nil && result.serverHello?.group == TLSGroup.secp384r1)
        let retries: [UInt16?] = result.wire.compactMap {
            if case .helloRetryRequest(let hello) = $0 { .some(hello.group) } else { nil }
        }
        #expect(retries == [TLSGroup.secp384r1])
        let second: [Bool] = result.wire.compactMap { if case .clientHello(_, let second) = $0 { second } else { nil } }
        #expect(second == [false, true])
    }

    @Test("HEAD, and an HTTP error")
    func statuses() async throws {
        let context = try TestServer.context(try Self.site())
        let head = try await Self.fetch(try await TestServer(.https(context, .ok, "hello"))) { $0.headOnly = true }
        #expect(head.status == 200 && head.body.isEmpty && head.failure == nil)
        let missing = try await Self.fetch(try await TestServer(.https(context, .notFound, "no")))
        #expect(missing.status == 404 && missing.body == "no" && missing.failure == nil)
    }

    @Test("a response that breaks off")
    func breakingOff() async throws {
        let context = try TestServer.context(try Self.site())
        let result = try await Self.fetch(try await TestServer(.breakingOff(context)))
        #expect(result.failure?.phase == .response && result.body == "part")
        #expect(result.failure?.reason.contains("broke off after 4 bytes") == true)
    }

    @Test("another name, another root, an expired certificate: nothing is sent")
    func verification() async throws {
        let wrongName = try TestServer.context(try Self.site(domains: ["other.example.test", "*.b.test"]))
        let first = try await Self.fetch(try await TestServer(.https(wrongName, .ok, "hello")))
        #expect(first.failure?.reason.contains("is for other.example.test, *.b.test, not for www.example.test") == true)
        #expect(first.chain.count == 1)

        let other = try TestSiteAuthority(name: "Another authority").certificatePEM
        let context = try TestServer.context(try Self.site())
        let second = try await Self.fetch(try await TestServer(.https(context, .ok, "hello")), roots: other)
        #expect(second.failure?.reason.contains("no path leads from") == true)
        #expect(second.failure?.advice.contains("--roots") == true)

        let day: TimeInterval = 86400
        let expired = try TestServer.context(
            try Self.authority.get().issueSite(
                domains: ["www.example.test"], keyType: .p256,
                validity: Validity(notBefore: Date() - 2 * day, notAfter: Date() - day)))
        let third = try await Self.fetch(try await TestServer(.https(expired, .ok, "hello")))
        #expect(third.failure?.reason.contains("expired") == true)

        for result in [first, second, third] {
            #expect(result.failure?.phase == .handshake && result.status == nil)
            #expect(!result.events.contains { if case .requestSent = $0.event { true } else { false } })
        }
    }

    @Test("alerts are named, and what they mean here")
    func alerts() async throws {
        let bytes: [UInt8] = Array(Alert(.unrecognizedName).record().readableBytesView)
        let result = try await Self.fetch(try await TestServer(.bytes(bytes)))
        #expect(result.failure?.phase == .handshake)
        #expect(result.failure?.reason == "the server sent the alert unrecognized_name")
        #expect(result.failure?.advice == "the edge has no site of that name")
        #expect(result.wire.contains(.alert(.server, code: 112)))
    }

    @Test("a plain port, and one that just closes")
    func foreignServers() async throws {
        let plain = try await Self.fetch(try await TestServer(.bytes(Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8))))
        #expect(plain.failure?.phase == .handshake && plain.wire.contains(.notTLS))
        #expect(plain.failure?.reason == "the server does not speak TLS on this port")
        let closing = try await Self.fetch(try await TestServer(.bytes([])))
        #expect(closing.failure?.phase == .handshake)
        #expect(closing.failure?.reason.contains("closed the connection in the middle") == true)
    }

    @Test("nothing listening")
    func noConnection() async throws {
        let server = try await TestServer(.bytes([]))
        let target = try ClientTarget(url: "https://www.example.test/", connect: server.address)
        try await server.stop()
        await #expect { try await DiagnosingClient(options: .init(target: target)).run { _ in } } throws: {
            ($0 as? ClientFailure)?.phase == .connect
        }
    }
}

private final class Collector: Sendable {
    private let box = Mutex<[TimedClientEvent]>([])

    var events: [TimedClientEvent] { box.withLock { $0 } }

    func append(_ event: TimedClientEvent) {
        box.withLock { $0.append(event) }
    }
}
