import HTTPFields

/// The paths that an origin may take one requested path for, since servers and frameworks normalise before they choose
/// what to answer, each in its own way: percent-encodings decoded (RFC 3986 §6.2.2), once or twice, dot segments removed
/// (§5.2.4), slashes merged, backslashes taken for slashes, parameters of a segment (`;…`, §3.3) cut off, letter case
/// folded.
///
/// The forms are all that come from the path by these steps in any order and number. Their number is bounded, and so is
/// the length of a path that is looked into; beyond either bound the forms are not known.
enum PathForms: Equatable {
    /// Nothing in it could be normalised.
    case one(Substring)
    /// The path as it was requested first.
    case several([[UInt8]])
    case unknown

    static let maximumForms = 48
    /// Bytes. Longer paths are looked into only if they have nothing that could be normalised.
    static let maximumBytes = 2048

    init(_ path: Substring) {
        guard Self.mayHaveOtherForms(path) else {
            self = .one(path)
            return
        }
        guard path.utf8.count <= Self.maximumBytes else {
            self = .unknown
            return
        }
        let path = Array(path.utf8)
        var forms: [[UInt8]] = [path]
        var seen: Set<[UInt8]> = [path]
        var next = 0
        while next < forms.count {
            let form = forms[next]
            next += 1
            for step in Self.steps {
                let other = step(form)
                guard seen.insert(other).inserted else { continue }
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
            default: break
            }
            previous = byte
        }
        return false
    }

    private static let steps: [@Sendable ([UInt8]) -> [UInt8]] = [
        Self.decoded, Self.withoutBackslashes, Self.withMergedSlashes, Self.withoutDotSegments, Self.withoutParameters,
        { $0.map(ByteClass.lowercased) },
    ]

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

    private static func withMergedSlashes(_ path: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(path.count)
        for byte in path where byte != UInt8(ascii: "/") || out.last != byte { out.append(byte) }
        return out
    }

    private static func withoutDotSegments(_ path: [UInt8]) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        let segments = path.split(separator: slash, omittingEmptySubsequences: false)
        guard segments.contains(where: { $0.elementsEqual(".".utf8) || $0.elementsEqual("..".utf8) }) else {
            return path
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
