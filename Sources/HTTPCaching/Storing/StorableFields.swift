import HTTPFields
import NIOCore

/// The fields of a response as they are stored (RFC 9111 §3.1).
struct StorableFields {
    /// What becomes of a field.
    enum Fate {
        case kept
        /// Only the client whose request this was may see it.
        case withheld
        case dropped
    }

    /// Fields for one hop (RFC 9110 §7.6.1), and those that are made anew.
    static let dropped = KnownFieldSet(
        .te, .trailer, .upgrade, .connection, .keepAlive, .proxyConnection, .transferEncoding, .proxyAuthenticate,
        .proxyAuthorization, .proxyAuthenticationInfo, .contentLength, .age)

    private let section: FieldSection
    private let connection: ConnectionOptions
    private let withheldNames: [FieldName]
    private let withholdsCookies: Bool

    /// - Parameters:
    ///   - section: as the origin sent it, or as it went on to the client.
    ///   - withheldNames: those that `no-cache` or `private` name.
    ///   - withholdsCookies: `Set-Cookie` is withheld.
    init(_ section: FieldSection, withheldNames: [FieldName], withholdsCookies: Bool) {
        self.section = section
        self.connection = section.connectionOptions
        self.withheldNames = withheldNames
        self.withholdsCookies = withholdsCookies
    }

    func fate(of field: FieldRecord) -> Fate {
        if let known = field.known {
            if Self.dropped.contains(known) || self.connection.named.contains(known) { return .dropped }
        } else if self.section.isNamed(field, by: self.connection.others) {
            return .dropped
        }
        if field.known == .setCookie, self.withholdsCookies { return .withheld }
        for name in self.withheldNames where self.section.isNamed(field, name) { return .withheld }
        return .kept
    }
}

/// Puts a head together that will be stored, within the store's bounds.
struct StorableHead {
    private var parts: [(field: FieldRecord, section: FieldSection)] = []
    private var bytes = 0
    private(set) var withheld: FieldSectionBuilder?
    /// Cookies are among what will be stored.
    private(set) var setsCookies = false

    mutating func keep(_ field: FieldRecord, of section: FieldSection) {
        if field.known == .setCookie { self.setsCookies = true }
        self.parts.append((field, section))
        self.bytes += field.name.count + field.value.count
    }

    mutating func withhold(_ field: FieldRecord, of section: FieldSection) {
        var builder = self.withheld ?? FieldSectionBuilder()
        builder.add(field, of: section)
        self.withheld = builder
    }

    /// Whether it is larger than what the store keeps.
    var isTooLarge: Bool {
        self.parts.count > StoredResponse.maximumFields || self.bytes > StoredResponse.maximumFieldBytes
    }

    /// - Parameters:
    ///   - reason: has no controls but HTAB.
    ///   - date: milliseconds since 1970 UTC, for a `Date` that the origin left out: a recipient with a clock adds it (RFC 9110
    ///     §6.6.1).
    func encoded(status: Int, reason: [UInt8], date: Int64?) throws(FieldFault) -> EncodedHead {
        // Colon, space and line end; a Date.
        var head = try EncodedHead(
            status: status, reason: reason,
            capacity: self.bytes + self.parts.count * 4 + (date == nil ? 0 : 37))
        for (field, section) in self.parts { head.add(field, of: section) }
        if let date { try head.add(.date, HTTPDate.bytes(date)) }
        return head
    }
}
