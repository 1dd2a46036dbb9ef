public import NIOCore
import TLSCrypto
import TLSWire

extension ExportedSession {
    /// The record in which the client's Finished is to come, as a client makes it that sends nothing else before.
    ///
    /// - Returns: nil if none is to come.
    public func expectedFinished() -> ByteBuffer? {
        guard case .tls13(_, _, let finished?) = secrets else { return nil }
        let length: Int = finished.verifyData.count
        var record = ByteBuffer()
        var sealer = RecordSealer(suite: suite, keys: finished.keys, sequence: 0)
        return withUnsafeTemporaryAllocation(byteCount: 4 + length, alignment: 8) { message in
            defer { SecretMemory.erase(message) }
            message.storeBytes(
                of: (UInt32(HandshakeType.finished.rawValue) << 24 | UInt32(length)).bigEndian, as: UInt32.self)
            finished.verifyData.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: message[4...]).copyMemory(from: $0)
            }
            guard (try? sealer.seal(.handshake, UnsafeRawBufferPointer(message), into: &record)) != nil else {
                return nil
            }
            return record
        }
    }
}
