import AuditChain
import Crypto
import Logging
import NIOCore
import SecretFiles
import Telemetry

/// What an audit log is opened with: its key, and where its chain goes on. Made once at a start; blocks.
struct AuditOrigin: Sendable {
    var key: Curve25519.Signing.PrivateKey?
    var head: String?
    var checkpoint: TimeAmount = .minutes(1)
    var position = ChainPosition.beginning
    /// The first thing that is written is a line feed.
    var needsLineFeed = false
    /// What is left of a line that was broken off.
    var rest: AuditTail.Rest?
    /// What is wrong with what was found, for the log and the first line.
    var problem: String?

    /// Begins a chain that nothing signs.
    init() {}

    /// - Parameters:
    ///   - file: The file that is written to; nil: it is none that can be read again.
    ///   - known: Where the chain stood when this process let go of it.
    init(
        _ configuration: AuditConfiguration, file: String?, known: ChainPosition? = nil
    ) throws(AuditLogError) {
        self.checkpoint = configuration.checkpoint
        if let path = configuration.key { self.key = try Self.key(path) }
        self.head = configuration.key == nil ? nil : configuration.head
        var remembered = try self.head.flatMap { (path) throws(AuditLogError) in try Self.remembered(path) }
        if let known, known.sequence > remembered?.sequence ?? 0 { remembered = known }
        let tail = try file.map { (path) throws(AuditLogError) in try AuditTail.of(path, from: remembered) }
        self.needsLineFeed = tail?.lacksLineFeed ?? false
        self.rest = tail?.rest
        guard let remembered else {
            self.position = tail?.position ?? .beginning
            return
        }
        guard let found = tail?.position else {
            // A pipe or a daemon, or a file that another one was before; what a run that did not end in order wrote after that is not
            // known here.
            self.position = remembered
            return
        }
        self.position = found
        let way: AuditTail.Way = tail?.way ?? .leads
        guard found.sequence < remembered.sequence || way != .leads else { return }
        self.position = remembered
        self.problem = Self.problem(found.sequence, remembered.sequence, way)
    }

    private static func problem(_ found: UInt64, _ remembered: UInt64, _ way: AuditTail.Way) -> String {
        if case .beginsWith(let first) = way {
            return
                "the file begins with line \(first), and line \(remembered) was there: it was truncated in place, or replaced; lines \(remembered + 1) to \(first - 1) are in the copy, if one was made before"
        }
        return found <= remembered
            ? "the file ends with line \(found), and line \(remembered) was there: its end was cut off or replaced"
            : "the file ends with line \(found), and does not lead there from line \(remembered), which was there: its end was replaced"
    }

    private static func key(_ path: String) throws(AuditLogError) -> Curve25519.Signing.PrivateKey {
        do {
            guard SecretFile.problem(path)?.isMissing == true else { return try SigningKeyFile.read(path) }
            if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
                try SecretFile.makeFolder(String(path[..<slash]))
            }
            return try SigningKeyFile.make(path)
        } catch {
            throw AuditLogError(place: path, reason: "\(error)", remedy: "it is the key that signs checkpoints")
        }
    }

    private static func remembered(_ path: String) throws(AuditLogError) -> ChainPosition? {
        let text: String
        do throws(SecretFileError) { text = try SecretFile.read(path) } catch {
            if error.isMissing { return nil }
            throw AuditLogError(place: path, reason: error.message, remedy: error.remedy)
        }
        guard let position = AuditHead.position(text) else {
            throw AuditLogError(
                place: path, reason: "it is not what remembers where a chain of audit lines stands",
                remedy: "remove it, and the chain goes on behind the last line that is found")
        }
        return position
    }
}
