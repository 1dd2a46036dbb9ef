/// Who is told what a request is called in logs (`X-Request-Id`).
public enum RequestNaming: String, CaseIterable, Sendable {
    /// Requests have no names.
    case off
    case origin
    /// And the origin.
    case client
}
