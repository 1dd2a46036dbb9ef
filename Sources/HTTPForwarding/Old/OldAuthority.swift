import TLSWire

/// Host and optional port, as in the `Host` field or an absolute request target (RFC 9110 §7.2, RFC 3986 §3.2.2).
struct OldAuthority: Equatable, Sendable {
    enum Host: Equatable, Sendable {
        case name(ServerName)
        /// An IPv4 address, or an IPv6 address without its brackets. Valid, but no site is called that.
        case address(String)
    }

    var host: Host
    /// 0...65535; nil where none, or an empty one, was given.
    var port: Int?

    /// `nil` unless the text is exactly a host with an optional port. User information is not accepted.
    init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        var hostEnd = bytes.endIndex
        if bytes.first == UInt8(ascii: "[") {
            guard let bracket = bytes.firstIndex(of: UInt8(ascii: "]")) else { return nil }
            let address = bytes[1..<bracket]
            guard Self.looksLikeIPv6(address) else { return nil }
            hostEnd = bracket + 1
            self.host = .address(String(decoding: address, as: UTF8.self))
        } else {
            hostEnd = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
            var name = bytes[..<hostEnd]
            // A trailing dot marks the DNS root; the name is the same.
            if name.count > 1, name.last == UInt8(ascii: ".") { name.removeLast() }
            guard !name.isEmpty else { return nil }
            let text = String(decoding: name, as: UTF8.self)
            if name.allSatisfy({ $0 &- UInt8(ascii: "0") < 10 || $0 == UInt8(ascii: ".") }) {
                self.host = .address(text)
            } else if let serverName = try? ServerName(text) {
                self.host = .name(serverName)
            } else {
                return nil
            }
        }
        if hostEnd == bytes.endIndex {
            self.port = nil
            return
        }
        guard bytes[hostEnd] == UInt8(ascii: ":") else { return nil }
        let digits = bytes[(hostEnd + 1)...]
        if digits.isEmpty {
            self.port = nil
            return
        }
        guard digits.count <= 5, let port = DecimalNumber.parse(digits), port <= 65535
        else { return nil }
        self.port = Int(port)
    }

    private static func looksLikeIPv6(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= 2, bytes.count <= 45, bytes.contains(UInt8(ascii: ":")) else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: ":"), UInt8(ascii: "."):
                true
            default: false
            }
        }
    }
}
