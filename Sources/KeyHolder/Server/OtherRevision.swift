/// What a request for a function says that this key holder does not have: which side is to be upgraded.
///
/// The protocol has one revision. An edge of another one gets error 5 for what has changed; the remedy stands here.
enum OtherRevision {
    /// Functions of the revisions before this one.
    private static let former: Set<String> = [
        "latchstring.certificate/1", "latchstring.sign-tls12/1", "latchstring.handshake-begin/1",
        "latchstring.handshake-continue/1", "latchstring.handshake-finish/1", "latchstring.lease/1",
    ]
    private static let prefix: String = "latchstring."

    /// For audit and log.
    static func text(_ function: String) -> String {
        guard let remedy = Self.remedy(function) else { return "function \(function)" }
        return "function \(function): \(remedy)"
    }

    /// Nil: the function is none of this project's.
    static func remedy(_ function: String) -> String? {
        guard function.hasPrefix(Self.prefix) else { return nil }
        return Self.former.contains(function)
            ? "the edge is older than this key holder; upgrade the edge"
            : "the edge is newer than this key holder; upgrade the key holder"
    }
}
