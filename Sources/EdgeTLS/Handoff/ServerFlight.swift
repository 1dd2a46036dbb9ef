import NIOCore
import RecordLayer
import TLSWire

/// What the key holder's bytes for the client say of how the handshake goes on.
struct ServerFlight: Equatable {
    /// What the client answers.
    var answer: ClientFlight.Kind
    /// Whether the server's next records are protected, so that an alert in the clear would be noise.
    var isProtected: Bool
    /// False if the client is to encrypt its secret to the certificate's key.
    var hasForwardSecrecy: Bool

    /// - Returns: nil if the bytes do not begin with a ServerHello that leaves the client something to say before the
    ///   session can be exported.
    init?(_ bytes: ByteBuffer, earlyDataOffered: Bool) {
        guard let header = RecordHeader(in: bytes, at: bytes.readerIndex),
            header.contentType == ContentType.handshake.rawValue,
            let word: UInt32 = bytes.getInteger(at: bytes.readerIndex + RecordHeader.length),
            let message = bytes.getSlice(
                at: bytes.readerIndex + RecordHeader.length, length: 4 + Int(word & 0xFF_FFFF)),
            message.readableBytes <= header.payloadLength,
            let hello = try? ServerHello(parsing: message)
        else { return nil }
        self.hasForwardSecrecy = RecordSuite(rawValue: hello.cipherSuite)?.hasForwardSecrecy ?? true
        if hello.isHelloRetryRequest {
            self.answer = .secondHello(skippingEarlyData: earlyDataOffered)
            self.isProtected = false
        } else if hello.version == TLSVersion.tls12 {
            self.answer = .tls12
            self.isProtected = Self.containsChangeCipherSpec(bytes)
        } else {
            return nil
        }
    }

    /// In a resumed session of TLS 1.2 the server's Finished is the first.
    private static func containsChangeCipherSpec(_ bytes: ByteBuffer) -> Bool {
        var index = bytes.readerIndex
        while let header = RecordHeader(in: bytes, at: index) {
            if header.contentType == ContentType.changeCipherSpec.rawValue { return true }
            index += RecordHeader.length + header.payloadLength
        }
        return false
    }
}
