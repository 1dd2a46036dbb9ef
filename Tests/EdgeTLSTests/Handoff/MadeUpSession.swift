import KeyProtocol
import NIOCore
import TLSWire

@testable import RecordLayer

/// A session with made-up keys, as a key holder might export it, and what its client sends.
struct MadeUpSession: ~Copyable {
    let suite: RecordSuite
    let exported: ExportedSession
    /// Seals what the client sends: first in the epoch of its Finished, if that is to come.
    private var sealer: RecordSealer
    private let clientSecret: Secret
    private let serverSecret: Secret
    private let verifyData: Secret

    init(
        _ suite: RecordSuite = .aes128GCMSHA256, finishedToCome: Bool = true,
        applicationProtocol: String? = "http/1.1"
    ) throws {
        self.suite = suite
        let length = suite.hash.length
        self.clientSecret = Secret([UInt8](repeating: 1, count: length))
        self.serverSecret = Secret([UInt8](repeating: 2, count: length))
        self.verifyData = Secret([UInt8](repeating: 3, count: length))
        func keys(_ seed: UInt8) -> TrafficKeys {
            TrafficKeys(
                key: Secret([UInt8](repeating: seed, count: suite.cipher.keyLength)),
                iv: Secret([UInt8](repeating: ~seed, count: suite.ivLength)))
        }
        let secrets: ExportedSession.Secrets
        switch suite.version {
        case .tls13:
            let finished = ExportedSession.ClientFinished(keys: keys(4), verifyData: self.verifyData)
            secrets = .tls13(
                client: self.clientSecret, server: self.serverSecret, finished: finishedToCome ? finished : nil)
            self.sealer =
                finishedToCome
                ? RecordSealer(suite: suite, keys: keys(4), sequence: 0)
                : RecordSealer(suite: suite, secret: self.clientSecret, sequence: 0)
        case .tls12:
            secrets = .tls12(client: keys(4), server: keys(5))
            self.sealer = RecordSealer(suite: suite, keys: keys(4), sequence: 1)
        }
        self.exported = try ExportedSession(
            suite: suite, applicationProtocol: applicationProtocol.map { Array($0.utf8) }, secrets: secrets,
            clientSequence: suite.version == .tls12 ? 1 : 0, serverSequence: suite.version == .tls12 ? 1 : 0)
    }

    /// The key holder's answer that carries it.
    func progress(
        tickets: ByteBuffer = ByteBuffer(), flight: ByteBuffer = ByteBuffer(string: "flight")
    ) -> HandshakeProgress {
        var session = ByteBuffer()
        self.exported.encode(into: &session)
        return HandshakeProgress(
            handshake: 7, state: .exported(session: session, tickets: tickets), serverBytes: flight)
    }

    mutating func record(_ type: ContentType, _ content: [UInt8], padding: Int = 0) throws -> ByteBuffer {
        var output = ByteBuffer()
        try content.withUnsafeBytes { try self.sealer.seal(type, $0, padding: padding, into: &output) }
        return output
    }

    /// A KeyUpdate; what follows it is in the next generation.
    mutating func keyUpdate(requesting: Bool) throws -> ByteBuffer {
        let record = try self.record(.handshake, [24, 0, 0, 1, requesting ? 1 : 0])
        self.sealer.update()
        return record
    }

    /// The client's Finished; what it sends after it is in the epoch of application data.
    mutating func finished() throws -> ByteBuffer {
        let record = try self.record(
            .handshake, [20, 0, 0, UInt8(self.verifyData.count)] + self.verifyData.withUnsafeBytes { Array($0) })
        self.sealer = RecordSealer(suite: self.suite, secret: self.clientSecret, sequence: 0)
        return record
    }

    /// Reads what the edge sends, which a client does with the roles exchanged.
    func client() throws -> RecordSession {
        let secrets: ExportedSession.Secrets
        switch self.exported.secrets {
        case .tls13(let client, let server, _): secrets = .tls13(client: server, server: client, finished: nil)
        case .tls12(let client, let server): secrets = .tls12(client: server, server: client)
        }
        return RecordSession(
            try ExportedSession(
                suite: self.suite, applicationProtocol: nil, secrets: secrets,
                clientSequence: self.exported.serverSequence, serverSequence: self.exported.clientSequence))
    }
}
