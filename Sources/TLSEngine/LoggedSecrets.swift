import RecordLayer
import TLSCrypto

/// The secrets of TLS 1.3 that an export needs, as BoringSSL's key log names them. Others are not looked at, TLS 1.2's master secret
/// among them.
struct LoggedSecrets {
    private(set) var clientHandshake: Secret?
    private(set) var clientApplication: Secret?
    private(set) var serverApplication: Secret?

    /// - Parameter line: label, client random and secret, in hexadecimal, with a space between each two. BoringSSL frees it erased.
    mutating func log(_ line: UnsafePointer<CChar>) {
        let line = UnsafeRawBufferPointer(start: line, count: Self.length(line))
        let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard fields.count == 3 else { return }
        if Self.isLabel(fields[0], "CLIENT_HANDSHAKE_TRAFFIC_SECRET") {
            self.clientHandshake = Self.secret(fields[2])
        } else if Self.isLabel(fields[0], "CLIENT_TRAFFIC_SECRET_0") {
            self.clientApplication = Self.secret(fields[2])
        } else if Self.isLabel(fields[0], "SERVER_TRAFFIC_SECRET_0") {
            self.serverApplication = Self.secret(fields[2])
        }
    }

    /// Bounded: the longest line has label, 32 and 48 bytes.
    private static func length(_ line: UnsafePointer<CChar>) -> Int {
        var length = 0
        while length < 512, line[length] != 0 { length += 1 }
        return length
    }

    private static func isLabel(_ field: Slice<UnsafeRawBufferPointer>, _ label: StaticString) -> Bool {
        label.withUTF8Buffer { $0.elementsEqual(field) }
    }

    private static func secret(_ digits: Slice<UnsafeRawBufferPointer>) -> Secret? {
        guard digits.count == 64 || digits.count == 96 else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: digits.count / 2, alignment: 8) { bytes in
            defer { SecretMemory.erase(bytes) }
            for index in bytes.indices {
                let start: Int = digits.startIndex + 2 * index
                bytes[index] = Self.value(digits[start]) << 4 | Self.value(digits[start + 1])
            }
            return Secret(UnsafeRawBufferPointer(bytes))
        }
    }

    /// Of a digit that is one, as BoringSSL writes them; without a branch or a table that would depend on it.
    private static func value(_ digit: UInt8) -> UInt8 {
        // Letters of both cases have bit 6 set, and are 9 more than their low four bits.
        (digit & 0x0F) &+ 9 &* (digit >> 6)
    }
}
