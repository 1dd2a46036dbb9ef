public import NIOCore
public import Telemetry

/// Where audit lines go, and what signs them.
public struct AuditConfiguration: Hashable, Sendable {
    /// A file is appended to; made with mode 0600 if it is not there.
    public var target: LogTarget
    /// Path of the key that signs checkpoints; made if it is not there. nil: there are no checkpoints.
    public var key: String?
    /// Path of the file that remembers where the chain stands, for what has no end to look at (a pipe, a log daemon, a file that was moved
    /// away), and for what was cut off while the key holder was not running. nil: nothing remembers it.
    public var head: String?
    /// Between checkpoints, if there were lines.
    public var checkpoint: TimeAmount

    public init(_ target: LogTarget, key: String? = nil, head: String? = nil, checkpoint: TimeAmount = .minutes(1)) {
        self.target = target
        self.key = key
        self.head = head
        self.checkpoint = checkpoint
    }
}

/// Why the audit log could not be opened.
public struct AuditLogError: Error, Equatable, Sendable, CustomStringConvertible {
    public var place: String
    public var reason: String
    public var remedy: String

    init(place: String, reason: String, remedy: String = "check the directory and that this user may write there") {
        self.place = place
        self.reason = reason
        self.remedy = remedy
    }

    public var description: String { "cannot open the audit log \(self.place): \(self.reason); \(self.remedy)" }
}
