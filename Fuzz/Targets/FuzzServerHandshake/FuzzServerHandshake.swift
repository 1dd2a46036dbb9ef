import Crypto
import FuzzDriver
import NIOCore
import RecordLayer
import TLSEngine
import TLSWire

@main
enum FuzzServerHandshake {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses the context and how the rest is cut; the rest is what a client sends.
///
/// Whatever the bytes: no crash, no wait for a signature that is none, no output once a session is lent, and an end that leaves no
/// input behind which the next call would loop on.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let contexts = Contexts.shared else { preconditionFailure("no contexts to shake hands with") }
    guard let choice = input.first else { return 0 }
    let bytes = ByteBuffer(bytes: input.dropFirst())
    guard let handshake = try? ServerHandshake(contexts.all[Int(choice) % contexts.all.count]) else { return 0 }
    var pieces: [ByteBuffer] = [bytes]
    if choice & 0x80 != 0 {
        let cut: Int = bytes.readableBytes * Int(choice & 0x7F) / 0x80
        pieces = [cut == 0 ? 0..<bytes.readableBytes : 0..<cut, cut..<bytes.readableBytes].compactMap {
            bytes.getSlice(at: bytes.readerIndex + $0.lowerBound, length: $0.count)
        }
    }
    var player = Player(handshake: handshake)
    for piece in pieces { player.play(piece) }
    return 0
}

private struct Player: ~Copyable {
    var handshake: ServerHandshake?
    var finished: AwaitedFinished?
    var input = ByteBuffer()

    init(handshake: consuming ServerHandshake) { self.handshake = consume handshake }

    mutating func play(_ piece: ByteBuffer) {
        self.input.writeImmutableBuffer(piece)
        if let handshake = self.handshake.take() { self.act(on: handshake.receive(&self.input)) }
        guard let finished = self.finished.take() else { return }
        let before: Int = self.input.readableBytes
        switch finished.receive(&self.input) {
        case .needsInput(let finished): self.finished = consume finished
        // No fuzzer makes a Finished.
        case .completed: preconditionFailure("a client's Finished out of nothing")
        case .failed: break
        }
        precondition(self.input.readableBytes <= before)
    }

    private mutating func act(on turn: consuming HandshakeTurn) {
        switch consume turn {
        case .needsInput(let handshake, _): self.handshake = consume handshake
        case .needsSignature(let awaited):
            precondition(
                TLS13ServerSignature.transcriptHash(fromContent: awaited.request.content) != nil
                    || (try? TLS12ServerKeyExchange(signedContent: awaited.request.content)) != nil)
            guard let signature = Contexts.shared?.sign(awaited.request.content) else { return }
            self.act(on: awaited.complete(signature))
        case .exported(let session, let finished, let output):
            // In TLS 1.2 that takes a Finished.
            let isAwaited: Bool = finished != nil
            precondition(isAwaited && session.session.suite.version == .tls13 && output.readableBytes > 0)
            self.finished = consume finished
        case .failed(let end):
            if case .engine(let reason) = end.failure { preconditionFailure(reason) }
        }
    }
}

/// Made once: a policy of each kind.
private struct Contexts {
    static let shared = Contexts()

    let all: [ServerContext]
    private let key: P256.Signing.PrivateKey

    init?() {
        let key = P256.Signing.PrivateKey()
        guard let certificate = Certificate.selfSigned(key),
            let keys = try? SiteTicketKeys(site: "fuzz.test", .init(current: SiteTicketKeys.Secrets.random()))
        else { return nil }
        let credential = ServerCredential(chain: [certificate], key: .remote([.ecdsaP256SHA256]))
        var plain = ServerPolicy()
        plain.tickets = TicketPolicy(keys: keys)
        var retrying: ServerPolicy = plain
        retrying.groups = [TLSGroup.secp384r1]
        var choosing: ServerPolicy = plain
        choosing.applicationProtocols = [Array("h2".utf8), Array("http/1.1".utf8)]
        var old: ServerPolicy = plain
        old.versions = .tls12 ... .tls12
        let contexts: [ServerContext] = [plain, retrying, choosing, old].compactMap {
            try? ServerContext([credential], policy: $0)
        }
        guard contexts.count == 4 else { return nil }
        self.all = contexts
        self.key = key
    }

    func sign(_ content: [UInt8]) -> [UInt8]? {
        (try? self.key.signature(for: content)).map { Array($0.derRepresentation) }
    }
}

/// Just enough of X.509 for a certificate that BoringSSL takes the key out of.
private enum Certificate {
    static func selfSigned(_ key: P256.Signing.PrivateKey) -> [UInt8]? {
        let ecdsa: [UInt8] = Self.sequence([0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02])
        // One attribute: a common name.
        let name: [UInt8] = Self.sequence(
            Self.wrap(0x31, Self.sequence([0x06, 0x03, 0x55, 0x04, 0x03] + Self.wrap(0x0C, Array("fuzz".utf8)))))
        let times: [UInt8] = Self.sequence(
            Self.wrap(0x17, Array("250101000000Z".utf8)) + Self.wrap(0x17, Array("400101000000Z".utf8)))
        let body: [UInt8] = Self.sequence(
            [0xA0, 3, 2, 1, 2, 0x02, 1, 1] + ecdsa + name + times + name + Array(key.publicKey.derRepresentation))
        guard let signature = try? key.signature(for: body) else { return nil }
        return Self.sequence(body + ecdsa + Self.wrap(0x03, [0] + Array(signature.derRepresentation)))
    }

    private static func sequence(_ content: [UInt8]) -> [UInt8] { Self.wrap(0x30, content) }

    private static func wrap(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count: Int = content.count
        let length: [UInt8] =
            count < 0x80
            ? [UInt8(count)] : count < 0x100 ? [0x81, UInt8(count)] : [0x82, UInt8(count >> 8), UInt8(count & 0xFF)]
        return [tag] + length + content
    }
}
