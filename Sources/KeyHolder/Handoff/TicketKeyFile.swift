public import RecordLayer
import SecretFiles
import TLSEngine

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// The ticket secrets that a site's key holders share, as a file has them:
///
///     latchstring ticket keys 1
///     current BASE64
///     next BASE64
///     previous BASE64
///
/// A line has a name and 32 bytes. `current` makes tickets, all of them open some. `previous` may be missing. Empty lines, and those that
/// begin with `#`, say nothing.
public struct TicketKeyFile: Equatable, Sendable {
    public var current: Secret
    public var next: Secret
    public var previous: Secret?

    private static let title = "latchstring ticket keys 1"

    /// Secrets that no other file has.
    public init() {
        self.current = SiteTicketKeys.Secrets.random()
        self.next = SiteTicketKeys.Secrets.random()
    }

    /// Reads a file, which must meet the rule of ``SecretFiles/SecretFile``.
    public init(contentsOf path: String) throws(SiteLoadError) {
        let text: String
        do throws(SecretFileError) { text = try SecretFile.read(path) } catch { throw .secretFile(error) }
        do throws(TicketKeyFileError) { self = try TicketKeyFile(parsing: text) } catch {
            throw .ticketKeys(path, "\(error)")
        }
    }

    /// - Throws: what is wrong with the text. The reason has nothing of what stands there.
    public init(parsing text: String) throws(TicketKeyFileError) {
        let lines = text.split(whereSeparator: \.isNewline)
            .map { $0.split(separator: " ") }
            .filter { $0.first.map { !$0.hasPrefix("#") } ?? false }
        guard lines.first?.joined(separator: " ") == Self.title else { throw .title }
        var secrets: [Substring: Secret] = [:]
        for line in lines.dropFirst() {
            guard line.count == 2, ["current", "next", "previous"].contains(line[0]) else { throw .line }
            guard secrets[line[0]] == nil else { throw .twice(String(line[0])) }
            secrets[line[0]] = try Self.secret(line[1])
        }
        guard let current = secrets["current"] else { throw .missing("current") }
        guard let next = secrets["next"] else { throw .missing("next") }
        self.current = current
        self.next = next
        self.previous = secrets["previous"]
        // A file in which a rotation changes nothing is a mistake.
        guard current != next, self.previous != current, self.previous != next else { throw .same }
    }

    private static func secret(_ text: Substring) throws(TicketKeyFileError) -> Secret {
        guard var bytes = Data(base64Encoded: String(text)), bytes.count == SiteTicketKeys.secretLength else {
            throw .secret
        }
        defer { bytes.resetBytes(in: 0..<bytes.count) }
        return Secret(bytes)
    }

    /// As ``init(parsing:)`` reads it.
    public var text: String {
        var lines = [Self.title]
        for (name, secret) in [("current", self.current), ("next", self.next), ("previous", self.previous)] {
            guard let secret else { continue }
            lines.append("\(name) \(secret.withUnsafeBytes { Data($0).base64EncodedString() })")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The next secret makes tickets from now on, and the one that did opens them for as long as they live. A key holder that has still the
    /// file of before opens tickets of the new one, and the other way round.
    public func rotated() -> TicketKeyFile {
        var file = self
        file.previous = self.current
        file.current = self.next
        file.next = SiteTicketKeys.Secrets.random()
        return file
    }

    var secrets: SiteTicketKeys.Secrets {
        SiteTicketKeys.Secrets(current: self.current, others: [self.next] + (self.previous.map { [$0] } ?? []))
    }
}

/// Why a text has no ticket secrets.
public enum TicketKeyFileError: Error, Equatable, Sendable, CustomStringConvertible {
    case title, line, secret, same
    case twice(String)
    case missing(String)

    public var description: String {
        switch self {
        case .title: "its first line is not \"latchstring ticket keys 1\""
        case .line: "a line is not \"current\", \"next\" or \"previous\" and a key"
        case .secret: "a key is not 32 bytes in base64"
        case .same: "the same key stands there twice"
        case .twice(let name): "\"\(name)\" stands there twice"
        case .missing(let name): "there is no \"\(name)\""
        }
    }
}
