import Crypto
import FoundationEssentials
public import NIOCore
import NIOPosix
import NativeHandshake
import Synchronization
import TLSWire

/// A third party that knows the keys of sites: an HTTPS address that answers with a domain's key hashes.
///
/// `GET` of the address with the domain behind it answers 200 and a text with one hash on each line: `sha256/` and the
/// base64 of the SHA-256 of the certificate's SubjectPublicKeyInfo in DER. One of them must be the certificate's: a site
/// that changes its key has both there for a while. Lines that begin otherwise are skipped.
public struct KeyDirectory: Sendable {
    /// Such as `https://keys.example.net/v1/`; the domain is put behind it.
    public var url: String
    /// Where to connect instead of the address's own host and port, as `HOST:PORT`.
    public var connect: String?
    public var roots: ClientRoots = .system
    /// Whether a directory that cannot be asked, or knows nothing of the domain, is an error. One that disagrees always is.
    public var isRequired = true
    public var timeout: TimeAmount = .seconds(5)

    /// The longest answer that is read.
    static let maximumAnswer = 65_536

    public init(url: String) {
        self.url = url
    }

    enum Answer: Equatable, Sendable {
        case agrees
        case disagrees
        case unavailable(String)
    }

    func ask(
        _ name: ServerName, subjectPublicKeyInfo: [UInt8], on group: any EventLoopGroup
    ) async -> Answer {
        let target: ClientTarget
        do throws(ClientTargetError) {
            target = try ClientTarget(url: self.url + name.rawValue, connect: self.connect)
        } catch {
            return .unavailable("the key directory's address cannot be used: \(error)")
        }
        var options = DiagnosingClient.Options(target: target)
        options.roots = self.roots
        options.timeout = self.timeout
        let answer = Mutex([UInt8]())
        let client = DiagnosingClient(options: options)
        do {
            let status: UInt = try await withDeadline(self.timeout) {
                try await client.run(on: group) { event in
                    guard case .responseBody(let bytes) = event.event else { return }
                    answer.withLock { $0 += bytes.readableBytesView.prefix(Self.maximumAnswer - $0.count) }
                }
            }
            guard status == 200 else { return .unavailable("the key directory answered with status \(status)") }
        } catch {
            return .unavailable("the key directory cannot be asked: \(error)")
        }
        return Self.judge(answer.withLock { $0 }, subjectPublicKeyInfo: subjectPublicKeyInfo)
    }

    static func judge(_ answer: [UInt8], subjectPublicKeyInfo: [UInt8]) -> Answer {
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
