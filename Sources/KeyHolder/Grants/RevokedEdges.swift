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

    /// - Parameter path: Made at the first revocation. Its folder must be there by then.
    public init(path: String) throws(Unusable) {
        self.path = path
        self.edges = Mutex(try Self.read(path))
    }

    public var names: Set<String> { self.edges.withLock { $0 } }

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
