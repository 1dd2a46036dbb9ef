public import NIOCore

/// An exported session as bytes, for its way from the key holder to the edge (inside their mutual TLS).
///
/// All integers are big endian. `opaque8` is one byte of length and that many bytes:
///
///     format               1 byte, 1
///     suite                2 bytes, IANA number; implies the version
///     ALPN protocol        opaque8, empty for none
///     client's sequence    8 bytes
///     server's sequence    8 bytes
///     TLS 1.3:             client secret opaque8, server secret opaque8, then 1 byte: 0, or 1 followed by
///                          the client's handshake key, IV and expected verify_data, opaque8 each
///     TLS 1.2:             client key, client IV, server key, server IV, opaque8 each
///
/// Every length is fixed by the suite, and nothing may follow.
extension ExportedSession {
    /// The first byte. A change that an older reader would misread takes another number.
    static let format: UInt8 = 1

    /// The longest encoding, in bytes: a TLS 1.3 session with SHA-384, a Finished to come, and the longest ALPN name.
    public static let maximumEncodedLength = 1 + 2 + 256 + 16 + 2 * 49 + 1 + 33 + 13 + 49

    /// Appends the encoding. The buffer then holds secrets: it should not outlive its use.
    public func encode(into buffer: inout ByteBuffer) {
        buffer.reserveCapacity(minimumWritableBytes: Self.maximumEncodedLength)
        buffer.writeInteger(Self.format)
        buffer.writeInteger(suite.rawValue)
        let name: [UInt8] = applicationProtocol ?? []
        // The initialiser bounded it to 255 bytes.
        buffer.writeInteger(UInt8(name.count))
        buffer.writeBytes(name)
        buffer.writeInteger(clientSequence)
        buffer.writeInteger(serverSequence)
        switch secrets {
        case .tls13(let client, let server, let finished):
            Self.write(client, to: &buffer)
            Self.write(server, to: &buffer)
            buffer.writeInteger(finished == nil ? 0 : 1, as: UInt8.self)
            if let finished {
                Self.write(finished.keys.key, to: &buffer)
                Self.write(finished.keys.iv, to: &buffer)
                Self.write(finished.verifyData, to: &buffer)
            }
        case .tls12(let client, let server):
            for keys in [client, server] {
                Self.write(keys.key, to: &buffer)
                Self.write(keys.iv, to: &buffer)
            }
        }
    }

    /// Reads what ``encode(into:)`` wrote.
    ///
    /// - Parameter bytes: the whole encoding and nothing else.
    /// - Throws: for bytes that are not a session, with what is wrong with the first part that is.
    public init(decoding bytes: ByteBuffer) throws(ExportedSessionError) {
        var bytes: ByteBuffer = bytes
        guard let format: UInt8 = bytes.readInteger() else { throw .truncated }
        guard format == Self.format else { throw .unknownFormat(format) }
        guard let number: UInt16 = bytes.readInteger(), let nameLength: UInt8 = bytes.readInteger(),
            let name: [UInt8] = bytes.readBytes(length: Int(nameLength)),
            let (clientSequence, serverSequence) = bytes.readMultipleIntegers(as: (UInt64, UInt64).self)
        else { throw .truncated }
        guard let suite = RecordSuite(rawValue: number) else { throw .unknownSuite(number) }
        let secrets: Secrets
        switch suite.version {
        case .tls13:
            let client: Secret = try Self.read(&bytes)
            let server: Secret = try Self.read(&bytes)
            guard let flag: UInt8 = bytes.readInteger() else { throw .truncated }
            guard flag <= 1 else { throw .finishedFlag(flag) }
            var finished: ClientFinished?
            if flag == 1 {
                let keys: TrafficKeys = try Self.readKeys(&bytes)
                finished = ClientFinished(keys: keys, verifyData: try Self.read(&bytes))
            }
            secrets = .tls13(client: client, server: server, finished: finished)
        case .tls12:
            let client: TrafficKeys = try Self.readKeys(&bytes)
            let server: TrafficKeys = try Self.readKeys(&bytes)
            secrets = .tls12(client: client, server: server)
        }
        guard bytes.readableBytes == 0 else { throw .trailingBytes(bytes.readableBytes) }
        // Checks every length against the suite.
        try self.init(
            suite: suite, applicationProtocol: nameLength == 0 ? nil : name, secrets: secrets,
            clientSequence: clientSequence, serverSequence: serverSequence)
    }

    private static func write(_ secret: Secret, to buffer: inout ByteBuffer) {
        // The initialiser bounded it: a secret is as long as a digest, a key or an IV.
        buffer.writeInteger(UInt8(secret.count))
        secret.withUnsafeBytes { _ = buffer.writeBytes($0) }
    }

    private static func read(_ bytes: inout ByteBuffer) throws(ExportedSessionError) -> Secret {
        guard let length: UInt8 = bytes.readInteger(), let secret = Secret(reading: &bytes, length: Int(length)) else {
            throw .truncated
        }
        return secret
    }

    private static func readKeys(_ bytes: inout ByteBuffer) throws(ExportedSessionError) -> TrafficKeys {
        let key: Secret = try read(&bytes)
        return TrafficKeys(key: key, iv: try read(&bytes))
    }
}
