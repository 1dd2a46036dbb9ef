#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Why the demo can't go on.
enum DemoFailure: Error, CustomStringConvertible {
    case childEnded(String, [String])
    case childSilent(String, [String])
    case system(String, Int32)
    case unexpectedOutput(String)

    var description: String {
        switch self {
        case .childEnded(let name, let output):
            "the \(name) process ended. Its last words:\n" + Self.indented(output)
        case .childSilent(let name, let output):
            "the \(name) process is not ready in time. Its last words:\n" + Self.indented(output)
        case .system(let what, let number):
            "cannot \(what): \(String(cString: strerror(number)))"
        case .unexpectedOutput(let what):
            what
        }
    }

    static func indented(_ lines: [String]) -> String {
        lines.isEmpty ? "    (none)" : lines.map { "    \($0)" }.joined(separator: "\n")
    }
}
