/// The name of a private key on a token (RFC 7512): which token, and which of its keys.
///
/// Only what names a token or a private key is taken. Which module is loaded is the business of the key holder's configuration, so
/// `module-path`, `module-name` and the `library-` attributes are refused, and so is a PIN in the name itself.
public struct PKCS11URI: Hashable, Sendable {
    public var token: TokenSelection
    public var key: KeySelection
    /// `pin-source`: the path of a file.
    public var pinFile: String?
    /// As it was written, without its query: how messages call the key.
    public var name: String

    public static let scheme = "pkcs11:"
    /// Bytes.
    static let longest = 1024

    /// - Throws: ``PKCS11URIError``, which says what is wrong.
    public init(_ text: String) throws(PKCS11URIError) {
        guard text.hasPrefix(Self.scheme) else { throw .scheme }
        guard text.utf8.count <= Self.longest else { throw .tooLong }
        let rest = text.dropFirst(Self.scheme.count)
        let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        self.token = TokenSelection()
        self.key = KeySelection()
        self.name = Self.scheme + parts[0]
        var path = Attributes()
        for part in parts[0].split(separator: ";", omittingEmptySubsequences: false) {
            try self.take(try path.next(part, among: Self.pathBytes))
        }
        guard self.key != KeySelection() else { throw .noKey }
        guard parts.count == 2 else { return }
        var query = Attributes()
        for part in parts[1].split(separator: "&", omittingEmptySubsequences: false) {
            try self.takeQuery(try query.next(part, among: Self.queryBytes))
        }
    }

    private mutating func take(_ attribute: (name: String, value: [UInt8])) throws(PKCS11URIError) {
        let (name, value) = attribute
        switch name {
        case "token": self.token.label = try Self.text(name, value, atMost: 32)
        case "manufacturer": self.token.manufacturer = try Self.text(name, value, atMost: 32)
        case "model": self.token.model = try Self.text(name, value, atMost: 16)
        case "serial": self.token.serial = try Self.text(name, value, atMost: 16)
        case "slot-id":
            guard let number = UInt64(try Self.text(name, value, atMost: 20)) else { throw .value(name) }
            self.token.slot = number
        case "object": self.key.label = try Self.text(name, value, atMost: KeySelection.longest)
        case "id":
            guard value.count <= KeySelection.longest else { throw .value(name) }
            self.key.id = value
        case "type": guard value == Array("private".utf8) else { throw .type }
        case "library-manufacturer", "library-description", "library-version": throw .module(name)
        default: throw .unknown(name)
        }
    }

    private mutating func takeQuery(_ attribute: (name: String, value: [UInt8])) throws(PKCS11URIError) {
        switch attribute.name {
        case "pin-source": self.pinFile = try Self.file(attribute.value)
        case "pin-value": throw .pinValue
        case "module-path", "module-name": throw .module(attribute.name)
        default: throw .unknown(attribute.name)
        }
    }

    /// A path, or a `file:` URI without an authority. A program to be run (`|`) is not.
    private static func file(_ value: [UInt8]) throws(PKCS11URIError) -> String {
        let text = try Self.text("pin-source", value, atMost: Self.longest)
        guard !text.hasPrefix("|") else { throw .value("pin-source") }
        guard text.hasPrefix("file:") else { return text }
        let path = text.dropFirst("file:".count)
        guard path.hasPrefix("/"), !path.hasPrefix("//") || path.hasPrefix("///") else { throw .value("pin-source") }
        return path.hasPrefix("///") ? String(path.dropFirst(2)) : String(path)
    }

    /// UTF-8 without NUL.
    private static func text(_ name: String, _ value: [UInt8], atMost longest: Int) throws(PKCS11URIError) -> String {
        guard value.count <= longest, !value.contains(0), let text = String(validating: value, as: UTF8.self) else {
            throw .value(name)
        }
        return text
    }

    /// What may stand for itself in a path: unreserved characters and `pk11-path-res-avail`.
    private static let pathBytes = Set("-._~:[]@!$'()*+,=&".utf8)
    private static let queryBytes = Set("-._~:[]@!$'()*+,=/?|".utf8)

    /// Attributes of a path or a query, each once.
    private struct Attributes {
        private var seen: Set<String> = []

        mutating func next(
            _ part: Substring, among allowed: Set<UInt8>
        ) throws(PKCS11URIError) -> (name: String, value: [UInt8]) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, !sides[0].isEmpty else { throw .form(String(part.prefix(32))) }
            let name = String(sides[0])
            guard name.utf8.allSatisfy({ Self.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F }) else {
                throw .form(String(part.prefix(32)))
            }
            guard self.seen.insert(name).inserted else { throw .twice(name) }
            let value = try Self.decode(sides[1].utf8, name, among: allowed)
            guard !value.isEmpty else { throw .value(name) }
            return (name, value)
        }

        private static func decode(
            _ text: Substring.UTF8View, _ name: String, among allowed: Set<UInt8>
        ) throws(PKCS11URIError) -> [UInt8] {
            var bytes: [UInt8] = []
            var index = text.startIndex
            while index < text.endIndex {
                let byte = text[index]
                index = text.index(after: index)
                guard byte == UInt8(ascii: "%") else {
                    guard Self.isLetterOrDigit(byte) || allowed.contains(byte) else { throw .value(name) }
                    bytes.append(byte)
                    continue
                }
                guard let end = text.index(index, offsetBy: 2, limitedBy: text.endIndex),
                    let high = Self.digit(text[index]), let low = Self.digit(text[text.index(after: index)])
                else { throw .value(name) }
                bytes.append(high << 4 | low)
                index = end
            }
            return bytes
        }

        private static func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46: byte - 0x41 + 10
            case 0x61...0x66: byte - 0x61 + 10
            default: nil
            }
        }

        private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
            default: false
            }
        }
    }
}

/// Which token: each attribute that is there must be the token's.
public struct TokenSelection: Hashable, Sendable {
    public var label: String?
    public var manufacturer: String?
    public var model: String?
    public var serial: String?
    public var slot: UInt64?

    public init() {}
}

/// Which private key of a token: `CKA_LABEL`, `CKA_ID`, or both.
public struct KeySelection: Hashable, Sendable {
    public var label: String?
    public var id: [UInt8]?

    /// Of either; bytes.
    public static let longest = 255

    public init() {}
}

/// What is wrong with a ``PKCS11URI``.
public enum PKCS11URIError: Error, Equatable, Sendable, CustomStringConvertible {
    case scheme
    case tooLong
    /// An attribute that is none.
    case form(String)
    case twice(String)
    case value(String)
    case unknown(String)
    case noKey
    case type
    case module(String)
    case pinValue

    /// One sentence without its full stop.
    public var description: String {
        switch self {
        case .scheme: "it does not begin with pkcs11:"
        case .tooLong: "it is longer than 1024 bytes"
        case .form(let text): "\"\(text)\" is no attribute: each is NAME=VALUE, with ; between them"
        case .twice(let name): "\"\(name)\" stands in it twice"
        case .value(let name):
            "the value of \"\(name)\" cannot be read: it is empty, too long, or has bytes that must be written as %XX"
        case .unknown(let name):
            "\"\(name)\" is not known here; token, manufacturer, model, serial, slot-id, object, id, type and pin-source are"
        case .noKey: "it names no key: object=LABEL or id=%01 is missing"
        case .type: "its type is not \"private\""
        case .module(let name): "\"\(name)\" is not taken from a key's name: hsm.module says which module is loaded"
        case .pinValue: "a PIN does not belong into a configuration: put it into a file, and write hsm.pin-file"
        }
    }
}
