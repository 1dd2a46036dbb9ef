import SecretFiles
import Synchronization
public import TLSEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The OCSP responses of one site, from files that something else writes: read again when they change, and shown as long as they are
/// good. One file has the response for one certificate; which one, it says itself.
public final class StapleFiles: Sendable {
    public let paths: [String]

    private struct File {
        /// nil: never read, or not there.
        var state: FileState?
        var content: Result<[UInt8], Unreadable>
    }

    private struct Unreadable: Error {
        var reason: String
    }

    private let files: Mutex<[File]>

    /// - Parameter paths: relative ones start at the working directory.
    public init(_ paths: [String]) {
        self.paths = paths
        let unread = File(state: nil, content: .failure(Unreadable(reason: "it has not been read yet")))
        self.files = Mutex(Array(repeating: unread, count: paths.count))
    }

    /// Reads what has changed. Blocks, as files do.
    public func read() {
        for (index, path) in self.paths.enumerated() {
            let state = FileState(path: path)
            guard state == nil || state != self.files.withLock({ $0[index].state }) else { continue }
            let content: Result<[UInt8], Unreadable> = Self.content(of: path)
            self.files.withLock { $0[index] = File(state: state, content: content) }
        }
    }

    /// What there is to show beside this certificate.
    ///
    /// - Parameters:
    ///   - leaf: in DER; nil: whichever a response is about.
    ///   - now: seconds since 1970 UTC.
    public func find(for leaf: [UInt8]?, now: Int64) -> StapleFinding {
        guard !self.paths.isEmpty else { return .none }
        var problem: String?
        for (path, file) in zip(self.paths, self.files.withLock { $0 }) {
            switch file.content {
            case .failure(let error): problem = "\(path): \(error.reason)"
            case .success(let bytes):
                do throws(OCSPStaple.Problem) {
                    let staple = try OCSPStaple(bytes, for: leaf)
                    guard let reason = staple.problem(at: now) else { return .good(staple) }
                    problem = "\(path): \(reason)"
                } catch .otherCertificate {
                    if problem == nil { problem = "\(path): \(OCSPStaple.Problem.otherCertificate)" }
                } catch {
                    problem = "\(path): \(error)"
                }
            }
        }
        return problem.map { .problem($0) } ?? .none
    }

    // MARK: Files

    private static func content(of path: String) -> Result<[UInt8], Unreadable> {
        // A pipe would be waited for.
        let descriptor: CInt = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return .failure(Unreadable(reason: String(cString: strerror(errno)))) }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: OCSPStaple.maximumBytes + 1)
        var length = 0
        while length < bytes.count {
            let got: Int = bytes.withUnsafeMutableBytes { buffer in
                buffer.baseAddress.map { readBytes(descriptor, $0 + length, buffer.count - length) } ?? 0
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return .failure(Unreadable(reason: String(cString: strerror(errno)))) }
            if got == 0 { break }
            length += got
        }
        guard length <= OCSPStaple.maximumBytes else {
            return .failure(Unreadable(reason: "it is larger than \(OCSPStaple.maximumBytes) bytes"))
        }
        bytes.removeLast(bytes.count - length)
        return .success(bytes)
    }
}

/// What there is to show beside a certificate.
public enum StapleFinding: Equatable, Sendable {
    /// No file is configured.
    case none
    case good(OCSPStaple)
    /// Why nothing is shown, with the file's name.
    case problem(String)

    /// For the certificate's credential.
    public var response: [UInt8]? { if case .good(let staple) = self { staple.response } else { nil } }

    /// Until when it is shown, in seconds since 1970 UTC; nil: nothing is, or it has no end.
    public var end: Int64? { if case .good(let staple) = self { staple.nextUpdate } else { nil } }

    /// Why nothing is shown.
    public var reason: String? { if case .problem(let reason) = self { reason } else { nil } }
}

/// `read(2)` by a name that a method called `read` does not hide.
private func readBytes(_ descriptor: CInt, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
