import HTTPFields
import NIOCore

extension AccessLayout {
    /// Writes a record's line, with its line feed.
    func write(_ record: AccessRecord, to line: inout [UInt8]) {
        let start = line.count
        switch self.format {
        case .json: self.writeJSON(record, to: &line)
        case .combined: self.writeCombined(record, to: &line)
        case .template(let parts):
            for part in parts {
                switch part {
                case .text(let text): line.append(contentsOf: text.utf8)
                case .field(let field): self.writeText(field, of: record, to: &line)
                case .requestField(let index):
                    // Any of them may be a URL.
                    AccessEscape.text(.optional(record.text[.others, index].map(self.mask.hidingParameters)), to: &line)
                }
            }
        }
        // A template may have a value of a kind that is not thought of here; a line is one line.
        for position in start..<line.count where line[position] == 0x0A { line[position] = 0x20 }
        line.append(0x0A)
    }

    // MARK: Values

    /// What a field is for this record.
    private func value(_ field: AccessField, of record: AccessRecord) -> AccessValue {
        if self.mask.fields.contains(field) { return .text(AccessMask.text) }
        switch field {
        case .time:
            var text = ""
            record.time.append(to: &text)
            return .text(text)
        case .localTime: return .text(AccessClock.text(record.time.seconds))
        case .client: return .optional(record.client.flatMap { $0.ipAddress })
        case .site: return .text(record.site)
        case .mode: return .optional(record.mode)
        case .host: return .optional(record.host)
        case .method: return .optional(record.method)
        case .target: return .optional(self.target(of: record))
        case .request: return .bytes(self.requestLine(of: record)[...])
        case .protocol: return .optional(record.httpVersion)
        case .status: return .number(record.shownStatus)
        case .bytes: return .number(record.bytes)
        case .received: return record.received.map { .number($0) } ?? .absent
        case .duration: return .seconds(record.duration)
        case .firstByte: return .optional(record.firstByte)
        case .originAddress: return .optional(record.origin?.address.map { "\(PeerText($0))" })
        case .originFirstByte: return .optional(record.origin?.firstByte)
        case .originDuration: return .optional(record.origin?.duration)
        case .cache: return .optional(record.cache)
        case .tlsVersion: return .optional(record.tls?.version)
        case .tlsSuite: return .optional(record.tls?.suite)
        case .tlsGroup: return .optional(record.tls?.group)
        case .tlsResumed: return record.tls?.resumed.map { .flag($0) } ?? .absent
        case .referrer: return .optional(record.text[.referrer].map(self.mask.hidingParameters))
        case .userAgent: return .optional(record.text[.userAgent])
        case .requestID: return .optional(record.text[.requestID])
        case .connection: return record.connection == 0 ? .absent : .number(Int(clamping: record.connection))
        case .number: return record.number == 0 ? .absent : .number(record.number)
        case .outcome: return .text(record.outcome)
        }
    }

    private func target(of record: AccessRecord) -> ArraySlice<UInt8>? {
        guard let target = record.text[.target], !target.isEmpty else { return nil }
        return self.mask.hidingParameters(target)
    }

    /// `GET /path HTTP/1.1`; of a relayed connection what a tunnel's would be, so that readers of web servers' logs know it. `-` for a
    /// request that could not be read.
    private func requestLine(of record: AccessRecord) -> [UInt8] {
        guard let method = record.method else {
            guard let host = record.host, record.mode == "relay" || record.mode == "native" else {
                return Array("-".utf8)
            }
            return Array("CONNECT \(self.mask.fields.contains(.host) ? AccessMask.text : host):443 HTTP/1.1".utf8)
        }
        var line = Array((self.mask.fields.contains(.method) ? AccessMask.text : method).utf8)
        line.append(0x20)
        if self.mask.fields.contains(.target) {
            line.append(contentsOf: AccessMask.text.utf8)
        } else {
            line.append(contentsOf: self.target(of: record) ?? Array("-".utf8)[...])
        }
        line.append(0x20)
        let version = self.mask.fields.contains(.protocol) ? AccessMask.text : record.httpVersion ?? "-"
        line.append(contentsOf: version.utf8)
        return line
    }

    // MARK: Formats

    private func writeJSON(_ record: AccessRecord, to line: inout [UInt8]) {
        var isFirst = true
        for field in AccessField.inJSON {
            let value = self.value(field, of: record)
            if case .absent = value { continue }
            line.append(UInt8(ascii: isFirst ? "{" : ","))
            isFirst = false
            line.append(UInt8(ascii: "\""))
            line.append(contentsOf: field.rawValue.utf8)
            line.append(contentsOf: "\":".utf8)
            AccessEscape.json(value, to: &line)
        }
        line.append(UInt8(ascii: "}"))
    }

    private func writeCombined(_ record: AccessRecord, to line: inout [UInt8]) {
        func add(_ text: StaticString) { line.append(contentsOf: text.bytes) }
        self.writeText(.client, of: record, to: &line)
        add(" - - [")
        self.writeText(.localTime, of: record, to: &line)
        add("] \"")
        self.writeText(.request, of: record, to: &line)
        add("\" ")
        self.writeText(.status, of: record, to: &line)
        add(" ")
        self.writeText(.bytes, of: record, to: &line)
        add(" \"")
        self.writeText(.referrer, of: record, to: &line)
        add("\" \"")
        self.writeText(.userAgent, of: record, to: &line)
        add("\"")
    }

    private func writeText(_ field: AccessField, of record: AccessRecord, to line: inout [UInt8]) {
        AccessEscape.text(self.value(field, of: record), to: &line)
    }
}

extension StaticString {
    fileprivate var bytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: self.utf8Start, count: self.utf8CodeUnitCount)
    }
}

/// One value of a line.
enum AccessValue {
    case absent
    /// The edge's own words, or what has been judged.
    case text(String)
    /// As a client sent them: anything.
    case bytes(ArraySlice<UInt8>)
    case number(Int)
    case seconds(TimeAmount)
    case flag(Bool)

    static func optional(_ text: String?) -> AccessValue { text.map { .text($0) } ?? .absent }
    static func optional(_ bytes: ArraySlice<UInt8>?) -> AccessValue { bytes.map { .bytes($0) } ?? .absent }
    static func optional(_ time: TimeAmount?) -> AccessValue { time.map { .seconds($0) } ?? .absent }
}

/// How values stand in a line, so that none of them ends it, or looks like another.
enum AccessEscape {
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// As nginx does by default: `"`, `\`, and all bytes but visible ASCII and the space as `\xHH`; `-` for what is not there.
    static func text(_ value: AccessValue, to line: inout [UInt8]) {
        switch value {
        case .absent: line.append(UInt8(ascii: "-"))
        case .text(let text): text.isEmpty ? line.append(UInt8(ascii: "-")) : self.escape(text.utf8, to: &line)
        case .bytes(let bytes): bytes.isEmpty ? line.append(UInt8(ascii: "-")) : self.escape(bytes, to: &line)
        case .number, .seconds, .flag: self.plain(value, to: &line)
        }
    }

    private static func escape(_ bytes: some Sequence<UInt8>, to line: inout [UInt8]) {
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0..<0x20, 0x7F...0xFF: self.hex(byte, "\\x", to: &line)
            default: line.append(byte)
            }
        }
    }

    /// RFC 8259. Controls are escaped, C1 too; what is no UTF-8 is written as `\xHH`, with its backslash escaped.
    static func json(_ value: AccessValue, to line: inout [UInt8]) {
        switch value {
        case .absent: line.append(contentsOf: "null".utf8)
        case .text(let text): self.quote(text, to: &line)
        case .bytes(let bytes): self.quote(bytes, to: &line)
        case .number, .seconds, .flag: self.plain(value, to: &line)
        }
    }

    /// Whether bytes stand in a string as they are, as nearly all do: visible ASCII and spaces, without `"` and `\`.
    private static func isPlain(_ bytes: UnsafeRawBufferPointer) -> Bool {
        for byte in bytes {
            if byte &- 0x20 >= 0x5F || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
        }
        return true
    }

    private static func quotePlain(_ bytes: UnsafeRawBufferPointer, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "\""))
        line.append(contentsOf: bytes)
        line.append(UInt8(ascii: "\""))
    }

    private static func quote(_ text: String, to line: inout [UInt8]) {
        let isDone = text.utf8.span.withUnsafeBytes { bytes in
            guard self.isPlain(bytes) else { return false }
            self.quotePlain(bytes, to: &line)
            return true
        }
        if isDone { return }
        var quoted = ""
        JSONText.quote(text, into: &quoted)
        line.append(contentsOf: quoted.utf8)
    }

    private static func quote(_ bytes: ArraySlice<UInt8>, to line: inout [UInt8]) {
        let isDone = bytes.withUnsafeBytes { bytes in
            guard self.isPlain(bytes) else { return false }
            self.quotePlain(bytes, to: &line)
            return true
        }
        if isDone { return }
        if let text = String(validating: bytes, as: UTF8.self) { return self.quote(text, to: &line) }
        line.append(UInt8(ascii: "\""))
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                line.append(UInt8(ascii: "\\"))
                line.append(byte)
            case 0x20..<0x7F: line.append(byte)
            default: self.hex(byte, "\\\\x", to: &line)
            }
        }
        line.append(UInt8(ascii: "\""))
    }

    private static func plain(_ value: AccessValue, to line: inout [UInt8]) {
        switch value {
        case .number(let number): line.append(contentsOf: "\(number)".utf8)
        case .seconds(let time):
            let microseconds = max(0, time.nanoseconds / 1000)
            line.append(contentsOf: "\(microseconds / 1_000_000).".utf8)
            let rest = "\(microseconds % 1_000_000)".utf8
            for _ in 0..<6 - rest.count { line.append(UInt8(ascii: "0")) }
            line.append(contentsOf: rest)
        case .flag(let flag): line.append(contentsOf: (flag ? "true" : "false").utf8)
        case .absent, .text, .bytes: break
        }
    }

    private static func hex(_ byte: UInt8, _ prefix: StaticString, to line: inout [UInt8]) {
        line.append(contentsOf: UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount))
        line.append(self.digits[Int(byte >> 4)])
        line.append(self.digits[Int(byte & 0xF)])
    }
}

/// Times as web servers' logs have them, in UTC: `29/Nov/2026:19:38:00 +0000`.
enum AccessClock {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    static func text(_ seconds: Int64) -> String {
        let days: Int64 = CivilDate.floorDivide(seconds, 86_400)
        let second = Int(seconds - days * 86_400)
        let date = CivilDate(days: days)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(two(date.day))/\(self.months[date.month - 1])/\(date.year):\(two(second / 3600))"
            + ":\(two(second / 60 % 60)):\(two(second % 60)) +0000"
    }
}
