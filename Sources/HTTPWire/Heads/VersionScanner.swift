import HTTPFields

/// Finds `HTTP/1.0` or `HTTP/1.1` (RFC 9112 §2.3): eight bytes, in capitals.
struct VersionScanner: Sendable {
    /// How many of its bytes have been seen.
    private var count = 0
    private var major: UInt8 = 0
    /// 0 or 1: a later minor version of HTTP/1 is spoken to as 1.1 (RFC 9110 §2.5).
    private(set) var minor = 0

    private static let length = 8

    /// Goes on at `position`. Returns true behind the version's last byte.
    mutating func scan(_ bytes: borrowing Span<UInt8>, _ position: inout Int) throws(WireFault) -> Bool {
        while self.count < Self.length {
            guard position < bytes.count else { return false }
            let byte = bytes[position]
            switch self.count {
            case 5:
                guard ByteClass.isDigit(byte) else { throw Self.fault(byte) }
                self.major = byte
            case 6:
                guard byte == UInt8(ascii: ".") else { throw Self.fault(byte) }
            case 7:
                guard ByteClass.isDigit(byte) else { throw Self.fault(byte) }
                if self.major != UInt8(ascii: "1") { throw .versionNotSupported }
                self.minor = byte == UInt8(ascii: "0") ? 0 : 1
            default:
                guard byte == ("HTTP/" as StaticString).utf8Start[self.count] else { throw Self.fault(byte) }
            }
            self.count &+= 1
            position &+= 1
        }
        return true
    }

    /// What a byte is that has no place in the first line, or behind its end.
    static func fault(_ byte: UInt8) -> WireFault {
        switch byte {
        case ByteClass.lineFeed: .bareLineFeed
        case ByteClass.space, ByteClass.horizontalTab: .whitespaceInStartLine
        default: .badVersion
        }
    }
}
