/// One member of `Range: bytes=…` (RFC 9110 §14.1.2).
enum RangeSpec: Equatable {
    case from(first: Int64, last: Int64?)
    /// The last so many bytes.
    case suffix(Int64)
}

enum RangeField {
    /// More members than this make us ignore the field: whoever asks so wants to burden us (RFC 9110 §14.2).
    static let maximumRanges = 32

    /// `nil` if the field is no valid list of byte ranges: it is ignored then, and the whole is sent.
    static func parse(_ text: String) -> [RangeSpec]? {
        guard let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")),
            FieldText.equal(FieldText.trimmed(text[..<equals]), "bytes")
        else { return nil }
        var specs: [RangeSpec] = []
        for member in text[text.utf8.index(after: equals)...].split(separator: ",", omittingEmptySubsequences: false) {
            let member = FieldText.trimmed(member)
            if member.isEmpty { continue }
            guard specs.count < Self.maximumRanges, let dash = member.utf8.firstIndex(of: UInt8(ascii: "-")) else {
                return nil
            }
            let first = member[..<dash]
            let last = member[member.utf8.index(after: dash)...]
            if first.isEmpty {
                guard let count = FieldText.number(last) else { return nil }
                specs.append(.suffix(count))
            } else {
                guard let start = FieldText.number(first) else { return nil }
                if last.isEmpty {
                    specs.append(.from(first: start, last: nil))
                } else {
                    guard let end = FieldText.number(last), end >= start else { return nil }
                    specs.append(.from(first: start, last: end))
                }
            }
        }
        return specs.isEmpty ? nil : specs
    }

    /// The bytes of a body of `length` that the ranges select, in their order. Ranges that overlap, or are closer than
    /// the text between two parts is long, become one. Empty if none can be satisfied.
    static func resolve(_ specs: [RangeSpec], length: Int64) -> [ClosedRange<Int64>] {
        var ranges: [ClosedRange<Int64>] = []
        for spec in specs {
            let range: ClosedRange<Int64>
            switch spec {
            case .from(let first, let last):
                guard first < length else { continue }
                range = first...min(last ?? .max, length - 1)
            case .suffix(let count):
                guard count > 0, length > 0 else { continue }
                range = max(0, length - count)...(length - 1)
            }
            ranges.append(range)
        }
        guard ranges.count > 1 else { return ranges }
        return Self.coalesced(ranges)
    }

    private static let gap: Int64 = 80

    private static func coalesced(_ ranges: [ClosedRange<Int64>]) -> [ClosedRange<Int64>] {
        // Merged in order of position, each then put where its first member stood.
        let order = ranges.indices.sorted { ranges[$0].lowerBound < ranges[$1].lowerBound }
        var merged: [(place: Int, range: ClosedRange<Int64>)] = []
        for index in order {
            if let last = merged.last, ranges[index].lowerBound <= last.range.upperBound.saturatingAdd(Self.gap) {
                let upper = max(last.range.upperBound, ranges[index].upperBound)
                merged[merged.count - 1] = (min(last.place, index), last.range.lowerBound...upper)
            } else {
                merged.append((index, ranges[index]))
            }
        }
        return merged.sorted { $0.place < $1.place }.map(\.range)
    }
}

/// `Content-Range: bytes 0-4/10` (RFC 9110 §14.4).
struct ContentRange: Equatable {
    var first: Int64
    var last: Int64
    /// `nil` for `*`.
    var total: Int64?

    /// `nil` for anything but a satisfied range of bytes within its total.
    init?(_ text: String) {
        guard text.utf8.count > 6, FieldText.equal(text.prefix(6), "bytes ") else { return nil }
        let rest = text.dropFirst(6)
        guard let slash = rest.utf8.firstIndex(of: UInt8(ascii: "/")),
            let dash = rest[..<slash].utf8.firstIndex(of: UInt8(ascii: "-")),
            let first = FieldText.number(rest[..<dash]),
            let last = FieldText.number(rest[rest.utf8.index(after: dash)..<slash]), first <= last, last < .max
        else { return nil }
        self.first = first
        self.last = last
        let total = rest[rest.utf8.index(after: slash)...]
        if total == "*" {
            self.total = nil
        } else {
            guard let number = FieldText.number(total), number > last else { return nil }
            self.total = number
        }
    }
}

/// `If-Range` (RFC 9110 §13.1.5).
enum IfRange {
    /// Whether the ranges hold for this response: the same strong entity tag, or exactly its `Last-Modified` where that
    /// is strong enough (RFC 9110 §8.8.2.2: at least a second before `Date`).
    static func holds(_ text: String, for response: StoredResponse) -> Bool {
        let text = FieldText.trimmed(Substring(text))
        if let tag = EntityTag(text) {
            return response.entityTag.map { $0.matchesStrongly(tag) } ?? false
        }
        guard let date = HTTPDate.parse(text, now: response.responseTime), let modified = response.lastModified else {
            return false
        }
        return date == modified && response.date.saturatingSubtract(modified) >= 1000
    }
}
