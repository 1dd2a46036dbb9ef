import Crypto
import NIOCore

/// What a protected record holds: the last byte of its plaintext.
enum NativeContent: UInt8 {
    case data = 0
    /// No more data in this direction. No byte before it.
    case end = 1
    /// One byte before it: the alert's number.
    case alert = 2
}

/// Protects one direction's records.
struct NativeSealer: Sendable {
    private var cipher: NativeCipher

    init(_ schedule: NativeKeySchedule, secret: SymmetricKey, recordsPerKey: UInt64 = NativeCipher.recordsPerKey) {
        self.cipher = NativeCipher(schedule, secret: secret, recordsPerKey: recordsPerKey)
    }

    /// Appends one record.
    ///
    /// - Parameter bytes: at most ``NativeNumbers/maximumData``.
    mutating func seal(
        _ content: NativeContent, _ bytes: ByteBufferView, into output: inout ByteBuffer
    ) throws(NativeError) {
        let length: Int = bytes.count + 1 + NativeNumbers.tagLength
        let header: [UInt8] = [
            NativeRecordType.protected.rawValue, NativeNumbers.version, UInt8(length >> 8), UInt8(length & 0xFF),
        ]
        var plaintext = ByteBuffer()
        plaintext.reserveCapacity(bytes.count + 1)
        plaintext.writeBytes(bytes)
        plaintext.writeInteger(content.rawValue)
        let sealed: Result<Void, NativeError> = plaintext.withUnsafeReadableBytes { pointer in
            do throws(NativeError) {
                let sealed = try self.cipher.seal(pointer, authenticating: header)
                output.writeBytes(header)
                output.writeBytes(sealed)
                return .success(())
            } catch { return .failure(error) }
        }
        try sealed.get()
    }
}

/// Opens one direction's records.
struct NativeOpener: Sendable {
    private var cipher: NativeCipher

    init(_ schedule: NativeKeySchedule, secret: SymmetricKey, recordsPerKey: UInt64 = NativeCipher.recordsPerKey) {
        self.cipher = NativeCipher(schedule, secret: secret, recordsPerKey: recordsPerKey)
    }

    mutating func open(_ frame: NativeFrame) throws(NativeError) -> (NativeContent, ByteBuffer) {
        let opened: Result<ByteBuffer, NativeError> = frame.record.withUnsafeReadableBytes { pointer in
            let header: [UInt8] = Array(pointer[..<NativeNumbers.headerLength])
            let body = UnsafeRawBufferPointer(rebasing: pointer[NativeNumbers.headerLength...])
            do throws(NativeError) {
                return .success(ByteBuffer(bytes: try self.cipher.open(body, authenticating: header)))
            } catch { return .failure(error) }
        }
        var plaintext: ByteBuffer = try opened.get()
        guard let last: UInt8 = plaintext.getInteger(at: plaintext.writerIndex - 1),
            let content = NativeContent(rawValue: last)
        else { throw .malformed("kind of content") }
        plaintext.moveWriterIndex(to: plaintext.writerIndex - 1)
        return (content, plaintext)
    }
}
