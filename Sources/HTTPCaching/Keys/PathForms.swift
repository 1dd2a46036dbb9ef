import HTTPFields

/// The paths that an origin may take one requested path for, since servers and frameworks normalise before they choose
/// what to answer, each in its own way: percent-encodings decoded (RFC 3986 §6.2.2), once or twice, dot segments removed
/// (§5.2.4), slashes merged, backslashes taken for slashes, parameters of a segment (`;…`, §3.3) cut off, letter case
/// folded; and cut off behind what a program takes for the end: NUL, line breaks and tabs, a `?` or `#` that was encoded, dots and spaces at
/// the end of a segment.
///
/// The forms are all that come from the path by these steps in any order and number. Their number is bounded, and so is
/// the length of a path that is looked into; beyond either bound the forms are not known.
enum PathForms: Equatable {
    /// Nothing in it could be normalised.
    case one(Substring)
    /// The path as it was requested first.
    case several([[UInt8]])
    case unknown

    static let maximumForms = 16
    /// Bytes. Longer paths are looked into only if they have nothing that could be normalised.
    static let maximumBytes = 512

    init(_ path: Substring) {
        guard Self.mayHaveOtherForms(path) else {
            self = .one(path)
            return
        }
        guard path.utf8.count <= Self.maximumBytes else {
            self = .unknown
            return
        }
        var forms: [[UInt8]] = [Array(path.utf8)]
        var next = 0
        while next < forms.count {
            let form = forms[next]
            next += 1
            for step in Self.steps {
                // Few enough that to compare them takes less than to hash them.
                guard let other = step(form), !forms.contains(other) else { continue }
                guard forms.count < Self.maximumForms else {
                    self = .unknown
                    return
                }
                forms.append(other)
            }
        }
        self = .several(forms)
    }

    /// Whether some form matches, whatever its letter case; so does a path whose forms are not known.
    func some(match pattern: GlobPattern) -> Bool {
        switch self {
        case .one(let path): pattern.matches(path) || pattern.matchesNormalised(path.utf8)
        case .several(let forms): forms.contains { pattern.matches($0) || pattern.matchesNormalised($0) }
        case .unknown: true
        }
    }

    /// Whether every form matches; a path whose forms are not known does not. The path as it was requested must match
    /// the pattern as it stands, letter case included.
    func all(match pattern: GlobPattern) -> Bool {
        switch self {
        case .one(let path): pattern.matches(path)
        case .several(let forms):
            pattern.matches(forms[0]) && forms.allSatisfy { pattern.matches($0) || pattern.matchesNormalised($0) }
        case .unknown: false
        }
    }

    /// The usual path has one form, which one pass tells.
    private static func mayHaveOtherForms(_ path: Substring) -> Bool {
        var previous: UInt8 = 0
        for byte in path.utf8 {
            switch byte {
            case UInt8(ascii: "%"), UInt8(ascii: ";"), UInt8(ascii: "\\"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
                return true
            case UInt8(ascii: "/"), UInt8(ascii: "."):
                if previous == UInt8(ascii: "/") { return true }
                if byte == UInt8(ascii: "/"), previous == UInt8(ascii: ".") { return true }
            default: break
            }
            previous = byte
        }
        return previous == UInt8(ascii: ".")
    }

    /// Each gives another form; nil if it has nothing to do, which one pass tells.
    private static let steps: [@Sendable ([UInt8]) -> [UInt8]?] = [
        { $0.contains(UInt8(ascii: "%")) ? Self.decoded($0) : nil },
        { $0.contains(UInt8(ascii: "\\")) ? Self.withoutBackslashes($0) : nil },
        Self.withMergedSlashes, Self.withoutDotSegments,
        { $0.contains(UInt8(ascii: ";")) ? Self.withoutParameters($0) : nil },
        Self.inLowerCase, Self.cutAtEnd, Self.withoutDotsAtEnds,
    ]

    private static func inLowerCase(_ path: [UInt8]) -> [UInt8]? {
        guard path.contains(where: { $0 &- UInt8(ascii: "A") < 26 }) else { return nil }
        return path.map(ByteClass.lowercased)
    }

    private static func cutAtEnd(_ path: [UInt8]) -> [UInt8]? {
        path.firstIndex(where: Self.isEnd).map { Array(path[..<$0]) }
    }

    /// None of these is in a path that a client sends, but for encoded: programs that decode it cut it there, or parse it once more.
    private static func isEnd(_ byte: UInt8) -> Bool {
        switch byte {
        case 0, 0x09, 0x0A, 0x0D, UInt8(ascii: "?"), UInt8(ascii: "#"): true
        default: false
        }
    }

    static func decoded(_ path: [UInt8]) -> [UInt8] {
        guard path.contains(UInt8(ascii: "%")) else { return path }
        var out: [UInt8] = []
        out.reserveCapacity(path.count)
        var index = 0
        while index < path.count {
            if path[index] == UInt8(ascii: "%"), index + 2 < path.count,
                let high = ByteClass.hexadecimalDigit(path[index + 1]),
                let low = ByteClass.hexadecimalDigit(path[index + 2])
            {
                out.append(high << 4 | low)
                index += 3
            } else {
                out.append(path[index])
                index += 1
            }
        }
        return out
    }

    private static func withoutBackslashes(_ path: [UInt8]) -> [UInt8] {
        path.map { $0 == UInt8(ascii: "\\") ? UInt8(ascii: "/") : $0 }
    }

    private static func withMergedSlashes(_ path: [UInt8]) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(path.count)
        for byte in path where byte != UInt8(ascii: "/") || out.last != byte { out.append(byte) }
        return out.count == path.count ? nil : out
    }

    /// Windows takes names with dots or spaces behind them for those without.
    private static func withoutDotsAtEnds(_ path: [UInt8]) -> [UInt8]? {
        let slash = UInt8(ascii: "/")
        func isDropped(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ".") || byte == ByteClass.space }
        var hasAny = false
        for index in path.indices where isDropped(path[index]) {
            if index + 1 == path.count || path[index + 1] == slash { hasAny = true }
        }
        guard hasAny else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(path.count)
        for segment in path.split(separator: slash, omittingEmptySubsequences: false) {
            if !out.isEmpty || segment.startIndex > 0 { out.append(slash) }
            // One of nothing else is a dot segment, or a name of its own.
            let end = segment.lastIndex { !isDropped($0) }
            out.append(contentsOf: end.map { segment[...$0] } ?? segment)
        }
        return out
    }

    private static func withoutDotSegments(_ path: [UInt8]) -> [UInt8]? {
        let slash = UInt8(ascii: "/")
        let segments = path.split(separator: slash, omittingEmptySubsequences: false)
        guard segments.contains(where: { $0.elementsEqual(".".utf8) || $0.elementsEqual("..".utf8) }) else {
            return nil
        }
        var kept: [ArraySlice<UInt8>] = []
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            if segment.elementsEqual("..".utf8) {
                // The first is the empty one before the leading slash.
                if kept.count > 1 { kept.removeLast() }
                if isLast { kept.append([]) }
            } else if segment.elementsEqual(".".utf8) {
                if isLast { kept.append([]) }
            } else {
                kept.append(segment)
            }
        }
        return Array(kept.joined(separator: [slash]))
    }

    private static func withoutParameters(_ path: [UInt8]) -> [UInt8] {
        guard path.contains(UInt8(ascii: ";")) else { return path }
        var out: [UInt8] = []
        out.reserveCapacity(path.count)
        var isParameter = false
        for byte in path {
            if byte == UInt8(ascii: ";") { isParameter = true }
            if byte == UInt8(ascii: "/") { isParameter = false }
            if !isParameter { out.append(byte) }
        }
        return out
    }
}
