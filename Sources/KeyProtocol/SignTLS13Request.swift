public import NIOCore
public import TLSWire

/// The payload of ``KeyFunction/signTLS13``: scheme u16, transcript hash.
///
/// The key holder builds the signed content (RFC 8446 section 4.4.3) around the hash by itself, so the result is of no
/// use for anything but the CertificateVerify of a TLS 1.3 server.
public struct SignTLS13Request: Equatable, Sendable {
    public var scheme: SignatureScheme
    /// The hash over the handshake's messages up to Certificate: 32 bytes (SHA-256) or 48 (SHA-384).
    public var transcriptHash: [UInt8]

    public init(scheme: SignatureScheme, transcriptHash: [UInt8]) {
        self.scheme = scheme
        self.transcriptHash = transcriptHash
    }

    public init(decoding payload: ByteBuffer) throws(KeyPayloadError) {
        var payload: ByteBuffer = payload
        guard let scheme: UInt16 = payload.readInteger() else { throw .truncated }
        guard payload.readableBytes == 32 || payload.readableBytes == 48 else {
            throw .badValue("length of the transcript hash")
        }
        self.init(scheme: SignatureScheme(rawValue: scheme), transcriptHash: Array(payload.readableBytesView))
    }

    public func encoded() -> ByteBuffer {
        var payload = ByteBuffer()
        payload.writeInteger(self.scheme.rawValue)
        payload.writeBytes(self.transcriptHash)
        return payload
    }
}
