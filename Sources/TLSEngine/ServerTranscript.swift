import NIOCore
import TLSCrypto
import TLSWire

/// The hash over a TLS 1.3 handshake's messages up to the server's Finished (RFC 8446 §4.4.1): what the client's Finished is made of.
///
/// The hash function is known with the ServerHello; until then the client's hello is kept.
struct ServerTranscript: ~Copyable {
    private var hello: [UInt8] = []
    private var running: RunningHash?
    private var isOver = false
    /// Once the server's Finished is written.
    private(set) var digest: [UInt8]?

    /// A whole message with its header, in the order in which the handshake has them.
    mutating func add(_ message: UnsafeRawBufferPointer, isServers: Bool) {
        guard !self.isOver, let type = message.first else { return }
        if isServers, type == HandshakeType.serverHello.rawValue { self.start(message) }
        guard let running = self.running.take() else {
            self.hello += message
            return
        }
        running.update(message)
        if isServers, type == HandshakeType.finished.rawValue {
            self.digest = running.finish()
            self.isOver = true
        } else {
            self.running = consume running
        }
    }

    private mutating func start(_ serverHello: UnsafeRawBufferPointer) {
        guard let parsed = try? ServerHello(parsing: ByteBuffer(bytes: serverHello)),
            parsed.version == TLSVersion.tls13
        else {
            // Nothing is to be checked in TLS 1.2: the library does.
            self.isOver = true
            self.hello = []
            return
        }
        // Behind a HelloRetryRequest there is a hash already.
        guard self.running == nil else { return }
        let hash: HashAlgorithm = parsed.cipherSuite == 0x1302 ? .sha384 : .sha256
        let running = RunningHash(hash)
        if parsed.isHelloRetryRequest {
            // The first hello counts as a message that holds its hash.
            let digest: [UInt8] = self.hello.withUnsafeBytes { hash.digest($0) }
            ([254, 0, 0, UInt8(digest.count)] + digest).withUnsafeBytes { running.update($0) }
        } else {
            self.hello.withUnsafeBytes { running.update($0) }
        }
        self.hello = []
        self.running = consume running
    }
}
