/// How log lines look.
public enum LogFormat: String, CaseIterable, Sendable {
    /// Text on a terminal, JSON otherwise.
    case auto
    /// For people: `2026-01-31T12:00:00.000Z info  edge: message key=value`.
    case text
    /// One JSON object on each line.
    case json
}
