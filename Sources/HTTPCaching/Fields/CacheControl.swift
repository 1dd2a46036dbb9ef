import NIOHTTP1

/// The directives of a response that a shared cache acts on (RFC 9111 §5.2.2, RFC 5861, RFC 8246), from `Cache-Control`
/// or from a targeted field.
///
/// Where directives are repeated or contradict each other, the strictest reading counts: the shortest lifetime, every
/// prohibition. A lifetime that is no number counts as 0.
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
    /// What `no-cache="…"` and `private="…"` name, in lower case: not to be kept.
    var withheldFields: [String] = []

    /// The lines of `Cache-Control`.
    init(lines: [String]) {
        for line in lines {
            DirectiveList.forEach(line) { name, argument in self.add(name, argument) }
        }
    }

    init() {}

    /// - Parameter name: in any letter case.
    mutating func add(_ name: Substring, _ argument: DirectiveArgument) {
        switch name.utf8.count {
        case 7 where FieldText.equal(name, "max-age"): self.maxAge = Self.shorter(self.maxAge, argument)
        case 8 where FieldText.equal(name, "s-maxage"): self.sharedMaxAge = Self.shorter(self.sharedMaxAge, argument)
        case 8 where FieldText.equal(name, "no-store"): self.noStore = true
        case 8 where FieldText.equal(name, "no-cache"):
            if !self.withhold(argument) { self.noCache = true }
        case 7 where FieldText.equal(name, "private"):
            if !self.withhold(argument) { self.isPrivate = true }
        case 6 where FieldText.equal(name, "public"): self.isPublic = true
        case 15 where FieldText.equal(name, "must-revalidate"):
            self.mustRevalidate = true
            self.mustRevalidateForAll = true
        case 16 where FieldText.equal(name, "proxy-revalidate"): self.mustRevalidate = true
        case 15 where FieldText.equal(name, "must-understand"): self.mustUnderstand = true
        case 9 where FieldText.equal(name, "immutable"): self.immutable = true
        case 22 where FieldText.equal(name, "stale-while-revalidate"):
            self.staleWhileRevalidate = Self.shorter(self.staleWhileRevalidate, argument)
        case 14 where FieldText.equal(name, "stale-if-error"):
            self.staleIfError = Self.shorter(self.staleIfError, argument)
        default: break
        }
    }

    private static func shorter(_ known: Int64?, _ argument: DirectiveArgument) -> Int64 {
        min(known ?? .max, argument.seconds ?? 0)
    }

    /// Whether the argument names fields, and nothing but fields.
    private mutating func withhold(_ argument: DirectiveArgument) -> Bool {
        guard let text = argument.text else { return false }
        var names: [String] = []
        var isList = true
        FieldText.forEachElement(text) { element in
            if element.isEmpty { return }
            if FieldText.isToken(element) { names.append(FieldText.lowercased(element)) } else { isList = false }
        }
        guard isList, !names.isEmpty else { return false }
        self.withheldFields += names
        return true
    }
}

/// What follows a directive's `=`.
struct DirectiveArgument: Equatable {
    /// `nil`: there was none. Quoted strings come without quotes and escapes.
    var text: String?

    /// A whole number; `nil` for anything else. More than `Int64` holds is `Int64.max`.
    var seconds: Int64? { self.text.flatMap { FieldText.number($0) } }
}

/// The list syntax that `Cache-Control` has in requests and responses (RFC 9111 §5.2).
enum DirectiveList {
    /// Calls `body` for each directive. Members that are not `token`, `token=token` or `token="string"` are called with
    /// an argument that is no number if they have a proper name before `=`, and are skipped if not.
    static func forEach(_ line: String, _ body: (Substring, DirectiveArgument) -> Void) {
        FieldText.forEachElement(line) { member in
            guard let equals = member.utf8.firstIndex(of: UInt8(ascii: "=")) else {
                if FieldText.isToken(member) { body(member, DirectiveArgument(text: nil)) }
                return
            }
            let name = member[..<equals]
            guard FieldText.isToken(name) else { return }
            body(name, DirectiveArgument(text: Self.unquoted(member[member.utf8.index(after: equals)...])))
        }
    }

    /// The contents of a quoted string, or the text itself if it isn't one.
    private static func unquoted(_ text: Substring) -> String {
        var rest = text.utf8
        guard rest.count >= 2, rest.popFirst() == UInt8(ascii: "\""), rest.popLast() == UInt8(ascii: "\"") else {
            return String(text)
        }
        var out: [UInt8] = []
        out.reserveCapacity(rest.count)
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), let escaped = rest.popFirst() {
                out.append(escaped)
            } else if byte == UInt8(ascii: "\"") {
                // The string ended before the member did: no number, and no list of names.
                return String(text)
            } else {
                out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
