import HTTPFields

/// One member of `Range: bytes=…` (RFC 9110 §14.1.2).
enum RangeSpec: Equatable {
    case from(first: Int64, last: Int64?)
    /// The last so many bytes.
    case suffix(Int64)
}

enum RangeField {
    /// More members than this make us ignore the field: a client that asks so wants to burden us (RFC 9110 §14.2).
    static let maximumRanges = 32

    /// `nil` if the field is no valid list of byte ranges: it is ignored then, and the whole is sent.
    static func parse(_ bytes: borrowing Span<UInt8>, _ value: Range<Int>) -> [RangeSpec]? {
        guard let equals = bytes.first(UInt8(ascii: "="), in: value),
            bytes.equals(bytes.trimmed(value.lowerBound..<equals), "bytes")
        else { return nil }
        var specs: [RangeSpec] = []
        var isValid = true
        FieldList.forEach(bytes, (equals + 1)..<value.upperBound, .tokens) { member in
            if member.isEmpty || !isValid { return }
            guard specs.count < Self.maximumRanges, let spec = Self.spec(bytes, member) else {
                isValid = false
                return
            }
            specs.append(spec)
        }
        return isValid && !specs.isEmpty ? specs : nil
    }

    private static func spec(_ bytes: borrowing Span<UInt8>, _ member: Range<Int>) -> RangeSpec? {
        guard let dash = bytes.first(UInt8(ascii: "-"), in: member) else { return nil }
        let first = member.lowerBound..<dash
        let last = (dash + 1)..<member.upperBound
        if first.isEmpty { return bytes.saturatingNumber(last).map { .suffix($0) } }
        guard let start = bytes.saturatingNumber(first) else { return nil }
        if last.isEmpty { return .from(first: start, last: nil) }
        guard let end = bytes.saturatingNumber(last), end >= start else { return nil }
        return .from(first: start, last: end)
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
    init?(_ bytes: borrowing Span<UInt8>, _ value: Range<Int>) {
        guard bytes.begins(value, "bytes ") else { return nil }
        let rest = (value.lowerBound + 6)..<value.upperBound
        guard let slash = bytes.first(UInt8(ascii: "/"), in: rest),
            let dash = bytes.first(UInt8(ascii: "-"), in: rest.lowerBound..<slash),
            let first = bytes.saturatingNumber(rest.lowerBound..<dash),
            let last = bytes.saturatingNumber((dash + 1)..<slash), first <= last, last < .max
        else { return nil }
        self.first = first
        self.last = last
        let total = (slash + 1)..<rest.upperBound
        if bytes.equals(total, "*") {
            self.total = nil
        } else {
            guard let number = bytes.saturatingNumber(total), number > last else { return nil }
            self.total = number
        }
    }
}
