import HTTPFields
import NIOCore

/// The directives of a response that a shared cache acts on (RFC 9111 §5.2.2, RFC 5861, RFC 8246), from `Cache-Control`
/// or from a targeted field.
///
/// Where directives are repeated or contradict each other, the strictest reading counts: the shortest lifetime, every
/// prohibition. A lifetime that is no number counts as 0, and so does every lifetime beside a member that is none of the grammar.
struct ResponseDirectives: Equatable {
    /// Seconds.
    var maxAge: Int64?
    var sharedMaxAge: Int64?
    var staleWhileRevalidate: Int64?
    var staleIfError: Int64?
    var noStore = false
    /// Without field names.
    var noCache = false
    /// `private` without field names.
    var isPrivate = false
    var isPublic = false
    /// `must-revalidate` or `proxy-revalidate`.
    var mustRevalidate = false
    /// `must-revalidate` alone: it also lets responses to requests with `Authorization` be stored.
    var mustRevalidateForAll = false
    var mustUnderstand = false
    var immutable = false
    /// A member is none of the grammar: nothing is fresh, but by the site's own override.
    var isBroken = false
    /// What `no-cache="…"` and `private="…"` name: not to be kept.
    var withheldFields: [FieldName] = []

    init() {}

    /// What `Cache-Control` says.
    init(_ fields: FieldSection) {
        guard fields.contains(.cacheControl) else { return }
        let bytes = fields.bytes.readableBytesUInt8Span
        for field in fields where field.known == .cacheControl {
            let isWhole = DirectiveList.forEach(bytes, field.value) { name, argument in self.add(bytes, name, argument)
            }
            if !isWhole { self.isBroken = true }
        }
    }

    /// - Parameters:
    ///   - name: in any letter case.
    ///   - argument: stands in the same bytes.
    mutating func add(_ bytes: borrowing Span<UInt8>, _ name: Range<Int>, _ argument: DirectiveArgument) {
        switch name.count {
        case 7 where bytes.equals(name, "max-age"): self.maxAge = Self.shorter(self.maxAge, argument.seconds(bytes))
        case 8 where bytes.equals(name, "s-maxage"):
            self.sharedMaxAge = Self.shorter(self.sharedMaxAge, argument.seconds(bytes))
        case 8 where bytes.equals(name, "no-store"): self.noStore = true
        case 8 where bytes.equals(name, "no-cache"):
            if !self.withhold(bytes, argument) { self.noCache = true }
        case 7 where bytes.equals(name, "private"):
            if !self.withhold(bytes, argument) { self.isPrivate = true }
        case 6 where bytes.equals(name, "public"): self.isPublic = true
        case 15 where bytes.equals(name, "must-revalidate"):
            self.mustRevalidate = true
            self.mustRevalidateForAll = true
        case 16 where bytes.equals(name, "proxy-revalidate"): self.mustRevalidate = true
        case 15 where bytes.equals(name, "must-understand"): self.mustUnderstand = true
        case 9 where bytes.equals(name, "immutable"): self.immutable = true
        case 22 where bytes.equals(name, "stale-while-revalidate"):
            self.staleWhileRevalidate = Self.shorter(self.staleWhileRevalidate, argument.seconds(bytes))
        case 14 where bytes.equals(name, "stale-if-error"):
            self.staleIfError = Self.shorter(self.staleIfError, argument.seconds(bytes))
        default: break
        }
    }

    private static func shorter(_ known: Int64?, _ seconds: Int64?) -> Int64 {
        min(known ?? .max, seconds ?? 0)
    }

    /// Whether the argument names fields, and nothing but fields.
    private mutating func withhold(_ bytes: borrowing Span<UInt8>, _ argument: DirectiveArgument) -> Bool {
        let names: [FieldName]?
        switch argument {
        case .none: names = nil
        case .value(let range): names = Self.names(bytes, range)
        case .unescaped(let text): names = Self.names(text.span, 0..<text.count)
        }
        guard let names, !names.isEmpty else { return false }
        self.withheldFields += names
        return true
    }

    private static func names(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> [FieldName]? {
        var names: [FieldName] = []
        var isList = true
        FieldList.forEach(bytes, range, .quoted) { element in
            if element.isEmpty { return }
            if bytes.isToken(element) { names.append(FieldName(bytes, element)) } else { isList = false }
        }
        return isList ? names : nil
    }
}

/// What follows a directive's `=`.
enum DirectiveArgument: Equatable {
    case none
    /// Where it stands; of a quoted string, what stands between the quotes.
    case value(Range<Int>)
    /// The contents of a quoted string that had escapes.
    case unescaped([UInt8])

    /// A whole number; `nil` for anything else. More than `Int64` holds is `Int64.max`.
    func seconds(_ bytes: borrowing Span<UInt8>) -> Int64? {
        switch self {
        case .none: nil
        case .value(let range): bytes.saturatingNumber(range)
        case .unescaped(let text): text.span.saturatingNumber(0..<text.count)
        }
    }
}

/// The list syntax that `Cache-Control` has in requests and responses (RFC 9111 §5.2).
enum DirectiveList {
    /// Calls `body` for each directive. Members that are not `token`, `token=token` or `token="string"` are called with
    /// an argument that is no number if they have a proper name before `=`. What else stands in them, divided by semicolons or spaces as if
    /// these were commas, is looked through for `no-store`, `no-cache` and `private`, since that is what their sender meant.
    ///
    /// - Returns: whether all members are of the grammar.
    @discardableResult
    static func forEach(
        _ bytes: borrowing Span<UInt8>, _ line: Range<Int>, _ body: (Range<Int>, DirectiveArgument) -> Void
    ) -> Bool {
        var isWhole = true
        FieldList.forEach(bytes, line, .quoted) { member in
            if member.isEmpty { return }
            let equals = bytes.first(UInt8(ascii: "="), in: member)
            let name = member.lowerBound..<(equals ?? member.upperBound)
            var rest = member
            if bytes.isToken(name) {
                guard let equals else { return body(name, .none) }
                rest = (equals + 1)..<member.upperBound
                body(name, Self.argument(bytes, rest))
                var hasSeparator = false
                Self.forEachWord(bytes, rest) { if $0 != rest { hasSeparator = true } }
                if !hasSeparator { return }
            }
            isWhole = false
            Self.forEachWord(bytes, rest) { word in
                let name = word.lowerBound..<(bytes.first(UInt8(ascii: "="), in: word) ?? word.upperBound)
                if bytes.equals(name, "no-store") || bytes.equals(name, "no-cache") || bytes.equals(name, "private") {
                    body(name, .none)
                }
            }
        }
        return isWhole
    }

    /// What stands between semicolons and whitespace outside of quoted strings; the range itself where there are none.
    private static func forEachWord(
        _ bytes: borrowing Span<UInt8>, _ range: Range<Int>, _ body: (Range<Int>) -> Void
    ) {
        var start = range.lowerBound
        var isQuoted = false
        var position = start
        while position < range.upperBound {
            let byte = bytes[position]
            if isQuoted, byte == UInt8(ascii: "\\") {
                position += 1
            } else if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if !isQuoted, byte == UInt8(ascii: ";") || ByteClass.isWhitespace(byte) {
                body(start..<position)
                start = position + 1
            }
            position += 1
        }
        body(min(start, range.upperBound)..<range.upperBound)
    }

    /// The contents of a quoted string, or the range itself if it isn't one.
    private static func argument(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) -> DirectiveArgument {
        let quote = UInt8(ascii: "\"")
        guard range.count >= 2, bytes[range.lowerBound] == quote, bytes[range.upperBound - 1] == quote else {
            return .value(range)
        }
        let inner = (range.lowerBound + 1)..<(range.upperBound - 1)
        guard bytes.first(UInt8(ascii: "\\"), in: inner) != nil else {
            // A string that ended before the member did is no number, and no list of names.
            return .value(bytes.first(quote, in: inner) == nil ? inner : range)
        }
        var text: [UInt8] = []
        var position = inner.lowerBound
        while position < inner.upperBound {
            if bytes[position] == UInt8(ascii: "\\"), position + 1 < inner.upperBound {
                position += 1
            } else if bytes[position] == quote {
                return .value(range)
            }
            text.append(bytes[position])
            position += 1
        }
        return .unescaped(text)
    }
}
