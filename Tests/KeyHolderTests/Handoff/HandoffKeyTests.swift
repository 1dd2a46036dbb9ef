import KeyProtocol
import NIOCore
import NIOSSL
import RecordLayer
import Synchronization
import TLSEngine
import TLSWire
import Testing
import X509

@testable import KeyHolder

@Suite("Handoff: keys that answer wrongly, or inside of the TLS library", .timeLimit(.minutes(2)))
struct HandoffKeyTests {
    @Test("An RSA signature that is not the key's does not leave")
    func wrongSignature() async throws {
        let holder = try await TestHolder(keyStore: OddKeyStore(oddity: .signsSomethingElse))
        let edge = try await holder.edge("paris")
        for version in [NIOSSL.TLSVersion.tlsv12, .tlsv13] {
            let client = try await HandoffClient("rsa.test") { $0.maximumTLSVersion = version }
            let hello: ByteBuffer = try await client.bytes()
            await #expect(throws: KeyErrorCode.cryptographyFailed) { try await edge.begin(hello, name: "rsa.test") }
            await client.end()
        }
        #expect(try await edge.servesHandoff())
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["cryptography-failed", "cryptography-failed", "ok"])
        #expect(lines[0]["detail"] == "the signature is not the key's")
    }

    @Test("What the TLS library asks a key for, no other key of the handshake's is used for", arguments: [0, 1])
    func failingKey(kind: Int) async throws {
        let holder = try await TestHolder(keyStore: OddKeyStore(oddity: kind == 0 ? .fails : .signsNothing))
        let edge = try await holder.edge("paris")
        let client = try await HandoffClient("rsa.test")
        let hello: ByteBuffer = try await client.bytes()
        await #expect(throws: KeyErrorCode.cryptographyFailed) { try await edge.begin(hello, name: "rsa.test") }
        await client.end()
        #expect(try await edge.servesHandoff())
        #expect(try await holder.stop().map { $0["outcome"] } == ["cryptography-failed", "ok"])
    }

    // MARK: RSA key exchange

    private static func exchangingWithRSA(
        _ limits: KeyHolderLimits = KeyHolderLimits(), keyStore: any KeyStore = SoftwareKeyStore()
    ) async throws -> TestHolder {
        let holder = try await TestHolder(limits: limits, keyStore: keyStore)
        var configuration = holder.configuration
        configuration.sites[1].handshakes.allowsRSAKeyExchange = true
        try holder.server.reload(configuration)
        return holder
    }

    /// One that can do nothing better.
    private static func oldClient() async throws -> HandoffClient {
        try await HandoffClient("rsa.test") {
            $0.maximumTLSVersion = .tlsv12
            $0.cipherSuiteValues = [.TLS_RSA_WITH_AES_128_GCM_SHA256]
        }
    }

    @Test("RSA key exchange is done on a thread for slow keys, while the event loop serves others")
    func libraryOnThread() async throws {
        var limits = KeyHolderLimits()
        limits.signingThreads = 1
        let store = BlockedKeyStore()
        let holder = try await Self.exchangingWithRSA(limits, keyStore: store)
        let edge = try await holder.edge("paris")
        // The only thread is at work for as long as the test likes.
        let modern = try await HandoffClient("rsa.test")
        let begin = HandshakeBegin(applicationProtocols: ["h2"], clientBytes: try await modern.bytes())
        try edge.send([
            KeyPacket(id: 5, body: TestEdge.message(.handshakeBegin, "rsa.test", try begin.encoded()))
        ])
        await store.begun()
        let other = try await holder.edge("paris")
        async let old: String = EdgeStandIn.client(
            "-tls1_2 -cipher AES128-GCM-SHA256", through: other, name: "rsa.test")
        // Its key exchange waits for the thread.
        for _ in 0..<1_000 where holder.server.core.slow.total < 2 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(holder.server.core.slow.total == 2)
        #expect(try await holder.edge("rome").servesHandoff())
        #expect(holder.server.core.slow.total == 2)
        store.open()
        let output: String = try await old
        #expect(
            output.contains(OpenSSLHandoffTests.served) && output.contains("Cipher is AES128-GCM-SHA256"), "\(output)")
        await modern.end()
        let lines = try await holder.stop()
        #expect(lines.filter { $0["cipher_suite"] == "TLS_RSA_WITH_AES_128_GCM_SHA256" }.count == 1)
    }

    /// RFC 5246 §7.4.7.1: whatever is in the block, the Finished does not decrypt, and that is all that a client learns.
    @Test("A secret that was not encrypted to the key is told by the Finished alone", arguments: [0, 1, 0x55])
    func wrongPadding(filler: UInt8) async throws {
        let holder = try await Self.exchangingWithRSA()
        let edge = try await holder.edge("paris")
        let client = try await Self.oldClient()
        let progress = try await edge.begin(try await client.bytes(), name: "rsa.test")
        #expect(progress.state == .needsMore)
        let exchange: [UInt8] = [16, 0, 1, 2, 1, 0] + [UInt8](repeating: filler, count: 256)
        var bytes = ByteBuffer(bytes: [22, 3, 3, 1, 6] + exchange + [20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40])
        bytes.writeRepeatingByte(9, count: 40)
        let failed = try await edge.proceed(progress.handshake, bytes)
        guard case .failed = failed.state else { throw HandoffTestError.notExported(failed) }
        // bad_record_mac
        #expect(failed.serverBytes == ByteBuffer(bytes: [21, 3, 3, 0, 2, 2, 20]))
        await client.end()
        let lines = try await holder.stop()
        #expect(lines.map { $0["outcome"] } == ["handshake-failed"])
    }

    @Test("Clients that can do better sign with the key where it lives, RSA key exchange or not")
    func betterClients() async throws {
        let store = RecordingKeyStore()
        let holder = try await Self.exchangingWithRSA(keyStore: store)
        let edge = try await holder.edge("paris")
        for version in [NIOSSL.TLSVersion.tlsv12, .tlsv13] {
            let client = try await HandoffClient("rsa.test") { $0.maximumTLSVersion = version }
            let lent = try await LentSession.shake(client, edge, name: "rsa.test")
            try await lent.exchange(client)
            #expect(lent.exported.suite.hasForwardSecrecy)
            await client.end()
        }
        #expect(store.operations.withLock { $0.count } == 2)
        _ = try await holder.stop()
    }

    @Test("A key that does not leave its store is refused for RSA key exchange when it is loaded")
    func keyElsewhere() async throws {
        let holder = try await TestHolder(keyStore: HeldKeyStore())
        var configuration = holder.configuration
        configuration.sites[1].handshakes.allowsRSAKeyExchange = true
        #expect(throws: SiteLoadError.rsaKeyExchangeNeedsKeyHere("key.pem")) {
            try holder.server.reload(configuration)
        }
        _ = try await holder.stop()
    }
}

/// A store whose RSA keys do not keep to what ``StoredKey`` says.
final class OddKeyStore: KeyStore {
    enum Oddity: Sendable {
        case signsSomethingElse, signsNothing, fails
    }

    private let oddity: Oddity

    init(oddity: Oddity) { self.oddity = oddity }

    func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey {
        OddKey(key: try SoftwareKeyStore().key(from: source), oddity: self.oddity)
    }

    private struct OddKey: StoredKey {
        static let device = KeyDevice(concurrency: 2)
        var key: any StoredKey
        var oddity: Oddity
        var type: KeyType { self.key.type }
        var publicKey: Certificate.PublicKey { self.key.publicKey }

        func cost(of operation: KeyOperation) -> KeyOperationCost {
            self.type.isRSA ? .device(Self.device) : self.key.cost(of: operation)
        }

        func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
            guard self.type.isRSA, case .sign(let scheme, _) = operation else { return try self.key.perform(operation) }
            switch self.oddity {
            case .signsSomethingElse:
                return try self.key.perform(
                    .sign(scheme, content: .tls13Server(transcriptHash: [UInt8](repeating: 1, count: 32))))
            case .signsNothing: return []
            case .fails: throw .failed
            }
        }
    }
}
