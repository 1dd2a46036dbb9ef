import KeyProtocol
import SecretFiles
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Edges whose grants are not in force, whatever the configuration says: kept in a file, so that a restart does not forget them.
///
/// One name on a line. A file that cannot be read, or has something else in it, is an error: an edge that was revoked is not to come back
/// by a fault of the disk's.
public final class RevokedEdges: Sendable {
    public struct Unusable: Error, Equatable, Sendable, CustomStringConvertible {
        public var description: String
    }

    private let path: String
    private let edges: Mutex<Set<String>>
    private let lent = Mutex(false)

    /// - Parameter path: Made at the first revocation. Its folder must be there by then.
    public init(path: String) throws(Unusable) {
        self.path = path
        self.edges = Mutex(try Self.read(path))
    }

    /// Another process may have written it.
    public func reread() throws(Unusable) {
        let fresh = try Self.read(self.path)
        self.edges.withLock { $0 = fresh }
    }

    public var names: Set<String> { self.edges.withLock { $0 } }

    /// Whether another process has the file now: nothing is written then, and ``revoke(_:)`` and ``restore(_:)`` throw.
    public var isLent: Bool {
        get { self.lent.withLock { $0 } }
        // Not while one is being written.
        set { self.edges.withLock { _ in self.lent.withLock { $0 = newValue } } }
    }

    /// Returns when it is on disk.
    ///
    /// - Returns: Whether it was not revoked before.
    public func revoke(_ edge: String) throws(Unusable) -> Bool {
        try self.change { $0.insert(edge).inserted }
    }

    /// - Returns: Whether it was revoked.
    public func restore(_ edge: String) throws(Unusable) -> Bool {
        try self.change { $0.remove(edge) != nil }
    }

    private func change(_ body: (inout Set<String>) -> Bool) throws(Unusable) -> Bool {
        let result: Result<Bool, Unusable> = self.edges.withLock { edges in
            guard !self.isLent else { return .failure(Self.lent) }
            var fresh = edges
            guard body(&fresh) else { return .success(false) }
            do throws(SecretFile.WriteError) {
                try SecretFile.write(fresh.sorted().map { "\($0)\n" }.joined(), to: self.path)
            } catch {
                return .failure(Unusable(description: "\(error)"))
            }
            edges = fresh
            return .success(true)
        }
        return try result.get()
    }

    private static let lent = Unusable(description: "\(KeyHolderError.handingOver)")

    private static func read(_ path: String) throws(Unusable) -> Set<String> {
        let text: String
        do throws(SecretFileError) {
            text = try SecretFile.read(path)
        } catch {
            if error.reason == .system(ENOENT) { return [] }
            throw Unusable(description: "the list of revoked edges: \(error)")
        }
        let names = text.split(separator: "\n", omittingEmptySubsequences: true).map(String.init)
        if let bad = names.first(where: { !PartyName.isLegal($0) }) {
            throw Unusable(
                description:
                    "the list of revoked edges \(path) has a line that is no edge's name: \"\(bad.prefix(64))\"; correct it by hand, one name on a line"
            )
        }
        return Set(names)
    }
}
