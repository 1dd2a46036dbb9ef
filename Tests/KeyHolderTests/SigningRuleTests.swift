import Crypto
import KeyProtocol
import NIOCore
import NIOSSL
import RecordLayer
import Synchronization
import TLSWire
import Testing
import X509

@testable import KeyHolder

/// The key holder signs only content that is separated by a context string or made by itself.
@Suite("The rule of what is signed", .timeLimit(.minutes(3)))
struct SigningRuleTests {
    // MARK: The document

    /// DER: tag, length, contents.
    private static func der(_ tag: UInt8, _ contents: [UInt8]...) -> [UInt8] {
        let body: [UInt8] = contents.flatMap { $0 }
        return [tag, UInt8(body.count)] + body
    }

    /// The attributes of a CMS signature (RFC 5652 section 5.4) over a document: 100 bytes that are also the randoms and x25519
    /// parameters of a TLS 1.2 ServerKeyExchange.
    private static func attributes(of document: String) -> [UInt8] {
        let pkcs9: [UInt8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9]
        let digest: [UInt8] = self.der(
            0x30, self.der(6, pkcs9 + [4]),
            self.der(0x31, self.der(4, Array(SHA256.hash(data: Array(document.utf8))))))
        let filler: [UInt8] = self.der(
            0x30, self.der(6, [0x2B, 12, 13]), self.der(0x31, self.der(4, [0, 0, 3, 0, 29, 32, 0, 0, 0, 0, 0, 0])))
        let type: [UInt8] = self.der(
            0x30, self.der(6, pkcs9 + [3]), self.der(0x31, self.der(6, [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1])))
        return self.der(0x31, digest, filler, type)
    }

    @Test("A document in the clothes of a TLS 1.2 key exchange is not signed, for none of the names that ask for it")
    func document() async throws {
        let holder = try await TestHolder()
        var configuration = holder.configuration
        configuration.grants = try ["p256.test", "rsa.test", "ed.test"].map {
            try PolicyFixtures.grant("paris", $0, operations: KeyProtocol.Operation.keyless)
        }
        try holder.server.reload(configuration)
        let attributes: [UInt8] = Self.attributes(of: "I sell the site to the bearer for 1 EUR.\n")
        // It passes for what a TLS 1.2 server signs: no check of the parameters would have seen it.
        #expect(attributes.count == 100)
        #expect(throws: Never.self) { try TLS12ServerKeyExchange(signedContent: attributes) }
        let edge = try await holder.edge("paris")
        var id: UInt32 = 0
        for (name, scheme) in [("p256.test", [0x04, 0x03]), ("rsa.test", [0x04, 0x01]), ("ed.test", [0x08, 0x07])]
            as [(String, [UInt8])]
        {
            id += 1
            // As an edge that was taken over would put it together: header, opcode, function, server name, payload.
            let function = Array("latchstring.sign-tls12/1".utf8)
            var body: [UInt8] = [0x11, 0, 1, 0x24, 0x13, 0, UInt8(function.count)] + function
            body += [0x02, 0, UInt8(name.utf8.count)] + Array(name.utf8)
            body += [0x12, 0, UInt8(scheme.count + attributes.count)] + scheme + attributes
            edge.send(ByteBuffer(bytes: [1, 0, 0, UInt8(body.count), 0, 0, 0, UInt8(id)] + body))
            let answer = try #require(await edge.answers(1).first)
            #expect(answer.id == id)
            #expect(answer.body.errorCode == .badOpcode)
        }
        #expect(await edge.ping())
        await edge.close()
        let lines = try await holder.stop()
        #expect(lines.count == 3)
        #expect(lines.allSatisfy { $0["outcome"] == "bad-opcode" && $0["edge"] == "paris" })
        #expect(
            lines.allSatisfy { $0["detail"]?.hasPrefix("function latchstring.sign-tls12/1: the edge is older") == true }
        )
    }

    // MARK: All else

    /// What an edge sends and gets in handshakes of TLS 1.2, and what must have come of nothing else than that.
    private struct Handshake {
        var hello: ByteBuffer
        var flight: ByteBuffer
    }

    /// Every function of our own, with good payloads, random ones and ones in between.
    @Test("Whatever an edge asks for by our own functions: spaces and a context, or a handshake that was made here")
    func everyFunction() async throws {
        let store = RecordingKeyStore()
        let holder = try await TestHolder(keyStore: store)
        var configuration = holder.configuration
        configuration.grants = try ["p256.test", "rsa.test", "ed.test"].map {
            try PolicyFixtures.grant(
                "paris", $0,
                operations: Set(KeyProtocol.Operation.allCases).subtracting(KeyProtocol.Operation.stock),
                rate: 1_000_000)
        }
        configuration.sites[1].handshakes.allowsRSAKeyExchange = true
        try holder.server.reload(configuration)
        let edge = try await holder.edge("paris")
        var random = SystemRandomNumberGenerator()
        var handshakes: [Handshake] = []
        for name in ["p256.test", "rsa.test", "ed.test"] {
            for scheme: UInt16 in [0x0401, 0x0403, 0x0501, 0x0804, 0x0805, 0x0806, 0x0807] {
                for length in [0, 32, 48, 98, 100] {
                    let payload: [UInt8] =
                        [UInt8(scheme >> 8), UInt8(scheme & 0xFF)]
                        + (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
                    for function in KeyFunction.allCases {
                        _ = try await edge.ask(
                            KeyMessage(
                                opcode: .custom, payload: ByteBuffer(bytes: payload), function: function.rawValue,
                                serverName: name))
                    }
                }
            }
            for version in [NIOSSL.TLSVersion.tlsv12, .tlsv13] {
                let client = try await HandoffClient(name) { $0.maximumTLSVersion = version }
                let hello: ByteBuffer = try await client.bytes()
                let progress = try await edge.begin(hello, name: name)
                handshakes.append(Handshake(hello: hello, flight: progress.serverBytes))
                await client.end()
                // The same with a random of the edge's choice: what would begin a content of TLS 1.3, and part of a document.
                let document: [UInt8] = Self.attributes(of: "\(version)")
                for chosen in [[UInt8](repeating: 0x20, count: 32), Array(document.prefix(32))] {
                    var changed: ByteBuffer = hello
                    changed.setBytes(chosen, at: changed.readerIndex + 11)
                    let progress = try await edge.begin(changed, name: name)
                    handshakes.append(Handshake(hello: changed, flight: progress.serverBytes))
                    if case .needsMore = progress.state { try await edge.forget(progress.handshake) }
                }
            }
            let (opcodes, length) = ([0x01, 0x02, 0x05, 0x08, 0x12, 0x15, 0x18, 0x35] as [UInt8], 32)
            for opcode in opcodes {
                let message = KeyMessage(
                    opcode: Opcode(rawValue: opcode), payload: ByteBuffer(repeating: 1, count: length),
                    serverName: name)
                #expect(try await edge.ask(message)?.errorCode == .keyNotFound)
            }
        }
        await edge.close()
        _ = try await holder.stop()

        let operations: [KeyOperation] = store.operations.withLock { $0 }
        var counts = (separated: 0, own: 0)
        for operation in operations {
            guard case .sign(_, let content) = operation else {
                Issue.record("\(operation) is no signature of ours")
                continue
            }
            if Self.isSeparated(content.bytes) {
                counts.separated += 1
            } else {
                #expect(Self.isOwn(content.bytes, handshakes))
                counts.own += 1
            }
        }
        // Three kinds of keys; two transcript hashes for each scheme that fits, and three handshakes of either version.
        #expect(counts.separated == 3 * 3 + 2 * (1 + 3 + 1))
        #expect(counts.own == 3 * 3)
    }

    private static func isSeparated(_ content: [UInt8]) -> Bool {
        content.starts(
            with: [UInt8](repeating: 0x20, count: 64) + Array("TLS 1.3, server CertificateVerify".utf8) + [0])
    }

    /// Whether the server random and the parameters are those of a flight that went out, and came from no edge.
    private static func isOwn(_ content: [UInt8], _ handshakes: [Handshake]) -> Bool {
        guard content.count > 68 else { return false }
        let (clientRandom, serverRandom) = (Array(content[0..<32]), Array(content[32..<64]))
        let parameters = Array(content[64...])
        let share = Array(parameters.dropFirst(4))
        let own: [Handshake] = handshakes.filter { handshake in
            handshake.flight.holds(serverRandom) && handshake.flight.holds(parameters)
                && handshake.hello.holds(clientRandom)
        }
        return own.count == 1 && !handshakes.contains { $0.hello.holds(serverRandom) || $0.hello.holds(share) }
    }

    @Test("No content of another form can be made into one that is signed")
    func contents() throws {
        let random = [UInt8](repeating: 1, count: 32)
        let exchange: [UInt8] =
            [UInt8](repeating: 1, count: 32) + [UInt8](repeating: 2, count: 32) + [3, 0, 29, 32]
            + [UInt8](repeating: 9, count: 32)
        #expect(SignedContent(handshake: exchange, of: random)?.bytes == exchange)
        let other = [UInt8](repeating: 3, count: 32)
        #expect(SignedContent(handshake: exchange, of: other) == nil)
        #expect(SignedContent(handshake: Self.attributes(of: "a document"), of: random) == nil)
        #expect(SignedContent(native: exchange) == nil)
        let tls13: [UInt8] = SignedContent.tls13Server(transcriptHash: [UInt8](repeating: 5, count: 32)).bytes
        #expect(Self.isSeparated(tls13) && tls13.count == 98 + 32)
        #expect(SignedContent(handshake: tls13, of: random)?.bytes == tls13)
        #expect(SignedContent(native: tls13) == nil)
        // A TLS 1.3 client's context is not a server's.
        let client: [UInt8] =
            [UInt8](repeating: 0x20, count: 64) + Array("TLS 1.3, client CertificateVerify".utf8) + [0]
            + [UInt8](repeating: 5, count: 32)
        #expect(SignedContent(handshake: client, of: random) == nil)
        let native: [UInt8] =
            [UInt8](repeating: 0x20, count: 64) + Array("Latchstring native 1, certificate information".utf8) + [0]
            + [UInt8](repeating: 5, count: 32)
        #expect(SignedContent(native: native)?.bytes == native)
        #expect(SignedContent(native: Array(native.dropFirst())) == nil)
        #expect(SignedContent(handshake: native, of: random) == nil)
    }
}

extension ByteBuffer {
    fileprivate func holds(_ bytes: [UInt8]) -> Bool {
        let view: [UInt8] = Array(self.readableBytesView)
        guard view.count >= bytes.count, let first = bytes.first else { return false }
        return view.indices.dropLast(bytes.count - 1).contains {
            view[$0] == first && view[$0..<($0 + bytes.count)].elementsEqual(bytes)
        }
    }
}

/// A store whose keys tell what they were asked for.
final class RecordingKeyStore: KeyStore {
    let operations = Mutex<[KeyOperation]>([])

    func key(
        from source: KeySource, for certified: Certificate.PublicKey
    ) throws(SiteLoadError) -> any StoredKey {
        RecordingKey(key: try SoftwareKeyStore().key(from: source), store: self)
    }

    private struct RecordingKey: StoredKey {
        var key: any StoredKey
        var store: RecordingKeyStore
        var type: KeyType { self.key.type }
        var publicKey: Certificate.PublicKey { self.key.publicKey }

        func privateKeyInfo() -> Secret? { self.key.privateKeyInfo() }

        func cost(of operation: KeyOperation) -> KeyOperationCost { self.key.cost(of: operation) }

        func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
            self.store.operations.withLock { $0.append(operation) }
            return try self.key.perform(operation)
        }
    }
}
