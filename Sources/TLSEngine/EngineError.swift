@_implementationOnly import CNIOBoringSSL

/// What BoringSSL refused while a context was made or a handshake was begun: a fault of the configuration, or no memory.
public struct EngineError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was tried, and BoringSSL's reason.
    public let description: String

    init(_ description: String) { self.description = description }

    /// With the reason that stands in this thread's error queue, which is emptied.
    init(_ attempt: String, _ queue: ErrorQueue.Type) { self.description = "\(attempt): \(ErrorQueue.takeReason())" }
}

/// BoringSSL's error queue of this thread. It is emptied before each call whose failure is looked at, and after it: an entry left
/// behind would be taken for the next caller's, swift-nio-ssl included.
enum ErrorQueue {
    static func clear() { ERR_clear_error() }

    /// The reason of the TLS library's first entry, such as `no shared cipher`, or else of the first one, and the queue is empty. What
    /// comes before it is the cause's cause, what comes later is where it was passed on.
    static func takeReason() -> String {
        var first: UInt32 = 0
        var code: UInt32 = ERR_get_error()
        while code != 0, Int(ERR_GET_LIB(code)) != ERR_LIB_SSL {
            if first == 0 { first = code }
            code = ERR_get_error()
        }
        ERR_clear_error()
        guard let text = ERR_reason_error_string(code == 0 ? first : code), code != 0 || first != 0 else {
            return "no reason given"
        }
        return String(cString: text).lowercased().replacing("_", with: " ")
    }
}
