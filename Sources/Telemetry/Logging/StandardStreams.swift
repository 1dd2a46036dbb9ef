#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// What is for people's eyes while it happens, beside the report on standard output.
public enum StandardError {
    /// Writes at once, on the caller's thread. What the system does not take is lost.
    public static func write(_ text: String) { _ = writeAll(STDERR_FILENO, text) }

    /// Whether colours are welcome: see ``StandardOutput/wantsColours``.
    public static var wantsColours: Bool { LogOutput(descriptor: STDERR_FILENO).wantsColours }
}

/// What a command says: unbuffered, so that progress can be seen while it is made.
public enum StandardOutput {
    /// Writes at once, on the caller's thread. What the system does not take is lost.
    ///
    /// - Returns: false if the reader is gone: a command that goes on until it is interrupted ends then.
    @discardableResult
    public static func write(_ text: String) -> Bool { writeAll(STDOUT_FILENO, text) }

    public static var isTerminal: Bool { LogOutput(descriptor: STDOUT_FILENO).isTerminal }

    /// Whether colours are welcome: a terminal that knows them, and no NO_COLOR (https://no-color.org).
    public static var wantsColours: Bool { LogOutput(descriptor: STDOUT_FILENO).wantsColours }
}

private func writeAll(_ descriptor: Int32, _ text: String) -> Bool {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        // The reader is gone, or the stream is closed: nothing sensible is left to do.
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}
