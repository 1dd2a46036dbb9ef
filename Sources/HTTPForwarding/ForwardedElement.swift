import HTTPFields
import NIOCore

/// Whom a request came from, as an intermediary names it (RFC 7239 §6).
public enum ClientNode: Equatable, Sendable {
    case ipv4(String)
    /// Without brackets or zone.
    case ipv6(String)
    case unknown

    /// For `Forwarded`: IPv6 addresses are bracketed and quoted.
    var forwardedValue: String {
        switch self {
        case .ipv4(let address): address
        case .ipv6(let address): "\"[\(address)]\""
        case .unknown: "unknown"
        }
    }

    /// For `X-Forwarded-For`, which is bare by custom.
    var plainValue: String {
        switch self {
        case .ipv4(let address), .ipv6(let address): address
        case .unknown: "unknown"
        }
    }
}

/// One hop's element of the `Forwarded` field.
enum ForwardedElement {
    /// Writes a value as token where that is possible, as quoted string otherwise (a host with a port, for instance).
    static func write(_ text: String, to buffer: inout ByteBuffer) {
        let bytes = text.utf8.span
        if bytes.isToken(0..<bytes.count) {
            buffer.writeString(text)
            return
        }
        buffer.writeStaticString("\"")
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { buffer.writeStaticString("\\") }
            buffer.writeInteger(byte)
        }
        buffer.writeStaticString("\"")
    }

    /// An obfuscated identifier (RFC 7239 §6.3) made of a name: other characters than it may have become `-`.
    static func obfuscatedIdentifier(_ name: String) -> String {
        var identifier = "_"
        for byte in name.utf8 {
            let character = Unicode.Scalar(byte)
            switch character {
            case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-": identifier.unicodeScalars.append(character)
            default: identifier.append("-")
            }
        }
        return identifier
    }
}
