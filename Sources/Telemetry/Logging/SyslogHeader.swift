/// What stands before a message in syslog (RFC 5424 §6): `<190>1 2026-11-29T19:38:00.000Z host latchstring 17 access - `.
struct SyslogHeader: Sendable {
    private let before: String
    private let after: String

    /// - Parameters:
    ///   - facility: 0...23. The severity is informational.
    ///   - host: of this machine.
    ///   - messageID: what kind of message it is.
    init(facility: Int, host: String, process: Int32, messageID: String) {
        self.before = "<\(facility * 8 + 6)>1 "
        self.after = " \(Self.name(host)) latchstring \(process) \(messageID) - "
    }

    func write(_ time: LogTimestamp, to message: inout [UInt8]) {
        var text = self.before
        time.append(to: &text)
        message.append(contentsOf: text.utf8)
        message.append(contentsOf: self.after.utf8)
    }

    /// 1...255 visible ASCII characters, or `-` (RFC 5424 §6.2.4).
    private static func name(_ host: String) -> String {
        let visible = host.unicodeScalars.filter { (0x21...0x7E).contains($0.value) }.prefix(255)
        return visible.isEmpty ? "-" : String(String.UnicodeScalarView(visible))
    }
}
