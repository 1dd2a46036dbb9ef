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
        if let digits = Self.digits(line, behind: "CLIENT_HANDSHAKE_TRAFFIC_SECRET") {
            self.clientHandshake = Self.secret(digits)
        } else if let digits = Self.digits(line, behind: "CLIENT_TRAFFIC_SECRET_0") {
            self.clientApplication = Self.secret(digits)
        } else if let digits = Self.digits(line, behind: "SERVER_TRAFFIC_SECRET_0") {
            self.serverApplication = Self.secret(digits)
        }
    }

    /// - Returns: the secret's digits; nil if the line has another label, or another form.
    private static func digits(_ line: UnsafeRawBufferPointer, behind label: StaticString) -> UnsafeRawBufferPointer? {
        let end: Int = label.utf8CodeUnitCount
        // The client random has 64 digits.
        let start: Int = end + 1 + 64 + 1
        let space = UInt8(ascii: " ")
        guard line.count > start, line[end] == space, line[start - 1] == space,
            label.withUTF8Buffer({ $0.elementsEqual(UnsafeRawBufferPointer(rebasing: line[..<end])) })
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: line[start...])
    }

    /// Bounded: the longest line has label, 32 and 48 bytes.
    private static func length(_ line: UnsafePointer<CChar>) -> Int {
        var length = 0
        while length < 512, line[length] != 0 { length += 1 }
        return length
    }

    private static func secret(_ digits: UnsafeRawBufferPointer) -> Secret? {
        guard digits.count == 64 || digits.count == 96 else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: digits.count / 2, alignment: 8) { bytes in
            defer { SecretMemory.erase(bytes) }
            for index in bytes.indices {
                bytes[index] = Self.value(digits[2 * index]) << 4 | Self.value(digits[2 * index + 1])
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
