import Crypto
import FoundationEssentials
public import NIOCore
import NativeHandshake
import TLSWire

/// A third party that knows the keys of sites: an address that answers with a domain's key hashes.
///
/// `GET` of the address with the domain behind it answers 200 and a text with one hash on each line: `sha256/` and the
/// base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo in DER. One of them must be the certificate's: a site
/// that changes its key has both there for a while. Lines that begin otherwise are skipped.
///
/// Fetching is the application's: it has an HTTPS client, with roots and proxies of its own, and this library has none.
public struct KeyDirectory: Sendable {
    /// An answer: its status, and its body, of which ``maximumAnswer`` bytes are enough.
    public typealias Answer = (status: Int, body: [UInt8])

    /// Such as `https://keys.example.net/v1/`; the domain is put behind it.
    public var url: String
    /// Whether a directory that cannot be asked, or knows nothing of the domain, is an error. One that disagrees always is.
    public var isRequired = true
    /// For one question; the task that fetches is cancelled then.
    public var timeout: TimeAmount = .seconds(5)
    private let fetch: @Sendable (_ url: String) async throws -> Answer

    /// The longest answer that is read, in bytes.
    public static let maximumAnswer = 65_536

    /// - Parameters:
    ///   - url: such as `https://keys.example.net/v1/`.
    ///   - fetch: gets an `https` address, with the certificate verified.
    public init(url: String, fetch: @escaping @Sendable (_ url: String) async throws -> (status: Int, body: [UInt8])) {
        self.url = url
        self.fetch = fetch
    }

    enum Verdict: Equatable, Sendable {
        case agrees
        case disagrees
        case unavailable(String)
    }

    func ask(_ name: ServerName, subjectPublicKeyInfo: [UInt8]) async -> Verdict {
        let answer: Answer
        do {
            answer = try await withDeadline(self.timeout) { try await self.fetch(self.url + name.rawValue) }
        } catch {
            return .unavailable("the key directory cannot be asked: \(error)")
        }
        guard answer.status == 200 else {
            return .unavailable("the key directory answered with status \(answer.status)")
        }
        return Self.judge(Array(answer.body.prefix(Self.maximumAnswer)), subjectPublicKeyInfo: subjectPublicKeyInfo)
    }

    static func judge(_ answer: [UInt8], subjectPublicKeyInfo: [UInt8]) -> Verdict {
        let wanted = "sha256/" + Data(SHA256.hash(data: subjectPublicKeyInfo)).base64EncodedString()
        let hashes: [String] = String(decoding: answer, as: UTF8.self)
            .split(whereSeparator: \.isNewline).map { $0.filter { !$0.isWhitespace } }
            .filter { $0.hasPrefix("sha256/") }
        if hashes.isEmpty { return .unavailable("the key directory's answer holds no key hash") }
        return hashes.contains(wanted) ? .agrees : .disagrees
    }
}

/// Cancels the operation when the time is over.
func withDeadline<Value: Sendable>(
    _ time: TimeAmount, _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            try await Task.sleep(nanoseconds: UInt64(max(0, time.nanoseconds)))
            throw NativeError.timeout("no answer in \(time.nanoseconds / 1_000_000) ms")
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw CancellationError() }
        return first
    }
}
